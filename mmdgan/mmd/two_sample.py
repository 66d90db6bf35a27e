"""Do two samples come from one distribution? Permutation tests of the MMD and of the energy distance.

The statistic is a mean over the pairs of a pooled sample. Under equality the pooled rows are exchangeable, so that any
division of them into two groups of the same sizes is as likely as the observed one. With B random divisions and the
observed one counted among them,

    p = (1 + number of divisions whose statistic is at least the observed one) / (1 + B),

the test is exact: P(p <= a) <= a for every sample size (Phipson & Smyth 2010, "Permutation p-values should never be
zero"). The matrix of the N pooled rows is computed once for each kernel; B divisions are one product (B, N) x (N, N):
2 B N^2 operations, 16 N^2 bytes for the squared distances and one kernel's matrix, 24 B N for the divisions.

Aggregation (Schrab et al. 2023, "MMD Aggregated Two-Sample Test", JMLR) needs no held-out rows to choose a width: each
width has its own p-value, for the observed division and for each of the random ones, and the test's statistic is the
smallest of them. Its p-value compares the observed smallest p-value with those of the random divisions, so it is exact
too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import tensorflow as tf

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import check_count, check_seed
from mmdgan.core.signatures import takes
from mmdgan.core.types import TensorLike
from mmdgan.losses.kernels import BLOCK, KernelFunction
from mmdgan.mmd.estimators import (
    checked_rows,
    kernel_members,
    median_of,
    of_pairs,
    pooled_squares,
    sums_of,
)

WIDTHS = 10
MOST_ROWS = 30_000
"""Pooled rows whose distances take 7 GB, and a kernel's matrix as much."""
_TIE = 1e-10
"""Statistics that differ by less than this, relative to the largest entry, are equal up to rounding: ties count."""
_NORMAL_QUANTILE = 1.959963984540054  # of 95%, two-sided


@dataclasses.dataclass(frozen=True)
class TestResult:
    """The outcome of a permutation test.

    Attributes:
        statistic: The observed squared MMD; of an aggregated test that with the median width, whatever width decided.
        p_value: Probability of as extreme a division under equality; never 0.
        interval: 95% confidence interval of the population's squared MMD with the statistic's kernel, cut at 0.
        permutations: B, the number of random divisions.
        null: float64 (B,), the statistic of each division.
        sigma: Widths of the statistic's kernel; () for a kernel without widths.
        widths: Of an aggregated test the distances w at which the kernels were tried.
        p_values: The p-value of each of them alone, kernel by kernel, not corrected for their number.
    """

    __test__ = False  # pytest takes what is called Test... for tests

    statistic: float
    p_value: float
    interval: tuple[float, float]
    permutations: int
    null: np.ndarray = dataclasses.field(repr=False)
    sigma: tuple[float, ...] = ()
    widths: tuple[float, ...] = ()
    p_values: tuple[float, ...] = ()


