"""Mean and covariance of image features, which is all that a Fréchet distance needs of a set of images.

Stored, they take the place of a data set as the real side of a comparison; files of pytorch-fid (`mu`, `sigma`) and of
the original (`mean`, `cov`) are read too.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmdgan.core.errors import MetricError
from mmdgan.core.files import atomic
from mmdgan.core.lazy import np
from mmdgan.metrics.features.cache import release

if TYPE_CHECKING:
    from mmdgan.metrics.features.extractor import Extractor

BLOCK_ROWS = 1024
KEYS = (("mu", "sigma"), ("mean", "cov"))


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and covariance of a set of features.

    Attributes:
        mean: float64 (F,).
        cov: float64 (F, F), divided by N - 1.
        count: Number of samples N; 0 where it is unknown.
        features: Label of the features ("inception", "classifier", ...), or "".
        feature_hash: Hash of the network that computes them, or "".
        about: Which images they describe, in words, or "".

    Raises:
        MetricError: The arrays are not moments.
    """

    mean: np.ndarray
    cov: np.ndarray
    count: int
    features: str = ""
    feature_hash: str = ""
    about: str = ""

    def __post_init__(self) -> None:
        if self.mean.ndim != 1 or self.cov.shape != (len(self.mean), len(self.mean)):
            raise MetricError(
                f"Moments are a mean (F,) and a covariance (F, F), not {self.mean.shape} and {self.cov.shape}."
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.cov).all()):
            raise MetricError("Moments must be finite: there are infinities or NaN among the features.")
        if not np.allclose(self.cov, self.cov.T, rtol=1e-5, atol=1e-5 * np.abs(self.cov).max(initial=0)):
            raise MetricError("A covariance is symmetric, and this one is not: give moments of one set of features.")

    @classmethod
    def of(cls, features: np.ndarray, *, label: str = "", feature_hash: str = "", about: str = "") -> Moments:
        """Moments of features, in float64 and two passes over blocks: the mean first, then the centred products.

        Args:
            features: (N, F) with N >= 2, of any float type, memory-mapped or not; never copied whole.
            label, feature_hash, about: For the attributes features, feature_hash and about.

        Raises:
            MetricError: The array has another form, or values that are not finite.
        """
        if features.ndim != 2 or len(features) < 2:
            raise MetricError(f"Moments need features (N, F) of at least two images, not {features.shape}.")
        count, size = features.shape
        blocks = range(0, count, BLOCK_ROWS)
        total = np.zeros(size)
        for start in blocks:
            total += features[start : start + BLOCK_ROWS].sum(axis=0, dtype=np.float64)
            release(features)
        mean = total / count
        cov = np.zeros((size, size))
        for start in blocks:
            centred = features[start : start + BLOCK_ROWS] - mean
            cov += centred.T @ centred
            release(features)
        cov /= count - 1
        return cls(mean, cov, count, label, feature_hash, about)

    def save(self, path: str | Path) -> None:
        """Writes an .npz with keys mu and sigma, as pytorch-fid's, and count, features, feature_hash, about."""
        with atomic(path) as partial, open(partial, "wb") as file:
            np.savez(
                file,
                mu=self.mean,
                sigma=self.cov,
                count=self.count,
                features=self.features,
                feature_hash=self.feature_hash,
                about=self.about,
            )


def read_moments(path: str | Path) -> Moments:
    """Reads an .npz file of moments: ours, pytorch-fid's (mu, sigma) or the original's (mean, cov).

    What it does not say stays empty; an unknown count is 0.

    Raises:
        MetricError: There is no such file, or it does not hold moments.
    """
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise MetricError(f"{path} is a single array; moments are an .npz with mu and sigma, or mean and cov.")
        with archive:
            return _from_archive(archive, path)
    except FileNotFoundError:
        raise MetricError(f"There is no file {path} of stored moments.") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise MetricError(f"{path} cannot be read as stored moments (an .npz file): {error}.") from error


def statistics_of(features: np.ndarray, extractor: Extractor, about: str) -> Moments:
    """The moments of features (N, F), with what a later comparison must know of them and of their extractor."""
    return Moments.of(features, label=extractor.label, feature_hash=_identity(extractor), about=about)


def check_statistics(moments: Moments, extractor: Extractor) -> None:
    """Raises a MetricError if statistics are of other features than those of the extractor."""
    size = len(moments.mean)
    if size != extractor.feature_count:
        raise MetricError(
            f"The stored statistics are of {size:,} features, and the {extractor.label} has "
            f"{extractor.feature_count:,}: choose the features that they were made with by --features."
        )
    if moments.features and moments.features != extractor.label:
        raise MetricError(
            f"The stored statistics are of {moments.features} features, not of {extractor.label}: choose these by "
            "--features and --classifier_data."
        )
    if moments.feature_hash and moments.feature_hash != _identity(extractor):
        raise MetricError(
            f"The stored statistics are of {extractor.label} features by another network or another way to resize "
            f"({moments.feature_hash} there, {_identity(extractor)} here): make them again with --save_statistics."
        )


def unknown_of_statistics(moments: Moments) -> list[str]:
    """What the statistics do not say, so that it could not be checked, for the note of a record."""
    missing = ["of which features"] * (not moments.features) + ["of which network"] * (not moments.feature_hash)
    missing += ["of how many images"] * (not moments.count)
    return [f"the statistics do not say {', '.join(missing)} they are"] if missing else []


def _identity(extractor: Extractor) -> str:
    """What features depend on: the network and how its images are resized."""
    protocol = extractor.protocol()
    return f"{protocol['feature_hash']}, resize: {protocol['resize']}"


def _from_archive(archive: np.lib.npyio.NpzFile, path: str | Path) -> Moments:
    keys = next((keys for keys in KEYS if set(keys) <= set(archive.files)), None)
    if keys is None:
        raise MetricError(
            f"{path} holds {', '.join(archive.files) or 'nothing'}; stored moments have mu and sigma, or mean and cov."
        )
    mean, cov = (archive[key].astype(np.float64) for key in keys)
    words = {key: str(archive[key]) for key in ("features", "feature_hash", "about") if key in archive}
    try:
        return Moments(mean.squeeze(), cov, int(archive["count"]) if "count" in archive else 0, **words)
    except MetricError as error:
        raise MetricError(f"{path}: {error}") from None
