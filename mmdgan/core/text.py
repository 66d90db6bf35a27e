"""Short texts for messages: sizes, durations, names that are listed, the nearest known word."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def readable_bytes(count: int) -> str:
    """A number of bytes as "147.2 MiB"."""
    size, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        del units[0]
    return f"{size:.1f} {units[0]}" if size != count else f"{count} bytes"


def shown(value: object) -> str:
    """A short text for any value, however large or nested, for use in a message."""
    try:
        return _SHORT.repr(value)
    except Exception:  # repr() of a foreign object may raise anything; a message must not
        return f"a value of type {type(value).__name__}"


def listed(names: Iterable[object]) -> str:
    """'a', 'b', 'c' for a message."""
    return ", ".join(repr(name) for name in names)


def format_value(value: Any) -> str:
    """A value as its flag takes it: None is "none", tuples are joined by commas."""
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return ",".join(format_value(part) for part in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def nearest(word: str, known: Sequence[str]) -> str:
    """The end of an error sentence: " (did you mean X?)", or nothing when no known word is near."""
    near = difflib.get_close_matches(word.replace("-", "_"), known, n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""


def duration(seconds: float) -> str:
    """Hours, minutes and seconds as 1:02:03 or 2:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
