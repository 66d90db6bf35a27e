"""The benchmark of the step runs and prints its table."""

import re
import subprocess
import sys

from tests.conftest import PROJECT


def test_the_step_is_timed_in_its_parts():
    command = "benchmarks/step_time.py --architecture sample/DCGAN_SMALL --batch_size 2 --steps 1"
    done = subprocess.run(
        [sys.executable, *command.split()], cwd=PROJECT, capture_output=True, text=True, timeout=300, check=True
    )
    rows = dict(re.findall(r"^(\w[\w ]*?)  +(-?\d+\.\d+)", done.stdout, re.MULTILINE))
    parts = ["forward", "critic backward", "generator backward", "updates"]
    assert [name for name in rows if name in parts] == parts
    # Medians of one round: the parts are differences and add up to the step.
    assert abs(sum(float(rows[name]) for name in parts) - float(rows["our step"])) < 2e-3
