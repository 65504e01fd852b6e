"""Tasks of a real worker: what comes back for calls and failures of every kind."""

import json
import os
import struct
import subprocess
import sys
import time
import unittest

from support import (
    CHUNK,
    JSON_RESULTS,
    NO_OP,
    PATIENCE_S,
    SUCCESS,
    SYSTEM_FAILURE,
    USER_FAILURE,
    WORKER,
    WorkerTest,
    function_id,
    json_call,
    module,
    pack,
    tasks_frame,
)


class Hello(WorkerTest):
    def test_tells_what_it_is(self):
        hello = self.worker.hello
        self.assertEqual(hello["python_version"], "%d.%d.%d" % sys.version_info[:3])
        self.assertEqual(hello["pid"], self.worker.process.pid)
        self.assertEqual(hello["host"], os.uname().nodename)
        self.assertIn(os.uname().release, hello["os"])
        for package in ("dill", "numpy"):
            probe = [sys.executable, "-c", "import %s as p; print(p.__version__)" % package]
            there = (
                subprocess.run(probe, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                .stdout.decode()
                .strip()
            )
            self.assertEqual(hello[package + "_version"], there or None)

    def test_imports_neither_numpy_nor_dill_by_itself(self):
        source = "import sys\ndef f():\n    return [m for m in ('numpy', 'dill') if m in sys.modules]\n"
        self.assertEqual(self.value(source), [])


class Tasks(WorkerTest):
    def test_arguments_in_and_value_out(self):
        self.assertEqual(
            self.value("def f(a, *, k):\n    return [a, k]\n", "é😀", k={"x": 1}), ["é😀", {"x": 1}]
        )

    def test_a_batch_comes_back_in_order_with_its_numbers(self):
        function = self.worker.define("f", "def f(i):\n    return i * i\n")
        entries = [(index, index + 1, json_call(index)) for index in range(100)]
        before = time.time()
        self.worker.write(tasks_frame(function, entries, options=JSON_RESULTS))
        results = [result for _, results in self.worker.results() for result in results]
        self.assertEqual([result["index"] for result in results], list(range(100)))
        self.assertEqual([result["attempt"] for result in results], list(range(1, 101)))
        self.assertEqual([int(result["data"][3:]) for result in results], [i * i for i in range(100)])
        for result in results:
            self.assertTrue(before - 1 <= result["started"] <= time.time() + 1)
            self.assertTrue(0 < result["duration"] < PATIENCE_S)

    def test_a_batch_of_nothing_is_finished_at_once(self):
        self.worker.write(tasks_frame(self.worker.define(*NO_OP), []))
        self.assertEqual(self.worker.results(), [(1, [])])

    def test_results_name_their_chunk_and_epoch(self):
        function = self.worker.define(*NO_OP)
        chunk = bytes(range(100, 116))
        self.worker.write(tasks_frame(function, [(1, 1, json_call())], chunk=chunk, epoch=4000000000))
        kind, body = self.worker.read()
        self.assertEqual((kind, body[:16], struct.unpack_from("<I", body, 16)[0]), (b"R", chunk, 4000000000))

    def test_the_default_result_is_a_pickle(self):
        self.assertEqual(
            self.worker.call("def f():\n    return (1, 2)\n")["data"], b"00\ngASVBwAAAAAAAABLAUsChpQu\n"
        )

    def test_many_batches_may_be_queued(self):
        function = self.worker.define("f", "def f(i):\n    return i\n")
        for epoch in range(200):
            self.worker.write(
                tasks_frame(function, [(0, 1, json_call(epoch))], epoch=epoch, options=JSON_RESULTS)
            )
        for epoch in range(200):
            ((_, (result,)),) = self.worker.results()
            self.assertEqual(int(result["data"][3:]), epoch)

    def test_module_state_lasts_between_tasks(self):
        function = self.worker.define("f", "seen = []\ndef f(i):\n    seen.append(i)\n    return len(seen)\n")
        for expected in (1, 2):
            result = self.worker.run(function, [json_call(0)], JSON_RESULTS)[0]
            self.assertEqual(int(result["data"][3:]), expected)

    def test_large_results_are_not_gathered(self):
        function = self.worker.define("f", "def f():\n    return 'x' * 3000000\n")
        self.worker.write(
            tasks_frame(function, [(i, 1, json_call()) for i in range(4)], options=JSON_RESULTS)
        )
        frames = self.worker.results()
        self.assertEqual(sum(len(results) for _, results in frames), 4)
        self.assertGreaterEqual(len(frames), 4)


class Functions(WorkerTest):
    def test_an_unknown_function_is_asked_for(self):
        self.worker.write(tasks_frame(function_id(99), [(0, 1, json_call())], epoch=5))
        kind, body = self.worker.read()
        self.assertEqual((kind, body), (b"N", function_id(99) + CHUNK + struct.pack("<I", 5)))

    def test_the_least_used_is_forgotten(self):
        first = self.worker.define(*NO_OP)
        second = self.worker.define(*NO_OP)
        for _ in range(254):
            self.worker.define(*NO_OP)
        self.worker.run(first, [json_call()])
        self.worker.define(*NO_OP)
        self.assertEqual(self.worker.run(first, [json_call()])[0]["outcome"], SUCCESS)
        self.worker.write(tasks_frame(second, [(0, 1, json_call())]))
        self.assertEqual(self.worker.read()[0], b"N")

    def test_code_that_cannot_be_loaded_fails_the_tasks_that_use_it(self):
        cases = {
            "ModuleNotFoundError: No module named 'no_such_thing'": "import no_such_thing\ndef f():\n    pass\n",
            "SyntaxError": "def f(:\n",
            r"called exit\(2\)": "import sys\nsys.exit(2)\n",
            "is to define|was to define 'f'; it defines g": "def g():\n    pass\n",
        }
        for text, source in cases.items():
            with self.subTest(text):
                results = self.worker.run(self.worker.define("f", source), [json_call()] * 3)
                self.assertEqual([result["outcome"] for result in results], [USER_FAILURE] * 3)
                for result in results:
                    self.assertRegex(result["data"].decode(), text)
                    self.assertNotIn(os.path.abspath(WORKER), result["data"].decode())
        self.assertEqual(self.value("def f():\n    return 7\n"), 7)

    def test_damaged_code_fails_the_tasks_that_use_it(self):
        for code in (b"junk", b"\xff\xff", pack("11\n3").encode(), pack("99\nx").encode()):
            with self.subTest(code):
                (result,) = self.worker.run(self.worker.add(code), [json_call()])
                self.assertEqual(result["outcome"], USER_FAILURE)

    def test_code_that_failed_is_loaded_again_for_the_next_batch(self):
        path = os.path.join(self.worker.folder.name, "late_module.py")
        function = self.worker.define(
            "f",
            "import sys\nsys.path.insert(0, %r)\nimport late_module\ndef f():\n    return 7\n"
            % self.worker.folder.name,
        )
        self.assertEqual(self.worker.run(function, [json_call()])[0]["outcome"], USER_FAILURE)
        with open(path, "w", encoding="utf-8"):
            pass
        self.worker.call("import importlib\ndef f():\n    importlib.invalidate_caches()\n")
        self.assertEqual(self.worker.run(function, [json_call()])[0]["outcome"], SUCCESS)

    def test_source_is_a_module_to_what_asks_for_it(self):
        source = (
            "from __future__ import annotations\n"
            "import dataclasses, multiprocessing, typing\n"
            "@dataclasses.dataclass\n"
            "class Spot:\n    x: int\n    of: typing.ClassVar[str] = 'frame'\n"
            "def shift(spot):\n    return Spot(spot.x + 1)\n"
            "def f():\n"
            "    with multiprocessing.get_context('fork').Pool(1) as pool:\n"
            "        return [dataclasses.asdict(s) for s in pool.map(shift, [Spot(1), Spot(2)])]\n"
        )
        (result,) = self.worker.run(self.worker.define("f", source), [json_call()], JSON_RESULTS)
        self.assertEqual((result["outcome"], json.loads(result["data"][3:])), (SUCCESS, [{"x": 2}, {"x": 3}]))

    def test_what_is_forgotten_leaves_nothing(self):
        for _ in range(600):
            self.worker.run(self.worker.define(*NO_OP), [json_call()])
        source = (
            "import linecache, sys\n"
            "def f():\n"
            "    return [sum(n.startswith('pilotwave_function_') for n in sys.modules),"
            " sum(n.startswith('<noop') for n in linecache.cache)]\n"
        )
        self.assertEqual(self.value(source), [256, 255])

    def test_loading_is_part_of_the_first_task(self):
        results = self.worker.run(
            self.worker.define("f", "print('loading')\ndef f():\n    print('running')\n"), [json_call()] * 2
        )
        self.assertEqual([result["stdout"] for result in results], [b"loading\nrunning\n", b"running\n"])


class Failures(WorkerTest):
    def test_a_traceback_begins_in_user_code(self):
        text = self.failure("def g(x):\n    return 1 / x\n\ndef f(x):\n    return g(x)\n", 0)
        self.assertRegex(
            text, r'^Traceback \(most recent call last\):\n  File "<f [0-9a-f]{8}>", line 5, in f\n'
        )
        self.assertIn("    return 1 / x\n", text)
        self.assertTrue(text.endswith("ZeroDivisionError: division by zero\n"))
        self.assertNotIn("pilotwave", text)

    def test_chained_exceptions_are_told(self):
        source = (
            "def f():\n"
            "    try:\n        {}['key']\n"
            "    except KeyError as error:\n        raise ValueError('outer') from error\n"
        )
        text = self.failure(source)
        self.assertRegex(text, "(?s)KeyError: 'key'.*direct cause.*ValueError: outer")
        self.assertNotIn("execute.py", text)

    def test_wrong_arguments(self):
        text = self.failure("def f(a):\n    pass\n")
        self.assertIn("missing 1 required positional argument: 'a'", text)
        self.assertNotIn("execute.py", text)

    def test_exit_is_a_failure_and_the_worker_lives(self):
        for source, shown in {
            "def f():\n    exit(3)\n": "called exit(3)",
            "def f():\n    quit()\n": "called exit()",
            "import sys\ndef f():\n    sys.exit('bye')\n": "called exit('bye')",
        }.items():
            with self.subTest(shown):
                self.assertIn(shown, self.failure(source))

    def test_other_exceptions_that_are_not_exceptions(self):
        self.assertIn("KeyboardInterrupt", self.failure("def f():\n    raise KeyboardInterrupt\n"))
        self.assertIn("GeneratorExit", self.failure("def f():\n    raise GeneratorExit\n"))

    def test_recursion_without_end(self):
        text = self.failure("def f():\n    return f()\n")
        self.assertRegex(text, "(?s)RecursionError.*")
        self.assertLess(len(text), 70000)
        mutual = self.failure("def g(x):\n    return f(x + 1)\ndef f(x=0):\n    return g(x + 1)\n")
        self.assertIn("RecursionError", mutual)

    def test_memory_that_is_not_there(self):
        self.assertIn("MemoryError", self.failure("def f():\n    return bytearray(1 << 60)\n"))

    def test_a_long_message_is_cut_in_the_middle(self):
        text = self.failure("def f():\n    raise ValueError('a' * 1000000 + 'END')\n")
        self.assertLess(len(text), 70000)
        self.assertRegex(text, r"\[pilotwave: \d+ characters cut here\]")
        self.assertTrue(text.endswith("END\n"))

    def test_an_exception_that_cannot_be_told(self):
        source = (
            "class E(Exception):\n    def __str__(self):\n        raise SystemExit\ndef f():\n    raise E\n"
        )
        self.assertIn("E", self.failure(source))

    def test_surrogates_in_a_message(self):
        self.assertIn(r"\udcff", self.failure("def f():\n    raise ValueError('\\udcff')\n"))

    def test_results_that_cannot_be_serialised(self):
        text = self.failure("def f():\n    return open('/dev/null')\n")
        self.assertRegex(text, "(?s)_io.TextIOWrapper.*Tried JSONData.*JSONData: TypeError")
        result = self.worker.call("def f():\n    return (i for i in range(3))\n")
        self.assertEqual(result["outcome"], USER_FAILURE)
        self.assertRegex(result["data"].decode(), "(?s)builtins.generator.*Tried DillDataBase64.*generator")

    def test_a_result_of_the_source_s_own_class_goes_by_value_or_not_at_all(self):
        result = self.worker.call("class Spot:\n    x = 3\ndef f():\n    return [Spot()]\n")
        if self.worker.hello["dill_version"]:
            self.assertEqual(module("serialize").load(result["data"].decode())[0].x, 3)
        else:
            self.assertEqual(result["outcome"], USER_FAILURE)
            self.assertRegex(result["data"].decode(), "(?s)builtins.list.*DillDataBase64: .*Spot")
        mention = self.worker.call("def f():\n    return 'pilotwave_function_'\n")
        self.assertEqual(module("serialize").load(mention["data"].decode()), "pilotwave_function_")

    def test_a_result_that_exits_while_it_is_pickled(self):
        source = "class E:\n    def __reduce__(self):\n        exit(4)\ndef f():\n    return E()\n"
        result = self.worker.call(source)
        self.assertEqual(result["outcome"], USER_FAILURE)
        self.assertIn("could not be serialised", result["data"].decode())

    def test_serialisers_that_are_none(self):
        function = self.worker.define(*NO_OP)
        for wish in ("[3]", '["No.Such"]', '{"a":1}', "7"):
            options = b'{"result_serializers":%s}' % wish.encode()
            (result,) = self.worker.run(function, [json_call()], options)
            self.assertEqual(result["outcome"], USER_FAILURE)
            self.assertIn("none of them is such a serialiser", result["data"].decode())
        (result,) = self.worker.run(function, [json_call()], b'{"result_serializers":"JSONData"}')
        self.assertEqual(result["data"], b"11\nnull")

    def test_a_result_above_the_limit(self):
        self.assertIn(
            "MaxResultSizeExceeded(11000005, 10485760)", self.failure("def f():\n    return 'x' * 11000000\n")
        )

    def test_malformed_payloads_are_not_the_user_s_fault(self):
        function = self.worker.define(*NO_OP)
        payloads = [b"", b"junk", b"\xff", b"5\n11\n[]", json_call(), json_call()[:-1]]
        results = self.worker.run(function, payloads)
        self.assertEqual(
            [result["outcome"] for result in results],
            [SYSTEM_FAILURE] * 4 + [SUCCESS, SYSTEM_FAILURE],
        )
        told = json.loads(results[0]["data"])
        self.assertEqual((told["code"], set(told)), ("malformed_payload", {"code", "message"}))

    def test_arguments_that_cannot_be_read_here(self):
        function = self.worker.define(*NO_OP)
        payload = pack("00\nY25vX3N1Y2hfbW9kdWxlClgKLg==", "11\n{}").encode()  # pickle of no_such_module.X
        (result,) = self.worker.run(function, [payload])
        self.assertEqual(result["outcome"], USER_FAILURE)
        self.assertRegex(
            result["data"].decode(), "(?s)^The arguments could not be read.*No module named 'no_such_module'"
        )


if __name__ == "__main__":
    unittest.main()
