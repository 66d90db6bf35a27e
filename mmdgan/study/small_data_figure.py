"""What the study of small data shows: scores over processor time, samples of each row, a table."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from mmdgan.figures.output import Output, new_figure
from mmdgan.study import small_data
from mmdgan.study.small_data import SmallDataOptions

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
    found = small_data.run(options)
    output = Output(options.out, "small_data")
    output.text(small_data.table(found) + "\n", ".md")
    metrics = list(found[0]["record"])
    columns = ["row", "seed", "part", "minutes", "step", "ada_p", *metrics]
    rows = [{**one, **{metric: one["record"][metric]["value"] for metric in metrics}} for one in found]
    output.table(rows, columns)
    output.figure(_draw(options, found))
    print(small_data.table(found))
    return output


def _draw(options: SmallDataOptions, found: list[dict[str, Any]]) -> Any:
    """The first score over processor time on the left; beside it the last samples of each row's first seed."""
    import numpy as np

    from mmdgan.pictures import image_grid

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
