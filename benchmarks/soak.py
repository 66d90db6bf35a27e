"""Memory, threads and open files of a training process over a long time: are they flat?

    python benchmarks/soak.py --minutes 30

Trains in a process of its own, with summaries, checkpoints, samples and scores at short intervals, and looks at
/proc/<pid> every few seconds. The verdict is by the slope of a straight line through what comes after the warm-up.
Linux only. Exit status 1: something grows, or training did not end as asked.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from machine import describe_machine

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))  # a checkout needs no installation

_UP = {"op": "tc", "kernel": 4, "act": "relu", "act_nm": "bn"}
_CRITIC = {"act": "lrelu", "w_nm": "s", "act_k": 2.0}
TINY = {
    "input": [(3, 32, 32)],
    "code": [(8, "linear")],
    "generator": [
        {"name": "l1", "op": "d", "out": 128, "out_reshape": [8, 4, 4]},
        {"name": "l2_up", "out": 6, "strides": 4, **_UP},
        {"name": "l3_up", "out": 3, "op": "tc", "kernel": 4, "strides": 2, "act": "tanh"},
    ],
    "discriminator": [
        {"name": "l1_ds", "out": 4, "kernel": 4, "strides": 4, **_CRITIC},
        {"name": "l2", "out": 4, "out_reshape": [256], **_CRITIC},
        {"name": "l3_s", "op": "d", "out": 16, "w_nm": "s", "act_k": 2.0},
    ],
}
"""A network whose steps take milliseconds, so that there are many."""

_ROWS = 12
_MEMORY_SHARE, _MEMORY_LEAST = 0.02, 2**23  # growth after the warm-up that passes: of what there is; bytes


class Sample(NamedTuple):
    """One look at a process."""

    seconds: float
    step: int
    memory: int
    threads: int
    files: int


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        samples, status = watch(options, Path(options.results or scratch))
    print(describe_machine(options.threads))
    print(f"{options.architecture}, batch {options.batch_size}, {' '.join(_flags(options, Path('RESULTS')))}")
    print(table(samples))
    ended = status == 128 + signal.SIGTERM
    print(f"training ended with status {status}" + ("" if ended else f", not {128 + signal.SIGTERM} (SIGTERM)"))
    sentences, flat = verdict(samples, options.warm_up)
    print("\n".join(sentences))
    return 0 if flat and ended else 1


def watch(options: argparse.Namespace, results: Path) -> tuple[list[Sample], int]:
    """Trains for some minutes after the first step; returns what was seen, and the exit status."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])}
    if options.threads:
        environment |= dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), str(options.threads))
        environment["OMP_NUM_THREADS"] = str(options.threads)
    command = [sys.executable, "-m", "mmdgan", "train", *_flags(options, results)]
    samples: list[Sample] = []
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        began, first = time.monotonic(), None
        while process.poll() is None and (first is None or time.monotonic() - first < 60 * options.minutes):
            time.sleep(options.interval)
            if (sample := _look(process.pid, time.monotonic() - began, _last_step(log))) is not None:
                samples.append(sample)
                first = time.monotonic() if first is None and sample.step else first
        process.terminate()
        status = process.wait()
        if status != 128 + signal.SIGTERM:
            log.seek(0)
            print(log.read()[-2000:], file=sys.stderr)
    return samples, status


def _flags(options: argparse.Namespace, results: Path) -> list[str]:
    steps = 10**7
    return [
        f"--architecture={options.architecture}",
        f"--batch_size={options.batch_size}",
        f"--max_step={steps}",
        f"--rounds={steps // options.score_every}",
        f"--query_step={options.query_step}",
        f"--save_every={options.save_every}",
        f"--metrics={options.metrics}",
        f"--score_count={options.score_count}",
        f"--results={results}",
        "--data=sample",
        "--loss=rep_b",
        "--grid=4,4",
        "--restart",
    ]


def _look(pid: int, seconds: float, step: int) -> Sample | None:
    """A process's resident memory, threads and open files; None if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        files = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None
    found = dict(re.findall(r"^(VmRSS|Threads):\s+(\d+)", status, re.MULTILINE))
    return Sample(seconds, step, int(found["VmRSS"]) * 1024, int(found["Threads"]), files) if "VmRSS" in found else None


def _last_step(log) -> int:
    """The step of the newest progress line."""
    log.seek(max(0, log.seek(0, os.SEEK_END) - 2000))
    return int(([0, *re.findall(r"^step (\d+)/", log.read(), re.MULTILINE)])[-1])


def table(samples: list[Sample]) -> str:
    """What was seen, in some rows of about equal time: the median of each."""
    lines = [f"{'minutes':>8} {'step':>9} {'MiB':>9} {'threads':>8} {'files':>6}"]
    for part in np.array_split(np.array(samples), min(_ROWS, len(samples))):
        seconds, step, memory, threads, files = np.median(part, axis=0)
        lines.append(f"{seconds / 60:8.1f} {step:9,.0f} {memory / 2**20:9.1f} {threads:8.0f} {files:6.0f}")
    return "\n".join(lines)


def verdict(samples: list[Sample], warm_up: float) -> tuple[list[str], bool]:
    """Whether memory, threads and files are flat after the warm-up: sentences, and whether all of them are.

    Args:
      samples: of the whole run.
      warm_up: the share of the time since the first step that is left out.
    """
    trained = [sample for sample in samples if sample.step]
    if len(trained) < 10:
        return ["too short a time to tell: training had hardly begun"], False
    first, last = trained[0].seconds, trained[-1].seconds
    kept = [sample for sample in trained if sample.seconds >= first + warm_up * (last - first)]
    seconds, _, *columns = np.array(kept, np.float64).T
    duration = seconds[-1] - seconds[0]
    limits = (max(_MEMORY_LEAST, _MEMORY_SHARE * columns[0].mean()), 0.5, 0.5)
    sentences, flat = [], True
    for name, column, limit, unit in zip(("memory", "threads", "files"), columns, limits, (2**20, 1, 1), strict=True):
        slope = np.polyfit(seconds - seconds[0], column, 1)[0]
        growth = slope * duration
        good = abs(growth) <= limit or growth < 0
        flat &= bool(good)
        what = " MiB" if name == "memory" else ""
        sentences.append(
            f"{name}: {column.min() / unit:,.1f} to {column.max() / unit:,.1f}{what}; slope "
            f"{slope * 3600 / unit:+.2f}{what} per hour, {growth / unit:+.2f}{what} in {duration / 60:.1f} minutes: "
            f"{'flat' if good else 'GROWS'}"
        )
    return sentences, flat


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="of training, from the first step on")
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between two looks")
    parser.add_argument("--warm_up", type=float, default=0.3, help="share of the training that the verdict leaves out")
    parser.add_argument("--architecture", default=f"{Path(__file__).resolve()}:TINY")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--threads", type=int, help="of TensorFlow's operations; all cores by default")
    parser.add_argument("--query_step", type=int, default=100)
    parser.add_argument("--save_every", type=int, default=50)
    parser.add_argument("--score_every", type=int, default=500)
    parser.add_argument("--metrics", default="swd")
    parser.add_argument("--score_count", type=int, default=64)
    parser.add_argument("--results", help="keep the run there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
