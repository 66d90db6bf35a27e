"""Reads pickles safely: only arrays of numbers, bytes, text, numbers, lists and dicts.

Python's own unpickler calls what a pickle names, trusts lengths, and can be crashed by nesting; a restricted one still
crashes. Here a small machine executes the opcodes (as `pickletools` documents them). It knows only those that such
data needs, calls only four functions of this module, and never makes more out of a pickle than it holds.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.data.sources.byte_ranges import Contents, unpacked_file

LIMIT = 2**26  # bytes of a pickle: twice as many as one of CIFAR-10 has
OPCODES = 2_000_000  # some seconds of work; ImageNet's mapping has some 400,000
_NUMBERS = re.compile(r"[biufc]\d{1,2}")
_ORDERS = ("<", ">", "|", "=")
_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")


class _Refused(ValueError):
    """A refusal of the machine, as the rest of a sentence that begins with the file."""


def loads(content: bytes, name: str) -> Any:
    """Reads a pickle of any protocol.

    Args:
        content: The pickle.
        name: Where it is, for messages.

    Returns:
        Dicts, lists, tuples, NumPy arrays (read-only), bytes, str, int, float, bool or None, nested in any way.
        The `str` of Python 2 are bytes.

    Raises:
        DataError: The pickle is damaged, or asks for anything else, which the message names.
    """
    try:
        if len(content) > LIMIT:
            raise _Refused(f"is a pickle of more than {LIMIT:,} bytes")
        return _Machine(content).run()
    except _Refused as error:
        raise DataError(f"{name} {error}, so it is not read: download the official file again.") from error
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise DataError(f"{name} is damaged or not a pickle ({error}): download it again.") from error


def load_pairs(path: Path) -> list[tuple[str, str]]:
    """Reads a pickle of pairs of texts, compressed by gzip or not.

    ImageNet's validation images are sorted by such a file, which the original needs and GluonCV's and MXNet's
    scripts contain as imagenet_val_maps.pklz: a list of classes and a list of (image, class).

    Args:
        path: The file; it holds a dict, a list of pairs, or a tuple of anything and a list of pairs.

    Raises:
        DataError: The file cannot be read or holds something else.
    """
    file = unpacked_file(path)
    with Contents() as contents:
        value = loads(contents.read(file, 0, min(file.size, LIMIT + 1)), str(path))
    pairs = list(value.items()) if isinstance(value, dict) else value
    if isinstance(value, tuple) and len(value) == 2 and _are_pairs(value[1]):
        pairs = value[1]
    if not _are_pairs(pairs):
        raise DataError(f"{path} holds neither a dict nor a list of pairs: name the file that maps images to classes.")
    return [(as_text(key, str(path)), as_text(label, str(path))) for key, label in pairs]


def _are_pairs(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in value)


def as_text(value: Any, name: str) -> str:
    """A str of Python 2 or 3 as text; anything else is a DataError that names the file."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, str):
        return value
    raise DataError(f"{name} holds a value of type {type(value).__name__} where a text is expected: download it again.")


class _Global:
    """A name that a pickle may ask for; `call` is None where it is only an argument."""

    def __init__(self, call: Callable[..., Any] | None = None) -> None:
        self.call = call


class _Type:
    """The type of an array's elements; its byte order comes later."""

    def __init__(self, code: Any, *_: Any) -> None:
        code = code.decode("latin-1") if isinstance(code, bytes) else code
        if not isinstance(code, str) or not _NUMBERS.fullmatch(code):
            raise _Refused(f"holds an array of type {_brief(code)}, which is not a number")
        self.dtype = np.dtype(code)

    def build(self, state: Any) -> None:
        """Sets the state (version, byte order, sub-array, names, fields, ...)."""
        order: Any = state[1].decode("latin-1") if isinstance(state[1], bytes) else state[1]
        if order not in _ORDERS or any(value is not None for value in state[2:5]):
            raise _Refused("holds an array of records, which are not numbers")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """An array, which a pickle creates empty and fills later."""

    def __init__(self, *_: Any) -> None:
        self.value: np.ndarray | None = None

    def build(self, state: Any) -> None:
        """Sets the state (version, shape, type, whether in Fortran's order, content)."""
        _, shape, kind, fortran, content = state
        self.value = _array(content, kind, shape, "F" if fortran else "C")


