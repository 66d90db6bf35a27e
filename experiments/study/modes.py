"""How much of a mixture of Gaussians is generated: modes covered, high-quality fraction, balance of the modes.

The protocol of the ring and grid experiments:

* a sample is of *high quality* if it lies within three standard deviations of its nearest mode, and a mode is
  *covered* if at least one high-quality sample is nearest to it (Srivastava et al. 2017, "VEEGAN", section 4.1);
* the *reverse Kullback-Leibler divergence* holds the shares of the modes, each sample counted for the mode that it
  is nearest to, against the probabilities of the mixture (Lin et al. 2018, "PacGAN", section 4.1).

Distances are in standard deviations (Mahalanobis distances), which for round modes of one size means the nearest in the
plane, too. Of the mixture's own samples in two dimensions 1 - exp(-4.5) = 98.9% are of high quality.
"""

from __future__ import annotations

import dataclasses
import math
from numbers import Real

import numpy as np

from mmdgan.core.errors import ConfigError
from mmdgan.data.synthetic import GaussianMixture


@dataclasses.dataclass(frozen=True)
class ModeReport:
    """What a sample covers of a mixture of K Gaussians.

    Attributes:
        covered: Number of modes with enough high-quality samples.
        total: K.
        high_quality: Fraction of the samples that are of high quality.
        shares: float64 (K,), the fraction of all samples that is nearest to each mode.
        kl: Divergence of the shares from the mixture's probabilities, sum of s log(s / p), in nats.
    """

    covered: int
    total: int
    high_quality: float
    shares: np.ndarray
    kl: float


def mode_report(samples: np.ndarray, mixture: GaussianMixture, within: float = 3.0, least: float = 0.0) -> ModeReport:
    """Counts the samples of each mode of a mixture.

    Args:
        samples: (N, d); one that is not finite is of no mode, and of low quality.
        mixture: A mixture of `mmdgan.data.synthetic`.
        within: How many standard deviations from its mode a high-quality sample may lie.
        least: Share of all samples that a mode needs to count as covered; by default one sample suffices.

    Raises:
        ConfigError: A distribution without modes, samples of another shape, or numbers out of range.
    """
    if not isinstance(mixture, GaussianMixture):
        raise ConfigError("modes are counted of mixtures of Gaussians, such as 'ring' or 'grid': choose one of these.")
    samples = np.asarray(samples, np.float64)
    count, dimension = mixture.modes.shape
    if samples.ndim != 2 or samples.shape[1] != dimension or not len(samples):
        raise ConfigError(f"samples have the shape {samples.shape}; this mixture's have (N, {dimension}), N >= 1.")
    if not isinstance(within, Real) or not 0 < within < math.inf:
        raise ConfigError(f"within is {within!r}; give a positive number of standard deviations.")
    if not isinstance(least, Real) or not 0 <= least <= 1:
        raise ConfigError(f"least is {least!r}; give a share from 0 to 1.")
    finite = samples[np.isfinite(samples).all(axis=1)]
    deviations = _deviations(finite, mixture)
    nearest = deviations.argmin(axis=1)
    good = deviations[np.arange(len(finite)), nearest] <= within
    good_counts = np.bincount(nearest[good], minlength=count)
    counts = np.bincount(nearest, minlength=count)
    needed = max(1.0, least * len(samples))
    return ModeReport(
        covered=int(np.count_nonzero(good_counts >= needed)),
        total=count,
        high_quality=float(good.sum() / len(samples)),
        shares=counts / len(samples),
        kl=_divergence(counts / max(len(finite), 1), mixture.probs),
    )


def _deviations(points: np.ndarray, mixture: GaussianMixture) -> np.ndarray:
    """Mahalanobis distances of points (N, d) from each mode: (N, K)."""
    deviations = np.empty((len(points), len(mixture.modes)))
    for k, (mode, covariance) in enumerate(zip(mixture.modes, mixture.covariances, strict=True)):
        scaled = np.linalg.solve(np.linalg.cholesky(covariance), (points - mode).T)
        deviations[:, k] = np.sqrt(np.square(scaled).sum(axis=0))
    return deviations


def _divergence(shares: np.ndarray, probs: np.ndarray) -> float:
    """Kullback-Leibler divergence of shares (K,) from probabilities (K,); NaN if no sample is of any mode."""
    if not shares.any():
        return math.nan
    some = shares > 0
    with np.errstate(divide="ignore"):  # a mode of probability 0 that is generated: infinity
        return float(np.sum(shares[some] * np.log(shares[some] / probs[some])))
