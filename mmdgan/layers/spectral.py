"""Spectral norms by power iteration on the layer's own linear map (PICO), and the exact norm to check them by.

PICO (Wang et al. 2019, section 4 and appendix C) iterates with the convolution itself and its adjoint, at the
layer's true input size, stride and padding; PIM (Miyato et al. 2018, algorithm 1) iterates with the kernel
reshaped to a matrix. Everything here is in (H, W, C) order and in float32 (float64 for a float64 kernel),
whatever layout and precision the network runs in.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

EPSILON = 1e-10
OPS = ("c", "tc", "d", "project")


@dataclasses.dataclass(frozen=True)
class LinearMap:
    """A linear operator A with its adjoint, seen from the side on which the iterated vector lives.

    Attributes:
        forward: A, from tensors of `vector_shape`.
        adjoint: the transpose of A, back to `vector_shape`.
        vector_shape: shape of the vector, leading axis 1 included.
    """

    forward: Callable[[tf.Tensor], tf.Tensor]
    adjoint: Callable[[tf.Tensor], tf.Tensor]
    vector_shape: tuple[int, ...]


def vector_shape(
    op: str,
    kernel_shape: tuple[int, ...],
    *,
    input_shape: tuple[int, ...] | None = None,
    output_shape: tuple[int, ...] | None = None,
) -> tuple[int, ...] | None:
    """Returns the shape of the vector that `spectral_norm` iterates, or None for a closed form.

    Args:
        op: 'c', 'tc', 'd' or 'project'.
        kernel_shape: (k, k, in, out) for c, (k, k, out, in) for tc, (in, out) for d, (classes, in) for project.
        input_shape: (H, W, C) of the layer's input (c, tc).
        output_shape: (H, W, C) of the layer's output (c, tc).
    """
    if op in ("d", "project"):
        return None if 1 in kernel_shape else (1, min(kernel_shape))
    if op in ("c", "tc"):
        return (1, *(input_shape if _on_input_side(op, input_shape, output_shape) else output_shape))
    raise ValueError(f"No spectral norm is defined for op {op!r}; known: {', '.join(OPS)}.")


def spectral_norm(
    op: str,
    kernel,
    vector,
    *,
    input_shape: tuple[int, ...] | None = None,
    output_shape: tuple[int, ...] | None = None,
    strides: int = 1,
    dilation: int = 1,
    padding: str = "SAME",
    gradient_at: str = "vector",
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """One power iteration: the norm seen by the vector as it is, and the vector for the next step.

    With A the operator, ``sigma = |A v|`` for the given v, then ``v' = normalise(A^T normalise(A v))``. The
    gradient of sigma reaches the kernel through A v only; v is a constant. An unnormalised v (as at the very
    first step of the original) scales sigma by |v|.

    Args:
        op: 'c' convolution, 'tc' transposed convolution, 'd' dense, 'project' label projection.
        kernel: (k, k, in, out) for c, (k, k, out, in) for tc, (in, out) for d, (classes, in) for project.
        vector: of shape `vector_shape(...)`; None where a closed form (the Frobenius norm) applies.
        input_shape: (H, W, C) of the layer's input, for c and tc.
        output_shape: (H, W, C) of the layer's output, for c and tc.
        strides: of the convolution.
        dilation: of the convolution.
        padding: 'SAME' or 'VALID'.
        gradient_at: the constant vector with which sigma is differentiated: 'vector' (the v given: the derivative
            of the returned value) or 'next'. In the released code's training step the new vector is stored
            before the backward pass reads it, so that its gradient of sigma is <A v / |A v|, A v'>: the layers
            use 'next', and reproduce its trajectories to rounding.

    Returns:
        (sigma, next_vector): a scalar tensor, and a tensor like `vector` without gradient (None in closed form).
    """
    kernel = tf.convert_to_tensor(kernel)
    expected = vector_shape(op, tuple(kernel.shape), input_shape=input_shape, output_shape=output_shape)
    if expected is None:
        return tf.norm(kernel), None
    if vector is None or tuple(vector.shape) != expected:
        found = None if vector is None else tuple(vector.shape)
        raise ValueError(f"The vector of op {op!r} with these shapes is {expected}, not {found}.")
    linear = linear_map(op, kernel, input_shape, output_shape, strides, dilation, padding)
    vector = tf.stop_gradient(tf.convert_to_tensor(vector))
    image = linear.forward(vector)
    sigma = tf.norm(image)
    image = tf.stop_gradient(image)
    back = linear.adjoint(image / (tf.norm(image) + EPSILON))
    next_vector = tf.stop_gradient(back / (tf.norm(back) + EPSILON))
    if gradient_at == "next":
        slope = tf.reduce_sum(image / (tf.norm(image) + EPSILON) * linear.forward(next_vector))
        sigma = tf.stop_gradient(sigma) + (slope - tf.stop_gradient(slope))
    return sigma, next_vector


def exact_spectral_norm(
    op: str,
    kernel,
    vector=None,
    *,
    input_shape: tuple[int, ...] | None = None,
    output_shape: tuple[int, ...] | None = None,
    strides: int = 1,
    dilation: int = 1,
    padding: str = "SAME",
) -> float:
    """The operator's largest singular value in float64: the yardstick for `spectral_norm`.

    Dense kernels go through an SVD, convolutions through Lanczos iteration on A^T A (SciPy's `svds`).
    The arguments are those of `spectral_norm`; `vector` is accepted and ignored.
    """
    kernel = np.asarray(kernel, np.float64)
    if op in ("d", "project"):
        return float(np.linalg.norm(kernel) if 1 in kernel.shape else np.linalg.norm(kernel, 2))
    from scipy.sparse.linalg import LinearOperator, svds

    linear = linear_map(op, tf.constant(kernel), input_shape, output_shape, strides, dilation, padding)
    start = np.random.default_rng(0).standard_normal(linear.vector_shape)
    rows = int(tf.size(linear.forward(tf.constant(start))))
    columns = start.size
    if min(rows, columns) == 1:
        probe = start if columns > 1 else np.ones(1)
        side = linear.forward if columns == 1 else lambda x: linear.adjoint(tf.ones_like(linear.forward(x)))
        return float(np.linalg.norm(side(tf.constant(probe.reshape(linear.vector_shape)))))
    image_shape = linear.forward(tf.constant(start)).shape
    operator = LinearOperator(
        (rows, columns),
        matvec=lambda x: linear.forward(tf.reshape(x, linear.vector_shape)).numpy().ravel(),
        rmatvec=lambda y: linear.adjoint(tf.reshape(y, image_shape)).numpy().ravel(),
        dtype=np.float64,
    )
    return float(svds(operator, k=1, return_singular_vectors=False, tol=1e-10, random_state=0)[0])


def linear_map(
    op: str,
    kernel: tf.Tensor,
    input_shape: tuple[int, ...] | None,
    output_shape: tuple[int, ...] | None,
    strides: int = 1,
    dilation: int = 1,
    padding: str = "SAME",
) -> LinearMap:
    """Returns the operator of `kernel` with its adjoint; arguments as in `spectral_norm`."""
    if op in ("d", "project"):
        wide = kernel.shape[0] <= kernel.shape[1]
        return LinearMap(
            forward=lambda v: tf.matmul(v, kernel, transpose_b=not wide),
            adjoint=lambda y: tf.matmul(y, kernel, transpose_b=wide),
            vector_shape=(1, min(kernel.shape)),
        )
    # A transposed convolution is the adjoint of the convolution from its output to its input.
    below, above = (input_shape, output_shape) if op == "c" else (output_shape, input_shape)
    kernel = dilated_kernel(kernel, dilation)
    options = {"strides": strides, "padding": padding}

    def down(x):
        return tf.nn.conv2d(x, kernel, **options)

    def up(y):
        return tf.nn.conv2d_transpose(y, kernel, output_shape=(1, *below), **options)

    if _on_input_side(op, input_shape, output_shape) == (op == "c"):
        return LinearMap(down, up, (1, *below))
    return LinearMap(up, down, (1, *above))


def dilated_kernel(kernel: tf.Tensor, dilation: int) -> tf.Tensor:
    """Returns the kernel ((k - 1) d + 1, ..., in, out) whose plain convolution is the dilated one.

    TensorFlow has no gradient of a dilated convolution on a CPU; with zeros between the kernel's entries it has.
    """
    if dilation == 1:
        return kernel
    size, _, *channels = kernel.shape
    gap = [0, dilation - 1]
    spread = tf.pad(tf.reshape(kernel, (size, 1, size, 1, *channels)), [[0, 0], gap, [0, 0], gap, [0, 0], [0, 0]])
    extent = (size - 1) * dilation + 1
    return tf.reshape(spread, (size * dilation, size * dilation, *channels))[:extent, :extent]


def _on_input_side(op: str, input_shape, output_shape) -> bool:
    """Whether the vector has the input's shape: the smaller side for c, the larger for tc, as the original."""
    if input_shape is None or output_shape is None:
        raise ValueError(f"Op {op!r} needs input_shape and output_shape, both (H, W, C).")
    smaller = math.prod(input_shape) <= math.prod(output_shape)
    return smaller if op == "c" else not smaller
