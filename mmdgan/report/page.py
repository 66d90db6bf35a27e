"""The page of a run, section by section.

What cannot be shown (no checkpoint, no images, no scores) is a line in its section. Only errors of the library, which
say what is wrong and how to mend it, become such lines; any other error is raised.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mmdgan.core.errors import ConfigError, write_errors
from mmdgan.core.files import write_text
from mmdgan.core.progress import Say, log
from mmdgan.core.versions import VERSION
from mmdgan.report import section_critic, section_images, section_scores, section_setup, section_training
from mmdgan.report.blocks import Block, Page, Section, missing, or_missing
from mmdgan.report.facts import RunFacts
from mmdgan.report.html import render
from mmdgan.report.reported_run import ReportedRun


def _overview(run: ReportedRun) -> Iterator[Block]:
    """Renders the section "At a glance": signs of trouble, the best score, samples beside real images."""
    yield from section_training.health(run)
    yield section_scores.headline(run)
    if run.pictures:
        yield from or_missing(partial(section_images.samples, run))
    else:
        yield missing("new samples beside real images (--nopictures).")


_SECTIONS = {
    "overview": ("At a glance", _overview),
    "scores": ("Scores", section_scores.scores),
    "curves": ("Losses and norms in training", section_training.curves),
    "pictures": ("Images of the fixed codes", section_images.images),
    "neighbours": ("Nearest training images", section_images.neighbours),
    "critic": ("What the critic sees", section_critic.critic),
    "spectra": ("Spectral norms", section_critic.spectra),
    "setup": ("Configuration and networks", section_setup.setup),
    "commands": ("Commands", section_setup.commands),
}


def write_report(
    run: str | os.PathLike,
    out: str | os.PathLike | None = None,
    *,
    step: int | str | None = None,
    count: int = 256,
    pictures: bool = True,
    published: str | os.PathLike | None = None,
    say: Say = log,
) -> tuple[Path, Page]:
    """Writes all that is known of a run into one HTML file.

    Args:
        run: The run's directory.
        out: The file; RUN/report.html by default.
        step: Step of the checkpoint for the pictures, or "best"; the newest by default.
        count: Images that the critic scores.
        pictures: Whether to show what needs the networks, and TensorFlow.
        published: A CSV of published scores; by default the repository's.
        say: Takes a sentence about what is done now.

    Returns:
        The file, and what it shows; `Page.missing` lists what it does not.

    Raises:
        ConfigError: There is no run, its config.json is damaged, or a file cannot be read or written.
        CheckpointError: There is no such step.
    """
    facts = RunFacts.of(run)
    path = facts.folder.path / "report.html" if out is None else Path(out)
    if path.is_dir() or path.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"out: {path} is not a page; name a file that ends in .html.")
    page = page_of(ReportedRun(facts, step, count, pictures, published, say))
    with write_errors(f"out: {path}"):
        write_text(path, render(page))
    return path, page


def page_of(run: ReportedRun) -> Page:
    """Makes the page of a run.

    Raises:
        ConfigError: A CSV of published scores cannot be read.
        CheckpointError: There is no checkpoint of the wanted step.
    """
    _ = run.step  # a wrong one is reported before anything is computed
    sections = (Section(name, title, tuple(make(run))) for name, (title, make) in _SECTIONS.items())
    return Page(run.facts.name, summary(run), tuple(sections), _made(run))


def summary(run: ReportedRun) -> str:
    """One line: images, loss, networks, steps, when."""
    e, facts = run.facts.experiment, run.facts
    count = f" ({facts.data['count']:,} images)" if facts.data.get("count") else ""
    reached = max([*run.saved, *(int(curve.steps[-1]) for curve in run.scalars.values())], default=0)
    parts = [
        f"{e['data']}{count}",
        f"loss {e['loss']}",
        f"networks {e['architecture']}",
        f"{reached:,} of {e['max_step']:,} steps of {e['batch_size']} images",
        _when(run),
    ]
    return "; ".join(filter(None, parts)) + "."


def _when(run: ReportedRun) -> str:
    """When it was trained, and how fast; "" if nothing was logged."""
    curves = run.scalars.values()
    if not curves:
        return ""
    begun, ended = min(curve.times[0] for curve in curves), max(curve.times[-1] for curve in curves)
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(begun))
    minutes = (ended - begun) / 60
    took = f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
    speed = run.scalars.get("training/images_per_second")
    fast = f" at {sorted(speed.values)[len(speed.values) // 2]:,.0f} images/s" if speed is not None else ""
    return f"begun {day}, last summary {took} later{fast}"


def _made(run: ReportedRun) -> str:
    when = time.strftime("%Y-%m-%d %H:%M")
    return f"Made by mmdgan {VERSION} on {when} of {run.folder.path}. This file needs no network."
