"""What a study's numbers are and what they support: tables and sentences, made from values per row and seed.

Two rows are distinguished only where the ranges of their seeds do not overlap; the sentences say what that is worth.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from mmdgan.metrics.registry import direction, lower_is_better
from paper.output import markdown

MEASURES = {
    "FD[classifier]": "FD[classifier]",
    "CS[classifier]": "CS[classifier]",
    "recall[classifier]": "recall",
    "precision[classifier]": "precision",
    "near copies[pixels]": "near copies, pixels",
}
"""What is compared: a score's name -> its heading."""

EXPECTED_COPIES, MANY_COPIES = 0.01, 0.05
"""Share of near copies that a generator without memory has, and the one from which a row is named."""


@dataclass(frozen=True)
class RowNumbers:
    """The numbers of one row.

    Attributes:
        name, title, loss, features, penalty: What it is.
        seeds: Seeds of the finished runs.
        steps: Steps of each finished run.
        seconds: Processor time of each finished run.
        values: Score name -> a number per finished seed (None where there is none).
    """

    name: str
    title: str
    loss: str
    features: str
    penalty: str
    seeds: tuple[int, ...]
    steps: tuple[int, ...]
    seconds: tuple[float, ...]
    values: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)

    def known(self, measure: str) -> list[float]:
        """The numbers there are."""
        return [value for value in self.values.get(measure, ()) if value is not None]


def better(a: RowNumbers, b: RowNumbers, measure: str) -> bool:
    """Whether every seed of a is better than every seed of b."""
    sign = direction(measure)
    ours, theirs = ([sign * value for value in row.known(measure)] for row in (a, b))
    return bool(ours and theirs) and min(ours) > max(theirs)


def tiers(rows: Sequence[RowNumbers], measure: str) -> list[list[RowNumbers]]:
    """The rows, best first, in groups within which ranges chain together: groups are apart, their members are not.

    A group ends where every row so far is better than every row that follows, in all seeds.
    """
    sign = direction(measure)
    found = [row for row in rows if row.known(measure)]
    found.sort(key=lambda row: -sign * fmean(row.known(measure)))
    groups: list[list[RowNumbers]] = []
    start = 0
    for end in range(1, len(found) + 1):
        apart = all(better(a, b, measure) for a, b in itertools.product(found[start:end], found[end:]))
        if apart:
            groups.append(found[start:end])
            start = end
    return groups


def supported(rows: Sequence[RowNumbers], budget: str) -> list[str]:
    """What the numbers support, and what they do not, a sentence or two each."""
    done = [row for row in rows if row.seeds]
    if len(done) < 2:
        return ["Fewer than two rows are finished: there is nothing to compare yet."]
    seeds = min(len(row.seeds) for row in done)
    sentences = []
    for measure in ("FD[classifier]", "CS[classifier]", "recall[classifier]"):
        heading = MEASURES[measure]
        groups = tiers(done, measure)
        if not groups:
            continue
        better_one = "lower" if lower_is_better(measure) else "higher"
        names = "; then ".join(" and ".join(row.title for row in group) for group in groups)
        if seeds < 2:
            sentences.append(
                f"{heading} ({better_one} is better) by one seed, which cannot tell a difference from chance: {names}."
            )
        elif len(groups) == 1:
            sentences.append(f"{heading}: no row is apart from the others in all seeds, so that none is ranked.")
        else:
            sentences.append(
                f"{heading} ({better_one} is better), in groups that are apart in every seed; within a group the order "
                f"is that of the means and not supported by every pair: {names}."
            )
    sentences += _comparisons(done) if seeds > 1 else []
    sentences += _copies(done)
    sentences.append(
        f"Not supported: what more training would give ({budget}), differences within overlapping ranges, and anything "
        "about other learning rates, networks or data."
    )
    if seeds > 1:
        chance = 2 / math.comb(2 * seeds, seeds)
        sentences.append(
            f"{seeds} seeds a row give a range, no error bar: two rows that are equally good come out apart in "
            f"{chance:.0%} of comparisons by chance alone, and there are many pairs of rows here."
        )
    return sentences


