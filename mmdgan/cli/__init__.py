"""The command line: `python -m mmdgan VERB` and what the scripts in experiments/ share with it."""

from mmdgan.cli.program import main, run_experiment, run_main

__all__ = ["main", "run_experiment", "run_main"]
