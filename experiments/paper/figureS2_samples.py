"""Figures S2 and S3 of the paper: what each method generates, in grids next to real images.

Each run draws the first of its own fixed codes, which its grids in training show too; none is picked by hand.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import option
from paper.output import Output, new_figure
from paper.trained import METHODS, TrainedOptions, given_or_trained, labels_of, real_images, settings_of, title_of

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from mmdgan.report.facts import RunFacts

COLUMNS = ("panel", "label", "run", "loss", "seed", "step", "images", "codes", "settings")


@dataclasses.dataclass(frozen=True)
class SampleFigureOptions(TrainedOptions):
    """The flags of Figure S2."""

    rows: int = option(8, "rows of images in each panel", "the figure")
    columns: int = option(8, "columns of images in each panel", "the figure")
    step: int | None = option(None, "step of the checkpoints; none: the newest of each run", "the figure")
    across: int = option(4, "panels side by side", "the figure")


class Panel(NamedTuple):
    """One panel: its label, its images, uint8 (N, H, W, C), and a line of the CSV."""

    label: str
    images: np.ndarray
    row: dict


def make(options: SampleFigureOptions) -> Output:
    """Writes the figure and what was drawn; ConfigError for runs on different data sets, or panels without images."""
    if min(options.rows, options.columns, options.across) < 1:
        raise ConfigError("rows, columns and across are at least 1.")
    count = options.rows * options.columns
    runs = given_or_trained(options, ("mmd_g", "rep") if options.quick else tuple(METHODS))
    sets = {run.experiment["data"]: run.name for run in runs}
    if len(sets) > 1:
        both = " and ".join(f"{name} on {data}" for data, name in list(sets.items())[:2])
        raise ConfigError(f"the runs are on different data sets ({both}): give those of one.")
    _, images, _ = real_images(runs[0], count, options.seed, options.data_root)
    real = {"codes": f"{count} images drawn with seed {options.seed}", "images": count}
    panels = [Panel(f"real images ({runs[0].experiment['data']})", images, real)]
    runs = in_order(runs)
    panels += [_panel(run, label, options) for run, label in zip(runs, labels_of(runs), strict=True)]
    output = Output(options.out, "figureS2_samples")
    output.figure(draw(panels, options.columns, options.across, settings_of(*runs)), dpi=150)
    rows = [{"panel": index, "label": panel.label} | panel.row for index, panel in enumerate(panels)]
    output.table(rows, COLUMNS)
    return output


def in_order(runs: list[RunFacts]) -> list[RunFacts]:
    """The runs by method, as the paper's Table 1 lists them, and by seed; other losses last."""
    titles = list(METHODS.values())

    def place(run: RunFacts) -> tuple:
        title = title_of(run)
        return titles.index(title) if title in titles else len(titles), title, run.experiment["seed"]

    return sorted(runs, key=place)


def draw(panels: list[Panel], columns: int, across: int, caption: str) -> Figure:
    """The panels row by row, each labelled."""
    from mmdgan.pictures.grid import image_grid

    across = min(across, len(panels))
    down = -(-len(panels) // across)
    grids = [image_grid(panel.images, columns) for panel in panels]
    height, width = grids[0].shape[:2]
    figure = new_figure(2.7 * across, (2.62 * height / width + 0.29) * down + 0.3)
    layout: Any = figure.get_layout_engine()
    layout.set(w_pad=0.04, h_pad=0.02, hspace=0)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for panel, grid, ax in zip(panels, grids, axes, strict=False):
        grey = grid.shape[-1] == 1
        ax.imshow(grid[..., 0] if grey else grid, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        ax.set_title(panel.label, fontsize=10.5)
    for ax in axes:
        ax.axis("off")
    figure.suptitle(caption, fontsize=9.5, x=0.01, ha="left")
    return figure


def _panel(run: RunFacts, label: str, options: SampleFigureOptions) -> Panel:
    """The images of a run's first fixed codes; of a conditional one column after column of a class."""
    from mmdgan import sampling

    generator, step = run.folder.load_generator(options.step)
    count, e = options.rows * options.columns, run.experiment
    codes = sampling.grid_codes(count, generator.spec.input_shape[0], e["seed"])
    labels = sampling.cycled_labels(count, e["num_class"], options.columns)
    images = sampling.generate(generator, codes, labels)
    row = {"run": run.name, "loss": e["loss"], "seed": e["seed"], "step": step, "images": count}
    row |= {"codes": f"the first {count} of the run's grid", "settings": settings_of(run)}
    at = "" if step == e["max_step"] else f", step {step:,}"
    return Panel(label + at, images, row)
