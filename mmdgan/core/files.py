"""Files that readers and crashes never see half written."""

from __future__ import annotations

import os
from pathlib import Path

PART_SUFFIX = ".part"  # of a file that is being written


def write_durably(path: Path, text: str) -> None:
    """Writes a file under a temporary name; its name appears when the text is on the disk."""
    temporary = path.with_name(path.name + PART_SUFFIX)
    with open(temporary, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names of a folder's files durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file so that a reader, or a crash, never sees half of it."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
