"""Convolutions by Winograd's minimal filtering: fewer multiplications, arranged as matrix products.

Images are cut into overlapping tiles. Between three linear transforms, of tiles, of kernels and back to images, a
convolution is one small matrix product per point of a tile (Lavin and Gray 2016; the transforms are Toom-Cook's).
With tiles of 4 x 4 outputs a 3x3 kernel takes 36 multiplications instead of 144, and a 4x4 kernel of strides 2, seen
as a 2x2 kernel on the image's 4 phases, 100 instead of 256. In float32 the result is as near to the exact one as a
plain sum within a factor of 2.5 (tests/layers/test_winograd.py). The transforms are matrix products as well, so
that derivatives of any order are too, and cost as little. In bfloat16 the transforms are computed in float32 and the
products in bfloat16, whose rounding the transforms enlarge: results are within 2.5% of the exact ones (a plain
convolution's within 0.4%).

Images are (N, H, W, C), kernels (k, k, in, out) with k a multiple of the strides; padding is 'SAME' with sides that
the strides divide. Inside, the batch is next to the channels, so that transforms work on long rows.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import tensorflow as tf

TILE = 4
"""Outputs per side of a tile; smaller images are one tile."""

_POINTS = tuple(map(Fraction, ("0", "1", "-1", "2", "-1/2")))
"""Where polynomials are evaluated, in addition to infinity: a mixture of large and small points rounds least."""


def convolve(x: tf.Tensor, kernel: tf.Tensor, strides: int = 1) -> tf.Tensor:
    """Returns the convolution (N, H / strides, W / strides, out) of images (N, H, W, in)."""
    sides = [side // strides for side in x.shape[1:3]]
    forms = [_axis_forms(side, kernel.shape[0] // strides, strides) for side in sides]
    tiles = _both_axes(_to_phases(_wide(x), kernel.shape[0], strides), [into for into, _ in forms])
    products = _products(_grouped(tiles, forms), _kernel_form(_wide(kernel), sides, strides), x.dtype)
    y = _both_axes(_ungrouped(products, forms), [out for _, out in forms])
    return tf.cast(tf.transpose(y, (2, 0, 1, 3)), x.dtype)


def convolve_transposed(y: tf.Tensor, kernel: tf.Tensor, strides: int = 1) -> tf.Tensor:
    """Returns the adjoint of `convolve`: (N, H, W, in) of (N, H / strides, W / strides, out)."""
    sides = y.shape[1:3]
    forms = [_axis_forms(side, kernel.shape[0] // strides, strides) for side in sides]
    products = _both_axes(tf.transpose(_wide(y), (1, 2, 0, 3)), [out.T for _, out in forms])
    tiles = _products(_grouped(products, forms), _kernel_form(_wide(kernel), sides, strides), y.dtype, transposed=True)
    x = _from_phases(_both_axes(_ungrouped(tiles, forms), [into.T for into, _ in forms]), kernel.shape[0], strides)
    return tf.cast(x, y.dtype)


def _wide(x: tf.Tensor) -> tf.Tensor:
    """The tensor in the dtype of the transforms."""
    return tf.cast(x, tf.float32) if x.dtype == tf.bfloat16 else x


def _products(a: tf.Tensor, b: tf.Tensor, dtype: tf.DType, transposed: bool = False) -> tf.Tensor:
    """The matrix products in a dtype, in the dtype of the transforms."""
    return tf.cast(tf.matmul(tf.cast(a, dtype), tf.cast(b, dtype), transpose_b=transposed), a.dtype)


def _to_phases(x: tf.Tensor, size: int, strides: int) -> tf.Tensor:
    """(N, H, W, C) to (H', W', N, strides^2 C): padded, and pixels of one stride side by side.

    Without strides the padding is left to the transform's matrix.
    """
    if strides == 1:
        return tf.transpose(x, (1, 2, 0, 3))
    height, width, channels = x.shape[1:]
    before, after = _margins(size, strides)
    x = tf.pad(x, [[0, 0], [before, after], [before, after], [0, 0]])
    rows, columns = ((side + before + after) // strides for side in (height, width))
    x = tf.transpose(tf.reshape(x, (-1, rows, strides, columns, strides * channels)), (1, 3, 0, 2, 4))
    return tf.reshape(x, (rows, columns, -1, strides * strides * channels))


def _from_phases(phases: tf.Tensor, size: int, strides: int) -> tf.Tensor:
    """The adjoint of `_to_phases`."""
    if strides == 1:
        return tf.transpose(phases, (2, 0, 1, 3))
    rows, columns, _, width = phases.shape
    row = width // strides
    x = tf.transpose(tf.reshape(phases, (rows, columns, -1, strides, row)), (2, 0, 3, 1, 4))
    x = tf.reshape(x, (-1, rows * strides, columns * strides, row // strides))
    inner = [side * strides - sum(_margins(size, strides)) for side in (rows, columns)]
    # Not x[:, 1:-1, 1:-1], whose derivative runs in one thread.
    return tf.slice(x, (0, *[_margins(size, strides)[0]] * 2, 0), (-1, *inner, -1))


def _margins(size: int, strides: int) -> tuple[int, int]:
    """The pixels that 'SAME' adds before and after."""
    return (size - strides) // 2, size - strides - (size - strides) // 2


def _both_axes(x: tf.Tensor, matrices: list[np.ndarray]) -> tf.Tensor:
    """Applies a matrix to the rows of images (H, W, N, C), and one to the columns."""
    (height, rows), (width, columns) = (matrix.shape[::-1] for matrix in matrices)
    by_rows, by_columns = (tf.constant(matrix, x.dtype) for matrix in matrices)
    channels = x.shape[3]
    x = tf.matmul(by_rows, tf.reshape(x, (height, -1)))
    x = tf.matmul(by_columns[None], tf.reshape(x, (rows, width, -1)))
    return tf.reshape(x, (rows, columns, -1, channels))


def _grouped(x: tf.Tensor, forms: Any) -> tf.Tensor:
    """(points * tiles, points * tiles, N, C) to (points, tiles, points, tiles * N, C), the shape of the products."""
    rows, columns = (into.shape[0] for into, _ in forms)
    tiles = [-(-out.shape[0] // TILE) for _, out in forms]
    return tf.reshape(x, (rows // tiles[0], tiles[0], columns // tiles[1], -1, x.shape[3]))


def _ungrouped(x: tf.Tensor, forms: Any) -> tf.Tensor:
    """The inverse of `_grouped`."""
    rows, columns = (into.shape[0] for into, _ in forms)
    return tf.reshape(x, (rows, columns, -1, x.shape[4]))


def _kernel_form(kernel: tf.Tensor, sides: list[int], strides: int) -> tf.Tensor:
    """The transformed kernel (points, 1, points, strides^2 in, out)."""
    size, _, channels, out = kernel.shape
    taps = size // strides
    if strides > 1:
        split = tf.reshape(kernel, (taps, strides, taps, strides, channels, out))
        kernel = tf.transpose(split, (0, 2, 1, 3, 4, 5))
    one, other = (transforms(min(TILE, side), taps)[1] for side in sides)
    both = tf.constant(np.kron(one, other), kernel.dtype)
    form = tf.matmul(both, tf.reshape(kernel, (taps * taps, -1)))
    return tf.reshape(form, (one.shape[0], 1, other.shape[0], strides * strides * channels, out))


@functools.cache
def _axis_forms(side: int, taps: int, strides: int) -> tuple[np.ndarray, np.ndarray]:
    """The transforms of a whole axis.

    Args:
        side: Side of the convolution's result.
        taps: Entries of the kernel on each phase, per axis.
        strides: 1 lets the first matrix pad; else the image is padded already.

    Returns:
        (points * tiles, input side) and (side, points * tiles), points slowest.
    """
    tile = min(TILE, side)
    out, _, into = transforms(tile, taps)
    points, tiles = len(into), -(-side // tile)
    before, inputs = ((taps - 1) // 2, side) if strides == 1 else (0, side + taps - 1)
    forward, back = np.zeros((points, tiles, inputs)), np.zeros((side, points, tiles))
    for index in range(tiles):
        for offset in range(points):
            if 0 <= index * tile + offset - before < inputs:
                forward[:, index, index * tile + offset - before] = into[:, offset]
        for offset in range(min(tile, side - index * tile)):
            back[index * tile + offset, :, index] = out[offset]
    return forward.reshape(points * tiles, inputs), back.reshape(side, points * tiles)


@functools.cache
def transforms(tile: int, taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Toom-Cook's matrices A, G, B: y = A ((G g) * (B x)) has y[i] = sum_j g[j] x[i + j].

    Args:
        tile: The number of outputs, at most 4.
        taps: The length of g; tile + taps is at most 7.

    Returns:
        A (tile, points), G (points, taps), B (points, points), float64, points = tile + taps - 1.
    """
    points = _POINTS[: tile + taps - 2]
    scales = [math.prod(p - q for q in points if q != p) for p in points]
    out = [[p**i for p in points] + [int(i == tile - 1)] for i in range(tile)]
    kernel = [[p**j / scale for j in range(taps)] for p, scale in zip(points, scales, strict=True)]
    kernel.append([Fraction(j == taps - 1) for j in range(taps)])
    into = [_coefficients([q for q in points if q != p]) + [0] for p in points] + [_coefficients(points)]
    a, g, b = (np.array([[float(v) for v in row] for row in matrix]) for matrix in (out, kernel, into))
    return a, g, b


def _coefficients(roots: Any) -> list[Fraction]:
    """The coefficients, lowest first, of the polynomial with these roots and leading coefficient 1."""
    found = [Fraction(1)]
    for root in roots:
        found = [low - root * high for low, high in zip([0, *found], [*found, 0], strict=True)]
    return found
