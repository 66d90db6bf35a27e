"""Convolutions as TensorFlow's CPU kernels compute and differentiate them correctly, or by algorithms that are faster.

`choose` selects the algorithm by dtype, device and size, of what was measured (`MEASURED`). The layers see no
difference but speed.

| algorithm | what it is | where it is the fastest |
|---|---|---|
| direct | TensorFlow's own convolution | GPUs, large or few pixels, few channels |
| winograd | `mmdgan.layers.winograd` | wide layers on CPUs |
| patches | `mmdgan.layers.patches`: neighbourhoods times a matrix | small images in bfloat16 on CPUs with AMX |

A CPU without arithmetic of a half precision emulates it, at many times the cost of float32: its convolutions are
computed in float32 and rounded, which makes their sums more exact.

Three defects of TensorFlow's own kernels are worked around, all exactly: dilated convolutions have no gradient on a
CPU; the gradient of a 1x1 kernel with strides above 1 writes outside of its memory there (oneDNN in TensorFlow 2.21,
where the last row or column is skipped); and images with channels first are convolved there only in the types that
oneDNN has for the CPU at hand.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from mmdgan.layers import patches, winograd

DIRECT, WINOGRAD, PATCHES = "direct", "winograd", "patches"

_OTHER_ALGORITHMS = {WINOGRAD: winograd, PATCHES: patches}

Sizes = dict[tuple[str, int, int, int, int], dict[str, float]]

MEASURED: dict[str, Sizes] = {
    "avx512_bf16": {  # AMD EPYC (Zen 4), batch 64
        ("float32", 3, 1, 4, 512): {"direct": 171.4, "winograd": 64.1},
        ("float32", 3, 1, 8, 128): {"direct": 32.1, "winograd": 20.3},
        ("float32", 3, 1, 8, 256): {"direct": 121.6, "winograd": 55.1},
        ("float32", 3, 1, 16, 128): {"direct": 126.4, "winograd": 81.1},
        ("float32", 3, 1, 16, 256): {"direct": 537.8, "winograd": 243.1},
        ("float32", 3, 1, 32, 128): {"direct": 530.9, "winograd": 336.7},
        ("float32", 3, 1, 32, 256): {"direct": 2171.0, "winograd": 971.8},
        ("float32", 4, 2, 4, 256): {"direct": 179.2, "winograd": 78.8},
        ("float32", 4, 2, 8, 128): {"direct": 125.5, "winograd": 77.2},
        ("float32", 4, 2, 16, 64): {"direct": 124.9, "winograd": 117.8},
        ("float32", 4, 2, 16, 128): {"direct": 475.6, "winograd": 296.3},
        ("float32", 4, 2, 24, 64): {"direct": 273.3, "winograd": 239.1},
        ("bfloat16", 3, 1, 4, 512): {"direct": 98.1, "winograd": 55.1, "patches": 89.3},
        ("bfloat16", 3, 1, 8, 128): {"direct": 19.5, "winograd": 19.6, "patches": 28.7},
        ("bfloat16", 3, 1, 8, 256): {"direct": 70.4, "winograd": 38.2, "patches": 85.2},
        ("bfloat16", 3, 1, 16, 128): {"direct": 68.9, "winograd": 66.7, "patches": 96.5},
        ("bfloat16", 3, 1, 16, 256): {"direct": 278.6, "winograd": 163.3, "patches": 325.1},
        ("bfloat16", 3, 1, 32, 128): {"direct": 275.0, "winograd": 270.5, "patches": 375.4},
        ("bfloat16", 3, 1, 32, 256): {"direct": 1131.5, "winograd": 746.3, "patches": 1388.7},
        ("bfloat16", 4, 2, 4, 256): {"direct": 145.8, "winograd": 67.7, "patches": 156.8},
        ("bfloat16", 4, 2, 8, 128): {"direct": 80.5, "winograd": 56.2, "patches": 202.9},
        ("bfloat16", 4, 2, 16, 64): {"direct": 71.4, "winograd": 96.1, "patches": 323.0},
        ("bfloat16", 4, 2, 16, 128): {"direct": 266.2, "winograd": 226.1, "patches": 768.0},
        ("bfloat16", 4, 2, 24, 64): {"direct": 149.7, "winograd": 190.9, "patches": 681.1},
    },
    "": {  # any other CPU: Intel Xeon (Emerald Rapids, without its AMX), batch 64
        ("float32", 3, 1, 4, 512): {"direct": 152.0, "winograd": 61.0},
        ("float32", 3, 1, 8, 256): {"direct": 89.3, "winograd": 55.9},
        ("float32", 3, 1, 16, 128): {"direct": 85.8, "winograd": 76.7},
        ("float32", 4, 2, 4, 256): {"direct": 148.2, "winograd": 85.8},
        ("float32", 4, 2, 8, 128): {"direct": 88.3, "winograd": 81.9},
    },
}
"""Milliseconds of one thread for a convolution and both its gradients, by the CPU's instruction set and by (dtype,
kernel, strides, side of the result, smaller number of channels); `benchmarks/step_time.py --operations` prints rows."""

_MARGIN = 0.95
"""Another way than TensorFlow's must take at most this share of its time."""

