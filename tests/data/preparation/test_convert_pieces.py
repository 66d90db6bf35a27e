"""Conversion of files in pieces, so that a few files of many large images keep all cores busy."""

from __future__ import annotations

import os

import pytest

from mmdgan.core.errors import DataError
from mmdgan.data.catalog import DataInfo
from mmdgan.data.preparation import convert as convert_module
from mmdgan.data.preparation.convert import convert, join_pieces
from mmdgan.data.preparation.geometry import Geometry
from mmdgan.data.sidecar import Skipped
from mmdgan.data.sources.base import Request
from mmdgan.data.sources.folders import find
from tests.helpers.made_sources import content_of, made_source

TINY = DataInfo("tiny", (3, 8, 8), num_class=10)
COUNT = 50  # of one byte each, as their source says


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Two files of 25 images, each made in five pieces."""
    monkeypatch.setattr(convert_module, "SHARD_BYTES", 25 * 192)
    monkeypatch.setattr(convert_module, "PIECE_BYTES", 5)


def run(out, workers=1, skip_broken=False, **options):
    """Converts; returns (sidecar, lines of progress)."""
    lines: list[str] = []
    arguments = {"geometry": Geometry(), "options": {}, "workers": workers, "skip_broken": skip_broken}
    return convert(made_source(COUNT, **options), TINY, out, **arguments, say=lines.append), lines


def first_images(log):
    """The number of the first image of each part that was read."""
    return [int(line.split()[0]) for line in log.read_text().splitlines()]


@pytest.fixture
def at_once(tmp_path, monkeypatch):
    """What is written without pieces."""
    with monkeypatch.context() as patch:
        patch.setattr(convert_module, "PIECE_BYTES", 1000)
        run(tmp_path / "at once")
    return content_of(tmp_path / "at once")


@pytest.mark.parametrize("workers", [1, 3])
def test_pieces_make_the_same_files(tmp_path, at_once, workers):
    log = tmp_path / "log"
    run(tmp_path / "out", workers, log=str(log))
    assert content_of(tmp_path / "out") == at_once and len(at_once) == 3
    assert sorted(first_images(log)) == list(range(0, 50, 5))
    processes = {line.split()[1] for line in log.read_text().splitlines()}
    assert len(processes) == workers and (str(os.getpid()) in processes) == (workers == 1)


def test_pieces_do_not_depend_on_the_machine(tmp_path, at_once):
    """What one worker has begun, three go on with."""
    with pytest.raises(DataError, match="picture 33 is torn"):
        run(tmp_path / "out", broken=frozenset({33}))
    left = {path.name for path in (tmp_path / "out" / ".partial").glob("*.tfrecords")}
    assert left == {"tiny-00000-of-00002.tfrecords", "tiny-00001-of-00002-piece-000-of-005.tfrecords"}
    log = tmp_path / "log"
    _, lines = run(tmp_path / "out", 3, log=str(log))
    assert lines[1] == "30 images are kept from an interrupted conversion"
    assert sorted(first_images(log)) == [30, 35, 40, 45]
    assert content_of(tmp_path / "out") == at_once


def test_interrupted_before_the_pieces_are_put_together(tmp_path, at_once, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    for step in ("join_pieces", "_sidecar"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(convert_module, step, interrupt)
            run(tmp_path / "out")
    log = tmp_path / "log"
    log.touch()
    _, lines = run(tmp_path / "out", log=str(log))
    assert "50 images are kept" in lines[1] and first_images(log) == []
    assert content_of(tmp_path / "out") == at_once


def test_images_that_are_skipped(tmp_path):
    sidecar, _ = run(tmp_path / "out", 2, skip_broken=True, broken=frozenset({3, 24, 25, 26, 27, 28, 29}))
    assert sidecar.skipped == tuple(Skipped(f"picture {k}", "is torn") for k in (3, 24, 25, 26, 27, 28, 29))
    assert [shard.count for shard in sidecar.shards] == [23, 20]


def test_the_disk_must_hold_a_file_twice_while_it_is_put_together(tmp_path, monkeypatch):
    import shutil

    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=50 * (192 + 64) + 25 * 192 - 1))
    with pytest.raises(DataError, match="takes another 17.2 KiB"):
        run(tmp_path / "out")


def test_a_piece_that_is_gone(tmp_path):
    job = type("Job", (), {"file": tmp_path / "a.tfrecords"})
    piece = type("Job", (), {"file": tmp_path / "gone.tfrecords"})
    with pytest.raises(DataError, match="a.tfrecords cannot be written .*gone.tfrecords"):
        join_pieces(job, [piece], [])


def test_a_few_large_images_are_shared_among_processes(tmp_path, monkeypatch):
    """A thousand photographs at 64x64 pixels are one file: without pieces, one core would do it all."""
    monkeypatch.undo()
    announced = {}

    def stop(jobs, workers, *_):
        announced.update(jobs=len(jobs), workers=workers)
        raise KeyboardInterrupt

    monkeypatch.setattr(convert_module, "_results", stop)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(20):
        with open(folder / f"{number}.jpg", "wb") as stream:
            stream.truncate(2**20)
    info = DataInfo("photos", (3, 64, 64))
    source = find(folder, Request(info))
    with pytest.raises(KeyboardInterrupt):
        convert(source, info, tmp_path / "out", geometry=Geometry((64, 64), (64, 64)), options={}, workers=4)
    assert announced == {"jobs": 5, "workers": 4}
