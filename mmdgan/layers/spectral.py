"""Spectral norms by power iteration on the layer's own linear map (PICO), and the exact norm to check them by.

PICO (Wang et al. 2019, section 4 and appendix C) iterates with the convolution itself and its adjoint, at the
layer's true input size, stride and padding; PIM (Miyato et al. 2018, algorithm 1) iterates with the kernel
reshaped to a matrix. Everything here is in (H, W, C) order and in float32 (float64 for a float64 kernel),
whatever layout and precision the network runs in.

| op | kernel | linear map of a class y | sigma |
|---|---|---|---|
| d | (in, out) | x K | () |
| project | (classes, in) | x K | () |
| c | (k, k, in, out) | conv(x) | () |
| tc | (k, k, out, in) | conv_transpose(x) | () |
| cd | (classes, in, out) or (classes, in) | x K[y] | (classes, 1, 1) or (classes, 1) |
| dcd | (in, out), (classes, in, out) or (classes, in) | x (K + C[y]) | (classes, 1, 1) |
| dck | (in, out), (classes, out) | (x K) (1 + s[y]) | (classes, 1) |
| cck | (k, k, in, out), (classes, 1, 1, out) | conv(x) (1 + s[y]) | (classes, 1, 1, 1) |
| tcck | (k, k, out, in), (classes, 1, 1, out) | conv_transpose(x) (1 + s[y]) | (classes, 1, 1, 1) |
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mmdgan.core.errors import ConfigError
from mmdgan.core.types import StaticShape, TensorLike
from mmdgan.layers.convolution import convolve, convolve_transposed

EPSILON = 1e-10
OPS = ("c", "tc", "d", "project", "cd", "dcd", "dck", "cck", "tcck")


@dataclasses.dataclass(frozen=True)
class LinearMap:
    """A linear operator A, or one per class, with its adjoint, seen from the side where the iterated vector lives.

    Attributes:
        forward: A, from tensors of `vector_shape`.
        adjoint: The transpose of A, back to `vector_shape`.
        vector_shape: Shape of the vector: a leading axis of 1, or of all classes, included.
        per_class: Whether axis 0 holds one vector, image and norm per class.
    """

    forward: Callable[[tf.Tensor], tf.Tensor]
    adjoint: Callable[[tf.Tensor], tf.Tensor]
    vector_shape: tuple[int, ...]
    per_class: bool = False

    def norm(self, x: tf.Tensor) -> tf.Tensor:
        """Returns |x|: a scalar, or per class with axes of 1 after the first."""
        return _class_norm(x) if self.per_class else tf.norm(x)


def vector_shape(
    op: str,
    kernel_shape: tuple,
    *,
    input_shape: tuple[int, ...] | None = None,
    output_shape: tuple[int, ...] | None = None,
) -> tuple[int, ...] | None:
    """Returns the shape of the vector that `spectral_norm` iterates, or None for a closed form.

    Args:
        op: One of `OPS`.
        kernel_shape: The kernel's shape, or a pair of shapes, as in the module's table.
        input_shape: (H, W, C) of the layer's input (c, tc, cck, tcck).
        output_shape: (H, W, C) of the layer's output (c, tc, cck, tcck).
    """
    if op in ("d", "project"):
        return None if 1 in kernel_shape else (1, min(kernel_shape))
    if op == "cd":
        classes, *matrix = kernel_shape
        return None if len(matrix) == 1 or 1 in matrix else (classes, 1, min(matrix))
    if op == "dcd":
        matrix, (classes, *_) = kernel_shape
        return None if 1 in matrix else (classes, 1, min(matrix))
    if op == "dck":
        matrix, (classes, _) = kernel_shape
        return None if matrix[1] == 1 else (classes, min(matrix))
    if op in ("c", "tc", "cck", "tcck"):
        number = kernel_shape[1][0] if op in ("cck", "tcck") else 1
        shape = input_shape if _on_input_side(op, input_shape, output_shape) else output_shape
        return (number, *(shape or ()))
    raise ConfigError(f"No spectral norm is defined for op {op!r}; known: {', '.join(OPS)}.")


def spectral_norm(
    op: str,
    kernel: TensorLike | Sequence[TensorLike],
    vector: TensorLike | None,
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
    first step of the original) scales sigma by |v|. Class kernels have a vector and a sigma per class.

    Args:
        op: 'c' convolution, 'tc' transposed convolution, 'd' dense, 'project' label projection; of class kernels
            'cd' and 'dcd' (a matrix per class, alone or added to a common one), 'dck', 'cck' and 'tcck' (a common
            kernel whose outputs are scaled per class).
        kernel: A tensor, or a pair for dcd, dck, cck and tcck; shapes in the module's table.
        vector: The vector, of shape `vector_shape(...)`; None where a closed form (the Frobenius norm) applies.
        input_shape: (H, W, C) of the layer's input, for convolutions.
        output_shape: (H, W, C) of the layer's output, for convolutions.
        strides: Strides of the convolution.
        dilation: Dilation of the convolution.
        padding: 'SAME' or 'VALID'.
        gradient_at: The constant vector with which sigma is differentiated: 'vector' (the v given: the derivative
            of the returned value) or 'next'. In the released code's training step the new vector is stored
            before the backward pass reads it, so that its gradient of sigma is <A v / |A v|, A v'>: training
            uses 'next', and reproduces its trajectories to rounding.

    Returns:
        (sigma, next_vector): sigma of the shape in the module's table, and a tensor like `vector` without
        gradient (None in closed form).
    """
    kernel = _tensors(kernel)
    shapes = tf.nest.map_structure(lambda k: tuple(k.shape), kernel)
    expected = vector_shape(op, shapes, input_shape=input_shape, output_shape=output_shape)
    if expected is None:
        return _closed_form(op, kernel), None
    if vector is None or tuple(vector.shape) != expected:
        found = None if vector is None else tuple(vector.shape)
        raise ConfigError(f"The vector of op {op!r} with these shapes is {expected}, not {found}.")
    linear = linear_map(op, kernel, input_shape, output_shape, strides, dilation, padding)
    vector = tf.stop_gradient(tf.cast(vector, tf.nest.flatten(kernel)[0].dtype))
    image = linear.forward(vector)
    sigma = linear.norm(image)
    image = tf.stop_gradient(image)
    image /= linear.norm(image) + EPSILON
    back = linear.adjoint(image)
    next_vector = tf.stop_gradient(back / (linear.norm(back) + EPSILON))
    if gradient_at == "next":
        products = image * linear.forward(next_vector)
        axes = list(range(1, products.shape.rank)) if linear.per_class else None
        slope = tf.reduce_sum(products, axis=axes, keepdims=linear.per_class)
        sigma = tf.stop_gradient(sigma) + (slope - tf.stop_gradient(slope))
    return sigma, next_vector


