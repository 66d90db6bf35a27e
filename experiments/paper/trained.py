"""The runs behind a figure: given ones are opened, missing ones are trained; and the paper's names of the methods."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import changed_flags, option
from mmdgan.core.processes import Supervisor
from mmdgan.losses import registry as losses
from mmdgan.runs.experiment import LOSS_OPTIONS
from paper.output import FigureOptions

if TYPE_CHECKING:
    from mmdgan.report.facts import RunFacts
    from mmdgan.runs.experiment import Experiment

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

_DIVERGED = 3  # exit status of `train`


@dataclasses.dataclass(frozen=True)
class TrainedOptions(FigureOptions):
    """The flags of figures that are made of runs: which ones, or how to train them."""

    runs: tuple[str, ...] = option((), "run directories, also given as words without a flag; none: train", "the runs")
    data: str = option("sample", "the data set to train on", "training what is missing")
    data_root: str | None = option(
        None, "the folder that holds the data sets; none: where each run found its own, Data for new ones", "the runs"
    )
    architecture: str | None = option(
        None, "none: sample/DCGAN_SMALL for sample, DATA/DCGAN else", "training what is missing"
    )
    max_step: int | None = option(None, "none: 2,000; with --quick 20", "training what is missing")
    batch_size: int | None = option(None, "none: 64; with --quick 16", "training what is missing")
    lr_dis: float = option(5e-4, "the critic's learning rate", "training what is missing")
    lr_gen: float = option(2e-4, "the generator's learning rate", "training what is missing")
    results: str | None = option(
        None, "where its runs go; none: Results, with --quick OUT/quick_runs", "training what is missing"
    )


def experiment_of(options: TrainedOptions, loss: str, seed: int | None = None, **changes: Any) -> Experiment:
    """The run that a figure trains for a loss where none was given; by default without scores.

    Args:
      options: the figure's.
      loss: its name.
      seed: of the run; the figure's by default.
      changes: further fields of the experiment.
    """
    from mmdgan.runs.experiment import Experiment

    quick, data = options.quick, options.data
    seed = options.seed if seed is None else seed
    rates = f"{changes.get('lr_dis', options.lr_dis):.0e}_{changes.get('lr_gen', options.lr_gen):.0e}"
    return Experiment(
        **{
            "architecture": options.architecture or ("sample/DCGAN_SMALL" if data == "sample" else f"{data}/DCGAN"),
            "data": data,
            "data_root": options.data_root or "Data",
            "loss": loss,
            "seed": seed,
            "batch_size": options.batch_size or (16 if quick else 64),
            "lr_dis": options.lr_dis,
            "lr_gen": options.lr_gen,
            "max_step": options.max_step or (20 if quick else 2000),
            "rounds": 1,
            "grid": (10, 10),
            "metrics": (),
            "results": options.results or (str(Path(options.out, "quick_runs")) if quick else "Results"),
            "run_name": f"figures_{loss}_{rates}_seed{seed}",
            **changes,
        }
    )


def given_or_trained(options: TrainedOptions, names: tuple[str, ...]) -> list[RunFacts]:
    """The runs that were given; without any, those of these losses, trained as far as they are missing.

    Raises:
      ConfigError: a directory that is no run; a training that ended without a checkpoint of its last step.
    """
    from mmdgan.core.startup import prepare_tensorflow
    from mmdgan.report.facts import RunFacts, run_folders

    prepare_tensorflow()
    if options.runs:
        return [RunFacts.of(folder) for folder in run_folders(list(options.runs))]
    found = []
    for name in names:
        experiment = experiment_of(options, name)
        train(experiment, in_process=options.quick)
        if is_diverged(folder := experiment.folder().path):
            raise ConfigError(f"{folder} has diverged, and a figure needs it: give another --seed, or lower rates.")
        found.append(RunFacts.of(folder))
    return found


def train(experiment: Experiment, in_process: bool = False) -> None:
    """Trains a run unless it is finished or has diverged; an unfinished one is resumed.

    Args:
      experiment: with a run name.
      in_process: here, for tiny runs; else by `python -m mmdgan train` in a process of its own, as one would by hand.

    Raises:
      ConfigError: the child ended with an error, which it has printed.
      KeyboardInterrupt: this process was interrupted; the child has saved its state before.
    """
    folder = experiment.folder().path
    if is_diverged(folder) or is_finished(experiment):
        print(f"{folder} is there{' (diverged)' if is_diverged(folder) else ''}.", flush=True)
        return
    if in_process:
        from mmdgan.training.divergence import Diverged

        try:
            experiment.run()
        except Diverged as error:
            print(f"{folder}: {error}.", flush=True)
        return
    words = [sys.executable, "-m", "mmdgan", "train", *changed_flags(experiment)]
    print(f"Training {folder}.", flush=True)
    status = Supervisor().run(words).status
    if status not in (0, _DIVERGED):
        raise ConfigError(f"training {folder} ended with status {status}; its message is above. Run this again then.")


def is_diverged(folder: str | os.PathLike) -> bool:
    """Whether a run stopped by divergence; one that went back and trained on did not."""
    from mmdgan.training.divergence import records

    found = records(Path(folder))
    return bool(found) and found[-1].get("action") == "stop"


def is_finished(experiment: Experiment) -> bool:
    """Whether a run has its last step: the checkpoint, and the scores if any are wanted."""
    folder = experiment.folder()
    if not folder.config_file.is_file() or experiment.max_step not in folder.steps():
        return False
    return not experiment.metrics or any(record["step"] == experiment.max_step for record in folder.records())


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
    return [e["architecture"], steps, batch, f"lr {e['lr_dis']:.0e}/{e['lr_gen']:.0e}"]


def open_images(facts: RunFacts, data_root: str | None = None) -> Any:
    """A run's data set, read as it is needed; DataError where it is not at hand.

    Args:
      facts: of the run.
      data_root: another place than the run's own.
    """
    from mmdgan.runs.train import open_data

    experiment = facts.folder.experiment()
    return open_data(dataclasses.replace(experiment, data_root=data_root or experiment.data_root), "stream")


def real_images(facts: RunFacts, count: int, seed: int, data_root: str | None = None) -> tuple[Any, Any, Any]:
    """Images of a run's data set, as scores choose them: their numbers (N,), uint8 (N, H, W, C), labels (N,) or None.

    Raises:
      DataError: the data set is not at hand, or smaller.
    """
    from mmdgan.core.errors import DataError
    from mmdgan.core.shuffling import permutation
    from mmdgan.data.order import REAL_IMAGES
    from mmdgan.data.pipeline import channels_last

    data = open_images(facts, data_root)
    if count > data.count:
        raise DataError(f"{count:,} images of {data.name} are wanted, but it holds {data.count:,}: ask for fewer.")
    chosen = permutation(data.count, seed, REAL_IMAGES)[:count]
    images, labels = data.take(chosen)
    return chosen, channels_last(images), labels
