"""Do two samples come from one distribution? The energy distance and the MMD as permutation tests, in NumPy.

    result = energy_test(x, y, permutations=999, seed=0)        # result.statistic, result.p_value
    result = mmd_test(x, y, sigma="median", unbiased=True)

Both statistics are means over the pairs of a pooled sample, of distances or of kernel values. Under equality the pooled
rows are exchangeable, so that any division of them into two groups of the same sizes is as likely as the one that was
observed. With B random divisions and the observed one counted among them,

    p = (1 + number of divisions whose statistic is at least the observed one) / (1 + B),

the test is exact: P(p <= a) <= a for every sample size (Phipson & Smyth 2010, "Permutation p-values should never be
zero"). Sources: Szekely & Rizzo 2004, "Testing for equal distributions in high dimension"; Gretton et al. 2012, "A
kernel two-sample test", JMLR, Eq. 3 (unbiased) and 5 (biased).

The matrix of the N pooled rows is computed once; B divisions are one product (B, N) x (N, N): 2 B N^2 operations, 8 N^2
bytes for the matrix, 16 B N for the divisions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import check_seed

_TIE = 1e-10
"""Statistics that differ by less than this, relative to the largest entry, are equal up to rounding: ties count."""


@dataclasses.dataclass(frozen=True)
class TestResult:
    """The outcome of a permutation test.

    Attributes:
        statistic: The observed value.
        p_value: See the module; never 0.
        permutations: B, the number of random divisions.
        null: float64 (B,), the statistic of each division.
        sigma: Widths of a Gaussian kernel; () for other statistics.
    """

    __test__ = False  # pytest takes what is called Test... for tests

    statistic: float
    p_value: float
    permutations: int
    null: np.ndarray
    sigma: tuple[float, ...] = ()


def energy_distance(x: np.ndarray, y: np.ndarray) -> float:
    """The energy distance ``2 E|x - y| - E|x - x'| - E|y - y'|`` of x (M, d) and y (N, d), the V-statistic.

    It is 0 only for equal samples. In one dimension it is the square of `scipy.stats.energy_distance`.
    """
    x, y = _checked(x, y)
    return _statistic(-distances(np.concatenate([x, y])), len(x), unbiased=False)


def mmd2(x: np.ndarray, y: np.ndarray, sigma: float | Sequence[float] | str = "median", unbiased: bool = True) -> float:
    """Squared MMD of two samples with a Gaussian kernel; arguments as `mmd_test`."""
    x, y = _checked(x, y, least=2 if unbiased else 1)
    matrix, _ = _gaussian_matrix(np.concatenate([x, y]), sigma)
    return _statistic(matrix, len(x), unbiased)


def energy_test(x: np.ndarray, y: np.ndarray, permutations: int = 999, seed: int = 0) -> TestResult:
    """The permutation test of the energy distance, with B random divisions that depend on the seed alone.

    Raises:
        ConfigError: Shapes that do not fit, values that are not finite, or numbers out of range.
    """
    x, y = _checked(x, y)
    return permutation_test(-distances(np.concatenate([x, y])), len(x), False, permutations, seed)


def mmd_test(
    x: np.ndarray,
    y: np.ndarray,
    sigma: float | Sequence[float] | str = "median",
    unbiased: bool = True,
    permutations: int = 999,
    seed: int = 0,
) -> TestResult:
    """The permutation test of the squared MMD with a Gaussian kernel ``exp(-|a - b|^2 / (2 sigma^2))``.

    Args:
        x: (M, d).
        y: (N, d).
        sigma: One width, several (their kernels are summed), or "median": the median distance between pooled rows,
            which a division does not change (Gretton et al. 2012, section 8).
        unbiased: Whether to leave out the pairs of a row with itself (at least 2 rows of each sample).
        permutations: B, random divisions.
        seed: Seed of the divisions.

    Raises:
        ConfigError: As `energy_test`; or a width that is not positive.
    """
    x, y = _checked(x, y, least=2 if unbiased else 1)
    matrix, widths = _gaussian_matrix(np.concatenate([x, y]), sigma)
    return dataclasses.replace(permutation_test(matrix, len(x), unbiased, permutations, seed), sigma=widths)


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
        raise ConfigError(f"a permutation test needs a square matrix of finite numbers, not {matrix.shape}.")
    least = 2 if unbiased else 1
    if not isinstance(count, Integral) or not least <= count <= size - least:
        raise ConfigError(f"of {size} pooled rows {count!r} are x's; each sample needs at least {least}.")
    if isinstance(permutations, bool) or not isinstance(permutations, Integral) or permutations < 1:
        raise ConfigError(f"permutations is {permutations!r}; give a whole number of at least 1.")
    check_seed(seed)
    rng = np.random.default_rng(seed)
    divisions = np.zeros((permutations + 1, size))
    divisions[0, :count] = 1.0  # the observed one, computed in the same way as the others
    order = rng.permuted(np.broadcast_to(np.arange(size), (permutations, size)), axis=1)
    np.put_along_axis(divisions[1:], order[:, :count], 1.0, axis=1)
    observed, *null = statistics(matrix, divisions, unbiased)
    null = np.array(null)
    return TestResult(float(observed), p_value(observed, null, np.abs(matrix).max()), permutations, null)


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


def distances(rows: np.ndarray) -> np.ndarray:
    """Euclidean distances between the rows of (N, d): float64 (N, N), exactly 0 on the diagonal."""
    rows = np.asarray(rows, np.float64)
    squares = np.zeros((len(rows), len(rows)))
    for column in rows.T:  # differences, not products: near rows keep their digits
        squares += np.square(column[:, None] - column[None, :])
    return np.sqrt(squares)


def median_distance(rows: np.ndarray) -> float:
    """The median distance between two different rows of (N, d): the "median heuristic" for a kernel's width."""
    found = distances(rows)[np.triu_indices(len(rows), k=1)]
    return float(np.median(found))


def _statistic(matrix: np.ndarray, count: int, unbiased: bool) -> float:
    division = np.zeros((1, len(matrix)))
    division[0, :count] = 1.0
    return float(statistics(matrix, division, unbiased)[0])


def _gaussian_matrix(rows: np.ndarray, sigma: Any) -> tuple[np.ndarray, tuple[float, ...]]:
    """Gaussian kernel values of the pooled rows, summed over the widths, and the widths."""
    found = distances(rows)
    if sigma == "median":
        sigma = float(np.median(found[np.triu_indices(len(rows), k=1)])) or 1.0  # all rows equal: any width will do
    widths: tuple[Any, ...] = (
        (sigma,) if isinstance(sigma, Real) else tuple(sigma) if not isinstance(sigma, str) else ()
    )
    if not widths or not all(isinstance(w, Real) and 0 < float(w) < math.inf for w in widths):
        raise ConfigError(f"sigma is {sigma!r}; give one or more positive numbers, or 'median'.")
    matrix: Any = sum(np.exp(-np.square(found) / (2.0 * w**2)) for w in widths)
    return matrix, tuple(float(w) for w in widths)


def _checked(x: np.ndarray, y: np.ndarray, least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Both samples as float64 (M, d), (N, d)."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ConfigError(f"two samples are compared row by row: give (M, d) and (N, d), not {x.shape} and {y.shape}.")
    for name, rows in (("x", x), ("y", y)):
        if len(rows) < least:
            raise ConfigError(f"this test needs {least} rows or more, but {name} has {len(rows)}.")
        if not np.isfinite(rows).all():
            raise ConfigError(f"{name} has values that are not finite: leave such rows out, and say so.")
    return x, y
