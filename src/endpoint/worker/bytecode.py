"""Is this bytecode of our Python? dill moves code objects as they are; those of another minor version load without a
word and then crash the interpreter, hang, or compute something else. So what dill hands to its code maker is looked
at first. Known good and bad pairs of 3.8 to 3.13 were tried: what passes here ran as it should, or raised.
"""

import opcode
import sys

_VERSION = sys.version_info[:2]
_CACHES = getattr(opcode, "_inline_cache_entries", None)


class ForeignBytecode(Exception):
    """A code object comes from another minor version of Python."""


def _layout(fields):
    """The oldest Python whose dill writes so many fields, and where among them the bytecode is."""
    if isinstance(fields[0], int):
        return (3, 8), 6
    return ((3, 10), 7) if len(fields) == 17 else ((3, 11), 7)


def _cache_words(operation):
    """Words of inline cache that follow an instruction (Python 3.11 and later)."""
    if _CACHES is None:
        return 0
    return _CACHES.get(opcode.opname[operation], 0) if isinstance(_CACHES, dict) else _CACHES[operation]


def is_foreign(fields):
    """`fields`: the arguments of dill's _create_code."""
    written_by, place = _layout(fields)
    ours = (3, 11) if _VERSION >= (3, 11) else (3, 10) if _VERSION == (3, 10) else (3, 8)
    if written_by != ours:
        return True
    code = fields[place]
    operations = set()
    at = 0
    while at < len(code):
        operation = code[at]
        caches = 2 * _cache_words(operation)
        if code[at + 2 : at + 2 + caches : 2] != bytes(caches // 2):
            return True
        operations.add(opcode.opname[operation])
        at += 2 + caches
    unheard = any(name.startswith("<") or name == "CACHE" for name in operations)
    return unheard or (ours == (3, 11) and "RESUME" not in operations)


def load(dill, data):
    """dill.loads for code: raises ForeignBytecode before a foreign code object exists."""
    import io

    class Unpickler(dill.Unpickler):
        def find_class(self, module, name):
            found = super().find_class(module, name)
            if name != "_create_code":
                return found

            def create_code(*fields):
                if is_foreign(fields):
                    raise ForeignBytecode
                return found(*fields)

            return create_code

    return Unpickler(io.BytesIO(data)).load()
