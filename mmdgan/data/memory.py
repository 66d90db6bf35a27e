"""Available memory, which decides whether a data set is read into it or streamed. Needs no NumPy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CACHES = ("auto", "memory", "stream")
SHARE = 0.5  # of the available memory: larger data sets are streamed, because training needs memory too


def choose_cache(size: int, available: int | None = None) -> str:
    """Where `--cache=auto` keeps images: "memory" if they take at most half of what is available, else "stream".

    Args:
        size: Bytes of all images.
        available: Bytes of memory; by default what is available now ("memory" if the system does not say).
    """
    available = available_memory() if available is None else available
    return "stream" if available is not None and size > SHARE * available else "memory"


def explain(mode: str, size: int | None) -> str:
    """Says where the images of a data set are kept, and how their size compares with the available memory.

    Args:
        mode: "memory" or "stream"; "auto" while their number is unknown.
        size: Bytes of all images; None if unknown.
    """
    available = available_memory()
    if mode == "auto":
        return "in memory if they take at most half of what is available, else read from disk as they are needed"
    place = "in memory" if mode == "memory" else "read from disk as they are needed"
    if size is None or available is None:
        return place
    return f"{place} ({_gigabytes(size)} GB, with {_gigabytes(available)} GB of memory available)"


def available_memory(root: Path = Path("/")) -> int | None:
    """The bytes that this process can still use without swapping, within a container's limits too; None if unknown.

    Args:
        root: Where /proc and /sys are.
    """
    found = [*_kernel(root), *_control_groups(root)]
    return max(0, min(found)) if found else None


def _kernel(root: Path) -> Iterator[int]:
    """The memory that the kernel calls available; all of the machine's where it does not say (macOS, BSD)."""
    values = _numbers(root / "proc/meminfo")
    if "MemAvailable:" in values:
        yield values["MemAvailable:"] * 1024
    elif root == Path("/") and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _control_groups(root: Path) -> Iterator[int]:
    """What each limited control group around the process leaves: its limit minus what cannot be freed."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, limit, usage, cache = "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top, limit, usage, cache = (
                "sys/fs/cgroup/memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            )
        else:
            continue
        own = root / top / path.strip("/")
        for group in (own, *own.parents):
            most, used = _text(group / limit).strip(), _text(group / usage).strip()
            if most.isdigit() and used.isdigit():  # "max": no limit; a container sees only some of the groups
                yield int(most) - int(used) + _numbers(group / "memory.stat").get(cache, 0)
            if group == root / top:
                break


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.{2 if size < 1e9 else 1}f}"


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _numbers(file: Path) -> dict[str, int]:
    """The lines "name number ..." of a file; empty if it cannot be read."""
    words = [line.split() for line in _text(file).splitlines()]
    return {line[0]: int(line[1]) for line in words if len(line) > 1 and line[1].isdigit()}
