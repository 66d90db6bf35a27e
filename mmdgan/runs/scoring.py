"""The scores of a generator against the data set that it is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.core.errors import ConfigError
from mmdgan.core.progress import Say, log
from mmdgan.metrics import registry

if TYPE_CHECKING:
    import keras

    from mmdgan.data import ImageData
    from mmdgan.data.dataset import StoredImages
    from mmdgan.metrics.evaluate import EvaluateOptions
    from mmdgan.metrics.features.extractor import Extractor
    from mmdgan.runs.experiment import Experiment


@dataclass(frozen=True)
class Scorer:
    """Scores images of a generator against a data set, with one extractor and one choice of metrics.

    Attributes:
        data: The training images.
        extractor: Computes features; None if no metric needs any.
        metrics: Identifiers, of `mmdgan.metrics.METRICS`.
        count: Number of images to generate, and of real ones to compare with.
        seed: Seed of codes, labels and the choice of real images.
        cache: Folder of cached features, or None.
        options: How the scores are computed.
        say: Takes one sentence at a time.
    """

    data: ImageData | StoredImages
    extractor: Extractor | None
    metrics: tuple[str, ...]
    count: int
    seed: int
    cache: Path | None = None
    options: EvaluateOptions | None = None
    say: Say = log

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        data: ImageData | StoredImages,
        options: EvaluateOptions | None = None,
        leave_out: Callable | None = None,
        say: Say = log,
    ) -> Scorer | None:
        """The scorer an experiment asks for; None if it asks for no metrics.

        Args:
            experiment: Names metrics, features, count and seed.
            data: The images that it is trained on.
            options: How the scores are computed.
            leave_out: Takes a sentence for each metric that cannot be computed; None to raise it as an error.
            say: Takes one sentence at a time.

        Raises:
            ConfigError: More images than the data set holds.
            MetricError: The features are not available, or a metric cannot be computed, or not of so few images.
        """
        e = experiment
        if not e.metrics:
            return None
        from mmdgan import sampling
        from mmdgan.metrics import evaluate, resolve
        from mmdgan.metrics.context import EvaluateOptions, Facts

        most = min(50_000, data.count)
        count = e.score_count or most // e.batch_size * e.batch_size or most
        if count > data.count:
            raise ConfigError(
                f"scores of {count:,} images are asked for, but {data.name} holds {data.count:,} to compare with; "
                "give at most that."
            )
        sources = {name: getattr(e, name) for name in ("inception", "classifier_data", "data_root", "resize")}
        needs_features = registry.needs_features(e.metrics)
        extractor = resolve(e.features, data, **sources, say=say) if needs_features else None
        channels, height, width = data.shape
        facts = Facts(
            count,
            count,
            data.count,
            options or EvaluateOptions(),
            shape=(height, width, channels),
            shape_real=(height, width, channels),
            labels=sampling.score_labels(count, e.num_class, e.seed),
            labels_training=data.labels if "intra_fid" in e.metrics and data.labelled else None,
        )
        metrics = evaluate.check(e.metrics, facts, extractor, leave_out)
        cache = feature_cache(e.feature_cache, e.data_root)
        return cls(data, extractor, metrics, count, e.seed, cache, options, say)

    def score(self, generator: keras.Model, step: int, repeats: int = 1) -> list[dict[str, Any]]:
        """One record per score, of `count` generated and as many real images; labels are uniform.

        Args:
            generator: The generator.
            step: Its training step, for the record.
            repeats: Number of sets of images to generate, with the seeds `seed`, `seed + 1`, ...
        """
        from mmdgan.metrics.evaluate import evaluate_sets
        from mmdgan.metrics.sets import DataSet, GeneratedSet

        data, seeds = self.data, range(self.seed, self.seed + repeats)
        needs_training = any(registry.get(metric).training for metric in self.metrics)
        return evaluate_sets(
            [GeneratedSet(generator, self.count, seed, class_names=data.class_names) for seed in seeds],
            DataSet(data, self.count, self.seed),
            self.extractor,
            self.metrics,
            options=self.options,
            training=DataSet(data, seed=None) if needs_training else None,
            seed=self.seed,
            step=step,
            data=data.name,
            cache=self.cache,
            say=self.say,
        )


def of_weights(records: list[dict[str, Any]], weights: str | None) -> list[dict[str, Any]]:
    """Adds to records which weights the generator had: "ema" or "last"; None adds nothing."""
    return records if weights is None else [{**record, "weights": weights} for record in records]


def feature_cache(named: str | None, data_root: str) -> Path | None:
    """The folder of cached features, or None: what the field `feature_cache` of an experiment stands for."""
    from mmdgan.metrics.features.cache import cache_folder

    if named is None:
        return cache_folder(data_root)
    return None if named == "off" else Path(named)
