"""The verb `import-tf1`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from mmdgan import design
from mmdgan.cli import flags
from mmdgan.core.options import changed_flags
from mmdgan.core.text import command
from mmdgan.runs.experiment import Experiment
from mmdgan.runs.folder import RunFolder


def import_tf1(argv: Sequence[str]) -> int:
    """Turn a TensorFlow 1 checkpoint of the original into a run that samples, evaluates and resumes."""
    usage = flags.usage("import-tf1 PREFIX --architecture FILE:NAME [--flag=value ...]", import_tf1)
    parsed = flags.parse(Experiment(), argv, usage=usage, arguments=("PREFIX",))
    from mmdgan.runs.import_tf1 import import_run

    load = functools.cache(design.load_architecture)
    prefix, asked = parsed.arguments[0], parsed.options
    run = import_run(prefix, asked, load, print)
    step = RunFolder(run).steps()[-1]
    again = changed_flags(_resuming(asked, Experiment.load(run), asked.plan(load).experiment, step))
    print(f"{prefix} is now the run {run}, after step {step:,}.")
    print(f"Samples:      {command('sample', run, '--count', 400)}")
    print(f"Scores:       {command('evaluate', run)}")
    print(f"Train it on:  {command('train', *again)}")
    return 0


def _resuming(asked: Experiment, made: Experiment, default: Experiment, step: int) -> Experiment:
    """The experiment that trains an imported run on: as asked for, with the checkpoint's number of outputs.

    Args:
        asked: The experiment of the command line.
        made: The experiment of the run.
        default: `asked`, resolved: with the number of outputs that training would take.
        step: Step of the checkpoint.
    """
    longer = asked.max_step if asked.max_step > step else 2 * step
    size = None if made.score_size == default.score_size else made.score_size
    return dataclasses.replace(asked, restart=False, max_step=longer, score_size=asked.score_size or size)
