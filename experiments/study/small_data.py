"""Augmentation on a small part of a data set: DiffAugment and ADA against none, with equal processor time.

Each run trains on the same few images, with one thread, until its processor time is used up; it is scored on the way
and at the end, against images that no run has seen. The runs are a sweep with a budget, and scores are kept in files,
so that the same command goes on where it was stopped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import re
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdgan.cli import main
from mmdgan.core.errors import ConfigError
from mmdgan.core.files import write_json
from mmdgan.core.lazy import np
from mmdgan.core.options import option
from mmdgan.core.text import format_value, nearest
from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps.folder import FINISHED, Outcome, Point, SweepFolder
from mmdgan.sweeps.run import EngineOptions, train_missing
from paper.output import FigureOptions, Output, new_figure
from study.plan import keep_plan

ROWS = ("none", "diffaugment", "ada")

_KINDS = ("color", "translation", "cutout")
_LAST_STEP = 10_000_000  # no run gets so far: its processor time ends it
_SHOWN = 6  # rows and columns of samples
_COLORS = {"none": "#6b6b6b", "diffaugment": "#1f77b4", "ada": "#d62728"}


@dataclasses.dataclass(frozen=True)
class SmallDataOptions(FigureOptions):
    """The options of `experiments/small_data.py`; every field is a flag of it."""

    work: str = option("Results/small_data", "folder of the images, the runs and their scores", "the study")
    rows: tuple[str, ...] = option(ROWS, "augmentation: never, always, or as much as ADA finds", "the study", ROWS)
    seeds: tuple[int, ...] = option((0,), "seeds of weights and data order; each is a run of every row", "the study")
    minutes: float = option(20.0, "processor time of each run's training", "the study")
    parts: int = option(4, "how often to score a run, in equal parts of its time", "the study")
    images: int = option(1000, "training images, chosen by --seed; all runs have the same", "the images")
    data: str = option("cifar10", "data set that they are from", "the images")
    data_root: str = option("Data", "folder of the data sets", "the images")
    source: str | None = option(None, "copy of the data set to convert, as `prepare --source` takes it", "the images")
    score_count: int = option(5000, "generated and held-out images of the scores", "scores")
    metrics: tuple[str, ...] = option(("fid", "kid"), "metrics; the first one is drawn", "scores")
    features: str = option("auto", "features of the scores, as `evaluate` takes them", "scores")
    classifier_data: str | None = option(None, "labelled data set for the classifier; none: --data", "scores")
    architecture: str = option("cifar10/DCGAN_QUARTER", "the networks", "training")
    loss: str = option("rep_b", "the loss", "training")
    batch_size: int = option(64, "images per step", "training")
    lr_dis: float = option(5e-4, "learning rate of the critic", "training")
    lr_gen: float = option(2e-4, "learning rate of the generator", "training")
    ada_target: float = option(0.6, "target of ADA's measure of overfitting", "training")
    ada_images: int = option(50_000, "real images over which ADA's probability can go from 0 to 1", "training")

    def check(self) -> None:
        """Refuses what cannot be done: a ConfigError that names the flag."""
        for row in self.rows:
            if row not in ROWS:
                raise ConfigError(f"rows has {row!r}{nearest(row, list(ROWS))}; the rows are {', '.join(ROWS)}.")
        for name in ("rows", "seeds", "metrics"):
            if not getattr(self, name):
                raise ConfigError(f"{name} is empty; give one or more.")
        if not 0 < self.minutes < math.inf or self.parts < 1:
            raise ConfigError("minutes must be positive, and parts a whole number of at least 1.")
        if self.images < self.batch_size:
            raise ConfigError(f"images is {self.images}, less than a batch of {self.batch_size}; give more.")

    def aids(self, row: str) -> dict[str, Any]:
        """The fields of an experiment that make a row."""
        ada = {"ada": self.ada_target, "ada_images": self.ada_images} if row == "ada" else {}
        return {} if row == "none" else {"augment": _KINDS, **ada}

    def experiment(self, data: str, row: str, seed: int) -> Experiment:
        """What the run of a row with a seed trains, on the small data set of this name."""
        shared = {name: getattr(self, name) for name in ("architecture", "loss", "batch_size", "lr_dis", "lr_gen")}
        never = {"query_step": _LAST_STEP, "score_steps": (_LAST_STEP,), "save_every": None}
        return Experiment(
            **{**shared, **never, **self.aids(row)},
            data=data,
            data_root=str(Path(self.work) / "Data"),
            seed=seed,
            metrics=(),
            keep=1,
            max_step=_LAST_STEP,
            rounds=1,
        )


def make(options: SmallDataOptions) -> Output:
    """Runs the study, and writes its picture, table and numbers.

    Args:
        options: The flags; with `quick`, a small study in a folder of its own, to see that it works.
    """
    if options.quick:
        quick: dict[str, Any] = {"minutes": min(options.minutes, 0.5), "parts": 2}
        quick |= {"score_count": 256, "metrics": ("kid",)}
        options = dataclasses.replace(options, **quick, work=f"{options.work}_quick")
    found = run(options)
    output = Output(options.out, "small_data")
    output.text(table(found) + "\n", ".md")
    metrics = list(found[0]["record"])
    columns = ["row", "seed", "part", "minutes", "step", "ada_p", *metrics]
    rows = [{**one, **{metric: one["record"][metric]["value"] for metric in metrics}} for one in found]
    output.table(rows, columns)
    output.figure(_draw(options, found))
    print(table(found))
    return output


def run(options: SmallDataOptions) -> list[dict[str, Any]]:
    """Trains and scores what is missing.

    Returns:
        One dictionary per seed, row and part: "row", "seed", "part", "minutes" of processor time, "step", "ada_p" (None
        without ADA), "record" (of each score).

    Raises:
        ConfigError: Options that are not valid, a folder of another study, or a training that failed.
    """
    options.check()
    free = ("work", "out", "quick", "rows", "seeds", "source", "data_root")  # of one call, or may grow
    plan = {name: value for name, value in dataclasses.asdict(options).items() if name not in free}
    keep_plan(Path(options.work) / "results.json", plan, "--work")
    data = prepare_images(options)
    runs = [(seed, row) for seed in options.seeds for row in options.rows]
    asked = {f"{row}_seed{seed}": options.experiment(data, row, seed) for seed, row in runs}
    found = {}
    for part in range(1, options.parts + 1):
        seconds = 60 * options.minutes * part / options.parts
        engine = EngineOptions(jobs=1, threads=1)
        states = train_missing(Path(options.work) / "runs", asked, engine, seconds=seconds, say=print)
        for (seed, row), (point, outcome) in zip(runs, states, strict=True):
            if outcome.status != FINISHED:
                raise ConfigError(f"the training of {point.run}: {outcome.error or outcome.status}")
            found[seed, row, part] = {"row": row, "seed": seed, "part": part, **_scored(options, point, outcome, part)}
    return [found[seed, row, part] for seed, row in runs for part in range(1, options.parts + 1)]


def prepare_images(options: SmallDataOptions) -> str:
    """Makes the small data set and the held-out images, unless they are there; returns the set's name."""
    name, work = f"{options.data.replace(':', '_')}_{options.images}", Path(options.work)
    held_out = work / "held_out.npz"
    if held_out.is_file():
        return name
    from mmdgan import data
    from mmdgan.data.pipeline import channels_last
    from mmdgan.data.preparation.prepare import prepare
    from mmdgan.pictures import grid
    from mmdgan.pictures.files import save_batches

    whole = data.open_data(options.data, data_root=options.data_root, source=options.source, say=print)
    needed = options.images + options.score_count
    if needed > whole.count:
        raise ConfigError(
            f"images and score_count are {needed:,} together, but {options.data} holds {whole.count:,}; give less."
        )
    chosen = np.random.default_rng(options.seed).permutation(whole.count)[:needed]
    images = channels_last(whole.take(chosen)[0])
    folder = work / "images"
    shutil.rmtree(folder, ignore_errors=True)
    grid.save_folder(folder, images[: options.images], 0)
    prepare(f"folder:{folder}", name=name, data_root=work / "Data", labels="none", workers=1, say=print)
    save_batches(held_out, [(0, images[options.images :])], options.score_count)
    return name


