"""Kills conversions with signal 9 at random moments and does them again: the result must be an undisturbed one's.

    python tests/helpers/kill_conversions.py [ROUNDS [SEED]]

The conversion is a real one: CIFAR-10's binary files (of random images), many small shards, two worker processes.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT)]

from tests.helpers import handmade  # noqa: E402
from tests.helpers.made_sources import content_of  # noqa: E402

COUNT = 3000
_UNDER_WAY = "cifar10/.partial/"
_MOVED = "cifar10/cifar10-"
_PROGRAM = """
import sys
from mmdgan.data.preparation import convert, prepare
convert.SHARD_BYTES, convert.FEW_IMAGES = 2**18, 0
prepare.prepare("cifar10", source=sys.argv[1], data_root=sys.argv[2], workers=2)
"""


def make_source(folder: Path) -> Path:
    """CIFAR-10's binary files of random images."""
    rng = np.random.default_rng(0)
    return handmade.cifar_folder(folder, rng.integers(0, 256, (COUNT, 3, 32, 32), np.uint8), np.arange(COUNT) % 10)


def convert(source: Path, data_root: Path, kill_after: float | None = None) -> float:
    """Runs the conversion in a process of its own; kills it after some seconds if it still runs.

    Returns:
        the seconds it took.
    """
    start = time.monotonic()
    path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(source), str(data_root)], env={**os.environ, "PYTHONPATH": path}
    )
    try:
        process.wait(60 if kill_after is None else kill_after)
    except subprocess.TimeoutExpired:
        process.kill()
    status = process.wait()
    if kill_after is None and status:
        raise RuntimeError(f"The conversion ended with status {status}.")
    return time.monotonic() - start


def series(folder: Path, rounds: int, seed: int) -> list[str]:
    """Converts undisturbed; then kills and repeats, at a random moment each.

    Returns:
        a line for each round: the moment and what it left behind.

    Raises:
        AssertionError: another result than the undisturbed one.
    """
    source = make_source(folder / "official")
    seconds = convert(source, folder / "undisturbed")
    expected = content_of(folder / "undisturbed")
    moments, lines = random.Random(seed), []
    for number in range(rounds):
        root = folder / f"killed{number}"
        moment = moments.uniform(0.3 * seconds, seconds)  # Python itself takes the first third
        convert(source, root, moment)
        left = sorted(content_of(root)) if root.exists() else []
        convert(source, root)
        assert content_of(root) == expected, f"killed after {moment:.3f} s, which left {left}"
        half = sum(name.endswith(".partial.tfrecords") for name in left)
        records = [name for name in left if name.endswith(".tfrecords") and not name.endswith(".partial.tfrecords")]
        finished = sum(name.startswith(_UNDER_WAY) for name in records)
        moved = sum(name.startswith(_MOVED) for name in records)
        lines.append(f"killed after {moment:.3f} s of {seconds:.3f}: {finished} finished, {half} half, {moved} moved")
    return lines


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        rounds, seed = ([int(word) for word in sys.argv[1:]] + [20, 0][len(sys.argv) - 1 :])[:2]
        print("\n".join(series(Path(scratch), rounds, seed)))
        print("each result equals the undisturbed one")
