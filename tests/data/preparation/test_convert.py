"""Conversion: the bytes written, restarts, broken images, faults of the disk and of worker processes."""

from __future__ import annotations

import collections
import fcntl
import json
import os
import shutil
import sys
import threading
from pathlib import Path

import pytest

from mmdgan.core.errors import DataError
from mmdgan.core.files import write_json
from mmdgan.data import sidecar as sidecar_module
from mmdgan.data.catalog import DataInfo
from mmdgan.data.open import open_data
from mmdgan.data.preparation import convert as convert_module
from mmdgan.data.preparation.convert import convert
from mmdgan.data.preparation.geometry import Geometry
from mmdgan.data.preparation.verify import verify
from mmdgan.data.sidecar import Skipped, read_sidecar
from tests.helpers import handmade
from tests.helpers.made_sources import content_of, made_source, picture

TINY = DataInfo("tiny", (3, 8, 8), num_class=10)
COUNT = 50
FILES = [f"tiny-0000{k}-of-00005.tfrecords" for k in range(5)]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Ten images in each file."""
    monkeypatch.setattr(convert_module, "SHARD_BYTES", 10 * 192)


@pytest.fixture
def in_processes(monkeypatch):
    """Even a few images are converted by worker processes."""
    monkeypatch.setattr(convert_module, "FEW_IMAGES", 0)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "Data" / "tiny"


def run(out, source=None, info=TINY, geometry=None, workers=1, **options):
    """Converts; returns (sidecar, lines of progress)."""
    lines: list[str] = []
    options = {"geometry": geometry or Geometry(), "options": {"split": "train"}} | options
    source = made_source(COUNT) if source is None else source
    return convert(source, info, out, workers=workers, say=lines.append, **options), lines


def interrupt(*_):
    raise KeyboardInterrupt


def expected_records(numbers, labelled=True):
    """What the original would write, made byte by byte."""
    for number in numbers:
        entries = [handmade.feature("x", picture(number).transpose(2, 0, 1).tobytes())]
        yield handmade.example(*entries, *([handmade.feature("y", number % 10)] if labelled else []))


@pytest.mark.parametrize("labelled", [False, True])
def test_records_and_sidecar(out, labelled):
    sidecar, lines = run(out, made_source(COUNT, 10 if labelled else 0))
    assert sorted(content_of(out)) == sorted([*FILES, "tiny.json"])
    for k, name in enumerate(FILES):
        records = handmade.unframed((out / name).read_bytes())
        assert records == list(expected_records(range(10 * k, 10 * k + 10), labelled))
    assert sidecar == read_sidecar(out, "tiny")
    assert (sidecar.count, sidecar.labels, len(sidecar.class_names)) == (COUNT, labelled, 10 if labelled else 0)
    assert sidecar.options == {"split": "train"} and sidecar.skipped == () and sidecar.version
    assert lines[0] == f"Converting made up to {out}: 50 images"
    assert lines[-1].startswith("tiny: 50 of 50 images, ") and lines[-1].endswith(" images/s, 0:00 left")


def test_the_number_of_workers_changes_nothing(tmp_path, in_processes):
    log = tmp_path / "log"
    for workers in (1, 2, 3):
        run(tmp_path / str(workers), made_source(COUNT, log=str(log), seconds=0.01), workers=workers)
    one, *others = (content_of(tmp_path / str(workers)) for workers in (1, 2, 3))
    assert all(other == one for other in others)
    processes = [line.split()[1] for line in log.read_text().splitlines()]
    assert set(processes[:5]) == {str(os.getpid())} and str(os.getpid()) not in processes[5:]
    assert len(set(processes[5:10])) == 2 and len(set(processes[10:])) == 3


def test_few_images_need_no_processes(out, tmp_path):
    log = tmp_path / "log"
    run(out, made_source(COUNT, log=str(log)), workers=None)
    assert {line.split()[1] for line in log.read_text().splitlines()} == {str(os.getpid())}


def test_geometry_and_size(out):
    geometry = Geometry((4, 4), (4, 4))
    sidecar, _ = run(out, info=DataInfo("tiny", (3, 4, 4), size=(8, 8)), geometry=geometry)
    assert sidecar.shape == (3, 4, 4) and len(sidecar.shards) == 2
    with pytest.raises(DataError, match="picture 0 is 8x8 pixels where 9x8 are expected"):
        run(out.parent / "b", info=DataInfo("tiny", (3, 4, 4), size=(9, 8)), geometry=geometry)
    with pytest.raises(DataError, match="picture 0 is 8x8 pixels where 4x4 are expected"):
        run(out.parent / "c", info=DataInfo("tiny", (3, 4, 4)))


def test_files_hold_about_32_mebibytes(out, monkeypatch):
    monkeypatch.undo()
    announced = []

    def stop(jobs, *_):
        announced.extend(jobs)
        interrupt()

    monkeypatch.setattr(convert_module, "_kept", stop)
    with pytest.raises(KeyboardInterrupt):
        run(out, made_source(50_000), DataInfo("cifar10", (3, 32, 32)))
    assert [len(job.part) for job in announced] == [10_000] * 5
    assert announced[4].file.name == "cifar10-00004-of-00005.tfrecords"
    assert not out.exists()  # nothing was finished


def test_a_restart_keeps_finished_files(out, tmp_path):
    run(tmp_path / "undisturbed")
    log = tmp_path / "log"
    with pytest.raises(DataError, match="picture 33 is torn; .*--skip_broken"):
        run(out, made_source(COUNT, broken=frozenset({33})))
    assert not list(out.glob("*.tfrecords"))
    assert sorted(path.name for path in (out / ".partial").glob("*.tfrecords")) == FILES[:3]
    assert not list((out / ".partial").glob(".*partial*"))
    for name in (".tiny-00003-of-00005.host-1-0.partial.tfrecords", "tiny-00003-of-00005.tfrecords.part"):
        (out / ".partial" / name).write_text("of a killed process")
    _, lines = run(out, made_source(COUNT, log=str(log)))
    assert lines[1] == "30 images are kept from an interrupted conversion"
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["30", "40"]
    assert content_of(out) == content_of(tmp_path / "undisturbed")


def changed_file(out):
    file = out / ".partial" / FILES[1]
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    return {}


def lost_receipt(out):
    (out / ".partial" / f"{FILES[1]}.json").unlink()
    return {}


def damaged_receipt(out):
    (out / ".partial" / f"{FILES[1]}.json").write_text("{")
    return {}


@pytest.mark.parametrize(
    ("change", "read"),
    [
        (changed_file, ["10", "30", "40"]),
        (lost_receipt, ["10", "30", "40"]),
        (damaged_receipt, ["10", "30", "40"]),
        (lambda out: {"source": {"version": "2"}}, ["0", "10", "20", "30", "40"]),
        (lambda out: {"options": {"split": "other"}}, ["0", "10", "20", "30", "40"]),
        (lambda out: {"geometry": Geometry(crop=(8, 8))}, ["0", "10", "20", "30", "40"]),
    ],
)
def test_what_has_changed_is_made_again(out, tmp_path, change, read):
    with pytest.raises(DataError):
        run(out, made_source(COUNT, broken=frozenset({33})))
    options = change(out)
    log = tmp_path / "log"
    run(out, made_source(COUNT, log=str(log), **options.pop("source", {})), **options)
    assert [line.split()[0] for line in log.read_text().splitlines()] == read
    run(tmp_path / "undisturbed", **options)
    assert content_of(out) == content_of(tmp_path / "undisturbed")


@pytest.mark.parametrize("step", range(1, 14))
def test_interrupted_while_it_finishes(out, tmp_path, monkeypatch, step):
    """At each of the steps that move files and remove what is left, and the same again."""
    run(tmp_path / "undisturbed")
    calls = collections.Counter()

    def interrupting(function):
        def call(*arguments, **options):
            calls["n"] += 1
            if calls["n"] == step:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        original = convert_module.Staging.finish

        def finish(self, sidecar):
            for name in ("replace", "unlink"):
                patch.setattr(Path, name, interrupting(getattr(Path, name)))
            patch.setattr(sidecar_module, "write_json", interrupting(write_json))
            original(self, sidecar)

        patch.setattr(convert_module.Staging, "finish", finish)
        patch.setattr(convert_module.Staging, "__exit__", lambda self, *_: os.close(self.descriptor))
        with pytest.raises(KeyboardInterrupt):
            run(out)
    if read_sidecar(out, "tiny") is None:
        _, lines = run(out)
        assert "50 images are kept" in lines[1]
    else:
        convert_module.clear_leftovers(out)
    assert content_of(out) == content_of(tmp_path / "undisturbed")


def test_broken_images_can_be_skipped(out, tmp_path):
    broken = frozenset({3, 33, 34})
    sidecar, _ = run(out, made_source(COUNT, broken=broken), skip_broken=True)
    assert sidecar.skipped == tuple(Skipped(f"picture {number}", "is torn") for number in sorted(broken))
    assert [shard.count for shard in sidecar.shards] == [9, 10, 10, 8, 10]
    records = sum((handmade.unframed((out / name).read_bytes()) for name in FILES), [])
    assert records == list(expected_records(number for number in range(COUNT) if number not in broken))
    assert read_sidecar(out, "tiny") == sidecar


def test_a_file_with_skipped_images_is_kept_only_where_they_may_be(out, tmp_path):
    source = made_source(COUNT, broken=frozenset({3}))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(convert_module, "_sidecar", interrupt)
        run(out, source, skip_broken=True)
    assert (out / ".partial" / FILES[0]).exists()
    with pytest.raises(DataError, match="picture 3 is torn"):
        run(out, source)
    _, lines = run(out, source, skip_broken=True)
    assert "50 images are kept" in lines[1]  # the failed attempt has not touched the first


def test_a_whole_file_of_broken_images(out):
    sidecar, _ = run(out, made_source(COUNT, broken=frozenset(range(10, 20))), skip_broken=True)
    assert sidecar.shards[1].count == 0 and (out / FILES[1]).read_bytes() == b""
    with pytest.raises(DataError, match="All 50 images of made up are broken.*: picture 0 is torn"):
        run(out.parent / "b", made_source(COUNT, broken=frozenset(range(COUNT))), skip_broken=True)


def test_a_file_in_the_way_is_kept(out):
    out.mkdir(parents=True)
    (out / FILES[0]).write_text("precious")
    run(out)
    assert (out / f"{FILES[0]}.old").read_text() == "precious"
    first = content_of(out)
    run(out)
    again = content_of(out)
    assert again["tiny.json.old"] == first["tiny.json"]
    assert (out / f"{FILES[0]}.old").read_text() == "precious"
    assert {name: again[name] for name in (*FILES, "tiny.json")} == {
        name: first[name] for name in (*FILES, "tiny.json")
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 3}, "made up has 3 classes where tiny has 10"),
        ({"count": 0}, "made up holds no images"),
        ({"ending": "short"}, "another number of images than the 10 that it announced"),
        ({"ending": "long"}, "another number of images than the 10 that it announced"),
    ],
)
def test_faulty_sources_leave_nothing(out, options, message):
    with pytest.raises(DataError, match=message):
        run(out, made_source(**{"count": COUNT} | options))
    assert not out.exists()


def test_labels_must_fit_the_classes(out):
    source = made_source(COUNT, 10)
    too_few = type(source)(source.origin, COUNT, source.part, class_names=("a", "b"))
    with pytest.raises(DataError, match="picture 2 has label 2 where there are 2 classes"):
        run(out, too_few, DataInfo("tiny", (3, 8, 8)))
    none = type(source)(source.origin, COUNT, source.part)
    with pytest.raises(DataError, match="picture 0 has label 0 where there are no classes"):
        run(out, none)


def test_too_small_a_disk(out, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10_000))
    with pytest.raises(DataError, match="takes another 12.5 KiB in .*tiny, whose disk has 9.8 KiB free.*--data_root"):
        run(out)
    assert not out.exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=12_800))
    with pytest.raises(DataError, match="picture 33"):
        run(out, made_source(COUNT, broken=frozenset({33})))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2 * 2560))
    run(out)  # three of the five files are there


def test_folders_that_cannot_be_written(out, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="The folder .*file/tiny cannot be made"):
        run(tmp_path / "file" / "tiny")
    out.mkdir(parents=True)
    (out / ".partial").touch()
    with pytest.raises(DataError, match="The folder .*tiny cannot be written"):
        run(out)


def full(*_):
    raise OSError(28, "No space left on device")


def test_a_disk_that_is_full_at_the_end(out, monkeypatch):
    with (
        monkeypatch.context() as patch,
        pytest.raises(DataError, match="tiny cannot be written .*No space left.*again"),
    ):
        patch.setattr(sidecar_module, "write_json", full)
        run(out)
    _, lines = run(out)
    assert "50 images are kept" in lines[1]


def test_a_full_disk(out, monkeypatch):
    monkeypatch.setattr(convert_module, "write_json", full)
    with pytest.raises(DataError, match="No space left on device"):
        run(out)
    assert not list(out.rglob("*.part*"))


def test_two_conversions_at_once(out, monkeypatch):
    monkeypatch.setattr(convert_module, "_PATIENCE_SECONDS", 0.1)
    (out / ".partial").mkdir(parents=True)
    with open(out / ".partial" / ".lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="Another process is converting a data set into .*tiny: wait"):
            run(out)
    with convert_module.Staging(out), pytest.raises(DataError, match="Another process .* is converting"):
        run(out)
    run(out)
    assert sorted(content_of(out)) == sorted([*FILES, "tiny.json"])


def test_another_process_was_faster(out, monkeypatch):
    enter = convert_module.Staging.__enter__

    def enter_late(self):
        monkeypatch.setattr(convert_module.Staging, "__enter__", enter)
        run(out)
        return enter(self)

    monkeypatch.setattr(convert_module.Staging, "__enter__", enter_late)
    with pytest.raises(DataError, match="Another process has just converted tiny into "):
        run(out)
    assert sorted(content_of(out)) == sorted([*FILES, "tiny.json"])


def test_faults_in_worker_processes(out, in_processes):
    with pytest.raises(DataError, match="^picture 33 is torn; fix it"):
        run(out, made_source(COUNT, broken=frozenset({33})), workers=2)
    with pytest.raises(
        DataError, match="A worker process was killed by signal 9, .*: run the same command again, which"
    ):
        run(out, made_source(COUNT, ending="killed", version="2"), workers=2)
    with pytest.raises(RuntimeError, match="A worker process failed:(.*\n)*ZeroDivisionError: a defect"):
        run(out, made_source(COUNT, ending="crash", version="2"), workers=2)
    run(out, workers=2)
    assert sorted(content_of(out)) == sorted([*FILES, "tiny.json"])


def test_progress_tells_rate_and_time_left(monkeypatch):
    clock, lines = [100.0], []
    monkeypatch.setattr("mmdgan.core.progress.time.monotonic", lambda: clock[0])
    meter = convert_module._Meter("tiny", 202_599, 2_599, lines.append)
    for seconds, images in ((1, 1000), (1, 1000), (1, 1000), (97, 97_000)):
        clock[0] += seconds
        meter.add(images)
    assert lines == [
        "tiny: 4,599 of 202,599 images, 1,000 images/s, 3:18 left",
        "tiny: 102,599 of 202,599 images, 1,000 images/s, 1:40 left",
    ]
    meter.add(100_000)
    assert lines[-1] == "tiny: 202,599 of 202,599 images, 2,000 images/s, 0:00 left"


def test_the_receipt_says_what_is_in_the_file(out):
    with pytest.raises(DataError):
        run(out, made_source(COUNT, broken=frozenset({33})))
    receipt = json.loads((out / ".partial" / f"{FILES[0]}.json").read_text())
    assert receipt["shard"]["count"] == 10 and len(receipt["shard"]["sha256"]) == len(receipt["key"]) == 64
    assert receipt["shard"]["bytes"] == (out / ".partial" / FILES[0]).stat().st_size
    assert receipt["skipped"] == []


@pytest.mark.slow
def test_work_grows_as_the_number_of_files(tmp_path, monkeypatch):
    """Calls of functions, Python's and C's: four times as many shards take at most about four times as many."""
    monkeypatch.setattr(convert_module, "SHARD_BYTES", 192)

    def calls(images):
        count, folder = 0, tmp_path / f"{images}" / "tiny"

        def profile(*_):
            nonlocal count
            count += 1

        threading.setprofile(profile)
        sys.setprofile(profile)
        try:
            run(folder, made_source(images))
            assert not verify(folder, lambda line: None).problems
            open_data("tiny", data_root=folder.parent, say=lambda line: None)
            (folder / "tiny.json").unlink()
            assert not verify(folder, lambda line: None).problems
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
        return count

    calls(10)  # imports and caches
    few, many = calls(50), calls(200)
    assert 3 < many / few < 5
