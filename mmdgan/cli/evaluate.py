"""The verb `evaluate`: scores of a run's generator, or of any images, against real ones."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.cli import flags
from mmdgan.cli.sample import EMA
from mmdgan.core.errors import ConfigError, write_errors
from mmdgan.core.files import append_jsonl
from mmdgan.core.options import defaults, fields_with, option, option_like
from mmdgan.core.text import nearest, program
from mmdgan.metrics import METRICS
from mmdgan.runs.experiment import Experiment
from mmdgan.runs.folder import RunFolder
from mmdgan.runs.pretrained import open_folder

if TYPE_CHECKING:
    from mmdgan.metrics.evaluate import EvaluateOptions
    from mmdgan.metrics.features.extractor import Extractor
    from mmdgan.metrics.moments import Moments
    from mmdgan.metrics.sets import ImageSet

ALL = "all"
MOST_REAL = 50_000


@dataclasses.dataclass(frozen=True)
class EvaluateFlags:
    """The flags of `evaluate`; what is none is as the run's configuration has it."""

    steps: tuple[str, ...] = option(
        ("last",), "checkpoints to score: all, last, best, or steps such as 1000,2000", "of a run"
    )
    repeats: int = option(1, "number of sets of images to generate, with consecutive seeds", "of a run", least=1)
    ema: bool | None = option(None, EMA, "of a run")

    images: str | None = option(
        None, "score these instead of a run: a folder or archive of pictures, a .npz, or a data set", "of any images"
    )
    reference: str | None = option(
        None, "compare them with this: a data set, a folder, a .npz, or statistics in a .npz", "of any images"
    )

    metrics: tuple[str, ...] | None = option(
        None,
        f"scores to compute, of {', '.join(METRICS)}; all: those that are possible; none: the run's, or for images "
        "fid,is,kid, against statistics fid",
    )
    count: int | None = option(None, "number of images to score; none: as in training, or all images", least=2)
    seed: int | None = option_like(
        Experiment, "seed", "options", least=0, help="seed of latent codes and random choices; none: the run's, or 0"
    )
    k: int = option(5, "number of neighbours of precision, recall, density and coverage", least=1)
    force: bool = option(False, "compute Fréchet distances of too few images too, and mark them")
    out: str | None = option(None, ".jsonl file to append the scores to")

    features: str | None = option_like(Experiment, "features", "features")
    resize: str | None = option_like(Experiment, "resize", "features")
    inception: str | None = option_like(Experiment, "inception", "features")
    classifier_data: str | None = option_like(Experiment, "classifier_data", "features")
    data_root: str | None = option_like(
        Experiment, "data_root", "features", help="folder of the data sets; none: the run's, or Data"
    )
    feature_cache: str | None = option_like(Experiment, "feature_cache", "features")
    save_statistics: str | None = option(
        None, ".npz file for the moments of the real images' features, to be a --reference later", "features"
    )


def evaluate(argv: Sequence[str]) -> int:
    """Score a run's generator against its data set, or any images against any others.

    Prints tables, and appends a run's scores to RUN/metrics.jsonl, one line per score.

      evaluate RUN --steps all --metrics fid,kid,prdc
      evaluate RUN --steps best --metrics all --repeats 3
      evaluate --images FOLDER --reference cifar10 --features inception
    """
    images = f"\n       {program()} evaluate --images PATH --reference WHAT [--flag=value ...]"
    usage = flags.usage(f"evaluate RUN [--flag=value ...]{images}", evaluate)
    parsed = flags.parse(EvaluateFlags(), argv, usage=usage, arguments=("[RUN]",))
    options: EvaluateFlags = parsed.options
    _check(options, parsed.arguments)
    if options.images is None:
        _evaluate_run(open_folder(parsed.arguments[0]), options)
    else:
        _evaluate_images(options)
    return 0


def _check(options: EvaluateFlags, words: Sequence[str]) -> None:
    """Checks what can be checked without looking at a file or importing TensorFlow."""
    if options.images is None:
        if not words:
            raise ConfigError(f"{flags.run_needed()}\nIt takes --images PATH with --reference, too.")
        if options.reference is not None:
            raise ConfigError(
                "reference goes with --images, for a run is compared with its own data set: write images by "
                f"`sample {words[0]} --out images.npz` and give --images=images.npz."
            )
    else:
        if words:
            raise ConfigError(f"the command takes a RUN or --images, not both; leave {words[0]} or --images out.")
        if options.reference is None:
            raise ConfigError("reference is none; give with --reference what to compare the images with.")
        for name, default in defaults(options, group="of a run").items():
            if getattr(options, name) != default:
                raise ConfigError(f"{name} is for a run's generator; leave --{name} out, or name a RUN.")
    for metric in options.metrics or ():
        if metric not in (*METRICS, ALL):
            hint = nearest(metric, METRICS)
            raise ConfigError(f"metrics has {metric!r}{hint}; the valid values are {', '.join(METRICS)}, or all.")
    for name, suffix in (("out", ".jsonl"), ("save_statistics", ".npz")):
        value = getattr(options, name)
        if value is not None and Path(value).suffix.lower() != suffix:
            raise ConfigError(f"{name} is {value}; name a file that ends in {suffix}.")


