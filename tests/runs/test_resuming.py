"""Runs that were left in a bad state: each is one sentence before training starts, or goes on where it can."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil

import numpy as np
import pytest

from mmdgan.cli import program as cli
from mmdgan.core.errors import CheckpointError, ConfigError
from mmdgan.core.lock import FILE, FolderLock
from mmdgan.runs.folder import RunFolder


@pytest.fixture
def copied(tiny_run, tmp_path):
    """A copy of the finished run of four steps, with checkpoints of steps 2 and 4: (its experiment, its folder)."""
    experiment = dataclasses.replace(tiny_run[0], results=str(tmp_path))
    folder = experiment.folder()
    shutil.copytree(tiny_run[1], folder.path)
    folder.metrics_file.unlink(missing_ok=True)  # other tests may have evaluated the run
    return experiment, folder


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_offered_and_taken(copied, tiny_run, capsys):
    experiment, folder = copied
    scores = [{"metric": "SWD mean", "value": 1.0, "spread": None, "count": 30, "count_real": 30, "seed": 0}]
    scores[0] |= {"split": None, "data": "sample"}
    folder.append(2, "train", scores)
    folder.append(4, "train", scores)
    folder.append(4, "evaluate", scores)
    next(folder.checkpoints.glob("ckpt-4.data*")).write_bytes(b"cut off")
    before = {file: file.read_bytes() for file in folder.checkpoints.iterdir()}
    with pytest.raises(
        CheckpointError, match=r"ckpt-4 is damaged .*--fallback goes on from the one before, of step 2\."
    ):
        experiment.run()
    assert {file: file.read_bytes() for file in folder.checkpoints.iterdir()} == before

    result = dataclasses.replace(experiment, fallback=True).run(say=print)
    said = capsys.readouterr().out
    assert "ckpt-4 is damaged" in said and "It is moved aside.\n" in said and "after step 2.\n" in said
    assert result["step"] == 4 and folder.steps() == [2, 4]
    assert [file.name for file in (folder.checkpoints / "unusable-1").glob("*.index")] == ["ckpt-4.index"]
    assert [(r["step"], r["by"]) for r in folder.records()] == [(2, "train"), (4, "abandoned"), (4, "evaluate")]
    codes = np.random.default_rng(0).normal(size=(4, 8)).astype("float32")
    repeated, undisturbed = folder.load_generator()[0](codes), RunFolder(tiny_run[1]).load_generator()[0](codes)
    np.testing.assert_allclose(repeated, undisturbed, atol=1e-6)
    assert json.loads(folder.config_file.read_text())["experiment"]["fallback"] is False


def test_without_a_sound_checkpoint_a_run_begins_anew(copied):
    experiment, folder = copied
    for file in folder.checkpoints.glob("*.index"):
        file.write_bytes(b"")
    with pytest.raises(
        CheckpointError, match=r"ckpt-4 is damaged .*None before it can be used; --restart starts from scratch\."
    ):
        dataclasses.replace(experiment, fallback=True).run()
    assert folder.steps() == [2, 4]


def test_a_second_process_is_refused_but_may_read(copied):
    experiment, folder = copied
    with FolderLock(folder.path), pytest.raises(ConfigError, match=r"another process \(.*\) is training in"):
        assert folder.load_generator()[1] == 4
        dataclasses.replace(experiment, max_step=5).run()
    assert folder.steps() == [2, 4]
    experiment.run()
    assert not (folder.path / FILE).exists()


def test_an_earlier_run_in_use_is_not_moved_aside(copied):
    experiment, folder = copied
    with FolderLock(folder.path), pytest.raises(ConfigError, match="another process"):
        dataclasses.replace(experiment, restart=True).run()
    assert [path.name for path in folder.path.parent.iterdir()] == [folder.path.name]


def test_a_new_run_that_is_to_begin_anew_leaves_no_empty_one(copied):
    experiment, folder = copied
    with FolderLock(folder.path.with_name("new")):
        RunFolder(folder.path.with_name("new")).prepare({}, restart=True)
        assert {path.name for path in folder.path.parent.iterdir()} == {folder.path.name, "new"}
    with FolderLock(folder.path):
        folder.prepare({}, restart=True)
    assert folder.path.with_name(f"{folder.path.name}-old-1").is_dir()


@pytest.mark.parametrize("part", ["logs", "samples", "checkpoints"])
def test_parts_that_cannot_be_written_are_found_before_training(copied, part, monkeypatch):
    """The file system under a part is read-only."""
    import tempfile

    experiment, folder = copied
    make = tempfile.TemporaryFile

    def refuse(*args, dir=None, **options):
        if dir == folder.path / part:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return make(*args, dir=dir, **options)

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    (folder.path / part).mkdir(exist_ok=True)
    with pytest.raises(ConfigError, match=rf"the run directory, .*{part} cannot be written \(Read-only file system\)"):
        dataclasses.replace(experiment, max_step=5).run()


def _status(main) -> int:
    with pytest.raises(SystemExit) as stop:
        cli.run_main(main, [])
    return stop.value.code


def test_a_full_disk_in_any_verb_is_one_sentence(capsys):
    def write(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "metrics.jsonl")

    assert _status(write) == cli.BAD_USE
    said = capsys.readouterr().err
    assert said.startswith(
        "mmdgan: metrics.jsonl cannot be written or read (No space left on device); fix that, then python"
    )
    assert said.count("\n") == 1

    def defect(_):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "forgotten")

    with pytest.raises(FileNotFoundError):
        cli.run_main(defect, [])
