"""What a task finds and leaves: its output, its names, its working directory."""

import json
import os
import signal
import struct
import unittest
import unittest.mock

from support import (
    CHUNK,
    CHUNK_TEXT,
    JSON_RESULTS,
    NO_OP,
    SUCCESS,
    USER_FAILURE,
    WorkerTest,
    json_call,
    module,
    tasks_frame,
)


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
        result = self.call(
            "import os\ndef f():\n    print('é😀\\udcff')\n    os.write(2, b'ok \\xff\\xfe')\n"
        )
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
        self.call(
            "import os\ndef f():\n    os.environ['PILOTWAVE_TASK_ID'] = os.environ['PILOTWAVE_ATTEMPT'] = 'x'\n"
        )
        source = (
            "import os\ndef f():\n    return [os.environ['PILOTWAVE_TASK_ID'], os.environ['PILOTWAVE_ATTEMPT'],"
            " os.popen('echo $PILOTWAVE_TASK_ID $PILOTWAVE_ATTEMPT').read().split()]\n"
        )
        self.assertEqual(self.value(source), [CHUNK_TEXT, "1", [CHUNK_TEXT, "1"]])

    def test_a_hundred_thousand_names_cost_no_memory(self):
        source = "import resource\ndef f():\n    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        before = self.value(source)
        function = self.worker.define(*NO_OP)
        for number in range(1000):
            chunk = struct.pack("<IIQ", number, number, 0)
            self.worker.write(tasks_frame(function, [(i, 1, json_call()) for i in range(100)], chunk=chunk))
            self.worker.results()
        self.assertLess(self.value(source) - before, 8 * 1024, "kilobytes; they would be 28,000")

    def test_the_working_directory_is_made_and_kept(self):
        self.assertEqual(
            self.value("import os\ndef f():\n    return os.getcwd()\n"), os.path.realpath(self.worker.cwd)
        )
        self.call("import os\ndef f():\n    os.chdir('/')\n")
        self.assertEqual(
            self.value("import os\ndef f():\n    return os.getcwd()\n"), os.path.realpath(self.worker.cwd)
        )

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


class WithoutCtypes(unittest.TestCase):
    def test_names_are_set_the_plain_way(self):
        environment = module("environment")
        with unittest.mock.patch.dict(os.environ), unittest.mock.patch.object(environment, "_putenv", None):
            surroundings = environment.Environment(".")
            surroundings.begin_batch(CHUNK)
            surroundings.begin(10, 2)
            told = [os.environ[name] for name in ("PILOTWAVE_TASK_ID", "GC_TASK_UUID", "PILOTWAVE_ATTEMPT")]
        self.assertEqual(told, [CHUNK_TEXT[:32] + "000a"] * 2 + ["2"])


if __name__ == "__main__":
    unittest.main()
