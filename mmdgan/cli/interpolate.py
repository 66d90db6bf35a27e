"""The verb `interpolate`: paths between latent codes of a trained generator."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mmdgan.cli import flags
from mmdgan.cli.sample import EMA, HOW, STEP, WHAT, WHERE, check_size, file_name
from mmdgan.core.errors import ConfigError, write_errors
from mmdgan.core.options import option

if TYPE_CHECKING:
    import numpy as np

_SMALLEST_SHOWN = 96  # pixels; smaller images are enlarged in animations


@dataclasses.dataclass(frozen=True)
class InterpolateOptions:
    """The flags of `interpolate`."""

    mode: str = option(
        "slerp",
        "slerp: along the arc between two codes; linear: straight, through codes shorter than those of training; "
        "sine: blended by sine and cosine",
        HOW,
    )
    rows: int = option(8, "number of paths; each begins where the one before it ends", HOW)
    frames: int = option(24, "images per path", HOW)
    loop: bool = option(False, "continue each path to a third code and back to its first", HOW)
    seed: int = option(0, "seed of the codes", HOW, least=0)
    step: int | Literal["best"] | None = option(None, STEP, WHAT)
    class_: str | int | None = option(
        None, "of a conditional run, the class of all paths, by name or number; none: the r-th path is of class r", WHAT
    )
    ema: bool | None = option(None, EMA, WHAT)
    out: str | None = option(
        None,
        "write NAME.png, NAME.gif or NAME.mp4; NAME writes a .png and a .gif; none: both as RUN/samples/<step>_<what>",
        WHERE,
    )
    seconds: float | None = option(None, "length of the animation; none: a tenth of a second per frame", WHERE)


def interpolate(argv: Sequence[str]) -> int:
    """Make paths between latent codes: a picture whose rows are the paths, and an animation of all of them.

    Each path stays within one class, because nothing lies between two labels.
    """
    usage = flags.usage("interpolate RUN [--flag=value ...]", interpolate)
    parsed = flags.parse(InterpolateOptions(), argv, usage=usage, arguments=("RUN",))
    options: InterpolateOptions = parsed.options
    endings = _endings(options.out)
    seconds = _frame_seconds(options, endings)
    from mmdgan import sampling
    from mmdgan.core.progress import counter
    from mmdgan.core.startup import prepare_tensorflow
    from mmdgan.runs.pretrained import open_folder

    rows, frames = options.rows, options.frames
    sampling.check_paths(options.mode, rows, frames, loop=options.loop)
    folder = open_folder(parsed.arguments[0])
    options = dataclasses.replace(options, class_=folder.find_class(options.class_))
    prepare_tensorflow()
    generator, step = folder.load_generator(options.step, options.ema)
    spec = generator.spec
    check_size(rows, frames, spec.output_shape[1:])
    codes = sampling.paths(options.mode, rows, frames, spec.input_shape[0], options.seed, loop=options.loop)
    labels = sampling.cycled_labels(rows, spec.num_class)
    if labels is not None:
        labels = (labels if options.class_ is None else labels * 0 + int(options.class_)).repeat(frames, axis=0)
    name = file_name(step, f"{options.mode}_{rows}x{frames}", options, ("ema", "loop"))
    stem = Path(options.out or folder.grid_file(step).with_name(name))
    images = sampling.generate(generator, codes.reshape(rows * frames, -1), labels, progress=counter("images", print))
    for ending in endings:
        path = stem if stem.suffix.lower() == ending else stem.with_name(stem.name + ending)
        _write_paths(path, images.reshape(rows, frames, *images.shape[1:]), seconds)
        print(f"{rows} paths of {frames} images of step {step:,}: {path}")
    return 0


def _endings(out: str | None) -> tuple[str, ...]:
    """The endings of the files to write."""
    ending = Path(out or "").suffix.lower()
    if ending == ".mp4":
        from mmdgan.pictures.files import find_ffmpeg

        find_ffmpeg()
    if ending in (".png", ".gif", ".mp4"):
        return (ending,)
    if ending in (".npz", ".npy", ".jpg", ".jpeg", ".webp", ".webm", ".avi", ".mov"):
        raise ConfigError(f"{out} is none of .png, .gif and .mp4; name one of these, or a name without ending.")
    if out and Path(out).is_dir():
        raise ConfigError(f"{out} is a folder; give the files' name in it too, such as {Path(out) / 'paths'}.")
    return (".png", ".gif")


def _frame_seconds(options: InterpolateOptions, endings: tuple[str, ...]) -> float:
    if options.seconds is None:
        return 0.1
    if endings == (".png",):
        raise ConfigError(f"--seconds belongs to an animation, but out is {options.out}; leave it out.")
    if not 0 < options.seconds < math.inf:
        raise ConfigError(f"seconds is {options.seconds:g}; give the length of the animation, such as 3.")
    seconds = options.seconds / max(options.frames, 1)
    if ".gif" in endings and seconds < 0.02:
        raise ConfigError(
            f"{options.frames} frames in {options.seconds:g} s are too fast for a GIF, whose frames last at least "
            f"0.02 s; give --seconds of at least {options.frames * 0.02:g}, or name a .mp4."
        )
    return seconds


def _write_paths(path: Path, images: np.ndarray, seconds: float) -> None:
    """Writes paths, uint8 (R, F, H, W, C): as rows of a .png, or side by side in a .gif or .mp4."""
    import numpy as np

    from mmdgan.pictures import files, grid

    rows, frames, height, width, _ = images.shape
    ending = path.suffix.lower()
    with write_errors(path):
        if ending == ".png":
            grid.save_png(path, grid.image_grid(images.reshape(-1, *images.shape[2:]), frames))
            return
        square = math.ceil(math.sqrt(rows))
        columns = next((side for side in range(square, 2 * square) if rows % side == 0), square)  # no cell stays empty
        film = np.stack([grid.image_grid(images[:, frame], columns) for frame in range(frames)])
        film = grid.enlarge(film, max(1, -(-_SMALLEST_SHOWN // min(height, width))))
        if ending == ".gif":
            files.save_gif(path, film, seconds)
        else:
            files.save_mp4(path, film, 1 / seconds)