def _scored(options: SmallDataOptions, point: Point, outcome: Outcome, part: int) -> dict[str, Any]:
    """The kept scores of a run after a part of its time; those of the run as it is now, if there are none."""
    work, name = Path(options.work), f"{point.run}_{part}"
    kept = work / "scores" / f"{name}.json"
    if kept.is_file():
        return json.loads(kept.read_text(encoding="utf-8"))
    folder, made, scores = point.experiment.folder(), work / "samples" / f"{name}.npz", kept.with_suffix(".jsonl")
    scores.unlink(missing_ok=True)
    log = SweepFolder(work / "runs").log(f"{point.run}_scores")
    evaluate = ["evaluate", f"--images={made}", f"--reference={work / 'held_out.npz'}", f"--out={scores}"]
    evaluate += [f"--metrics={format_value(options.metrics)}", f"--features={options.features}"]
    evaluate += [f"--classifier_data={options.classifier_data or options.data}", f"--data_root={options.data_root}"]
    with log.open("a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        main(["sample", str(folder.path), f"--count={options.score_count}", f"--out={made}", "--seed=1"])
        main(evaluate)
    records = [json.loads(line) for line in scores.read_text(encoding="utf-8").splitlines()]
    output = SweepFolder(work / "runs").log(point.run).read_text(encoding="utf-8", errors="replace")
    probabilities = re.findall(r"ada_p (\S+)", output)
    result = {
        "minutes": round(outcome.training_seconds / 60, 3),
        "step": folder.find_step(None),
        "ada_p": float(probabilities[-1]) if probabilities else None,
        "record": {r["metric"]: {k: r.get(k) for k in ("value", "spread", "count", "count_real")} for r in records},
    }
    write_json(kept, result)
    return result


def table(found: Sequence[dict[str, Any]]) -> str:
    """A Markdown table: the mean of each score over the seeds, after each part."""
    metrics = list(found[0]["record"])
    rows = [f"| images changed | minutes | steps | {' | '.join(metrics)} | p |", "|---" * (4 + len(metrics)) + "|"]
    for row in dict.fromkeys(one["row"] for one in found):
        for part in sorted({one["part"] for one in found}):
            own = [one for one in found if (one["row"], one["part"]) == (row, part)]
            values = [spread([one["record"][metric]["value"] for one in own]) for metric in metrics]
            p = spread([one["ada_p"] for one in own]) if own[0]["ada_p"] is not None else ""
            minutes, steps = (statistics.mean(one[key] for one in own) for key in ("minutes", "step"))
            rows.append(f"| {row} | {minutes:.1f} | {steps:,.0f} | {' | '.join(values)} | {p} |")
    return "\n".join(rows)


def spread(values: Sequence[float]) -> str:
    """The mean, and between which values it is if there are several."""
    mean = f"{statistics.mean(values):.4g}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.4g} to {max(values):.4g})"


def _draw(options: SmallDataOptions, found: list[dict[str, Any]]) -> Any:
    """The first score over processor time on the left; then the last samples of each row's first seed."""
    from mmdgan.pictures.grid import image_grid

    rows = list(dict.fromkeys(one["row"] for one in found))
    figure = new_figure(3.6 + 2.3 * len(rows), 2.9)
    axes = figure.subplots(1, 1 + len(rows), width_ratios=[1.5, *([1.0] * len(rows))])
    metric = next(iter(found[0]["record"]))
    for row in rows:
        for seed in options.seeds:
            own = [one for one in found if (one["row"], one["seed"]) == (row, seed)]
            values = [one["record"][metric]["value"] for one in own]
            label = row if seed == options.seeds[0] else None
            axes[0].plot([one["minutes"] for one in own], values, "o-", ms=3.5, color=_COLORS[row], label=label)
    axes[0].set_xlim(left=0)
    axes[0].set_xlabel("processor minutes")
    axes[0].set_ylabel(metric)
    shown = [one["record"][metric]["value"] for one in found]
    axes[0].set_ylim(min(0.0, *shown), 1.08 * max(shown))
    axes[0].grid(alpha=0.25)
    axes[0].legend(frameon=False)
    for ax, row in zip(axes[1:], rows, strict=True):
        file = Path(options.work) / "samples" / f"{row}_seed{options.seeds[0]}_{options.parts}.npz"
        with np.load(file) as held:
            grid = image_grid(held["images"][: _SHOWN * _SHOWN], _SHOWN)
        ax.imshow(grid[..., 0] if grid.shape[-1] == 1 else grid, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        last = [one for one in found if (one["row"], one["seed"]) == (row, options.seeds[0])][-1]
        ax.set_title(f"{row}, {last['step']:,} steps", fontsize=9.5)
        ax.axis("off")
    figure.suptitle(f"{options.images:,} images of {options.data}, loss {options.loss}", fontsize=10)
    return figure
