"""The Globus Compute SDK's strings: functions and arguments in, results out.

A buffer is "<id>\n<payload>"; packed buffers are "<length>\n<buffer>" one after another, and a length counts code
points, which is how Python indexes text. Ids: 00 DillDataBase64, 01 DillCode, 02 PickleCode, 03 DillCodeTextInspect,
04 DillCodeSource, 10 CombinedCode, 11 JSONData, 12 AllCodeStrategies, 13 AllDataStrategies, st PureSourceTextInspect,
sd PureSourceDill. This file reads; results.py writes.
"""

import binascii
import json
import linecache
import pickle
import re
import sys
import types

from . import bytecode
from .facts import PYTHON_VERSION


class MalformedPayload(Exception):
    """A task's payload is not two packed buffers."""


class Refusal(Exception):
    """Something of the user's cannot be used here; the text says what, why and what to do."""


def import_dill():
    """The dill module, or None. Imported when first needed: it costs 50 ms."""
    try:
        import dill
    except ImportError:
        return None
    return dill


# ── packing ──────────────────────────────────────────────────────────────────────────────────────────────
def unpack(text):
    """Packed text → its buffers."""
    buffers = []
    at = 0
    end = len(text)
    while at < end:
        try:
            line = text.index("\n", at)
            length = int(text[at:line])
        except ValueError:
            raise MalformedPayload("packed buffers have no length at character %d" % at) from None
        at = line + 1 + length
        if length < 0 or at > end:
            raise MalformedPayload("packed buffers end in the middle of a buffer")
        buffers.append(text[line + 1 : at])
    return buffers


def pack(buffers):
    """Buffers → packed text."""
    return "".join("%d\n%s" % (len(buffer), buffer) for buffer in buffers)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────
def load_call(payload):
    """A task's payload (bytes-like, UTF-8) → (args, kwargs)."""
    try:
        text = str(payload, "utf-8")
    except UnicodeDecodeError as error:
        raise MalformedPayload("the payload is not UTF-8: %s" % error) from None
    buffers = unpack(text)
    if len(buffers) != 2:
        raise MalformedPayload(
            "a payload is two buffers, arguments and keyword arguments; this has %d" % len(buffers)
        )
    return load(buffers[0]), load(buffers[1])


def load_function(code, label):
    """Registered code (bytes, UTF-8: one packed buffer) → the function. `label`: its id in hex."""
    try:
        buffers = unpack(str(code, "utf-8"))
    except (UnicodeDecodeError, MalformedPayload) as error:
        raise Refusal("The registered code is damaged: %s. Register the function again." % error) from None
    if len(buffers) != 1:
        raise Refusal(
            "The registered code has %d buffers, not one. Register the function again." % len(buffers)
        )
    function = load(buffers[0], label)
    if not callable(function):
        raise Refusal(
            "The registered code is not a function: it is a value of type %s." % type(function).__name__
        )
    return function


def load(buffer, label=""):
    """One buffer → the value or function it holds."""
    loader = _LOADERS.get(buffer[:3])
    if loader is None:
        known = ", ".join(sorted(name.strip() for name in _LOADERS))
        raise Refusal(
            "Data is serialised as %r, which this worker does not know; it knows %s." % (buffer[:2], known)
        )
    return loader(buffer, label)


_scan_json = json.JSONDecoder().scan_once


def _load_json(buffer, _label):
    try:
        value, end = _scan_json(buffer, 3)
        if end == len(buffer):
            return value
    except (StopIteration, ValueError):
        pass
    try:
        return json.loads(buffer[3:])  # takes white space round the value, and tells what is wrong
    except ValueError as error:
        raise Refusal("JSONData ('11') is not JSON: %s." % error) from None


def _unbase64(buffer):
    try:
        return binascii.a2b_base64(buffer[3:])
    except ValueError as error:
        raise Refusal("Data of serialiser '%s' is not base64: %s." % (buffer[:2], error)) from None


def _load_pickle(buffer, _label):
    data = _unbase64(buffer)
    dill = import_dill() if b"dill" in data or b"__main__" in data else None
    try:
        return (dill or pickle).loads(data)
    except ImportError as error:
        if getattr(error, "name", None) == "dill":
            raise Refusal(
                "Data was pickled with dill for lack of a plainer way, and this worker's Python %s has no dill. Send "
                "plain values, or install dill in the endpoint's Python." % PYTHON_VERSION
            ) from None
        raise


