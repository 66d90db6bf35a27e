"""Kernel functions on scores, and their means over pairs of scores, which every MMD loss is made of.

Sources: Wang, Sun, Halgamuge, "Improving MMD-GAN Training with Repulsive Loss Function", ICLR 2019, section 2 and
Eq. S2; Gretton et al., "A Kernel Two-Sample Test", JMLR 2012. Everything is a pure function of tensors: float64
inputs stay float64, all others are computed in float32.

Notation of the loss modules: g generated and x data scores, D_ab their squared distances, E the mean over pairs
i != j, **the cross term included** (Eq. S2). In log tags "xx" is generated-generated, "yy" data-data and "xy"
generated-data; "_b" marks bounded distances, "/d0" the first member of a mixture.

Distances between two samples of B rows are a B x B matrix. Above `MOST_ROWS` rows it is never made: `Blocked` stands
for it, whose means are computed, and differentiated, block by block.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mmdgan.core.errors import ConfigError
from mmdgan.core.gradients import custom_gradient
from mmdgan.core.lazy import tf
from mmdgan.core.signatures import takes
from mmdgan.core.types import TensorLike
from mmdgan.losses.options import check_option, given, near_and_valid

KernelFunction = Callable[[Any], Any]
Logs = dict[str, Any]

DEFAULTS: dict[str, dict[str, Any]] = {
    "gaussian": {"sigma": (1.0,)},
    "rational_quadratic": {"alpha": (1.0,), "beta": 2.0},
    "laplace": {"sigma": (1.0,)},
}

OPTIONS = ("sigma", "variance", *(name for own in DEFAULTS.values() for name in own if name != "sigma"))
"""All options of kernels: `variance` stands for the square of `sigma`."""

MEDIAN = "median"
"""The value of an option sigma that stands for `median_sigma`."""

MOST_ROWS = 4096
"""Most rows whose distances are one matrix: 64 MB in float32, of which a loss holds several at a time."""

BLOCK = 2**20
"""Most entries of a block of a larger matrix."""

_ROOT_EPSILON = 1e-16
"""Under the root of a squared distance: gradients stay finite at coincident rows."""


def gaussian(distances: tf.Tensor, sigma: float = 1.0) -> tf.Tensor:
    """Gaussian kernel ``exp(-D / (2 sigma^2))`` of squared distances D, any shape."""
    return tf.exp(distances * (-0.5 / sigma**2))


def rational_quadratic(distances: tf.Tensor, alpha: float = 1.0, beta: float = 2.0) -> tf.Tensor:
    """Rational quadratic kernel ``(1 + D / (beta alpha))^(-alpha)`` of squared distances D, any shape."""
    return tf.exp(-alpha * tf.math.log1p(distances / (beta * alpha)))


def laplace(distances: tf.Tensor, sigma: float = 1.0) -> tf.Tensor:
    """Laplace kernel ``exp(-sqrt(D) / (2 sigma^2))`` of squared distances D, any shape.

    The width has the form that the Gaussian kernel's has, as in published codes that only leave the square out.
    """
    return tf.exp(root(distances) * (-0.5 / sigma**2))


def root(distances: tf.Tensor) -> tf.Tensor:
    """Distances of squared ones, with finite gradients at 0."""
    return tf.sqrt(distances + _ROOT_EPSILON)


@takes(*OPTIONS)
def mixture(kernel: str, **options: Any) -> list[KernelFunction]:
    """The members of a sum of kernels, each a function of squared distances.

    Args:
        kernel: "gaussian", "rational_quadratic" or "laplace".
        **options: ``sigma`` (gaussian, laplace; default 1) or in its place ``variance``, its square; or ``alpha``
            (default 1) and ``beta`` (default 2). ``sigma``, ``variance`` and ``alpha`` may be a number or a list:
            one member each. ``sigma`` may also be a scalar tensor of the distances' dtype, to be differentiated.
            None stands for "not given".

    Raises:
        ConfigError: An unknown kernel or option, or a value that is not a positive number.
    """
    options = given(options)
    if kernel not in DEFAULTS:
        raise ConfigError(f"There is no kernel function named {kernel!r}{near_and_valid(kernel, DEFAULTS)}.")
    defaults, owner = DEFAULTS[kernel], f"kernel {kernel!r}"
    if "sigma" in defaults and "variance" in options:
        if "sigma" in options:
            raise ConfigError(f"The {owner} was given both sigma and variance = sigma^2: keep one of them.")
        squares = check_option(owner, "variance", options.pop("variance"), defaults["sigma"])
        options["sigma"] = [math.sqrt(a) for a in squares]
    values = dict(defaults)
    for option, value in options.items():
        if option not in values:
            raise ConfigError(f"The {owner} has no option {option!r}{near_and_valid(option, values)}.")
        is_tensor = option == "sigma" and tf.is_tensor(value)
        values[option] = (value,) if is_tensor else check_option(owner, option, value, defaults[option])
    if kernel == "rational_quadratic":
        return [functools.partial(rational_quadratic, alpha=a, beta=values["beta"]) for a in values["alpha"]]
    return [functools.partial(gaussian if kernel == "gaussian" else laplace, sigma=s) for s in values["sigma"]]


def normal_means(
    squared_radii: tf.Tensor, dimension: tf.Tensor, variance: TensorLike, precision: TensorLike
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean values of the kernel ``exp(-precision D)`` against a normal y ~ N(mean, variance I), in closed form.

    Args:
        squared_radii: (N,) squared distances of a sample z from the normal's mean.
        dimension: d, in the radii's dtype.
        variance: Variance of each coordinate of y.
        precision: 1 / (2 sigma^2); a number or a scalar.

    Returns:
        ``E k(z, y)``, averaged over z, and ``E k(y, y')``, scalars.
    """
    half = 0.5 * dimension
    shrink = 1.0 / (1.0 + 2.0 * precision * variance)
    cross = tf.reduce_mean(shrink**half * tf.exp(-precision * shrink * squared_radii))
    return cross, (1.0 + 4.0 * precision * variance) ** -half