def _evaluate_run(folder: RunFolder, options: EvaluateFlags) -> None:
    """Scores checkpoints of a run, and adds them to its metrics.jsonl one by one."""
    steps = _steps(folder, options.steps)
    given = {name: value for name in fields_with(options, like=True) if (value := getattr(options, name)) is not None}
    if options.data_root is not None:
        given["source"] = None  # which has been converted for the run, and is elsewhere
    experiment = dataclasses.replace(Experiment.load(folder.path), **given)
    metrics, leave_out = _metrics(options, experiment.metrics)
    if not metrics:
        raise ConfigError("the run was made without scores; give --metrics, such as --metrics=fid,is,kid.")
    experiment = dataclasses.replace(experiment, metrics=metrics, score_count=options.count or experiment.score_count)
    from mmdgan.core.startup import prepare_tensorflow
    from mmdgan.metrics import format_table
    from mmdgan.runs.scoring import Scorer, of_weights
    from mmdgan.runs.train import fingerprint_like, open_data

    prepare_tensorflow()
    data = open_data(experiment, say=print)
    trained_on = folder.read_config().get("data", {}).get("fingerprint")
    if trained_on not in (None, fingerprint_like(trained_on, data)):
        print(f"Note: the images of {data.name} ({data.source}) are not those that {folder.path} was trained on.")
    scorer = Scorer.of(experiment, data, _score_options(options), leave_out, print)
    assert scorer is not None  # as there are metrics
    if options.save_statistics is not None and scorer.extractor is None:
        raise ConfigError("save_statistics is of features, and none of the metrics needs any; give --metrics=fid.")
    weights = ("last" if options.ema is False else "ema") if folder.has_average() else None
    with _cache(scorer.cache) as cache:
        scorer = dataclasses.replace(scorer, cache=cache)
        for step in steps:
            generator, _ = folder.load_generator(step, options.ema)
            records = of_weights(scorer.score(generator, step, options.repeats), weights)
            heading = f"After step {step:,}:\n" if len(steps) > 1 else ""
            print(f"{heading}{format_table(records)}")
            _write(options.out, records)
            written = _recorded(folder, step, records, options.out)
        if written is not None:
            _show_scores(folder, experiment.tags)
            print(f"written to {written}")
        if options.save_statistics is not None:
            from mmdgan.metrics.sets import DataSet

            real = DataSet(scorer.data, scorer.count, scorer.seed)
            _save_statistics(options.save_statistics, real, scorer.extractor, cache)


def _show_scores(folder: RunFolder, naming: str) -> None:
    """Gives TensorBoard the run's scores by `evaluate`, as curves next to those of its rounds."""
    from mmdgan.metrics.registry import meaning
    from mmdgan.runs.scores import preferred
    from mmdgan.training.tensorboard import write_scores

    records = preferred(r for r in folder.records() if r["by"] == "evaluate" and r["value"] is not None)
    write_scores(folder.logs / "evaluate", records, naming, meaning)


def _evaluate_images(options: EvaluateFlags) -> None:
    """Scores any images against any others, or against stored statistics."""
    from mmdgan.core.startup import prepare_tensorflow
    from mmdgan.metrics import format_table, open_images, resolve
    from mmdgan.metrics.comparison import check_named
    from mmdgan.metrics.evaluate import check_sets, evaluate_sets
    from mmdgan.metrics.moments import Moments
    from mmdgan.metrics.registry import needs_features
    from mmdgan.runs.scoring import feature_cache

    prepare_tensorflow()
    seed, root = options.seed or 0, options.data_root or "Data"
    assert options.images is not None and options.reference is not None  # as `_check` has seen
    for named in (options.images, options.reference):  # before any of them is downloaded
        check_named(named, root)
    generated = _first(
        open_images(options.images, data_root=root, seed=seed, say=print), "images", options.images, options.count
    )
    real, whole = _open_reference(options.reference, root, options.count, seed)
    statistics = whole is None
    metrics, leave_out = _metrics(options, ("fid",) if statistics else ("fid", "is", "kid"))
    if statistics and options.save_statistics:
        raise ConfigError(f"{options.reference} holds statistics already; leave --save_statistics out.")
    extractor = None
    if needs_features(metrics) or options.save_statistics:
        given = {name: getattr(options, name) for name in ("inception", "classifier_data", "resize")}
        data = getattr(whole, "data", None)
        extractor = resolve(options.features or "auto", data, data_root=root, **given, say=print)
    score_options = _score_options(options)
    about: dict[str, Any] = {"options": score_options, "training": whole}
    metrics = check_sets(metrics, [generated], real, extractor, **about, leave_out=leave_out)
    with _cache(feature_cache(options.feature_cache, root)) as cache:
        name = str(options.reference) if isinstance(real, Moments) else real.name
        records = evaluate_sets(
            generated, real, extractor, metrics, **about, seed=seed, data=name, split="", cache=cache, say=print
        )
        print(format_table(records))
        _write(options.out, records)
        if options.save_statistics is not None and not isinstance(real, Moments):
            _save_statistics(options.save_statistics, real, extractor, cache)


