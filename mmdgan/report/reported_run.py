"""A run while its page is made: what several sections need, loaded once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.core.errors import DataError
from mmdgan.core.progress import Say, log
from mmdgan.report.facts import RunFacts
from mmdgan.runs.folder import RunFolder

if TYPE_CHECKING:
    from mmdgan.report.critic_view import CriticView
    from mmdgan.training.event_files import Scalars


@dataclass(frozen=True)
class ReportedRun:
    """A run, and the options of `mmdgan.report.write_report`.

    Attributes:
        facts: Configuration of the run.
        wanted_step: Step of the checkpoint for the pictures, or "best"; None: the newest.
        count: Images that the critic scores.
        pictures: Whether to show what needs the networks.
        published: A CSV of published scores; None: the repository's.
        say: Takes a sentence about what is done now.
    """

    facts: RunFacts
    wanted_step: int | str | None = None
    count: int = 256
    pictures: bool = True
    published: str | os.PathLike | None = None
    say: Say = log

    @property
    def folder(self) -> RunFolder:
        return self.facts.folder

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """The run's scores, oldest first."""
        return self.folder.records()

    @cached_property
    def scalars(self) -> dict[str, Scalars]:
        """Every scalar that was logged."""
        return self.folder.curves()

    @cached_property
    def saved(self) -> list[int]:
        """Steps of the checkpoints."""
        return self.folder.steps()

    @cached_property
    def best(self) -> int | None:
        """Step of the best checkpoint, if one is kept."""
        return self.folder.best_step()

    @cached_property
    def step(self) -> int | None:
        """Step that pictures are made of; None without a checkpoint.

        Raises:
            CheckpointError: There is no checkpoint of the wanted step.
        """
        if self.wanted_step is None or not self.saved:
            return max(self.saved, default=None)
        return self.folder.find_step(self.wanted_step)

    @cached_property
    def view(self) -> CriticView:
        """Real and generated images with the critic's scores.

        Raises:
            DataError: The images are not available.
            CheckpointError: There is no checkpoint.
        """
        from mmdgan.core.startup import prepare_tensorflow
        from mmdgan.report.critic_view import view_critic

        self.require_data()
        self.say("Making pictures, and the critic's scores of them.")
        prepare_tensorflow()
        return view_critic(self.folder, self.step, min(self.count, self.facts.data.get("count") or self.count))

    def require_data(self) -> None:
        """Refuses data sets that would have to be downloaded or converted first: a page is no reason to do that.

        Raises:
            DataError: The images are not where the run's configuration says.
        """
        from mmdgan.data import catalog
        from mmdgan.data.sidecar import read_sidecar

        name, root = self.facts.experiment["data"], Path(self.facts.experiment["data_root"])
        available = (
            name == "sample"
            or read_sidecar(root / name, name) is not None
            or bool(catalog.loose_records(catalog.info(name, root), root))
        )
        if not available:
            raise DataError(f"real images, and what the critic makes of them: {root} holds no data set {name} here.")
