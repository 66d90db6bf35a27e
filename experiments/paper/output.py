"""Where a figure goes: a picture as PNG and PDF, its numbers as CSV, animations as GIF; and the flags of its script."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from mmdgan.core.files import write_bytes
from mmdgan.core.lazy import np
from mmdgan.core.options import option

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class FigureOptions:
    """The flags that every figure's script has; each figure's own options extend them."""

    out: str = option("Results/figures", "folder for the pictures and their numbers")
    quick: bool = option(False, "make a coarse version within seconds, to see that it works")
    seed: int = option(0, "seed of all random numbers", least=0)


class Output:
    """Writes the files of one figure and remembers them.

    Args:
        folder: Where to write; made if it is missing.
        name: Name of the figure, with which the names of its files begin.
    """

    def __init__(self, folder: str | os.PathLike, name: str):
        self.folder, self.name = Path(folder), name
        self.files: list[Path] = []

    def figure(self, figure: Figure, suffix: str = "", dpi: int = 160) -> list[Path]:
        """Writes a figure as `<name><suffix>.png` and `.pdf`; the same figure gives the same bytes."""
        from matplotlib import rc_context

        written = []
        for kind, metadata in (("png", None), ("pdf", {"CreationDate": None})):
            buffer = io.BytesIO()
            with rc_context({"pdf.fonttype": 42}):
                figure.savefig(buffer, format=kind, dpi=dpi, metadata=metadata)
            written.append(self._write(f"{suffix}.{kind}", buffer.getvalue()))
        return written

    def table(
        self, rows: Iterable[Mapping[str, Any] | Sequence[Any]], columns: Sequence[str], suffix: str = ""
    ) -> Path:
        """Writes `<name><suffix>.csv`: floats with all their digits, None as an empty cell.

        Args:
            rows: Each a dictionary with the names of the columns, or the values in their order.
            columns: The header.
            suffix: Follows the name of the figure.
        """
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([row.get(column) for column in columns] if isinstance(row, Mapping) else list(row))
        return self._write(f"{suffix}.csv", buffer.getvalue().encode())

    def animation(self, frames: np.ndarray, suffix: str = "", seconds: float | list[float] = 0.1) -> Path:
        """Writes `<name><suffix>.gif` of frames (T, H, W, 3) in uint8; see `mmdgan.pictures.files.gif_bytes`."""
        from mmdgan.pictures.files import gif_bytes

        return self._write(f"{suffix}.gif", gif_bytes(frames, seconds))

    def text(self, content: str, suffix: str) -> Path:
        """Writes `<name><suffix>`, such as "table1.md"."""
        return self._write(suffix, content.encode())

    def _write(self, ending: str, content: bytes) -> Path:
        path = self.folder / f"{self.name}{ending}"
        write_bytes(path, content)
        self.files.append(path)
        return path


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as a Markdown table, the header first."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def tidy(axes: Axes, grid: Literal["both", "x", "y"] = "both") -> None:
    """Draws a pale grid behind the data, and no frame above and to the right."""
    axes.grid(axis=grid, color="#E4E4E4", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """A white figure of inches, outside of pyplot, so that nothing global changes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white", **{"layout": "constrained", **options})
    FigureCanvasAgg(figure)
    return figure


def pixels(figure: Figure, dpi: int = 100) -> np.ndarray:
    """The figure as an image, uint8 (H, W, 3): a frame of an animation."""
    figure.set_dpi(dpi)
    figure.canvas.draw()
    canvas: Any = figure.canvas  # of Agg, of which `new_figure` makes figures
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def run_figure(
    make: Callable[[Any], Output],
    options: FigureOptions,
    script: str | os.PathLike,
    usage: str,
    arguments: tuple[str, ...] = (),
) -> NoReturn:
    """The main program of a figure's script: flags over `options`, then the figure, then the names of its files.

    Args:
        make: Makes the figure.
        options: Defaults of the flags.
        script: The script's `__file__`.
        usage: The script's docstring, shown by `--help`.
        arguments: The words that go with the flags, as `mmdgan.flags.parse` takes them: run directories, which are
            added to the option `runs`.
    """
    from mmdgan.cli.flags import parse
    from mmdgan.cli.program import run_main

    def main(argv: Sequence[str]) -> None:
        command = f"usage: python {os.path.relpath(script)} [--flag=value ...]"
        parsed = parse(options, argv, usage=f"{command}\n\n{usage}", arguments=arguments)
        given = parsed.options
        if parsed.arguments:
            given = dataclasses.replace(given, runs=(*given.runs, *parsed.arguments))
        for file in make(given).files:
            print(file)

    run_main(main)
