"""Pictures of the plane: points over data, the critic's witness function with its zero line, how points move.

Colours: data blue, generated vermilion; the witness purple (taken for generated) through white to green (for data).
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmdgan.losses import score_size
from mmdgan.report.plots import COLOURS
from paper.output import new_figure, pixels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from study.points_training import Snapshot, Trained

_DATA, _GENERATED = COLOURS[0], COLOURS[1]
_MAP = "PRGn"
_BANDS = 20  # of the witness's colours
_ARROWS = 120
_PATHS = 60
_SHOWN = 1000  # points


class Window(NamedTuple):
    """The part of the plane that is shown: a square."""

    left: float
    right: float
    bottom: float
    top: float

    def mesh(self, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The coordinates (side,) of both axes, and the points (side^2, 2), row by row."""
        x, y = np.linspace(self.left, self.right, side), np.linspace(self.bottom, self.top, side)
        return x, y, np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def window(data: np.ndarray, margin: float = 0.3) -> Window:
    """A square around points (N, 2), wider by `margin` of its half on each side."""
    low, high = data.min(axis=0), data.max(axis=0)
    (x, y), half = (low + high) / 2, float((high - low).max()) / 2 * (1 + margin)
    return Window(float(x - half), float(x + half), float(y - half), float(y + half))


def plot_runs(runs: Sequence[Trained], captions: Sequence[str]) -> Figure:
    """A row per run of one distribution: its points over the data, the witness with the forces, the points' paths.

    `captions` stand under the names of the runs.
    """
    figure = new_figure(10.2, 3.65 * len(runs) + 0.4)
    rows = figure.subplots(len(runs), 3, squeeze=False)
    for axes, run, caption in zip(rows, runs, captions, strict=True):
        view = window(run.held_out(_SHOWN))
        draw_points(axes[0], run, view)
        axes[0].set_title(f"{run.settings.name}\n{textwrap.fill(caption, 36)}", fontsize=9)
        largest = draw_witness(axes[1], run, run.snapshots[-1], view)
        draw_force(axes[1], run.snapshots[-1])
        axes[1].set_title(
            f"{_height_name(run)}, at most {largest:.2g}\narrows: -dL_G/dx, longest {_longest(run):.2g}", fontsize=9
        )
        draw_paths(axes[2], run, view)
        axes[2].set_title(f"the paths of {_PATHS} points\nin {run.snapshots[-1].step:,} steps", fontsize=9)
    points = rows[0][0].get_legend_handles_labels()
    figure.legend(*points, loc="outside lower center", ncols=2, fontsize=9, markerscale=3, frameon=False)
    return figure


def plot_small(run: Trained) -> Figure:
    """One panel: the witness, and the generated points over it."""
    figure = new_figure(2.4, 2.4)
    axes = figure.subplots()
    draw_frame(axes, run, run.snapshots[-1], window(run.held_out(_SHOWN)), side=100)
    return figure


