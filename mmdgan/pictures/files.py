"""Files of many pictures: images written part by part, with one batch in memory at most; animations (GIF, MP4)."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmdgan.core.errors import ConfigError, write_errors
from mmdgan.core.files import atomic, is_named_as_file, write_bytes
from mmdgan.pictures.grid import save_folder, to_pillow

if TYPE_CHECKING:
    from PIL.Image import Image

# A part of a path on any system, which is not hidden.
_FOLDER_NAME = re.compile(r"[^\W_](?:[\w .,()+-]{0,98}[\w)])?")

# Viewers show a GIF's frames of less than 0.02 s for 0.1 s instead.
SHORTEST = 0.02

_DRAWN_COLOURS = 4096  # of more, choosing the palette takes minutes, and 256 are too few for generated images
_UNSEEN = 0.1  # mean error of 256 colours, of 255 grey levels


def check_image_target(
    path: str | os.PathLike | None,
    count: int | None = None,
    labels: np.ndarray | None = None,
    class_names: Sequence[str] = (),
) -> None:
    """Refuses places where images should not be written, before any is made.

    Args:
        path: *.npz, *.png or a folder; None stands for a *.png.
        count: Number of images that a folder gets, if it is known.
        labels, class_names: Of these images, as `save_batches` takes them.

    Raises:
        ConfigError: The name looks like another kind of file and would be taken for a folder, or the folder holds
            other files, which would stay among the new images.
    """
    if path is None:
        return
    path = Path(path)
    if path.suffix.lower() in (".npz", ".png"):
        return
    if is_named_as_file(path):
        raise ConfigError(f"{path} would be a folder; name a .npz, a .png (a grid), or a folder without an ending.")
    if count is not None and path.is_dir():
        folders = class_folders(labels, class_names) or [""] * count
        new = {(path / name / f"{index:06d}.png") for index, name in enumerate(folders)}
        made = {path / name for name in folders}
        left = sorted(
            str(file.relative_to(path))
            for folder in {path, *made}
            for file in (folder.iterdir() if folder.is_dir() else ())
            if file not in new and file not in made
        )
        if left:
            raise ConfigError(
                f"{path} holds other files, such as {left[0]}, which would be taken for samples; name another folder."
            )


def save_batches(
    path: str | os.PathLike,
    batches: Iterable[tuple[int, np.ndarray]],
    count: int,
    labels: np.ndarray | None = None,
    class_names: Sequence[str] = (),
) -> Path:
    """Writes images while they are made, in the format that the path's ending names.

    Args:
        path: *.npz (key `images`), which appears when it is complete; or a folder, which gets one PNG per image, in
            sub-folders if the images are of several classes, as `python -m mmdgan prepare` reads them.
        batches: (index of the first image, uint8 (B, H, W, C)), in order, as of `sampling.generate_batches`.
        count: Images in all.
        labels: int (N, 1) or None: the key `labels` of a *.npz, (N,).
        class_names: One name per class, for the key `class_names` or the sub-folders; empty for none.

    Raises:
        ConfigError: A place that cannot be written to.
    """
    path = Path(path)
    with write_errors(path):
        if path.suffix.lower() == ".npz":
            return _save_npz(path, batches, count, labels, class_names)
        folders = class_folders(labels, class_names)
        for start, images in batches:
            if folders is None:
                save_folder(path, images, start)
                continue
            for index, image in enumerate(images, start):
                save_folder(path / folders[index], image[None], index)
        return path


def class_folders(labels: np.ndarray | None, class_names: Sequence[str] = ()) -> list[str] | None:
    """The sub-folder of each image, named after its class; None for images of one class, or of none.

    Classes without names, with equal ones, or with names that no folder can have, have their numbers, with leading
    zeros: so the folders' names are in the order of the classes.
    """
    if labels is None or len(np.unique(labels)) < 2:
        return None
    numbers = np.reshape(labels, -1)
    distinct = len({name.lower() for name in class_names}) == len(class_names) > numbers.max()
    if distinct and all(map(_FOLDER_NAME.fullmatch, class_names)):
        return [class_names[int(number)] for number in numbers]
    width = len(str(int(numbers.max())))
    return [f"{int(number):0{width}d}" for number in numbers]


def _save_npz(
    path: Path,
    batches: Iterable[tuple[int, np.ndarray]],
    count: int,
    labels: np.ndarray | None,
    class_names: Sequence[str],
) -> Path:
    """What np.savez_compressed writes, without the whole array."""
    # Stronger compression makes generated images no smaller.
    with atomic(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("images.npy", "w", force_zip64=True) as file:
            for start, images in batches:
                if start == 0:
                    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *images.shape[1:])}
                    np.lib.format.write_array_header_1_0(file, header)
                file.write(np.ascontiguousarray(images).data)
        arrays = {} if labels is None else {"labels": np.reshape(labels, -1)}
        arrays |= {"class_names": np.array(class_names)} if arrays and class_names else {}
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)
    return path


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
