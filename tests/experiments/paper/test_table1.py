"""Table 1 of hand-made run folders: what is chosen, counted, refused; and what is trained when no run is given."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import math
from pathlib import Path

import pytest

from mmdgan.core.errors import ConfigError
from mmdgan.design import load_architecture, with_score_size
from mmdgan.report.facts import RunFacts
from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps import worker
from paper import trained
from paper.table1 import TableOptions, collect, make, markdown, paper_scores, rank_correlation
from paper.trained import method_of

MARK = {"features": "classifier", "feature_source": "a classifier", "feature_hash": "0", "resize": "none"}
MARK |= {"data": "cifar10", "split": "train", "count": 100, "count_real": 100, "real_hash": "1"}


@pytest.fixture
def write_run(tmp_path, tiny_architecture):
    """Writes a run's folder: (name, loss, seed, scores or None, diverged=..., **changed fields) -> its path."""

    def write(name, loss, seed=0, scores=None, diverged=(), step=10, data="cifar10", mark=None, **fields) -> Path:
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        fields = {"architecture": tiny_architecture, "max_step": 10, "run_name": name} | fields
        experiment = Experiment(loss=loss, seed=seed, data=data, **fields)
        architecture = with_score_size(load_architecture(tiny_architecture), experiment.score_size or 16)
        images = {"count": 100, "source": "somewhere", "fingerprint": "f"}
        config = {"experiment": dataclasses.asdict(experiment), "architecture": architecture, "data": images}
        (folder / "config.json").write_text(json.dumps(config))
        shared = {"step": step, "by": "train", "evaluation": "e", "parts": len(scores or {}), **MARK, **(mark or {})}
        lines = [{**shared, "metric": metric, "value": value} for metric, value in (scores or {}).items()]
        if lines:
            (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        actions = [{"step": 3, "name": "loss_dis", "value": "nan", "action": action} for action in diverged]
        if actions:
            (folder / "divergences.jsonl").write_text("".join(json.dumps(line) + "\n" for line in actions))
        return folder

    return write


def scores(distance, quality=2.0, **more) -> dict:
    return {
        "FD[classifier]": distance,
        "CS[classifier]": quality,
        "CS[classifier] real": 5.5,
        "CS[classifier] (10 splits)": 9.0,
    } | more


def facts(*folders) -> list[RunFacts]:
    return [RunFacts.of(folder) for folder in folders]


def test_a_run_that_went_on_after_it_had_diverged_has_its_scores(write_run):
    folder = write_run("a", "rep", 0, scores(12.0), diverged=["stop"])
    (folder / "checkpoints").mkdir()
    for ending in (".index", ".data-00000-of-00001"):
        (folder / f"checkpoints/ckpt-10{ending}").write_text("")
    [line] = collect(facts(folder)).lines
    assert line.count("diverged") == 0 and line.values("FD[classifier]") == [12.0]


def test_means_ranges_and_what_diverged(write_run):
    table = collect(
        facts(
            write_run("b", "rep_b", 1, scores(14.0, 3.0)),
            write_run("a", "rep_b", 0, scores(11.0, 2.0)),
            write_run("c", "hinge", 0, scores(30.0), score_size=1),
            write_run("d", "hinge", 1, diverged=["stop"], score_size=1),
            write_run("e", "rep", 0, diverged=["rollback", "stop"]),
            write_run("f", "mmd_g", 0, scores(20.0), diverged=["rollback"]),
            write_run("g", "mmd_t", 0),
            write_run("h", "wasserstein", 0, scores(1.0), score_size=1),
            write_run("i", "rep_gp", 0, scores(2.0)),
            write_run("j", "mgb", 0, scores(3.0), step=5),
            write_run("k", "rep", 7, scores(2.0), rep_weights=(1.0, 0.0)),
        )
    )
    # In the paper's order; a score of another step than the last is none.
    found = {line.method: ([r.seed for r in line.results], line.values("FD[classifier]")) for line in table.lines}
    assert list(found.items()) == [
        ("hinge", ([0, 1], [30.0])),
        ("mmd_g", ([0], [20.0])),
        ("mmd_t", ([0], [])),
        ("mgb", ([0], [])),
        ("rep", ([0], [])),
        ("rep_b", ([0, 1], [11.0, 14.0])),
    ]
    assert [line.count("diverged") for line in table.lines] == [1, 0, 0, 0, 1, 0]
    assert [line.count("no scores") for line in table.lines] == [0, 0, 1, 1, 0, 0]
    assert table.metrics == ["FD[classifier]", "CS[classifier]"] and table.others == ["h", "i", "k"]
    assert table.real == {"CS[classifier]": 5.5}
    text = markdown(table)
    assert "| MMD-rep-b | `rep_b` | 5e-04 / 2e-04 | 2 | 0 | 12.5 (11 to 14) | 2.5 (2 to 3) | 8.29 | 16.21 |" in text
    assert "| hinge | `hinge` | 5e-04 / 2e-04 | 2 | 1 | 30 | 2 | 7.33 | 23.46 |" in text
    assert "| MMD-rq | `mmd_t` | 5e-04 / 2e-04 | 1 | 0 (1 without scores) | - | - | 7.22 | 27 |" in text
    assert "| real data |  |  |  |  | - | 5.5 | 11.31 | 2.09 |" in text
    assert "these are not best ones" in text and "no method of the table: h, i, k" in text
    assert "FD and CS are computed from other features than FID and IS" in text


def test_the_best_pair_has_the_least_mean_and_no_divergence(write_run):
    pairs = {"x": (1e-4, 2e-4), "y": (2e-4, 2e-4), "z": (1e-3, 2e-4)}
    values = {"x": (9.0, 21.0), "y": (16.0, 12.0), "z": (4.0, None)}
    runs = []
    for name, (dis, gen) in pairs.items():
        for seed, value in enumerate(values[name]):
            how = {"scores": scores(value)} if value else {"diverged": ["stop"]}
            runs.append(write_run(f"{name}{seed}", "rep", seed, lr_dis=dis, lr_gen=gen, **how))
    table = collect(facts(*runs))
    # Means: 15, 14, and infinity for the pair with a diverged run.
    assert table.lines[0].rates == pairs["y"] and table.lines[0].pairs == 3
    assert "2e-04 / 2e-04 | 2 | 0 | 14 (12 to 16)" in markdown(table)
    assert "Pairs to choose from: 3 of MMD-rep" in markdown(table)
    only_lost = collect(facts(*runs[4:]))
    assert only_lost.lines[0].values("FD[classifier]") == [4.0] and only_lost.lines[0].count("diverged") == 1


def test_close_learning_rates_are_runs_and_numbers_of_their_own(write_run, monkeypatch):
    asked = {}
    monkeypatch.setattr(trained, "train_missing", lambda path, runs, *_, **__: list(asked.update(runs) or ()))
    rates = (1.5e-4, 1e-4, 2e-4)
    trained.train(TableOptions(), "table1", [Experiment(loss="rep", lr_dis=rate) for rate in rates])
    names = [f"table1_rep_{text}_2e-04_seed0" for text in ("1.5e-04", "1e-04", "2e-04")]
    assert {name: e.lr_dis for name, e in asked.items()} == dict(zip(names, rates, strict=True))
    runs = [
        RunFacts.of(write_run(f"r{rate}", "rep", 0, scores(9.0 if rate == rates[0] else 10.0), lr_dis=rate))
        for rate in rates
    ]
    assert "| 1.5e-04 / 2e-04 |" in markdown(collect(runs))
    assert ["lr 1.5e-04/2e-04" in label for label in trained.labels_of(runs)] == [True, False, False]


def test_where_more_is_better_the_best_pair_has_the_most(write_run):
    quality = {1e-4: 2.0, 5e-4: 4.0, 1e-3: 3.0}
    runs = [write_run(f"q{lr}", "rep", 0, {"CS[classifier]": value}, lr_dis=lr) for lr, value in quality.items()]
    table = collect(facts(*runs))
    assert table.lines[0].rates == (5e-4, 2e-4) and table.lines[0].values("CS[classifier]") == [4.0]
    assert "of the best mean CS[classifier] is shown" in markdown(table)


def test_scores_of_last_weights_do_not_take_the_place_of_averaged_ones(write_run):
    run = write_run("a", "rep", 0, scores(12.0), mark={"weights": "ema"})
    line = {"metric": "FD[classifier]", "value": 90.0, "step": 10, "by": "evaluate", "weights": "last", **MARK}
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({**line, "evaluation": "f", "parts": 1}) + "\n")
    assert collect(facts(run)).lines[0].values("FD[classifier]") == [12.0]


