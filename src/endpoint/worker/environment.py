"""What a task finds around it: its environment variables and its working directory.

PILOTWAVE_TASK_ID, PILOTWAVE_IDEMPOTENCY_KEY and GC_TASK_UUID hold the task's id (see src/ids.ts: the chunk's id with
the index in its last four digits), PILOTWAVE_ATTEMPT its attempt from 1.

Setting a variable the usual way leaks: glibc keeps every distinct NAME=value for ever (96 bytes each, measured; gigabytes
after ten million tasks). So each variable is put once, as memory of ours, and its text is changed in place.
"""

import os

try:
    import ctypes

    _putenv = ctypes.CDLL(None).putenv
except (ImportError, OSError, AttributeError):
    _putenv = None

_IDS = ("PILOTWAVE_TASK_ID", "PILOTWAVE_IDEMPOTENCY_KEY", "GC_TASK_UUID")
_ATTEMPT = "PILOTWAVE_ATTEMPT"
_UUID_LENGTH = 36
_ATTEMPT_LENGTH = 5  # digits of 65535
_LAST_DIGITS = tuple(b"%04x" % index for index in range(256))


def _uuid_text(chunk):
    text = chunk.hex().encode()
    return b"-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


class _Variable:
    """One environment variable whose text lies in memory of ours; `text` is as long as the text may get."""

    def __init__(self, name, length):
        self.key = os.fsencode(name)
        prefix = self.key + b"="
        self._memory = ctypes.create_string_buffer(prefix + bytes(length))
        whole = memoryview(self._memory).cast("B")
        self.text = whole[len(prefix) : len(prefix) + length]

    def put(self):
        """Puts it (again: user code may have cleared the environment)."""
        _putenv(self._memory)


class _PlainVariables:
    """The usual way, where C's putenv is out of reach."""

    def begin_batch(self, chunk):
        self._prefix = _uuid_text(chunk)[:32]

    def begin(self, index, attempt):
        task = (self._prefix + _LAST_DIGITS[index]).decode()
        for name in _IDS:
            os.environ[name] = task
        os.environ[_ATTEMPT] = str(attempt)


class _LastingVariables:
    """In place, for C (subprocesses, getenv) and for Python (os.environ's own dictionary)."""

    def __init__(self):
        self._python = os.environ._data
        self._ids = [_Variable(name, _UUID_LENGTH) for name in _IDS]
        self._tails = [(variable.text[32:], variable.key) for variable in self._ids]
        self._attempt_variable = _Variable(_ATTEMPT, _ATTEMPT_LENGTH)
        self._prefix = b""
        self._attempt = 0

    def begin_batch(self, chunk):
        text = _uuid_text(chunk)
        self._prefix = text[:32]
        for variable in self._ids:
            variable.text[:] = text
            variable.put()
        self._attempt = 0  # put again, too: user code may have changed it

    def begin(self, index, attempt):
        digits = _LAST_DIGITS[index]
        task = self._prefix + digits
        for tail, key in self._tails:
            tail[:] = digits
            self._python[key] = task
        if attempt != self._attempt:
            self._put_attempt(attempt)

    def _put_attempt(self, attempt):
        text = b"%d" % attempt
        self._attempt_variable.text[:] = text.ljust(_ATTEMPT_LENGTH, b"\0")
        self._attempt_variable.put()
        self._python[self._attempt_variable.key] = text
        self._attempt = attempt


class Environment:
    """Variables and working directory of the task to come."""

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self._folder = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        os.environ.pop("GC_TASK_SANDBOX_DIR", None)
        lasting = _putenv is not None and isinstance(getattr(os.environ, "_data", None), dict)
        variables = _LastingVariables() if lasting else _PlainVariables()
        self.begin_batch = variables.begin_batch
        self._begin = variables.begin

    def begin(self, index, attempt):
        """Before each task. Changing directory costs less than asking where we are."""
        os.fchdir(self._folder)
        self._begin(index, attempt)
