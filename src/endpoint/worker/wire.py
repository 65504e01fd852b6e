"""Bytes on the pipe: frames, task batches and result slabs. The twin of src/protocol/batch.ts and slab.ts.

A frame is u32 length of what follows | u8 type | body, little-endian like everything here.

  to the worker    'F'  16 bytes function id | function code, UTF-8
                   'T'  16 bytes chunk id | u32 epoch | 16 bytes function id | u16 options length | options, JSON | batch
                   'X'  finish what is queued and exit
  from the worker  'H'  hello, JSON (facts.py), once, first
                   'R'  16 bytes chunk id | u32 epoch | u8 last (1: the batch is finished) | slab, perhaps of no results
                   'N'  16 bytes function id | 16 bytes chunk id | u32 epoch: function not known, nothing was run

  batch   u16 n | n × (u8 index | u8 0 | u16 attempt | u32 payload bytes) | payloads
  slab    u16 n | n × (u8 index | u8 outcome | u16 attempt | u32 data, stdout, stderr bytes | f64 started | f64 duration)
          | per task: data, stdout, stderr
"""

import os
import struct

SUCCESS, USER_FAILURE, SYSTEM_FAILURE = 0, 1, 2
"""Outcomes, as numbered in src/lifecycle.ts; a worker never cancels (3)."""

_LENGTH = struct.Struct("<I")
_COUNT = struct.Struct("<H")
_BATCH_RECORD = struct.Struct("<BBHI")
_SLAB_RECORD = struct.Struct("<BBHIIIdd")
_TASKS_HEAD = struct.Struct("<16sI16sH")
_RESULTS_HEAD = struct.Struct("<c16sIB")
_UNKNOWN_HEAD = struct.Struct("<c16s16sI")

MAX_FRAME_BYTES = 1 << 31
"""A chunk's hundred tasks at 10 MiB each fit; a length above it can only be a broken stream."""


class MalformedFrame(Exception):
    """The parent's bytes make no sense; nothing after them can be trusted."""


def read_frame(stream):
    """The next frame's (type, body) from a buffered binary stream; None at its end, even in mid-frame."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    (length,) = _LENGTH.unpack(head)
    if not 0 < length <= MAX_FRAME_BYTES:
        raise MalformedFrame("a frame says it has %d bytes" % length)
    kind = stream.read(1)
    body = stream.read(length - 1)
    return (kind, body) if len(kind) + len(body) == length else None


def write_all(fd, data):
    """Writes all of it to a blocking descriptor."""
    written = os.write(fd, data)
    while written < len(data):
        data = memoryview(data)[written:]
        written = os.write(fd, data)


def function_body(body):
    """Body of 'F' → (function id, code)."""
    if len(body) < 16:
        raise MalformedFrame("an F frame ends before its function id does")
    return body[:16], body[16:]


def tasks_body(body):
    """Body of 'T' → (chunk id, epoch, function id, options as JSON bytes, entries)."""
    if len(body) < _TASKS_HEAD.size:
        raise MalformedFrame("a T frame ends before its head does")
    chunk, epoch, function_id, options_bytes = _TASKS_HEAD.unpack_from(body)
    start = _TASKS_HEAD.size + options_bytes
    return chunk, epoch, function_id, body[_TASKS_HEAD.size : start], decode_batch(memoryview(body)[start:])


def decode_batch(batch):
    """A batch (memoryview) → [(index, attempt, payload)]; payloads are views."""
    try:
        (count,) = _COUNT.unpack_from(batch)
        start = 2 + count * _BATCH_RECORD.size
        entries = []
        for index, _, attempt, length in _BATCH_RECORD.iter_unpack(batch[2:start]):
            entries.append((index, attempt, batch[start : start + length]))
            start += length
    except struct.error:
        raise MalformedFrame("a batch ends before its records do") from None
    if len(entries) != count or start != len(batch):
        raise MalformedFrame("a batch of %d bytes has records for %d" % (len(batch), start))
    return entries


def encode_slab(results):
    """[(index, outcome, attempt, data, stdout, stderr, started, duration)] → the slab's parts, to be joined."""
    pack = _SLAB_RECORD.pack
    parts = [_COUNT.pack(len(results))]
    bodies = []
    for index, outcome, attempt, data, stdout, stderr, started, duration in results:
        parts.append(pack(index, outcome, attempt, len(data), len(stdout), len(stderr), started, duration))
        bodies.append(data)
        if stdout or stderr:
            bodies += (stdout, stderr)
    return parts + bodies


def hello_frame(facts):
    """JSON bytes → frame 'H'."""
    return _LENGTH.pack(1 + len(facts)) + b"H" + facts


def results_frame(chunk, epoch, last, results):
    """Results of one batch → frame 'R'."""
    parts = encode_slab(results)
    head = _RESULTS_HEAD.pack(b"R", chunk, epoch, last)
    length = len(head) + sum(map(len, parts))
    return b"".join([_LENGTH.pack(length), head] + parts)


def unknown_frame(function_id, chunk, epoch):
    """Frame 'N': send the function, then the batch again."""
    head = _UNKNOWN_HEAD.pack(b"N", function_id, chunk, epoch)
    return _LENGTH.pack(len(head)) + head
