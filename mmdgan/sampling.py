"""Latent codes, paths between them, class labels, and the images that a generator makes of them (spec F.1, F.2).

Codes are a function of the seed and of their index alone, so that asking for more samples does not change the
first ones, and a sample does not depend on the batch in which it was made. The same holds for labels, which are
None for unconditional generators (less than 2 classes) throughout.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdgan.core.errors import ConfigError
from mmdgan.core.text import nearest

if TYPE_CHECKING:
    import keras

# Separates the streams of codes that are drawn with one seed.
_GRID, _SCORES, _LABELS, _TRUNCATED, _SUPPORTS, _FEATURES, _PATHS = 1, 2, 3, 4, 5, 6, 7


def random_codes(count: int, code_size: int, seed: int | tuple[int, ...] = 0) -> np.ndarray:
    """Codes from N(0, 1): float32 (count, code_size). The first n rows are the same for every count >= n."""
    return np.random.default_rng(seed).standard_normal((count, code_size), dtype=np.float32)


def grid_codes(count: int, code_size: int, seed: int = 0) -> np.ndarray:
    """The fixed codes of a run's grids of samples (the original's 400), float32 (count, code_size)."""
    return random_codes(count, code_size, (seed, _GRID))


def score_codes(count: int, code_size: int, seed: int = 0) -> np.ndarray:
    """The codes whose images are scored, float32 (count, code_size); they differ from the grids'."""
    return random_codes(count, code_size, (seed, _SCORES))


def truncated_codes(count: int, code_size: int, truncation: float, seed: int = 0) -> np.ndarray:
    """Codes from N(0, 1) cut off at +-truncation: BigGAN's truncation trick (Brock et al. 2019, section 3.1).

    The components of `random_codes` beyond the limit are drawn again until they are within; here by one draw from
    the cut-off distribution, which is the same. So all other components stay, and a limit that none exceeds (6, say)
    gives `random_codes` itself.

    Args:
        count: Number of codes.
        code_size: Length of a code.
        truncation: The limit, > 0.
        seed: The first n codes are the same for every count >= n.

    Returns:
        float32 (count, code_size).

    Raises:
        ConfigError: A limit of 0 or less.
    """
    if not truncation > 0:
        raise ConfigError(f"truncation is {truncation:g}; give a number greater than 0, such as 0.5.")
    from scipy.special import ndtr, ndtri

    codes = random_codes(count, code_size, seed)
    uniform = np.random.default_rng((seed, _TRUNCATED)).random((count, code_size))
    below = ndtr(-truncation)
    within = ndtri(below + uniform * (1 - 2 * below)).clip(-truncation, truncation)
    return np.where(np.abs(codes) > truncation, within, codes).astype(np.float32)


def read_codes(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray | None]:
    """Codes, and class labels if there are any, from a file.

    Args:
        path: A .npy of (N, code_size), or a .npz with that under the key `codes`, and optionally the key `labels`,
            (N,) or (N, 1).

    Returns:
        (codes, labels): float32 (N, code_size); int32 (N, 1), or None.

    Raises:
        ConfigError: No such file, another kind of file, or arrays of another form.
    """
    path, labels = Path(path), None
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            codes = loaded
        else:
            with loaded:
                if "codes" not in loaded:
                    raise ConfigError(f"{path} holds {', '.join(loaded)}; it must have the codes under the key codes.")
                codes, labels = loaded["codes"], loaded["labels"] if "labels" in loaded else None
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; name a .npy or .npz file of codes.") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path} cannot be read as a .npy or .npz file of codes ({error}).") from None
    if codes.ndim != 2 or codes.dtype.kind not in "fiu" or not len(codes) or not np.isfinite(codes).all():
        raise ConfigError(
            f"the codes of {path} are {codes.dtype} {codes.shape}; they must be finite numbers (N, length of a code)."
        )
    if labels is not None and (labels.dtype.kind not in "iu" or labels.shape not in ((len(codes),), (len(codes), 1))):
        raise ConfigError(
            f"the labels of {path} are {labels.dtype} {labels.shape}; they must be whole numbers ({len(codes)},)."
        )
    return codes.astype(np.float32), None if labels is None else labels.astype(np.int32).reshape(-1, 1)


