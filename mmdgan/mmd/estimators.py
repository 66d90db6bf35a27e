"""Estimators of the squared MMD in bounded memory, each with its standard error, and the witness function.

| method | time | what it is | error |
|---|---|---|---|
| exact | M N | the U-statistic of all pairs, in tiles | of the U-statistic, first and second order |
| blocks | (M + N) block | mean over blocks of rows (Zaremba et al. 2013) | standard error over blocks |
| linear | M + N | the same with two rows in a block (Gretton et al. 2012, section 6) | the same |
| fourier | (M + N) features | random Fourier features (Rahimi and Recht 2007) | of rows (jackknife) and of features |

All are unbiased, so they scatter around 0 for equal distributions and may be negative. All take rows in their order:
shuffle sets that are sorted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import check_count, check_seed
from mmdgan.core.signatures import takes
from mmdgan.core.text import nearest
from mmdgan.core.types import TensorLike
from mmdgan.losses.kernels import DEFAULTS, KernelFunction, mixture, squared_distances
from mmdgan.losses.options import given

KERNELS = (*DEFAULTS, "energy")
METHODS = ("exact", "blocks", "linear", "fourier")
TILE = 2048
"""Rows on each side of a tile of kernel values: 32 MB of float64."""
_MEDIAN_ROWS = 2000
_GROUPS = 20  # parts of the rows that the jackknife of "fourier" leaves out one by one
_CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """An estimate of the squared MMD.

    Attributes:
        value: The estimate.
        error: Its standard error, from all sources.
        interval: 95% confidence interval of the squared MMD, cut at 0.
        method: One of `METHODS`.
        sigma: Widths of the kernel; () for a kernel without widths.
        errors: The standard error by its sources: "rows", and "features" of the method "fourier".
    """

    value: float
    error: float
    interval: tuple[float, float]
    method: str
    sigma: tuple[float, ...]
    errors: dict[str, float]


class Extremes(NamedTuple):
    """Rows where the witness function is largest among x and smallest among y.

    Attributes:
        x: int64 (count,), indices of rows of x: what x has and y lacks, the strongest first.
        y: int64 (count,), indices of rows of y: what y has and x lacks, the strongest first.
        values_x, values_y: float64 (count,), the witness function there.
    """

    x: np.ndarray
    y: np.ndarray
    values_x: np.ndarray
    values_y: np.ndarray


@takes("alpha", "beta")
def estimate(
    x: TensorLike,
    y: TensorLike,
    method: str = "exact",
    kernel: str = "gaussian",
    *,
    sigma: Any = "median",
    block_size: int = 1000,
    features: int = 1024,
    seed: int = 0,
    **options: Any,
) -> Estimate:
    """Estimates the squared MMD of two sets without holding more than tiles of kernel values.

    Args:
        x: (M, d).
        y: (N, d).
        method: "exact", "blocks", "linear" or "fourier", as above. A kernel without features, "energy", excludes the
            last.
        kernel: "gaussian", "rational_quadratic", "laplace" (as `mmdgan.losses.mmd2`) or "energy" (``-|a - b|``).
        sigma: Width of the Gaussian or Laplace kernel; several widths: the kernels are summed; "median", of every
            kernel: the median distance of pooled rows (`median_distance`), as `kernel_members` takes it.
        block_size: Rows of each set in a block, for "blocks".
        features: Number of random frequencies, for "fourier".
        seed: Seed of the frequencies, and of the rows whose median distance is taken.
        **options: `alpha` and `beta` of the rational quadratic kernel.

    Raises:
        ConfigError: An unknown method, kernel or option, shapes that do not fit, or numbers out of range.
    """
    x, y = checked_rows(x, y, least=3 if method == "fourier" else 2)
    if method not in METHODS:
        raise ConfigError(
            f"There is no estimator {method!r}{nearest(method, METHODS)}: choose from {', '.join(METHODS)}."
        )
    check_seed(seed)
    for name, number in (("block_size", block_size), ("features", features)):
        check_count(name, number)
    members, widths = kernel_members(kernel, sigma, options, lambda: median_distance(x, y, seed=seed))
    interval = None
    if method == "fourier":
        count = -(-features // len(members)) * len(members)  # as many of each member
        frequencies = _frequencies(kernel, widths, options, x.shape[1], count, seed)
        groups = min(_GROUPS, len(x), len(y))
        value, errors = _fourier(x, y, frequencies, len(members), groups)
        quantile = _quantile(groups - 1)
    elif method == "exact":
        sums = sums_of(tiles(x, y, members), len(x), len(y))
        value, errors = sums.unbiased(), {"rows": math.sqrt(sums.variance())}
        interval = sums.interval(_quantile(math.inf))
    else:
        size = 2 if method == "linear" else block_size
        if size < 2 or min(len(x), len(y)) < 2 * size:
            raise ConfigError(
                f"The method {method!r} needs two blocks of {size} rows, at least 2, of each set, which have "
                f"{len(x):,} and {len(y):,}: give a smaller block_size, or take the method 'exact'."
            )
        found = _linear(x, y, members) if method == "linear" else _blocks(x, y, members, size)
        value, errors = float(found.mean()), {"rows": float(found.std(ddof=1) / math.sqrt(len(found)))}
        quantile = _quantile(len(found) - 1)
    error = math.sqrt(sum(part**2 for part in errors.values()))
    if interval is None:
        interval = max(0.0, value - quantile * error), max(0.0, value + quantile * error)
    return Estimate(value, error, interval, method, widths, errors)


def median_distance(x: TensorLike, y: TensorLike | None = None, *, rows: int = _MEDIAN_ROWS, seed: int = 0) -> float:
    """The median Euclidean distance between two different rows, the usual width of a kernel ("median heuristic").

    Args:
        x: (M, d).
        y: (N, d), rows pooled with those of x; None for x alone.
        rows: Of more pooled rows than this, so many are chosen at random.
        seed: Seed of the choice.

    Returns:
        The median; 1 where at least half of the pairs of rows are equal, for then no width follows from it.

    Raises:
        ConfigError: Fewer than 2 rows, or shapes that do not fit.
    """
    check_count("rows", rows, least=2)
    x = np.asarray(x)
    x, y = checked_rows(x, x[:0] if y is None else y, least=0)
    total = len(x) + len(y)
    if total < 2:
        raise ConfigError(f"A median distance needs 2 rows or more, not {total}.")
    chosen = np.arange(total)
    if total > rows:
        chosen = np.sort(np.random.default_rng(seed).choice(total, rows, replace=False))
    pooled = np.concatenate([x[chosen[chosen < len(x)]], y[chosen[chosen >= len(x)] - len(x)]]).astype(np.float64)
    return median_of(pooled_squares(pooled))


@takes("alpha", "beta")
def witness(
    z: TensorLike, x: TensorLike, y: TensorLike, kernel: str = "gaussian", *, sigma: Any = "median", **options: Any
) -> Any:
    """The witness function ``f(z) = mean_j k(z, x_j) - mean_j k(z, y_j)``: positive where x is denser than y.

    It is `mmdgan.losses.witness` in tiles, for sets of any size.

    Args:
        z: (L, d), where to evaluate it.
        x: (M, d).
        y: (N, d).
        kernel, sigma, options: As for `estimate`.

    Returns:
        (L,) float64: a tensor if z is one, else an array.

    Raises:
        ConfigError: As `estimate`.
    """
    x, y = checked_rows(x, y, least=1)
    points, _ = checked_rows(z, x, least=0, name="z")
    members, _ = kernel_members(kernel, sigma, options, lambda: median_distance(x, y))
    found = _witness(points, x, y, members)
    return tf.constant(found) if tf.is_tensor(z) else found


@takes("alpha", "beta")
def witness_extremes(
    x: TensorLike,
    y: TensorLike,
    count: int = 10,
    kernel: str = "gaussian",
    *,
    sigma: Any = "median",
    **options: Any,
) -> Extremes:
    """The rows by which two sets differ most: those of x that lie where y is thin, and the other way round.

    Args:
        x: (M, d).
        y: (N, d).
        count: How many rows of each; at most M and N.
        kernel, sigma, options: As for `estimate`.

    Raises:
        ConfigError: As `estimate`.
    """
    x, y = checked_rows(x, y, least=1)
    check_count("count", count)
    members, _ = kernel_members(kernel, sigma, options, lambda: median_distance(x, y))
    at_x, at_y = (_witness(z, x, y, members) for z in (x, y))
    first, last = np.argsort(-at_x, kind="stable")[:count], np.argsort(at_y, kind="stable")[:count]
    return Extremes(first, last, at_x[first], at_y[last])


def kernel_members(
    kernel: str, sigma: Any, options: dict[str, Any], median: Callable[[], float]
) -> tuple[list[KernelFunction], tuple[float, ...]]:
    """The functions of squared distances that a kernel is the sum of, and its widths as `sigma`.

    Args:
        kernel: One of `KERNELS`.
        sigma: "median", or widths as `mmdgan.losses.mmd2` takes them.
        options: alpha and beta.
        median: Returns the width w that "median" stands for: ``exp(-D / (2 w^2))``, the Laplace kernel
            ``exp(-|a - b| / w)``, and the rational quadratic ``(1 + D / (2 alpha w^2))^(-alpha)`` unless beta is given.

    Raises:
        ConfigError: An unknown kernel or option, a width that is not positive, or one for the rational quadratic.
    """
    options = given(options)
    if kernel == "energy":
        if options:
            raise ConfigError(f"The energy kernel has no options, but was given {', '.join(options)}: leave them out.")
        return [lambda squares: -tf.sqrt(squares)], ()
    if isinstance(sigma, str) and sigma != "median":
        raise ConfigError(f"sigma is {sigma!r}; give one or more positive numbers, or 'median'.")
    if kernel == "rational_quadratic":
        if not isinstance(sigma, str):
            options["sigma"] = sigma  # which is refused, as by `mmd2`
        if options.keys() & {"beta", "sigma"}:
            return mixture(kernel, **options), ()
        width = median()
        return mixture(kernel, beta=2 * width**2, **options), (width,)
    if isinstance(sigma, str):
        width = median()
        sigma = math.sqrt(width / 2) if kernel == "laplace" else width
    widths = (sigma,) if isinstance(sigma, Real) else tuple(sigma)
    return mixture(kernel, sigma=widths, **options), tuple(map(float, widths))


def checked_rows(x: TensorLike, y: TensorLike, least: int, name: str = "x") -> tuple[np.ndarray, np.ndarray]:
    """Both samples as arrays (M, d), (N, d) of their own type, not copied.

    Raises:
        ConfigError: Fewer than `least` rows, other shapes, or values that are not finite.
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ConfigError(
            f"Two samples are compared row by row: give {name} (M, d) and y (N, d), not {x.shape} and {y.shape}."
        )
    for each, rows in ((name, x), ("y", y)):
        if len(rows) < least:
            raise ConfigError(f"This needs {least} rows or more, but {each} has {len(rows)}.")
        if not all(np.isfinite(rows[part].sum(dtype=np.float64)) for part in _slices(len(rows))):
            raise ConfigError(f"{each} has values that are not finite: leave such rows out, and say so.")
    return x, y


