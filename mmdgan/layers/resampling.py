"""Scaling and pooling of images, in both data formats (spec A.4, A.6).

TensorFlow's CPU kernels pool and shuffle channels_last images only, and its resizing follows another rule of
alignment than TensorFlow 1's: here 'bil' and 'bic' are that one, align_corners, as products with two interpolation
matrices, which have all derivatives in every layout and precision.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import tensorflow as tf

from mmdgan.layers.layout import in_channels_last

METHODS = ("ps", "bil", "bic", "avg", "max", "unpool")
POOLS = ("max", "avg", "sum")

_CUBIC = -0.75
"""The bicubic kernel's parameter."""
_CUBIC_STEPS = 1024
"""TensorFlow 1 tabulates that kernel at so many points per pixel."""


def resample(x: tf.Tensor, method: str, factor: float = 2, data_format: str = "channels_last") -> tf.Tensor:
    """Enlarges images by a factor, or makes them smaller by the magnitude of a negative one.

    | method | | factor |
    |---|---|---|
    | ps | periodic shuffling: output (h r + i, w r + j, c) is input (h, w, (i r + j) C + c); or its inverse | integer |
    | bil, bic | bilinear, bicubic interpolation between corner pixels that stay at the corners | any |
    | avg, max | pooling with window and stride of the factor | negative integer |
    | unpool | nearest neighbour | integer of at least 2 |

    Args:
        x: Images of static height and width.
        method: One of `METHODS`.
        factor: Not 0. Interpolated sides are int(side * factor) or int(side / |factor|), at least 1.
        data_format: 'channels_last' or 'channels_first'.

    Raises:
        ValueError: An unknown method, or a factor that it does not take.
    """
    _check_factor(method, factor)
    x = tf.convert_to_tensor(x)
    size = abs(factor)
    if method in ("avg", "max"):
        return pool(x, method, int(size), int(size), "SAME", data_format)
    if method == "ps":
        shuffle = tf.nn.depth_to_space if factor > 0 else tf.nn.space_to_depth
        return in_channels_last(lambda images: shuffle(images, int(size)), x, data_format) if size > 1 else x
    for axis in (1, 2) if data_format == "channels_last" else (2, 3):
        if method == "unpool":
            x = tf.repeat(x, int(size), axis=axis)
        else:
            side = x.shape[axis]
            scaled = side * size if factor > 0 else side / size
            x = _interpolate(x, axis, interpolation_matrix(method, side, max(int(scaled), 1)))
    return x


def pool(x: tf.Tensor, op: str, kernel: int, strides: int, padding: str, data_format: str) -> tf.Tensor:
    """Pools images over square windows.

    At the borders of 'SAME' padding 'avg' averages the pixels that there are, and 'sum' is that average times the
    window's full size, as in the original.

    Args:
        x: Images in `data_format`.
        op: 'max', 'avg' or 'sum'.
        kernel: Side of the window.
        strides: Strides along both axes.
        padding: 'SAME' or 'VALID'.
        data_format: 'channels_last' or 'channels_first'.
    """
    if op not in POOLS:
        raise ValueError(f"Pooling {op!r} is not one of {', '.join(POOLS)}.")
    reduce = tf.nn.max_pool2d if op == "max" else tf.nn.avg_pool2d
    # A tensor first: max_pool2d takes a NumPy array of any dtype for float32.
    x = tf.convert_to_tensor(x)
    x = in_channels_last(lambda images: reduce(images, kernel, strides, padding), x, data_format)
    return x * kernel**2 if op == "sum" else x


def bilinear_additive_upsampling(x: tf.Tensor, factor: int = 2, data_format: str = "channels_last") -> tf.Tensor:
    """Enlarges images bilinearly and adds every factor^2 consecutive channels (Wojna et al. 2017).

    Args:
        x: Images (N, H, W, C) or (N, C, H, W), C divisible by factor^2.
        factor: integer of at least 1.
        data_format: 'channels_last' or 'channels_first'.

    Returns:
        Images of factor H times factor W pixels and C / factor^2 channels.
    """
    axis = 3 if data_format == "channels_last" else 1
    channels = x.shape[axis]
    if channels % factor**2:
        raise ValueError(
            f"Bilinear additive upsampling by {factor} needs channels in multiples of {factor**2}, not {channels}."
        )
    # The sum first: both are linear, and there are fewer channels to enlarge then.
    shape = [-1 if side is None else side for side in x.shape]
    x = tf.reduce_sum(tf.reshape(x, [*shape[:axis], channels // factor**2, factor**2, *shape[axis + 1 :]]), axis + 1)
    return resample(x, "bil", factor, data_format)


@functools.lru_cache(maxsize=256)
def interpolation_matrix(method: str, side: int, new_side: int) -> np.ndarray:
    """Returns the matrix (new_side, side) of TensorFlow 1's resize with align_corners=True along one axis.

    Args:
        method: 'bil' or 'bic'.
        side: Pixels of the input.
        new_side: Pixels of the output; a single one is the first pixel of the input.
    """
    positions = np.linspace(0, side - 1, new_side)
    first = np.floor(positions).astype(int)
    fractions = positions - first
    weights = {0: 1 - fractions, 1: fractions} if method == "bil" else _cubic_weights(fractions)
    matrix = np.zeros((new_side, side))
    for offset, weight in weights.items():
        np.add.at(matrix, (np.arange(new_side), np.clip(first + offset, 0, side - 1)), weight)
    matrix.setflags(write=False)
    return matrix


def _cubic_weights(fractions: np.ndarray) -> dict[int, np.ndarray]:
    """Weights of the four neighbours of positions between pixels 0 and 1, by Keys's cubic convolution kernel."""
    near = np.rint(fractions * _CUBIC_STEPS) / _CUBIC_STEPS
    return {-1: _far(1 + near), 0: _near(near), 1: _near(1 - near), 2: _far(2 - near)}


def _near(x: np.ndarray) -> np.ndarray:
    """The kernel at distances of at most 1."""
    return ((_CUBIC + 2) * x - (_CUBIC + 3)) * x * x + 1


def _far(x: np.ndarray) -> np.ndarray:
    """The kernel at distances from 1 to 2."""
    return _CUBIC * (((x - 5) * x + 8) * x - 4)


def _interpolate(x: tf.Tensor, axis: int, matrix: np.ndarray) -> tf.Tensor:
    """Returns x with each line of pixels along an axis multiplied by a matrix."""
    letters = "abcd"
    old = letters[axis]
    new = letters.replace(old, "n")
    return tf.einsum(f"n{old},{letters}->{new}", tf.constant(matrix, x.dtype), x)


def _check_factor(method: str, factor: float) -> None:
    number = float(factor)
    allowed = {
        "ps": (number != 0 and number.is_integer(), "an integer other than 0"),
        "bil": (number != 0 and math.isfinite(number), "a number other than 0"),
        "bic": (number != 0 and math.isfinite(number), "a number other than 0"),
        "avg": (number < 0 and number.is_integer(), "a negative integer"),
        "max": (number < 0 and number.is_integer(), "a negative integer"),
        "unpool": (number >= 2 and number.is_integer(), "an integer of at least 2"),
    }
    if method not in allowed:
        raise ValueError(f"Scaling {method!r} is not one of {', '.join(METHODS)}.")
    fits, needed = allowed[method]
    if not fits:
        raise ValueError(f"Scaling {method!r} takes {needed}, not {factor}.")
