"""The plots of `compare`: each score over steps for all runs in one panel, and the losses of both players."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdgan.errors import ConfigError
from mmdgan.pictures import save_bytes, save_png
from mmdgan.report import protocol
from mmdgan.runs import RunFolder
from mmdgan.training.event_files import Scalars, read_scalars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSSES = {"GANLoss/gen": "generator's loss", "GANLoss/dis": "critic's loss"}
_MOST_SCORES = 6


def write(
    out: Path, text: str, names: Sequence[str], folders: Sequence[RunFolder], metrics: Sequence[str] | None = None
) -> tuple[Path, ...]:
    """Writes the plots, and beside them the text if `out` is a folder.

    Args:
        out: a folder for compare.txt, scores.png and losses.png; or a .png for all panels.
        text: the table.
        names: of the runs, in legends.
        folders: the runs.
        metrics: identifiers of the scores; all by default.

    Returns:
        the files; a plot that would be empty is not written.

    Raises:
        ConfigError: `out` has another ending of a picture.
    """
    if out.suffix.lower() in (".jpg", ".jpeg", ".gif", ".svg", ".pdf", ".html", ".csv", ".txt"):
        raise ConfigError(f"out: {out} would be a folder; name a .png, or a plain folder.")
    figures = {
        "scores": [_plot(curves, name) for name, curves in score_curves(names, folders, metrics).items()],
        "losses": [_plot(curves, title) for title, curves in loss_curves(names, folders).items()],
    }
    if out.suffix.lower() == ".png":
        panels = [panel for group in figures.values() for panel in group]
        return (save_png(out, _stack(panels)),) if panels else ()
    files = [save_png(out / f"{name}.png", _stack(group)) for name, group in figures.items() if group]
    return save_bytes(out / "compare.txt", (text + "\n").encode()), *files


def score_curves(
    names: Sequence[str], folders: Sequence[RunFolder], metrics: Sequence[str] | None = None
) -> dict[str, dict[str, Scalars]]:
    """For each score that has a better and a worse: its values over steps for each run that has any.

    Of several values at a step the newest counts. Values of another protocol than the first one's are curves of
    their own, whose names say what differs.
    """
    found: dict[str, dict[str, dict[int, float]]] = {}
    references: dict[str, Mapping[str, Any]] = {}
    for name, folder in zip(names, folders, strict=True):
        for record in folder.records():
            if _shown(record, metrics):
                reference = references.setdefault(record["metric"], record)
                differing = "; ".join(protocol.differences(record, reference))
                curve = f"{name} ({differing})" if differing else name
                found.setdefault(record["metric"], {}).setdefault(curve, {})[record["step"]] = record["value"]
    several = sorted(found, key=lambda metric: -max(map(len, found[metric].values())))[:_MOST_SCORES]
    return {
        metric: {name: _scalars(points) for name, points in curves.items()}
        for metric, curves in found.items()
        if metric in several
    }


def loss_curves(names: Sequence[str], folders: Sequence[RunFolder]) -> dict[str, dict[str, Scalars]]:
    """The losses of both players for each run that has logged them."""
    found: dict[str, dict[str, Scalars]] = {}
    for name, folder in zip(names, folders, strict=True):
        curves = all_scalars(folder)
        for tag, title in LOSSES.items():
            if tag in curves:
                found.setdefault(title, {})[name] = curves[tag]
    return found


def all_scalars(folder: RunFolder) -> dict[str, Scalars]:
    """Every scalar that a run has logged; {} of a run without event files."""
    has_files = folder.logs.is_dir() and any(folder.logs.glob("*tfevents*"))
    return read_scalars(folder.path) if has_files else {}


def _shown(record: Mapping[str, Any], metrics: Sequence[str] | None) -> bool:
    wanted = not metrics or protocol.identifier(record) in metrics
    return wanted and record["value"] is not None and protocol.direction(record["metric"]) != 0


def _scalars(points: Mapping[int, float]) -> Scalars:
    steps = np.array(sorted(points), np.int64)
    return Scalars(steps, np.array([points[step] for step in steps.tolist()]), np.full(len(steps), math.nan))


def _plot(curves: dict[str, Scalars], title: str) -> Figure:
    from mmdgan.analysis.plots import plot_curves

    # A single curve has no legend, which would say whose it is.
    return plot_curves(curves, f"{title}, {next(iter(curves))}" if len(curves) == 1 else title)


def _stack(figures: Sequence[Figure]) -> np.ndarray:
    """Figures as one picture, uint8 (H, W, 3): up to three below each other, more in two columns."""
    import io

    from PIL import Image

    from mmdgan.analysis.plots import to_png

    panels = [np.asarray(Image.open(io.BytesIO(to_png(figure))).convert("RGB")) for figure in figures]
    columns = 1 if len(panels) <= 3 else 2
    width = max(panel.shape[1] for panel in panels)
    rows = []
    for start in range(0, len(panels), columns):
        row = panels[start : start + columns]
        picture = np.full((max(panel.shape[0] for panel in row), columns * width, 3), 255, np.uint8)
        for index, panel in enumerate(row):
            picture[: panel.shape[0], index * width : index * width + panel.shape[1]] = panel
        rows.append(picture)
    return np.concatenate(rows)