def exponential(distances: tf.Tensor, beta: TensorLike) -> tf.Tensor:
    """The kernel ``exp(-beta D)`` of squared distances D, any shape."""
    return tf.exp(-beta * distances)


class Blocked(NamedTuple):
    """A matrix (M, N) of functions of pairs of rows, of which one block is in memory at a time.

    Attributes:
        a, b: Rows (M, d) and (N, d).
        products: Whether the functions are of inner products; else of squared distances.
        functions: What is applied to them, the first one first. Tensors that a function depends on are keywords of a
            `functools.partial`, so that gradients reach them.
    """

    a: tf.Tensor
    b: tf.Tensor
    products: bool = False
    functions: tuple[KernelFunction, ...] = ()

    @property
    def dtype(self) -> tf.DType:
        return self.a.dtype

    def mean(self, diagonal: bool = True) -> tf.Tensor:
        """Mean over all entries, or over those that are not on the diagonal."""
        rows, columns = self.a.shape[0], self.b.shape[0]
        total, count = self._total(self.a, self.b, *self._tensors()), rows * columns
        if not diagonal:
            paired = min(rows, columns)
            a, b = self.a[:paired], self.b[:paired]
            inner = tf.reduce_sum(a * b, 1)
            if not self.products:
                squares = tf.reduce_sum(a * a, 1) + tf.reduce_sum(b * b, 1)
                inner = tf.maximum(squares - 2.0 * inner, 0.0)
            total, count = total - tf.reduce_sum(self._applied(inner, self._tensors())), count - paired
        return total / tf.cast(count, self.dtype)

    def corner(self) -> tf.Tensor:
        """The matrix of the first `MOST_ROWS` rows of both, for histograms."""
        return self._block(self.a[:MOST_ROWS], self.b[:MOST_ROWS], self._tensors())

    def _tensors(self) -> list[tf.Tensor]:
        keywords = [getattr(function, "keywords", {}) for function in self.functions]
        return [value for given in keywords for value in given.values() if tf.is_tensor(value)]

    def _applied(self, values: tf.Tensor, tensors: Sequence[tf.Tensor]) -> tf.Tensor:
        left = iter(tensors)
        for function in self.functions:
            given = {k: next(left) for k, v in getattr(function, "keywords", {}).items() if tf.is_tensor(v)}
            values = function(values, **given)
        return values

    def _block(self, a: tf.Tensor, b: tf.Tensor, tensors: Sequence[tf.Tensor]) -> tf.Tensor:
        inner = tf.matmul(a, b, transpose_b=True)
        return self._applied(inner if self.products else _squares(a, b, inner), tensors)

    def _total(self, *sources: tf.Tensor) -> tf.Tensor:
        """The sum of all entries, of the rows a and b and the tensors; its gradient computes the blocks again."""

        @custom_gradient
        def total(a: tf.Tensor, *others: tf.Tensor) -> Any:
            def of_block(rows: tf.Tensor, others: Sequence[tf.Tensor]) -> tf.Tensor:
                return tf.reduce_sum(self._block(rows, others[0], others[1:]))

            def gradient(upstream: tf.Tensor) -> list[tf.Tensor]:
                def of_rows(rows: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
                    with tf.GradientTape() as tape:
                        watched = [tf.identity(source) for source in (rows, *others)]
                        tape.watch(watched)
                        value = of_block(watched[0], watched[1:])
                    own, *rest = tape.gradient(value, watched, unconnected_gradients="zero")
                    return own, rest

                own, rest = _over_blocks(of_rows, a, others[0].shape[0], [tf.zeros_like(other) for other in others])
                return [upstream * each for each in (own, *rest)]

            # A tape around this, while nothing is compiled, would keep what it sees of every block.
            first, *constants = map(tf.stop_gradient, (a, *others))

            def value(rows: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
                return rows[:, :0], [of_block(rows, constants)]

            return _over_blocks(value, first, others[0].shape[0], [tf.zeros((), a.dtype)])[1][0], gradient

        return total(*sources)


def _over_blocks(
    function: Callable[[Any], tuple[Any, list[Any]]], a: tf.Tensor, columns: int, zeros: list[tf.Tensor]
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Calls a function of a block's rows for all rows of a; returns its first results in order, the others' sums."""
    count, size = a.shape[0], max(1, BLOCK // columns)
    whole = count // size

    def step(number: tf.Tensor, sums: list[tf.Tensor], kept: Any) -> tuple:
        own, added = function(tf.ensure_shape(a[number * size : (number + 1) * size], (size, a.shape[1])))
        return number + 1, [s + more for s, more in zip(sums, added, strict=True)], kept.write(number, own)

    kept = tf.TensorArray(a.dtype, whole)
    options = {"parallel_iterations": 1, "maximum_iterations": whole}
    start = tf.constant(0), zeros, kept
    _, sums, kept = tf.while_loop(lambda number, *_: number < whole, step, start, **options)
    rows = [tf.reshape(kept.stack(), (whole * size, -1))]
    if count > whole * size:
        own, added = function(a[whole * size :])
        rows, sums = [*rows, own], [s + more for s, more in zip(sums, added, strict=True)]
    return tf.concat(rows, 0), list(sums)


Distances = Any
"""A matrix (tf.Tensor) or a `Blocked` one."""


def apply(function: KernelFunction, distances: Distances) -> Distances:
    """Applies a function to each entry; see `Blocked.functions` for its tensors."""
    if isinstance(distances, Blocked):
        return distances._replace(functions=(*distances.functions, function))
    return function(distances)


def at_least(distances: Distances, bound: TensorLike) -> Distances:
    """The larger one of each entry and the bound."""
    return apply(functools.partial(tf.maximum, y=bound), distances)


def at_most(distances: Distances, bound: TensorLike) -> Distances:
    """The smaller one of each entry and the bound."""
    return apply(functools.partial(tf.minimum, y=bound), distances)


def full_mean(matrix: Distances) -> tf.Tensor:
    """Mean over all entries."""
    return matrix.mean() if isinstance(matrix, Blocked) else tf.reduce_mean(matrix)


class Pairs(NamedTuple):
    """One quantity for the three kinds of pairs: generated-generated, data-data, generated-data."""

    gg: Distances
    xx: Distances
    gx: Distances

    def mmd2(self) -> tf.Tensor:
        """``gg + xx - 2 gx``, the squared MMD if these are mean kernel values."""
        return self.gg + self.xx - 2.0 * self.gx

    def repulsion(self, rep_weights: tuple[float, float]) -> tf.Tensor:
        """``w0 gx - gg - w1 xx``, the repulsive critic loss of mean kernel values (Eq. 4)."""
        return rep_weights[0] * self.gx - self.gg - rep_weights[1] * self.xx


def score_distances(score_gen: TensorLike, score_data: TensorLike) -> Pairs:
    """Squared distances of generated (B, d) and data scores (B, d).

    Raises:
        ConfigError: Fewer than 2 rows, or other shapes.
    """
    return pair_distances("score_gen", score_gen, "score_data", score_data, least=2)


def pair_distances(name_a: str, a: TensorLike, name_b: str, b: TensorLike, least: int) -> Pairs:
    """Squared distances of the rows of two samples; the names are for messages.

    Raises:
        ConfigError: Fewer than `least` rows, or shapes that do not fit.
    """
    a, b = as_floats(a, b)
    check_rows(name_a, a, name_b, b, least)
    if _needs_blocks(a, b):
        return Pairs(Blocked(*centred(a, a)), Blocked(*centred(b, b)), Blocked(*centred(a, b)))
    return Pairs(squared_distances(a, a), squared_distances(b, b), squared_distances(a, b))


def pair_products(a: TensorLike, b: TensorLike) -> Pairs:
    """Inner products ``<x, y>`` of the rows of two samples of equal width: the linear kernel."""
    a, b = as_floats(a, b)
    if _needs_blocks(a, b):
        return Pairs(*(Blocked(first, second, products=True) for first, second in ((a, a), (b, b), (a, b))))
    return Pairs(*(tf.matmul(first, second, transpose_b=True) for first, second in ((a, a), (b, b), (a, b))))


def median_sigma(score_gen: TensorLike, score_data: TensorLike) -> tf.Tensor:
    """The median distance between two different rows of the pooled scores, the "median heuristic" for a Gaussian width.

    Source: Gretton et al. 2012, section 8. It is a constant to gradients, and at least 1e-8, for scores that are equal.

    Args:
        score_gen: (B, d).
        score_data: (B, d).

    Returns:
        A scalar.
    """
    pooled = tf.stop_gradient(tf.concat(as_floats(score_gen, score_data), axis=0))
    squares = squared_distances(pooled, pooled)
    # Each pair twice; the pairs of a row with itself, here below 0, come first.
    ordered = tf.sort(tf.reshape(tf.linalg.set_diag(squares, -tf.ones_like(pooled[:, 0])), [-1]))
    rows = tf.shape(pooled)[0]
    middle = rows + rows * (rows - 1) // 2
    return root((tf.sqrt(ordered[middle - 1]) + tf.sqrt(ordered[middle])) ** 2 / 4)


def squared_distances(a: TensorLike, b: TensorLike) -> tf.Tensor:
    """Squared Euclidean distances between the rows of a (M, d) and of b (N, d).

    Computed as ``max(|a|^2 - 2 a.b + |b|^2, 0)``. The maximum only removes rounding below zero: gradients
    pass where its argument is >= 0, and as no root is taken they are finite at coincident rows, where they
    vanish. A GPU that multiplies in TensorFloat-32 rounds the factors of ``a.b`` to 10 bits.

    Distances do not change if both samples move by the same vector, so their common centre is subtracted first: rows
    far from the origin would lose the digits by which they differ.

    Returns:
        (M, N), >= 0.
    """
    a, b = centred(a, b)
    return _squares(a, b, tf.matmul(a, b, transpose_b=True))


def _squares(a: tf.Tensor, b: tf.Tensor, products: tf.Tensor) -> tf.Tensor:
    """Squared distances of the rows of a and b, given their inner products."""
    square_a = tf.reduce_sum(a * a, axis=1)[:, None]
    square_b = tf.reduce_sum(b * b, axis=1)[None, :]
    return tf.maximum(square_a - 2.0 * products + square_b, 0.0)


def _needs_blocks(a: tf.Tensor, b: tf.Tensor) -> bool:
    rows = a.shape[0], b.shape[0]
    return None not in rows and max(rows) > MOST_ROWS


def centred(a: TensorLike, b: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
    """Both samples less the mean of their means, which is a constant to gradients."""
    a, b = as_floats(a, b)
    centre = tf.stop_gradient((tf.reduce_mean(a, axis=0) + tf.reduce_mean(b, axis=0)) / 2)
    return a - centre, b - centre


def as_floats(*arrays: TensorLike) -> list[tf.Tensor]:
    """Converts arrays to tensors of one dtype: float64 if any of them is float64, else float32."""
    tensors = [tf.convert_to_tensor(a) for a in arrays]
    dtype = tf.float64 if any(t.dtype == tf.float64 for t in tensors) else tf.float32
    return [tf.cast(t, dtype) for t in tensors]


def check_rows(name_a: str, a: tf.Tensor, name_b: str, b: tf.Tensor, least: int) -> None:
    """Refuses shapes that leave no pairs of rows to compare; sizes unknown before the run pass.

    Raises:
        ConfigError: Fewer than `least` rows, or shapes that do not fit.
    """
    for name, rows in ((name_a, a), (name_b, b)):
        if rows.shape.rank not in (None, 2):
            raise ConfigError(f"An MMD compares rows: {name} must be (N, d), not {tuple(rows.shape)}.")
        if rows.shape.rank == 2 and rows.shape[0] is not None and rows.shape[0] < least:
            raise ConfigError(f"This MMD needs {least} rows or more, but {name} has {rows.shape[0]}.")
    if not a.shape[1:].is_compatible_with(b.shape[1:]):
        raise ConfigError(
            f"An MMD compares rows of equal width, but {name_a} is {tuple(a.shape)} and {name_b} "
            f"{tuple(b.shape)}: take both from the same critic."
        )


def kernel_means(
    distances: Pairs, kernel: KernelFunction, scope: str, suffix: str = "", biased: bool = False
) -> tuple[Pairs, Logs]:
    """Means of a kernel without the diagonals, and their logs ``<scope>/kxx<suffix>``, kxy, kyy.

    Biased means run over all pairs, diagonals included: those of the V-statistic (Gretton et al. 2012, Eq. 5).
    """
    average = full_mean if biased else mean_without_diagonal
    means = Pairs(*(average(apply(kernel, d)) for d in distances))
    logs = {
        f"{scope}/kxx{suffix}": means.gg,
        f"{scope}/kxy{suffix}": means.gx,
        f"{scope}/kyy{suffix}": means.xx,
    }
    return means, logs


def mixture_mmd2(
    distances: Pairs, members: Sequence[KernelFunction], scope: str, suffix: str = "", biased: bool = False
) -> tuple[tf.Tensor, Logs]:
    """Squared MMD summed over kernels, and the logs of each: ``<scope>/kxx<suffix>/d0`` and so on."""
    logs: Logs = {}
    terms = []
    for i, kernel in enumerate(members):
        means, member_logs = kernel_means(distances, kernel, scope, f"{suffix}/d{i}", biased)
        logs |= member_logs
        terms.append(means.mmd2())
    return tf.add_n(terms), logs


def mean_without_diagonal(matrix: Distances) -> tf.Tensor:
    """Mean over the entries i != j of a matrix (M, N): ``(sum - trace) / (M N - min(M, N))``."""
    if isinstance(matrix, Blocked):
        return matrix.mean(diagonal=False)
    # Known sizes are counted outside of the graph, which saves most of its operations here.
    rows, columns = matrix.shape if matrix.shape.is_fully_defined() else tf.unstack(tf.shape(matrix))
    count = rows * columns - (min if isinstance(rows, int) else tf.minimum)(rows, columns)
    return (tf.reduce_sum(matrix) - tf.linalg.trace(matrix)) / tf.cast(count, matrix.dtype)


def distance_logs(distances: Pairs) -> Logs:
    """The squared distances as histograms; of `Blocked` ones a part."""
    gg, xx, gx = (d.corner() if isinstance(d, Blocked) else d for d in distances)
    return {"squared_dist/dxx": gg, "squared_dist/dxy": gx, "squared_dist/dyy": xx}
