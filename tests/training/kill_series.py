"""Kills training with signal 9 at random moments and resumes it: the end must be an undisturbed run's, bit for bit.

    python tests/training/kill_series.py [ROUNDS [SEED]] [--flag=value ...]

Further flags go to `python -m mmdgan train`, such as `--strategy=mirrored --devices=2`. Each round is a new run: killed
once, at every second round in the moment when a checkpoint is being written, and resumed to its end. Compared are all
variables of the last checkpoint (weights, slots, moments, spectral vectors, the loss's state, the step), the curves,
and the pictures; steps are numbered, so that the state of the data and of random numbers is the step's.

Each training is a process of its own, forked from this one, which has imported TensorFlow and done nothing with it: a
start then takes a third of the time.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT))

from tests.conftest import TINY  # noqa: E402

STEPS = 240
_TIMED = "training/images_per_second"  # the only curve that tells of the clock
_FLAGS = (
    "--data=sample --loss=rand_g_mix --batch_size=8 --rounds=3 --grid=2,3 --metrics= --save_every=7 --query_step=16 "
    "--keep=2 --save_secs=none --deterministic --run_name=run"
).split()


class Child:
    """A forked process that does one thing."""

    def __init__(self, what: Callable[[], object], log: Path) -> None:
        self.status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.dup2(descriptor, 1)
                os.dup2(descriptor, 2)
                what()
                status = 0
            except SystemExit as stop:
                status = stop.code or 0
            finally:
                sys.stdout.flush()
                os._exit(status)

    def alive(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is None

    def wait(self) -> int:
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def kill(self) -> None:
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


class Training:
    """Runs of one configuration, each in a folder of its own."""

    def __init__(self, folder: Path, flags: list[str]) -> None:
        self.folder = folder
        (folder / "tiny.py").write_text(TINY, encoding="utf-8")
        self.flags = [f"--architecture={folder}/tiny.py:TINY", f"--max_step={STEPS}", *_FLAGS, *flags]

    def run(self, name: str) -> Path:
        """The directory of a run."""
        return self.folder / name / "sample" / "run"

    def log(self, name: str) -> Path:
        """What a run's processes print."""
        return self.folder / f"{name}.log"

    def start(self, name: str) -> Child:
        """Begins or resumes a run."""
        from mmdgan.cli import program

        argv = ["train", f"--results={self.folder / name}", *self.flags]
        return Child(lambda: program.run_main(program.main, argv), self.log(name))

    def finish(self, name: str) -> None:
        """Trains a run to its end."""
        if self.start(name).wait():
            raise RuntimeError(self.log(name).read_text())

    def contents(self, name: str) -> dict[str, np.ndarray]:
        """All that must be equal in two runs, by name; read in another process, for this one shall stay as it is."""
        file = self.folder / f"{name}.npz"
        reading = Child(lambda: np.savez(file, **contents(self.run(name))), self.log(name))
        if reading.wait():
            raise RuntimeError(self.log(name).read_text())
        with np.load(file) as held:
            return dict(held)

    def saved(self, name: str) -> list[int]:
        """The steps of a run's checkpoints."""
        return sorted(int(file.stem[5:]) for file in (self.run(name) / "checkpoints").glob("ckpt-*.index"))

    def kill(self, name: str, step: int, seconds: float, while_saving: bool) -> str:
        """Begins a run and kills it once it has a checkpoint of a step or a later one; returns what it left.

        Args:
            name: of the run.
            step: the step.
            seconds: to wait then, or if `while_saving` from the beginning of the next checkpoint on.
            while_saving: whether to wait for that.
        """
        process, folder = self.start(name), self.run(name) / "checkpoints"
        while process.alive() and max(self.saved(name), default=0) < step:
            time.sleep(0.001)
        while while_saving and process.alive() and not list(folder.glob(".saving-*")):
            pass
        time.sleep(seconds)
        ended = "" if process.alive() else "it had ended by itself, "
        process.kill()
        half = [file for saving in folder.glob(".saving-*") for file in saving.rglob("*")]
        left = f", a half-written one in {len(half)} files" if half else ""
        return f"{ended}left checkpoints of {self.saved(name)}{left}"


def contents(run: Path) -> dict[str, np.ndarray]:
    """All that must be equal in two runs, by name."""
    import tensorflow as tf

    from mmdgan.training.event_files import read_scalars

    reader = tf.train.load_checkpoint(str(run / "checkpoints" / f"ckpt-{STEPS}"))
    found = {
        name: np.frombuffer(np.asarray(reader.get_tensor(name)).tobytes(), np.uint8)
        for name in reader.get_variable_to_shape_map()
        if name.startswith("state/")
    }
    for tag, curve in read_scalars(run).items():
        if tag != _TIMED:
            found[f"steps of {tag}"], found[tag] = curve.steps, curve.values
    for picture in (run / "samples").iterdir():
        found[picture.name] = np.frombuffer(picture.read_bytes(), np.uint8)
    return found


def differences(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> list[str]:
    """The names under which two runs differ."""
    one = set(left) ^ set(right)
    return sorted(one | {name for name in set(left) - one if not np.array_equal(left[name], right[name])})


def series(folder: Path, rounds: int, seed: int, flags: list[str]) -> list[str]:
    """Trains undisturbed; then kills and resumes, at a random moment each.

    Returns:
        a line for each round: what the kill left behind.

    Raises:
        AssertionError: a resumed run differs from the undisturbed one.
    """
    training, moments, lines = Training(folder, flags), random.Random(seed), []
    training.finish("undisturbed")
    expected = training.contents("undisturbed")
    for number in range(rounds):
        name, while_saving = f"killed{number}", number % 2 == 1
        step, seconds = moments.randrange(STEPS - 30), moments.uniform(0, 0.005 if while_saving else 0.1)
        line = training.kill(name, step, seconds, while_saving)
        training.finish(name)
        found = differences(expected, training.contents(name))
        assert not found, f"{line}: these differ: {found}"
        lines.append(f"killed from step {step} on: {line}; resumed, {len(expected)} things are equal")
        print(lines[-1], flush=True)
    return lines


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if not word.startswith("--")]
    flags = [word for word in sys.argv[1:] if word.startswith("--")]
    rounds, seed = [*numbers, 20, 0][:2] if len(numbers) != 1 else (numbers[0], 0)
    import keras  # noqa: F401 - before all forks
    import tensorflow  # noqa: F401

    with tempfile.TemporaryDirectory() as scratch:
        series(Path(scratch), rounds, seed, flags)
    print("each resumed run equals the undisturbed one")