def exact_spectral_norm(
    op: str,
    kernel: TensorLike | Sequence[TensorLike],
    vector: TensorLike | None = None,
    *,
    input_shape: tuple[int, ...] | None = None,
    output_shape: tuple[int, ...] | None = None,
    strides: int = 1,
    dilation: int = 1,
    padding: str = "SAME",
) -> float | np.ndarray:
    """The operator's largest singular value in float64: the yardstick for `spectral_norm`.

    Matrices go through an SVD, convolutions through Lanczos iteration on A^T A (SciPy's `svds`), class by class.
    The arguments are those of `spectral_norm`; `vector` is accepted and ignored.

    Returns:
        A number, or for class kernels an array of the shape that `spectral_norm` gives.
    """
    kernel = tf.nest.map_structure(lambda k: np.asarray(k, np.float64), kernel)
    if op in ("d", "project"):
        return float(np.linalg.norm(kernel, 2))
    if op in ("cd", "dcd", "dck"):
        matrices = kernel if op == "cd" else _class_matrices(op, *kernel)
        rows = matrices.reshape(len(matrices), 1, -1) if matrices.ndim == 2 else matrices
        sigma = np.linalg.norm(rows, 2, axis=(1, 2))
        return sigma.reshape(-1, *[1] * (1 if op == "dck" or matrices.ndim == 2 else 2))
    options = (input_shape, output_shape, strides, dilation, padding)
    if op in ("c", "tc"):
        return _lanczos(linear_map(op, tf.constant(kernel), *options))
    common, scales = kernel
    # A scale of the outputs is one of the kernel's output axis: the last of cck, the last but one of tcck.
    scales = 1 + (scales[:, :, :, None, :] if op == "cck" else scales[..., None])
    maps = (linear_map(op.removesuffix("ck"), tf.constant(common * scale), *options) for scale in scales)
    return np.array([_lanczos(linear) for linear in maps]).reshape(-1, 1, 1, 1)


