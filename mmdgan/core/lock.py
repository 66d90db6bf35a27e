"""Folders that one process at a time writes: a lock that ends with the process that holds it.

The lock is flock(2) on the file `.lock` in the folder, so that the kernel lifts it however its holder ends, by kill -9
too; the content of the file only says who holds it. Readers take no lock. On NFS the server keeps the lock (Linux
2.6.12 and later): it holds between machines, and after a crash of the holder's machine until the server has noticed.
Where the file system has no locks at all, a warning says so, and the user must make sure of it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import time
from pathlib import Path

from mmdgan.core.errors import ConfigError, MmdGanError

FILE = ".lock"
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
# A killed process's children, if it had any, hold its lock until they notice.
_PATIENCE_SECONDS = 2.0


class FolderLock:
    """The lock of one folder, held within a `with` block; the folder is made if it is missing.

    When the block ends, folders made for the lock are removed again if they are still empty.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        busy: str = "another process{holder} is training in {path}; wait until it ends, or give another --run_name.",
        unwritable: str = "the run directory {path} cannot be written ({reason}); give another --results, or train a "
        "copy of the run.",
        error: type[MmdGanError] = ConfigError,
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        """Nothing is touched yet.

        Args:
            path: The folder.
            busy: What the error says if another process holds the lock, with {path} and {holder}.
            unwritable: What the error says if the folder cannot be made or written, with {path} and {reason}.
            error: The type of the errors.
            patience: Seconds to wait for a holder to end.
        """
        self.path = Path(path)
        self._busy, self._unwritable, self._error = busy, unwritable, error
        self._patience = patience
        self._made: list[Path] = []
        self._descriptor: int | None = None

    def __enter__(self) -> FolderLock:
        """Takes the lock.

        Raises:
          ConfigError: another process holds it, or the directory cannot be made or written.
        """
        self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        self._acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._release()
        for folder in self._made:
            with contextlib.suppress(OSError):  # somebody has put something there
                folder.rmdir()

    @property
    def descriptor(self) -> int:
        """The file descriptor that holds the lock; a child process that inherits it holds the lock too."""
        assert self._descriptor is not None  # within the `with` block
        return self._descriptor

    def renew(self) -> None:
        """Takes the lock of the directory that is now at the path, if the former one has been moved away.

        Raises:
          ConfigError: as when the lock is first taken.
        """
        if self._descriptor is not None and not self._is_in_place(self._descriptor):
            os.close(self._descriptor)
            self._descriptor = None
            self._acquire()

    def _acquire(self) -> None:
        give_up = time.monotonic() + self._patience
        try:
            while (descriptor := self._attempt()) is None:
                if time.monotonic() > give_up:
                    raise self._error(self._busy.format(path=self.path, holder=self._holder()))
                time.sleep(0.05)
            self._descriptor = descriptor
        except OSError as error:
            raise self._error(self._unwritable.format(path=self.path, reason=error.strerror or error)) from error

    def _attempt(self) -> int | None:
        """A descriptor that holds the lock, or None if another one does."""
        for left in (2, 1, 0):
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self.path / FILE, os.O_RDWR | os.O_CREAT, 0o644)
                break
            except FileNotFoundError:  # the former holder had made the directories, and has removed them in between
                if not left:
                    raise
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                os.close(descriptor)
                if isinstance(error, BlockingIOError):
                    return None
                raise
            logging.getLogger("mmdgan").warning(
                "mmdgan: the file system of %s has no locks (%s); make sure that no second process writes there.",
                self.path,
                error.strerror,
            )
        # The former holder may have removed the file between our opening and our locking it.
        if not self._is_in_place(descriptor):
            os.close(descriptor)
            return None
        os.ftruncate(descriptor, 0)
        who = {"pid": os.getpid(), "host": os.uname().nodename, "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.pwrite(descriptor, json.dumps(who).encode(), 0)
        return descriptor

    def _is_in_place(self, descriptor: int) -> bool:
        """Whether the file of a descriptor is the one at the lock's path."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path / FILE))
        except FileNotFoundError:
            return False

    def _holder(self) -> str:
        """Who holds the lock, as far as it has said so."""
        try:
            who = json.loads((self.path / FILE).read_text(encoding="utf-8"))
            return f" ({who['pid']} on {who['host']}, since {who['since']})"
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def _release(self) -> None:
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):
            if self._is_in_place(self._descriptor):
                (self.path / FILE).unlink()
        os.close(self._descriptor)
        self._descriptor = None


def is_locked(folder: str | os.PathLike) -> bool:
    """Whether a process holds the lock of a folder."""
    try:
        descriptor = os.open(Path(folder) / FILE, os.O_RDONLY)  # of another user's run too
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(descriptor)
