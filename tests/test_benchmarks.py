"""The benchmarks run and print their tables."""

import re
import subprocess
import sys

import pytest

from tests.conftest import PROJECT


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_throughput_of_data_is_measured_beside_its_limits(tmp_path):
    command = "benchmarks/data_throughput.py --pixels 32,48 --megabytes 2 --seconds 0.05 --batch_size 16 --folder"
    done = subprocess.run(
        [sys.executable, *command.split(), str(tmp_path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    rows = re.findall(r"^ +(\d+)  (\S.*?)  +([\d,]+) +([\d,]+)(?: +([\d,]+))?$", done.stdout, re.MULTILINE)
    names = {name for pixels, name, *_ in rows if pixels == "32"}
    assert {"limit: records verified and parsed", "memory", "memory, labels, flips"} < names and len(names) == 10
    assert sum(name.startswith("streamed") for name in names) == 5 and len(rows) == 20
    for pixels, name, rate, speed, goal in rows:
        images, megabytes = (int(number.replace(",", "")) for number in (rate, speed))
        assert images > 100 and abs(images * 3 * int(pixels) ** 2 / 1e6 - megabytes) <= 1
        assert goal == ("20,000" if pixels == "32" and not name.startswith("limit") else "")
    assert list(tmp_path.iterdir()) == [], "files are left behind"
