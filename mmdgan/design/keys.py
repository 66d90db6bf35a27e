"""The keys of a layer dictionary: their defaults, the values they take, and how a wrong one is reported.

A check takes the written value and returns the resolved one, or raises ValueError with the rest of a sentence; `Place`
puts the network, the layer and the key before it. Source of the keys, the defaults and what each type and op reads:
the layer template of the original implementation (spec A.2).
"""

from __future__ import annotations

import functools
import math
import numbers
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mmdgan.core.errors import DesignError
from mmdgan.core.text import listed, nearest, shown

LARGEST = 2**31 - 1
"""Upper bound of every size in a dictionary (TensorFlow's own limit on one dimension)."""

ACTIVATIONS = ("linear", "relu", "lrelu", "elu", "selu", "softplus", "softsign", "sigmoid", "tanh", "crelu")

SCALINGS = {
    "ps": "periodic shuffling",
    "bil": "bilinear",
    "bic": "bicubic",
    "avg": "average pooling",
    "max": "max pooling",
    "unpool": "nearest neighbour",
}


@dataclass(frozen=True)
class Place:
    """Where in an architecture something stands: a network, or one layer of it."""

    network: str
    index: int | None = None
    layer: str | None = None

    def error(self, key: str | None, message: str) -> DesignError:
        """The DesignError that says `message` about `key` at this place."""
        parts = [self.network]
        if self.index is not None:
            number = f"layers[{self.index}]"
            parts.append(f"layer {shown(self.layer)} ({number})" if self.layer else number)
        if key is not None:
            parts.append(f"key {key!r}")
        return DesignError(f"{', '.join(parts)}: {message}.")


def check_keys(place: Place, written: object, known: tuple[str, ...], required: bool = False) -> None:
    """Raises a DesignError unless `written` is a dictionary with the keys `known`: some of them, or all if required."""
    if not isinstance(written, Mapping):
        raise place.error(None, f"must be a dictionary with the keys {listed(known)}, not {shown(written)}")
    for key in written:
        if key not in known:
            raise place.error(None, f"unknown key {shown(key)}{nearest(key, known)}; the keys are {listed(known)}")
    missing = [key for key in known if key not in written] if required else []
    if missing:
        raise place.error(missing[0], f"is missing; an architecture has the keys {listed(known)}")


def positive_integer(value: object) -> int:
    """Check of a size: an integer of at least 1 (NumPy's integers too, but no bool)."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise ValueError(f"must be a positive integer, not {shown(value)}")
    if not 1 <= int(value) <= LARGEST:
        raise ValueError(f"must be an integer from 1 to {LARGEST}, not {shown(int(value))}")
    return int(value)


def positive_number(value: object) -> float:
    """Check of a multiplier: a finite number above 0."""
    try:
        if (
            isinstance(value, numbers.Real)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and float(value) > 0
        ):
            return float(value)
    except OverflowError:  # an integer or fraction beyond the range of a float
        pass
    raise ValueError(f"must be a finite number above 0, not {shown(value)}")


def scaling(value: object) -> tuple[str, int | float] | None:
    """Check of `scale`: None, or [method] or [method, factor]; the factor is 2 if it is not written.

    Returns:
        (method, factor) with the factor an int where it is whole; above 0 it enlarges, below 0 it reduces.
    """
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) not in (1, 2):
        raise ValueError(f"must be [method, factor] such as ['avg', -2], or None, not {shown(value)}")
    method = one_of({name: name for name in SCALINGS}, SCALINGS)(value[0])
    factor = 2 if len(value) == 1 else value[1]
    if isinstance(factor, bool) or not isinstance(factor, numbers.Real):
        raise ValueError(f"its factor must be a number, not {shown(factor)}")
    try:
        size = positive_number(abs(factor))
    except ValueError:
        size = math.inf
    if not 1 / LARGEST <= size <= LARGEST:
        raise ValueError(f"its factor must be a finite number other than 0, not {shown(factor)}")
    factor = float(factor)
    return (method, int(factor) if factor.is_integer() else factor)


def sizes(value: object) -> tuple[int, ...]:
    """Check of a shape without batch dimension: (features,) or (C, H, W)."""
    forms = "[features] or [C, H, W]"
    if not isinstance(value, (list, tuple)) or len(value) not in (1, 3):
        raise ValueError(f"must be a list {forms}, not {shown(value)}")
    try:
        return tuple(positive_integer(size) for size in value)
    except ValueError as error:
        raise ValueError(f"must be a list {forms}, but one of its entries {error}") from None


def one_of(accepted: Mapping[Any, Any], titles: Mapping[str, str] | None = None) -> Callable:
    """Check of a choice: `accepted` maps what may be written to what it means."""
    words = [given for given in accepted if isinstance(given, str)]
    texts = [f"{given!r} ({titles[given]})" if titles else repr(given) for given in accepted]

    def check(value: object) -> object:
        if isinstance(value, str) and value in accepted:
            return accepted[value]
        for given, meaning in accepted.items():
            if value is given:
                return meaning
        raise ValueError(f"{shown(value)} is not one of {', '.join(texts)}{nearest(value, words)}")

    return check


def valid_name(value: object) -> str:
    """Check of a network's or a layer's name: the characters of TensorFlow's scopes, without '/'."""
    if value is None:
        raise ValueError("every layer needs a name")
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"must be letters (a-z), digits, '_', '.' or '-', first a letter or digit, not {shown(value)}")
    return str(value)


