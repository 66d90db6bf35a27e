"""The MMD GAN study on MNIST and Fashion-MNIST: its rows, its flags, and its runs, which are a sweep.

A study is a folder: `study.json` holds the plan, `runs/` the sweep with an ordinary run directory per row and seed. The
same command goes on where a study was stopped and repeats no finished run. Each run has one thread, so that processor
time compares rows on any number of cores. Imports neither TensorFlow nor NumPy.

Source: Benaziza, Baranova, Meziane, a student study of MMD as a GAN's loss, 2024; the repulsive and bounded losses are
those of Wang, Sun, Halgamuge, ICLR 2019, and the drift is that of Deng et al. 2026. Three rows run on the embedded
colour images of `--data sample` too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmdgan.cli import flags
from mmdgan.core.errors import ConfigError
from mmdgan.core.files import write_json
from mmdgan.core.options import check_limits, option
from mmdgan.core.text import format_value, nearest
from mmdgan.runs.experiment import Experiment
from mmdgan.runs.folder import RunFolder
from mmdgan.sweeps.folder import FAILED, FINISHED, WAITING, Outcome, SweepFolder
from mmdgan.sweeps.run import EngineOptions, train_missing
from study.lenet import ensure, with_lenet
from study.plan import keep_plan

VARIANCES = (2.0, 5.0, 10.0, 20.0, 40.0, 80.0)
"""The a of the study's sum of Gaussians exp(-D / (2 a))."""

WIDER_VARIANCES = tuple(4 * a for a in VARIANCES)
"""Of random features, whose squared distances are some twice those of pixels (medians on Fashion-MNIST: 670 to 1,100
with three seeds, against 530), and thousands from noise: with `VARIANCES` all kernels would be 0 there."""

_COMMON = {
    "data": "fashion_mnist",
    "loss": "mmd_g",
    "variance": VARIANCES,
    "batch_size": 64,
    "lr_dis": 2e-4,
    "lr_gen": 2e-4,
    "max_step": 20_000,
    "rounds": 4,
    "query_step": 500,
    "save_every": 500,
    "grid": (10, 10),
    "features": "classifier",
    "metrics": ("fid", "is", "prdc", "nn"),
    "score_count": 5000,
}
"""What the rows share: Adam with beta1 0.5 and 2e-4, batch 64, the study's kernels."""


class Row(NamedTuple):
    """One row of the comparison.

    Attributes:
        experiment: What it trains.
        features: What the kernel compares, in a few words.
        penalty: The gradient penalty, in a few words.
        title: What is special about it.
    """

    experiment: Experiment
    features: str
    penalty: str
    title: str


_WIDE, _WIDE_SN = "64-128-256, trained", "64-128-256, trained, spectral norm"


def _row(title: str, features: str, architecture: str, penalty: str = "none", **fields: Any) -> Row:
    experiment = Experiment(**{**_COMMON, "architecture": f"mnist/{architecture}", **fields})
    if experiment.loss not in ("mmd_g", "mmd_g_gp"):
        experiment = dataclasses.replace(experiment, variance=None)
    return Row(experiment, features, penalty, title)


_PENALTY: dict[str, Any] = {"penalty_weight": 0.1}
_FIXED: dict[str, Any] = {"fixed_critic": True}
_DRIFT: dict[str, Any] = {"loss": "drift", **_FIXED}
_LARGE: dict[str, Any] = {"batch_size": 256, "micro_batch": 64}

ROWS = {
    "pixels": _row("fixed kernel on pixels", "pixels", "PIXELS"),
    "random_features": _row(
        "fixed random features", "random convolutions, fixed", "RANDOM_FEATURES", variance=WIDER_VARIANCES, **_FIXED
    ),
    "lenet": _row("fixed LeNet features", "LeNet-5, fixed", "LENET", **_FIXED),
    "trained": _row("trained features, MLP generator", "small convolutions, trained", "MLP_TRAINED"),
    "rare": _row(
        "features trained every 500th step", "64-128-256, trained rarely", "DCGAN", imbalanced_update=(500, 1)
    ),
    "dcgan": _row("DCGAN", _WIDE, "DCGAN"),
    "penalty": _row("DCGAN with gradient penalty", _WIDE, "DCGAN", "0.1, of the witness", loss="mmd_g_gp", **_PENALTY),
    "wgan_gp": _row("WGAN with gradient penalty", _WIDE, "DCGAN", "0.1, of the score", loss="wasserstein", **_PENALTY),
    "attractive_sn": _row("attractive loss, spectral norm", _WIDE_SN, "DCGAN_SN"),
    "repulsive": _row("repulsive loss", _WIDE_SN, "DCGAN_SN", loss="rep"),
    "bounded": _row("bounded repulsive loss", _WIDE_SN, "DCGAN_SN", loss="rep_b"),
    "drift_pixels": _row("drift of pixels", "pixels", "PIXELS", **_DRIFT),
    "drift_large": _row("drift of pixels, batch 256", "pixels", "PIXELS", **_DRIFT, **_LARGE),
    "drift": _row("drift of random features", "random convolutions, fixed", "RANDOM_FEATURES", **_DRIFT),
}
"""The rows by their names, in the order of the study. That of "lenet" wants `with_lenet`."""

