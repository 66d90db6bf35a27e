"""The points half of the study: runs on points of the plane, their numbers, and their pictures.

    result = run(PointsSettings("ring, width 0.05", loss="mmd_g", loss_options={"sigma": 0.05}), "Results/points")
    result.covered, result.high_quality, result.p_mmd, result.picture

Scripts: experiments/points_fixed.py (a fixed kernel, of the points themselves), experiments/points_learned.py (a kernel
of a trained critic's scores). `study.report_points` lists the runs of the study's report.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.core import text
from mmdgan.core.startup import prepare_tensorflow
from paper.output import Output
from study.points_options import PointsOptions, PointsSettings

if TYPE_CHECKING:
    from study.points_training import Trained

TESTED = 500
"""Points of each kind in the two-sample tests: 999 divisions of 1,000 points take half a second."""

WIDTHS = (1.0, 1 / 4, 1 / 16)
"""Widths of the MMD test's summed Gaussian kernels, in median distances of data: from the whole to single modes."""

COLUMNS = {
    "name": "run",
    "points": "points",
    "loss": "loss",
    "kernel": "kernel",
    "critic": "critic",
    "seed": "seed",
    "steps": "steps",
    "covered": "modes covered",
    "modes": "modes",
    "high_quality": "high quality",
    "kl": "KL of modes",
    "energy": "energy distance",
    "p_energy": "p (energy)",
    "mmd2": "MMD^2",
    "p_mmd": "p (MMD)",
    "seconds": "processor seconds",
    "diverged": "diverged at step",
}
"""The numbers of a run, and their headings."""


@dataclasses.dataclass(frozen=True)
class PointsResult:
    """The numbers of a run, generated points against held-out ones.

    Attributes:
        settings: Settings of the run.
        steps: Steps taken; fewer than asked for if it diverged.
        covered, modes: Modes of a mixture, else None: `study.modes`.
        high_quality: Fraction of the generated points, or None.
        kl: Divergence of the modes' shares, in nats, or None.
        energy: Energy distance of all samples; None, like what follows, where generated points are not finite.
        p_energy: P-value of its permutation test, of `TESTED` points of each kind.
        mmd2: Squared MMD of the same points, unbiased, summed over `WIDTHS`.
        p_mmd: Its p-value.
        seconds: Processor time of the training.
        diverged: The step at which a loss was not finite, or None.
        kernel: The kernel in words.
        picture: A small picture, if one was asked for.
        files: All pictures that were written.
    """

    settings: PointsSettings
    steps: int
    covered: int | None
    modes: int | None
    high_quality: float | None
    kl: float | None
    energy: float | None
    p_energy: float | None
    mmd2: float | None
    p_mmd: float | None
    seconds: float
    diverged: int | None
    kernel: str
    picture: Path | None = None
    files: tuple[Path, ...] = ()

    def row(self) -> dict[str, Any]:
        """The values of `COLUMNS`."""
        own = {name: getattr(self.settings, name) for name in ("name", "points", "loss", "seed")}
        own["critic"] = "learned" if self.settings.learned else "none"
        return {name: own[name] if name in own else getattr(self, name) for name in COLUMNS}


def run(settings: PointsSettings, out: str | os.PathLike | None = None) -> PointsResult:
    """Trains one run and measures it; a small picture of witness and points goes to the folder `out`, if any."""
    from study.points_training import train

    trained = train(settings)
    result = measure(trained)
    if out is None:
        return result
    from study.plane import plot_small

    output = Output(out, file_name(settings))
    picture, _ = output.figure(plot_small(trained), dpi=100)
    return dataclasses.replace(result, picture=picture, files=tuple(output.files))


