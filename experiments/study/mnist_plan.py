"""What a study on MNIST is to do: rows, seeds and budget, and the runs and steps that follow from them.

A study is a folder: `study.json` holds the plan and what was measured for it, `runs/` the ordinary run directories. The
same command goes on where a study was stopped; what is finished is not run again.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import option
from mmdgan.core.text import format_value, nearest
from mmdgan.runs.experiment import Experiment
from mmdgan.runs.folder import RunFolder
from study.mnist import ROWS
from study.mnist_lenet import LeNetExperiment, weights_file

POINT_SETS = ("ring", "grid")
"""The distributions of `study.points_rows`."""

BUDGET_MINUTES = 50.0
"""The budget of a study that is told neither a budget nor steps."""

SHORTEST, LONGEST = 50, 1_000_000
"""Bounds of the steps that a budget is turned into."""


@dataclasses.dataclass(frozen=True)
class Study:
    """What `experiments/mmd_study.py` is asked for; every field is a flag of it."""

    out: str = option("Results/mmd_study", "the study's folder", "the study")
    rows: tuple[str, ...] = option(tuple(ROWS), "which rows", "the study")
    seeds: tuple[int, ...] = option((0, 1), "which seeds; each is a run of every row", "the study")
    data: str = option("fashion_mnist", "mnist or fashion_mnist, or another set of 1x28x28 images", "the study")
    data_root: str = option("Data", "the folder that holds the data sets", "the study")
    source: str | None = option(None, "a copy of the data set to convert, as `prepare --source` takes it", "the study")
    points: tuple[str, ...] = option(
        ("ring",),
        "the runs on points in the plane, of ring and grid, come behind, some 10 s each; none: no such runs",
        "the study",
    )
    budget_minutes: float | None = option(
        None,
        "minutes for the images' runs on a machine with --jobs free cores: each run gets equal processor time; none: "
        f"{BUDGET_MINUTES:.0f}, unless --steps is given",
        "cost",
    )
    steps: int | None = option(None, "instead, the same number of steps for each run", "cost")
    jobs: int = option(2, "runs at a time, each with one thread", "cost")
    score_count: int = option(5000, "generated and real images of the scores", "cost")
    half: bool = option(False, "DCGANs of half the width, at about a quarter of the cost", "cost")
    report_only: bool = option(False, "train nothing; write the report of what is there", "cost")

    def check(self) -> None:
        """Refuses what cannot be done.

        Raises:
            ConfigError: it names the flag.
        """
        for row in self.rows:
            if row not in ROWS:
                raise ConfigError(f"rows has {row!r}{nearest(row, list(ROWS))}; the rows are {', '.join(ROWS)}.")
        if unknown := sorted(set(self.points) - set(POINT_SETS)):
            raise ConfigError(f"points has {unknown[0]!r}; the study has runs on {' and '.join(POINT_SETS)}.")
        for name in ("rows", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise ConfigError(f"{name} is {format_value(values) or 'empty'}; give one or more, each once.")
        if self.steps is not None and self.budget_minutes is not None:
            raise ConfigError("Give either --budget_minutes or --steps: a budget says how many steps each run has.")
        if self.budget_minutes is not None and self.budget_minutes <= 0:
            raise ConfigError(f"budget_minutes is {self.budget_minutes}; give a positive number.")
        if (self.steps is not None and self.steps < 1) or self.jobs < 1:
            raise ConfigError("steps and jobs must be whole numbers of at least 1.")
        self.run(self.rows[0], self.seeds[0], SHORTEST).experiment.resolved()

    def budget(self) -> float | None:
        """The minutes of all runs of images; None where `steps` says how long they are."""
        if self.steps is not None:
            return None
        return BUDGET_MINUTES if self.budget_minutes is None else self.budget_minutes

    def run(self, row: str, seed: int, steps: int) -> StudyRun:
        """The run of a row with a seed."""
        experiment = dataclasses.replace(
            ROWS[row].experiment,
            data=self.data,
            data_root=self.data_root,
            source=self.source,
            seed=seed,
            max_step=steps,
            rounds=1,
            query_step=max(1, steps // 20),
            save_every=None,
            save_secs=60.0,
            keep=1,
            keep_best=None,
            score_count=self.score_count,
            results=str(Path(self.out) / "runs"),
            run_name=f"{row}_seed{seed}",
        )
        if isinstance(experiment, LeNetExperiment) and experiment.critic_weights is None:
            weights = str(weights_file(self.data, self.data_root))
            experiment = dataclasses.replace(experiment, critic_weights=weights)
        if self.half and experiment.architecture in ("mnist/DCGAN", "mnist/DCGAN_SN"):
            experiment = dataclasses.replace(experiment, architecture=f"{experiment.architecture}_HALF")
        return StudyRun(row, seed, steps, experiment)


@dataclasses.dataclass(frozen=True)
class StudyRun:
    """One run of a study."""

    row: str
    seed: int
    steps: int
    experiment: Experiment

    @property
    def name(self) -> str:
        return f"{self.row}_seed{self.seed}"

    @property
    def folder(self) -> RunFolder:
        return self.experiment.folder()

    def records(self) -> dict[str, dict[str, Any]]:
        """The scores after the last step, by name; {} until the run is finished."""
        if not self.folder.config_file.is_file():
            return {}
        return {record["metric"]: record for record in self.folder.latest_scores(self.steps)}

    def command(self) -> list[str]:
        """The flags of `python -m mmdgan train` that make this run."""
        default = Experiment()
        values = {f.name: getattr(self.experiment, f.name) for f in dataclasses.fields(Experiment)}
        return [f"--{k}={format_value(v)}" for k, v in values.items() if v != getattr(default, k)]


class StudyFile:
    """`study.json`: the plan, and what is measured once and kept."""

    def __init__(self, study: Study):
        """Opens it; a new study's file is written by `put`.

        Raises:
            ConfigError: the folder holds another study.
        """
        self.path = Path(study.out) / "study.json"
        fixed = {**dataclasses.asdict(study), "budget_minutes": study.budget()}
        for name in ("out", "jobs", "report_only", "source", "rows", "seeds", "points"):  # of one call, or may grow
            del fixed[name]
        fixed = json.loads(json.dumps(fixed))
        self.values: dict[str, Any] = {"plan": fixed, "calibration": {}, "seconds": {}}
        if self.path.is_file():
            self.values = json.loads(self.path.read_text(encoding="utf-8"))
            defaults = {field.name: field.default for field in dataclasses.fields(Study) if field.name in fixed}
            there = {**defaults, **self.values["plan"]}
            if not study.report_only and there != fixed:
                names = ", ".join(f"{k} ({there.get(k)} there, {v} now)" for k, v in fixed.items() if there.get(k) != v)
                raise ConfigError(f"{self.path} holds a study with other settings: {names}; give another --out.")

    def put(self, kind: str, name: str, value: Any) -> None:
        """Keeps a value at once: a study may be stopped at any time."""
        from mmdgan.core.files import write_text

        self.values[kind][name] = value
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, json.dumps(self.values, indent=1) + "\n")

    def get(self, kind: str, name: str) -> Any:
        """A kept value, or None."""
        return self.values[kind].get(name)


def steps_of(budget_seconds: float, cost: dict[str, float]) -> int:
    """How many steps a run's processor time gives it.

    Args:
        budget_seconds: processor time of one run, all in all.
        cost: of its row: "step", seconds per step; "rest", seconds for start and scores.
    """
    return round(min(max((budget_seconds - cost["rest"]) / cost["step"], SHORTEST), LONGEST))
