"""Scores of generated images: from which features, by tensorflow-gan, and with the protocol of each.

Names load on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib

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


def __getattr__(name: str):
    """Finds a public name in its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
