"""The frame loop: reads batches, has their tasks executed, sends results. The shell round execute.py.

Descriptors: the stdin and stdout this process was started with become private (user code and its children never see
them), then 0 is /dev/null and 1 and 2 are capture files. The stderr it was started with is kept for our own last words.
"""

import atexit
import faulthandler
import io
import json
import os
import signal
import _thread
from collections import deque

from . import wire
from .blame import Blame
from .capture import Capture
from .environment import Environment
from .execute import Place, execute
from .facts import hello
from .functions import Functions
from .results import Options
from .watch import Watch, leave_with_children

EXIT_USAGE = 64
EXIT_MALFORMED = 70
EXIT_CANNOT_START = 71
_READ_BUFFER_BYTES = 1 << 18
_OPTIONS_KEPT = 256
_LARGE_RESULT_BYTES = 1 << 20
"""From here on a result is sent at once, so that a batch of them is never held in memory."""


class Sender:
    """Results on their way out. Finished tasks are added by the main thread; either thread sends them."""

    def __init__(self, fd):
        self._fd = fd
        self._results = deque()
        self._sending = _thread.allocate_lock()
        self._chunk = b""
        self._epoch = 0
        self.add = self._results.append

    def send(self, frame):
        with self._sending:
            wire.write_all(self._fd, frame)

    def begin_batch(self, chunk, epoch):
        self._chunk = chunk
        self._epoch = epoch

    def flush(self, last):
        """Sends what has finished; the last frame of a batch is sent even when nothing is left."""
        with self._sending:
            results = [self._results.popleft() for _ in range(len(self._results))]
            if results or last:
                wire.write_all(self._fd, wire.results_frame(self._chunk, self._epoch, last, results))


class Worker:
    """One conversation with the parent."""

    def __init__(self, stream, sender, place, watch):
        self._stream = stream
        self._sender = sender
        self._place = place
        self._watch = watch
        self._functions = Functions()
        self._options = {}

    def run(self):
        """Until 'X' (True) or the end of the stream (False). Raises wire.MalformedFrame."""
        while True:
            frame = wire.read_frame(self._stream)
            if frame is None:
                return False
            kind, body = frame
            if kind == b"T":
                self._run_tasks(*wire.tasks_body(body))
            elif kind == b"F":
                self._functions.add(*wire.function_body(body))
            elif kind == b"X":
                return True
            else:
                raise wire.MalformedFrame("no frame has type %r" % kind)

    def _run_tasks(self, chunk, epoch, function_id, options_json, entries):
        function = self._functions.get(function_id)
        if function is None:
            self._sender.send(wire.unknown_frame(function_id, chunk, epoch))
            return
        options = self._options.get(options_json) or self._parse_options(options_json)
        place = self._place
        add = self._sender.add
        self._sender.begin_batch(chunk, epoch)
        place.begin_batch(chunk)
        function.begin_batch()
        self._watch.begin_batch()
        halted = place.blame.halted
        for entry in entries:
            if halted():
                break
            result = execute(function, entry, options, place)
            add(result)
            if len(result[3]) > _LARGE_RESULT_BYTES:
                self._sender.flush(False)
        self._watch.end_batch()
        self._sender.flush(True)

    def _parse_options(self, options_json):
        try:
            options = Options(json.loads(options_json))
        except (ValueError, AttributeError, TypeError) as error:
            raise wire.MalformedFrame("options cannot be read: %s" % error) from None
        if len(self._options) >= _OPTIONS_KEPT:
            self._options.clear()
        self._options[options_json] = options
        return options


def _parse_arguments(arguments):
    """["--state", FILE, "--cwd", FOLDER], each optional → {"state", "cwd"}; None when there is anything else."""
    options = {"state": None, "cwd": "."}
    names = arguments[::2]
    if len(arguments) % 2 or any(name not in ("--state", "--cwd") for name in names):
        return None
    options.update((name[2:], value) for name, value in zip(names, arguments[1::2]))
    return options


def _private(fd):
    """A blocking duplicate that children do not inherit."""
    copy = os.dup(fd)
    os.set_blocking(copy, True)
    return copy


def _die(last_words, code, why):
    os.write(last_words, b"pilotwave worker: %s\n" % why.encode("utf-8", "backslashreplace"))
    return code


def main(arguments):
    """Runs the worker; returns its exit code."""
    options = _parse_arguments(arguments)
    if options is None:
        return _die(2, EXIT_USAGE, "usage: python3 <folder> [--state FILE] [--cwd FOLDER]")
    protocol_in, protocol_out, last_words = _private(0), _private(1), os.dup(2)
    os.register_at_fork(after_in_child=lambda: (os.close(protocol_in), os.close(protocol_out)))
    # A handler, not SIG_IGN: children would inherit that and could not be interrupted.
    signal.signal(signal.SIGINT, lambda *_: None)
    faulthandler.enable(last_words, all_threads=False)
    try:
        place = Place(Environment(options["cwd"]), Blame(options["state"]), Capture())
    except OSError as error:
        return _die(last_words, EXIT_CANNOT_START, "cannot start: %s" % error)
    sender = Sender(protocol_out)

    def on_tick():
        place.capture.guard()
        try:
            sender.flush(False)
        except OSError:
            leave_with_children()

    stream = io.open(protocol_in, "rb", buffering=_READ_BUFFER_BYTES, closefd=False)
    worker = Worker(stream, sender, place, Watch(protocol_in, on_tick))
    try:
        sender.send(wire.hello_frame(hello()))
        if not worker.run():
            leave_with_children()
    except wire.MalformedFrame as fault:
        return _die(last_words, EXIT_MALFORMED, "malformed frame: %s" % fault)
    except BrokenPipeError:
        leave_with_children()
    atexit._run_exitfuncs()  # what libraries registered; threads left behind are not waited for
    return 0
