"""Kernel functions on scores, and the mean over pairs of which every MMD loss is made.

Sources: Wang, Sun, Halgamuge, "Improving MMD-GAN Training with Repulsive Loss Function", ICLR 2019,
section 2 and Eq. S2; Gretton et al., "A Kernel Two-Sample Test", JMLR 2012. Everything is a pure function of
tensors: float64 inputs stay float64, all others are computed in float32.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from mmdgan.errors import ConfigError
from mmdgan.losses.options import check_option, nearest
from mmdgan.tensor_types import TensorLike

KernelFunction = Callable[[tf.Tensor], tf.Tensor]

DEFAULTS: dict[str, dict[str, Any]] = {
    "gaussian": {"sigma": (1.0,)},
    "rational_quadratic": {"alpha": (1.0,), "beta": 2.0},
    "laplace": {"sigma": (1.0,)},
}

_ROOT_EPSILON = 1e-16
"""Under the root of a squared distance: gradients stay finite at coincident rows."""


def as_floats(*arrays: TensorLike) -> list[tf.Tensor]:
    """Converts arrays to tensors of one dtype: float64 if any of them is float64, else float32."""
    tensors = [tf.convert_to_tensor(a) for a in arrays]
    dtype = tf.float64 if any(t.dtype == tf.float64 for t in tensors) else tf.float32
    return [tf.cast(t, dtype) for t in tensors]


def squared_distances(a: TensorLike, b: TensorLike) -> tf.Tensor:
    """Squared Euclidean distances between the rows of a (M, d) and of b (N, d).

    Computed as ``max(|a|^2 - 2 a.b + |b|^2, 0)``. The maximum only removes rounding below zero: gradients
    pass where its argument is >= 0, and as no root is taken they are finite at coincident rows, where they
    vanish. A GPU that multiplies in TensorFloat-32 rounds the factors of ``a.b`` to 10 bits.

    Returns:
        (M, N), >= 0.
    """
    a, b = as_floats(a, b)
    square_a = tf.reduce_sum(a * a, axis=1)[:, None]
    square_b = tf.reduce_sum(b * b, axis=1)[None, :]
    return tf.maximum(square_a - 2.0 * tf.matmul(a, b, transpose_b=True) + square_b, 0.0)


def gaussian(distances: tf.Tensor, sigma: float = 1.0) -> tf.Tensor:
    """Gaussian kernel ``exp(-D / (2 sigma^2))`` of squared distances D, any shape."""
    return tf.exp(distances * (-0.5 / sigma**2))


def rational_quadratic(distances: tf.Tensor, alpha: float = 1.0, beta: float = 2.0) -> tf.Tensor:
    """Rational quadratic kernel ``(1 + D / (beta alpha))^(-alpha)`` of squared distances D, any shape."""
    return tf.exp(-alpha * tf.math.log1p(distances / (beta * alpha)))


def laplace(distances: tf.Tensor, sigma: float = 1.0) -> tf.Tensor:
    """Laplace kernel ``exp(-sqrt(D) / (2 sigma^2))`` of squared distances D, any shape.

    The Gaussian kernel with its square forgotten, as codes have it: hence the form of the width.
    """
    return tf.exp(tf.sqrt(distances + _ROOT_EPSILON) * (-0.5 / sigma**2))


def normal_means(
    squared_radii: tf.Tensor, dimension: tf.Tensor, variance: TensorLike, precision: TensorLike
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean values of the kernel ``exp(-precision D)`` against a normal y ~ N(mean, variance I), in closed form.

    Args:
        squared_radii: (N,) squared distances of a sample z from the normal's mean.
        dimension: d, of the radii's dtype.
        variance: of each coordinate of y.
        precision: 1 / (2 sigma^2); a number or a scalar.

    Returns:
        ``E k(z, y)``, averaged over z, and ``E k(y, y')``, scalars.
    """
    half = 0.5 * dimension
    shrink = 1.0 / (1.0 + 2.0 * precision * variance)
    cross = tf.reduce_mean(shrink**half * tf.exp(-precision * shrink * squared_radii))
    return cross, (1.0 + 4.0 * precision * variance) ** -half


def gaussians(sigmas: Sequence[float]) -> list[KernelFunction]:
    """One Gaussian kernel function of squared distances per width."""
    return [functools.partial(gaussian, sigma=s) for s in sigmas]


def laplaces(sigmas: Sequence[float]) -> list[KernelFunction]:
    """One Laplace kernel function of squared distances per width."""
    return [functools.partial(laplace, sigma=s) for s in sigmas]


def rational_quadratics(alphas: Sequence[float], beta: float) -> list[KernelFunction]:
    """One rational quadratic kernel function of squared distances per exponent."""
    return [functools.partial(rational_quadratic, alpha=a, beta=beta) for a in alphas]


def mixture(kernel: str, **options: Any) -> list[KernelFunction]:
    """The members of a sum of kernels, each a function of squared distances.

    Args:
        kernel: "gaussian", "rational_quadratic" or "laplace".
        **options: ``sigma`` (gaussian, laplace; default 1) or in its place ``variance``, its square; or ``alpha``
            (default 1) and ``beta`` (default 2). ``sigma``, ``variance`` and ``alpha`` may be a number or a list:
            one member each. ``sigma`` may also be a scalar tensor of the distances' dtype, to be differentiated.

    Raises:
        ConfigError: an unknown kernel or option, or a value that is not a positive number.
    """
    if kernel not in DEFAULTS:
        raise ConfigError(f"There is no kernel function named {kernel!r}{nearest(kernel, DEFAULTS)}.")
    values = dict(DEFAULTS[kernel])
    if "sigma" in values and "variance" in options:
        options = _with_sigma(kernel, **options)
    for option, value in options.items():
        if option not in values:
            raise ConfigError(f"The kernel {kernel!r} has no option {option!r}{nearest(option, values)}.")
        if option == "sigma" and tf.is_tensor(value):
            values[option] = (value,)
        else:
            values[option] = check_option(f"kernel {kernel!r}", option, value, DEFAULTS[kernel][option])
    if kernel == "rational_quadratic":
        return rational_quadratics(values["alpha"], values["beta"])
    return (gaussians if kernel == "gaussian" else laplaces)(values["sigma"])


def mean_without_diagonal(matrix: tf.Tensor) -> tf.Tensor:
    """Mean over the entries i != j of a matrix (M, N): ``(sum - trace) / (M N - min(M, N))``."""
    shape = tf.shape(matrix)
    count = shape[0] * shape[1] - tf.minimum(shape[0], shape[1])
    return (tf.reduce_sum(matrix) - tf.linalg.trace(matrix)) / tf.cast(count, matrix.dtype)


def _with_sigma(kernel: str, variance: Any, **options: Any) -> dict:
    """The options with sigma in the place of its square."""
    if "sigma" in options:
        raise ConfigError(f"The kernel {kernel!r} was given both sigma and variance = sigma^2: keep one of them.")
    squares = check_option(f"kernel {kernel!r}", "variance", variance, DEFAULTS[kernel]["sigma"])
    return {**options, "sigma": [math.sqrt(a) for a in squares]}
