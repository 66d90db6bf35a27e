"""The command line of `experiments/mmd_study.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from mmdgan import flags
from mmdgan.cli import run_main
from mmdgan.study.mnist_plan import Study


def main(usage: str) -> NoReturn:
    """Runs the study that the flags ask for and writes its report.

    Args:
        usage: what `--help` says first.
    """
    run_main(lambda words: study(words, usage))


def study(words: Sequence[str], usage: str = "") -> int:
    """The same with the flags as words; returns the exit status."""
    from mmdgan.study.mnist_running import run_study
    from mmdgan.study.report import write_report

    asked: Study = flags.parse(Study(), words, usage=usage).options
    runs = run_study(asked)
    print(f"Report:  {write_report(asked, runs, extra_sections())}")
    return 0


def extra_sections() -> list:
    """Sections of the study's other half, on points in the plane, where it has results to show."""
    try:
        from mmdgan.study.points import report_sections
    except ImportError:
        return []
    return list(report_sections())