def pooled_squares(pooled: np.ndarray) -> np.ndarray:
    """Squared distances (N, N) between the rows of (N, d), float64, exactly 0 on the diagonal."""
    squares = np.empty((len(pooled), len(pooled)))
    rows = pooled - pooled.mean(axis=0)  # far from the origin they would lose the digits by which they differ
    norms = np.einsum("nd,nd->n", rows, rows)
    np.matmul(rows, rows.T, out=squares)
    squares *= -2.0
    squares += norms[:, None]
    squares += norms
    np.fill_diagonal(squares, 0.0)
    return np.maximum(squares, 0.0, out=squares)


def of_pairs(squares: np.ndarray) -> np.ndarray:
    """The squared distances of different rows, each pair once, from those of all (N, N)."""
    return squares[np.tri(len(squares), k=-1, dtype=bool)]


def median_of(squares: np.ndarray) -> float:
    """The median distance of different rows, from their squared distances (N, N); 1 in place of 0."""
    return math.sqrt(np.median(of_pairs(squares), overwrite_input=True)) or 1.0


class KernelSums(NamedTuple):
    """Sums of kernel values over the pairs of two samples.

    Attributes:
        xx: float64 (M,), sums over the other rows of x, of each row of x.
        xy: float64 (M,), sums over the rows of y.
        yy, yx: float64 (N,), the same of the rows of y.
        squares: Sum of the squared kernel values of all ordered pairs of different rows.
    """

    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray
    yx: np.ndarray
    squares: float

    def unbiased(self) -> float:
        """The unbiased estimate of the squared MMD (Gretton et al. 2012, Eq. 3)."""
        m, n = len(self.xx), len(self.yy)
        own = self.xx.sum() / (m * (m - 1)) + self.yy.sum() / (n * (n - 1))
        return float(own - 2 * self.xy.sum() / (m * n))

    def variance(self) -> float:
        """The variance of the unbiased estimate, at least that under equality."""
        first, second = self._parts()
        return max(first + second, second)

    def interval(self, quantile: float) -> tuple[float, float]:
        """The values v of the squared MMD that lie within ``quantile`` standard errors of the estimate, cut at 0.

        The standard errors are those that v would have: the first-order part of the variance is proportional to it,
        ``4 c v``, with c at most the root of half the second-order part. A plain ``estimate -+ quantile error`` misses
        small differences too often, as small estimates come with small errors.
        """
        value, (first, second) = self.unbiased(), self._parts()
        c = math.sqrt(second / 2)
        if value > 0:
            c = min(c, max(first, 0.0) / (4 * value))
        middle = value + 2 * quantile**2 * c
        half = math.sqrt(max(middle**2 - value**2 + quantile**2 * second, 0.0))
        return max(0.0, middle - half), max(0.0, middle + half)

    def _parts(self) -> tuple[float, float]:
        """The first- and second-order parts of the variance.

        The first comes from each row's mean kernel values, whose noise is twice the second: it is subtracted. The
        second is ``2 s^2 (1/M + 1/N)^2`` with s^2 the mean square of the centred kernel.
        """
        m, n = len(self.xx), len(self.yy)
        of_x, of_y = self.xx / (m - 1) - self.xy / n, self.yy / (n - 1) - self.yx / m
        noisy = 4 * (np.var(of_x, ddof=1) / m + np.var(of_y, ddof=1) / n)
        total = m + n
        rows = np.concatenate([self.xx + self.xy, self.yy + self.yx]) / (total - 1)
        centred = self.squares / (total * (total - 1)) - 2 * np.mean(rows**2) + np.mean(rows) ** 2
        second = float(2 * max(centred, 0.0) * (1 / m + 1 / n) ** 2)
        return float(noisy) - 2 * second, second


