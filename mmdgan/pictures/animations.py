"""Animations: a sequence of pictures as a GIF or an MP4 file."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmdgan.core.errors import ConfigError
from mmdgan.core.files import atomic, write_bytes
from mmdgan.pictures.grid import to_pillow

if TYPE_CHECKING:
    from PIL.Image import Image

# Viewers show a GIF's frames of less than 0.02 s for 0.1 s instead.
SHORTEST = 0.02

_DRAWN_COLOURS = 4096  # of more, choosing the palette takes minutes, and 256 are too few for generated images
_UNSEEN = 0.1  # mean error of 256 colours, of 255 grey levels


def gif_bytes(frames: np.ndarray, seconds: float | list[float] = 0.1) -> bytes:
    """The GIF file of a sequence of pictures; it repeats for ever.

    Args:
        frames: uint8 (T, H, W, C), C = 1 or 3.
        seconds: Seconds that each is shown: one number, or one per frame; the format counts hundredths.

    Raises:
        ConfigError: Frames shorter than 0.02 s.
        ValueError: Frames that are not uint8 (T, H, W, 1 or 3).
    """
    frames = _checked(frames)
    each = np.broadcast_to(np.asarray(seconds, np.float64), (len(frames),))
    if each.min() < SHORTEST:
        raise ConfigError(
            f"frames of {each.min():.3g} s are too short for a GIF; give each at least {SHORTEST} s, or name a .mp4."
        )
    first, *others = _with_one_palette(frames) or [_with_palette(frame) for frame in frames]
    durations = [int(round(100 * shown)) * 10 for shown in each]
    buffer = io.BytesIO()
    first.save(buffer, format="GIF", save_all=True, append_images=others, duration=durations, loop=0)
    return buffer.getvalue()


def save_gif(path: str | os.PathLike, frames: np.ndarray, seconds: float | list[float] = 0.1) -> Path:
    """Writes a GIF, as `gif_bytes` makes it, atomically."""
    write_bytes(path, gif_bytes(frames, seconds))
    return Path(path)


def save_mp4(path: str | os.PathLike, frames: np.ndarray, fps: float = 10) -> Path:
    """Writes an MP4 film (H.264, 4:2:0, as every browser shows it), atomically.

    Args:
        path: The file to write.
        frames: uint8 (T, H, W, C), C = 1 or 3; at an odd height or width the last row or column is doubled.
        fps: Frames per second.

    Raises:
        ConfigError: There is no ffmpeg, or it failed.
        ValueError: Frames that are not uint8 (T, H, W, 1 or 3).
    """
    frames = _checked(frames)
    height, width = (side + side % 2 for side in frames.shape[1:3])
    missing = [(0, 0), (0, height - frames.shape[1]), (0, width - frames.shape[2]), (0, 0)]
    frames = np.broadcast_to(np.pad(frames, missing, mode="edge"), (len(frames), height, width, 3))
    command = [find_ffmpeg(), "-hide_banner", "-loglevel", "error", "-y"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:.6g}", "-i", "-"]
    # A high quality: the frames are few, small and made of noise.
    command += ["-c:v", "libx264", "-crf", "14", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    with atomic(path) as partial:
        done = subprocess.run([*command, "-f", "mp4", str(partial)], input=frames.tobytes(), capture_output=True)
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
            raise ConfigError(f"{path} cannot be written, ffmpeg says: {reason[0]}; name a .gif instead.")
    return Path(path)


def find_ffmpeg() -> str:
    """The program that writes films: imageio-ffmpeg's if it is installed, else the one on the PATH.

    Raises:
        ConfigError: Neither is there.
    """
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):  # not installed, or without the program
        program = shutil.which("ffmpeg")
    if program is None:
        raise ConfigError("an MP4 needs ffmpeg: pip install imageio-ffmpeg, or name a .gif instead.")
    return program


def _with_one_palette(frames: np.ndarray) -> list[Image] | None:
    """Drawn frames, whose colours are few, in 256 colours for all; None for others, or where the loss would show.

    What stands still does not flicker then, and only what changes is stored: 30 frames of Figure 1 of 2,500 colours
    take 73 kB instead of 418, at a mean error of 0.04 grey levels instead of 0.01.
    """
    if frames.shape[-1] == 1 or not _are_drawn(frames):
        return None
    count, height, width, channels = frames.shape
    column = frames.reshape(count * height, width, channels)
    together = _with_palette(column)
    error = np.abs(np.asarray(together.convert("RGB"), np.int16) - column).mean()
    if error > _UNSEEN:
        return None
    return [together.crop((0, top, width, top + height)) for top in range(0, count * height, height)]


def _are_drawn(frames: np.ndarray) -> bool:
    """Whether pictures, (T, H, W, 3), have as few colours as drawings do."""
    seen = np.zeros(1 << 24, bool)
    for frame in frames:
        red, green, blue = np.moveaxis(frame.astype(np.uint32), -1, 0)
        seen[red << 16 | green << 8 | blue] = True
        if np.count_nonzero(seen) > _DRAWN_COLOURS:
            return False
    return True


def _with_palette(frame: np.ndarray) -> Image:
    """A frame in at most 256 colours of its own.

    Chosen by maximum coverage and moved by k-means, which comes nearest to generated 32x32 images of the ways that
    Pillow offers: 37 dB, where one palette for all frames gives 34. Dithering costs 2 to 3 dB, and flickers.
    """
    from PIL.Image import Dither, Quantize

    picture = to_pillow(frame)
    if picture.mode == "L":
        return picture
    return picture.quantize(256, Quantize.MAXCOVERAGE, kmeans=4, dither=Dither.NONE)


def _checked(frames: np.ndarray) -> np.ndarray:
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] not in (1, 3) or len(frames) == 0:
        raise ValueError(f"frames must be uint8 (T, H, W, 1 or 3), T >= 1; not {frames.dtype} {frames.shape}.")
    return frames
