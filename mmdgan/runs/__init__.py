"""Runs: experiments, the folders they write, and their scores.

    run = mmdgan.open_run("Results/sample/first")
    run.sample(16)              # images
    run.scores                  # the lines of metrics.jsonl

Names load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdgan.core import lazy

if TYPE_CHECKING:  # for checkers and editors; at run time names load on first use
    from mmdgan.runs.experiment import (
        Experiment as Experiment,
    )
    from mmdgan.runs.folder import (
        RunFolder as RunFolder,
    )
    from mmdgan.runs.run import (
        Run as Run,
        open_run as open_run,
    )

__getattr__, __dir__, __all__ = lazy.attach(__name__)
