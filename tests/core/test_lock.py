"""One process at a time trains in a run directory."""

import errno
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mmdgan.core.errors import ConfigError
from mmdgan.core.lock import FILE, FolderLock
from tests.conftest import script_environment

HOLDER = """
import os, sys, time
from pathlib import Path
from mmdgan.core.lock import FolderLock

with FolderLock(sys.argv[1]):
    # With a word, there is a child that outlives its killed parent.
    if not sys.argv[2:] or os.fork():
        print("held", flush=True)
    while not (sys.argv[2:] and Path(sys.argv[2]).exists()):
        time.sleep(0.02)
"""


def holder(folder, *words):
    """A process that holds the lock."""
    command = [sys.executable, "-c", HOLDER, str(folder), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=script_environment())
    assert process.stdout.readline() == "held\n"
    process.stdout.close()
    return process


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path):
    process = holder(tmp_path / "run")
    try:
        sentence = rf"another process \({process.pid} on .*, since .*\) is training in .*run; wait"
        with pytest.raises(ConfigError, match=sentence), FolderLock(tmp_path / "run", patience=0.1):
            pass
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / "run" / FILE).exists(), "what a killed process leaves"
    with FolderLock(tmp_path / "run", patience=0.1):
        pass


def test_whoever_may_read_a_folder_sees_whether_it_is_locked(tmp_path):
    process = holder(tmp_path)
    os.chmod(tmp_path / FILE, 0o444)
    tmp_path.chmod(0o755)
    drop = "import os; from mmdgan.core.lock import is_locked; os.getuid() or os.setuid(65534); "
    command = [sys.executable, "-c", drop + "print(is_locked('.'), is_locked('.'))"]
    try:
        for held in (True, False):
            found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=script_environment())
            assert found.stdout.split() == [str(held)] * 2, found.stderr
            process.kill()
            process.wait()
    finally:
        process.kill()
        process.wait()


def test_children_of_a_killed_process_are_waited_for(tmp_path):
    process = holder(tmp_path / "run", str(tmp_path / "end"))
    process.kill()
    process.wait()
    try:
        with pytest.raises(ConfigError, match="another process"), FolderLock(tmp_path / "run", patience=0.0):
            pass
        threading.Timer(0.3, (tmp_path / "end").touch).start()
        with FolderLock(tmp_path / "run", patience=30.0):
            assert (tmp_path / "end").exists()
    finally:
        (tmp_path / "end").touch()


def test_a_directory_that_the_former_holder_removes_is_made_again(tmp_path, monkeypatch):
    make, removed = Path.mkdir, []

    def make_and_lose(path, *args, **options):
        make(path, *args, **options)
        if path.name == "run" and len(removed) < 2:
            removed.append(path.rmdir())

    monkeypatch.setattr(Path, "mkdir", make_and_lose)
    with FolderLock(tmp_path / "run", patience=0.0):
        assert (tmp_path / "run" / FILE).exists() and len(removed) == 2
    removed.clear()
    monkeypatch.setattr(Path, "mkdir", lambda path, *_, **__: removed.append(path))
    with pytest.raises(ConfigError, match="run cannot be written"), FolderLock(tmp_path / "other" / "run"):
        pass
    assert len(removed) == 3


def test_the_lock_leaves_nothing_behind(tmp_path):
    with pytest.raises(ZeroDivisionError), FolderLock(tmp_path / "a" / "b" / "run"):
        assert (tmp_path / "a" / "b" / "run" / FILE).exists()
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []
    with FolderLock(tmp_path / "a" / "b" / "run"):
        (tmp_path / "a" / "config.json").touch()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["config.json"]


def test_the_lock_stays_with_the_path_when_the_directory_moves(tmp_path):
    (tmp_path / "run").mkdir()
    with FolderLock(tmp_path / "run") as lock:
        lock.renew()
        (tmp_path / "run").rename(tmp_path / "run-old-1")
        lock.renew()
        with pytest.raises(ConfigError, match="another process"), FolderLock(tmp_path / "run", patience=0.0):
            pass
        with FolderLock(tmp_path / "run-old-1", patience=0.0):
            pass
    assert not (tmp_path / "run" / FILE).exists()


def test_two_in_one_process_are_two(tmp_path):
    with (
        FolderLock(tmp_path),
        pytest.raises(ConfigError, match=f"another process .{os.getpid()} on"),
        FolderLock(tmp_path, patience=0.0),
    ):
        pass


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "run", "/proc/mmdgan/run"):
        with pytest.raises(ConfigError, match=f"directory {place} cannot be written .*give another --results"):
            FolderLock(place).__enter__()


def test_a_file_system_without_locks_is_told_of(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with FolderLock(tmp_path):
        assert "has no locks" in caplog.text
