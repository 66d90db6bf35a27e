"""The sections with pictures: fixed codes over the run, new samples and real images, nearest training images."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from mmdgan.core.text import command
from mmdgan.pictures import grid
from mmdgan.report.blocks import Block, Picture, SideBySide, missing, or_missing
from mmdgan.report.evolution import cell_shape, evolution_frames
from mmdgan.report.facts import spread_out
from mmdgan.report.reported_run import ReportedRun

GIF_BYTES = 1_500_000
_GRIDS = 6
_FRAMES = 24
_PIXELS = 288
_NEAREST = 8


def images(run: ReportedRun) -> Iterator[Block]:
    """Renders the section "Images of the fixed codes"."""
    yield from or_missing(partial(_evolution, run))


def neighbours(run: ReportedRun) -> Iterator[Block]:
    """Renders the section "Nearest training images": generated images above the training images nearest to them."""
    newest = {r["metric"]: r for r in run.records if r.get("identifier") == "nn" and r.get("closest")}
    if not newest:
        what = f"`{command('evaluate', run.folder.path, '--metrics=nn')}`"
        yield missing(f"generated images that are copies: {what} looks for them.")
    elif not run.pictures:
        yield missing("nearest training images (--nopictures).")
    else:
        for record in newest.values():
            yield from or_missing(partial(_nearest, run, record))


def animate(frames: np.ndarray) -> tuple[int, bytes]:
    """Makes a GIF of at most 24 of the frames, of fewer until it is small enough, and always of the last one.

    Args:
        frames: uint8 (T, H, W, C).

    Returns:
        The number of frames, and the file.
    """
    from mmdgan.pictures.files import gif_bytes

    frames = frames[spread_out(range(len(frames)), _FRAMES)]
    while True:
        content = gif_bytes(frames, [0.6] * (len(frames) - 1) + [1.8])
        if len(content) <= GIF_BYTES or len(frames) <= 2:
            return len(frames), content
        frames = np.concatenate([frames[:-1:2], frames[-1:]])


def _evolution(run: ReportedRun) -> Iterator[Block]:
    """Grids of the fixed codes at several steps, and the same as an animation."""
    edge = _edge(max(cell_shape(run.folder)))
    steps, frames = evolution_frames(run.folder, edge, edge)
    grids = (
        Picture(grid.png_bytes(frame), "png", f"Images of the fixed codes after step {step:,}")
        for step, frame in spread_out(list(zip(steps, frames, strict=True)), _GRIDS)
    )
    yield SideBySide(tuple(grids), small=True)
    if len(steps) > 1:
        shown, content = animate(frames)
        left = "" if shown == len(steps) else f" ({shown} of them)"
        text = f"The same codes after {len(steps)} rounds{left}, as an animation"
        yield Picture(content, "gif", text, text)


def samples(run: ReportedRun) -> Iterator[Block]:
    """Renders new samples beside real images."""
    view = run.view
    edge = _edge(view.images_gen.shape[1])
    captions = {
        "Generated images": (view.images_gen, f"Generated, step {view.step:,}; random codes"),
        "Real images": (view.images_data, "Real images, drawn at random"),
    }
    pictures = (
        Picture(grid.png_bytes(grid.image_grid(shown[: edge * edge], edge)), "png", alt, caption)
        for alt, (shown, caption) in captions.items()
    )
    yield SideBySide(tuple(pictures))


def _edge(side: int) -> int:
    """How many images of a side fit into a row of a grid: 8 of 32 pixels."""
    return int(min(8, max(4, _PIXELS // side)))


def _nearest(run: ReportedRun, record: dict[str, Any]) -> Iterator[Block]:
    """Generated images, and below each the nearest training image."""
    from mmdgan import sampling
    from mmdgan.core.startup import prepare_tensorflow
    from mmdgan.data.pipeline import channels_last
    from mmdgan.runs.experiment import Experiment
    from mmdgan.runs.train import open_data

    run.require_data()
    prepare_tensorflow()
    pairs = record["closest"][:_NEAREST]
    generator, _ = run.folder.load_generator(record["step"], ema=False if record.get("weights") == "last" else None)
    places = np.array([pair["generated"] for pair in pairs])
    count, seed = int(places.max()) + 1, record["seed"]
    codes = sampling.score_codes(count, generator.spec.input_shape[0], seed)[places]
    labels = sampling.score_labels(count, generator.spec.num_class, seed)
    generated = sampling.generate(generator, codes, None if labels is None else labels[places])
    data = open_data(Experiment.load(run.folder.path))
    training = channels_last(data.take(np.array([pair["training"] for pair in pairs]))[0])
    share = f"{record['metric']}: {record['value']:.2%} of {record['count']:,} generated images"
    yield Picture(
        grid.png_bytes(grid.image_grid(np.concatenate([generated, training]), len(pairs))),
        "png",
        "Generated images above their nearest training images",
        f"The {len(pairs)} generated images (above) nearest to training images (below), step {record['step']:,}. "
        f"{share} are nearer than all but one in a hundred training images are to another one.",
    )