_SEND_SOURCE = (
    "Send source instead: Client(code_serialization_strategy=AllCodeStrategies()), or PureSourceTextInspect(); or give "
    "the endpoint's workers a Python of your minor version with dill."
)


def _load_dill_code(buffer, _label):
    dill = import_dill()
    if dill is None:
        raise Refusal(
            "The function was sent as bytecode (DillCode, '01'), which needs dill and the sender's minor version of "
            "Python. This worker runs Python %s without dill. %s" % (PYTHON_VERSION, _SEND_SOURCE)
        )
    try:
        return bytecode.load(dill, _unbase64(buffer))
    except bytecode.ForeignBytecode:
        raise Refusal(
            "The function was sent as bytecode (DillCode, '01') of another minor version of Python; this worker runs "
            "Python %s. %s" % (PYTHON_VERSION, _SEND_SOURCE)
        ) from None


def _load_source_pickle(buffer, label):
    name, source = _load_pickle(buffer, label)
    return _run_source(name, source, label)


def _load_source(buffer, label):
    text = buffer[3:]
    if (
        ":" not in text
    ):  # later versions of the SDK put base64 round name and source; its alphabet has no colon
        text = _unbase64(buffer).decode()
    name, colon, source = text.partition(":")
    if not colon:
        raise Refusal("A function sent as source ('%s') needs name:source." % buffer[:2])
    return _run_source(name, source, label)


MODULE_PREFIX = "pilotwave_function_"
"""Source runs as a module of this name and the function's id: dataclasses, multiprocessing and others look there for
what it defines. Results must not refer to it (results.py): no receiver has such a module."""


def _file_name(name, label):
    return "<%s %s>" % (name, label[:8])


def _run_source(name, source, label):
    if source[:1] in (" ", "\t"):
        import textwrap

        source = textwrap.dedent(source)
    filename = _file_name(name, label)
    # For tracebacks and inspect.getsource; checkcache() leaves entries without a time alone.
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    module = types.ModuleType(MODULE_PREFIX + label)
    sys.modules[module.__name__] = module
    namespace = vars(module)
    exec(compile(source, filename, "exec", dont_inherit=True), namespace)
    if name not in namespace:
        defined = ", ".join(key for key in namespace if not key.startswith("__")) or "nothing"
        raise Refusal("The source was to define %r; it defines %s." % (name, defined))
    return namespace[name]


def forget_source(label):
    """Drops what running a function's source left here."""
    sys.modules.pop(MODULE_PREFIX + label, None)
    ending = _file_name("", label)[1:]
    for filename in [name for name in linecache.cache if name.endswith(ending)]:
        del linecache.cache[filename]


_COMBINED_PART = re.compile(r"(?:^|:)(0[1-4]|st|sd)\n:")


def _load_combined(buffer, label):
    """id:payload:id:payload… A payload of source holds colons of its own, so parts are found by their ids."""
    body = buffer[3:]
    found = list(_COMBINED_PART.finditer(body))
    ends = [match.start() for match in found[1:]] + [len(body)]
    return _first_that_loads(
        [match.group(1) + "\n" + body[match.end() : end] for match, end in zip(found, ends)], buffer, label
    )


def _load_any(buffer, label):
    try:
        inner = unpack(buffer[3:])
    except MalformedPayload as error:
        raise Refusal("Data of serialiser '%s' is damaged: %s." % (buffer[:2], error)) from None
    return _first_that_loads(inner, buffer, label)


def _first_that_loads(inner, buffer, label):
    troubles = []
    for part in inner:
        try:
            return load(part, label)
        except Exception as error:
            troubles.append("\n  %s: %s: %s" % (part[:2], type(error).__name__, error))
    raise Refusal(
        "None of the forms in serialiser '%s' can be used here:%s" % (buffer[:2], "".join(troubles))
    )


def _load_pickle_code(buffer, _label):
    return pickle.loads(_unbase64(buffer))


_LOADERS = {
    "00\n": _load_pickle,
    "01\n": _load_dill_code,
    "02\n": _load_pickle_code,
    "03\n": _load_source_pickle,
    "04\n": _load_source_pickle,
    "10\n": _load_combined,
    "11\n": _load_json,
    "12\n": _load_any,
    "13\n": _load_any,
    "st\n": _load_source,
    "sd\n": _load_source,
}
