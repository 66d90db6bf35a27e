"""Convolutions as TensorFlow's CPU kernels compute and differentiate them rightly.

Two things are worked around, both exactly: dilated convolutions have no gradient on a CPU, and the gradient of a 1x1
kernel with strides above 1 writes outside of its memory there (oneDNN in TensorFlow 2.21, where the last row or
column is skipped).
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


def convolve(x: tf.Tensor, kernel: tf.Tensor, strides: int, dilation: int, padding: str, layout: str) -> tf.Tensor:
    """Returns the convolution of images.

    Args:
        x: images in `layout`.
        kernel: (k, k, in, out).
        strides: in pixels, both sides.
        dilation: distance of the kernel's entries.
        padding: 'SAME' or 'VALID'.
        layout: 'NHWC' or 'NCHW'.
    """
    if kernel.shape[0] == 1 and strides > 1:
        x = x[:, ::strides, ::strides] if layout == "NHWC" else x[:, :, ::strides, ::strides]
        strides = 1
    return tf.nn.conv2d(x, dilated_kernel(kernel, dilation), strides, padding, data_format=layout)


def convolve_transposed(
    x: tf.Tensor, kernel: tf.Tensor, shape: Sequence, strides: int, dilation: int, padding: str, layout: str
) -> tf.Tensor:
    """Returns the adjoint of `convolve`.

    Args:
        x: images in `layout`.
        kernel: (k, k, out, in).
        shape: of the result, batch included; its sides are static, or n * strides of x.
        strides, dilation, padding, layout: as `convolve`.
    """
    if kernel.shape[0] > 1 or strides == 1:
        kernel = dilated_kernel(kernel, dilation)
        return tf.nn.conv2d_transpose(x, kernel, shape, strides, padding, data_format=layout)
    first = 1 if layout == "NHWC" else 2
    y = tf.nn.conv2d(x, tf.transpose(kernel, (0, 1, 3, 2)), 1, "VALID", data_format=layout)
    for axis in (first, first + 1):
        y = _spread(y, axis, strides)
    return tf.ensure_shape(tf.slice(y, [0] * 4, shape), [side if isinstance(side, int) else None for side in shape])


def dilated_kernel(kernel: tf.Tensor, dilation: int) -> tf.Tensor:
    """Returns the kernel ((k - 1) d + 1, ..., in, out) whose plain convolution is the dilated one.

    TensorFlow has no gradient of a dilated convolution on a CPU; with zeros between the kernel's entries it has.
    """
    extent = (kernel.shape[0] - 1) * dilation + 1
    if dilation == 1:
        return kernel
    return _spread(_spread(kernel, 0, dilation), 1, dilation)[:extent, :extent]


def _spread(x: tf.Tensor, axis: int, factor: int) -> tf.Tensor:
    """Returns x with factor - 1 zeros behind each entry of an axis."""
    zeros = [tf.zeros_like(x)] * (factor - 1)
    stacked = tf.stack([x, *zeros], axis + 1)
    before, after = tf.split(tf.shape(stacked), [axis, 5 - axis])
    spread = tf.reshape(stacked, tf.concat([before, after[:1] * factor, after[2:]], 0))
    sides = x.shape.as_list()
    sides[axis] = None if sides[axis] is None else sides[axis] * factor
    return tf.ensure_shape(spread, sides)
