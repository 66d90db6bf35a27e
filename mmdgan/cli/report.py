"""The verbs that put results together: `compare` and `report`."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

from mmdgan.cli import flags
from mmdgan.core.errors import ConfigError
from mmdgan.core.options import option
from mmdgan.core.text import program


@dataclass(frozen=True)
class CompareOptions:
    """The flags of `compare`."""

    published: str | None = option(None, "a CSV of published scores; none: Results/published")
    by: str | None = option(None, "scores of this step, or best; none: the newest of each run")
    metrics: tuple[str, ...] = option((), "these alone, such as fid,is,prdc; none: all")
    out: str | None = option(
        "compare", "a folder for the table (compare.txt) and the plots, or NAME.png for the plots; none: text alone"
    )


@dataclass(frozen=True)
class ReportOptions:
    """The flags of `report`."""

    out: str | None = option(None, "NAME.html; none: RUN/report.html")
    step: str | None = option(None, "the checkpoint of this step, or best, for the pictures; none: the newest")
    count: int = option(256, "real and generated images that the critic looks at")
    pictures: bool = option(True, "make what needs the networks; --nopictures is quick, without TensorFlow")
    published: str | None = option(None, "a CSV of published scores; none: Results/published")


def compare(argv: Sequence[str]) -> int:
    """Puts runs beside one another: scores, what differs in protocols and configurations, published scores, curves.

    A RUN may be a directory above runs, such as Results/cifar10, and stands for all of them.
    """
    usage = f"usage: {program()} compare RUN ... [--flag=value ...]\n\n{inspect.cleandoc(compare.__doc__ or '')}"
    parsed = flags.parse(CompareOptions(), argv, usage=usage, arguments=("RUN...",))
    options: CompareOptions = parsed.options
    from mmdgan.report import compare_runs

    found = compare_runs(
        parsed.arguments,
        options.published,
        options.out,
        by=_step("by", options.by),
        metrics=options.metrics,
    )
    print(found.text)
    if found.files:
        print(f"\nwritten: {', '.join(map(str, found.files))}")
    return 0


def report(argv: Sequence[str]) -> int:
    """Writes all that is known of a run into one HTML file: scores, curves, pictures, configuration, commands."""
    usage = f"usage: {program()} report RUN [--flag=value ...]\n\n{report.__doc__}"
    parsed = flags.parse(ReportOptions(), argv, usage=usage, arguments=("RUN",))
    options: ReportOptions = parsed.options
    if options.count < 4:
        raise ConfigError(f"count is {options.count}; give at least 4 images.")
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
    """A step, "best", or None."""
    if text is None or text == "best":
        return text
    if not text.isdecimal():
        raise ConfigError(f"{name} is {text!r}; give a step, such as {name}=4000, or best.")
    return int(text)
