"""Everything that a run's page shows, section by section.

What cannot be shown (no checkpoint, no data at hand, no scores) is a line in its section. Only the library's own
errors, which say what is wrong and how to mend it, become such lines; any other error is a mistake of ours and is
raised.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.errors import DataError, MmdGanError
from mmdgan.report.blocks import Page, Pile, Section
from mmdgan.report.facts import RunFacts
from mmdgan.runs import RunFolder

if TYPE_CHECKING:
    from mmdgan.analysis.critic import CriticView
    from mmdgan.training.event_files import Scalars


@dataclass(frozen=True)
class Request:
    """What a person asked for: see `mmdgan.report.html.write_report`."""

    step: int | str | None = None
    count: int = 256
    pictures: bool = True
    published: str | os.PathLike | None = None


@dataclass(frozen=True)
class Subject:
    """A run, with what several sections need of it, found out once.

    Attributes:
        facts: its configuration.
        request: what was asked for.
        progress: takes a line about what is done now.
        records: the lines of metrics.jsonl, oldest first.
    """

    facts: RunFacts
    request: Request
    progress: Callable[[str], object] = lambda line: None
    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def folder(self) -> RunFolder:
        """The run's directory."""
        return self.facts.folder

    @cached_property
    def scalars(self) -> dict[str, Scalars]:
        """Every scalar that was logged."""
        from mmdgan.report.compare_plots import all_scalars

        return all_scalars(self.folder)

    @cached_property
    def saved(self) -> list[int]:
        """Steps of the checkpoints."""
        return self.folder.steps()

    @cached_property
    def best(self) -> int | None:
        """The step of the best checkpoint, if one is kept."""
        return self.folder.best_step()

    @cached_property
    def step(self) -> int | None:
        """The step that pictures are made of; None without a checkpoint.

        Raises:
            CheckpointError: the step that was asked for is not there.
        """
        wanted = self.request.step
        if wanted is None or not self.saved:
            return max(self.saved, default=None)
        return self.folder.find_step(wanted)

    @cached_property
    def view(self) -> CriticView:
        """Real and generated images with what the critic makes of them.

        Raises:
            DataError: the images are not at hand.
            CheckpointError: there is no checkpoint.
        """
        from mmdgan.analysis.critic import view_critic
        from mmdgan.startup import prepare_tensorflow

        require_data(self.facts)
        self.progress("Making pictures, and the critic's scores of them.")
        prepare_tensorflow()
        count = min(self.request.count, self.facts.data.get("count") or self.request.count)
        return view_critic(self.folder, self.step, count)


@contextlib.contextmanager
def or_missing(pile: Pile) -> Iterator[None]:
    """Within the block, an error of the library ends it and becomes a line of the section."""
    try:
        yield
    except MmdGanError as error:
        pile.missing(str(error))


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


def require_data(facts: RunFacts) -> None:
    """Refuses data sets that opening would first download or convert: a page is no reason to.

    Raises:
        DataError: the images are not where the run's configuration says.
    """
    from mmdgan.data import catalog
    from mmdgan.data.opening import loose_records
    from mmdgan.data.sidecar import read_sidecar

    name, root = facts.experiment["data"], Path(facts.experiment["data_root"])
    at_hand = (
        name == "sample"
        or read_sidecar(root / name, name) is not None
        or bool(loose_records(catalog.info(name, root), root))
    )
    if not at_hand:
        raise DataError(f"real images, and what the critic makes of them: {root} holds no data set {name} here.")


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
    import mmdgan

    when = time.strftime("%Y-%m-%d %H:%M")
    return f"Made by mmdgan {mmdgan.__version__} on {when} of {subject.folder.path}. This file needs no network."