def _multiplier(value: object) -> float:
    # False, the template's default, multiplied kernels by zero in the original; here it means no multiplier.
    return 1.0 if value is None or isinstance(value, bool) else positive_number(value)


def _reshape(value: object) -> tuple[int, ...] | None:
    return None if value is None else sizes(value)


def _names(*names: str) -> Callable:
    return one_of({name: name for name in names})


@dataclass(frozen=True)
class Key:
    """One key of a layer dictionary.

    Attributes:
        default: Its value when it is not written.
        check: Checks a written value and returns it resolved.
        listed: Residual and non-local types also take a list, one value per kernel.
    """

    default: object
    check: Callable[[object], object]
    listed: bool = False

    def resolve(self, value: object, lengths: tuple[int, ...]) -> object:
        """The resolved value; a tuple if `value` is a list and the layer's type takes lists of these lengths."""
        if not (self.listed and lengths and isinstance(value, (list, tuple))):
            return self.check(value)
        if len(value) not in lengths:
            counts = " or ".join(str(length) for length in lengths)
            raise ValueError(f"must be one value or a list of {counts}, not {shown(value)}")
        return tuple(self.check(entry) for entry in value)


_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9._-]*")

OPERATIONS = {
    "c": "convolution",
    "d": "dense",
    "tc": "transposed convolution",
    "sc": "separable convolution",
    "i": "identity",
    "max": "max pooling",
    "avg": "average pooling",
    "sum": "sum pooling",
    "cck": "convolution scaled per class",
    "tcck": "transposed convolution scaled per class",
    "dcd": "dense with a kernel per class",
    "dck": "dense scaled per class",
}
DENSE = ("d", "dcd", "dck")
TRANSPOSED = ("tc", "tcck")
POOLS = ("max", "avg", "sum")
DEFAULT_TYPES = ("default", "project", "c_bias")
RESIDUAL_TYPES = ("res", "res_i", "res_v1")
NON_LOCAL_TYPES = ("nl", "nl_dist", "nl_pool", "nl_pool_dist")
CONDITIONAL = ("dcd", "dck", "cck", "tcck", "project", "cb", "bcb", "cbn")
"""Operations of parts that need class labels."""

_BIAS = {"b": "b", "bias": "b", "cb": "cb", "c_bias": "cb", "bcb": "bcb", None: None, False: False}
_NORMALISATION = {"b": "bn", "bn": "bn", "BN": "bn", "cbn": "cbn", "CBN": "cbn", "lrn": "lrn", None: None}


def _anything(value: object) -> object:
    return value


KEYS: dict[str, Key] = {
    "name": Key(None, valid_name),
    "type": Key("default", _names(*DEFAULT_TYPES, *RESIDUAL_TYPES, *NON_LOCAL_TYPES)),
    "op": Key("c", one_of({name: name for name in OPERATIONS}, OPERATIONS)),
    "out": Key(None, positive_integer, listed=True),
    "bias": Key("b", one_of(_BIAS)),
    "act": Key("linear", _names(*ACTIVATIONS)),
    "act_nm": Key(None, one_of(_NORMALISATION)),
    "act_k": Key(False, _multiplier, listed=True),
    "w_nm": Key(None, one_of({None: None, "s": "s"})),
    "w_p": Key(None, _anything),
    "kernel": Key(3, positive_integer, listed=True),
    "strides": Key(1, positive_integer, listed=True),
    "dilation": Key(1, positive_integer, listed=True),
    "padding": Key("SAME", _names("SAME", "VALID"), listed=True),
    "scale": Key(None, scaling),
    "in_reshape": Key(None, _reshape),
    "out_reshape": Key(None, _reshape),
    "aux": Key(None, _anything),
}

_EVERYWHERE = ("name", "type", "op", "act", "act_nm", "in_reshape", "out_reshape")
_LINEAR = ("out", "bias", "act_k", "w_nm")
_WINDOW = ("kernel", "strides", "padding")


@functools.cache
def keys_read(type: str, op: str) -> tuple[str, ...]:
    """The keys that a layer of this type and op reads, in the order of `KEYS`."""
    more: tuple[str, ...]
    if type in NON_LOCAL_TYPES:
        more = (*_LINEAR, *_WINDOW, "dilation")
    elif type in RESIDUAL_TYPES or op not in (*DENSE, *POOLS, "i"):
        more = (*_LINEAR, *_WINDOW, "dilation", "scale")
    else:
        window = ("out", "bias", *_WINDOW, "scale")
        more = () if op == "i" else window if op in POOLS else _LINEAR
    # A transposed convolution never scales its images.
    return tuple(key for key in KEYS if key in (*_EVERYWHERE, *more) and not (key == "scale" and op == "tc"))


def list_lengths(type: str) -> tuple[int, ...]:
    """The lengths of list-valued keys that a type takes: one entry per kernel."""
    if type in DEFAULT_TYPES:
        return ()
    return (2, 3) if type == "res_i" else (3,)
