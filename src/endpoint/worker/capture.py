"""stdout and stderr of each task, whoever writes them: print, C code, a subprocess.

Descriptors 1 and 2 are unlinked temporary files, opened once for appending. After each task what they hold is read and
the files are emptied; when nothing was written this costs one lseek each. Output goes to disk, never through memory,
and only its first and last 32 KiB are kept.
"""

import io
import os
import sys
import _thread

try:
    import ctypes

    _libc = ctypes.CDLL(None)
except (ImportError, OSError):
    _libc = None

HEAD_BYTES = 32 << 10
TAIL_BYTES = 32 << 10
GUARD_BYTES = 64 << 20
"""When a running task has written so much since the last time, the middle of its file is given back to the disk."""

_UNBUFFERED = 2  # _IONBF, the same in glibc, musl and macOS
_PUNCH_HOLE = 0x03  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, Linux


def _unlinked_file():
    """A descriptor of a file without a name, in the first folder that takes one."""
    folders = [os.environ.get("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm", "."]
    trouble = None
    for folder in filter(None, folders):
        name = os.path.join(folder, ".pilotwave-output-%d-%s" % (os.getpid(), os.urandom(4).hex()))
        try:
            fd = os.open(name, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            os.unlink(name)
            return fd
        except OSError as error:
            trouble = error
    raise OSError(
        "no folder for the output of tasks among %s" % ", ".join(filter(None, folders))
    ) from trouble


def _unbuffer_c_stream(name):
    """Lets C's printf write at once, so that its output belongs to the task that printed. Best effort."""
    try:
        stream = ctypes.c_void_p.in_dll(_libc, name)
        _libc.setvbuf(stream, None, _UNBUFFERED, 0)
    except (NameError, ValueError, AttributeError):
        pass


def _free_disk(fd, start, end):
    """Frees what a file holds between two places and leaves its length as it is, so that writers notice nothing. Best
    effort: not every file system can."""
    try:
        fallocate = _libc.fallocate
    except AttributeError:
        return
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    fallocate(fd, _PUNCH_HOLE, start, end - start)


def _whole_characters(head, tail):
    """Drops the halves of UTF-8 characters that cutting left at the inner ends."""
    while tail and tail[0] & 0xC0 == 0x80:
        tail = tail[1:]
    return head.decode("utf-8", "ignore").encode() if _is_cut_character(head) else head, tail


def _is_cut_character(head):
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return False


class _Stream:
    """One of the two: descriptor `fd`, Python's sys.<name>."""

    def __init__(self, fd, name):
        self._fd = fd
        self._name = name
        self._file = _unlinked_file()
        self._freed = 0
        self._lock = _thread.allocate_lock()
        _unbuffer_c_stream(name)
        self.repair()

    def repair(self):
        """Puts descriptor and Python stream back, whatever user code did to them."""
        os.dup2(self._file, self._fd)
        text = getattr(self, "_text", None)
        if text is None or text.closed:
            raw = io.FileIO(self._fd, "wb", closefd=False)
            self._text = io.TextIOWrapper(
                io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=True
            )
        setattr(sys, self._name, self._text)
        setattr(sys, "__%s__" % self._name, self._text)

    def take(self):
        """The task's output, bounded, as UTF-8; the file is empty again."""
        try:
            self._text.flush()
        except (ValueError, OSError):
            self.repair()
        setattr(sys, self._name, self._text)
        if os.lseek(self._file, 0, os.SEEK_END) == 0:
            return b""
        with self._lock:
            output = self._read(os.lseek(self._file, 0, os.SEEK_END))
            os.ftruncate(self._file, 0)
            self._freed = 0
        return output if output.isascii() else output.decode("utf-8", "replace").encode()

    def _read(self, size):
        cut = size - HEAD_BYTES - TAIL_BYTES
        if cut <= 0:
            return os.pread(self._file, size, 0)
        head = os.pread(self._file, HEAD_BYTES, 0)
        tail = os.pread(self._file, TAIL_BYTES, size - TAIL_BYTES)
        head, tail = _whole_characters(head, tail)
        return b"%s\n[pilotwave: %d bytes of %s cut here]\n%s" % (head, cut, self._name.encode(), tail)

    def guard(self):
        """Called by another thread while a task runs: keeps one that prints without end from filling the disk."""
        with self._lock:
            size = os.lseek(self._file, 0, os.SEEK_END)
            if size - self._freed > GUARD_BYTES:
                _free_disk(self._file, HEAD_BYTES, size - TAIL_BYTES)
                self._freed = size


class Capture:
    """Both streams. Making one takes descriptors 0, 1 and 2 over; save what you need of them before."""

    def __init__(self):
        self._null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._streams = [_Stream(1, "stdout"), _Stream(2, "stderr")]
        self._stdout, self._stderr = self._streams
        self._repair_stdin()

    def _repair_stdin(self):
        os.dup2(self._null, 0)
        if sys.stdin is None or sys.stdin.closed:  # site's exit() closes it
            sys.stdin = open(0, encoding="utf-8", closefd=False)

    def begin_batch(self):
        """Puts back what earlier tasks replaced, closed or redirected for good."""
        self._repair_stdin()
        for stream in self._streams:
            stream.repair()

    def take(self):
        """(stdout, stderr) of the task that just ended."""
        return self._stdout.take(), self._stderr.take()

    def guard(self):
        for stream in self._streams:
            stream.guard()
