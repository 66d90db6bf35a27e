"""Short texts for messages: sizes, durations, rates, names, first lines, the nearest word, tables, the command."""

from __future__ import annotations

import difflib
import os
import re
import reprlib
import shlex
import shutil
import sys
import textwrap
from collections.abc import Container, Iterable, Sequence
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


def duration(seconds: float) -> str:
    """Hours, minutes and seconds as 1:02:03 or 2:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def rate(value: float) -> str:
    """A learning rate in powers of ten, with as many digits as it has: 5e-04 or 1.5e-04."""
    texts = (f"{value:.{digits}e}" for digits in range(17))
    return next(text for text in texts if float(text) == value)


def age(seconds: float) -> str:
    """A time that has passed, in its largest unit, as "5 min" or "3 days"."""
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def shown(value: object) -> str:
    """A short text for any value, however large or nested, for use in a message."""
    try:
        return _SHORT.repr(value)
    except Exception:  # repr() of a foreign object may raise anything; a message must not
        return f"a value of type {type(value).__name__}"


def first_line(error: Exception) -> str:
    """The first line of an error's message, without the marks that TensorFlow puts around it."""
    line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return re.sub(r"^\{\{.*?\}\} | \[Op:\w+\].*$", "", line)


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


def closest(word: object, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The known word most like `word`, whatever its case; None if none is near."""
    if not isinstance(word, str) or len(word) > 60:
        return None
    by_lower: dict[str, str] = {}
    for name in known:
        by_lower.setdefault(name.lower(), name)
    found = difflib.get_close_matches(word.lower().replace("-", "_"), by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None


def nearest(word: object, known: Iterable[str]) -> str:
    """The end of an error sentence: " (did you mean X?)", or nothing if no known word is near."""
    found = closest(word, known)
    return f" (did you mean {found}?)" if found is not None else ""


def table(rows: Sequence[Sequence[str]], left: Container[int] = (0,), rule: bool = False) -> str:
    """Rows of text as aligned columns, the first row being the header.

    Args:
        rows: As many cells in each.
        left: The columns that are aligned to the left; the others are aligned to the right.
        rule: Whether a line of dashes stands below the header.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [rows[0], ["-" * width for width in widths], *rows[1:]] if rule else rows
    return "\n".join(
        "  ".join(
            text.ljust(width) if column in left else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def terminal_columns(stream: Any) -> int:
    """The width of the terminal that a stream writes to; 80 where it is not known."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
        return 80


def fitted(text: str, indent: int) -> str:
    """A text in lines that fit the terminal of standard output, all but the first indented; elsewhere as it is."""
    if sys.stdout is None or not sys.stdout.isatty():
        return text
    width = max(terminal_columns(sys.stdout) - indent, 20)
    return f"\n{' ' * indent}".join(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False))


def command(*words: object) -> str:
    """A command of mmdgan to be copied into a shell: "mmdgan report 'Results/my run'"."""
    return f"{installed_name()} {shlex.join(map(str, words))}"


def installed_name() -> str:
    """How mmdgan is called: "mmdgan" where this Python's folder of programs has it, else "python -m mmdgan"."""
    script = os.path.join(os.path.dirname(sys.executable or ""), "mmdgan")
    on_path = shutil.which("mmdgan")
    there = on_path is not None and os.path.exists(script) and os.path.samefile(on_path, script)
    return "mmdgan" if there else "python -m mmdgan"


def program() -> str:
    """How the running program was called, for messages: "mmdgan" or "python experiments/x.py"."""
    return called_with()[0]


def called_with() -> tuple[str, list[str]]:
    """How the running program was called, and the words after it."""
    words = sys.orig_argv[1:]
    if words[:1] == ["-m"]:
        return installed_name() if words[1] == "mmdgan" else f"python -m {words[1]}", words[2:]
    if "-c" in words:  # another program's code, such as a notebook's or a pool's
        return installed_name(), []
    place = next((place for place, word in enumerate(words) if not word.startswith("-")), len(words))
    script = "".join(words[place : place + 1])
    called = f"python {shlex.quote(script)}" if script.endswith(".py") else os.path.basename(script) or "mmdgan"
    return called, words[place + 1 :]
