"""The keys of a layer dictionary: their defaults, the values they take, and how a wrong one is reported.

Pure Python. A check takes the written value and returns the resolved one, or raises ValueError with the rest
of a sentence; `Place` puts the network, the layer and the key before it. Source of the keys and defaults: the
layer template of the original implementation.
"""

from __future__ import annotations

import difflib
import math
import numbers
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mmdgan.errors import DesignError

LARGEST = 2**31 - 1
"""Upper bound of every size in a dictionary (TensorFlow's own limit on one dimension)."""

ACTIVATIONS = (
    "linear",
    "relu",
    "lrelu",
    "elu",
    "selu",
    "softplus",
    "softsign",
    "sigmoid",
    "tanh",
    "crelu",
)

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def shown(value: object) -> str:
    """A short text for any value, however large or nested, for use in a message."""
    try:
        return _SHORT.repr(value)
    except Exception:  # repr() of a foreign object may raise anything; a message must not
        return f"a value of type {type(value).__name__}"


def listed(names: Iterable[object]) -> str:
    """'a', 'b', 'c' for a message."""
    return ", ".join(repr(name) for name in names)


def nearest(word: object, names: Iterable[str], cutoff: float = 0.3) -> str:
    """ " (nearest: 'x')" with the name most like `word`, or nothing if none is."""
    by_lower = {}
    for name in names:
        by_lower.setdefault(name.lower(), name)
    if not isinstance(word, str) or len(word) > 40:
        return ""
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=cutoff)
    return f" (nearest: {by_lower[found[0]]!r})" if found else ""


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
            parts.append(f"layer {shown(self.layer)} ({number})" if self.layer else f"layer {number}")
        if key is not None:
            parts.append(f"key {key!r}")
        return DesignError(f"{', '.join(parts)}: {message}.")


def positive_integer(value: object) -> int:
    """Check of a size: an integer of at least 1 (NumPy's integers too, but no bool)."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise ValueError(f"must be a positive integer, not {shown(value)}")
    if not 1 <= value <= LARGEST:
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


def sizes(value: object, ranks: tuple[int, ...] = (1, 3)) -> tuple[int, ...]:
    """Check of a shape without batch dimension: (features,) or (C, H, W)."""
    forms = " or ".join({1: "[features]", 3: "[C, H, W]"}[rank] for rank in ranks)
    if not isinstance(value, (list, tuple)) or len(value) not in ranks:
        raise ValueError(f"must be a list {forms}, not {shown(value)}")
    try:
        return tuple(positive_integer(size) for size in value)
    except ValueError as error:
        raise ValueError(f"must be a list {forms}, but one of its entries {error}") from None


def one_of(accepted: Mapping[object, object], titles: Mapping[str, str] | None = None) -> Callable:
    """Check of a choice: `accepted` maps what may be written to what it means."""
    words = [given for given in accepted if isinstance(given, str)]
    texts = [f"{given!r} ({titles[given]})" if titles else repr(given) for given in accepted]

    def check(value: object) -> object:
        for given, meaning in accepted.items():
            same = value == given if isinstance(value, str) and isinstance(given, str) else value is given
            if same:
                return meaning
        raise ValueError(f"{shown(value)} is not one of {', '.join(texts)}{nearest(value, words)}")

    return check


def _name(value: object) -> str:
    if value is None:
        raise ValueError("every layer needs a name")
    if not isinstance(value, str) or not value or "/" in value:
        raise ValueError(f"must be a non-empty string without '/', not {shown(value)}")
    return value


def _multiplier(value: object) -> float:
    # False, the template's default, multiplied kernels by zero in the original; here it means no multiplier.
    return 1.0 if value is None or isinstance(value, bool) else positive_number(value)


def _reshape(value: object) -> tuple[int, ...] | None:
    return None if value is None else sizes(value)


@dataclass(frozen=True)
class Key:
    """One key of a layer dictionary: its value when it is not written, and the check of a written one."""

    default: object
    check: Callable[[object], object]


OPERATIONS = {"c": "convolution", "d": "dense", "tc": "transposed convolution"}
_BIAS = {"b": "b", "bias": "b", None: None, False: None}
_NORMALISATION = {"bn": "bn", "BN": "bn", None: None}
_ONLY_NONE = one_of({None: None})

KEYS: dict[str, Key] = {
    "name": Key(None, _name),
    "type": Key("default", one_of({"default": "default"})),
    "op": Key("c", one_of({name: name for name in OPERATIONS}, OPERATIONS)),
    "out": Key(None, positive_integer),
    "bias": Key("b", one_of(_BIAS)),
    "act": Key("linear", one_of({name: name for name in ACTIVATIONS})),
    "act_nm": Key(None, one_of(_NORMALISATION)),
    "act_k": Key(False, _multiplier),
    "w_nm": Key(None, one_of({None: None, "s": "s"})),
    "w_p": Key(None, _ONLY_NONE),
    "kernel": Key(3, positive_integer),
    "strides": Key(1, positive_integer),
    "dilation": Key(1, positive_integer),
    "padding": Key("SAME", one_of({"SAME": "SAME", "VALID": "VALID"})),
    "scale": Key(None, _ONLY_NONE),
    "in_reshape": Key(None, _reshape),
    "out_reshape": Key(None, _reshape),
    "aux": Key(None, _ONLY_NONE),
}
