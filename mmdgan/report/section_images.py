"""The page's pictures: the fixed codes over the run, new samples beside real images, nearest training images."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmdgan.pictures import grid as pictures
from mmdgan.report.blocks import Block, Picture, Pile, Side
from mmdgan.report.subject import Subject, or_missing, require_data

GIF_BYTES = 1_500_000
_GRIDS = 6
_FRAMES = 24
_PIXELS = 288
_NEAREST = 8


def images(subject: Subject) -> tuple[Block, ...]:
    """The section."""
    pile = Pile()
    with or_missing(pile):
        pile.add(*_evolution(subject))
    if not subject.request.pictures:
        pile.missing("new samples beside real images (--nopictures).")
        return tuple(pile.blocks)
    with or_missing(pile):
        view = subject.view
        edge = _edge(view.images_gen.shape[1])
        shown = min(edge * edge, len(view.images_gen))
        generated = pictures.png_bytes(pictures.image_grid(view.images_gen[:shown], edge))
        real = pictures.png_bytes(pictures.image_grid(view.images_data[:shown], edge))
        pile.add(
            Side(
                (
                    Picture(generated, "png", "Generated images", f"Generated, step {view.step:,}; random codes"),
                    Picture(real, "png", "Real images", "Real images, drawn at random"),
                )
            )
        )
    return tuple(pile.blocks)


def neighbours(subject: Subject) -> tuple[Block, ...]:
    """The section: the generated images that are nearest to training images, above these."""
    pile = Pile()
    newest = {r["metric"]: r for r in subject.records if r.get("identifier") == "nn" and r.get("closest")}
    if not newest:
        what = f"`python -m mmdgan evaluate {subject.folder.path} --metrics=nn`"
        pile.missing(f"the run has no such score; {what} looks for generated images that are copies.")
    elif not subject.request.pictures:
        pile.missing("nearest training images (--nopictures).")
    for record in newest.values() if subject.request.pictures else ():
        with or_missing(pile):
            pile.add(_nearest(subject, record))
    return tuple(pile.blocks)


def _edge(side: int) -> int:
    """How many images of a side fit into a row of a grid: 8 of 32 pixels."""
    return int(min(8, max(4, _PIXELS // side)))


def _evolution(subject: Subject) -> list[Block]:
    """Grids of the fixed codes at several steps, and the same as an animation."""
    from mmdgan.report.evolution import cell_shape, evolution_frames

    edge = _edge(max(cell_shape(subject.folder)))
    steps, frames = evolution_frames(subject.folder, edge, edge)
    chosen = sorted({round(i) for i in np.linspace(0, len(steps) - 1, min(_GRIDS, len(steps)))})
    grids = tuple(
        Picture(pictures.png_bytes(frames[i]), "png", f"Images of the fixed codes after step {steps[i]:,}")
        for i in chosen
    )
    blocks: list[Block] = [Side(grids, small=True)]
    if len(steps) > 1:
        shown, content = animate(frames)
        left = "" if shown == len(steps) else f" ({shown} of them)"
        text = f"The same codes after {len(steps)} rounds{left}, as an animation"
        blocks.append(Picture(content, "gif", text, text))
    return blocks


def animate(frames: np.ndarray) -> tuple[int, bytes]:
    """How many of the frames it shows, and the GIF: at most 24, and fewer until it is small enough; always the last.

    Args:
        frames: uint8 (T, H, W, C).
    """
    from mmdgan.pictures.animations import gif_bytes

    frames = frames[np.unique(np.linspace(0, len(frames) - 1, min(_FRAMES, len(frames))).round().astype(int))]
    while True:
        content = gif_bytes(frames, [0.6] * (len(frames) - 1) + [1.8])
        if len(content) <= GIF_BYTES or len(frames) <= 2:
            return len(frames), content
        frames = np.concatenate([frames[:-1:2], frames[-1:]])


def _nearest(subject: Subject, record: dict[str, Any]) -> Block:
    """Pairs of generated and nearest training images, side by side in two rows."""
    from mmdgan import sampling
    from mmdgan.core.startup import prepare_tensorflow
    from mmdgan.data.pipeline import channels_last
    from mmdgan.runs.train import open_data

    require_data(subject.facts)
    prepare_tensorflow()
    pairs = record["closest"][:_NEAREST]
    generator, _ = subject.folder.load_generator(record["step"], ema=False if record.get("weights") == "last" else None)
    places = np.array([pair["generated"] for pair in pairs])
    count, seed = int(places.max()) + 1, record["seed"]
    codes = sampling.score_codes(count, generator.spec.input_shape[0], seed)[places]
    labels = sampling.score_labels(count, generator.spec.num_class, seed)
    generated = sampling.generate(generator, codes, None if labels is None else labels[places])
    data = open_data(subject.folder.experiment())
    training = channels_last(data.take(np.array([pair["training"] for pair in pairs]))[0])
    grid = pictures.image_grid(np.concatenate([generated, training]), len(pairs))
    share = f"{record['metric']}: {record['value']:.2%} of {record['count']:,} generated images"
    return Picture(
        pictures.png_bytes(grid),
        "png",
        "Generated images above their nearest training images",
        f"The {len(pairs)} generated images (above) nearest to training images (below), step {record['step']:,}. "
        f"{share} are nearer than all but one in a hundred training images are to another one.",
    )