def _steps(folder: RunFolder, words: Sequence[str]) -> list[int]:
    """The steps that --steps names, ascending; CheckpointError if one of them has no checkpoint."""
    last = folder.find_step(None)
    steps = set()
    for word in words or ("",):
        if word == ALL:
            steps |= set(folder.steps())
        elif word in ("last", "best"):
            steps.add(last if word == "last" else folder.find_step(word))
        elif word.isdecimal():
            steps.add(folder.find_step(int(word)))
        else:
            raise ConfigError(f"steps has {word!r}; give all, last, best, or steps such as {last}.")
    return sorted(steps)


def _metrics(options: EvaluateFlags, default: tuple[str, ...]) -> tuple[tuple[str, ...], Any]:
    """The metrics, each once; and for "all" the callable that takes sentences about those that cannot be computed."""
    metrics = tuple(dict.fromkeys(default if options.metrics is None else options.metrics))
    return (METRICS, print) if ALL in metrics else (metrics, None)


def _score_options(options: EvaluateFlags) -> EvaluateOptions:
    from mmdgan.metrics.evaluate import EvaluateOptions

    return EvaluateOptions(k=options.k, force=options.force)


def _first(images: ImageSet, flag: str, what: str, count: int | None) -> ImageSet:
    """The first `count` of some images, which are in random order, or all of them."""
    if count is not None and count > images.count:
        raise ConfigError(f"count is {count:,}, but --{flag}={what} holds {images.count:,} images; give at most that.")
    return images if count is None else images.first(count)


def _open_reference(
    what: str, data_root: str, count: int | None, seed: int
) -> tuple[ImageSet | Moments, ImageSet | None]:
    """What to compare with, and the whole set that it is taken from; None for stored statistics."""
    from mmdgan.metrics import open_images, read_moments

    if _holds_statistics(what):
        return read_moments(what), None
    whole = open_images(what, data_root=data_root, seed=seed, say=print)
    if count is None and whole.count > MOST_REAL:
        print(f"{MOST_REAL:,} of the {whole.count:,} images of {what} are compared with; --count changes that.")
        count = MOST_REAL
    return _first(whole, "reference", what, count), whole


def _holds_statistics(what: str) -> bool:
    """Whether a file holds statistics rather than images; a broken one is reported when it is read."""
    import zipfile

    from mmdgan.data.sources.archives import holds_arrays
    from mmdgan.metrics.moments import KEYS

    path = Path(what)
    if not (zipfile.is_zipfile(path) and holds_arrays(path)):
        return False
    with zipfile.ZipFile(path) as archive:
        names = {name.removesuffix(".npy") for name in archive.namelist()}
    return any(names.issuperset(keys) for keys in KEYS)


@contextlib.contextmanager
def _cache(folder: Path | None) -> Iterator[Path]:
    """A folder for features while the command runs, so that those of each set are computed once."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="mmdgan-features-") as made:
        yield Path(made)


def _save_statistics(path: str, real: ImageSet, extractor: Extractor | None, cache: Path) -> None:
    """Writes the moments of the real images' features."""
    from mmdgan.metrics.features.cache import compute_features
    from mmdgan.metrics.moments import statistics_of

    assert extractor is not None  # as was refused at first
    features = compute_features(real, extractor, cache=cache, say=print).features
    with write_errors(path):
        statistics_of(features, extractor, f"{real.count:,} images of {real.name}").save(path)
    print(f"statistics of {real.count:,} images of {real.name}: {path}")


def _write(path: str | None, records: Sequence[dict]) -> None:
    """Appends records to the file that --out names."""
    if path is None:
        return
    with write_errors(path):
        append_jsonl(path, records)
    print(f"written to {path}")


def _recorded(folder: RunFolder, step: int, records: list[dict[str, Any]], out: str | None) -> Path | None:
    """Appends scores to the run's; of a run that cannot be written they are kept in `out`."""
    try:
        return folder.append(step, "evaluate", records)
    except OSError as error:
        reason = f"{folder.metrics_file} cannot be written ({error.strerror or error})"
        if out is None:
            raise ConfigError(
                f"{reason}, so the scores above are not recorded; --out FILE.jsonl keeps them."
            ) from error
        print(f"not written to the run: {reason}")
        return None