def linear_map(
    op: str,
    kernel: TensorLike | Sequence[TensorLike],
    input_shape: tuple[int, ...] | None = None,
    output_shape: tuple[int, ...] | None = None,
    strides: int = 1,
    dilation: int = 1,
    padding: str = "SAME",
) -> LinearMap:
    """Returns the operator of `kernel` with its adjoint; arguments as in `spectral_norm`."""
    kernel = _tensors(kernel)
    if op in ("d", "project", "cd", "dcd"):
        return _matrix_map(_class_matrices(op, *kernel) if op == "dcd" else kernel)
    if op == "dck":
        common, scales = kernel
        linear = _matrix_map(common)
        scaled = _scaled_map(linear, 1 + scales, outputs=common.shape[0] <= common.shape[1])
        return dataclasses.replace(scaled, vector_shape=(scales.shape[0], min(common.shape)))
    if op in ("c", "tc"):
        return _convolution_map(op, kernel, input_shape, output_shape, strides, dilation, padding)
    common, scales = kernel
    op = op.removesuffix("ck")
    linear = _convolution_map(op, common, input_shape, output_shape, strides, dilation, padding, scales.shape[0])
    # The scales belong to the layer's outputs, which are A's images when its vectors are inputs.
    return _scaled_map(linear, 1 + scales, outputs=_on_input_side(op, input_shape, output_shape))


def _tensors(kernel: TensorLike | Sequence[TensorLike]) -> Any:
    """Returns a kernel or a pair of kernels as tensors."""
    return (
        tuple(map(tf.convert_to_tensor, kernel)) if isinstance(kernel, (tuple, list)) else tf.convert_to_tensor(kernel)
    )


def _class_norm(x: tf.Tensor) -> tf.Tensor:
    # Not tf.norm, which over several axes is a matrix norm.
    return tf.sqrt(tf.reduce_sum(x * x, axis=list(range(1, x.shape.rank)), keepdims=True))


def _class_matrices(op: str, common: tf.Tensor, extra: tf.Tensor) -> Any:
    """Returns the matrices (classes, in, out) of dcd and dck, of tensors or arrays."""
    if op == "dck":
        return common * (1 + extra[:, None, :])
    return common + (extra[..., None] if len(extra.shape) == 2 else extra)


def _closed_form(op: str, kernel: TensorLike | Sequence[TensorLike]) -> tf.Tensor:
    """Returns the Frobenius norm of a matrix of one row or column, or of each class's."""
    if op in ("d", "project"):
        return tf.norm(kernel)
    if op == "dck":
        common, scales = kernel
        return tf.norm(common) * tf.abs(1 + scales)
    return _class_norm(kernel if op == "cd" else _class_matrices(op, *kernel))


def _matrix_map(matrix: tf.Tensor) -> LinearMap:
    """The map x K, or x K[y] for matrices (classes, in, out), seen from its smaller side."""
    *classes, rows, columns = matrix.shape
    wide = rows <= columns
    return LinearMap(
        forward=lambda v: tf.matmul(v, matrix, transpose_b=not wide),
        adjoint=lambda y: tf.matmul(y, matrix, transpose_b=wide),
        vector_shape=(*classes, 1, min(rows, columns)),
        per_class=bool(classes),
    )


