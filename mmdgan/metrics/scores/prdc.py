"""Precision, recall, density and coverage of features: how good the generated images are, and how diverse.

Sources: Kynkäänniemi et al. 2019 (precision and recall), Naeem et al. 2020 (density and coverage).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from mmdgan.core.errors import MetricError
from mmdgan.core.lazy import np
from mmdgan.metrics.context import Context, Facts
from mmdgan.metrics.intervals import around, of_share
from mmdgan.metrics.neighbours import mean_of, own_squares, tiles, within
from mmdgan.metrics.records import make_record
from mmdgan.metrics.registry import HIGHER, Metric, Score, register


@register
class PrecisionRecall(Metric):
    """Precision and density (fidelity), recall and coverage (diversity) of the generated images."""

    identifier = "prdc"
    scores = tuple(
        Score(f"{name}[{{}}]", HIGHER, judge=name, words=words)
        for name, words in (
            ("precision", "share of generated images near to real ones"),
            ("recall", "share of real images near to generated ones"),
            ("density", "how many real neighbourhoods a generated image lies in, on average, relative to k"),
            ("coverage", "share of real images with a generated one in their neighbourhood"),
        )
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
        values, errors = prdc_errors(real.features, generated.features, k=k)
        for score, value, error in zip(self.scores, values, errors, strict=True):
            most = math.inf if score.judge == "density" else 1.0
            interval = around(value, error, "infinitesimal jackknife over images, radii fixed", least=0.0, most=most)
            if error == 0 and score.judge != "density":  # none or all of the images
                interval = of_share(value, real.count if score.judge in ("recall", "coverage") else generated.count)
            yield make_record(score.of(context.label), value, generated.count, real.count, interval=interval, k=k)


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
    return prdc_errors(a, b, k)[0]


def prdc_errors(a: np.ndarray, b: np.ndarray, k: int = 5) -> tuple[PRDC, PRDC]:
    """Precision, recall, density and coverage, and their standard errors; arguments and errors as for `prdc`.

    Each score is a mean over samples of one set, of what balls of one set say of them. The error has a part from the
    scatter of that mean, and a part from the balls or samples of the other set: by how much the score would change
    without each of them, with the others' radii as they are.
    """
    a, b = np.asanyarray(a), np.asanyarray(b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise MetricError(f"Two feature sets (N, F) and (M, F) are needed, not {a.shape} and {b.shape}.")
    if not 1 <= k < min(len(a), len(b)):
        raise MetricError(
            f"Balls to the neighbour k = {k} need k >= 1 and more than k images on each side, not {len(a)} and "
            f"{len(b)}: give more images or a smaller k."
        )
    radii_a, radii_b = (own_squares(x, k)[:, -1] for x in (a, b))
    origin = mean_of(a)
    # Samples of one set in balls of the other: b in a's balls, seen from b and from a, and a in b's balls, seen from a.
    real_of_b, b_of_real, generated_of_a = _Holders(len(b)), _Holders(len(a)), _Holders(len(a))
    for rows, x in tiles(a, origin):
        for columns, y in tiles(b, origin):
            of_a, of_b, within_a, within_b = within(x, y, radii_a[rows], radii_b[columns])
            of_a, of_b = of_a + rows.start, of_b + columns.start
            real_of_b.add(of_b[within_a], of_a[within_a])
            b_of_real.add(of_a[within_a], of_b[within_a])
            generated_of_a.add(of_a[within_b], of_b[within_b])
    counts = real_of_b.counts
    values = PRDC(
        precision=float(np.mean(counts > 0)),
        recall=float(np.mean(generated_of_a.counts > 0)),
        density=float(np.mean(counts) / k),
        coverage=float(np.mean(b_of_real.counts > 0)),
    )
    of_balls = len(a) * np.var(b_of_real.counts / (k * len(b)))
    errors = PRDC(
        precision=real_of_b.error(len(a)),
        recall=generated_of_a.error(len(b)),
        density=float(math.sqrt(np.var(counts / k) / len(b) + of_balls)),
        coverage=b_of_real.error(len(b)),
    )
    return values, errors


class _Holders:
    """For each sample the number of the other set's samples that hold it, or that it holds, and which if there is one.

    Attributes:
        counts: int64 (N,).
        sums: float64 (N,), the sum of their indices, which is the index of a single one.
    """

    def __init__(self, size: int) -> None:
        self.counts, self.sums = np.zeros(size, np.int64), np.zeros(size)

    def add(self, places: np.ndarray, others: np.ndarray) -> None:
        """Adds pairs: the places of samples, and those of the other set's samples, (p,)."""
        self.counts += np.bincount(places, minlength=len(self.counts))
        self.sums += np.bincount(places, weights=others, minlength=len(self.sums))

    def error(self, others: int) -> float:
        """The standard error of the share of samples with one or more, of `others` samples in the other set."""
        share, alone = np.mean(self.counts > 0), self.counts == 1
        lost = np.bincount(self.sums[alone].astype(np.int64), minlength=others) / len(self.counts)
        return float(math.sqrt(share * (1 - share) / len(self.counts) + others * np.var(lost)))
