"""What a worker that is not the chief has instead of the chief's checkpoints and TensorBoard: it writes nothing.

It makes the same checks at the same steps, so that all workers find a diverged run at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdgan.training.checkpoints import Checkpoints
from mmdgan.training.monitor import Monitor


class BystandingCheckpoints(Checkpoints):
    """Checkpoints that are never there: the chief restores and saves for all."""

    def steps(self) -> list[int]:
        return []

    def save(self, step: int, permanent: bool = False) -> Path:
        return self.folder / f"ckpt-{step}"

    def save_aside(self, name: str, values: Mapping[str, Any] | None = None) -> Path:
        return self.folder / name


class BystandingMonitor(Monitor):
    """A monitor that drops what it is given."""

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        pass

    def histograms(self, step: int, values: Mapping[str, Any]) -> None:
        pass

    def images(self, step: int, values: Mapping[str, Any]) -> None:
        pass

    def text(self, tag: str, markdown: str, step: int = 0) -> None:
        pass

    def hparams(self, values: Mapping[str, Any], metrics: Sequence[str], **options: Any) -> None:
        pass
