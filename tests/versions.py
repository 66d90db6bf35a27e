"""Tries the package with other versions of Python and TensorFlow: an import, one training step, one score.

    python tests/versions.py --python python3.12 --tensorflow 2.18
    python tests/versions.py --python python3.10 --python python3.13 --tensorflow 2.21

Each pair gets a virtual environment of its own (some 3 GB, removed in the end) in which pip installs the package with
that TensorFlow, from the package index. One line says what came of it; the exit status is 1 if one failed. No test of
pytest's: it needs the index and minutes.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def probe() -> str:
    """What the environment that runs this has, after an import, a step and a score; an exception if one is wrong."""
    import keras
    import numpy as np
    import tensorflow as tf

    import mmdgan

    assert PROJECT not in Path(mmdgan.__file__).resolve().parents, "the checkout was imported, not what was installed"
    architecture = mmdgan.load_architecture("sample/DCGAN_SMALL")
    networks = mmdgan.build_generator(architecture), mmdgan.build_discriminator(architecture)
    gan = mmdgan.training.GanStep(*networks, mmdgan.losses.get("rep_b"), lr_dis=1e-3, lr_gen=1e-3)
    channels_first = networks[0].data_format == "channels_first"
    images = np.random.default_rng(0).uniform(-1, 1, (8, 3, 32, 32) if channels_first else (8, 32, 32, 3))
    losses = {name: float(value) for name, value in gan.step(images.astype(np.float32)).items()}
    assert all(np.isfinite(value) for value in losses.values()), losses
    # Features shifted by 1 in each of 4 directions: the Frechet distance is 4.
    features = np.random.default_rng(1).normal(size=(500, 4)).astype(np.float32)
    score = float(mmdgan.metrics.frechet_distance(features, features + 1))
    assert abs(score - 4) < 1e-2, score
    python = ".".join(map(str, sys.version_info[:3]))
    return (
        f"Python {python}, TensorFlow {tf.__version__}, Keras {keras.__version__}, NumPy {np.__version__}: import, "
        f"one step (loss_dis {losses['loss_dis']:.4f}), one score (FD {score:.4f})"
    )


def attempt(python: str, tensorflow: str, folder: Path) -> tuple[bool, str]:
    """Makes an environment in a folder and runs `probe` there: whether it went well, and the line to print."""
    where = f"{python}, TensorFlow {tensorflow}"
    inside = folder / "bin" / "python"
    steps = {
        "no virtual environment": [python, "-m", "venv", str(folder)],
        # Of Python 3.10 comes a pip whose search for versions that go together takes more than half an hour.
        "no newer pip": [str(inside), "-m", "pip", "install", "--quiet", "--upgrade", "pip"],
        "cannot be installed": [
            *(str(inside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *(f"tensorflow=={tensorflow}.*", str(PROJECT)),
        ],
        "failed": [str(inside), str(Path(__file__).resolve()), "--probe"],
    }
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    environment.pop("PYTHONPATH", None)
    for problem, words in steps.items():
        try:
            done = subprocess.run(words, cwd=folder.parent, env=environment, capture_output=True, text=True)
        except OSError as error:
            return False, f"{where}: {problem}: {error}"
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines() or [f"status {done.returncode}"]
            return False, f"{where}: {problem}: {said[-1]}"
    return True, done.stdout.strip().splitlines()[-1]


def main(argv: list[str] | None = None) -> int:
    """Tries every pair of the given versions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", help="an interpreter; may be given several times")
    parser.add_argument("--tensorflow", action="append", help="such as 2.18; may be given several times")
    parser.add_argument("--folder", help="where the environments are made; a temporary place by default")
    parser.add_argument("--probe", action="store_true", help="try the environment that runs this")
    options = parser.parse_args(argv)
    if options.probe:
        print(probe())
        return 0
    if not options.tensorflow:
        parser.error("give --tensorflow, such as --tensorflow 2.18")
    failures = 0
    for python, tensorflow in itertools.product(options.python or [sys.executable], options.tensorflow):
        folder = Path(tempfile.mkdtemp(prefix="mmdgan-versions-", dir=options.folder))
        try:
            well, line = attempt(python, tensorflow, folder / "venv")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        failures += not well
        print(line, flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
