"""Stored statistics as the real side of a comparison: what they must say, and what they may leave open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdgan.core.errors import MetricError

if TYPE_CHECKING:
    import numpy as np

    from mmdgan.metrics.features.resolve import Extractor
    from mmdgan.metrics.moments import Moments


def check_metric_of_statistics(metric: str) -> None:
    """Raises a MetricError for a metric that needs images on both sides."""
    if metric != "fid":
        raise MetricError(
            f"Stored statistics hold a mean and a covariance, of which fid can be computed and {metric} cannot: give "
            "--metrics=fid, or a folder or data set as the reference."
        )


def check_statistics(moments: Moments, extractor: Extractor) -> None:
    """Raises a MetricError where statistics are of other features than those that are to be compared with them."""
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
            f"({moments.feature_hash} there, {_identity(extractor)} here): make them anew with --save_statistics."
        )


def statistics_of(features: np.ndarray, extractor: Extractor, about: str) -> Moments:
    """The moments of features (N, F), with what a later comparison must know of them.

    Args:
        features: float32 (N, F), maybe memory-mapped.
        extractor: what computed them.
        about: of which images they are.
    """
    from mmdgan.metrics.moments import Moments

    return Moments.of(features, label=extractor.label, feature_hash=_identity(extractor), about=about)


def _identity(extractor: Extractor) -> str:
    """The network and the way it gets the images, on both of which features depend."""
    protocol = extractor.protocol()
    return f"{protocol['feature_hash']}, resize: {protocol['resize']}"


def unknown_of_statistics(moments: Moments) -> list[str]:
    """What the statistics do not say and nobody could check, as sentences for a record's note."""
    missing = ["of which features"] * (not moments.features) + ["of which network"] * (not moments.feature_hash)
    missing += ["of how many images"] * (not moments.count)
    return [f"the statistics do not say {', '.join(missing)} they are"] if missing else []