def test_files_hold_every_number(write_run, tmp_path):
    folders = [
        write_run(f"{loss}{s}", loss, s, scores(10.0 * s + n))
        for n, loss in enumerate(["mmd_g", "rep"], 1)
        for s in (1, 2)
    ]
    folders.append(write_run("slow", "rep", 1, scores(50.0), lr_dis=1e-5))
    output = make(TableOptions(out=str(tmp_path / "out"), runs=tuple(map(str, folders))))
    assert [f.name for f in output.files] == [f"table1{e}" for e in (".png", ".pdf", ".csv", "_runs.csv", ".md")]
    rows = [r for r in csv.DictReader((tmp_path / "out/table1.csv").open()) if r["metric"] == "FD[classifier]"]
    assert [(r["method"], float(r["mean"]), float(r["least"]), float(r["greatest"])) for r in rows] == [
        ("MMD-rbf", 16.0, 11.0, 21.0),
        ("MMD-rep", 17.0, 12.0, 22.0),
    ]
    assert [float(r["standard_deviation"]) for r in rows] == pytest.approx([math.sqrt(50)] * 2)
    assert [(r["paper_metric"], r["paper_value"], r["pairs"]) for r in rows] == [
        ("FID", "28.38", "1"),
        ("FID", "16.65", "2"),
    ]
    every = list(csv.DictReader((tmp_path / "out/table1_runs.csv").open()))
    assert {(r["run"], r["in_table"]) for r in every} == {(f.name, str(f.name != "slow")) for f in folders}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 32}, "batch_size 64, b has 32"),
        ({"max_step": 20}, "max_step 10, b has 20"),
        ({"r1": 10.0}, "r1 None, b has 10.0"),
        ({"imbalanced_update": (1, 5)}, r"imbalanced_update None, b has \[1, 5\]"),
        ({"data": "sample"}, "data cifar10, b has sample"),
        ({"seed": 0}, "of one loss, seed and pair of learning rates"),
        ({"score_size": 4}, "16 and 4 outputs"),
        ({"mark": {"count": 50}}, r"FD\[classifier\] of b was not computed as that of a: images 50, not 100"),
    ],
)
def test_what_cannot_stand_in_one_table_is_refused(write_run, change, message):
    first = write_run("a", "rep", 0, scores(1.0))
    second = write_run("b", "rep", **{"seed": 1, "scores": scores(2.0)} | change)
    with pytest.raises(ConfigError, match=message):
        collect(facts(first, second))