ON_SAMPLE = {"random_features": "RANDOM_FEATURES", "drift": "RANDOM_FEATURES", "bounded": "DCGAN_SMALL"}
"""The rows that --data sample has, and their networks of sample/; rates are those of experiments/my_test_sample.py."""

_SCRIPTS = {
    "attractive_sn": "mnist_dcgan.py --architecture mnist/DCGAN_SN",
    "drift_pixels": "mnist_pixels.py --loss drift --variance none --fixed_critic",
    "drift_large": "mnist_pixels.py --loss drift --variance none --fixed_critic --batch_size 256 --micro_batch 64",
    "drift": "mnist_random_features.py --loss drift --variance none",
}
"""How rows that share a script of another are called."""


POINT_SETS = ("ring", "grid")
"""The distributions of the study's runs on points (`study.report_points`)."""

BUDGET_MINUTES = 50.0
"""The budget of a study that is given neither a budget nor steps."""

_SAMPLE_RATE = 1e-3

_LAST_STEP = 1_000_000
"""`max_step` of runs that their processor time ends."""


@dataclasses.dataclass(frozen=True)
class Study:
    """The options of `experiments/mmd_study.py`; every field is a flag of it."""

    out: str = option("Results/mmd_study", "folder of the study", "the study")
    rows: tuple[str, ...] = option(tuple(ROWS), "rows to train", "the study")
    seeds: tuple[int, ...] = option((0, 1), "seeds; each is a run of every row", "the study")
    data: str = option(
        "fashion_mnist", "data set: mnist, fashion_mnist, another one of 1x28x28 images, or sample", "the study"
    )
    data_root: str = option("Data", "folder of the data sets", "the study")
    source: str | None = option(None, "copy of the data set to convert, as `prepare --source` takes it", "the study")
    points: tuple[str, ...] = option(
        ("ring",),
        "distributions of the runs on points in the plane, ring and grid, some 10 s each run; none: no such runs",
        "the study",
    )
    points_rows: tuple[str, ...] = option(
        (), "those of these runs whose names have such a part; none: all", "the study"
    )
    points_seconds: float | None = option(
        None, "train each of these runs for so much processor time, instead of 8,000 steps", "cost", positive=True
    )
    budget_minutes: float | None = option(
        None,
        "minutes for training on images, on a machine with --jobs free cores: each run gets equal processor time, and "
        f"scores come on top; none: {BUDGET_MINUTES:.0f}, unless --steps is given",
        "cost",
        positive=True,
    )
    steps: int | None = option(None, "train each run for so many steps instead", "cost", least=1)
    jobs: int = option(2, "runs at a time, each with one thread", "cost", least=1)
    score_count: int = option(5000, "generated and real images of the scores", "cost")
    half: bool = option(False, "halve the width of the DCGANs, at about a quarter of the cost", "cost")
    report_only: bool = option(False, "train nothing; write the report of what is there", "cost")

    def check(self) -> None:
        """Refuses what cannot be done.

        Raises:
            ConfigError: It names the flag.
        """
        check_limits(self)
        for row in self.rows:
            if row not in ROWS:
                raise ConfigError(f"rows has {row!r}{nearest(row, list(ROWS))}; the rows are {', '.join(ROWS)}.")
        if unknown := sorted(set(self.points) - set(POINT_SETS)):
            raise ConfigError(f"points has {unknown[0]!r}; the study has runs on {' and '.join(POINT_SETS)}.")
        if self.data == "sample" and (missing := [row for row in self.rows if row not in ON_SAMPLE]):
            raise ConfigError(f"The row {missing[0]} is not for --data sample; give --rows {','.join(ON_SAMPLE)}.")
        for name in ("rows", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise ConfigError(f"{name} is {format_value(values) or 'empty'}; give one or more, each once.")
        if self.steps is not None and self.budget_minutes is not None:
            raise ConfigError("Give either --budget_minutes or --steps: a budget says how long each run trains.")
        self.experiment(self.rows[0], self.seeds[0]).resolved()

    def budget(self) -> float | None:
        """The minutes of all runs of images; None where `steps` says how long they are."""
        if self.steps is not None:
            return None
        return BUDGET_MINUTES if self.budget_minutes is None else self.budget_minutes

    def experiment(self, row: str, seed: int) -> Experiment:
        """What the run of a row with a seed trains."""
        experiment = dataclasses.replace(
            ROWS[row].experiment,
            data=self.data,
            data_root=self.data_root,
            source=self.source,
            seed=seed,
            max_step=self.steps or _LAST_STEP,
            rounds=1,
            query_step=500 if self.steps is None else max(1, self.steps // 20),
            save_every=None,
            save_secs=60.0,
            keep=1,
            keep_best=None,
            score_count=self.score_count,
        )
        if row == "lenet":
            experiment = with_lenet(experiment)
        if self.data == "sample":
            return dataclasses.replace(
                experiment, architecture=f"sample/{ON_SAMPLE[row]}", lr_dis=_SAMPLE_RATE, lr_gen=_SAMPLE_RATE
            )
        if self.half and experiment.architecture in ("mnist/DCGAN", "mnist/DCGAN_SN"):
            experiment = dataclasses.replace(experiment, architecture=f"{experiment.architecture}_HALF")
        return experiment

    def folder(self) -> SweepFolder:
        """The sweep of its runs."""
        return SweepFolder(Path(self.out) / "runs")

    def runs(self) -> list[StudyRun]:
        """Every run and what came of it so far, row by row."""
        found = []
        for row in self.rows:
            for seed in self.seeds:
                name, results = f"{row}_seed{seed}", str(self.folder().path)
                experiment = dataclasses.replace(self.experiment(row, seed), results=results, run_name=name)
                outcome = self.folder().outcome(name) or Outcome(name, WAITING)
                found.append(StudyRun(row, seed, experiment.folder(), outcome))
        return found


class StudyRun(NamedTuple):
    """One run of a study: its row and seed, its directory, and what came of it."""

    row: str
    seed: int
    folder: RunFolder
    outcome: Outcome

    @property
    def name(self) -> str:
        return self.outcome.run

    @property
    def finished(self) -> bool:
        return self.outcome.status == FINISHED

    def records(self) -> dict[str, dict[str, Any]]:
        """The scores after the last step, by name; {} until the run is finished."""
        records = self.folder.latest_scores(self.outcome.step) if self.finished else []
        return {record["metric"]: record for record in records}


def run_study(study: Study) -> list[StudyRun]:
    """Trains what is missing; returns all runs of the study, finished or not.

    Raises:
        ConfigError: A study that is not valid, or whose folder holds another one; or every run failed.
    """
    study.check()
    limits = budgets(study)
    if study.report_only:
        return study.runs()
    if "lenet" in study.rows:
        ensure(study.data, study.data_root, study.source)
    # By seeds first: a study that is stopped has whole rows of the first seed.
    asked = {f"{row}_seed{seed}": study.experiment(row, seed) for seed in study.seeds for row in study.rows}
    seconds = None if study.steps else {name: limits[name.rpartition("_seed")[0]] for name in asked}
    options = EngineOptions(jobs=study.jobs, threads=1)
    train_missing(study.folder().path, asked, options, seconds=seconds, say=lambda line: print(line, flush=True))
    runs = study.runs()
    failed = [run.outcome for run in runs if run.outcome.status == FAILED]
    if failed and not any(run.finished for run in runs):
        raise ConfigError(f"{failed[0].run}: {failed[0].error}")
    return runs


def budget_seconds(study: Study) -> float:
    """Processor time for the training of one run, in a study of so many minutes."""
    minutes = study.budget()
    assert minutes is not None
    return minutes * 60 * study.jobs / (len(study.rows) * len(study.seeds))


def budgets(study: Study) -> dict[str, float]:
    """Processor time of a run of each row; {} with `steps`. A row keeps what it was given when others are added.

    Raises:
        ConfigError: The folder holds another study.
    """
    plan = {**dataclasses.asdict(study), "budget_minutes": study.budget()}
    for name in "out jobs report_only source rows seeds points points_rows points_seconds".split():
        del plan[name]  # of one call, or may grow
    kept = keep_plan(Path(study.out) / "study.json", plan, "--out", check=not study.report_only)
    if study.steps is not None:
        return {}
    limits = {row: budget_seconds(study) for row in study.rows} | kept.get("seconds", {})
    if not study.report_only:
        write_json(Path(study.out) / "study.json", {**kept, "seconds": limits})
    return limits


def main(words: Sequence[str], usage: str = "") -> int:
    """Runs the study that the flags ask for and writes its report."""
    study: Study = flags.parse(Study(), words, usage=usage).options
    runs = run_study(study)
    from study.report import write_report
    from study.report_points import points_sections

    print(f"Report:  {write_report(study, runs, points_sections(study))}")
    return 0


def script(row: str, data: str) -> str:
    """The command of a row alone."""
    if data == "sample":
        return f"experiments/mmd_study.py --data sample --rows {row}"
    return f"experiments/{_SCRIPTS.get(row, f'mnist_{row}.py')} --data {data}"
