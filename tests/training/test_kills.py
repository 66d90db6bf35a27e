"""Training that is killed and resumed ends where an undisturbed run does, bit for bit."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import script_environment


@pytest.mark.slow
def test_three_kills(tmp_path):
    """The script's three: one of them while a checkpoint is written."""
    script = Path(__file__).with_name("kill_series.py")
    done = subprocess.run(
        [sys.executable, str(script), "3", "5"], capture_output=True, text=True, env=script_environment(), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 4 and lines[-1] == "each resumed run equals the undisturbed one"
    assert all("things are equal" in line and "by itself" not in line for line in lines[:3])
