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
from mmdgan.core.errors import CheckpointError, ConfigError, DesignError
from mmdgan.core.lock import FILE, FolderLock
from mmdgan.core.text import program
from mmdgan.design import load_architecture
from mmdgan.runs.experiment import Experiment
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
    assert [(r["step"], r["by"]) for r in folder.records(abandoned=True)] == [
        (2, "train"),
        (4, "abandoned"),
        (4, "evaluate"),
    ]
    assert [(r["step"], r["by"]) for r in folder.records()] == [(2, "train"), (4, "evaluate")]
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


def test_a_smaller_max_step_than_is_done_is_not_recorded(copied):
    def recorded(**changes):
        return dataclasses.replace(copied[0], max_step=3, **changes).plan().config()["experiment"]["max_step"]

    assert recorded() == 4 and recorded(restart=True) == 3


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


@pytest.mark.parametrize("verb", ["train", "sample", "evaluate", "report", "compare", "export", "interpolate"])
def test_a_name_too_long_for_the_file_system_is_one_sentence(capsys, verb):
    assert _status(lambda _: cli.main([verb, "é" * 200])) == cli.BAD_USE
    said = capsys.readouterr().err
    assert "(File name too long); fix that" in said and said.count("\n") == 1


def test_a_full_disk_in_any_verb_is_one_sentence(capsys):
    def write(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "metrics.jsonl")

    assert _status(write) == cli.BAD_USE
    said = capsys.readouterr().err
    assert said.startswith(
        f"mmdgan: metrics.jsonl cannot be written or read (No space left on device); fix that, then {program()}"
    )
    assert said.count("\n") == 1

    def defect(_):  # no fault of the user's: with its traceback
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "forgotten")

    with pytest.raises(FileNotFoundError):
        cli.run_main(defect, [])


PLACES = {"data_root": "Data", "results": "Results", "inception": "graphs/inception.pb", "feature_cache": "off"}


@pytest.fixture
def written_from(tiny_run, tiny_architecture, tmp_path, monkeypatch):
    """A run that was begun in a folder, with relative paths: (the folder, the run's directory)."""
    work = tmp_path / "work [1] *?%41 é"
    work.mkdir()
    shutil.copy(tiny_architecture.removesuffix(":TINY"), work / "own.py")
    run = work / "Results/sample/one"
    shutil.copytree(tiny_run[1], run)
    config = json.loads((run / "config.json").read_text())
    config["experiment"] |= {**PLACES, "architecture": "own.py:TINY", "run_name": "one"}
    (run / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return work, run


def goes_on(run, made_by: dict) -> dict:
    """Trains a run on for a step; its config.json but for max_step must be what it was. Returns the experiment's."""
    before = (run / "config.json").read_text()
    loaded = Experiment.load(run)
    assert vars(loaded) | made_by == vars(loaded)
    result = dataclasses.replace(loaded, max_step=5).run()
    assert (result["step"], RunFolder(run).steps()[-1]) == (5, 5)
    assert os.path.samefile(result["folder"], run)
    assert (run / "config.json").read_text() == before.replace('"max_step": 4', '"max_step": 5')
    return json.loads(before)["experiment"]


def test_a_run_goes_on_in_place_from_another_folder_by_the_paths_of_its_own(written_from, tmp_path):
    work, run = written_from
    fields = {
        "data_root": str(work / "Data"),
        "results": str(work / "Results"),
        "inception": str(work / "graphs/inception.pb"),
        "feature_cache": "off",
        "architecture": str(work / "own.py:TINY"),
    }
    goes_on(run, fields)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (work / "own.py").write_text("TINY = {}")
    with pytest.raises(DesignError, match="must be a non-empty list"):
        Experiment.load(run).run()


@pytest.mark.parametrize("how", ["renamed", "copied", "moved", "linked"])
def test_a_run_goes_on_where_it_is_by_now(written_from, how, monkeypatch):
    work, run = written_from
    place = work / "Results/sample/two" if how == "renamed" else work.parent / "kept" / "my run"
    place.parent.mkdir(exist_ok=True)
    if how == "linked":
        place.symlink_to(run)
    else:
        shutil.copytree(run, place) if how == "copied" else run.rename(place)
    (work / "own.py").unlink()  # its networks are in config.json
    monkeypatch.chdir(place)
    unknown = how in ("copied", "moved")  # paths are taken from the current folder then
    goes_on(place, {"architecture": "own.py:TINY" if unknown else str(work / "own.py:TINY")})
    if how == "copied":
        assert RunFolder(run).steps() == [2, 4]
    assert Experiment.load(".").run()["step"] == 5


def test_a_run_where_it_was_made_has_no_other_place(written_from, monkeypatch):
    work, run = written_from
    monkeypatch.chdir(work)
    loaded = Experiment.load("Results/sample/one")
    assert loaded.run_dir is None and {name: getattr(loaded, name) for name in PLACES} == PLACES
    goes_on(run, {"architecture": "own.py:TINY"})


def test_train_takes_a_run_and_a_place_for_a_new_one(written_from, capsys):
    work, run = written_from
    moved = work.parent / "moved"
    run.rename(moved)
    assert cli.main(["train", str(moved), "--max_step", "6"]) == 0
    assert f"Resuming {moved} after step 4." in capsys.readouterr().out and RunFolder(moved).steps()[-1] == 6
    assert cli.main(["train", str(moved), "--max_step=6", "--restart", "--dry_run"]) == 0
    assert "moved aside" in capsys.readouterr().out
    again = work.parent / "again"
    words = ["--data=sample", f"--architecture={moved}/config.json", "--batch_size=8", "--max_step=1", "--metrics=none"]
    assert cli.main(["train", *words, "--loss=rep_b", "--rounds=1", "--grid=1,1", f"--run_dir={again}"]) == 0
    assert RunFolder(again).steps() == [1]
    assert RunFolder(again).read_config()["architecture"] == RunFolder(moved).read_config()["architecture"]


def test_an_architecture_can_be_a_dictionary(tiny_run, tiny_architecture, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = load_architecture(tiny_architecture)
    experiment = dataclasses.replace(tiny_run[0], architecture=given, results="Results", run_name="own")
    assert experiment.run()["step"] == 4
    run = tmp_path / "Results/sample/own"
    assert RunFolder(run).read_config()["experiment"]["architecture"] == "Results/sample/own/config.json"
    assert dataclasses.replace(experiment, max_step=5).run()["step"] == 5
    assert dataclasses.replace(Experiment.load(run), max_step=6).run()["step"] == 6
    wider = json.loads(json.dumps(given))
    wider["generator"][1]["out"] += 2
    with pytest.raises(ConfigError, match="another configuration: the networks"):
        dataclasses.replace(experiment, architecture=wider).run()
    with pytest.raises(DesignError, match="must be a non-empty list"):
        Experiment(architecture={}, data="sample").plan()