_PAIRS = (
    ("lenet", "random_features", "LeNet's features instead of random ones"),
    ("random_features", "pixels", "random features instead of pixels"),
    ("trained", "random_features", "training the small feature network instead of fixing it"),
    ("dcgan", "trained", "the DCGAN pair instead of the MLP and its small critic"),
    ("rare", "dcgan", "training the features every 500th step instead of every step"),
    ("penalty", "dcgan", "a gradient penalty on the witness"),
    ("penalty", "wgan_gp", "the MMD with penalty instead of the WGAN with penalty"),
    ("attractive_sn", "dcgan", "spectral instead of batch normalisation in the critic"),
    ("repulsive", "attractive_sn", "the repulsive instead of the attractive loss, same networks"),
    ("bounded", "repulsive", "bounds in the repulsive loss"),
    ("drift_pixels", "pixels", "drift instead of the MMD of pixels"),
    ("drift_large", "drift_pixels", "drift of 256 images at a time instead of 64"),
    ("drift", "random_features", "drift instead of the MMD of random features"),
    ("drift", "bounded", "drift in fixed features instead of trained ones with the bounded loss"),
)
"""The questions of the study: a row, what it is held against, and what differs."""


def _comparisons(rows: Sequence[RowNumbers]) -> list[str]:
    """The study's questions by FD, where both rows are there."""
    named = {row.name: row for row in rows}
    measure, found = "FD[classifier]", []
    for a, b, what in _PAIRS:
        if a not in named or b not in named or not (named[a].known(measure) and named[b].known(measure)):
            continue
        ours, theirs = fmean(named[a].known(measure)), fmean(named[b].known(measure))
        if better(named[a], named[b], measure):
            verdict = "lower in every seed"
        elif better(named[b], named[a], measure):
            verdict = "higher, which is worse, in every seed"
        else:
            verdict = "not apart: the seeds overlap"
        found.append(f"{what}: {_number(ours)} against {_number(theirs)}, {verdict}")
    return [
        f"By mean FD[classifier], at this budget. {'. '.join(text[0].upper() + text[1:] for text in found)}."
    ] * bool(found)


def _copies(rows: Sequence[RowNumbers]) -> list[str]:
    measure = "near copies[pixels]"
    many = [row.title for row in rows if row.known(measure) and max(row.known(measure)) > MANY_COPIES]
    if not any(row.known(measure) for row in rows):
        return []
    if not many:
        return [
            f"No row has more than {MANY_COPIES:.0%} of images nearer to a training image than 99% of training images "
            "are to another: nothing here speaks for memorisation."
        ]
    return [
        f"More than {MANY_COPIES:.0%} of the images of {' and '.join(many)} are nearer to a training image than 99% of "
        f"training images are to another ({EXPECTED_COPIES:.0%} is expected). Smooth or few-sided images are near to "
        "many others in pixels: look at the grids before calling it memorisation."
    ]


HEADER = ("row", "loss", "features", "penalty", "steps", "seconds", *MEASURES.values())


def table(rows: Sequence[RowNumbers]) -> list[tuple[str, ...]]:
    """The table's cells, a row each: means, and each seed's number behind them."""
    return [
        (
            row.title,
            row.loss,
            row.features,
            row.penalty,
            _steps(row.steps),
            _cell([round(seconds) for seconds in row.seconds]),
            *(_cell(row.values.get(measure, ())) for measure in MEASURES),
        )
        for row in rows
    ]


def as_csv(rows: Sequence[RowNumbers]) -> str:
    """One line per run: row, seed, steps, seconds and every measure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "loss", "features", "penalty", "seed", "steps", "seconds", *MEASURES])
    for row in rows:
        for index, seed in enumerate(row.seeds):
            numbers = [row.values.get(measure, (None,) * len(row.seeds))[index] for measure in MEASURES]
            cells = [row.seconds[index], *numbers]
            words = ["" if value is None else f"{value:.6g}" for value in cells]
            writer.writerow([row.name, row.loss, row.features, row.penalty, seed, row.steps[index], *words])
    return text.getvalue()


def as_markdown(rows: Sequence[RowNumbers]) -> str:
    """The table for a document."""
    return markdown([[cell.replace("|", "\\|") for cell in line] for line in [HEADER, *table(rows)]]) + "\n"


def _steps(steps: Sequence[int]) -> str:
    """Steps of the runs of a row: one number where they are equal, else their mean and each."""
    each = [f"{count:,}" for count in steps]
    if len(set(each)) < 2:
        return each[0] if each else "-"
    return f"{round(fmean(steps)):,} ({', '.join(each)})"


def _cell(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    if len(values) == 1:
        return _number(known[0])
    return f"{_number(fmean(known))} ({', '.join('-' if v is None else _number(v) for v in values)})"


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"