MOST_TILE_BYTES = 2**28
"""The largest array of tiles that Winograd's filtering may make: 2.25 times as large as a layer's images, or less."""

_NATIVE = {"bfloat16": {"amx_bf16", "avx512_bf16", "bf16"}, "float16": {"amx_fp16", "avx512_fp16", "fphp"}}
"""Instruction sets that make a half precision faster than float32, on x86 and ARM."""


def convolve(x: tf.Tensor, kernel: tf.Tensor, strides: int, dilation: int, padding: str, layout: str) -> tf.Tensor:
    """Returns the convolution of images.

    Args:
        x: Images in `layout`.
        kernel: (k, k, in, out).
        strides: Strides in pixels, along both axes.
        dilation: Distance of the kernel's entries.
        padding: 'SAME' or 'VALID'.
        layout: 'NHWC' or 'NCHW'.
    """
    if (dtype := arithmetic(x.dtype.name)) != x.dtype.name:
        return tf.cast(convolve(tf.cast(x, dtype), tf.cast(kernel, dtype), strides, dilation, padding, layout), x.dtype)
    if layout == "NCHW" and not runs_channels_first(x.dtype.name):
        return _channels_first(convolve(_channels_last(x), kernel, strides, dilation, padding, "NHWC"))
    algorithm = _algorithm(x.shape, kernel, strides, dilation, padding, layout)
    if algorithm is not None:
        return algorithm.convolve(x, kernel, strides)
    if kernel.shape[0] == 1 and strides > 1:
        x = x[:, ::strides, ::strides] if layout == "NHWC" else x[:, :, ::strides, ::strides]
        strides = 1
    return tf.nn.conv2d(x, dilated_kernel(kernel, dilation), strides, padding, data_format=layout)


def convolve_transposed(
    x: tf.Tensor, kernel: tf.Tensor, shape: Sequence, strides: int, dilation: int, padding: str, layout: str
) -> tf.Tensor:
    """Returns the adjoint of `convolve`.

    Args:
        x: Images in `layout`.
        kernel: (k, k, out, in).
        shape: Shape of the result, batch included; its sides are static, or n * strides of x.
        strides, dilation, padding, layout: As in `convolve`.
    """
    if (dtype := arithmetic(x.dtype.name)) != x.dtype.name:
        wide, wide_kernel = tf.cast(x, dtype), tf.cast(kernel, dtype)
        return tf.cast(convolve_transposed(wide, wide_kernel, shape, strides, dilation, padding, layout), x.dtype)
    if layout == "NCHW" and not runs_channels_first(x.dtype.name):
        shape = [shape[axis] for axis in (0, 2, 3, 1)]
        options = (strides, dilation, padding, "NHWC")
        return _channels_first(convolve_transposed(_channels_last(x), kernel, shape, *options))
    algorithm = _algorithm((x.shape[0], *shape[1:]), kernel, strides, dilation, padding, layout)
    if algorithm is not None:
        return algorithm.convolve_transposed(x, kernel, strides)
    if kernel.shape[0] > 1 or strides == 1:
        kernel = dilated_kernel(kernel, dilation)
        return tf.nn.conv2d_transpose(x, kernel, shape, strides, padding, data_format=layout)
    first = 1 if layout == "NHWC" else 2
    y = tf.nn.conv2d(x, tf.transpose(kernel, (0, 1, 3, 2)), 1, "VALID", data_format=layout)
    for axis in (first, first + 1):
        y = _spread(y, axis, strides)
    return tf.ensure_shape(tf.slice(y, [0] * 4, shape), [side if isinstance(side, int) else None for side in shape])


def convolve_depthwise(
    x: tf.Tensor, kernel: tf.Tensor, strides: int, dilation: int, padding: str, layout: str
) -> tf.Tensor:
    """Returns each channel's convolution with its own kernels.

    Args:
        x, strides, dilation, padding, layout: As in `convolve`.
        kernel: (k, k, in, multiplier).
    """
    if layout == "NCHW" and not runs_channels_first(x.dtype.name):
        return _channels_first(convolve_depthwise(_channels_last(x), kernel, strides, dilation, padding, "NHWC"))
    steps = (1, 1, strides, strides) if layout == "NCHW" else (1, strides, strides, 1)
    return tf.nn.depthwise_conv2d(x, dilated_kernel(kernel, dilation), steps, padding, data_format=layout)


