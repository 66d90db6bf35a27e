"""The benchmark of the scores runs on small sets and prints its table."""

import re
import subprocess
import sys

import pytest

from tests.conftest import PROJECT


def _run(*options):
    command = [sys.executable, "benchmarks/metrics_time.py", *options]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_every_score_is_timed_with_its_memory(tmp_path):
    parts = "moments,roots,tfgan,fid_error,fid_infinity,is,kid,cmmd,mind,nn,swd,prdc"  # MS-SSIM takes a minute
    done = _run("--counts", "1500,2100", "--features", "64", "--folder", str(tmp_path), "--parts", parts)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| (\S[^|]*?) \| ([\d,]+) \| ([\d.]+) \| ([\d.]+) \| ([\d,]+) \|$", done.stdout, re.MULTILINE)
    assert [count for _, count, *_ in rows] == ["1,500"] * 13 + ["2,100"] * 13
    assert len({name for name, *_ in rows}) == 13
    assert all(float(seconds) < 60 for _, _, seconds, *_ in rows)
    # A tile of 1,024 x 1,500 float32 distances, and what is made of it, takes 6 MB and more.
    memory = {name: int(megabytes.replace(",", "")) for name, _, _, _, megabytes in rows}
    assert 6 <= memory["precision, recall, density, coverage with their intervals"] < 500
    assert re.search(r"^- tensorflow-gan: [\d.]+ to [\d.]+ s, within the bound$", done.stdout, re.MULTILINE)
    assert float(re.search(r"difference of both: (\S+)", done.stdout)[1]) < 1e-8
    assert "frechet_distance of 64 features takes: tensorflow-gan" in done.stdout
    assert list(tmp_path.iterdir()) == [], "files are left behind"


def test_options_that_make_no_sense_are_refused():
    done = _run("--parts", "fid")
    assert done.returncode == 2
    assert re.search(r"--parts takes any of moments, .*, prdc, ms_ssim, not\s+fid", done.stderr)
    done = _run("--counts", "many")
    assert done.returncode == 2 and "not many" in done.stderr
