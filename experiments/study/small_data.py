"""Augmentation on a small part of a data set: DiffAugment and ADA against none, with equal processor time.

Each run trains on the same few images in a process of its own, with one thread, which is stopped when its processor
time is used up; it is scored on the way and at the end, against images that no run has seen. What is done is kept in
`results.json`, so that the same command goes on where it was stopped.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
import signal
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdgan.core.errors import ConfigError, MmdGanError
from mmdgan.core.options import option
from mmdgan.core.processes import Supervisor
from mmdgan.core.text import format_value, nearest
from paper.output import FigureOptions, Output, new_figure

_KINDS = "color,translation,cutout"
_STOPPED = 128 + signal.SIGTERM
_LAST_STEP = 10_000_000  # no run comes so far: its processor time ends it


ROWS: dict[str, tuple[str, ...]] = {
    "none": (),
    "diffaugment": (f"--augment={_KINDS}",),
    "ada": (f"--augment={_KINDS}", "--ada={target}", "--ada_images={images}"),
}


class SmallDataError(MmdGanError):
    """A part of the study could not be run."""


@dataclasses.dataclass(frozen=True)
class SmallDataOptions(FigureOptions):
    """What `experiments/small_data.py` is asked for; every field is a flag of it."""

    work: str = option(
        "Results/small_data", "the folder of the images, the runs and what is known of them", "the study"
    )
    rows: tuple[str, ...] = option(
        ("none", "diffaugment", "ada"), "augmentation: never, always, or as much as ADA finds", "the study", tuple(ROWS)
    )
    seeds: tuple[int, ...] = option((0,), "of weights and orders; each is a run of every row", "the study")
    minutes: float = option(20.0, "processor time of each run's training", "the study")
    parts: int = option(4, "how often to score a run, in equal parts of its time", "the study")
    images: int = option(1000, "training images, chosen by --seed; all runs have the same", "the images")
    data: str = option("cifar10", "the data set that they are of", "the images")
    data_root: str = option("Data", "the folder that holds it", "the images")
    source: str | None = option(None, "a copy of it to convert, as `prepare --source` takes it", "the images")
    score_count: int = option(5000, "generated, and other real images, of the scores", "scores")
    metrics: tuple[str, ...] = option(("fid", "kid"), "the scores; the first one is drawn", "scores")
    features: str = option("auto", "what scores are computed from, as `evaluate` takes it", "scores")
    classifier_data: str | None = option(None, "labelled data set of the classifier; none: --data", "scores")
    architecture: str = option("cifar10/DCGAN_QUARTER", "the networks", "training")
    loss: str = option("rep_b", "the loss", "training")
    batch_size: int = option(64, "images per step", "training")
    lr_dis: float = option(5e-4, "the critic's learning rate", "training")
    lr_gen: float = option(2e-4, "the generator's learning rate", "training")
    ada_target: float = option(0.6, "of ADA's measure", "training")
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

    def aids(self, row: str) -> list[str]:
        """The flags of `train` that make a row."""
        return [word.format(target=self.ada_target, images=self.ada_images) for word in ROWS[row]]


class Results:
    """`results.json`: seconds that each run has used, and its scores by part."""

    def __init__(self, options: SmallDataOptions) -> None:
        """Opens it; ConfigError if it is of a study with other settings."""
        self.path = Path(options.work) / "results.json"
        free = ("work", "out", "quick", "rows", "seeds", "source", "data_root")  # of one call, or may grow
        plan = json.loads(json.dumps({k: v for k, v in dataclasses.asdict(options).items() if k not in free}))
        self.values: dict[str, Any] = {"plan": plan, "seconds": {}, "scores": {}}
        if self.path.is_file():
            self.values = json.loads(self.path.read_text(encoding="utf-8"))
            if differing := [name for name, value in plan.items() if self.values["plan"].get(name) != value]:
                raise ConfigError(
                    f"{self.path} holds a study with another {', '.join(differing)}; give another --work."
                )

    def put(self, kind: str, name: str, value: Any) -> None:
        """Keeps a value at once."""
        from mmdgan.core.files import write_text

        self.values[kind][name] = value
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, json.dumps(self.values, indent=1) + "\n")


def run(options: SmallDataOptions) -> list[dict[str, Any]]:
    """Trains and scores what is missing.

    Returns:
        One dictionary per row, seed and part: "row", "seed", "part", "minutes" of processor time, "step", "ada_p"
        (None without ADA), "record" (of each score).

    Raises:
        ConfigError: options that cannot be, or a folder of another study.
        SmallDataError: training or scoring failed; its log is named.
    """
    options.check()
    results = Results(options)
    name = prepare_images(options)
    found = []
    for seed in options.seeds:
        for row in options.rows:
            for part in range(1, options.parts + 1):
                key = f"{row}_seed{seed}_{part}"
                if key not in results.values["scores"]:
                    _train(options, results, name, row, seed, part)
                    results.put("scores", key, _score(options, results, name, row, seed, part))
                found.append({"row": row, "seed": seed, "part": part, **results.values["scores"][key]})
    return found


def prepare_images(options: SmallDataOptions) -> str:
    """Makes the small data set and the held-out images, unless they are there; returns the set's name."""
    name, work = f"{options.data.replace(':', '_')}_{options.images}", Path(options.work)
    held_out = work / "held_out.npz"
    if held_out.is_file():
        return name
    import numpy as np

    from mmdgan import data
    from mmdgan.data.pipeline import channels_last
    from mmdgan.data.preparation.prepare import prepare
    from mmdgan.pictures import grid
    from mmdgan.pictures.files import save_batches

    whole = data.open_data(options.data, data_root=options.data_root, source=options.source)
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
    prepare(f"folder:{folder}", name=name, data_root=work / "Data", labels="none", workers=1)
    save_batches(held_out, [(0, images[options.images :])], options.score_count)
    return name


