"""Where a conversion keeps its files until all are finished: `.partial` in the data set's folder.

    <folder>/.partial/.lock                                     held while a conversion runs
    <folder>/.partial/<name>-00000-of-00005.tfrecords           finished
    <folder>/.partial/<name>-00000-of-00005.tfrecords.json      its receipt, written after it
    <folder>/.partial/.<name>-00001-of-00005.<...>.partial.tfrecords    being written

At the end the files move to the folder, then the sidecar is written there, then `.partial` is removed. Wherever this
is interrupted, the same conversion continues from there.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from mmdgan.core.errors import DataError
from mmdgan.core.files import sync
from mmdgan.core.lock import FolderLock
from mmdgan.data.sidecar import Sidecar, sidecar_path

FOLDER = ".partial"
_BEING_WRITTEN = (".*.partial.*", "*.part")  # the second one by version 0.1
_OWN = (".tfrecords", ".json")
# Workers whose parent was killed hold the lock until they have noticed it.
_PATIENCE_SECONDS = 3.0


class Staging(FolderLock):
    """The folder `.partial`, locked within a `with` block.

    When the block ends, files that are being written are removed; finished files and their receipts stay, if there
    are any.

    Attributes:
        folder: Where the files go at the end.
        path: Where they are until then.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is touched yet."""
        self.folder = folder
        done = "written" if folder.exists() else "made"
        super().__init__(
            folder / FOLDER,
            busy="Another process{holder} is converting a data set into {path.parent}: wait until it ends.",
            unwritable=f"The folder {{path.parent}} cannot be {done} ({{reason}}): name another one with --data_root.",
            error=DataError,
            patience=_PATIENCE_SECONDS,
        )

    def __enter__(self) -> Staging:
        """Takes the lock; DataError if the folder cannot be written, or another process is converting into it."""
        super().__enter__()
        self._remove_unfinished()
        return self

    def __exit__(self, *error: object) -> None:
        if self.path.is_dir():
            self._remove_unfinished()
            if not any(self.path.glob("*.json")):
                self.remove()
        super().__exit__(*error)
        for folder in (self.path, self.folder):
            with contextlib.suppress(OSError):  # it holds something
                folder.rmdir()

    def finish(self, sidecar: Sidecar) -> None:
        """Moves the files of a sidecar to the folder and writes it there; files in their way are kept.

        Raises:
            DataError: The folder cannot be written.
        """
        try:
            _keep_old(sidecar_path(self.folder, sidecar.name))
            for shard in sidecar.shards:
                finished = self.path / shard.file
                if finished.exists():  # else an earlier attempt has moved it
                    _keep_old(self.folder / shard.file)
                    finished.replace(self.folder / shard.file)
            sync(self.folder)
            sidecar.write(self.folder)
            self.remove()
        except OSError as error:
            raise DataError(
                f"The folder {self.folder} cannot be written ({error}): fix that and run the same command again; it "
                "continues from there."
            ) from error

    def remove(self) -> None:
        """Removes all files of conversions; other files that are there stay."""
        for path in self.path.iterdir():
            if path.name.endswith(_OWN):
                path.unlink()
        (self.path / "lock").unlink(missing_ok=True)  # of version 0.1

    def _remove_unfinished(self) -> None:
        for pattern in _BEING_WRITTEN:
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)


def clear_leftovers(folder: Path) -> None:
    """Removes `.partial` of a finished data set, which a conversion killed in its last moment leaves behind."""
    if (folder / FOLDER).is_dir() and os.access(folder, os.W_OK):
        with Staging(folder) as staging:
            staging.remove()


def _keep_old(path: Path) -> None:
    """Renames a file that is in the way to a free name: `<name>.old`, or `<name>.old2` and so on."""
    if not path.exists():
        return
    number, old = 1, path.with_name(f"{path.name}.old")
    while old.exists():
        number += 1
        old = path.with_name(f"{path.name}.old{number}")
    path.rename(old)