@takes("alpha", "beta")
def two_sample_test(
    x: TensorLike,
    y: TensorLike,
    kernel: str | Sequence[str] = "gaussian",
    permutations: int = 999,
    *,
    sigma: Any = "aggregate",
    unbiased: bool = True,
    seed: int = 0,
    **options: Any,
) -> TestResult:
    """Tests whether two samples come from one distribution, with B random divisions that depend on the seed alone.

    Args:
        x: (M, d), independent rows.
        y: (N, d), independent rows; M + N is at most 30,000.
        kernel: "gaussian", "rational_quadratic", "laplace" or "energy" (``-|a - b|``; with ``unbiased=False`` the
            statistic is the energy distance). Several kernels are aggregated.
        permutations: B. The p-value is at least 1 / (1 + B).
        sigma: "aggregate": ten widths, from half the 5% quantile of the pooled distances to twice the 95% quantile;
            "median": their median (Gretton et al. 2012, section 8); or the width of the Gaussian or Laplace kernel as
            in `mmdgan.losses.mmd2`, one or several whose kernels are summed. Divisions change neither quantiles nor
            median.
        unbiased: Whether to leave out the pairs of a row with itself (at least 2 rows of each sample).
        seed: Seed of the divisions.
        **options: alpha and beta of the rational quadratic kernel.

    Raises:
        ConfigError: Shapes that do not fit, too many rows, values that are not finite, or numbers out of range.
    """
    x, y = checked_rows(x, y, least=2 if unbiased else 1)
    if len(x) + len(y) > MOST_ROWS:
        raise ConfigError(
            f"A permutation test of {len(x) + len(y):,} rows needs a matrix of as many rows; the most are "
            f"{MOST_ROWS:,}: take fewer rows, or mmdgan.mmd.estimate with its error."
        )
    kernels = (kernel,) if isinstance(kernel, str) else tuple(kernel)
    if not kernels:
        raise ConfigError("kernel is empty: give one or more, such as 'gaussian'.")
    squares = pooled_squares(np.concatenate([x, y]).astype(np.float64))
    divisions = _divisions(len(x), len(squares), permutations, seed)
    aggregate = isinstance(sigma, str) and sigma == "aggregate"
    shared = "rational_quadratic" in kernels  # whose options are not those of the others
    median = median_of(squares)
    grid = _widths(squares, median) if aggregate else ()

    def matrix_of(name: str, width: float) -> tuple[np.ndarray, tuple[float, ...]]:
        own = {} if shared and name != "rational_quadratic" else options
        members, widths = kernel_members(name, "median" if aggregate else sigma, own, lambda: width)
        return _matrix(squares, members), widths

    # The kernel of the statistic and of its interval comes first.
    matrix, widths = matrix_of(kernels[0], median)
    result = dataclasses.replace(_tested(matrix, len(x), divisions, unbiased), sigma=widths)
    if not aggregate and len(kernels) == 1 or kernels == ("energy",):
        return result
    found = []
    for name in kernels:
        for width in grid if name != "energy" and grid else (median,):
            del matrix  # so that two are never in memory
            matrix, _ = matrix_of(name, width)
            found.append(statistics(matrix, divisions, unbiased) / (_largest(matrix) or 1.0))
    p, alone = _aggregated(np.array(found))
    return dataclasses.replace(result, p_value=p, widths=grid, p_values=alone)


def permutation_test(
    matrix: np.ndarray, count: int, unbiased: bool = False, permutations: int = 999, seed: int = 0
) -> TestResult:
    """The test of a statistic ``mean K_xx + mean K_yy - 2 mean K_xy`` whose matrix is given.

    Args:
        matrix: (N, N) symmetric kernel values of the pooled rows, those of x first; negative distances make the energy
            distance.
        count: M, the number of rows of x.
        unbiased: Whether to leave the diagonal out of K_xx and K_yy (the U-statistic).
        permutations: B, random divisions.
        seed: Seed of the divisions.

    Raises:
        ConfigError: Another kind of matrix, or numbers out of range.
    """
    matrix = np.asarray(matrix, np.float64)
    size = len(matrix)
    if matrix.shape != (size, size) or not np.isfinite(matrix).all():
        raise ConfigError(f"A permutation test needs a square matrix of finite numbers, not {matrix.shape}.")
    least = 2 if unbiased else 1
    if not isinstance(count, Integral) or not least <= count <= size - least:
        raise ConfigError(f"Of {size} pooled rows {count!r} are x's; each sample needs at least {least}.")
    return _tested(matrix, int(count), _divisions(int(count), size, permutations, seed), unbiased)


def statistics(matrix: np.ndarray, divisions: np.ndarray, unbiased: bool) -> np.ndarray:
    """The statistic, float64 (B,), of each of several divisions of the same sizes.

    `divisions` is float64 (B, N), 1 for the rows of the first group and 0 for those of the second.
    """
    first = divisions.sum(axis=1)
    second = divisions.shape[1] - first
    rows = divisions @ matrix
    own = np.einsum("bn,bn->b", rows, divisions)  # the sum within the first group, diagonal included
    cross = rows.sum(axis=1) - own
    other = matrix.sum() - own - 2.0 * cross
    if not unbiased:
        return own / first**2 + other / second**2 - 2.0 * cross / (first * second)
    diagonal = divisions @ np.diagonal(matrix)
    own, other = own - diagonal, other - (np.trace(matrix) - diagonal)
    return own / (first * (first - 1)) + other / (second * (second - 1)) - 2.0 * cross / (first * second)


