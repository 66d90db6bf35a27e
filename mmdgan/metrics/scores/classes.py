"""How a classifier sees the generated images: the shares of the classes, and whether the asked class is found.

Both come with the features of a classifier, unasked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmdgan.core.lazy import np
from mmdgan.metrics.context import Context, Side, pair_classes
from mmdgan.metrics.intervals import of_share
from mmdgan.metrics.records import make_record
from mmdgan.metrics.registry import HIGHER, Metric, Score, register


@register
class ClassShares(Metric):
    """The share of the rarest class, which shows a collapse."""

    identifier = "classes"
    scores = (Score("classes[{}]", HIGHER, words="share of the rarest class among the generated images"),)
    place = 101
    implied = True

    def compute(self, context: Context) -> Iterator[dict]:
        if not _has_classes(context):
            return
        names, generated, real = context.extractor.class_names, context.generated, context.real
        shares = _shares(generated, len(names))
        rarest = int(shares.argmin())
        note = f"share of the rarest class, {names[rarest]}"
        details: dict[str, Any] = {}
        if isinstance(real, Side):
            shares_real = _shares(real, len(names))
            if context.label != "classifier" and not shares_real.all():
                return  # the images do not have the classes of this other data set
            note += f" ({shares_real[rarest]:.1%} of the real images)"
            details = {"shares_real": dict(zip(names, shares_real.tolist(), strict=True))}
        yield make_record(
            self.scores[0].of(context.label),
            float(shares[rarest]),
            generated.count,
            real.count if isinstance(real, Side) else None,
            interval=of_share(float(shares[rarest]), generated.count),
            note=note,
            shares=dict(zip(names, shares.tolist(), strict=True)),
            **details,
        )


@register
class AskedClass(Metric):
    """The share of the images in which the classifier finds the class that the generator was asked for."""

    identifier = "asked_class"
    scores = (Score("asked class[{}]", HIGHER, words="share of images that show the class that was asked for"),)
    place = 102
    implied = True

    def compute(self, context: Context) -> Iterator[dict]:
        asked = context.generated.images.labels
        # A classifier of another data set has other classes.
        if asked is None or context.label != "classifier" or not _has_classes(context):
            return
        names = context.extractor.class_names
        asked, _ = pair_classes(asked, context.generated.images.class_names, names)
        if (asked < 0).any() or (asked >= len(names)).any():
            note = "some images were asked for classes that the classifier does not know"
            yield make_record(self.scores[0].of(context.label), None, len(asked), note=note)
            return
        found = context.generated.logits.argmax(axis=1) == asked
        shares = {name: float(found[asked == i].mean()) for i, name in enumerate(names) if i in asked}
        worst = min(shares, key=lambda name: shares[name])
        yield make_record(
            self.scores[0].of(context.label),
            float(found.mean()),
            len(found),
            interval=of_share(float(found.mean()), len(found)),
            note=f"share of images in which the asked class is found; least for {worst} ({shares[worst]:.1%})",
            shares=shares,
        )


def _has_classes(context: Context) -> bool:
    return hasattr(context.extractor, "class_names") and context.generated.logits.shape[1] > 0


def _shares(side: Side, classes: int) -> np.ndarray:
    """The share of each class in what the classifier finds, (classes,)."""
    return np.bincount(side.logits.argmax(axis=1), minlength=classes) / side.count
