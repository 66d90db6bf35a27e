"""The verb `evaluate`: of a run's checkpoints, and of any images."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil

import numpy as np
import pytest

from mmdgan.cli import program
from mmdgan.cli.evaluate import _holds_statistics
from mmdgan.runs.folder import RunFolder
from tests.conftest import BlockMeans
from tests.helpers.command_line import status

COUNT = "--count=30"


@pytest.fixture(autouse=True)
def no_feature_cache(monkeypatch):
    """Tests leave nothing in the data folder."""
    monkeypatch.setenv("MMDGAN_FEATURE_CACHE", "none")


@pytest.fixture
def block_means(monkeypatch) -> dict:
    """Features that need no training, for images that are no data set too; returns what was asked for."""
    asked = {}

    def resolve(features, data, **options):
        asked.update(features=features, data=data and data.name, **options)
        return BlockMeans()

    monkeypatch.setattr("mmdgan.metrics.features.resolve.resolve", resolve)
    return asked


@pytest.fixture
def run(tiny_run, tmp_path):
    """A copy of the tiny run, with checkpoints of the steps 2 and 4."""
    shutil.copytree(tiny_run[1], tmp_path / "run")
    return tmp_path / "run"


def _pictures(path, count=40, seed=0, side=32, **arrays):
    images = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    np.savez(path, images=images, **arrays)
    return str(path)


def test_steps_of_a_run(run, block_means, capsys, tmp_path):
    out = tmp_path / "scores.jsonl"
    argv = [str(run), COUNT, "--metrics=fid,kid", "--seed=3", "--repeats=2", f"--out={out}"]
    assert status("evaluate", *argv, "--steps=all") == 0
    text = capsys.readouterr().out
    assert "After step 2:" in text and "After step 4:" in text and "± " in text and "2 repeats" in text
    assert f"written to {run / 'metrics.jsonl'}" in text
    records = RunFolder(run).records()
    assert [record["step"] for record in records] == [2, 2, 2, 4, 4, 4]
    assert [record["metric"] for record in records[:3]] == [
        "FD[classifier]",
        "FD[classifier] real-real",
        "KD[classifier]",
    ]
    assert {record["by"] for record in records} == {"evaluate"}
    assert len({record["evaluation"] for record in records}) == 2
    first = records[0]
    assert (first["seed"], first["repeats"], len(first["values"]), first["count"]) == (3, 2, 2, 30)
    assert first["spread_of"] == "standard deviation of 2 repeats" and first["data"] == "sample"
    assert len({record["set_hash"] for record in records}) == 2 and len({r["real_hash"] for r in records}) == 1
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["value"] for line in lines] == [record["value"] for record in records]


def test_the_last_and_the_best_step(run, block_means, capsys):
    argv = [str(run), COUNT, "--metrics=is"]
    assert status("evaluate", *argv, "--steps=best") == program.BAD_USE
    assert "has no best checkpoint" in (sentence := capsys.readouterr().err) and "steps 2, 4." in sentence
    (run / "checkpoints" / "ckpt-2.best").touch()
    assert status("evaluate", *argv, "--steps=best,last") == 0
    assert {record["step"] for record in RunFolder(run).records()} == {2, 4}
    assert status("evaluate", *argv) == 0
    assert RunFolder(run).records()[-1]["step"] == 4


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--steps=3"], "has no checkpoint of step 3; it has those of the steps 2, 4."),
        (["--steps=newest"], "steps has 'newest'; give all, last, best, or steps such as 4."),
        (["--step=2"], "did you mean --steps?"),
        (["--metrics=fdi"], "metrics has 'fdi' (did you mean fid?)"),
        (["--metrics=is", "--count=1"], "count is 1; give a whole number of at least 2."),
        (["--metrics=prdc", "--k=0"], "k is 0; give a whole number of at least 1."),
        (["--metrics=is", "--repeats=0"], "repeats is 0"),
        (["--metrics=is", "--count=20000"], "20,000 images are asked for, but sample holds 10,782"),
        (["--metrics=fid", "--count=12"], "at least 13 images"),
        (["--metrics=intra_fid"], "the generated ones have no classes"),
        (["--metrics=is", "--reference=sample"], "reference goes with --images"),
        (["--metrics=is", "--images=x.npz", "--reference=sample"], "a RUN or --images, not both"),
        (["--metrics=is", "--out=scores.csv"], "out is scores.csv; name a file that ends in .jsonl."),
        (["--metrics=swd", "--save_statistics=a.npz"], "save_statistics is of features"),
        ([], "the run was made without scores"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_before_anything_is_made(tiny_run, block_means, capsys, flags, sentence):
    before = RunFolder(tiny_run[1]).records()
    assert status("evaluate", str(tiny_run[1]), *flags) == program.BAD_USE
    assert sentence in capsys.readouterr().err
    assert RunFolder(tiny_run[1]).records() == before


def test_all_metrics_are_those_that_are_possible(conditional_run, run, block_means, capsys, monkeypatch):
    from mmdgan.metrics import METRICS
    from mmdgan.metrics.evaluate import EvaluateOptions

    few = EvaluateOptions(pairs=3, all_pairs_of=3, nn_count=9)
    monkeypatch.setattr("mmdgan.cli.evaluate._score_options", lambda options: few)
    assert status("evaluate", str(run), COUNT, "--metrics=all") == 0
    text = capsys.readouterr().out
    assert "Without intra_fid. intra_fid compares images class by class" in text
    found = {record["identifier"] for record in RunFolder(run).records()}
    assert found == set(METRICS) - {"intra_fid", "cmmd"}
    for metric in ("MS-SSIM", "SWD mean", "near copies[pixels]", "recall[classifier]"):
        assert metric in text
    assert status("evaluate", str(conditional_run[1]), "--count=600", "--metrics=intra_fid") == 0
    assert "intra FD[classifier]" in capsys.readouterr().out


def test_images_against_images(block_means, capsys, tmp_path):
    images, reference = _pictures(tmp_path / "a.npz", 30), _pictures(tmp_path / "b.npz", 50, seed=1)
    out = tmp_path / "scores.jsonl"
    argv = ["--images", images, "--reference", reference, "--metrics=fid,prdc", "--k=3", f"--out={out}"]
    assert status("evaluate", *argv) == 0
    assert status("evaluate", *argv, "--count=20", "--seed=4") == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert (lines[0]["metric"], lines[0]["count"], lines[0]["count_real"]) == ("FD[classifier]", 30, 50)
    assert lines[0]["step"] is None and lines[0]["split"] == ""
    half = len(lines) // 2
    assert (lines[half]["count"], lines[half]["count_real"], lines[half]["seed"]) == (20, 20, 4)
    assert {line.get("k") for line in lines} == {None, 3}
    text = capsys.readouterr().out
    assert "FD[classifier]" in text and f"written to {out}" in text and "step" not in text


def test_images_against_a_data_set_by_their_classes(block_means, capsys, tmp_path):
    labels = np.arange(200) % 4
    images = _pictures(tmp_path / "a.npz", 200, labels=labels)
    argv = ["--images", images, "--reference", "sample", "--metrics=intra_fid", "--feature_cache=off"]
    assert status("evaluate", *argv) == 0
    assert "mean of 4 classes" in capsys.readouterr().out
    assert block_means["data"] == "sample" and block_means["features"] == "auto"


def test_saved_statistics_are_a_reference(block_means, capsys, tmp_path):
    images, reference = _pictures(tmp_path / "a.npz", 30), _pictures(tmp_path / "b.npz", 50, seed=1)
    saved, out = tmp_path / "sub" / "stats.npz", tmp_path / "scores.jsonl"
    argv = ["--images", images, f"--out={out}"]
    assert status("evaluate", *argv, f"--reference={reference}", "--metrics=fid", f"--save_statistics={saved}") == 0
    assert f"statistics of 50 images of {reference.rpartition('/')[2]}" in capsys.readouterr().out.replace(
        reference, "b.npz"
    )
    assert status("evaluate", *argv, f"--reference={saved}", "--metrics=all") == 0
    text = capsys.readouterr().out
    assert "Without kid. Stored statistics hold a mean and a covariance" in text
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["metric"] for line in lines[-2:]] == ["FD[classifier]", "FD[classifier] infinity"]
    assert lines[-2]["value"] == pytest.approx(lines[0]["value"], rel=1e-6) and lines[-2]["count_real"] == 50
    assert status("evaluate", *argv, f"--reference={saved}") == 0
    assert json.loads(out.read_text().splitlines()[-1])["value"] == lines[-2]["value"]
    again = ["--metrics=fid", f"--reference={saved}", "--save_statistics=b.npz"]
    assert status("evaluate", *argv, *again) == program.BAD_USE
    assert "holds statistics already" in capsys.readouterr().err


def test_what_a_reference_holds_is_told_by_its_keys(tmp_path):
    for keys, statistics in ((("x",), False), (("x_train", "y_train"), False), (("mu", "sigma", "count"), True)):
        np.savez(tmp_path / "reference.npz", **dict.fromkeys(keys, np.zeros(3)))
        assert _holds_statistics(str(tmp_path / "reference.npz")) == statistics


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([], "the command takes a RUN, the directory of a training"),
        (["--images={a}"], "reference is none; give with --reference"),
        (["--images={a}", "--reference={a}", "--steps=all"], "steps is for a run's generator"),
        (["--images={a}", "--reference={a}", "--repeats=3"], "repeats is for a run's generator"),
        (["--images={a}", "--reference={a}", "--count=41"], "holds 40 images; give at most that."),
        (["--images={a}", "--reference=nowhere/b.npz"], "nowhere/b.npz"),
        (["--images={a}", "--reference=simple"], "did you mean sample?"),
        (["--images={a}", "--reference={a}", "--metrics=intra_fid"], "the generated ones have no classes"),
    ],
)
def test_what_is_wrong_with_a_request_of_images(block_means, capsys, tmp_path, flags, sentence):
    a = _pictures(tmp_path / "a.npz")
    assert status("evaluate", *[flag.format(a=a) for flag in flags]) == program.BAD_USE
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("flags", [("nowhere/a", "cifar10"), ("cifar10", "nowhere/a"), ("nowhere", "cifar10")])
def test_paths_are_looked_at_before_a_download(block_means, capsys, tmp_path, monkeypatch, flags):
    monkeypatch.setattr("mmdgan.data.open_data", lambda *args, **options: pytest.fail("a data set was opened"))
    words = ["--images", flags[0], "--reference", flags[1], f"--data_root={tmp_path}"]
    assert status("evaluate", *words) == program.BAD_USE
    assert "There is no folder or file nowhere" in capsys.readouterr().err


def test_help_names_every_flag(capsys):
    from mmdgan.cli.evaluate import EvaluateFlags

    assert status("evaluate", "--help") == 0
    text = capsys.readouterr().out
    assert "evaluate RUN [--flag=value ...]" in text and "evaluate --images PATH --reference WHAT" in text
    for field in dataclasses.fields(EvaluateFlags):
        assert f"--{field.name}" in text


def test_a_negative_seed_of_scores_is_refused(tiny_run, capsys):
    assert status("evaluate", str(tiny_run[1]), "--metrics=is", "--seed=-1") == program.BAD_USE
    assert "seed is -1" in capsys.readouterr().err


def test_evaluate_prints_a_table_and_adds_lines(tiny_run, tmp_path, block_means, capsys):
    run = str(shutil.copytree(tiny_run[1], tmp_path / "run"))  # other tests want it without scores
    argv = ["--steps=2", "--count=26", "--metrics=fid,is", "--features=classifier", "--seed=3"]
    assert status("evaluate", run, *argv) == 0
    assert block_means["features"] == "classifier" and block_means["data"] == "sample"
    record = RunFolder.open(run).latest_scores()[0]
    assert (record["step"], record["by"]) == (2, "evaluate") and record["value"] > 0
    assert (record["metric"], record["count"], record["seed"]) == ("FD[classifier]", 26, 3)
    text = capsys.readouterr().out
    assert "FD[classifier]" in text and "CS[classifier]" in text and "metrics.jsonl" in text


def test_other_images_than_those_of_the_training_are_mentioned(run, block_means, capsys):
    argv = ["evaluate", str(run), "--metrics=fid", "--count=26", "--features=classifier"]
    assert status(*argv) == 0 and "Note" not in capsys.readouterr().out
    config = json.loads((run / "config.json").read_text())
    config["data"]["fingerprint"] = "0"
    (run / "config.json").write_text(json.dumps(config))
    assert status(*argv) == 0
    assert "Note: the images of sample" in capsys.readouterr().out


def test_scores_of_a_run_that_cannot_be_written_are_shown(tiny_run, tmp_path, block_means, capsys, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(RunFolder, "append", refuse)
    argv = ["evaluate", str(tiny_run[1]), "--metrics=fid", "--count=26", "--features=classifier"]
    assert status(*argv) == program.BAD_USE
    said = capsys.readouterr()
    assert "FD[classifier]" in said.out
    assert "metrics.jsonl cannot be written (Permission denied), so the scores above are not recorded" in said.err
    assert status(*argv, f"--out={tmp_path / 'scores.jsonl'}") == 0
    assert "not written to the run" in capsys.readouterr().out
    record, *_ = map(json.loads, (tmp_path / "scores.jsonl").read_text().splitlines())
    assert record["metric"] == "FD[classifier]"