def sine_codes(
    mesh: tuple[int, int],
    code_size: int,
    seed: int = 0,
    supports: np.ndarray | None = None,
    span: float = math.pi / 4,
) -> np.ndarray:
    """A mesh of codes between four support codes (the original's mesh mode "sine", corrected).

    With phi_j = span j / (m0 - 1) and psi_i = span i / (m1 - 1), code i m0 + j is
    cos(phi_j) (cos(psi_i) z0 + sin(psi_i) z1) + sin(phi_j) (cos(psi_i) z2 + sin(psi_i) z3): distributed as the
    supports are, if they are drawn from N(0, 1). Of the picture, m0 is the number of columns and m1 of rows.

    Args:
        mesh: (m0, m1), at least 1 each; a side of 1 has the angle 0.
        code_size: Length of the codes.
        seed: Seed of the support codes.
        supports: (4, code_size), z0 to z3, instead of random ones.
        span: The largest angle; pi/4 as in the original, pi/2 to reach all four support codes at the corners.

    Returns:
        float32 (m0 * m1, code_size).

    Raises:
        ConfigError: A mesh without codes, or supports of another shape.
    """
    columns, rows = _checked_mesh(mesh)
    supports = random_codes(4, code_size, (seed, _SUPPORTS)) if supports is None else np.asarray(supports)
    if supports.shape != (4, code_size):
        raise ConfigError(f"the support codes are of shape {supports.shape}; a sine mesh takes {(4, code_size)}.")
    phi = span * np.arange(columns) / max(columns - 1, 1)
    psi = span * np.arange(rows) / max(rows - 1, 1)
    across = np.stack([np.cos(phi), np.sin(phi)])
    down = np.stack([np.cos(psi), np.sin(psi)])
    # supports[2 a + b] is weighted by across[a] and down[b].
    codes = np.einsum("aj,bi,abd->ijd", across, down, supports.reshape(2, 2, code_size).astype(np.float64))
    return codes.reshape(rows * columns, code_size).astype(np.float32)


def feature_codes(mesh: tuple[int, int], code_size: int, seed: int = 0, grid: float = 2.0) -> np.ndarray:
    """A mesh of codes that show one component each (the original's mesh mode "feature", corrected).

    Code f m1 + v is zero but for one component, which is the v-th of m1 values from -grid to grid; which component
    that is for which f is drawn by the seed. Of the picture, m0 is the number of rows and m1 of columns.

    Args:
        mesh: (m0, m1): components shown, at most code_size, and values of each.
        code_size: Length of the codes.
        seed: Seed of the choice of components.
        grid: The largest value, > 0.

    Returns:
        float32 (m0 * m1, code_size).

    Raises:
        ConfigError: More components than a code has, a mesh without codes, or a grid of 0 or less.
    """
    features, values = _checked_mesh(mesh)
    if features > code_size:
        raise ConfigError(
            f"a feature mesh of {features} rows needs as many components, but the codes have {code_size}; "
            f"give a mesh of at most {code_size} rows."
        )
    if not (grid > 0 and math.isfinite(grid)):
        raise ConfigError(f"the mesh's grid is {grid:g}; give the largest value of a component, such as 2.")
    codes = np.zeros((features, values, code_size), np.float32)
    codes[np.arange(features), :, np.arange(features)] = np.linspace(-grid, grid, values)
    chosen = np.random.default_rng((seed, _FEATURES)).permutation(code_size)
    return codes[..., chosen].reshape(features * values, code_size)