def p_value(observed: float, null: np.ndarray, scale: float = 1.0) -> float:
    """The share of divisions whose statistic is at least the observed one, the observed one among them.

    `scale` is that of the numbers that the statistics are means of: differences of a 10^-10 of it are rounding.
    """
    return float((1 + np.count_nonzero(null >= observed - _TIE * scale)) / (1 + len(null)))


def _tested(matrix: np.ndarray, count: int, divisions: np.ndarray, unbiased: bool) -> TestResult:
    observed, *rest = statistics(matrix, divisions, unbiased)
    null = np.array(rest)
    p = p_value(observed, null, _largest(matrix))
    return TestResult(float(observed), p, _interval(matrix, count), len(null), null)


def _interval(matrix: np.ndarray, count: int) -> tuple[float, float]:
    """The 95% interval of the squared MMD; of a sample of one row, of which nothing is known, without an end."""
    if min(count, len(matrix) - count) < 2:
        return 0.0, float("inf")
    x, y = slice(0, count), slice(count, len(matrix))

    def tiles() -> Iterator[tuple[str, slice, slice, np.ndarray]]:
        for pair, a, b in (("xx", x, x), ("yy", y, y), ("xy", x, y)):
            values = matrix[a, b].copy()
            if pair != "xy":
                np.fill_diagonal(values, 0.0)
            yield pair, slice(None), slice(None), values

    return sums_of(tiles(), count, len(matrix) - count).interval(_NORMAL_QUANTILE)


def _divisions(count: int, size: int, permutations: int, seed: int) -> np.ndarray:
    """The observed division and B random ones, as `statistics` takes them: float64 (B + 1, N)."""
    check_count("permutations", permutations)
    check_seed(seed)
    divisions = np.zeros((int(permutations) + 1, size))
    divisions[0, :count] = 1.0  # the observed one, computed in the same way as the others
    order = np.random.default_rng(seed).permuted(np.broadcast_to(np.arange(size), (permutations, size)), axis=1)
    np.put_along_axis(divisions[1:], order[:, :count], 1.0, axis=1)
    return divisions


def _widths(squares: np.ndarray, median: float) -> tuple[float, ...]:
    """Ten widths in equal ratios, from half the 5% quantile of the distances to twice the 95% quantile."""
    distances = np.sqrt(of_pairs(squares))
    distances[distances == 0] = median  # equal rows have no distance; as in the authors' code
    low, high = np.quantile(distances, (0.05, 0.95), overwrite_input=True)
    return tuple(np.geomspace(low / 2, high * 2, WIDTHS).tolist())


def _matrix(squares: np.ndarray, members: Sequence[KernelFunction]) -> np.ndarray:
    """Kernel values (N, N) of all pairs, computed block by block."""
    matrix, size = np.empty_like(squares), max(1, BLOCK // len(squares))
    for start in range(0, len(squares), size):
        rows = slice(start, start + size)
        matrix[rows] = tf.add_n([member(squares[rows]) for member in members])
    return matrix


def _largest(matrix: np.ndarray) -> float:
    """The largest absolute value."""
    return float(max(matrix.max(), -matrix.min()))


def _aggregated(found: np.ndarray) -> tuple[float, tuple[float, ...]]:
    """The p-value of the smallest p-value, and those of the single kernels.

    Args:
        found: Statistics (kernels, B + 1), relative to each kernel's largest value, the observed division first.

    Among equal smallest p-values, the statistic that is larger in its own standard deviations is the more extreme.
    """
    divisions = found.shape[1]
    ordered = np.sort(found, axis=1)
    # For each kernel and division the number of divisions, itself included, that are at least as extreme.
    ranks = divisions - np.array([np.searchsorted(o, f - _TIE) for o, f in zip(ordered, found, strict=True)])
    least = ranks.min(axis=0)
    spread = found.std(axis=1, keepdims=True)
    scores = ((found - found.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)).max(axis=0)
    extreme = (least < least[0]) | ((least == least[0]) & (scores >= scores[0] - _TIE))
    return float(np.count_nonzero(extreme) / divisions), tuple((ranks[:, 0] / divisions).tolist())
