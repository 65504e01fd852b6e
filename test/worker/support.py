"""Drives a real worker over pipes, and writes and reads the sides of the wire that the worker does not."""

import importlib
import json
import os
import select
import struct
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
WORKER = os.path.join(HERE, "..", "..", "src", "endpoint", "worker")
FIXTURES = os.path.join(HERE, "..", "fixtures", "protocol")

SUCCESS, USER_FAILURE, SYSTEM_FAILURE = 0, 1, 2
PATIENCE_S = 30
CHUNK = bytes(range(14)) + b"\0\0"
CHUNK_TEXT = "00010203-0405-0607-0809-0a0b0c0d0000"
NO_OP = ("noop", "def noop(*args, **kwargs):\n    pass\n")
JSON_RESULTS = b'{"result_serializers":["JSONData"]}'
STATE = struct.Struct("<16sBBHd")


def module(name):
    """A module of the worker, imported as the worker itself imports it."""
    if "pilotwave_worker" not in sys.modules:
        package = type(sys)("pilotwave_worker")
        package.__path__ = [os.path.abspath(WORKER)]
        sys.modules["pilotwave_worker"] = package
    return importlib.import_module("pilotwave_worker." + name)


# ── the parent's side of the wire ────────────────────────────────────────────────────────────────────────
def pack(*buffers):
    return "".join("%d\n%s" % (len(buffer), buffer) for buffer in buffers)


def source_code(name, source):
    return pack("st\n%s:%s" % (name, source)).encode()


def json_call(*args, **kwargs):
    return pack("11\n" + json.dumps(args), "11\n" + json.dumps(kwargs)).encode()


def encode_batch(entries):
    """[(index, attempt, payload)] → batch."""
    records = b"".join(
        struct.pack("<BBHI", index, 0, attempt, len(payload)) for index, attempt, payload in entries
    )
    return struct.pack("<H", len(entries)) + records + b"".join(payload for _, _, payload in entries)


def decode_slab(slab):
    """slab → [result]; a result is a dictionary."""
    (count,) = struct.unpack_from("<H", slab)
    record = struct.Struct("<BBHIIIdd")
    at = 2 + count * record.size
    results = []
    for place in range(count):
        index, outcome, attempt, *lengths, started, duration = record.unpack_from(
            slab, 2 + place * record.size
        )
        bodies = []
        for length in lengths:
            bodies.append(slab[at : at + length])
            at += length
        data, stdout, stderr = bodies
        results.append(
            {
                "index": index,
                "outcome": outcome,
                "attempt": attempt,
                "started": started,
                "duration": duration,
                "data": data,
                "stdout": stdout,
                "stderr": stderr,
            }
        )
    assert at == len(slab), "a slab has bytes after its last body"
    return results


def tasks_frame(function_id, entries, chunk=CHUNK, epoch=1, options=b"{}"):
    head = struct.pack("<16sI16sH", chunk, epoch, function_id, len(options))
    return frame(b"T", head + options + encode_batch(entries))


def frame(kind, body=b""):
    return struct.pack("<I", 1 + len(body)) + kind + body


def function_id(number):
    return struct.pack(">I12s", number, b"a function")


# ── a worker ─────────────────────────────────────────────────────────────────────────────────────────────
class Worker:
    """A worker process and its pipes. Reads have a time limit, so that no test hangs."""

    def __init__(self, *arguments, python=sys.executable):
        self.folder = tempfile.TemporaryDirectory(prefix="pilotwave-worker-test-")
        self.state_path = os.path.join(self.folder.name, "state")
        self.cwd = os.path.join(self.folder.name, "shared", "work")
        self.process = subprocess.Popen(
            [python, WORKER, "--state", self.state_path, "--cwd", self.cwd, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        self.functions = 0
        self._received = b""
        kind, body = self.read()
        assert kind == b"H", kind
        self.hello = json.loads(body)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, 9)
        self.process.wait(PATIENCE_S)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()
        self.folder.cleanup()

    def write(self, data):
        view = memoryview(data)
        while view:
            view = view[self.process.stdin.write(view) :]

    def read(self):
        """The next frame: (type, body); (None, b"") at the end."""
        head = self._take(4)
        if head is None:
            return None, b""
        body = self._take(struct.unpack("<I", head)[0])
        return (None, b"") if body is None else (body[:1], body[1:])

    def _take(self, count):
        deadline = time.monotonic() + PATIENCE_S
        while len(self._received) < count:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError("the worker said nothing for %d s" % PATIENCE_S)
            piece = self.process.stdout.read(1 << 20)
            if not piece:
                return None
            self._received += piece
        taken, self._received = self._received[:count], self._received[count:]
        return taken

    def add(self, code):
        """Sends packed code → its function id."""
        self.functions += 1
        identifier = function_id(self.functions)
        self.write(frame(b"F", identifier + code))
        return identifier

    def define(self, name, source):
        """Sends a function as source → its id."""
        return self.add(source_code(name, source))

    def results(self):
        """Frames of one batch: [(last, results)] up to the last."""
        frames = []
        while not frames or not frames[-1][0]:
            kind, body = self.read()
            assert kind == b"R", (kind, body)
            frames.append((body[20], decode_slab(body[21:])))
        return frames

    def run(self, identifier, payloads, options=b"{}", attempt=1):
        """Runs one batch → its results, in order."""
        entries = [(index, attempt, payload) for index, payload in enumerate(payloads)]
        self.write(tasks_frame(identifier, entries, options=options))
        return [result for _, results in self.results() for result in results]

    def call(self, source, *args, options=b"{}", name="f", **kwargs):
        """Defines and runs one function once → its result."""
        return self.run(self.define(name, source), [json_call(*args, **kwargs)], options)[0]

    def wait(self):
        """(exit status, what it said on its stderr)."""
        status = self.process.wait(PATIENCE_S)
        return status, self.process.stderr.read().decode()

    def state(self):
        """(chunk, index, running, attempt, started) from the state file."""
        with open(self.state_path, "rb") as file:
            return STATE.unpack_from(file.read(32))


def until(condition, what):
    """Polls a condition until it holds, for a bounded time → its value."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("not within %d s: %s" % (PATIENCE_S, what))
        time.sleep(0.005)


# ── tests of a whole worker ──────────────────────────────────────────────────────────────────────────────
class WorkerTest(unittest.TestCase):
    """One worker for each test."""

    def setUp(self):
        self.worker = Worker()
        self.addCleanup(self.worker.__exit__)

    def call(self, source, *args, **kwargs):
        """Runs source's function f → its result."""
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