def _convolution_map(
    op: str,
    kernel: tf.Tensor,
    input_shape: StaticShape | None,
    output_shape: StaticShape | None,
    strides: int,
    dilation: int,
    padding: str,
    number: int = 1,
) -> LinearMap:
    """The map of `number` images by a convolution ('c') or a transposed one ('tc')."""
    on_input_side = _on_input_side(op, input_shape, output_shape)
    assert input_shape is not None and output_shape is not None
    # A transposed convolution is the adjoint of the convolution from its output to its input.
    below, above = (input_shape, output_shape) if op == "c" else (output_shape, input_shape)
    options = (strides, dilation, padding, "NHWC")

    def down(x: tf.Tensor) -> tf.Tensor:
        return convolve(x, kernel, *options)

    def up(y: tf.Tensor) -> tf.Tensor:
        return convolve_transposed(y, kernel, (number, *below), *options)

    if on_input_side == (op == "c"):
        return LinearMap(down, up, (number, *below))
    return LinearMap(up, down, (number, *above))


def _scaled_map(linear: LinearMap, scales: tf.Tensor, outputs: bool) -> LinearMap:
    """The maps of all classes whose layer multiplies the outputs of `linear`'s by scales[y].

    Args:
        linear: The common map.
        scales: Broadcast with the layer's outputs, classes first.
        outputs: Whether these outputs are `linear`'s images rather than its vectors.
    """
    if outputs:
        forward, adjoint = (lambda v: linear.forward(v) * scales), (lambda y: linear.adjoint(y * scales))
    else:
        forward, adjoint = (lambda v: linear.forward(v * scales)), (lambda y: linear.adjoint(y) * scales)
    return LinearMap(forward, adjoint, linear.vector_shape, per_class=True)


def _lanczos(linear: LinearMap) -> float:
    """Returns the largest singular value of a convolution's map, in float64."""
    from scipy.sparse.linalg import ArpackError, LinearOperator, svds

    start = np.random.default_rng(0).standard_normal(linear.vector_shape)
    image = linear.forward(tf.constant(start)).numpy()
    if not image.any():
        return 0.0
    if start.size == 1:
        return float(np.linalg.norm(image / start))
    if image.size == 1:
        return float(np.linalg.norm(linear.adjoint(tf.ones_like(image))))
    operator = LinearOperator(
        (image.size, start.size),
        matvec=lambda x: linear.forward(tf.reshape(x, start.shape)).numpy().ravel(),
        rmatvec=lambda y: linear.adjoint(tf.reshape(y, image.shape)).numpy().ravel(),
        dtype=np.float64,
    )
    try:
        return float(svds(operator, k=1, return_singular_vectors=False, tol=1e-10, random_state=0)[0])
    except ArpackError:  # Lanczos has no further direction to go where singular values coincide
        return _iterated(operator, start.ravel())


def _iterated(operator: Any, vector: np.ndarray) -> float:
    """Returns the largest singular value by power iteration until it stays."""
    sigma = previous = 0.0
    for _ in range(100_000):
        vector = vector / np.linalg.norm(vector)
        image = operator.matvec(vector)
        sigma, vector = float(np.linalg.norm(image)), operator.rmatvec(image)
        if abs(sigma - previous) <= 1e-13 * sigma:
            break
        previous = sigma
    return sigma


def _on_input_side(op: str, input_shape: StaticShape | None, output_shape: StaticShape | None) -> bool:
    """Whether the vector has the input's shape: the smaller side for c, the larger for tc, as the original."""
    if input_shape is None or output_shape is None:
        raise ConfigError(f"Op {op!r} needs input_shape and output_shape, both (H, W, C).")
    smaller = math.prod(input_shape) <= math.prod(output_shape)
    return smaller if op in ("c", "cck") else not smaller