def sums_of(parts: Iterator[tuple[str, slice, slice, np.ndarray]], m: int, n: int) -> KernelSums:
    """Sums over tiles: whose pairs, places of the rows, and values without those of a row with itself.

    Of the pairs of one sample the tiles on and above the diagonal are enough.
    """
    sums = KernelSums(np.zeros(m), np.zeros(m), np.zeros(n), np.zeros(n), 0.0)
    squares = 0.0
    for pair, rows, columns, values in parts:
        if pair == "xy":
            sums.xy[rows] += values.sum(axis=1)
            sums.yx[columns] += values.sum(axis=0)
        else:
            getattr(sums, pair)[rows] += values.sum(axis=1)
            if rows != columns:  # and the tile below the diagonal, which is this one transposed
                getattr(sums, pair)[columns] += values.sum(axis=0)
        squares += (1 if pair != "xy" and rows == columns else 2) * float(np.vdot(values, values))
    return sums._replace(squares=squares)


def tiles(
    x: np.ndarray, y: np.ndarray, members: Sequence[KernelFunction]
) -> Iterator[tuple[str, slice, slice, np.ndarray]]:
    """Kernel values of all pairs as `sums_of` takes them, at most `TILE` rows on each side."""
    for pair, a, b in (("xx", x, x), ("yy", y, y), ("xy", x, y)):
        for rows in _slices(len(a)):
            for columns in _slices(len(b)):
                if pair != "xy" and columns.start < rows.start:
                    continue
                values = _kernel(a[rows], b[columns], members)
                if pair != "xy" and rows == columns:
                    np.fill_diagonal(values, 0.0)
                yield pair, rows, columns, values