def measure(trained: Trained) -> PointsResult:
    """The numbers of a trained run."""
    import numpy as np

    from mmdgan import losses, mmd
    from mmdgan.data.synthetic import GaussianMixture
    from study.modes import mode_report

    settings = trained.settings
    data, generated = trained.held_out(settings.samples), trained.generate(settings.samples)
    modes = mode_report(generated, trained.distribution) if isinstance(trained.distribution, GaussianMixture) else None
    numbers: dict[str, Any] = dict.fromkeys(("energy", "p_energy", "mmd2", "p_mmd"))
    if np.isfinite(generated).all():
        tested = min(TESTED, settings.samples // 2)
        x, y = data[:tested], generated[:tested]
        # Of points that the test does not see: its divisions stay exchangeable.
        widths = [share * mmd.median_distance(data[tested : 2 * tested]) for share in WIDTHS]
        energy = mmd.two_sample_test(x, y, "energy", settings.permutations, unbiased=False, seed=settings.seed)
        tested_mmd = mmd.two_sample_test(x, y, "gaussian", settings.permutations, sigma=widths, seed=settings.seed)
        numbers = {
            "energy": float(losses.cramer(data, generated, unbiased=False)),
            "p_energy": energy.p_value,
            "mmd2": tested_mmd.statistic,
            "p_mmd": tested_mmd.p_value,
        }
    return PointsResult(
        settings=settings,
        steps=int(trained.gan.iterations),
        covered=modes.covered if modes else None,
        modes=modes.total if modes else None,
        high_quality=modes.high_quality if modes else None,
        kl=modes.kl if modes else None,
        seconds=trained.seconds,
        diverged=trained.diverged,
        kernel=describe_kernel(trained.gan.loss),
        **numbers,
    )


def describe_kernel(loss: Any) -> str:
    """The kernel of a `mmdgan.losses.Loss` in words: "Gaussian, sigma 0.05"; "" of a loss without."""
    options = loss.options
    if "alpha" in options:
        words = [f"rational quadratic, alpha {_numbers(options['alpha'])}"]
    elif "sigma" in options:
        words = [f"Gaussian, sigma {_numbers(options['sigma'])}"]
    elif "temperature" in options:
        words = [f"Laplacian, {_numbers(options['temperature'])} mean distances"]
    elif "omega" in options:
        words = ["Gaussian, random sigma"]
    else:
        return ""
    words += [f"add_dot {options['add_dot']:g}"] if options.get("add_dot") else []
    words += ["biased"] if options.get("biased") else []
    return ", ".join(words)


def compare(all_settings: Sequence[PointsSettings], options: PointsOptions, name: str) -> Output:
    """Trains runs of one distribution and writes one picture, film and table of them all; prints the table.

    The names of the files begin with `name`.
    """
    prepare_tensorflow()
    from study.plane import film, plot_runs
    from study.points_training import train

    output = Output(options.out, f"{name}_{options.points}")
    runs, results = [], []
    for settings in all_settings:
        runs.append(train(settings))
        results.append(measure(runs[-1]))
        print(f"{settings.name}: {caption(results[-1])}", flush=True)
    print()
    print(table([result.row() for result in results]), flush=True)
    print()
    output.table([result.row() for result in results], list(COLUMNS))
    curves = [{"name": run.settings.name, **row} for run in runs for row in run.curves]
    output.table(curves, ["name", "step", "loss_gen", "loss_dis"], "_curves")
    output.figure(plot_runs(runs, [caption(result) for result in results]), dpi=120)
    output.animation(film(runs), seconds=[0.2] * (max(len(run.snapshots) for run in runs) - 1) + [2.0])
    return output


def caption(result: PointsResult) -> str:
    """The numbers of a run in half a line."""
    if result.diverged is not None:
        return f"diverged at step {result.diverged:,}"
    parts = (
        [] if result.modes is None else [f"{result.covered} of {result.modes} modes, {result.high_quality:.0%} good"]
    )
    return ", ".join([*parts, f"energy {result.energy:.2g}, p(MMD) {result.p_mmd:.2g}"])


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of `COLUMNS` as aligned text; columns that are empty in every row are left away."""
    names = [name for name in COLUMNS if any(row[name] not in (None, "") for row in rows)]
    cells = [[COLUMNS[name] for name in names], *(table_cells(row, names) for row in rows)]
    return text.table(cells, left=range(len(names)))


def table_cells(row: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Some of a row's `COLUMNS` as text."""
    return [_cell(name, row[name]) for name in names]


def file_name(settings: PointsSettings) -> str:
    """A run's name as a file's: "ring_sigma_0.05_seed0"."""
    words = re.sub(r"[^\w.]+", "_", f"{settings.points} {settings.name}").strip("_")
    return f"{words}_seed{settings.seed}"


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "high_quality":
        return f"{value:.1%}"
    if name == "seconds":
        return f"{value:.1f}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _numbers(value: Any) -> str:
    values = value if isinstance(value, tuple) else (value,)
    return ", ".join(each if isinstance(each, str) else f"{each:.3g}" for each in values)
