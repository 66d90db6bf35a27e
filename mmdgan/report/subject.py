from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.core.errors import DataError, MmdGanError
from mmdgan.report.blocks import Pile
from mmdgan.report.facts import RunFacts
from mmdgan.runs.folder import RunFolder

if TYPE_CHECKING:
    from mmdgan.report.critic_view import CriticView
    from mmdgan.training.event_files import Scalars


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
        from mmdgan.report.compare import all_scalars

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
        from mmdgan.core.startup import prepare_tensorflow
        from mmdgan.report.critic_view import view_critic

        require_data(self.facts)
        self.progress("Making pictures, and the critic's scores of them.")
        prepare_tensorflow()
        count = min(self.request.count, self.facts.data.get("count") or self.request.count)
        return view_critic(self.folder, self.step, count)


@dataclass(frozen=True)
class Request:
    """What a person asked for: see `mmdgan.report.html.write_report`."""

    step: int | str | None = None
    count: int = 256
    pictures: bool = True
    published: str | os.PathLike | None = None


@contextlib.contextmanager
def or_missing(pile: Pile) -> Iterator[None]:
    """Within the block, an error of the library ends it and becomes a line of the section."""
    try:
        yield
    except MmdGanError as error:
        pile.missing(str(error))


def require_data(facts: RunFacts) -> None:
    """Refuses data sets that opening would first download or convert: a page is no reason to.

    Raises:
        DataError: the images are not where the run's configuration says.
    """
    from mmdgan.data import catalog
    from mmdgan.data.open import loose_records
    from mmdgan.data.sidecar import read_sidecar

    name, root = facts.experiment["data"], Path(facts.experiment["data_root"])
    at_hand = (
        name == "sample"
        or read_sidecar(root / name, name) is not None
        or bool(loose_records(catalog.info(name, root), root))
    )
    if not at_hand:
        raise DataError(f"real images, and what the critic makes of them: {root} holds no data set {name} here.")
