"""Scores of generated images, each with the protocol by which it was computed.

    records = mmdgan.metrics.evaluate_images(generated, real, extractor, ("fid", "kid"), seed=0, step=None)
    print(mmdgan.metrics.format_table(records))

Importing this package loads neither NumPy nor TensorFlow; the functions load what they need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdgan.core import lazy
from mmdgan.metrics import scores as scores  # whose modules register the metrics
from mmdgan.metrics.registry import identifiers

if TYPE_CHECKING:  # for checkers and editors; at run time names load on first use
    from mmdgan.core.files import append_jsonl as append_jsonl
    from mmdgan.metrics.comparison import Scores as Scores, open_images as open_images, score as score
    from mmdgan.metrics.evaluate import evaluate_images as evaluate_images, evaluate_sets as evaluate_sets
    from mmdgan.metrics.features.resolve import resolve as resolve
    from mmdgan.metrics.moments import Moments as Moments, read_moments as read_moments
    from mmdgan.metrics.neighbours import nearest_neighbours as nearest_neighbours
    from mmdgan.metrics.records import format_table as format_table
    from mmdgan.metrics.scores.fid import frechet_distance as frechet_distance
    from mmdgan.metrics.scores.fid_infinity import frechet_infinity as frechet_infinity
    from mmdgan.metrics.scores.inception_score import classifier_score as classifier_score
    from mmdgan.metrics.scores.kid import kernel_distance as kernel_distance
    from mmdgan.metrics.scores.mind import monge_distance as monge_distance
    from mmdgan.metrics.scores.ms_ssim import ms_ssim as ms_ssim
    from mmdgan.metrics.scores.prdc import prdc as prdc
    from mmdgan.metrics.scores.swd import sliced_wasserstein as sliced_wasserstein

METRICS = identifiers()
"""Identifiers of the metrics, in the order of their records."""

__getattr__, __dir__, __all__ = lazy.attach(__name__)
__all__ += ["METRICS"]
