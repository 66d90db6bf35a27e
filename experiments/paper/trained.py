"""The runs behind a figure: given ones are opened, missing ones are trained; and the paper's names of the methods."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import option
from mmdgan.core.startup import prepare_tensorflow
from mmdgan.core.text import rate
from mmdgan.losses import registry as losses
from mmdgan.report.facts import RunFacts, run_folders
from mmdgan.runs.experiment import LOSS_OPTIONS, Experiment
from mmdgan.sweeps.folder import DIVERGED, Outcome, Point, sweep_folder
from mmdgan.sweeps.run import EngineOptions, train_missing
from paper.output import FigureOptions

METHODS = {
    "logistic": "non-saturating",
    "hinge": "hinge",
    "mmd_g": "MMD-rbf",
    "mmd_t": "MMD-rq",
    "mgb": "MMD-rbf-b",
    "rep": "MMD-rep",
    "rep_b": "MMD-rep-b",
}
"""The methods of the paper's Table 1, in its order: our name of the loss, and the paper's name of the method."""


@dataclasses.dataclass(frozen=True)
class TrainedOptions(FigureOptions):
    """The flags of figures that are made of runs: which ones, or how to train them."""

    runs: tuple[str, ...] = option((), "run directories, also given as words; none: train them", "the runs")
    data: str = option("sample", "data set to train on", "training what is missing")
    data_root: str | None = option(
        None, "folder of the data sets; none: that of each run, Data for new ones", "the runs"
    )
    architecture: str | None = option(
        None, "networks; none: sample/DCGAN_SMALL for sample, else DATA/DCGAN", "training what is missing"
    )
    max_step: int | None = option(None, "steps; none: 2,000, with --quick 20", "training what is missing")
    batch_size: int | None = option(None, "images per step; none: 64, with --quick 16", "training what is missing")
    lr_dis: float = option(5e-4, "learning rate of the critic", "training what is missing")
    lr_gen: float = option(2e-4, "learning rate of the generator", "training what is missing")
    results: str | None = option(
        None, "runs go to RESULTS/sweeps; none: Results, with --quick OUT/quick_runs", "training what is missing"
    )


def experiment_of(options: TrainedOptions, loss: str, **changes: Any) -> Experiment:
    """The run that a figure trains for a loss where none was given; by default without scores.

    Args:
        options: The figure's.
        loss: Name of the loss.
        changes: Further fields of the experiment.
    """
    quick, data = options.quick, options.data
    fields: dict[str, Any] = {
        "architecture": options.architecture or ("sample/DCGAN_SMALL" if data == "sample" else f"{data}/DCGAN"),
        "data": data,
        "data_root": options.data_root or "Data",
        "loss": loss,
        "seed": options.seed,
        "batch_size": options.batch_size or (16 if quick else 64),
        "lr_dis": options.lr_dis,
        "lr_gen": options.lr_gen,
        "max_step": options.max_step or (20 if quick else 2000),
        "rounds": 1,
        "grid": (10, 10),
        "metrics": (),
    }
    return Experiment(**{**fields, **changes})


def given(words: Sequence[str]) -> list[RunFacts]:
    """The runs of a command line; what is passed over below a directory is printed. ConfigError as `run_folders`."""
    return [RunFacts.of(folder) for folder in run_folders(list(words), print)]


def given_or_trained(options: TrainedOptions, names: tuple[str, ...]) -> list[RunFacts]:
    """The runs that were given; without any, those of these losses, trained as far as they are missing.

    Raises:
        ConfigError: A directory that is not a run; a training that failed or diverged.
    """
    prepare_tensorflow()
    if options.runs:
        return given(options.runs)
    outcomes = train(options, "figures", [experiment_of(options, name) for name in names])
    for point, outcome in outcomes:
        if outcome.status == DIVERGED:
            raise ConfigError(
                f"{point.experiment.folder().path} has diverged, and a figure needs it: give another --seed, or lower "
                "rates."
            )
    return [RunFacts.of(point.experiment.folder()) for point, _ in outcomes]


def train(options: TrainedOptions, prefix: str, experiments: Sequence[Experiment]) -> list[tuple[Point, Outcome]]:
    """Trains the runs that are neither finished nor diverged, by the sweep RESULTS/sweeps/PREFIX.

    Args:
        options: The figure's; with --quick the runs are so short that they are trained in this process.
        prefix: Name of the sweep, with which the names of its runs begin.
        experiments: One of each loss, pair of learning rates and seed.

    Raises:
        ConfigError: A training failed.
        SweepInterrupted: This process was interrupted; the run under way has saved its state.
    """
    results = options.results or (str(Path(options.out, "quick_runs")) if options.quick else "Results")
    runs = {f"{prefix}_{e.loss}_{rate(e.lr_dis)}_{rate(e.lr_gen)}_seed{e.seed}": e for e in experiments}
    outcomes = train_missing(
        sweep_folder(prefix, results), runs, EngineOptions(jobs=1), in_process=options.quick, say=print
    )
    for point, outcome in outcomes:
        if not outcome.is_result:
            raise ConfigError(f"training {point.experiment.folder().path}: {outcome.error}")
    return outcomes


def method_of(facts: RunFacts) -> str | None:
    """Our name of the paper's method that a run is one of, a key of `METHODS`; None for losses of other kinds.

    A loss with gradient penalty or scale, or with options of its own but the paper's weights, is none of them.
    """
    e = facts.experiment
    loss = losses.get(e["loss"])
    given = [name for name in LOSS_OPTIONS if name != "rep_weights" and e.get(name) not in (None, False)]
    if loss.penalty is not None or loss.uses_scale or given:
        return None
    if e["rep_weights"] is not None and tuple(e["rep_weights"]) != (0.0, -1.0):
        return None
    return next((name for name in METHODS if losses.canonical_name(name) == loss.canonical), None)


def title_of(facts: RunFacts) -> str:
    """What a figure calls a run's method: the paper's name, else the loss as typed."""
    method = method_of(facts)
    return METHODS[method] if method else facts.experiment["loss"]


def labels_of(runs: Sequence[RunFacts]) -> list[str]:
    """What a figure calls each of its runs: method, seed, and those settings that are not the same in all of them."""
    settings = [_settings(run) for run in runs]
    varying = [part for part in range(len(settings[0])) if len({of[part] for of in settings}) > 1]
    return [
        ", ".join([title_of(run), f"seed {run.experiment['seed']}", *(of[part] for part in varying)])
        for run, of in zip(runs, settings, strict=True)
    ]


def settings_of(*runs: RunFacts) -> str:
    """The settings that runs share, in one phrase: "cifar10/DCGAN, 100 steps, batches of 64, lr 5e-04/2e-04"."""
    settings = [_settings(run) for run in runs]
    return ", ".join(part for part in settings[0] if all(part in of for of in settings))


def _settings(facts: RunFacts) -> list[str]:
    e = facts.experiment
    steps, batch = f"{e['max_step']:,} steps", f"batches of {e['batch_size']}"
    return [e["architecture"], steps, batch, f"lr {rate(e['lr_dis'])}/{rate(e['lr_gen'])}"]


def open_images(facts: RunFacts, data_root: str | None = None) -> Any:
    """A run's data set, read as it is needed; DataError where it is not available.

    Args:
        facts: The run.
        data_root: Replaces the run's own place of data sets.
    """
    from mmdgan.runs.train import open_data

    experiment = Experiment.load(facts.folder.path)
    return open_data(dataclasses.replace(experiment, data_root=data_root or experiment.data_root), "stream")


def real_images(facts: RunFacts, count: int, seed: int, data_root: str | None = None) -> tuple[Any, Any, Any]:
    """Images of a run's data set, as scores choose them: their numbers (N,), uint8 (N, H, W, C), labels (N,) or None.

    Raises:
        DataError: The data set is not available, or smaller.
    """
    from mmdgan.data import pipeline

    return pipeline.real_images(open_images(facts, data_root), count, seed)
