"""Which way a convolution is computed: by dtype, device and size. The layers above see no difference but speed.

| way | what it is | where it is the fastest |
|---|---|---|
| direct | TensorFlow's own convolution | GPUs, large or few pixels, few channels |
| winograd | `mmdgan.layers.winograd` | float32 on CPUs: wide layers of small images |
| patches | `mmdgan.layers.patches`: neighbourhoods times a matrix | small images in bfloat16 on CPUs with AMX |

A CPU without arithmetic of a half precision emulates it, at many times the cost of float32. Its convolutions are
computed in float32 there and rounded: the sums are the more exact for it. docs/speed.md has the measurements
behind the sizes below.
"""

from __future__ import annotations

import functools
from pathlib import Path

import tensorflow as tf

DIRECT, WINOGRAD, PATCHES = "direct", "winograd", "patches"


def choose(dtype: str, shape: tuple, kernel_shape: tuple, strides: int, dilation: int, padding: str) -> str:
    """Returns the way to compute a convolution, its adjoint and its derivatives: one of this module's constants.

    Args:
        dtype: in which the arithmetic is done (`arithmetic`).
        shape: (N, H, W) of the convolution's result, or of its adjoint's input; N is None if it is not known yet.
        kernel_shape: (k, k, in, out).
        strides, dilation, padding: of the convolution of channels-last images, whose sides the strides divide.
    """
    batch, height, width = shape
    plain = padding == "SAME" and dilation == 1 and batch is not None
    if not plain or not on_cpu() or (kernel_shape[0], strides) not in ((3, 1), (4, 2)):
        return DIRECT
    side, pixels, few = max(height, width), batch * height * width, min(kernel_shape[2:])
    if dtype == "bfloat16":
        suits = "amx_bf16" in cpu_features() and side <= 8 and pixels >= 256 and few >= 64
        return PATCHES if suits else DIRECT
    if dtype == "float32" and side <= 16 and pixels >= 512 and few >= 128:
        return WINOGRAD
    return DIRECT


def arithmetic(dtype: str) -> str:
    """Returns the dtype in which a convolution of that dtype is computed here."""
    if dtype in ("bfloat16", "float16") and on_cpu() and not cpu_features() & _NATIVE[dtype]:
        return "float32"
    return dtype


@functools.cache
def on_cpu() -> bool:
    """Whether the CPU is all there is."""
    return not any(tf.config.list_physical_devices(kind) for kind in ("GPU", "TPU"))


@functools.cache
def cpu_features() -> frozenset[str]:
    """The CPU's instruction sets, as Linux names them; none if it does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    flags = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return frozenset(next(flags, "").split())


_NATIVE = {"bfloat16": {"amx_bf16", "avx512_bf16", "bf16"}, "float16": {"amx_fp16", "avx512_fp16", "fphp"}}
"""Instruction sets that make a half precision faster than float32, on x86 and ARM."""