def _array(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    """A view of the content, which takes no memory of its own."""
    if not isinstance(content, bytes) or not isinstance(kind, _Type) or not isinstance(shape, tuple):
        raise _Refused("holds an array whose content is not bytes")
    if not all(type(side) is int and side >= 0 for side in shape) or order not in ("C", "F"):
        raise _Refused("holds an array of impossible shape")
    if math.prod(shape) * kind.dtype.itemsize != len(content):
        raise _Refused(f"holds an array {shape} of {kind.dtype} with {len(content)} bytes")
    return np.frombuffer(content, kind.dtype).reshape(shape, order=order)


class _Machine:
    """Executes the opcodes of one pickle."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under the marks
        self.memo: dict[int, Any] = {}
        self.budget = len(content)  # bytes that may be encoded from texts: each byte of the pickle once
        self.globals = {
            "_codecs encode": _Global(self.encode),
            "__builtin__ bytes": _Global(_no_bytes),
            "builtins bytes": _Global(_no_bytes),
            "numpy dtype": _Global(_Type),
            "numpy ndarray": _Global(),
        }
        for module in _MODULES:
            self.globals[f"{module} _reconstruct"] = _Global(_Array)
            self.globals[f"{module} _frombuffer"] = _Global(_array)

    def run(self) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(self.content)):
            name = opcode.name
            if count == OPCODES:
                raise _Refused(f"holds more than {OPCODES:,} opcodes")
            if name in _VALUES:
                self.stack.append(_VALUES[name](argument))
            elif name in _STEPS:
                _STEPS[name](self, argument)
            elif name not in ("PROTO", "FRAME", "STOP"):
                raise _Refused(f"holds the opcode {name}, which no data set needs")
        [value] = self.stack
        return _settled(value)

    def encode(self, text: Any, encoding: Any = "latin1") -> bytes:
        """Python 3 writes bytes for Python 2 in this way."""
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1", b"latin1", b"latin-1"):
            raise _Refused(f"holds bytes in the encoding {_brief(encoding)}")
        self.budget -= len(text)
        if self.budget < 0:
            raise _Refused("unfolds into more than it holds")
        return text.encode("latin-1")

    def find(self, name: str) -> None:
        if name not in self.globals:
            raise _Refused(f"asks for {_brief(name.replace(' ', '.'))}, which no data set needs")
        self.stack.append(self.globals[name])

    def find_on_stack(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(module, str) or not isinstance(name, str):
            raise _Refused("asks for what has no name")
        self.find(f"{module} {name}")

    def call(self, _: None) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Global) or function.call is None or not isinstance(arguments, tuple):
            raise _Refused("calls what is not a function")
        self.stack.append(function.call(*arguments))

    def build(self, _: None) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, _Array | _Type) or not isinstance(state, tuple):
            raise _Refused("sets the state of what has none")
        target.build(state)

    def mark(self, _: None) -> None:
        self.below.append(self.stack)
        self.stack = []

    def above_mark(self) -> list[Any]:
        values, self.stack = self.stack, self.below.pop()
        return values

    def tuple_of(self, values: list[Any]) -> None:
        """Makes a tuple, which may hold arguments of a function."""
        self.stack.append(tuple(value.value if isinstance(value, _Array) else value for value in values))

    def small_tuple(self, count: int) -> None:
        values = self.stack[-count:]
        if len(values) < count:
            raise IndexError("a tuple of too few values")
        del self.stack[-count:]
        self.tuple_of(values)

    def extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise _Refused("appends to what is not a list")
        self.stack[-1].extend(map(_settled, values))

    def update(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(values) % 2:
            raise _Refused("sets items of what is not a dict")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str | bytes | int):
                raise _Refused(f"has a key of type {type(key).__name__}")
            target[key] = _settled(value)

    def new(self, container: list | dict, fill: Callable[[list[Any]], None], values: list[Any]) -> None:
        self.stack.append(container)
        fill(values)

    def remember(self, number: int | None) -> None:
        self.memo[len(self.memo) if number is None else int(number)] = self.stack[-1]

    def recall(self, number: int) -> None:
        self.stack.append(self.memo[int(number)])


def _brief(value: Any) -> str:
    """A text of the pickle for a message; the type of anything else."""
    return repr(value[:80]).strip("'") if isinstance(value, str) else f"a {type(value).__name__}"


def _no_bytes() -> bytes:
    """Python 3 writes a call of this for Python 2 where bytes are empty."""
    return b""


def _settled(value: Any) -> Any:
    """A value for a dict or list: a filled array, or anything that is not a part of one."""
    if isinstance(value, _Array):
        value = value.value
    elif not isinstance(value, _Global | _Type):
        return value
    if not isinstance(value, np.ndarray):
        raise _Refused("holds an unfinished array")
    return value


def _same(argument: Any) -> Any:
    return argument


def _python2(argument: str) -> bytes:
    return argument.encode("latin-1")


_VALUES: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT"), _same),
    **dict.fromkeys(("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"), _same),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), _same),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), _python2),
    "BYTEARRAY8": bytes,
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_DICT": lambda _: {},
    "EMPTY_LIST": lambda _: [],
    "EMPTY_TUPLE": lambda _: (),
}

_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "TUPLE": lambda machine, _: machine.tuple_of(machine.above_mark()),
    "TUPLE1": lambda machine, _: machine.small_tuple(1),
    "TUPLE2": lambda machine, _: machine.small_tuple(2),
    "TUPLE3": lambda machine, _: machine.small_tuple(3),
    "LIST": lambda machine, _: machine.new([], machine.extend, machine.above_mark()),
    "DICT": lambda machine, _: machine.new({}, machine.update, machine.above_mark()),
    "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.above_mark()),
    "SETITEM": lambda machine, _: machine.update([*reversed([machine.stack.pop(), machine.stack.pop()])]),
    "SETITEMS": lambda machine, _: machine.update(machine.above_mark()),
    "GLOBAL": _Machine.find,
    "STACK_GLOBAL": _Machine.find_on_stack,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.remember),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.recall),
}
