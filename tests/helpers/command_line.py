"""The command line in this process."""

from __future__ import annotations

import dataclasses
import runpy
import sys
from unittest import mock

import pytest

from mmdgan.cli import program
from mmdgan.core.text import format_value
from mmdgan.runs.experiment import Experiment


def status(*argv: str) -> int:
    """The exit status of `python -m mmdgan argv...`."""
    with pytest.raises(SystemExit) as stop:
        program.run_main(program.main, list(argv))
    return stop.value.code


def script_status(script: str, *argv: str) -> int:
    """The exit status of `python SCRIPT argv...`."""
    with mock.patch.object(sys, "argv", [script, *argv]), pytest.raises(SystemExit) as stop:
        runpy.run_path(script, run_name="__main__")
    return stop.value.code


def all_flags(experiment: Experiment) -> list[str]:
    """Every flag of `train`, with the experiment's values."""
    fields = dataclasses.fields(experiment)
    return [f"--{field.name}={format_value(getattr(experiment, field.name))}" for field in fields]
