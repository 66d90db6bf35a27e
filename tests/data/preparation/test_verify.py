"""Verification of data sets on the disk: everything that is wrong is listed, in order."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os

import numpy as np
import pytest

from mmdgan.core.errors import DataError
from mmdgan.data.preparation import verify as verify_module
from mmdgan.data.preparation.verify import Report, verify
from mmdgan.data.records.framing import walk_all
from mmdgan.data.records.writer import ShardWriter
from mmdgan.data.sidecar import Origin, Shard, Sidecar
from tests.helpers import handmade

TINY = (3, 2, 2)
LABELS = np.arange(60) % 4


def prepared(folder, labels=LABELS, classes=4, shape=TINY, count=60):
    """A data set of three files with its sidecar; returns the sidecar."""
    folder.mkdir(parents=True)
    pictures, shards = handmade.images(count, shape=shape), []
    for k, part in enumerate(np.array_split(np.arange(count), 3)):
        name = f"{folder.name}-0000{k}-of-00003.tfrecords"
        with ShardWriter(folder / name) as writer:
            for i in part:
                writer.write(pictures[i], None if labels is None else labels[i])
        shards.append(writer.shard(name))
    names = () if labels is None else tuple(map(str, range(classes)))
    sidecar = Sidecar(folder.name, shape, labels is not None, names, Origin("images", "/from"), tuple(shards))
    sidecar.write(folder)
    return sidecar


def change(path, position, value=1):
    content = bytearray(path.read_bytes())
    content[position] ^= value
    path.write_bytes(content)


def silent(folder) -> Report:
    return verify(folder, say=lambda line: None)


@pytest.mark.parametrize("labels", [None, LABELS])
def test_a_sound_set(tmp_path, labels):
    lines = []
    prepared(tmp_path / "mine", labels)
    assert verify(tmp_path / "mine", lines.append) == Report("mine", 60, 3, ())
    (tmp_path / "mine").rename(tmp_path / "renamed")
    assert verify(str(tmp_path / "renamed"), lines.append) == Report("mine", 60, 3, ())
    assert not lines


def test_every_fault_is_listed_in_order(tmp_path):
    folder = tmp_path / "mine"
    sidecar = prepared(folder)
    files = [folder / shard.file for shard in sidecar.shards]
    ends = walk_all(files[0]).ends
    for record, place in ((2, 20), (7, 3), (11, -1)):  # data, length, checksum
        change(files[0], int(ends[record]) + place)
    files[1].unlink()
    files[2].write_bytes(files[2].read_bytes()[:-5])
    report = silent(folder)
    said = [
        f"{files[0]} has another SHA-256 than its sidecar says",
        f"Record 2 of {files[0]} is corrupt",
        f"Record 7 of {files[0]} is corrupt",
        f"Record 10 of {files[0]} is corrupt",
        f"{files[1]} is missing",
        f"{files[2]} has {sidecar.shards[2].bytes - 5:,} bytes where {sidecar.shards[2].bytes:,} are expected",
        f"Record 19 of {files[2]} is corrupt",
    ]
    assert len(report.problems) == len(said), report.problems
    for problem, beginning in zip(report.problems, said, strict=True):
        assert problem.startswith(beginning) and problem.endswith(".")
    assert (report.images, report.shards) == (39, 3)


def test_a_damaged_length_among_records_of_several(tmp_path):
    """Where records have several lengths, what comes after the damaged one cannot be found."""
    folder = tmp_path / "mine"
    sidecar = prepared(folder, np.arange(60) * 5, 300)
    path = folder / sidecar.shards[1].file
    change(path, int(walk_all(path).ends[13]) + 2)
    report = silent(folder)
    assert f"Record 13 of {path} is corrupt" in "".join(report.problems)
    [problem] = [problem for problem in report.problems if "Record 13" in problem]
    assert problem.endswith(", and what comes after it was not checked.") and report.images == 53


def rewritten(path, records):
    """A shard as some other program might have left it, with the sidecar's entry that fits it."""
    path.write_bytes(b"".join(map(handmade.framed, records)))
    content = path.read_bytes()
    return Shard(path.name, len(records), len(content), hashlib.sha256(content).hexdigest())


