"""The verbs `compare` and `report`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmdgan.cli import flags
from mmdgan.core.errors import ConfigError
from mmdgan.core.options import option


@dataclass(frozen=True)
class CompareOptions:
    """The flags of `compare`."""

    published: str | None = option(None, "CSV of published scores; none: Results/published")
    by: str | None = option(None, "step of the scores, or best; none: the newest of each run")
    metrics: tuple[str, ...] = option((), "scores to show, such as fid,is,prdc; none: all")
    out: str | None = option(
        None, "folder for a page (compare.html), its text and plots, or NAME.png for the plots; none: print only"
    )


@dataclass(frozen=True)
class ReportOptions:
    """The flags of `report`."""

    out: str | None = option(None, "file to write, NAME.html; none: RUN/report.html")
    step: str | None = option(None, "step of the checkpoint for the pictures, or best; none: the newest")
    count: int = option(256, "number of real and of generated images to show the critic", least=4)
    pictures: bool = option(True, "make what needs the networks; --nopictures is quick, without TensorFlow")
    published: str | None = option(None, "CSV of published scores; none: Results/published")


def compare(argv: Sequence[str]) -> int:
    """Compare runs: scores, differences in protocols and configurations, published scores, curves.

    A RUN may be a directory above runs, such as Results/cifar10, which stands for all of them.
    """
    usage = flags.usage("compare RUN ... [--flag=value ...]", compare)
    parsed = flags.parse(CompareOptions(), argv, usage=usage, arguments=("RUN...",))
    options: CompareOptions = parsed.options
    from mmdgan.report import compare_runs

    found = compare_runs(
        parsed.arguments,
        options.published,
        options.out,
        by=_step("by", options.by),
        metrics=options.metrics,
        say=print,
    )
    print(found.text)
    if found.files:
        print(f"\nwritten: {', '.join(map(str, found.files))}")
    return 0


def report(argv: Sequence[str]) -> int:
    """Write all that is known of a run into one HTML file: scores, curves, pictures, configuration, commands."""
    usage = flags.usage("report RUN [--flag=value ...]", report)
    parsed = flags.parse(ReportOptions(), argv, usage=usage, arguments=("RUN",))
    options: ReportOptions = parsed.options
    step = _step("step", options.step)
    from mmdgan.report import write_report

    path, page = write_report(
        parsed.arguments[0],
        options.out,
        step=step,
        count=options.count,
        pictures=options.pictures,
        published=options.published,
        say=print,
    )
    for line in page.missing:
        print(f"Not shown: {line}")
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


def _step(name: str, text: str | None) -> int | str | None:
    if text is None or text == "best":
        return text
    if not text.isdecimal():
        raise ConfigError(f"{name} is {text!r}; give a step, such as {name}=4000, or best.")
    return int(text)