def test_seeds_may_choose_real_images_of_their_own(write_run):
    first = write_run("a", "rep", 0, scores(1.0))
    collect(facts(first, write_run("b", "rep", 1, scores(2.0), mark={"real_hash": "2"})))
    same_seed = write_run("c", "rep_b", 0, scores(3.0), mark={"real_hash": "2"})
    with pytest.raises(ConfigError, match=r"of c was not computed as that of a: choice of real images"):
        collect(facts(first, same_seed))


@pytest.mark.parametrize("option", [{"biased": True}, {"add_dot": 0.1}, {"sigma": (2.0,)}])
def test_a_loss_with_options_of_its_own_is_none_of_the_papers(write_run, option):
    plain, own = facts(write_run("a", "mmd_g"), write_run("b", "mmd_g", **option))
    assert method_of(plain) == "mmd_g"
    assert method_of(own) is None


def test_other_networks_images_and_methods_are_refused(write_run, tmp_path):
    first, second = (write_run(name, "rep", seed, scores(1.0)) for seed, name in enumerate("ab"))
    config = json.loads((second / "config.json").read_text())
    config["data"]["fingerprint"] = "g"
    (second / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="different images of one name"):
        collect(facts(first, second))
    config["architecture"]["discriminator"][0]["out"] = 8
    (second / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="a and b have different networks"):
        collect(facts(first, second))
    with pytest.raises(ConfigError, match="none of the runs is of a method"):
        collect(facts(first), ["hinge"])
    with pytest.raises(ConfigError, match="methods names nosuch"):
        make(TableOptions(out=str(tmp_path), methods=("nosuch",)))
    with pytest.raises(ConfigError, match="learning_rates has '5e-4'"):
        make(TableOptions(out=str(tmp_path), learning_rates=("5e-4",)))