def test_records_that_are_sound_but_not_as_the_sidecar_says(tmp_path):
    folder = tmp_path / "mine"
    sidecar = prepared(folder)
    files = [folder / shard.file for shard in sidecar.shards]
    x, y = handmade.feature("x", bytes(12)), handmade.feature("y", 1)
    good = handmade.example(x, y)
    foreign = handmade.example(handmade.feature("image", b"jpeg"))
    shards = (
        rewritten(
            files[0],
            [good, foreign, foreign, foreign, good, handmade.example(x), handmade.example(x, handmade.feature("y", 4))],
        ),
        rewritten(files[1], [handmade.example(x)] * 5),
        rewritten(files[2], [handmade.example(handmade.feature("x", bytes(27)), y)] * 2),
    )
    dataclasses.replace(sidecar, shards=shards).write(folder)
    end = "get the file again or convert the data set again"
    assert silent(folder).problems == (
        f"Record 1 of {files[0]} has no image 'x' of one bytes value (its features: image); {end}"
        " (and so with the 2 records after it).",
        f"Record 5 of {files[0]} has no label 'y' where record 0 has one; {end}.",
        f"Record 6 of {files[0]} has the label 4 where 4 classes need 0 to 3; {end}.",
        f"{files[1]} holds no labels where its sidecar says that there are; {end}.",
        f"Record 0 of {files[2]} holds an image of 27 bytes where 12 are expected; {end}"
        " (and so with the 1 record after it).",
    )


def test_the_count_of_a_shard(tmp_path):
    folder = tmp_path / "mine"
    sidecar = prepared(folder)
    shards = (dataclasses.replace(sidecar.shards[0], count=21, sha256=None), *sidecar.shards[1:])
    dataclasses.replace(sidecar, shards=shards).write(folder)
    [problem] = silent(folder).problems
    assert "00000-of-00003.tfrecords holds 20 records where 21 are expected" in problem


def test_files_that_belong_to_no_shard_are_mentioned(tmp_path):
    folder, lines = tmp_path / "mine", []
    prepared(folder)
    for name in ("mine-00000-of-00004.tfrecords", "mine-00000-of-00003.tfrecords.old", "readme.txt"):
        (folder / name).write_text("another")
    (folder / ".partial").mkdir()
    report = verify(folder, lines.append)
    assert not report.problems and list(report.notes) == lines
    assert [line.split("/")[-1] for line in lines] == [
        "mine-00000-of-00003.tfrecords.old belongs to no shard; it is not used.",
        "mine-00000-of-00004.tfrecords belongs to no shard; it is not used.",
        ".partial is left over from a conversion; the command that made the data set removes it.",
    ]


def broken_sidecars(good):
    shard = good["shards"][0]
    return {
        "does not describe a data set": [
            "",
            "[]",
            "{}",
            {**good, "extra": 1},
            {**good, "shards": [{**shard, "count": "x"}]},
            {**good, "shards": [{**shard, "file": "../mine/" + shard["file"]}, *good["shards"][1:]]},
            {**good, "shards": [{**shard, "sha256": 5}, *good["shards"][1:]]},
            {**good, "shards": [{**shard, "count": -20}], "count": -20},
            {**good, "shape": [3, -2, 2]},
        ],
        "this version reads formats up to": [{**good, "format": 99}],
        "contradicts itself": [{**good, "count": 61}],
        "labels but no names of classes": [{**good, "class_names": []}],
        "names of classes but no labels": [{**good, "labels": False}],
        "which cannot be": [
            {**good, "shape": [2, 3, 2]},
        ],
        "more than once": [{**good, "shards": good["shards"] + [shard], "count": 80}],
    }


