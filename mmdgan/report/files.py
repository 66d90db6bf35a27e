"""All pictures of a run as single files; the report shows the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmdgan.core.errors import ConfigError, MmdGanError
from mmdgan.report import plots
from mmdgan.report.critic_view import view_critic
from mmdgan.report.evolution import evolution_frames
from mmdgan.report.spectra import spectral_history
from mmdgan.report.tsne import embed_scores
from mmdgan.runs.folder import RunFolder

_CHECKPOINTS = 6  # of spectra.png


def write_all(
    folder: RunFolder,
    out: str | os.PathLike | None = None,
    *,
    step: int | str | None = None,
    count: int = 256,
    seed: int = 0,
) -> tuple[list[Path], dict[str, str]]:
    """Writes curves.png, scores.png, tsne.png, spectra.png, witness.png, extremes.png and evolution.gif.

    Exact spectral norms are of at most 6 checkpoints, from the first to the last.

    Args:
        folder: the run.
        out: where; RUN/pictures by default.
        step: the checkpoint whose critic is looked at; the newest by default.
        count: of real and of generated images each.
        seed: of images and embedding.

    Returns:
        what was written, and why the others could not be made, by file name.

    Raises:
        ConfigError: the folder cannot be written.
    """
    out = folder.path / "pictures" if out is None else Path(out)
    written, missing = [], {}
    for name, make in _makers(folder, step, count, seed):
        try:
            content = make()
        except MmdGanError as error:
            missing[name] = str(error)
            continue
        try:
            out.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(content)
        except OSError as error:
            raise ConfigError(
                f"{out / name} cannot be written ({error.strerror or error}); name another place."
            ) from error
        written.append(out / name)
    return written, missing


def _makers(
    folder: RunFolder, step: int | str | None, count: int, seed: int
) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """(file name, what makes its content); the critic is looked at once for all of its pictures."""
    from functools import cache, partial

    from mmdgan.pictures.animations import gif_bytes
    from mmdgan.training.event_files import read_scalars

    view = cache(partial(view_critic, folder, step, count, seed))

    def losses() -> Any:
        curves = read_scalars(folder.path)
        return plots.plot_curves({tag: c for tag, c in curves.items() if tag.startswith("GANLoss/")}, "losses")

    figures = {
        "curves": losses,
        "scores": lambda: plots.plot_scores(folder.records()),
        "tsne": lambda: plots.plot_tsne(view(), embed_scores(view(), seed)),
        "spectra": lambda: plots.plot_spectra(spectral_history(folder, _spread(folder.steps()))),
        "witness": lambda: plots.plot_witness(view()),
        "extremes": lambda: plots.plot_extremes(view()),
    }
    for name, make in figures.items():
        yield f"{name}.png", partial(_png, make)
    yield "evolution.gif", lambda: gif_bytes(evolution_frames(folder)[1], 0.5)


def _png(make: Callable[[], Any]) -> bytes:
    return plots.to_png(make())


def _spread(steps: list[int]) -> list[int]:
    """The first, the last and some between: exact norms of wide layers take their time."""
    chosen = np.linspace(0, len(steps) - 1, min(len(steps), _CHECKPOINTS))
    return [steps[round(index)] for index in chosen]
