"""Runs one task and says how it ended. No frames, no sockets: what is sent and when is loop.py's business."""

import os
import sys
from time import perf_counter, time

from .failures import system_failure, user_failure
from .results import dump_result
from .serialize import MalformedPayload, load_call
from .wire import SUCCESS, SYSTEM_FAILURE, USER_FAILURE


class Place:
    """Where tasks run: their environment, the note of which one runs, the capture of their output."""

    def __init__(self, environment, blame, capture):
        self.environment = environment
        self.blame = blame
        self.capture = capture
        self.is_copy = False
        os.register_at_fork(after_in_child=self._mark_copy)

    def begin_batch(self, chunk):
        """`chunk`: 16 bytes."""
        self.blame.begin_batch(chunk)
        self.capture.begin_batch()
        self.environment.begin_batch(chunk)

    def _mark_copy(self):
        self.is_copy = True


def execute(function, entry, options, place):
    """Runs `function` (functions.Function) on one entry of a batch → a result, as wire.encode_slab takes it."""
    index, attempt, payload = entry
    started = time()
    begun = perf_counter()
    place.blame.begin(index, attempt, started)
    place.environment.begin(index, attempt)
    outcome, data = _run(function, payload, options)
    if place.is_copy:
        _end_copy(outcome)
    stdout, stderr = place.capture.take()
    place.blame.end()
    return index, outcome, attempt, data, stdout, stderr, started, perf_counter() - begun


def _run(function, payload, options):
    """(outcome, data). Whatever user code raises ends here; its values die here, inside the task."""
    doing = ""
    try:
        call = function.load()
        doing = "The arguments could not be read in this worker's Python"
        args, kwargs = load_call(payload)
        doing = ""
        value = call(*args, **kwargs)
        doing = "The result could not be serialised"
        return SUCCESS, dump_result(value, options)
    except MalformedPayload as fault:
        return SYSTEM_FAILURE, system_failure("malformed_payload", str(fault))
    except BaseException as error:
        return USER_FAILURE, user_failure(error, doing)


def _end_copy(outcome):
    """User code forked and the copy came back from the function: it must not answer for the task as well."""
    try:
        sys.stdout.flush()
    finally:
        os._exit(0 if outcome == SUCCESS else 1)
