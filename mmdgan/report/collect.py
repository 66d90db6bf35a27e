"""Everything that a run's page shows, section by section.

What cannot be shown (no checkpoint, no data at hand, no scores) is a line in its section. Only the library's own
errors, which say what is wrong and how to mend it, become such lines; any other error is a mistake of ours and is
raised.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from mmdgan.core.versions import VERSION
from mmdgan.report.blocks import Page, Section
from mmdgan.report.facts import RunFacts
from mmdgan.report.subject import Request, Subject
from mmdgan.runs.folder import RunFolder

if TYPE_CHECKING:
    pass


def collect(folder: RunFolder, request: Request, progress: Callable[[str], object] = lambda line: None) -> Page:
    """The page of a run.

    Raises:
        ConfigError: a damaged config.json; a CSV of published scores that cannot be read.
        CheckpointError: the step that was asked for is not there.
    """
    from mmdgan.report import section_critic, section_images, section_scores, section_setup, section_training

    subject = Subject(RunFacts.of(folder), request, progress, folder.records())
    _ = subject.step  # a wrong one is said before anything is computed
    sections = [
        Section("health", "Signs of trouble", section_training.health(subject)),
        Section("scores", "Scores", section_scores.scores(subject)),
        Section("curves", "Losses and norms in training", section_training.curves(subject)),
        Section("pictures", "Pictures", section_images.images(subject)),
        Section("neighbours", "Nearest training images", section_images.neighbours(subject)),
        Section("critic", "What the critic sees", section_critic.critic(subject)),
        Section("spectra", "Spectral norms", section_critic.spectra(subject)),
        Section("setup", "Configuration and networks", section_setup.setup(subject)),
        Section("commands", "Commands", section_setup.commands(subject)),
    ]
    return Page(subject.facts.name, summary(subject), tuple(sections), _made(subject))


def summary(subject: Subject) -> str:
    """One line: data, loss, steps, when."""
    e, facts = subject.facts.experiment, subject.facts
    count = f" ({facts.data['count']:,} images)" if facts.data.get("count") else ""
    reached = max([*subject.saved, *(int(curve.steps[-1]) for curve in subject.scalars.values())], default=0)
    parts = [
        f"{e['data']}{count}",
        f"loss {e['loss']}",
        f"networks {e['architecture']}",
        f"{reached:,} of {e['max_step']:,} steps of {e['batch_size']} images",
    ]
    return "; ".join(part for part in [*parts, _when(subject)] if part) + "."


def _when(subject: Subject) -> str:
    """From when to when it was trained, and how fast."""
    curves = [curve for tag, curve in subject.scalars.items() if len(curve.times)]
    if not curves:
        return ""
    begun, ended = min(curve.times[0] for curve in curves), max(curve.times[-1] for curve in curves)
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(begun))
    minutes = (ended - begun) / 60
    took = f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
    speed = subject.scalars.get("images_per_second")
    fast = f" at {sorted(speed.values)[len(speed.values) // 2]:,.0f} images/s" if speed is not None else ""
    return f"begun {day}, last summary {took} later{fast}"


def _made(subject: Subject) -> str:
    when = time.strftime("%Y-%m-%d %H:%M")
    return f"Made by mmdgan {VERSION} on {when} of {subject.folder.path}. This file needs no network."
