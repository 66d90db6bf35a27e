"""Convolutions as one matrix product: each output's neighbourhood in a row, times the kernel as a matrix.

The three maps of a convolution, to its result, from it to the images, and to the kernel, are one another's
derivatives; each is a matrix product here, which adds up in the hardware's wide accumulator, whereas derivatives
of the slicing itself would add in the images' own, half, precision.

Images are (N, H, W, C), kernels (k, k, in, out); padding is 'SAME', the strides divide the sides, and k - strides is
even unless the strides are 1.
"""

from __future__ import annotations

import tensorflow as tf


def convolve(x: tf.Tensor, kernel: tf.Tensor, strides: int = 1) -> tf.Tensor:
    """Returns the convolution (N, H / strides, W / strides, out) of images (N, H, W, in)."""

    @tf.custom_gradient
    def compute(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return convolve_transposed(upstream, kernel, strides), kernel_gradient(x, upstream, size, strides)

        rows = _neighbourhoods(x, size, strides)
        return _as_images(tf.matmul(rows, tf.reshape(kernel, (-1, kernel.shape[3]))), x, strides), gradients

    size = kernel.shape[0]
    return compute(x, kernel)


def convolve_transposed(y: tf.Tensor, kernel: tf.Tensor, strides: int = 1) -> tf.Tensor:
    """Returns the adjoint of `convolve`: (N, H, W, in) of (N, H / strides, W / strides, out)."""

    @tf.custom_gradient
    def compute(y: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return convolve(upstream, kernel, strides), kernel_gradient(upstream, y, size, strides)

        return _spread(y, kernel, strides), gradients

    size = kernel.shape[0]
    return compute(y, kernel)


def kernel_gradient(x: tf.Tensor, y: tf.Tensor, size: int, strides: int = 1) -> tf.Tensor:
    """Returns the gradient (k, k, in, out) of sum(convolve(x, kernel) * y) for the kernel."""

    @tf.custom_gradient
    def compute(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return convolve_transposed(y, upstream, strides), convolve(x, upstream, strides)

        rows = _neighbourhoods(x, size, strides)
        product = tf.matmul(rows, tf.reshape(y, (-1, y.shape[3])), transpose_a=True)
        return tf.reshape(product, (size, size, x.shape[3], y.shape[3])), gradients

    return compute(x, y)


def _spread(y: tf.Tensor, kernel: tf.Tensor, strides: int) -> tf.Tensor:
    """The adjoint as a convolution of y that makes all pixels of one stride at once, as channels."""
    size, _, channels, out = kernel.shape
    taps, phases = _phase_taps(size, strides)
    flipped = tf.transpose(tf.reverse(kernel, (0, 1)), (0, 1, 3, 2))
    padded = tf.pad(flipped, [[0, 1], [0, 1], [0, 0], [0, 0]])
    rows = [tf.gather(padded, row, axis=0) for row in phases]
    split = tf.stack([tf.stack([tf.gather(row, column, axis=1) for column in phases], 3) for row in rows], 3)
    matrix = tf.reshape(split, (taps * taps * out, strides * strides * channels))
    spread = _as_images(tf.matmul(_neighbourhoods(y, taps, 1), matrix), y, 1)
    return spread if strides == 1 else tf.nn.depth_to_space(spread, strides)


def _phase_taps(size: int, strides: int) -> tuple[int, list[list[int]]]:
    """Which entries of the flipped kernel each phase of the images takes, from neighbours of the same number.

    Returns:
        That number, and for each phase the entries' places; `size` where there is none.
    """
    before = (size - strides) // 2
    # y[i] meets x[strides i + k - before]: x[strides q + phase] meets y[q - d] through k = strides d + phase + before.
    reach = max((size - 1 - before) // strides, (before + strides - 1) // strides)
    places = []
    for phase in range(strides):
        entries = [strides * shift + phase + before for shift in range(reach, -reach - 1, -1)]
        places.append([size - 1 - k if 0 <= k < size else size for k in entries])
    return 2 * reach + 1, places


def _neighbourhoods(x: tf.Tensor, size: int, strides: int) -> tf.Tensor:
    """(N, H, W, C) to (N H W / strides^2, size^2 C)."""
    height, width, channels = x.shape[1:]
    before = (size - strides) // 2
    margins = [before, size - strides - before]
    x = tf.pad(x, [[0, 0], margins, margins, [0, 0]])
    rows, columns = height - strides + 1, width - strides + 1
    shifts = [(i, j) for i in range(size) for j in range(size)]
    views = [x[:, i : i + rows : strides, j : j + columns : strides] for i, j in shifts]
    return tf.reshape(tf.concat(views, 3), (-1, size * size * channels))


def _as_images(rows: tf.Tensor, x: tf.Tensor, strides: int) -> tf.Tensor:
    """One row per pixel, as images of the size of x / strides."""
    return tf.reshape(rows, (-1, x.shape[1] // strides, x.shape[2] // strides, rows.shape[1]))
