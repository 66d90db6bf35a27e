"""The benchmarks run and print their tables."""

import importlib
import re
import subprocess
import sys

import numpy as np
import pytest

from mmdgan import design
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


def test_the_soak_run_tells_growth_from_noise():
    sys.path.insert(0, str(PROJECT / "benchmarks"))
    try:
        import soak
    finally:
        sys.path.pop(0)

    def samples(slope, files=0.0, burst=2**20):
        noise = np.random.default_rng(0).normal(0, burst, 361)
        begun = np.minimum(np.arange(361) / 60, 1) * 2**28  # a minute of warm-up
        return [
            soak.Sample(5.0 * i, i, int(2**28 + begun[i] + noise[i] + slope * i), 9, 30 + int(files * i))
            for i in range(361)
        ]

    assert soak.verdict(samples(0), 0.3)[1]
    assert soak.verdict(samples(-1e5), 0.3)[1], "less is no leak"
    sentences, flat = soak.verdict(samples(2**26 / 360), 0.3)
    assert not flat and re.match(r"memory: .* slope \+12\d.* MiB per hour.*GROWS", sentences[0])
    assert sentences[1].endswith("flat") and "threads: 9.0 to 9.0" in sentences[1]
    sentences, flat = soak.verdict(samples(0, files=0.02), 0.3)
    assert not flat and sentences[2].startswith("files") and sentences[2].endswith("GROWS")
    rows = soak.table(samples(0)).splitlines()
    assert len(rows) == 13 and rows[1].split()[0] == "1.2" and rows[-1].split()[0] == "28.8"


@pytest.mark.slow
def test_the_soak_run_watches_training(tmp_path):
    command = f"benchmarks/soak.py --minutes 0.2 --interval 0.5 --score_every 100 --results {tmp_path}"
    done = subprocess.run([sys.executable, *command.split()], cwd=PROJECT, capture_output=True, text=True, timeout=300)
    assert "training ended with status 143\n" in done.stdout, done.stderr
    assert len(re.findall(r"^(memory|threads|files): ", done.stdout, re.MULTILINE)) == 3
    assert list(tmp_path.rglob("ckpt-*.index"))


def test_the_model_of_many_devices_adds_up():
    """One device sends nothing; gradients are 4 bytes per parameter; efficiency falls with the number of devices."""
    done = subprocess.run(
        [sys.executable, "benchmarks/scaling_model.py", "--replicas", "1,8,64"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    rows = [re.findall(r"[\d.]+", line) for line in done.stdout.splitlines()[2:]]
    names = "replicas batch networks loss messages number size wait step efficiency with_error".split()
    one, eight, many = (dict(zip(names, map(float, row), strict=True)) for row in rows)
    assert (one["number"], one["messages"], one["efficiency"]) == (0, 0, 100)
    # Scores forward and in two passes back, three batch norms forth and back, two networks' gradients.
    assert eight["number"] == many["number"] == 3 + 2 * 3 + 2
    parameters = 3_811_907 + 5_983_760
    norms = 2 * 8 * 2 * 4 * (256 + 128 + 64)
    assert eight["size"] == pytest.approx((4 * parameters + 3 * 2 * 512 * 16 * 4 + norms) / 1e6, abs=0.06)
    assert one["efficiency"] > eight["efficiency"] > many["efficiency"] > 0
    for row in (one, eight, many):
        parts = row["networks"] + row["loss"] + row["messages"] + row["wait"]
        assert row["step"] == pytest.approx(parts, abs=0.03)
        assert row["efficiency"] == pytest.approx(100 * one["step"] / row["step"], abs=0.6)
        with_error = one["step"] + 1.34 * (row["step"] - one["step"])
        assert row["with_error"] == pytest.approx(100 * one["step"] / with_error, abs=0.6)
    # The slowest of many normal numbers: 1.42 and 2.39 standard deviations, of 2% (tables of order statistics).
    for row, deviations in ((one, 0), (eight, 1.42), (many, 2.39)):
        busy = row["networks"] + row["loss"]
        assert row["wait"] == pytest.approx(0.02 * deviations * busy, rel=0.03, abs=0.006)
    # Batch norm: 8 passes over 16x16x128 + 8x8x256 + 32x32x64 numbers of 64 images at 1 TB/s.
    assert eight["networks"] - one["networks"] == pytest.approx(8 * 114_688 * 64 * 4 / 1e9, abs=0.011)


def test_what_several_devices_send(monkeypatch):
    """Sixteen devices of two nodes, by hand; batch norm with classes is summed over them as that without."""
    monkeypatch.syspath_prepend(PROJECT / "benchmarks")
    model = importlib.import_module("scaling_model")
    machine = model.Machine(within=1e9, between=1e8, launch=1e-3, hop=1e-4, tensor=1e-5, memory=1e10)
    ring = 2 * 7 / 8 * 8e6 / 1e9 + 2 * 1 / 2 * 8e6 / 1e8 + 1e-3 + 2 * 4 * 1e-4
    packing = 3 * 1e-5 + 4 * 8e6 / 1e10
    assert model.message_seconds(model.Message("scores", 8_000_000), 16, machine) == pytest.approx(ring)
    assert model.message_seconds(model.Message("gradients", 8_000_000, 3), 16, machine) == pytest.approx(ring + packing)
    players = design.parse_architecture(design.load_architecture("sample/PROJECTION_SMALL"), 10)
    what = [message.what for message in model.step_messages(*players, 64, 2, shared_backward=False)]
    assert what.count("batch norm") == 2 * 3


@pytest.mark.slow
def test_messages_between_two_processes_are_measured():
    command = "benchmarks/scaling_measured.py --batch_size 4 --rounds 2"
    done = subprocess.run(
        [sys.executable, *command.split()], cwd=PROJECT, capture_output=True, text=True, timeout=400, check=True
    )
    rows = dict(re.findall(r"^(\w.*?)  +(-?\d+\.\d+) ms", done.stdout, re.MULTILINE))
    assert float(rows["messages, by the model"]) > 0 and float(rows["step of both together"]) > 0
    assert float(rows["all-reduce of 4.194 MB"]) > float(rows["all-reduce of 0.000 MB"])


@pytest.mark.slow
def test_times_of_presets(run_script):
    command = "benchmarks/preset_times.py points/MLP sample/PROJECTION_SMALL --batch_size 4 --steps 1"
    script, *words = command.split()
    done = run_script(str(PROJECT / script), *words)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["points/MLP", "sample/PROJECTION_SMALL"]
    assert all(0 < float(row[1]) < 60 and row[2:5] == ["s", "a", "step,"] for row in rows)