def _blocks(x: np.ndarray, y: np.ndarray, members: Sequence[KernelFunction], size: int) -> np.ndarray:
    """The unbiased estimate of each block of rows; all rows are used, some blocks being larger by one row or more."""
    count = min(len(x), len(y)) // size
    edges = [np.linspace(0, len(rows), count + 1).astype(int) for rows in (x, y)]
    found = []
    for i in range(count):
        a, b = (rows[edge[i] : edge[i + 1]] for rows, edge in zip((x, y), edges, strict=True))
        own = [
            (values.sum() - np.trace(values)) / (len(rows) * (len(rows) - 1))
            for rows in (a, b)
            for values in [_kernel(rows, rows, members)]
        ]
        found.append(sum(own) - 2 * _kernel(a, b, members).mean())
    return np.array(found)


def _linear(x: np.ndarray, y: np.ndarray, members: Sequence[KernelFunction]) -> np.ndarray:
    """``k(x, x') + k(y, y') - k(x, y') - k(x', y)`` of consecutive pairs of rows."""
    count, found = min(len(x), len(y)) // 2, []
    for part in _slices(2 * count):
        a, b, c, d = (np.asarray(rows[part][i::2], np.float64) for rows in (x, y) for i in (0, 1))
        values = 0.0
        for first, second, sign in ((a, b, 1), (c, d, 1), (a, d, -1), (b, c, -1)):
            squares = tf.constant(np.einsum("nd,nd->n", first - second, first - second))
            values = values + sign * tf.add_n([member(squares) for member in members]).numpy()
        found.append(values)
    return np.concatenate(found)


