"""What the page says of a run: signs of trouble, scores beside published ones, protocols, commands, what is missing."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mmdgan.cli import flags
from mmdgan.core.errors import CheckpointError, ConfigError
from mmdgan.report import protocol, section_images, section_scores, section_training, write_report
from mmdgan.report.blocks import Cell, Page, Picture, Table, flat
from mmdgan.report.facts import RunFacts
from mmdgan.report.page import page_of
from mmdgan.report.reported_run import ReportedRun
from mmdgan.report.scores import best, choose, longest_curve
from mmdgan.report.section_setup import evaluate_flags, train_flags
from mmdgan.runs.experiment import Experiment
from mmdgan.runs.folder import RunFolder
from mmdgan.runs.scores import retire_scores
from mmdgan.training import divergence
from mmdgan.training.divergence import Diverged
from mmdgan.training.event_files import Scalars
from tests.helpers.report_records import make_run, score


def reported(run: RunFolder, curves: dict[str, list[float]] | None = None) -> ReportedRun:
    """A run with curves as if they had been logged."""
    found = ReportedRun(RunFacts.of(run))
    scalars = {
        tag: Scalars(np.arange(1, len(values) + 1) * 10, np.array(values), np.zeros(len(values)))
        for tag, values in (curves or {}).items()
    }
    found.__dict__["scalars"] = scalars
    return found


def signs(run: ReportedRun) -> list[str]:
    return [block.text for block in section_training.health(run) if block.kind == "warning"]


def page(run: RunFolder, **options) -> Page:
    return page_of(ReportedRun(RunFacts.of(run), **options))


@pytest.fixture
def like(tiny_run):
    return tiny_run[1]


def test_no_sign_of_trouble(tiny_run):
    run = reported(RunFolder(tiny_run[1]), {"loss/generator": [0.1, 0.2], "loss/critic": [0.3, 0.1]})
    assert signs(run) == []
    [block] = section_training.health(run)
    assert block.kind == "good"
    assert block.text.startswith("No signs of trouble. Looked for: diverged checkpoints, losses")


def test_curves_that_diverge(tiny_run):
    usual = [1.0, -2.0, 1.5, 1.0]
    found = signs(
        reported(
            RunFolder(tiny_run[1]),
            {
                "loss/generator": [*usual, 40_000.0],
                "loss/critic": [*usual, 150.0],
                "mmd/kxx": [0.5, float("nan"), float("inf")],
                "other": [1.0, 1e9],
            },
        )
    )
    assert found == [
        "loss/generator exploded: 4e+04 in absolute value at step 50; usual is 1.5.",
        "mmd/kxx is not finite at 2 of 3 points, first at step 20.",
    ]
    small = reported(RunFolder(tiny_run[1]), {"loss/generator": [*usual * 3, -200.0]})
    assert signs(small) == ["loss/generator exploded: 200 in absolute value at step 130; usual is 1.5."]


def test_diverged_and_unfinished_runs(tmp_path, like):
    run = make_run(tmp_path / "a", like)
    assert signs(reported(run)) == ["Not trained to the end: the newest checkpoint is of step 0 of 4."]
    run.checkpoints.mkdir()
    for ending in (".index", ".data-00000-of-00001"):
        (run.checkpoints / f"diverged-3{ending}").write_text("")
    aside = "Training diverged: its state then is in diverged-3, beside the checkpoints."
    assert signs(reported(run)) == [aside]
    error = Diverged(3, "loss_gen", float("inf"))
    divergence.record(run.path, error, 2, 1)
    back = "Training diverged at step 3: loss_gen was inf; it went back to step 2 with other random numbers."
    unfinished = "Not trained to the end: the newest checkpoint is of step 0 of 4."
    assert signs(reported(run)) == [back, aside, unfinished]
    divergence.record(run.path, error, None, 1)
    stopped = "Training diverged at step 3: loss_gen was inf; it stopped."
    assert signs(reported(run)) == [back, stopped, aside]


def test_scores_that_show_trouble(tmp_path, like):
    shares = {"shares": {"cat": 0.009, "dog": 0.011}, "shares_real": {"cat": 0.1, "dog": 0.1}}
    scores = {
        2: [score("FD[c]", 10.0), score("CS[c]", 5.0, "is"), score("KD[c]", 1.0, "kid")],
        4: [
            score("FD[c]", 12.6),
            score("CS[c]", 4.1, "is"),
            score("KD[c]", None, "kid", note="it is not finite"),
            score("classes[c]", 0.009, "classes", **shares),
            score("recall[c]", 0.01, "prdc"),
            score("near copies[pixels]", 0.06, "nn", copies=3),
        ],
    }
    run = make_run(tmp_path / "a", like, scores, max_step=0)
    assert signs(reported(run)) == [
        "FD[c] got worse: 10 at step 2, 12.6 at step 4.",
        "KD[c] has no value at step 4: it is not finite.",
        "Modes are missing at step 4: hardly any images of cat (0.9%; 10.0% of the real images).",
        "recall[c] is 1.0%: hardly any real image is near to generated ones.",
        "near copies[pixels]: 6.0% of generated images are nearer to a training image than is usual (1%).",
        "3 generated images equal a training image in every pixel.",
    ]


def test_too_few_images_are_marked_and_no_sign_of_trouble(tmp_path, like):
    note = "forced: fewer images than 128 features + 1, so the value means little"
    scores = [score("FD[c]", 9.0, note=note), score("FD[c] real-real", None, note="needs 258 real images")]
    run = reported(make_run(tmp_path / "a", like, {4: scores}, max_step=0))
    assert signs(run) == []
    table = next(block for block in section_scores.scores(run) if isinstance(block, Table))
    assert table.rows[0][1] == Cell("9", "warning")


def test_scores_of_another_protocol_are_no_sign(tmp_path, like):
    run = make_run(tmp_path / "a", like, {2: [score("FD[c]", 1.0, count=99)], 4: [score("FD[c]", 9.0)]}, max_step=0)
    assert signs(reported(run)) == []
    assert best(longest_curve(run.records(), "FD[c]")) is None


def test_curves_are_of_the_protocol_with_most_steps(tmp_path, like):
    """Scores of all rounds, and then one of more images: the curve and its best are of the rounds."""
    rounds = {step: [score("FD[c]", value)] for step, value in ((1, 9.0), (2, 3.0), (3, 4.0))}
    run = make_run(tmp_path / "a", like, rounds | {4: [score("FD[c]", 1.0, count=9999)]}, max_step=0)
    lines = longest_curve(run.records(), "FD[c]")
    assert [line["value"] for line in lines] == [9.0, 3.0, 4.0]
    assert best(lines)["step"] == 2
    assert signs(reported(run)) == ["FD[c] got worse: 3 at step 2, 4 at step 3."]


def test_scores_of_last_weights_are_not_taken_for_those_of_averaged_ones(tmp_path, like):
    averaged = {step: [score("FD[c]", value, weights="ema")] for step, value in ((1, 9.0), (2, 3.0), (3, 4.0))}
    run = make_run(tmp_path / "a", like, averaged)
    run.append(3, "evaluate", [score("FD[c]", 1.0, weights="last"), score("KD[c]", 2.0, weights="last")])
    assert [line["value"] for line in longest_curve(run.records(), "FD[c]")] == [9.0, 3.0, 4.0]
    assert {record["metric"]: record["value"] for record in choose(run)} == {"FD[c]": 4.0, "KD[c]": 2.0}
    assert section_scores.headline(reported(run)).text.startswith("Best FD[c]: 3, at step 2 ")


def test_scores_that_training_went_back_before_are_listed_alone(tmp_path, like):
    run = make_run(tmp_path / "a", like, {step: [score("FD[c]", value)] for step, value in ((1, 9.0), (2, 3.0))})
    run.append(3, "train", [score("FD[c]", 1.0)])
    retire_scores(run.metrics_file, 2)
    assert [(record["step"], record["value"]) for record in choose(run)] == [(2, 3.0)]
    assert choose(run, by=3) == []
    assert section_scores.headline(reported(run)).text.startswith("Best FD[c]: 3, at step 2 ")
    blocks = {type(block).__name__: block for block in section_scores.scores(reported(run))}
    [history] = [block.blocks[0] for block in [blocks["Details"]] if block.summary.startswith("All 3 scores")]
    assert ("FD[c]", "3", "1", "abandoned") in [(row[0], row[1], row[2], row[5]) for row in history.rows]


def test_the_table_of_scores(tmp_path, like):
    scores = {
        2: [score("FD[c]", 10.0), score("CS[c]", 5.0, "is")],
        4: [
            score("FD[c]", 12.0, spread=0.5, spread_of="standard deviation of 3 repeats"),
            score("FD[c] real-real", 1.5, count=1000),
            score("CS[c]", 5.5, "is", count_real=None),
            score("CS[c] real", 9.0, "is", count_real=None),
            score("CS[c] (10 splits)", 5.25, "is", count_real=None),
            score("CS[c] real (10 splits)", 8.5, "is", count_real=None),
        ],
    }
    run = make_run(tmp_path / "a", like, scores, data="cifar10")
    table = next(block for block in section_scores.scores(reported(run)) if isinstance(block, Table))
    assert table.header[1] == "newest (step 4)"
    assert [row[0].text for row in table.rows] == ["FD[c] ↓", "CS[c] ↑", "CS[c] (10 splits) ↑"]
    # Each score is named in words once.
    assert [bool(row[0].note) for row in table.rows] == [True, True, False]
    rows = {row[0].text[:-2]: row for row in table.rows}
    assert rows["FD[c]"][1] == "12 ± 0.5"
    assert rows["FD[c]"][2] == Cell("10 (step 2)", "best")
    assert rows["FD[c]"][3] == "1.5"
    assert rows["FD[c]"][4] == Cell("FID 16.21", "differs")
    assert rows["FD[c]"][5] == "2,000 / 2,000"
    assert rows["CS[c]"][3:] == ("9", Cell("IS 8.29", "differs"), "2,000")
    assert rows["CS[c] (10 splits)"][3] == "8.5"


def test_the_best_score_at_a_glance(tmp_path, like):
    """The score that judges checkpoints, with its meaning and what real images get; not the first or the newest one."""
    scores = {
        2: [score("CS[c]", 5.0, "is"), score("FD[c]", 10.0)],
        4: [score("CS[c]", 5.5, "is"), score("FD[c]", 12.0), score("FD[c] real-real", 1.5)],
    }
    run = make_run(tmp_path / "a", like, scores)
    assert section_scores.headline(reported(run)).text == (
        "Best FD[c]: 10, at step 2 (Fréchet distance from the real images' features; lower is better ↓; "
        "real images get 1.5)."
    )
    run = make_run(tmp_path / "b", like, scores, keep_best="is")
    assert section_scores.headline(reported(run)).text.startswith("Best CS[c]: 5.5, at step 4 (how clear")
    assert section_scores.headline(reported(make_run(tmp_path / "c", like))).kind == "missing"


def test_protocol_beside_the_published_one(tmp_path, like):
    run = make_run(tmp_path / "a", like, data="cifar10", flip=True)
    record = score("FID", 9.0, features="inception", resize="legacy", count=50_000, count_real=50_000, step=100_000)
    lines = {line.what: line for line in protocol.against_published(RunFacts.of(run), record)}
    same = {
        "features",
        "resize",
        "images scored",
        "real images",
        "image size",
        "steps",
        "critic's outputs",
        "optimiser",
    }
    assert {name for name, line in lines.items() if line.mark == protocol.SAME} >= same
    differing = {name for name, line in lines.items() if line.mark == protocol.DIFFERS}
    assert differing == {"generator", "critic", "batch", "learning rates", "gain K", "flips"}
    assert lines["generator"].published == "3,811,907 parameters"
    assert lines["critic"].published == "5,983,760 parameters"
    assert lines["gain K"].run == "8"
    assert lines["lossy re-encoding (JPEG)"].mark == protocol.UNKNOWN
    assert lines["images came from"].run == RunFacts.of(run).data["source"]


def test_flags_that_train_the_runagain(tiny_run):
    experiment, folder = tiny_run
    given, notes = train_flags(RunFacts.of(folder))
    again = flags.parse(Experiment(), given, usage="").options
    assert again.config()["experiment"] == json.loads((folder / "config.json").read_text())["experiment"] | {
        name: tuple(value) for name, value in again.config()["experiment"].items() if isinstance(value, tuple)
    }
    assert again.resolved() == experiment.resolved()
    names = {flag.partition("=")[0] for flag in given}
    assert {"--loss", "--data", "--batch_size", "--grid"} <= names
    assert not {"--run_name", "--score_size", "--rep_weights", "--seed"} & names
    assert notes == [f"The networks are of the file {experiment.architecture}."]


def test_flags_of_a_run_whose_networks_are_elsewhere(tmp_path, like):
    run = make_run(tmp_path / "a", like, architecture="gone.py:NET", from_the_future=1)
    given, notes = train_flags(RunFacts.of(run))
    assert "--architecture=gone.py:NET" in given and "--run_name=a" in given
    assert any("from_the_future" in note for note in notes)


def test_flags_that_score_the_runagain():
    lines = [{**score("FD[c]", 1.0), "step": 4}, {**score("near copies[c]", 0.0, "nn", count=100), "step": 4}]
    assert evaluate_flags(lines) == [
        "--metrics=fid,nn",
        "--steps=4",
        "--count=2000",
        "--seed=0",
        "--features=classifier",
    ]
    assert evaluate_flags([]) == ["--metrics=fid,is,kid"]
    part = {**score("near copies[c]", 0.0, "nn", count=1000, set_count=5000), "step": 4}
    assert "--count=5000" in evaluate_flags([part])
    forced = {**score("FD[c]", 1.0, note="forced: fewer images than 128 features + 1"), "step": 4}
    assert "--force" in evaluate_flags([forced]) and "--force" not in evaluate_flags([part])


@pytest.mark.parametrize(
    ("entries", "flags"),
    [
        (
            {"features": "classifier:digits", "feature_source": "classifier of digits"},
            ["--features=classifier", "--classifier_data=digits"],
        ),
        ({"features": "keras:net", "feature_source": "nets/net.keras"}, ["--features=keras:nets/net.keras"]),
        ({"features": "hub:vit", "feature_source": "keras-hub presets/vit"}, ["--features=hub:presets/vit"]),
        (
            {"features": "inception", "resize": "clean antialiased bicubic to 299x299, grey repeated to 3 channels"},
            ["--features=inception", "--resize=clean"],
        ),
        ({"features": "clip", "feature_source": "keras-hub clip_vit"}, ["--features=clip"]),
        ({"resize": "antialiased bilinear to 32x32 where the size differs"}, ["--features=classifier"]),
        (
            {"features": "keras:VGG16", "feature_source": "keras.applications VGG16, ImageNet weights"},
            ["--features=keras:VGG16"],
        ),
        ({"weights": "last"}, ["--features=classifier", "--noema"]),
        ({"weights": "ema", "k": 3}, ["--features=classifier", "--k=3"]),
    ],
)
def test_flags_name_features_weights_and_neighbours_as_evaluate_takes_them(entries, flags):
    found = evaluate_flags([{**score("FD[c]", 1.0, **entries), "step": 4}])
    assert found == ["--metrics=fid", "--steps=4", "--count=2000", "--seed=0", *flags]


def test_nothing_at_hand(tmp_path, like):
    """No checkpoint, grid, log, score, data set or version: a line for each, and no failure."""
    run = make_run(tmp_path / "a", like, data="cifar10", data_root=str(tmp_path))
    config = json.loads(run.config_file.read_text())
    for name in ("data", "versions"):
        del config[name]
    run.config_file.write_text(json.dumps(config))
    found_page = page(run)
    blocks = flat([block for section in found_page.sections for block in section.blocks])
    found = "\n".join(found_page.missing)
    for words in (
        "scores: the run has none",
        "holds no event files",
        "holds no grids yet",
        f"{tmp_path} holds no data set cifar10 here",
        "--metrics=nn",
        "has no checkpoint",
        "versions of the libraries",
    ):
        assert words in found
    assert not [block for block in blocks if isinstance(block, Picture)]


def test_errors_that_are_not_ours_are_raised(tmp_path, like, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr("mmdgan.report.section_images.evolution_frames", broken)
    with pytest.raises(ZeroDivisionError, match="a mistake"):
        page(RunFolder(like), pictures=False)


def test_steps_that_are_not_there(tiny_run):
    run = RunFolder(tiny_run[1])
    with pytest.raises(CheckpointError, match="has no checkpoint of step 3; it has those of the steps 2, 4"):
        page(run, wanted_step=3)
    with pytest.raises(CheckpointError, match=r"has no best checkpoint \(.*it has those"):
        page(run, wanted_step="best")


@pytest.mark.parametrize("out", ["a.pdf", ".", "a"])
def test_names_that_are_no_page(tiny_run, tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="is not a page; name a file that ends in .html"):
        write_report(tiny_run[1], out, pictures=False)


def test_place_that_cannot_be_written(tiny_run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written .*; name another place"):
        write_report(tiny_run[1], tmp_path / "file" / "a.html", pictures=False)


def test_animations_are_cut_until_they_are_small(monkeypatch):
    frames = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    shown, whole = section_images.animate(frames)
    assert shown == 6
    monkeypatch.setattr(section_images, "GIF_BYTES", len(whole) - 1)
    shown, content = section_images.animate(frames)
    assert shown == 4
    assert len(content) < len(whole)
    monkeypatch.setattr(section_images, "GIF_BYTES", 1)
    assert section_images.animate(frames)[0] == 2
    many = np.zeros((500, 8, 8, 3), np.uint8)
    many[-1] = 255
    shown, content = section_images.animate(many)
    assert shown == 2
    monkeypatch.undo()
    shown, content = section_images.animate(many)
    assert shown == 24
    with Image.open(io.BytesIO(content)) as picture:
        picture.seek(picture.n_frames - 1)
        assert np.asarray(picture.convert("L")).min() == 255


def test_nearest_training_images(tiny_run, tmp_path):
    """The pairs that a score names, generated again from its seed, above the training images of those numbers."""
    from mmdgan import sampling
    from mmdgan.data import open_data
    from mmdgan.data.pipeline import channels_last

    folder = tmp_path / "run"
    shutil.copytree(tiny_run[1], folder)
    run = RunFolder(folder)
    pairs = [{"generated": 5, "training": 100, "distance": 1.0}, {"generated": 2, "training": 7, "distance": 2.0}]
    run.append(4, "evaluate", [score("near copies[pixels]", 0.01, "nn", count=9, seed=3, closest=pairs)])
    [picture] = section_images.neighbours(reported(run))
    pixels = np.asarray(Image.open(io.BytesIO(picture.content)))
    assert pixels.shape == (64, 64, 3)
    generator, _ = run.load_generator(4)
    generated = sampling.generate(generator, sampling.score_codes(9, 8, seed=3))
    np.testing.assert_array_equal(pixels[:32, :32], generated[5])
    np.testing.assert_array_equal(pixels[:32, 32:], generated[2])
    images = channels_last(open_data("sample").take(np.array([100, 7]))[0])
    np.testing.assert_array_equal(pixels[32:, :32], images[0])
    np.testing.assert_array_equal(pixels[32:, 32:], images[1])
