"""The metrics by their identifiers: what each needs, which scores it gives, and which direction of them is better.

A metric is a class with `register` above it. A file in `mmdgan/metrics/scores` with one is all that `--metrics` needs:

    @register
    class Brightness(Metric):
        '''Mean brightness of the generated images.'''

        identifier = "brightness"
        scores = (Score("brightness"),)
        features = False

        def compute(self, context):
            images = context.generated.images.take(np.arange(context.generated.count))
            yield make_record("brightness", images.mean(), len(images), resize="none")

What is said here is known without NumPy and TensorFlow, so that `--help` is quick: the modules of metrics take `np` and
`tf` from `mmdgan.core.lazy`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeVar

from mmdgan.core.errors import MetricError
from mmdgan.core.text import nearest

if TYPE_CHECKING:
    from mmdgan.metrics.context import Context, Facts

HIGHER, LOWER = 1, -1
"""Which values of a score are better."""


@dataclass(frozen=True)
class Score:
    """A number that a metric gives.

    Attributes:
        name: Its name; "{}" stands for the label of the features. Longer names that begin with it and a space, such as
            "IS (10 splits)", are the same score of other images or in another form.
        better: `HIGHER`, `LOWER`, or 0 if neither direction is better.
        other: Its name if the features are not Inception's, where that differs: "FD[{}]" for "FID".
        judge: What `keep_best` and sweeps call it; "" for a score that says nothing of quality by itself.
        words: What it measures, for readers who do not know its name; "" leaves it at that.
    """

    name: str
    better: int = 0
    other: str = ""
    judge: str = ""
    words: str = ""

    def of(self, label: str) -> str:
        """The score's name with the features of a label, such as "FID", "FD[classifier]" or "precision[inception]"."""
        return (self.name if label == "inception" or not self.other else self.other).format(label)


class Metric:
    """One of the values of `--metrics`: its subclasses say what they need and compute records.

    Attributes:
        identifier: Its name in `--metrics` and in records.
        scores: The scores among its records; its first record has the first one, which is the main value.
        place: Where its records stand: after those of metrics of a lower place.
        features: Whether it needs features.
        statistics: Whether stored statistics may take the place of the real images.
        training: Whether it needs all images that the generator was trained on.
        slow: Whether to say that its computation begins.
        implied: Whether it is computed with any metric of features, where it has something to say, instead of on
            request.
    """

    identifier: ClassVar[str]
    scores: ClassVar[tuple[Score, ...]]
    place: ClassVar[int] = 100
    features: ClassVar[bool] = True
    statistics: ClassVar[bool] = False
    training: ClassVar[bool] = False
    slow: ClassVar[bool] = False
    implied: ClassVar[bool] = False

    def check(self, facts: Facts) -> None:
        """Raises a MetricError if the metric cannot be computed."""

    def compute(self, context: Context) -> Iterator[dict]:
        """Yields the records of a generated set, as `make_record` makes them.

        A record that is not computed from features says by "resize" how its images were resized.
        """
        raise NotImplementedError

    def compute_real(self, context: Context) -> Iterator[dict]:
        """Yields records of the real images alone, which show what a perfect generator would get.

        They are computed once, however many generated sets there are.
        """
        yield from ()


class Judge(NamedTuple):
    """A score by which checkpoints and runs are ranked: its metric's identifier, and whether less of it is better."""

    metric: str
    lower: bool


_METRICS: dict[str, Metric] = {}
M = TypeVar("M", bound=type[Metric])


def register(metric: M) -> M:
    """Registers the class below it as a metric."""
    _METRICS[metric.identifier] = metric()
    return metric


def identifiers() -> tuple[str, ...]:
    """The identifiers that can be asked for, in the order of their records."""
    return tuple(metric.identifier for metric in _ordered() if not metric.implied)


def implied() -> list[Metric]:
    """The metrics that come with any metric of features."""
    return [metric for metric in _ordered() if metric.implied]


def get(identifier: str) -> Metric:
    """The metric of an identifier; MetricError if there is none."""
    names = identifiers()
    if identifier not in names:
        raise MetricError(
            f"There is no metric {identifier!r}{nearest(identifier, names)}: choose from {', '.join(names)}."
        )
    return _METRICS[identifier]


def needs_features(metrics: Iterable[str]) -> bool:
    """Whether any of the metrics needs features; no metrics at all stand for the implied ones, which do."""
    metrics = tuple(metrics)
    return not metrics or any(get(metric).features for metric in metrics)


def judges() -> dict[str, Judge]:
    """What `keep_best` and sweeps may name. Other scores say nothing of quality: noise does well in MS-SSIM."""
    return {
        score.judge: Judge(metric.identifier, score.better == LOWER)
        for metric in _ordered()
        for score in metric.scores
        if score.judge
    }


def is_judged(name: str, judge: str) -> bool:
    """Whether a score of this name, such as "FD[classifier]", is the one that a judge stands for, such as "fid"."""
    label = name.partition("[")[2].removesuffix("]") or "inception"
    return any(
        score.judge == judge and score.of(label) == name for metric in _ordered() for score in metric.scores if judge
    )


def kind(name: str) -> str:
    """A score's name without its features: "FD" of "FD[classifier]", "CS real" of "CS[classifier] real"."""
    before, bracket, after = name.partition("[")
    return (before + after.partition("]")[2] if bracket else name).strip()


def is_of_real(name: str) -> bool:
    """Whether a score is one of real images alone, such as "CS[classifier] real" and "FID real-real"."""
    return " real" in kind(name)


def direction(name: str) -> int:
    """`HIGHER` or `LOWER`, whichever is better; 0 if neither is, as for a score of real images alone.

    Args:
        name: A score's name in records, or one of `judges`.
    """
    if name in (known := judges()):
        return LOWER if known[name].lower else HIGHER
    found = _find(name)
    return found[1].better if found and not is_of_real(name) else 0


def arrow(name: str) -> str:
    """The direction of a score that is better as a sign: "↓" (lower), "↑" (higher), or "" if neither is."""
    return {LOWER: "↓", HIGHER: "↑"}.get(direction(name), "")


def words(name: str) -> str:
    """What a score of this name measures, in words; "" for an unknown one."""
    found = _find(name)
    return found[1].words if found else ""


def meaning(name: str) -> str:
    """A sentence on a score for readers who do not know its name; "" for an unknown one."""
    if not (said := words(name)):
        return ""
    better = {LOWER: "; lower is better", HIGHER: "; higher is better"}.get(direction(name), "")
    return f"{said[0].upper()}{said[1:]}{', of real images alone' if is_of_real(name) else better}."


def lower_is_better(name: str) -> bool:
    """Whether less of a score is better; also True if neither direction is."""
    return direction(name) != HIGHER


def identifier_of(name: str) -> str:
    """The identifier of the metric that gives a score of this name; "" for an unknown score."""
    found = _find(name)
    return found[0].identifier if found else ""


def _ordered() -> list[Metric]:
    return sorted(_METRICS.values(), key=lambda metric: metric.place)


def _find(name: str) -> tuple[Metric, Score] | None:
    """The metric and the score that a name in a record stands for: of several the one of the longest name."""
    matching = [
        (len(kind(known)), metric, score)
        for metric in _ordered()
        for score in metric.scores
        for known in (score.name, score.other)
        if known and f"{kind(name)} ".startswith(f"{kind(known)} ")
    ]
    return max(matching, key=lambda found: found[0])[1:] if matching else None
