"""Do two samples come from one distribution? Permutation tests of the MMD and of the energy distance.

The statistic is a mean over the pairs of a pooled sample. Under equality the pooled rows are exchangeable, so that any
division of them into two groups of the same sizes is as likely as the observed one. With B random divisions and the
observed one counted among them,

    p = (1 + number of divisions whose statistic is at least the observed one) / (1 + B),

the test is exact: P(p <= a) <= a for every sample size (Phipson & Smyth 2010, "Permutation p-values should never be
zero"). The matrix of the N pooled rows is computed once for each kernel; B divisions are one product (B, N) x (N, N):
2 B N^2 operations, 8 N^2 bytes for the matrix, 16 B N for the divisions.

Aggregation (Schrab et al. 2023, "MMD Aggregated Two-Sample Test", JMLR) needs no held-out rows to choose a width: each
width has its own p-value, for the observed division and for each of the random ones, and the test's statistic is the
smallest of them. Its p-value compares the observed smallest p-value with those of the random divisions, so it is exact
too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import tensorflow as tf

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import check_count, check_seed
from mmdgan.core.signatures import takes
from mmdgan.core.types import TensorLike
from mmdgan.losses.kernels import KernelFunction
from mmdgan.mmd.estimators import (
    checked_rows,
    kernel_members,
    median_of,
    pooled_squares,
    sums_of,
)

WIDTHS = 10
MOST_ROWS = 30_000
"""Pooled rows whose matrix takes 7 GB."""
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
            "median": their median (Gretton et al. 2012, section 8); or the kernel's width as in `mmdgan.losses.mmd2`,
            one or several whose kernels are summed. Divisions change neither quantiles nor median.
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
    squares = pooled_squares(np.concatenate([x, y]).astype(np.float64))
    divisions = _divisions(len(x), len(squares), permutations, seed)
    # The kernel of the statistic and of its interval comes first.
    chosen = "median" if sigma == "aggregate" else sigma
    shared = "rational_quadratic" in kernels  # whose options are not those of the others
    of_kernel = {name: {} if shared and name != "rational_quadratic" else options for name in kernels}
    members, widths = kernel_members(kernels[0], chosen, of_kernel[kernels[0]], lambda: median_of(squares))
    reference = _matrix(squares, members)
    result = dataclasses.replace(_tested(reference, len(x), divisions, unbiased), sigma=widths)
    if sigma != "aggregate" and len(kernels) == 1 or kernels == ("energy",):
        return result
    grid = _widths(squares) if sigma == "aggregate" else ()
    found = []
    for name in kernels:
        for width in grid if name != "energy" and grid else (median_of(squares),):
            members, _ = kernel_members(name, chosen, of_kernel[name], partial(float, width))
            matrix = _matrix(squares, members)
            found.append(statistics(matrix, divisions, unbiased) / np.abs(matrix).max())
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
    p = p_value(observed, null, np.abs(matrix).max())
    return TestResult(float(observed), p, _interval(matrix, count), len(null), null)


def _interval(matrix: np.ndarray, count: int) -> tuple[float, float]:
    """The 95% interval of the squared MMD; of a sample of one row, of which nothing is known, without an end."""
    if min(count, len(matrix) - count) < 2:
        return 0.0, float("inf")
    x, y = slice(0, count), slice(count, len(matrix))
    without = matrix - np.diag(np.diagonal(matrix))
    tiles = [
        (pair, slice(None), slice(None), without[a, b]) for pair, a, b in (("xx", x, x), ("yy", y, y), ("xy", x, y))
    ]
    return sums_of(iter(tiles), count, len(matrix) - count).interval(_NORMAL_QUANTILE)


def _divisions(count: int, size: int, permutations: int, seed: int) -> np.ndarray:
    """The observed division and B random ones, as `statistics` takes them: float64 (B + 1, N)."""
    check_count("permutations", permutations)
    check_seed(seed)
    divisions = np.zeros((int(permutations) + 1, size))
    divisions[0, :count] = 1.0  # the observed one, computed in the same way as the others
    order = np.random.default_rng(seed).permuted(np.broadcast_to(np.arange(size), (permutations, size)), axis=1)
    np.put_along_axis(divisions[1:], order[:, :count], 1.0, axis=1)
    return divisions


def _widths(squares: tf.Tensor) -> tuple[float, ...]:
    """Ten widths in equal ratios, from half the 5% quantile of the distances to twice the 95% quantile."""
    distances = np.sqrt(squares.numpy()[np.triu_indices(len(squares), k=1)])
    # Equal rows have no distance: the median takes the place of 0, as in the authors' code.
    distances = np.where(distances > 0, distances, median_of(squares))
    low, high = np.quantile(distances, (0.05, 0.95))
    return tuple(np.geomspace(low / 2, high * 2, WIDTHS).tolist())


def _matrix(squares: tf.Tensor, members: Sequence[KernelFunction]) -> np.ndarray:
    return tf.add_n([member(squares) for member in members]).numpy()


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
