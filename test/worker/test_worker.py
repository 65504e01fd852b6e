"""The worker as a process: what comes back for tasks of every kind, and how it ends."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
import unittest

from support import (
    CHUNK,
    CHUNK_TEXT,
    NO_OP,
    PATIENCE_S,
    SUCCESS,
    SYSTEM_FAILURE,
    USER_FAILURE,
    WORKER,
    Worker,
    frame,
    function_id,
    json_call,
    pack,
    source_code,
    tasks_frame,
    until,
)

JSON_RESULTS = b'{"result_serializers":["JSONData"]}'


class WorkerTest(unittest.TestCase):
    """One worker for each test; it must still be well at the end unless the test ended it."""

    def setUp(self):
        self.worker = Worker()
        self.addCleanup(self.worker.__exit__)

    def call(self, source, *args, **kwargs):
        return self.worker.call(source, *args, options=JSON_RESULTS, **kwargs)

    def value(self, source, *args, **kwargs):
        """The value a function returns."""
        result = self.call(source, *args, **kwargs)
        self.assertEqual(result["outcome"], SUCCESS, result["data"].decode())
        return json.loads(result["data"][3:])

    def failure(self, source, *args, **kwargs):
        """The text of a function that fails; the worker lives on."""
        result = self.call(source, *args, **kwargs)
        self.assertEqual(result["outcome"], USER_FAILURE, result)
        self.assertEqual(self.value("def f():\n    return 7\n"), 7)
        return result["data"].decode()


class Hello(WorkerTest):
    def test_tells_what_it_is(self):
        hello = self.worker.hello
        self.assertEqual(hello["python_version"], "%d.%d.%d" % sys.version_info[:3])
        self.assertEqual(hello["pid"], self.worker.process.pid)
        self.assertEqual(hello["host"], os.uname().nodename)
        self.assertIn(os.uname().release, hello["os"])
        for package in ("dill", "numpy"):
            probe = [sys.executable, "-c", "import %s as p; print(p.__version__)" % package]
            there = subprocess.run(probe, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode().strip()
            self.assertEqual(hello[package + "_version"], there or None)

    def test_imports_neither_numpy_nor_dill_by_itself(self):
        source = "import sys\ndef f():\n    return [m for m in ('numpy', 'dill') if m in sys.modules]\n"
        self.assertEqual(self.value(source), [])


class Tasks(WorkerTest):
    def test_arguments_in_and_value_out(self):
        self.assertEqual(self.value("def f(a, *, k):\n    return [a, k]\n", "é😀", k={"x": 1}), ["é😀", {"x": 1}])

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
        self.assertEqual(self.worker.call("def f():\n    return (1, 2)\n")["data"], b"00\ngASVBwAAAAAAAABLAUsChpQu\n")

    def test_many_batches_may_be_queued(self):
        function = self.worker.define("f", "def f(i):\n    return i\n")
        for epoch in range(200):
            self.worker.write(tasks_frame(function, [(0, 1, json_call(epoch))], epoch=epoch, options=JSON_RESULTS))
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
        self.worker.write(tasks_frame(function, [(i, 1, json_call()) for i in range(4)], options=JSON_RESULTS))
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
            "f", "import sys\nsys.path.insert(0, %r)\nimport late_module\ndef f():\n    return 7\n" % self.worker.folder.name
        )
        self.assertEqual(self.worker.run(function, [json_call()])[0]["outcome"], USER_FAILURE)
        with open(path, "w", encoding="utf-8"):
            pass
        self.worker.call("import importlib\ndef f():\n    importlib.invalidate_caches()\n")
        self.assertEqual(self.worker.run(function, [json_call()])[0]["outcome"], SUCCESS)

    def test_loading_is_part_of_the_first_task(self):
        results = self.worker.run(
            self.worker.define("f", "print('loading')\ndef f():\n    print('running')\n"), [json_call()] * 2
        )
        self.assertEqual([result["stdout"] for result in results], [b"loading\nrunning\n", b"running\n"])


class Failures(WorkerTest):
    def test_a_traceback_begins_in_user_code(self):
        text = self.failure("def g(x):\n    return 1 / x\n\ndef f(x):\n    return g(x)\n", 0)
        self.assertRegex(text, r'^Traceback \(most recent call last\):\n  File "<f [0-9a-f]{8}>", line 5, in f\n')
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
        source = "class E(Exception):\n    def __str__(self):\n        raise SystemExit\ndef f():\n    raise E\n"
        self.assertIn("E", self.failure(source))

    def test_surrogates_in_a_message(self):
        self.assertIn(r"\udcff", self.failure("def f():\n    raise ValueError('\\udcff')\n"))

    def test_results_that_cannot_be_serialised(self):
        text = self.failure("def f():\n    return open('/dev/null')\n")
        self.assertRegex(text, "(?s)_io.TextIOWrapper.*Tried JSONData.*JSONData: TypeError")
        result = self.worker.call("def f():\n    return (i for i in range(3))\n")
        self.assertEqual(result["outcome"], USER_FAILURE)
        self.assertRegex(result["data"].decode(), "(?s)builtins.generator.*Tried DillDataBase64.*generator")

    def test_a_result_that_exits_while_it_is_pickled(self):
        source = "class E:\n    def __reduce__(self):\n        exit(4)\ndef f():\n    return E()\n"
        result = self.worker.call(source)
        self.assertEqual(result["outcome"], USER_FAILURE)
        self.assertIn("could not be serialised", result["data"].decode())

    def test_a_result_above_the_limit(self):
        self.assertIn("MaxResultSizeExceeded(11000005, 10485760)", self.failure("def f():\n    return 'x' * 11000000\n"))

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
        self.assertRegex(result["data"].decode(), "(?s)^The arguments could not be read.*No module named 'no_such_module'")


class Output(WorkerTest):
    def test_both_streams_belong_to_the_task(self):
        source = "import sys\ndef f(x):\n    print('out', x)\n    print('err', x, file=sys.stderr)\n"
        results = self.worker.run(self.worker.define("f", source), [json_call(i) for i in range(3)])
        self.assertEqual([r["stdout"] for r in results], [b"out 0\n", b"out 1\n", b"out 2\n"])
        self.assertEqual([r["stderr"] for r in results], [b"err 0\n", b"err 1\n", b"err 2\n"])

    def test_a_silent_task_has_none(self):
        result = self.call("def f():\n    pass\n")
        self.assertEqual((result["stdout"], result["stderr"]), (b"", b""))

    def test_whoever_writes(self):
        source = (
            "import ctypes, os, subprocess, sys\n"
            "def f():\n"
            "    print('python', end=' ')\n"
            "    sys.stdout.flush()\n"
            "    os.system('printf \"system \"')\n"
            "    subprocess.run(['sh', '-c', 'printf \"subprocess \"; echo oops >&2'], check=True)\n"
            "    ctypes.CDLL(None).printf(b'C ')\n"
            "    os.write(1, b'descriptor')\n"
        )
        result = self.call(source)
        self.assertEqual(result["outcome"], SUCCESS, result)
        self.assertEqual(result["stdout"], b"python system subprocess C descriptor")
        self.assertEqual(result["stderr"], b"oops\n")

    def test_output_of_a_failure(self):
        result = self.call("def f():\n    print('before')\n    1 / 0\n")
        self.assertEqual((result["outcome"], result["stdout"]), (USER_FAILURE, b"before\n"))

    def test_output_is_text(self):
        result = self.call("import os\ndef f():\n    print('é😀\\udcff')\n    os.write(2, b'ok \\xff\\xfe')\n")
        self.assertEqual(result["stdout"].decode(), "é😀\\udcff\n")
        self.assertEqual(result["stderr"].decode(), "ok \ufffd\ufffd")

    def test_a_hundred_megabytes_are_bounded(self):
        source = (
            "import resource\n"
            "def f():\n"
            "    print('BEGIN')\n"
            "    block = '0123456789abcde\\n' * 65536\n"
            "    for _ in range(100):\n        print(block, end='')\n"
            "    print('END')\n"
            "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        )
        result = self.call(source)
        self.assertEqual(result["outcome"], SUCCESS)
        text = result["stdout"].decode()
        self.assertLess(len(text), 66000)
        self.assertTrue(text.startswith("BEGIN\n0123456789abcde\n"))
        self.assertTrue(text.endswith("0123456789abcde\nEND\n"))
        cut = int(text.split("[pilotwave: ")[1].split(" bytes of stdout cut here]")[0])
        self.assertEqual(cut + 65536, 100 * 16 * 65536 + len("BEGIN\nEND\n"))
        self.assertLess(int(result["data"][3:]), 100 * 1024, "kilobytes of memory")
        self.assertEqual(self.call("def f():\n    print('next')\n")["stdout"], b"next\n")

    def test_cut_output_never_splits_a_character(self):
        for shift in range(4):
            result = self.call("def f(shift):\n    print('x' * shift + '😀' * 50000)\n", shift)
            self.assertNotIn("\ufffd", result["stdout"].decode())

    def test_a_task_that_prints_on_and_on_does_not_fill_the_disk(self):
        source = (
            "import os, time\n"
            "def f(limit):\n"
            "    block = b'x' * (1 << 20)\n"
            "    written = 0\n"
            "    while written < 1 << 30:\n"
            "        written += os.write(1, block)\n"
            "        if os.fstat(1).st_blocks * 512 < written // 2:\n"
            "            return True\n"
            "        time.sleep(0.001)\n"
            "    return False\n"
        )
        self.assertIs(self.value(source, 0), True)

    def test_streams_closed_or_replaced_by_a_task_are_put_back(self):
        culprits = [
            "import sys\ndef f():\n    sys.stdout.close()\n",
            "import os\ndef f():\n    os.close(1)\n    os.close(2)\n    os.close(0)\n",
            "import io, sys\ndef f():\n    sys.stdout = sys.stderr = io.StringIO()\n",
            "import os\ndef f():\n    os.dup2(os.open('/dev/null', os.O_WRONLY), 1)\n",
            "def f():\n    exit()\n",  # site's exit closes stdin
        ]
        for culprit in culprits:
            with self.subTest(culprit):
                self.call(culprit)
                result = self.call("import sys\ndef f():\n    print('well')\n    return sys.stdin.read()\n")
                self.assertEqual((result["stdout"], result["data"]), (b"well\n", b'11\n""'))

    def test_user_code_cannot_reach_the_protocol(self):
        source = (
            "import os, subprocess\n"
            "def f():\n"
            "    subprocess.run('cat; echo noise; for fd in 3 4 5 6 7 8 9; do echo noise >&$fd; done', shell=True)\n"
            "    return os.read(0, 10).decode()\n"
        )
        result = self.call(source)
        self.assertEqual((result["outcome"], result["data"]), (SUCCESS, b'11\n""'))
        self.assertIn(b"noise\n", result["stdout"])


class Surroundings(WorkerTest):
    def test_a_task_knows_its_name(self):
        source = (
            "import os, subprocess\n"
            "NAMES = ['PILOTWAVE_TASK_ID', 'PILOTWAVE_IDEMPOTENCY_KEY', 'GC_TASK_UUID', 'PILOTWAVE_ATTEMPT']\n"
            "def f():\n"
            "    child = subprocess.run(['sh', '-c', 'echo $' + ' $'.join(NAMES)], stdout=subprocess.PIPE)\n"
            "    return [[os.environ[name] for name in NAMES], child.stdout.decode().split(),"
            " os.popen('echo $PILOTWAVE_TASK_ID').read().strip()]\n"
        )
        function = self.worker.define("f", source)
        for index, attempt in ((0, 1), (10, 2), (127, 65535), (3, 1)):
            self.worker.write(tasks_frame(function, [(index, attempt, json_call())], options=JSON_RESULTS))
            ((_, (result,)),) = self.worker.results()
            name = CHUNK_TEXT[:32] + "%04x" % index
            told = [name, name, name, str(attempt)]
            self.assertEqual(json.loads(result["data"][3:]), [told, told, name])

    def test_a_task_cannot_take_the_next_one_s_name(self):
        self.call("import os\ndef f():\n    os.environ.clear()\n")
        self.call("import os\ndef f():\n    os.environ['PILOTWAVE_TASK_ID'] = os.environ['PILOTWAVE_ATTEMPT'] = 'x'\n")
        source = (
            "import os\ndef f():\n    return [os.environ['PILOTWAVE_TASK_ID'], os.environ['PILOTWAVE_ATTEMPT'],"
            " os.popen('echo $PILOTWAVE_TASK_ID $PILOTWAVE_ATTEMPT').read().split()]\n"
        )
        self.assertEqual(self.value(source), [CHUNK_TEXT, "1", [CHUNK_TEXT, "1"]])

    def test_a_hundred_thousand_names_cost_no_memory(self):
        source = (
            "import resource\ndef f():\n    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        )
        before = self.value(source)
        function = self.worker.define(*NO_OP)
        for number in range(1000):
            chunk = struct.pack("<IIQ", number, number, 0)
            self.worker.write(tasks_frame(function, [(i, 1, json_call()) for i in range(100)], chunk=chunk))
            self.worker.results()
        self.assertLess(self.value(source) - before, 8 * 1024, "kilobytes; they would be 28,000")

    def test_the_working_directory_is_made_and_kept(self):
        self.assertEqual(self.value("import os\ndef f():\n    return os.getcwd()\n"), os.path.realpath(self.worker.cwd))
        self.call("import os\ndef f():\n    os.chdir('/')\n")
        self.assertEqual(self.value("import os\ndef f():\n    return os.getcwd()\n"), os.path.realpath(self.worker.cwd))

    def test_nothing_of_the_worker_can_be_imported_by_accident(self):
        source = (
            "import importlib, sys\n"
            "def f():\n"
            "    def there(name):\n"
            "        try:\n            return importlib.import_module(name) and True\n"
            "        except ImportError:\n            return False\n"
            "    return [there(n) for n in ('wire', 'loop', 'execute', 'capture', 'serialize', 'watch')]\n"
        )
        self.assertEqual(self.value(source), [False] * 6)

    def test_a_copy_of_the_worker_does_not_answer(self):
        source = (
            "import os\n"
            "def f():\n"
            "    child = os.fork()\n"
            "    if child == 0:\n        return 'child'\n"
            "    os.waitpid(child, 0)\n"
            "    return 'parent'\n"
        )
        self.assertEqual(self.value(source), "parent")
        self.assertEqual(self.value("def f():\n    return 7\n"), 7)

    def test_multiprocessing_works(self):
        source = (
            "import math, multiprocessing\n"
            "def f():\n"
            "    with multiprocessing.get_context('fork').Pool(2) as pool:\n"
            "        return pool.map(math.factorial, [1, 2, 3, 4])\n"
        )
        self.assertEqual(self.value(source), [1, 2, 6, 24])

    def test_interrupts_are_ignored_but_not_by_children(self):
        source = (
            "import os, signal, subprocess\n"
            "def f():\n"
            "    os.kill(os.getpid(), signal.SIGINT)\n"
            "    child = subprocess.Popen(['sleep', '60'])\n"
            "    child.send_signal(signal.SIGINT)\n"
            "    return child.wait()\n"
        )
        self.assertEqual(self.value(source), -signal.SIGINT)


class EarlyResults(WorkerTest):
    def test_a_slow_task_holds_back_nobody(self):
        source = "import os, time\ndef f(wait):\n    while wait and not os.path.exists(wait):\n        time.sleep(0.005)\n"
        gate = os.path.join(self.worker.folder.name, "gate")
        entries = [(0, 1, json_call("")), (1, 1, json_call("")), (2, 1, json_call(gate)), (3, 1, json_call(""))]
        self.worker.write(tasks_frame(self.worker.define("f", source), entries))
        # The third task ends only when we open the gate, and we open it only when the first two are here.
        early = []
        while len(early) < 2:
            kind, body = self.worker.read()
            self.assertEqual((kind, body[20]), (b"R", 0))
            early += [body[21:]]
            if struct.unpack_from("<H", body, 21)[0] == 2:
                break
        with open(gate, "w", encoding="utf-8"):
            pass
        rest = [result["index"] for _, results in self.worker.results() for result in results]
        self.assertEqual(rest, [2, 3])


class Blame(WorkerTest):
    def test_the_state_file_tells_what_ran(self):
        function = self.worker.define("f", "import os\ndef f(die):\n    if die:\n        os._exit(7)\n")
        entries = [(4, 1, json_call(False)), (5, 3, json_call(True)), (6, 1, json_call(False))]
        before = time.time()
        self.worker.write(tasks_frame(function, entries))
        self.assertEqual(self.worker.wait()[0], 7)
        chunk, index, running, attempt, started = self.worker.state()
        self.assertEqual((chunk, index, running, attempt), (CHUNK, 5, 1, 3))
        self.assertTrue(before - 1 <= started <= time.time() + 1)
        kind, _ = self.worker.read()
        self.assertIn(kind, (None, b"R"))  # the first result, when a tick came in time

    def test_a_segfault_leaves_its_name_and_a_word(self):
        function = self.worker.define("f", "import ctypes\ndef f():\n    ctypes.string_at(0)\n")
        self.worker.write(tasks_frame(function, [(9, 2, json_call())]))
        status, said = self.worker.wait()
        self.assertEqual(status, -signal.SIGSEGV)
        self.assertIn("Segmentation fault", said)
        self.assertEqual(self.worker.state()[:4], (CHUNK, 9, 1, 2))

    def test_nothing_runs_between_batches(self):
        self.worker.run(self.worker.define(*NO_OP), [json_call()])
        self.assertEqual(self.worker.state()[:3], (CHUNK, 0, 0))


class Ends(WorkerTest):
    def test_x_ends_after_what_was_queued(self):
        function = self.worker.define("f", "import atexit, os\natexit.register(os.write, 2, b'')\ndef f():\n    return 1\n")
        self.worker.write(tasks_frame(function, [(0, 1, json_call())]) + frame(b"X"))
        self.assertEqual(len(self.worker.results()), 1)
        self.assertEqual(self.worker.wait(), (0, ""))

    def test_x_does_not_wait_for_threads(self):
        self.worker.call("import threading, time\ndef f():\n    threading.Thread(target=time.sleep, args=(3600,)).start()\n")
        self.worker.write(frame(b"X"))
        self.assertEqual(self.worker.wait(), (0, ""))

    def test_what_libraries_registered_runs_at_the_end(self):
        path = os.path.join(self.worker.folder.name, "said")
        self.call("import atexit\ndef f(path):\n    atexit.register(lambda: open(path, 'w').write('bye'))\n", path)
        self.worker.write(frame(b"X"))
        self.worker.wait()
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "bye")

    def end_while_running(self, body):
        """Closes stdin while user code runs, which writes its pid and its child's first."""
        path = os.path.join(self.worker.folder.name, "pids")
        source = (
            "import os, subprocess, time\n"
            "def f(path):\n"
            "    child = subprocess.Popen(['sleep', '3600'])\n"
            "    with open(path + '.part', 'w') as file:\n        file.write('%%d' %% child.pid)\n"
            "    os.rename(path + '.part', path)\n"
            "%s" % body
        )
        self.worker.write(tasks_frame(self.worker.define("f", source), [(0, 1, json_call(path))]))
        until(lambda: os.path.exists(path), "the task runs")
        with open(path, encoding="utf-8") as file:
            child = int(file.read())
        self.worker.process.stdin.close()
        self.assertEqual(self.worker.wait()[0], -signal.SIGKILL)
        until(lambda: not alive(child), "its child is gone")

    def test_the_end_of_stdin_ends_a_task_that_sleeps(self):
        self.end_while_running("    while True:\n        time.sleep(0.01)\n")

    def test_the_end_of_stdin_ends_a_task_that_waits_for_ever(self):
        self.end_while_running("    time.sleep(3600)\n")

    def test_the_end_of_stdin_ends_a_task_that_computes(self):
        self.end_while_running("    while True:\n        pass\n")

    def test_the_end_of_stdin_ends_an_idle_worker(self):
        self.worker.process.stdin.close()
        self.assertIn(self.worker.wait()[0], (0, -signal.SIGKILL))

    def test_it_reads_a_socket_as_well_as_a_pipe(self):
        """Node gives its children sockets."""
        import socket

        ours, theirs = socket.socketpair()
        path = os.path.join(self.worker.folder.name, "runs")
        source = "import time\ndef f(path):\n    open(path, 'w').close()\n    time.sleep(3600)\n"
        process = subprocess.Popen([sys.executable, WORKER], stdin=theirs, stdout=theirs, start_new_session=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        theirs.close()
        ours.sendall(frame(b"F", function_id(1) + source_code("f", source)))
        ours.sendall(tasks_frame(function_id(1), [(0, 1, json_call(path))]))
        until(lambda: os.path.exists(path), "the task runs")
        ours.shutdown(socket.SHUT_WR)
        self.assertEqual(process.wait(PATIENCE_S), -signal.SIGKILL)
        ours.close()

    def test_a_parent_that_stops_reading_ends_it(self):
        self.worker.process.stdout.close()
        self.worker.write(tasks_frame(self.worker.define(*NO_OP), [(0, 1, json_call())]))
        self.assertIn(self.worker.process.wait(PATIENCE_S), (0, -signal.SIGKILL))

    def test_terminating_is_not_resisted(self):
        self.worker.process.terminate()
        self.assertEqual(self.worker.wait()[0], -signal.SIGTERM)


class MalformedFrames(unittest.TestCase):
    def test_it_gives_up_with_a_word(self):
        task = tasks_frame(function_id(1), [(0, 1, json_call())])
        broken = {
            "type": frame(b"?"),
            "bytes": struct.pack("<I", 0),
            "F frame": frame(b"F", b"short"),
            "T frame": frame(b"T", b"short"),
            "batch": frame(b"T", task[5:] + b"more"),
            "options": tasks_frame(function_id(1), [], options=b"{broken"),
            "options cannot": tasks_frame(function_id(1), [], options=b"[]"),
            "cannot be read": tasks_frame(function_id(1), [], options=b'{"result_serializers":[3]}'),
        }
        for word, data in broken.items():
            with self.subTest(word), Worker() as worker:
                worker.define(*NO_OP)
                worker.write(data)
                status, said = worker.wait()
                self.assertEqual(status, 70)
                self.assertRegex(said, "^pilotwave worker: malformed frame: .*%s.*\n$" % word)

    def test_random_bytes(self):
        import random

        chance = random.Random(7)
        for _ in range(8):
            with Worker() as worker:
                noise = bytes(chance.randrange(256) for _ in range(300))
                try:
                    worker.write(noise)
                    worker.process.stdin.close()
                except BrokenPipeError:
                    pass
                self.assertIn(worker.wait()[0], (0, 70, -signal.SIGKILL))


class Command(unittest.TestCase):
    def run_worker(self, *arguments):
        done = subprocess.run(
            [sys.executable, WORKER, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        return done.returncode, done.stderr.decode()

    def test_unknown_arguments(self):
        for arguments in (["--nonsense"], ["--state"], ["--cwd", "x", "y"]):
            status, said = self.run_worker(*arguments)
            self.assertEqual(status, 64)
            self.assertIn("usage", said)

    def test_places_it_cannot_use(self):
        for arguments in (["--cwd", "/dev/null/x"], ["--state", "/dev/null/x"]):
            status, said = self.run_worker(*arguments)
            self.assertEqual(status, 71)
            self.assertIn("cannot start: ", said)


def alive(pid):
    """Does the process run? A zombie does not."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    unittest.main()