def run_folder(options: SmallDataOptions, name: str, row: str, seed: int) -> Path:
    """The directory of a run."""
    return Path(options.work) / "runs" / name / f"{row}_seed{seed}"


def _train(options: SmallDataOptions, results: Results, name: str, row: str, seed: int, part: int) -> None:
    """Trains one run until this part's processor time is used up."""
    from mmdgan.runs.folder import RunFolder

    run_name = f"{row}_seed{seed}"
    target = options.minutes * 60 * part / options.parts
    used = results.values["seconds"].get(run_name, 0.0)
    if used >= target:
        return
    shared = {n: getattr(options, n) for n in ("architecture", "loss", "batch_size", "lr_dis", "lr_gen")}
    shared |= {"data": name, "data_root": str(Path(options.work) / "Data"), "results": str(Path(options.work) / "runs")}
    shared |= {"run_name": run_name, "seed": seed, "metrics": (), "keep": 1, "max_step": _LAST_STEP, "rounds": 1}
    shared |= {"score_steps": (_LAST_STEP,), "query_step": _LAST_STEP, "save_every": None}
    words = [f"--{key}={format_value(value)}" for key, value in shared.items()]
    command = [sys.executable, "-m", "mmdgan", "train", *words, *options.aids(row)]
    status, seconds, log = _run(options, run_name, command, target - used)
    results.put("seconds", run_name, round(used + seconds, 2))
    if status != _STOPPED:
        raise SmallDataError(f"The training of {run_name} ended with status {status}; see {log}.")
    if not RunFolder(run_folder(options, name, row, seed)).steps():
        raise SmallDataError(
            f"{run_name} has not done a step in {used + seconds:.0f} s of processor time; give more --minutes, or "
            "fewer --parts, and another --work."
        )
    print(f"{run_name}: {used + seconds:.0f} s of processor time.", flush=True)


def _score(options: SmallDataOptions, results: Results, name: str, row: str, seed: int, part: int) -> dict[str, Any]:
    """Scores one run as it is now."""
    from mmdgan.runs.folder import RunFolder

    folder, work, run_name = run_folder(options, name, row, seed), Path(options.work), f"{row}_seed{seed}"
    made, scores = work / "samples" / f"{run_name}_{part}.npz", work / "scores" / f"{run_name}_{part}.jsonl"
    scores.unlink(missing_ok=True)
    scores.parent.mkdir(parents=True, exist_ok=True)
    sample = ["sample", str(folder), f"--count={options.score_count}", f"--out={made}", "--seed=1"]
    evaluate = ["evaluate", f"--images={made}", f"--reference={work / 'held_out.npz'}", f"--out={scores}"]
    evaluate += [f"--metrics={format_value(options.metrics)}", f"--features={options.features}"]
    evaluate += [f"--classifier_data={options.classifier_data or options.data}", f"--data_root={options.data_root}"]
    for words in (sample, evaluate):
        status, _, log = _run(options, f"{run_name}_scores", [sys.executable, "-m", "mmdgan", *words], None)
        if status:
            raise SmallDataError(f"Scoring {run_name} ended with status {status}; see {log}.")
    records = [json.loads(line) for line in scores.read_text(encoding="utf-8").splitlines()]
    told = (work / "logs" / f"{run_name}.log").read_text(encoding="utf-8", errors="replace")
    probabilities = re.findall(r"ada_p (\S+)", told)
    return {
        "minutes": round(results.values["seconds"][run_name] / 60, 3),
        "step": RunFolder.open(folder).find_step(None),
        "ada_p": float(probabilities[-1]) if probabilities else None,
        "record": {r["metric"]: {k: r.get(k) for k in ("value", "spread", "count", "count_real")} for r in records},
    }


def _run(
    options: SmallDataOptions, name: str, command: Sequence[str], seconds: float | None
) -> tuple[int, float, Path]:
    """Runs a command, for at most so much processor time; returns its status, the seconds used, and its log."""
    log = Path(options.work) / "logs" / f"{name}.log"
    return *Supervisor(threads=1).run(command, log, seconds), log


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


# MERGED experiments/study/small_data.py
# What the study of small data shows: scores over processor time, samples of each row, a table.


_SHOWN = 6
"""Rows and columns of samples."""

_COLORS = {"none": "#6b6b6b", "diffaugment": "#1f77b4", "ada": "#d62728"}


def make(options: SmallDataOptions) -> Output:
    """Runs the study, and writes its picture, table and numbers.

    Args:
        options: with `quick`, a small study in a folder of its own, to see that it works.
    """
    if options.quick:
        quick: dict[str, Any] = {
            "minutes": min(options.minutes, 0.5),
            "parts": 2,
            "score_count": 256,
            "metrics": ("kid",),
        }
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


def _draw(options: SmallDataOptions, found: list[dict[str, Any]]) -> Any:
    """The first score over processor time on the left; beside it the last samples of each row's first seed."""
    import numpy as np

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