def simple_grid(
    mesh: tuple[int, int],
    x_range: tuple[float, float] = (-1.0, 1.0),
    y_range: tuple[float, float] = (-1.0, 1.0),
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A regular mesh of codes of length 2 (the original's `simple_grid`).

    Args:
        mesh: (m0, m1), values of either component.
        x_range: The first and last value of the first component.
        y_range: Those of the second one.

    Returns:
        codes, float32 (m0 * m1, 2), of which i m1 + j is (x_i, y_j); x, (m0,); y, (m1,).
    """
    x, y = (np.linspace(*ends, size, dtype=np.float32) for ends, size in zip((x_range, y_range), mesh, strict=True))
    return np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2), x, y


def _checked_mesh(mesh: tuple[int, int]) -> tuple[int, int]:
    first, second = mesh
    if min(first, second) < 1:
        raise ConfigError(f"the mesh is {first},{second}; give two whole numbers of at least 1.")
    return first, second


def paths(mode: str, rows: int, frames: int, code_size: int, seed: int = 0, *, loop: bool = False) -> np.ndarray:
    """Codes along paths between random codes (White 2016, "Sampling Generative Networks").

    Row r goes from random code r to code r + 1, so that the rows, one after another, are one long path. A loop
    goes on to code r + 2 and back to code r, and its last frame is one step before its first.

    Args:
        mode: The way from code a to code b, t from 0 to 1: "slerp", along the arc between them (`slerp`); "linear",
            (1 - t) a + t b, whose middle is shorter than codes from N(0, 1) are; "sine",
            cos(t pi/2) a + sin(t pi/2) b, whose points are all distributed as N(0, 1).
        rows: Number of paths, R.
        frames: Number of codes of each, F: at least 2, for a loop 3.
        code_size: Length of the codes, D.
        seed: Seed of the random codes; more rows do not change the first ones.
        loop: Whether paths come back to where they begin.

    Returns:
        float32 (R, F, D).

    Raises:
        ConfigError: An unknown mode, or too few rows or frames.
    """
    check_paths(mode, rows, frames, loop=loop)
    codes = random_codes(rows + 2, code_size, (seed, _PATHS)).astype(np.float64)
    # In units of one code to the next: which pair of codes a frame is between, and how far from the first of them.
    position = np.arange(frames) * 3 / frames if loop else np.linspace(0, 1, frames)
    pair = np.floor(position).astype(int) if loop else np.zeros(frames, int)
    result = np.empty((rows, frames, code_size), np.float32)
    for row in range(rows):
        for number in np.unique(pair):
            start, end = codes[row + number], codes[row + (number + 1) % 3]
            result[row, pair == number] = MODES[mode](start, end, position[pair == number] - number)
    return result


def check_paths(mode: str, rows: int, frames: int, *, loop: bool = False) -> None:
    """Refuses arguments that `paths` does not take: a ConfigError names the valid values."""
    if mode not in MODES:
        raise ConfigError(f"mode is {mode!r}{nearest(mode, list(MODES))}; the modes are {', '.join(MODES)}.")
    if rows < 1:
        raise ConfigError(f"rows is {rows}; give at least 1 path.")
    if frames < (3 if loop else 2):
        raise ConfigError(f"frames is {frames}; a {'loop' if loop else 'path'} has at least {3 if loop else 2}.")


def slerp(start: np.ndarray, end: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    """Spherical interpolation between two codes: by the angle between them, applied to the codes as they are.

    Nearly parallel or opposite codes (a sine of at most 0.1) are interpolated linearly, as in the original.

    Args:
        start: (code_size,), the result for share 0.
        end: (code_size,), the result for share 1.
        share: A number, or (N,).

    Returns:
        (code_size,), or (N, code_size). Source: Shoemake 1985; White 2016 for latent codes.
    """
    start, end = np.asarray(start), np.asarray(end)
    share = np.asarray(share, np.result_type(start, end, np.float32))[..., None]
    cosine = np.dot(start, end) / (np.linalg.norm(start) * np.linalg.norm(end))
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    if np.sin(angle) <= 0.1:
        return (1.0 - share) * start + share * end
    return (np.sin((1.0 - share) * angle) * start + np.sin(share * angle) * end) / np.sin(angle)


def _linear(start: np.ndarray, end: np.ndarray, share: np.ndarray) -> np.ndarray:
    return (1 - share)[:, None] * start + share[:, None] * end


def _sine(start: np.ndarray, end: np.ndarray, share: np.ndarray) -> np.ndarray:
    angle = share[:, None] * np.pi / 2
    return np.cos(angle) * start + np.sin(angle) * end


MODES = {"slerp": slerp, "linear": _linear, "sine": _sine}


def cycled_labels(count: int, num_class: int, columns: int | None = None) -> np.ndarray | None:
    """Labels that go through the classes: int32 (count, 1), or None.

    Args:
        count: Number of labels.
        num_class: Number of classes.
        columns: Columns of a grid of pictures, whose column j shows class j mod num_class; without it sample i is of
            class i mod num_class.
    """
    if num_class < 2:
        return None
    index = np.arange(count, dtype=np.int32)
    return (index % (columns or max(count, 1)) % num_class)[:, None]


def score_labels(count: int, num_class: int, seed: int = 0) -> np.ndarray | None:
    """The labels of the images that are scored: uniform, int32 (count, 1), or None."""
    if num_class < 2:
        return None
    return np.random.default_rng((seed, _LABELS)).integers(num_class, size=(count, 1), dtype=np.int32)


def generate(
    generator: keras.Model,
    codes: np.ndarray,
    labels: np.ndarray | None = None,
    batch_size: int = 100,
    progress: Callable[[int, int], Any] | None = None,
) -> np.ndarray:
    """Images from codes, with the generator in inference mode: the batches of `generate_batches` in one array.

    Returns:
        uint8 (N, H, W, C), whatever the generator's data format.
    """
    images: Any = None
    for start, batch in generate_batches(generator, codes, labels, batch_size, progress):
        if images is None:  # filled part by part, so that no second copy is needed
            images = np.empty((len(codes), *batch.shape[1:]), np.uint8)
        images[start : start + len(batch)] = batch
    return images


def generate_batches(
    generator: keras.Model,
    codes: np.ndarray,
    labels: np.ndarray | None = None,
    batch_size: int = 100,
    progress: Callable[[int, int], Any] | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Images from codes, batch by batch, with the generator in inference mode.

    Args:
        generator: A model of `mmdgan.build_generator`, in either data format.
        codes: float32 (N, code_size).
        labels: int (N, 1), for a conditional generator.
        batch_size: Images computed at a time, B.
        progress: Called with (done, N) after each batch.

    Yields:
        (index of the first image, uint8 (B, H, W, C)), whatever the generator's data format; the last batch may be
        smaller.
    """
    sample = sampler(generator, codes.shape[1], batch_size, labels is not None)
    for start in range(0, len(codes), batch_size):
        part = slice(start, start + batch_size)
        yield start, sample(codes[part], None if labels is None else labels[part])
        if progress is not None:
            progress(min(start + batch_size, len(codes)), len(codes))


def sampler(
    generator: keras.Model, code_size: int, batch_size: int = 100, labelled: bool = False
) -> Callable[..., np.ndarray]:
    """The generator in inference mode as a function, for more images than fit into memory.

    Args:
        generator: A model of `mmdgan.build_generator`, in either data format.
        code_size: The length of a code.
        batch_size: The most images of one call.
        labelled: Whether calls take labels.

    Returns:
        (codes (n, code_size), labels int (n, 1) or None) -> uint8 (n, H, W, C), with n <= batch_size.
    """
    import tensorflow as tf

    # Traced once, for one shape: a smaller batch is filled up. Each round of a run makes a function of its own, and
    # only a concrete one comes without TensorFlow's warning about that.
    signature = tf.TensorSpec((batch_size, code_size), tf.float32)
    if labelled:
        signature = {"x": signature, "y": tf.TensorSpec((batch_size, 1), tf.int32)}
    forward = tf.function(lambda inputs: generator(inputs, training=False)).get_concrete_function(signature)

    def sample(codes: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        rows = np.arange(batch_size) % len(codes)
        inputs = tf.constant(codes[rows], tf.float32)
        if labelled:
            assert labels is not None
            inputs = {"x": inputs, "y": tf.constant(labels[rows], tf.int32)}
        images = forward(inputs).numpy()[: len(codes)]
        if generator.data_format == "channels_first":
            images = images.transpose(0, 2, 3, 1)
        return to_uint8(images)

    return sample


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] (clipped) to 0..255: the inverse of x / 127.5 - 1, rounded."""
    return np.rint((np.clip(images, -1.0, 1.0) + 1.0) * 127.5).astype(np.uint8)