def test_broken_sidecars(tmp_path):
    prepared(tmp_path / "mine")
    path = tmp_path / "mine/mine.json"
    for message, contents in broken_sidecars(json.loads(path.read_text())).items():
        for content in contents:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
            report = silent(tmp_path / "mine")
            assert message in report.problems[0] and report.images in (60, 80), (content, report)


def test_the_original_s_files(tmp_path):
    """Without a sidecar the first record says what the others should be."""
    lines, pictures = [], handmade.images(50, shape=TINY)
    one = handmade.record_file(tmp_path / "old/a.tfrecords", pictures[:30], LABELS[:30])
    assert verify(one, lines.append) == Report("a", 30, 1, ()) and not lines
    two = handmade.record_file(tmp_path / "old/b-00001-of-00002.tfrecords", pictures[30:])
    change(one, 12)
    report = verify(tmp_path / "old", lines.append)
    assert (report.name, report.images, report.shards) == ("old", 50, 2) and "has no sidecar" in lines[0]
    missing, corrupt, labels = report.problems
    assert missing.startswith(f"{two.parent}/b-00000-of-00002.tfrecords is missing")
    assert corrupt.startswith(f"Record 0 of {one} is corrupt") and "Some of the files in" in labels
    handmade.record_file(two, handmade.images(3, shape=(3, 3, 3)), [1, 2, 3])
    assert "holds an image of 27 bytes where 12 are expected" in silent(tmp_path / "old").problems[-1]
    one.write_bytes(bytes(100))
    two.write_bytes(b"".join([handmade.framed(b"noise")] * 3))
    problems = silent(tmp_path / "old").problems
    assert [problem.split(" of ")[0] for problem in problems[1:]] == ["Record 0", "Record 0"]
    assert "(and so with the 2 records after it)" in problems[2]
    two.write_bytes(b"")
    assert silent(two).problems[1].startswith(f"{two} holds 0 records where some are expected")


def test_an_unfinished_conversion(tmp_path):
    (tmp_path / "mine/.partial").mkdir(parents=True)
    [problem] = silent(tmp_path / "mine").problems
    assert "mine holds an unfinished conversion" in problem


def test_nothing_to_verify(tmp_path):
    with pytest.raises(DataError, match="nothing to verify: .*none does not exist"):
        verify(tmp_path / "none")
    with pytest.raises(DataError, match=f"no records to verify in {tmp_path}; name the folder"):
        verify(tmp_path)


def test_a_file_that_cannot_be_read(tmp_path, monkeypatch):
    sidecar = prepared(tmp_path / "mine")
    shard = tmp_path / "mine" / sidecar.shards[0].file
    shard.chmod(0)
    if os.geteuid() == 0:  # root reads everything: the answer that others get

        def refuse(path, *options, open=os.open):
            if str(path) == str(shard):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return open(path, *options)

        monkeypatch.setattr(os, "open", refuse)
    [problem] = silent(tmp_path / "mine").problems
    assert "cannot be read (Permission denied)" in problem


@pytest.mark.parametrize("known", [False, True])
def test_a_hundred_random_changes(tmp_path, known):
    """Each is found, and its record is named and no other."""
    folder = tmp_path / "mine"
    sidecar = prepared(folder)
    if not known:
        (folder / "mine.json").unlink()
    path = folder / sidecar.shards[1].file
    content, ends = path.read_bytes(), walk_all(path).ends
    random = np.random.default_rng(5)
    for position in random.integers(0, len(content), 100).tolist():
        path.write_bytes(content)
        change(path, position, int(random.integers(1, 256)))
        number = np.searchsorted(ends, position, "right") - 1
        problems = silent(folder).problems
        assert len(problems) == (2 if known else 1)
        assert problems[-1].startswith(f"Record {number} of {path} is corrupt")


def test_progress(tmp_path, monkeypatch):
    lines = []
    prepared(tmp_path / "mine", shape=(3, 64, 64))
    monkeypatch.setattr(verify_module, "_REPORT_SECONDS", 0)
    verify(tmp_path / "mine", lines.append)
    assert len(lines) == 3 and lines[-1] == "Verified 1 of 1 MB, 0:00 left"