def _frequencies(
    kernel: str, widths: Sequence[float], options: dict[str, Any], size: int, count: int, seed: int
) -> np.ndarray:
    """Frequencies (d, R) whose cosines average to the kernel; those of a mixture's members take turns."""
    options = given(options)
    if kernel == "energy":
        raise ConfigError("The energy kernel has no random features: take the method 'blocks', 'linear' or 'exact'.")
    if count < 2:
        raise ConfigError(f"features is {count}; give at least 2, whose scatter is the error.")
    random = np.random.default_rng(seed)
    normal = random.standard_normal((size, count))
    if kernel == "gaussian":
        scale = 1 / np.resize(widths, count)
    elif kernel == "laplace":  # a Cauchy distribution: normal numbers by a half-normal one
        scale = 1 / (2 * np.square(np.resize(widths, count)) * np.abs(random.standard_normal(count)))
    else:
        alphas = np.resize(np.atleast_1d(options.get("alpha", 1.0)), count).astype(np.float64)
        beta = 2 * widths[0] ** 2 if widths else options.get("beta", DEFAULTS[kernel]["beta"])
        scale = np.sqrt(2 * random.gamma(alphas) / (beta * alphas))  # a mixture of Gaussians
    return (normal * scale).astype(np.float32)


def _fourier(
    x: np.ndarray, y: np.ndarray, frequencies: np.ndarray, members: int, groups: int
) -> tuple[float, dict[str, float]]:
    """The mean over frequencies of the unbiased ``|E exp(i w x) - E exp(i w y)|^2``, and its errors."""
    centre = x.mean(axis=0, dtype=np.float64)  # around it float32 keeps the digits by which rows differ
    sums, counts = zip(*(_feature_sums(rows, centre, frequencies, groups) for rows in (x, y)), strict=True)

    def values(parts: Sequence[np.ndarray], sizes: Sequence[float]) -> np.ndarray:
        (a, b), (m, n) = parts, sizes
        own = (np.abs(a) ** 2 - m) / (m * (m - 1)) + (np.abs(b) ** 2 - n) / (n * (n - 1))
        return members * (own - 2 * np.real(a * np.conj(b)) / (m * n))

    totals, sizes = [part.sum(axis=0) for part in sums], [count.sum() for count in counts]
    found = values(totals, sizes)
    without = [
        values(
            [total - part[g] for total, part in zip(totals, sums, strict=True)],
            [size - count[g] for size, count in zip(sizes, counts, strict=True)],
        ).mean()
        for g in range(groups)
    ]
    return float(found.mean()), {
        "rows": float(math.sqrt((groups - 1) * np.var(without))),
        "features": float(found.std(ddof=1) / math.sqrt(len(found))),
    }


def _feature_sums(
    rows: np.ndarray, centre: np.ndarray, frequencies: np.ndarray, groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of ``exp(i w (x - centre))`` over groups of rows, complex128 (groups, R), and the rows in each group."""
    edges = np.linspace(0, len(rows), groups + 1).astype(int)
    sums = np.zeros((groups, frequencies.shape[1]), np.complex128)
    weights = tf.constant(frequencies)
    for g in range(groups):
        part = rows[edges[g] : edges[g + 1]]
        for place in _slices(len(part)):
            phases = tf.matmul(tf.constant(part[place] - centre, tf.float32), weights)
            sums[g] += (
                tf.reduce_sum(tf.cos(phases), axis=0).numpy() + 1j * tf.reduce_sum(tf.sin(phases), axis=0).numpy()
            )
    return sums, np.diff(edges)


def _witness(z: np.ndarray, x: np.ndarray, y: np.ndarray, members: Sequence[KernelFunction]) -> np.ndarray:
    found = np.zeros(len(z))
    for rows in _slices(len(z)):
        for others, sign in ((x, 1), (y, -1)):
            for columns in _slices(len(others)):
                found[rows] += sign / len(others) * _kernel(z[rows], others[columns], members).sum(axis=1)
    return found


def _kernel(a: np.ndarray, b: np.ndarray, members: Sequence[KernelFunction]) -> np.ndarray:
    """Kernel values (m, n) float64 of a tile."""
    squares = squared_distances(a.astype(np.float64), b.astype(np.float64))
    return np.array(tf.add_n([member(squares) for member in members]))


def _slices(count: int) -> Iterator[slice]:
    """Consecutive places of `TILE` rows."""
    for start in range(0, count, TILE):
        yield slice(start, min(start + TILE, count))


def _quantile(freedom: float) -> float:
    """The two-sided quantile of Student's distribution; of the normal one for infinite degrees of freedom."""
    import scipy.stats

    return float(scipy.stats.t.ppf((1 + _CONFIDENCE) / 2, freedom))
