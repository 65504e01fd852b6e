"""How a worker lives and ends: early results, blame, hanging up, malformed frames."""

import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

from support import (
    CHUNK,
    NO_OP,
    PATIENCE_S,
    WORKER,
    Worker,
    WorkerTest,
    frame,
    function_id,
    json_call,
    source_code,
    tasks_frame,
    until,
)


class EarlyResults(WorkerTest):
    def test_a_slow_task_holds_back_nobody(self):
        source = "import os, time\ndef f(wait):\n    while wait and not os.path.exists(wait):\n        time.sleep(0.005)\n"
        gate = os.path.join(self.worker.folder.name, "gate")
        entries = [
            (0, 1, json_call("")),
            (1, 1, json_call("")),
            (2, 1, json_call(gate)),
            (3, 1, json_call("")),
        ]
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
        function = self.worker.define(
            "f", "import atexit, os\natexit.register(os.write, 2, b'')\ndef f():\n    return 1\n"
        )
        self.worker.write(tasks_frame(function, [(0, 1, json_call())]) + frame(b"X"))
        self.assertEqual(len(self.worker.results()), 1)
        self.assertEqual(self.worker.wait(), (0, ""))

    def test_x_does_not_wait_for_threads(self):
        self.worker.call(
            "import threading, time\ndef f():\n    threading.Thread(target=time.sleep, args=(3600,)).start()\n"
        )
        self.worker.write(frame(b"X"))
        self.assertEqual(self.worker.wait(), (0, ""))

    def test_what_libraries_registered_runs_at_the_end(self):
        path = os.path.join(self.worker.folder.name, "said")
        self.call(
            "import atexit\ndef f(path):\n    atexit.register(lambda: open(path, 'w').write('bye'))\n", path
        )
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
        ours, theirs = socket.socketpair()
        path = os.path.join(self.worker.folder.name, "runs")
        source = "import time\ndef f(path):\n    open(path, 'w').close()\n    time.sleep(3600)\n"
        process = subprocess.Popen(
            [sys.executable, WORKER], stdin=theirs, stdout=theirs, start_new_session=True
        )
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
        }
        for word, data in broken.items():
            with self.subTest(word), Worker() as worker:
                worker.define(*NO_OP)
                worker.write(data)
                status, said = worker.wait()
                self.assertEqual(status, 70)
                self.assertRegex(said, "^pilotwave worker: malformed frame: .*%s.*\n$" % word)

    def test_random_bytes(self):
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
            [sys.executable, WORKER, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
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
