"""Files that readers and crashes never see half written; lines appended to a log of records."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import itertools
import json
import os
import re
import socket
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

_NUMBERS = itertools.count()


@contextlib.contextmanager
def atomic(path: str | os.PathLike, first: bool = False) -> Iterator[Path]:
    """A temporary path that takes the place of `path` when the block ends without an error.

    The name is unique, so that processes that write one file do not disturb each other: the last one wins. It ends in
    the suffix of `path`, from which libraries such as Pillow choose the format. What a killed process has left is
    removed by the next one that writes the file on the same machine.

    Args:
        path: The file to write; its folder is made if it is missing.
        first: Whether a file that is there by then stays, so that the first process wins instead.

    Yields:
        The path to write to.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    owner = f"{_machine()}-{os.getpid()}-{next(_NUMBERS)}"
    partial = path.with_name(f".{path.stem}.{owner}.partial{path.suffix}")
    try:
        yield partial
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        if first:
            try:
                os.link(partial, path)
            except FileExistsError:
                pass
            except OSError:  # a file system without hard links
                os.replace(partial, path)
        else:
            os.replace(partial, path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def literal(path: str | os.PathLike) -> Iterator[str]:
    """A path for functions that take it for a pattern, as those of TensorFlow do that read checkpoints.

    Args:
        path: A file or folder, or the beginning of files' names.

    Yields:
        A path to the same, by links where there are characters of patterns in it.
    """
    path = Path(path)
    if not set("*?[]\\") & set(str(path)):
        yield str(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        for file in path.parent.absolute().iterdir():
            if file.name.startswith(path.name):
                Path(folder, "link" + file.name[len(path.name) :]).symlink_to(file)
        yield os.path.join(folder, "link")


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text file in UTF-8, atomically and durably."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes a value as indented JSON, atomically and durably."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_text(path: str | os.PathLike, errors: str = "strict") -> str:
    """Reads a text file that an editor or a spreadsheet may have written; see `decoded`."""
    return decoded(Path(path).read_bytes(), errors)


def decoded(content: bytes, errors: str = "strict") -> str:
    """The text of a file in UTF-8 or, as its byte order mark or its zeros show, UTF-16; lines end in a newline.

    Args:
        content: The file's bytes.
        errors: What becomes of bytes that are no text, as of `bytes.decode`.

    Raises:
        UnicodeDecodeError: There are such bytes, and errors is "strict".
    """
    encoding = "utf-8-sig"
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif len(content) > 1 and b"\0" in content[:2]:
        encoding = "utf-16-le" if content[0] else "utf-16-be"
    return content.decode(encoding, errors).replace("\r\n", "\n").replace("\r", "\n")


def csv_rows(text: str) -> csv.DictReader:
    """The rows of a CSV file's text, by the names in its first line, which commas, semicolons or tabs separate.

    Spreadsheets write semicolons where the comma is the decimal sign, and tabs in UTF-16.
    """
    return csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=text.partition("\n")[0].count))


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Writes a file, atomically and durably."""
    with atomic(path) as partial:
        partial.write_bytes(content)


def append_jsonl(path: str | os.PathLike, records: Iterable[Mapping[str, Any]]) -> None:
    """Adds one line of JSON per record, in one write; an unfinished last line is closed first.

    Args:
        path: The file; it and its folder are made if they are missing.
        records: Dictionaries of what JSON can hold, without NaN and infinity.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    records = list(records)
    text = "".join(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records)
    with path.open("ab+") as file:
        if file.tell():
            file.seek(0)
            if set(file.read(2)) & {0, 0xFE, 0xFF}:  # an editor has made it UTF-16
                write_text(path, read_text(path, errors="replace"))
                return append_jsonl(path, records)
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                text = "\n" + text
        file.write(text.encode())


def is_named_as_file(path: str | os.PathLike) -> bool:
    """Whether a path that is to become a folder has a file's ending, which the number of a version (.5, .v2) is not."""
    path = Path(path)
    return bool(re.fullmatch(r"\.(?!v?\d+$)\w{1,12}", path.suffix)) and not path.is_dir()


def is_name(text: str) -> bool:
    """Whether a file or folder may be called so: no slashes, not dots alone, with room for endings (200 bytes)."""
    return 0 < len(text.encode(errors="replace")) < 200 and not set(text) & set("/\\\0") and text.strip(" .") != ""


def pread(descriptor: int, start: int, size: int) -> bytes:
    """Reads bytes of an open file without moving its position, as `os.pread`; fewer only where the file ends."""
    found = os.pread(descriptor, size, start)
    while len(found) < size:
        more = os.pread(descriptor, size - len(found), start + len(found))
        if not more:
            break
        found += more
    return found


def sync(path: Path) -> None:
    """Makes the content of a file, or the names of a folder's files, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_leftovers(path: Path) -> None:
    """Removes the temporary files of this file whose processes, of this machine, have ended."""
    start, end = f".{path.stem}.{_machine()}-", f".partial{path.suffix}"
    for name in _temporary(os.path.abspath(path.parent), os.getpid()):
        found = re.fullmatch(rf"{re.escape(start)}(\d+)-\d+{re.escape(end)}", name)
        if found and not _is_running(int(found[1])):
            path.with_name(name).unlink(missing_ok=True)


@functools.lru_cache(maxsize=64)
def _temporary(folder: str, process: int) -> tuple[str, ...]:
    """The temporary files in a folder when a process first writes there: to list it for every file takes too long."""
    return tuple(name for name in os.listdir(folder) if ".partial" in name)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _machine() -> str:
    return re.sub(r"[^\w.]", "_", socket.gethostname())[:40]
