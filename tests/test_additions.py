"""A loss, a metric and a data source are each added in one file, as docs/architecture.md says: tried on a copy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import PROJECT, script_environment

LOSS = '''

@loss("squared_means", source="this test", score_size=1, penalty_weight=None)
def squared_means(score_gen: TensorLike, score_data: TensorLike, inputs: LossInputs) -> GanLosses:
    """Squares of the mean scores: m_g^2; m_x^2."""
    score_gen, score_data = as_floats(score_gen, score_data)
    return GanLosses(tf.reduce_mean(score_gen) ** 2, tf.reduce_mean(score_data) ** 2, {}, inputs.state)
'''

METRIC = '''"""Mean brightness of the generated images."""

from collections.abc import Iterator

from mmdgan.core.lazy import np
from mmdgan.metrics.context import Context
from mmdgan.metrics.records import make_record
from mmdgan.metrics.registry import Metric, Score, register


@register
class Brightness(Metric):
    identifier = "brightness"
    scores = (Score("brightness"),)
    features = False

    def compute(self, context: Context) -> Iterator[dict]:
        images = context.generated.images.take(np.arange(context.generated.count))
        yield make_record("brightness", float(images.mean()), len(images), resize="none")
'''

SOURCE = '''"""Grey images of 4x4 pixels in a file that ends in .raw4: 16 bytes for each."""

from pathlib import Path

from mmdgan.data.sources.base import ImageSource, Request, source
from mmdgan.data.sources.byte_ranges import whole_file
from mmdgan.data.sources.fixed_records import Table, table_source


@source(words="a file of raw images of 4x4 pixels", own=True)
def find(path: Path, request: Request) -> ImageSource | None:
    if path.suffix != ".raw4":
        return None
    file = whole_file(path)
    return table_source("raw images", path, [file], [Table(file, (1, 4, 4))], (1, 4, 4), (), request)
'''

PROGRAM = """
import json, sys
import numpy as np
from mmdgan import data, losses, metrics

scores = np.array([[1.0], [2.0]], np.float32), np.array([[3.0], [5.0]], np.float32)
found = losses.get("squared_means")(*scores)
images = np.full((4, 8, 8, 3), 7, np.uint8)
[record] = metrics.evaluate_images(images, images, None, ("brightness",), seed=0, step=None)
read = data.open_data("raw", data_root=sys.argv[1])
image = read.take(np.array([1]))[0]
print(json.dumps([float(found.gen), float(found.dis), record["value"], image.reshape(-1).tolist()]))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package with one more loss, metric and source."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("mmdgan", "architectures"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "mmdgan/losses/classic.py").open("a", encoding="utf-8") as file:
        file.write(LOSS)
    (folder / "mmdgan/metrics/scores/brightness.py").write_text(METRIC, encoding="utf-8")
    (folder / "mmdgan/data/sources/raw4.py").write_text(SOURCE, encoding="utf-8")
    return folder


def _run(copy, *words: str) -> str:
    environment = {**script_environment(), "PYTHONPATH": os.fspath(copy)}
    done = subprocess.run([sys.executable, *words], cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_line_knows_them(copy):
    assert "squared_means" in _run(copy, "-m", "mmdgan", "losses")
    assert "brightness" in _run(copy, "-m", "mmdgan", "evaluate", "--help")
    words = ("--data=sample", "--architecture=sample/DCGAN_SMALL", "--loss=squared_means", "--dry_run")
    assert "1 output of critic layer" in _run(copy, "-m", "mmdgan", "train", *words)


def test_they_work(copy):
    pixels = bytes(range(32))
    (copy / "digits.raw4").write_bytes(pixels)
    _run(copy, "-m", "mmdgan", "prepare", "folder:digits.raw4", "--name=raw")
    gen, dis, brightness, image = json.loads(_run(copy, "-c", PROGRAM, "Data").splitlines()[-1])
    assert (gen, dis, brightness) == (pytest.approx(2.25), pytest.approx(16.0), 7.0)
    assert image == 3 * list(pixels[16:])  # a user's grey images become RGB, (C, H, W)
