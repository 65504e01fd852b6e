"""What a failed task says: the user's traceback without our frames, or what was refused and why. Bounded."""

import json
import os

from .serialize import Refusal

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_HEAD_CHARACTERS = 32 << 10
_TAIL_CHARACTERS = 32 << 10


def user_failure(error, doing=""):
    """Any exception of the user's code → text. `doing` says what failed when it was not the function itself."""
    try:
        text = str(error) if isinstance(error, Refusal) else _story(error)
    except BaseException as trouble:  # its __str__ may raise anything, and memory or stack may be short
        text = "%s (its text could not be made: %s)" % (type(error).__name__, type(trouble).__name__)
    if doing:
        text = "%s:\n%s" % (doing, text)
    return _bounded(text).encode("utf-8", "backslashreplace")


def system_failure(code, message):
    """A fault that is not the user's → {"code","message"}."""
    return json.dumps({"code": code, "message": message}).encode()


def _story(error):
    if isinstance(error, SystemExit):
        head = (
            "The function called exit(%s). That ends a program; a function ends by returning a value or raising an "
            "exception.\n" % ("" if error.code is None else repr(error.code))
        )
    elif isinstance(error, KeyboardInterrupt):
        head = "The function raised KeyboardInterrupt.\n"
    else:
        head = ""
    import traceback  # when first needed: 3 to 8 ms

    _trim(error)
    return head + "".join(traceback.TracebackException(type(error), error, error.__traceback__).format())


def _trim(error):
    """Drops our frames from the start of its traceback and of those it came from."""
    seen = set()
    todo = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        frames = one.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_HERE):
            frames = frames.tb_next
        one.__traceback__ = frames
        todo += (one.__cause__, one.__context__)


def _bounded(text):
    cut = len(text) - _HEAD_CHARACTERS - _TAIL_CHARACTERS
    if cut <= 0:
        return text
    return "%s\n[pilotwave: %d characters cut here]\n%s" % (
        text[:_HEAD_CHARACTERS],
        cut,
        text[-_TAIL_CHARACTERS:],
    )
