"""What the tests of sweeps share: a base that trains in milliseconds, a sweep's file, a process that runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mmdgan.runs.experiment import Experiment
from tests.conftest import script_environment


def tiny_base(tiny_architecture: str, **more) -> Experiment:
    """Four steps of a network that trains in milliseconds, without scores."""
    options = {"data": "sample", "batch_size": 8, "max_step": 4, "rounds": 1, "grid": (2, 2), "metrics": (), "keep": 1}
    return Experiment(architecture=tiny_architecture, **{**options, **more})


def write_spec(folder: Path, base: Experiment, parts: str, name: str = "tiny") -> Path:
    """A sweep's file; `parts` are the rest of its arguments."""
    file = folder / f"{name}.py"
    text = "from mmdgan.experiment import Experiment\nfrom mmdgan.sweeps import Sweep, choice, loguniform\n\n"
    file.write_text(f"{text}SWEEP = Sweep(name={name!r}, base={base!r}, {parts})\n", encoding="utf-8")
    return file


def start(folder: Path, *words: str) -> subprocess.Popen:
    """`python -m mmdgan sweep ...` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "mmdgan", "sweep", *words],
        cwd=folder,
        env=script_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