def choose(dtype: str, shape: tuple, kernel_shape: tuple, strides: int, dilation: int, padding: str) -> str:
    """Returns the algorithm for a convolution, its adjoint and its derivatives: DIRECT, WINOGRAD or PATCHES.

    Args:
        dtype: The dtype in which it is computed (`arithmetic`).
        shape: (N, H, W) of the convolution's result, or of its adjoint's input; N is None if it is not known yet.
        kernel_shape: (k, k, in, out).
        strides, dilation, padding: Those of the convolution, of channels-last images whose sides the strides divide.
    """
    batch, height, width = shape
    plain = padding == "SAME" and dilation == 1 and batch is not None
    if not plain or not on_cpu() or (kernel_shape[0], strides) not in ((3, 1), (4, 2)):
        return DIRECT
    side, pixels, few = max(height, width), batch * height * width, min(kernel_shape[2:])
    if dtype == "bfloat16" and "amx_bf16" in cpu_features():  # not measured
        return PATCHES if side <= 8 and pixels >= 256 and few >= 64 else DIRECT
    # A tile of 4 x 4 results has 6 x 6 points, or 5 x 5 of the 4 phases of strides 2.
    inputs, outputs = kernel_shape[2:]
    numbers = 2.25 * max(inputs, outputs) if strides == 1 else 25 / 16 * max(4 * inputs, outputs)
    if pixels < 512 or 4 * pixels * numbers > MOST_TILE_BYTES:
        return DIRECT
    return _fastest((dtype, kernel_shape[0], strides), side, few)


def _fastest(kind: tuple[str, int, int], side: int, few: int) -> str:
    """The way that was the fastest at the next size that was measured: images not smaller, channels not more."""
    measured = MEASURED[next(name for name in MEASURED if not name or name in cpu_features())]
    times = {
        size[3:]: ways for size, ways in measured.items() if size[:3] == kind and side <= size[3] and few >= size[4]
    }
    if not times:
        return DIRECT
    found = times[min(times, key=lambda size: (size[0], -size[1]))]
    way = min(found, key=lambda name: found[name])
    return way if found[way] <= _MARGIN * found[DIRECT] else DIRECT


def arithmetic(dtype: str) -> str:
    """Returns the dtype in which a convolution of images of that dtype is computed on this machine."""
    if dtype in ("bfloat16", "float16") and on_cpu() and not cpu_features() & _NATIVE[dtype]:
        return "float32"
    return dtype


@functools.cache
def on_cpu() -> bool:
    """Whether there is neither a GPU nor a TPU."""
    return not any(tf.config.list_physical_devices(kind) for kind in ("GPU", "TPU"))


@functools.cache
def cpu_features() -> frozenset[str]:
    """The CPU's instruction sets, as Linux names them; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    flags = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return frozenset(next(flags, "").split())


@functools.cache
def runs_channels_first(dtype: str) -> bool:
    """Whether TensorFlow convolves images with channels first here: on a GPU always, on a CPU in some types."""
    if tf.config.list_physical_devices("GPU"):
        return True
    with tf.init_scope():
        try:
            tf.nn.conv2d(tf.zeros((1, 1, 1, 1), dtype), tf.zeros((1, 1, 1, 1), dtype), 1, "VALID", data_format="NCHW")
        except (tf.errors.UnimplementedError, tf.errors.InvalidArgumentError):
            return False
    return True


def dilated_kernel(kernel: tf.Tensor, dilation: int) -> tf.Tensor:
    """Returns the kernel ((k - 1) d + 1, ..., in, out) whose plain convolution is the dilated one.

    TensorFlow has no gradient of a dilated convolution on a CPU; with zeros between the kernel's entries it has.
    """
    extent = (kernel.shape[0] - 1) * dilation + 1
    if dilation == 1:
        return kernel
    return _spread(_spread(kernel, 0, dilation), 1, dilation)[:extent, :extent]


def _algorithm(shape: Sequence, kernel: tf.Tensor, strides: int, dilation: int, padding: str, layout: str) -> Any:
    """Returns the module that convolves images of a shape, or None for TensorFlow's own convolution."""
    if layout != "NHWC" or any(not isinstance(side, int) or side % strides for side in shape[1:3]):
        return None
    small = (shape[0], shape[1] // strides, shape[2] // strides)
    return _OTHER_ALGORITHMS.get(choose(kernel.dtype.name, small, kernel.shape, strides, dilation, padding))


def _channels_last(x: tf.Tensor) -> tf.Tensor:
    return tf.transpose(x, (0, 2, 3, 1))


def _channels_first(x: tf.Tensor) -> tf.Tensor:
    return tf.transpose(x, (0, 3, 1, 2))


def _spread(x: tf.Tensor, axis: int, factor: int) -> tf.Tensor:
    """Returns x with factor - 1 zeros after each entry of an axis."""
    zeros = [tf.zeros_like(x)] * (factor - 1)
    stacked = tf.stack([x, *zeros], axis + 1)
    before, after = tf.split(tf.shape(stacked), [axis, 5 - axis])
    spread = tf.reshape(stacked, tf.concat([before, after[:1] * factor, after[2:]], 0))
    sides = x.shape.as_list()
    sides[axis] = None if sides[axis] is None else sides[axis] * factor
    return tf.ensure_shape(spread, sides)
