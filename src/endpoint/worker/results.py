"""Results out: which serialisers a task asked for, and the first of them that can write its value.

A serialiser is named by its class in the Globus Compute SDK, alone or as an import path. Those for code take only
callables, those for data only the rest. Without a wish: DillDataBase64, then DillCode, then PickleCode.
"""

import binascii
import json
import pickle
import sys

from .serialize import MODULE_PREFIX, Refusal, import_dill, pack

MAX_RESULT_BYTES = 10 << 20
_OUR_MODULES = MODULE_PREFIX.encode()


# ── writers: value → text or bytes, or raise ─────────────────────────────────────────────────────────────
def _base64(data):
    return binascii.b2a_base64(data)


def _by_value(dumps, value):
    """Pickles while the modules made of functions' sources are hidden: what they define goes along or fails here, for
    the receiver could not import it."""
    ours = [name for name in sys.modules if name.startswith(MODULE_PREFIX)]
    hidden = {name: sys.modules.pop(name) for name in ours}
    try:
        return dumps(value)
    finally:
        sys.modules.update(hidden)


def _pickled(value):
    """dill only where pickle fails: for plain values both write the same, and dill is a hundred times slower."""
    try:
        data = pickle.dumps(value)
        if _OUR_MODULES not in data:
            return data
    except Exception:
        if import_dill() is None:
            raise
    return _by_value((import_dill() or pickle).dumps, value)


def _dill_data(value):
    return b"00\n" + binascii.b2a_base64(_pickled(value))


_encode_json = json.JSONEncoder(allow_nan=False).encode  # NaN is not JSON: no reader but Python's takes it


def _json_data(value):
    return b"11\n" + _encode_json(value).encode()


def _all_data(value):
    return b"13\n" + _packed_of_those_that_work((_json_data, _dill_data), value)


def _dill_code(function):
    dill = import_dill()
    if dill is None:
        raise ImportError("this worker's Python has no dill")
    return b"01\n" + _base64(_by_value(dill.dumps, function))


def _pickle_code(function):
    return b"02\n" + _base64(_by_value(pickle.dumps, function))


def _named_source(function):
    import inspect
    import textwrap

    return function.__name__, textwrap.dedent(inspect.getsource(function))


def _code_text_inspect(function):
    return b"03\n" + _base64(pickle.dumps(_named_source(function)))


def _code_source(function):
    return b"04\n" + _base64(pickle.dumps(_named_source(function)))


def _source_text_inspect(function):
    return b"st\n" + ":".join(_named_source(function)).encode()


def _source_dill(function):
    return b"sd\n" + ":".join(_named_source(function)).encode()


def _combined_code(function):
    parts = _those_that_work((_code_source, _dill_code, _code_text_inspect, _source_dill), function)
    return b"10\n" + b":".join(part[:3] + b":" + part[3:] for part in parts)


def _all_code(function):
    return b"12\n" + _packed_of_those_that_work((_source_text_inspect, _source_dill, _dill_code), function)


def _those_that_work(writers, value):
    parts = []
    for writer in writers:
        try:
            parts.append(writer(value))
        except Exception as error:
            trouble = error
    if not parts:
        raise trouble
    return parts


def _packed_of_those_that_work(writers, value):
    return pack([part.decode() for part in _those_that_work(writers, value)]).encode()


_DATA_WRITERS = {"DillDataBase64": _dill_data, "JSONData": _json_data, "AllDataStrategies": _all_data}
_CODE_WRITERS = {
    "DillCode": _dill_code,
    "PickleCode": _pickle_code,
    "DillCodeTextInspect": _code_text_inspect,
    "DillCodeSource": _code_source,
    "PureSourceTextInspect": _source_text_inspect,
    "PureSourceDill": _source_dill,
    "CombinedCode": _combined_code,
    "AllCodeStrategies": _all_code,
}
_DEFAULT = ("DillDataBase64", "DillCode", "PickleCode")


# ── the choice ───────────────────────────────────────────────────────────────────────────────────────────
class Options:
    """A batch's options, as far as the worker obeys them. Made once per distinct JSON."""

    def __init__(self, options):
        wished = options.get("result_serializers") or _DEFAULT
        if not isinstance(wished, (list, tuple)):
            wished = [wished]
        # Whatever else a submitter put here is a serialiser that does not exist: the task says so, the worker lives.
        self.wished = [str(name).rpartition(".")[2] for name in wished]
        self.data_writers = [(name, _DATA_WRITERS[name]) for name in self.wished if name in _DATA_WRITERS]
        self.code_writers = [(name, _CODE_WRITERS[name]) for name in self.wished if name in _CODE_WRITERS]


def dump_result(value, options):
    """A function's value → the result's bytes."""
    troubles = []
    for name, writer in options.code_writers if callable(value) else options.data_writers:
        try:
            data = writer(value)
        except Exception as error:
            troubles.append("\n  %s: %s: %s" % (name, type(error).__name__, error))
            continue
        if len(data) > MAX_RESULT_BYTES:
            raise Refusal(
                "MaxResultSizeExceeded(%d, %d): the serialised result has more bytes than a result may have. Write "
                "large data to a file and return its path." % (len(data), MAX_RESULT_BYTES)
            )
        return data
    raise Refusal(_unserialisable(value, options, troubles))


def _unserialisable(value, options, troubles):
    kind = (
        "callable, which takes a serialiser for code"
        if callable(value)
        else "value, which takes one for data"
    )
    return (
        "The function ran, and its result, of type %s.%s (a %s), could not be serialised. Tried %s:%s\nReturn plain "
        "values: numbers, text, lists, dictionaries."
        % (
            type(value).__module__,
            type(value).__qualname__,
            kind,
            ", ".join(options.wished),
            "".join(troubles) or "\n  none of them is such a serialiser",
        )
    )
