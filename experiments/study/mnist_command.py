"""The command line of `experiments/mmd_study.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from mmdgan.cli import flags
from mmdgan.cli.program import run_main
from study.mnist_plan import Study


def main(usage: str) -> NoReturn:
    """Runs the study that the flags ask for and writes its report.

    Args:
        usage: what `--help` says first.
    """
    run_main(lambda words: study(words, usage))


def study(words: Sequence[str], usage: str = "") -> int:
    """The same with the flags as words; returns the exit status."""
    from study.mnist_running import run_study
    from study.report import write_report
    from study.report_points import points_sections

    asked: Study = flags.parse(Study(), words, usage=usage).options
    runs = run_study(asked)
    print(f"Report:  {write_report(asked, runs, points_sections(asked))}")
    return 0
