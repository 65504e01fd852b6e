"""The state file: which task is running, readable by the parent after this process died without a word.

  32 bytes: 16 chunk id | u8 index | u8 running (1 while the task runs) | u16 attempt | f64 started, seconds since
  1970 | u8 halt | 3 unused                                                              (little-endian)

`halt` is the parent's to write: while it is 1 no task is begun, and batches are answered without those not yet run.

The file is mapped into memory, so that a note costs no system call and outlives kill -9 and segfaults.
"""

import mmap
import os
import struct

_BYTES = 32
_STARTED = struct.Struct("<d").pack_into
_TASK = struct.Struct("<BBH").pack_into


class Blame:
    """Writes the notes. Without a path they go nowhere."""

    def __init__(self, path=None):
        if path is None:
            self._notes = mmap.mmap(-1, _BYTES)
            return
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(fd, _BYTES)
        self._notes = mmap.mmap(fd, _BYTES)
        os.close(fd)

    def begin_batch(self, chunk):
        """`chunk`: 16 bytes. Nothing runs now."""
        self._notes[0:16] = chunk

    def begin(self, index, attempt, started):
        """A task starts. The running flag is written last: who reads it sees this start time, not the task's before."""
        _STARTED(self._notes, 20, started)
        _TASK(self._notes, 16, index, 1, attempt)

    def halted(self):
        """Has the parent asked that no further task be begun?"""
        return self._notes[28]

    def end(self):
        """The task has ended; its index stays, its flag goes."""
        self._notes[17] = 0