def test_paper_scores_are_table_1(tmp_path):
    found = paper_scores("celeba")
    assert found["rep_b", "FID"] == 6.79 and found["", "MS-SSIM"] == 0.2678 and ("mmd_g", "IS") not in found
    assert len(paper_scores("cifar10")) == 16 and paper_scores("sample") == {}


def test_rank_correlation_is_spearmans_with_an_exact_p():
    from scipy.stats import spearmanr

    a, b = (3.0, 1.0, 4.0, 1.5, 9.0), (2.0, 7.0, 1.0, 8.0, 2.5)
    rho, p = rank_correlation(a, b)
    assert rho == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)
    every = [abs(spearmanr(a, order).statistic) for order in itertools.permutations(b)]
    assert p == pytest.approx(sum(r >= abs(rho) - 1e-9 for r in every) / len(every))
    assert rank_correlation(a, a)[1] == pytest.approx(2 / 120)


@pytest.mark.slow
def test_quick_trains_scores_and_resumes_without_repeating(tiny_architecture, tmp_path, block_means, monkeypatch):
    options = TableOptions(
        out=str(tmp_path), quick=True, architecture=tiny_architecture, max_step=2, batch_size=8, score_count=64,
        methods=("hinge", "rep"), seeds=(3,), metrics=("fid", "is"), features="classifier",
    )  # fmt: skip
    first = make(options)
    ours = [r for r in csv.DictReader((tmp_path / "table1.csv").open()) if r["metric"] == "FD[classifier]"]
    assert [r["method"] for r in ours] == ["hinge", "MMD-rep", "real data"]
    assert all(math.isfinite(float(r["mean"])) for r in ours)
    text = first.files[-1].read_bytes()
    monkeypatch.setattr(Experiment, "run", lambda *_, **__: pytest.fail("a finished run was trained again"))
    assert make(options).files[-1].read_bytes() == text


def test_what_is_trained_is_a_sweep_whose_diverged_runs_are_not_repeated(monkeypatch, tiny_architecture, tmp_path):
    asked, ends = [], {"rep": "diverged", "hinge": "finished"}

    def fake_training(experiment, _):
        asked.append(experiment)
        folder = experiment.folder()
        folder.path.mkdir(parents=True)
        folder.config_file.write_text(json.dumps(experiment.config()))
        return {"status": ends[experiment.loss], "step": 2, "error": "no room"}

    monkeypatch.setattr(worker, "_train", fake_training)
    monkeypatch.setattr(worker, "write_hparams", lambda _: None)
    options = TableOptions(
        out=str(tmp_path), quick=True, architecture=tiny_architecture, max_step=2, learning_rates=("1e-3/2e-3",),
        seeds=(4,), methods=("rep", "hinge"), metrics=("fid",), features="classifier",
    )  # fmt: skip
    for _ in range(2):
        make(options)
    [rep, hinge] = asked
    assert (rep.loss, rep.seed, rep.lr_dis, rep.lr_gen, rep.metrics) == ("rep", 4, 1e-3, 2e-3, ("fid",))
    folder = tmp_path / "quick_runs" / "sweeps" / "table1"
    assert rep.folder().path == folder / "sample" / "table1_rep_1e-03_2e-03_seed4"
    figures = dataclasses.replace(options, methods=(), batch_size=8)
    with pytest.raises(ConfigError, match="figures_rep_5e-04_2e-04_seed0 has diverged, and a figure needs it"):
        trained.given_or_trained(figures, ("rep",))
    ends["hinge"] = "failed"
    with pytest.raises(ConfigError, match="training .*figures_hinge.*: no room"):
        trained.given_or_trained(figures, ("hinge",))
