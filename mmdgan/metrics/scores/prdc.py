"""Precision, recall, density and coverage of features: how good the generated images are, and how diverse.

Sources: Kynkäänniemi et al. 2019 (precision and recall), Naeem et al. 2020 (density and coverage).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mmdgan.core.errors import MetricError
from mmdgan.core.lazy import np
from mmdgan.metrics.context import Context, Facts
from mmdgan.metrics.neighbours import nearest_squares, tiles, within
from mmdgan.metrics.records import make_record
from mmdgan.metrics.registry import HIGHER, Metric, Score, register


@register
class PrecisionRecall(Metric):
    """Precision and density (fidelity), recall and coverage (diversity) of the generated images."""

    identifier = "prdc"
    scores = tuple(
        Score(f"{name}[{{}}]", HIGHER, judge=name) for name in ("precision", "recall", "density", "coverage")
    )
    place = 4
    slow = True

    def check(self, facts: Facts) -> None:
        if min(facts.count, facts.count_real) <= facts.options.k:
            raise MetricError(
                f"Precision and recall with k = {facts.options.k} need more than that many images on each side and "
                f"have {min(facts.count, facts.count_real)}: give more images, or a smaller --k."
            )

    def compute(self, context: Context) -> Iterator[dict]:
        generated, real, k = context.generated, context.real_side, context.options.k
        values = prdc(real.features, generated.features, k=k)
        for score, value in zip(self.scores, values, strict=True):
            yield make_record(score.of(context.label), value, generated.count, real.count, k=k)


class PRDC(NamedTuple):
    """Fidelity (precision, density) and diversity (recall, coverage) of generated samples.

    Attributes:
        precision: Share of generated samples within the k-neighbour ball of any real one.
        recall: Share of real samples within the k-neighbour ball of any generated one.
        density: How many real balls a generated sample lies in, over k; about 1 for equal distributions, may exceed it.
        coverage: Share of real samples whose own ball holds a generated one.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(a: np.ndarray, b: np.ndarray, k: int = 5) -> PRDC:
    """Precision, recall, density and coverage, as Naeem et al.'s compute_prdc.

    The ball of a sample reaches to its k-th neighbour in its own set, without the border.

    Args:
        a: Real features (N, F), memory-mapped or not.
        b: Generated features (M, F).
        k: The neighbour that gives the radius; 5 as in the paper.

    Raises:
        MetricError: The sets do not fit together, or hold k samples or fewer.
    """
    a, b = np.asanyarray(a), np.asanyarray(b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise MetricError(f"Two feature sets (N, F) and (M, F) are needed, not {a.shape} and {b.shape}.")
    if not 1 <= k < min(len(a), len(b)):
        raise MetricError(
            f"Balls to the neighbour k = {k} need k >= 1 and more than k images on each side, not {len(a)} and "
            f"{len(b)}: give more images or a smaller k."
        )
    radii_a, radii_b = (nearest_squares(x, [x], k, np.arange(len(x)))[0][:, -1] for x in (a, b))
    in_real = np.zeros(len(b), np.int64)  # the number of real balls that each generated sample lies in
    in_generated, covered = np.zeros(len(a), bool), np.zeros(len(a), bool)
    for rows, x, columns, y in tiles(a, b):
        within_a, within_b = within(x, y, radii_a[rows, None], radii_b[None, columns])
        in_real[columns] += within_a.sum(axis=0)
        covered[rows] |= within_a.any(axis=1)
        in_generated[rows] |= within_b.any(axis=1)
    return PRDC(
        precision=float(np.mean(in_real > 0)),
        recall=float(np.mean(in_generated)),
        density=float(np.mean(in_real) / k),
        coverage=float(np.mean(covered)),
    )
