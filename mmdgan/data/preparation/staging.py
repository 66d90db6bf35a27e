"""The place where a conversion keeps its files until all are finished: `.partial` in the data set's folder.

    <folder>/.partial/lock                                      held while a conversion is at work
    <folder>/.partial/<name>-00000-of-00005.tfrecords           finished
    <folder>/.partial/<name>-00000-of-00005.tfrecords.json      its receipt, written after it
    <folder>/.partial/<name>-00001-of-00005.tfrecords.part      under way

In the end the files move to the folder, the sidecar follows, and `.partial` goes, in this order: wherever that is
interrupted, the same conversion goes on from there.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from mmdgan.core.errors import DataError
from mmdgan.core.files import sync
from mmdgan.data.sidecar import Sidecar, sidecar_path

FOLDER = ".partial"
_LOCK = "lock"
PART_SUFFIX = ".part"  # of a file that is being written
_OWN = (".tfrecords", ".json", PART_SUFFIX)
# Workers whose parent was killed hold the lock until they have noticed it.
_PATIENCE_SECONDS = 3.0


class Unfinished:
    """The folder `.partial`, locked within a `with` block.

    When the block ends, what is half written goes; finished files and their receipts stay, if there are any.

    Attributes:
        folder: where the files go in the end.
        path: where they are until then.
        lock: the file descriptor that holds the lock.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / FOLDER
        self.lock = -1

    def __enter__(self) -> Unfinished:
        """Raises a DataError when the folder cannot be written, or another process is converting into it."""
        existed = self.folder.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.lock = self._lock()
        except OSError as error:
            what = "written" if existed else "made"
            raise DataError(
                f"The folder {self.folder} cannot be {what} ({error.strerror}): name another place with --data_root."
            ) from error
        self._clear_parts()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self.path.is_dir():
                self._clear_parts()
                if not any(self.path.glob("*.json")):
                    self._remove()
                    _remove_if_empty(self.folder)
        finally:
            os.close(self.lock)

    def finish(self, sidecar: Sidecar) -> None:
        """Moves the files of a sidecar to the folder and writes it there; what is in their way is kept.

        Raises:
            DataError: the folder cannot be written.
        """
        try:
            _keep_old(sidecar_path(self.folder, sidecar.name))
            for shard in sidecar.shards:
                finished = self.path / shard.file
                if finished.exists():  # an earlier attempt has not moved it yet
                    _keep_old(self.folder / shard.file)
                    finished.replace(self.folder / shard.file)
            sync(self.folder)
            sidecar.write(self.path)
            written = sidecar_path(self.path, sidecar.name)
            with open(written, "rb") as stream:
                os.fsync(stream.fileno())
            written.replace(sidecar_path(self.folder, sidecar.name))
            sync(self.folder)
            self._remove()
        except OSError as error:
            raise DataError(
                f"The folder {self.folder} cannot be written ({error}): mend that and give the same command again, "
                "which goes on from there."
            ) from error

    def _lock(self) -> int:
        give_up = time.monotonic() + _PATIENCE_SECONDS
        while True:
            self.path.mkdir(exist_ok=True)
            descriptor = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The former holder may have removed the file between our opening and our locking it.
                if os.path.samestat(os.fstat(descriptor), os.stat(self.path / _LOCK)):
                    return descriptor
            except (BlockingIOError, FileNotFoundError):
                pass
            os.close(descriptor)
            if time.monotonic() > give_up:
                raise DataError(f"Another process is converting a data set into {self.folder}: wait until it ends.")
            time.sleep(0.05)

    def _clear_parts(self) -> None:
        for path in [*self.path.glob(f"*{PART_SUFFIX}"), *self.path.glob(f".*{PART_SUFFIX}")]:
            path.unlink(missing_ok=True)

    def _remove(self) -> None:
        """Removes `.partial`, the lock last; what somebody else has put there stays."""
        for path in self.path.iterdir():
            if path.name.endswith(_OWN):
                path.unlink()
        (self.path / _LOCK).unlink(missing_ok=True)
        _remove_if_empty(self.path)


def clear_leftovers(folder: Path) -> None:
    """Removes `.partial` beside a finished data set, which a conversion killed in its last moment leaves behind."""
    if (folder / FOLDER).is_dir() and os.access(folder, os.W_OK):
        with Unfinished(folder) as unfinished:
            unfinished._remove()


def _keep_old(path: Path) -> None:
    """Renames what is in the way to a name that is free: `<name>.old`, or `<name>.old2` and so on."""
    if not path.exists():
        return
    number, old = 1, path.with_name(f"{path.name}.old")
    while old.exists():
        number += 1
        old = path.with_name(f"{path.name}.old{number}")
    path.rename(old)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        pass