def film(runs: Sequence[Trained], dpi: int = 80) -> np.ndarray:
    """The training of several runs side by side: uint8 (T, H, W, 3), the witness and points of each snapshot.

    A run that ended before the others, having diverged, stays as it was.
    """
    frames = []
    columns = min(len(runs), 4)
    rows = -(-len(runs) // columns)
    for index in range(max(len(run.snapshots) for run in runs)):
        figure = new_figure(2.6 * columns, 2.9 * rows)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in panels[len(runs) :]:
            axes.set_axis_off()
        for axes, run in zip(panels, runs, strict=False):
            snapshot = run.snapshots[min(index, len(run.snapshots) - 1)]
            largest = draw_frame(axes, run, snapshot, window(run.held_out(_SHOWN)), side=64)
            axes.set_title(
                f"{run.settings.name}, step {snapshot.step:,}\n|{_letter(run)}| up to {largest:.2g}", fontsize=8
            )
        frames.append(pixels(figure, dpi))
    return np.stack(frames)


def draw_points(axes: Axes, run: Trained, view: Window) -> None:
    """Held-out data, and generated points over them."""
    data, generated = run.held_out(_SHOWN), run.generate(_SHOWN)
    _scatter(axes, data, s=4, color=_DATA, alpha=0.5, label="data", rasterized=True)
    _scatter(axes, generated, s=4, color=_GENERATED, alpha=0.5, label="generated", rasterized=True)
    outside = 1 - _inside(generated, view).mean()
    if outside >= 0.005:
        axes.set_xlabel(f"{outside:.0%} of the generated points lie outside", fontsize=7)
    _frame(axes, view)


def draw_frame(axes: Axes, run: Trained, snapshot: Snapshot, view: Window, side: int) -> float:
    """The witness of a snapshot, and its points over it; returns as `draw_witness`."""
    largest = draw_witness(axes, run, snapshot, view, side)
    _scatter(axes, snapshot.samples, s=3, color="black", zorder=3)
    return largest


def draw_witness(axes: Axes, run: Trained, snapshot: Snapshot, view: Window, side: int = 120) -> float:
    """The critic's height over the plane in bands of a symmetric scale, with its zero line; returns the scale's end."""
    x, y, points = view.mesh(side)
    values = run.height(snapshot, points).reshape(side, side)
    largest = symmetric_limit(values)
    levels = np.linspace(-largest, largest, _BANDS + 1)
    axes.contourf(x, y, values, levels=levels, cmap=_MAP)
    if values.min() < 0 < values.max():
        axes.contour(x, y, values, levels=[0.0], colors="#444444", linewidths=0.7)
    _frame(axes, view)
    return largest


def draw_force(axes: Axes, snapshot: Snapshot) -> None:
    """Arrows of the first points' forces, the longest a seventh of the panel long."""
    points, arrows = snapshot.samples[:_ARROWS], snapshot.force[:_ARROWS]
    longest = np.linalg.norm(arrows, axis=1).max()
    _scatter(axes, points, s=5, color="black", zorder=3)
    if np.isfinite(longest) and longest > 0:
        axes.quiver(*points.T, *arrows.T, scale=7 * longest, scale_units="width", width=0.004, color="black", zorder=4)


def draw_paths(axes: Axes, run: Trained, view: Window) -> None:
    """The paths of the first points through the snapshots: from their start, grey, to their end, vermilion."""
    paths = np.stack([snapshot.samples[:_PATHS] for snapshot in run.snapshots])
    _scatter(axes, run.held_out(_SHOWN), s=4, color=_DATA, alpha=0.25, rasterized=True)
    for path in paths.transpose(1, 0, 2):
        axes.plot(*path.T, color="#555555", linewidth=0.4, alpha=0.5)
    _scatter(axes, paths[0], s=5, color="#999999", zorder=3)
    _scatter(axes, paths[-1], s=8, color=_GENERATED, zorder=4)
    _frame(axes, view)


def symmetric_limit(values: np.ndarray) -> float:
    """The largest absolute value, finite; 1 where there is none but 0, so that a scale has a width."""
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max()) if finite.size and finite.max() > 0 else 1.0


def _scatter(axes: Axes, points: np.ndarray, **style: Any) -> None:
    """Draws points (N, 2)."""
    axes.scatter(points[:, 0], points[:, 1], linewidths=0, **style)


def _height_name(run: Trained) -> str:
    return "witness function" if _letter(run) == "f" else "critic's score"


def _letter(run: Trained) -> str:
    """f of a witness function, s of a critic's score."""
    return "f" if score_size(run.settings.loss) > 1 else "s"


def _longest(run: Trained) -> float:
    return float(np.linalg.norm(run.snapshots[-1].force[:_ARROWS], axis=1).max())


def _inside(points: np.ndarray, view: Window) -> np.ndarray:
    x, y = points.T
    return (x > view.left) & (x < view.right) & (y > view.bottom) & (y < view.top)


def _frame(axes: Axes, view: Window) -> None:
    axes.set(xlim=(view.left, view.right), ylim=(view.bottom, view.top), aspect="equal")
    axes.tick_params(labelsize=7)
