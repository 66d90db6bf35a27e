"""Start-up, memory, and what surrounds the steps: seconds to help, first step and resumed step; logging and saving.

    python benchmarks/startup_time.py
    python benchmarks/startup_time.py --overhead

Runs train the CIFAR-10 network at batch 64 on the data set `sample`, whose images have the same size. Seconds count
from the command to the line that shows the step; memory is the process's largest resident set. The overhead of
data, logging and checkpoints is measured part by part, and set against the time of a step at the default settings.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from machine import describe_machine

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a checkout needs no installation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--overhead", action="store_true", help="data, logging and checkpoints instead of start-up")
    options = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        overhead(Path(folder)) if options.overhead else startup(Path(folder), options.repeats)


def startup(folder: Path, repeats: int) -> None:
    """Seconds to `--help`, to the first step and to the first resumed step; the peak memory of each."""
    print(f"{'':26}{'seconds':24}{'peak memory, GB'}")
    for name, run in (
        ("--help", lambda _: _run(["train", "--help"], "Usage")),
        ("first step", lambda index: _train(folder / str(index), 3)),
        ("first step when resumed", lambda index: _train(folder / str(index), 6)),
    ):
        found = [run(index) for index in range(repeats)]
        seconds = ", ".join(f"{elapsed:.2f}" for elapsed, _ in found)
        print(f"{name:26}{seconds:24}{max(memory for _, memory in found):.2f}", flush=True)


def _train(folder: Path, last: int) -> tuple[float, float]:
    flags = ["--architecture=cifar10/DCGAN", "--data=sample", "--metrics=", "--rounds=1", f"--max_step={last}"]
    return _run(["train", *flags, f"--results={folder}", f"--data_root={folder}"], "step ")


def _run(arguments: list[str], sign: str) -> tuple[float, float]:
    """Seconds until a line begins with a sign (to the end, if none does), and the process's peak memory in GB."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mmdgan", *arguments]
    start = time.monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        elapsed, lines = None, []
        for line in process.stdout:
            lines.append(line)
            if elapsed is None and line.startswith(sign):
                elapsed = time.monotonic() - start
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit("".join(lines))
    return elapsed or time.monotonic() - start, usage.ru_maxrss / 1e6


def overhead(folder: Path) -> None:
    """The share of a step that data, losses in TensorBoard, inspections and checkpoints take."""
    from mmdgan.core.startup import prepare_tensorflow
    from mmdgan.runs.experiment import Experiment

    prepare_tensorflow()
    from mmdgan.runs.train import TrainingRun

    places = {"results": str(folder), "data_root": str(folder)}
    e = Experiment(architecture="cifar10/DCGAN", data="sample", metrics=(), **places)
    run = TrainingRun(e.plan())
    gan, pipeline, monitor, checkpoints = run.gan, run.trainer.pipeline, run.monitor, run.checkpoints
    batches = iter(pipeline.dataset(0))
    batch = next(batches)
    step = _seconds(lambda: float(gan.step(batch["x"])["loss_gen"]), 10, warm_up=3)
    data = _seconds(lambda: next(batches), 200)
    scalars = _seconds(lambda: monitor.scalars(1, {"GANLoss/gen": 0.1, "GANLoss/dis": 0.2}), 50)
    inspect = _seconds(lambda: monitor.write(1, gan.inspect(batch["x"])), 3, warm_up=1)
    save = _seconds(lambda: checkpoints.save(1), 5)
    every = min(e.save_every, e.save_secs / step)
    rows = {
        "a batch of images": (data, 1),
        "losses to TensorBoard": (scalars, run.trainer.log_every),
        "an inspection": (inspect, e.query_step),
        "a checkpoint": (save, every),
    }
    print(f"a step: {step:.3f} s\n{'':24}{'seconds':>10}{'every n steps':>15}{'share of a step':>17}")
    for name, (seconds, steps) in rows.items():
        print(f"{name:24}{seconds:10.5f}{steps:15.0f}{seconds / steps / step:17.3%}")
    print(f"{'together':49}{sum(seconds / steps for seconds, steps in rows.values()) / step:17.3%}")


def _seconds(task: Callable[[], object], times: int, warm_up: int = 1) -> float:
    """The median time of a task."""
    found = []
    for index in range(times + warm_up):
        start = time.perf_counter()
        task()
        if index >= warm_up:
            found.append(time.perf_counter() - start)
    return statistics.median(found)


if __name__ == "__main__":
    main()
