"""Scores of generated images: from which features, by tensorflow-gan, and with the protocol of each.

Names load on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for checkers and editors; at run time names load on first use
    from mmdgan.metrics.evaluate import (
        append_jsonl as append_jsonl,
        evaluate_images as evaluate_images,
        evaluate_sets as evaluate_sets,
        format_table as format_table,
    )
    from mmdgan.metrics.features import resolve as resolve
    from mmdgan.metrics.image_sets import open_images as open_images
    from mmdgan.metrics.moments import Moments as Moments, read_moments as read_moments
    from mmdgan.metrics.neighbours import nearest_neighbours as nearest_neighbours, prdc as prdc
    from mmdgan.metrics.scores import (
        classifier_score as classifier_score,
        frechet_distance as frechet_distance,
        kernel_distance as kernel_distance,
    )
    from mmdgan.metrics.similarity import ms_ssim as ms_ssim
    from mmdgan.metrics.sliced import sliced_wasserstein as sliced_wasserstein

_HOMES = {
    "frechet_distance": "scores",
    "classifier_score": "scores",
    "kernel_distance": "scores",
    "prdc": "neighbours",
    "nearest_neighbours": "neighbours",
    "ms_ssim": "similarity",
    "sliced_wasserstein": "sliced",
    "Moments": "moments",
    "read_moments": "moments",
    "resolve": "features",
    "open_images": "image_sets",
    "evaluate_images": "evaluate",
    "evaluate_sets": "evaluate",
    "format_table": "evaluate",
    "append_jsonl": "evaluate",
}

METRICS = ("fid", "is", "kid", "prdc", "ms_ssim", "swd", "intra_fid", "nn")
"""Identifiers of the scores; without imports, so that a command line can be checked at once."""

__all__ = ["METRICS", *_HOMES]


def __getattr__(name: str) -> Any:
    """Finds a public name in its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
