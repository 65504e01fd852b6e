"""The functions this worker was given: code as registered, decoded when first used, the least used forgotten."""

from collections import OrderedDict

from .failures import user_failure
from .serialize import Refusal, forget_source, load_function

CAPACITY = 256


class Function:
    """One function. Decoding runs user code (imports, top-level statements), so it happens inside a task."""

    def __init__(self, function_id, code):
        self._label = function_id.hex()
        self._code = code
        self._callable = None
        self._refusal = None

    def begin_batch(self):
        """What could not be decoded is tried again for each batch, not for each task: a module may be there by now."""
        self._refusal = None

    def load(self):
        """The callable. Raises Refusal when the code cannot be used here."""
        if self._callable is not None:
            return self._callable
        if self._refusal is None:
            try:
                self._callable = load_function(self._code, self._label)
                return self._callable
            except Refusal as refusal:
                self._refusal = refusal
            except BaseException as error:  # whatever running the source raises, exit() included
                doing = "The function's code could not be loaded in this worker's Python"
                self._refusal = Refusal(user_failure(error, doing).decode())
        raise self._refusal


class Functions:
    """By id; at most CAPACITY."""

    def __init__(self):
        self._functions = OrderedDict()

    def add(self, function_id, code):
        if function_id in self._functions:  # immutable by id
            self._functions.move_to_end(function_id)
            return
        self._functions[function_id] = Function(function_id, code)
        if len(self._functions) > CAPACITY:
            forgotten, _ = self._functions.popitem(last=False)
            forget_source(forgotten.hex())

    def get(self, function_id):
        """The function, or None."""
        function = self._functions.get(function_id)
        if function is not None:
            self._functions.move_to_end(function_id)
        return function
