"""Scalars read back, against what was written and against TensorBoard's own reader."""

from __future__ import annotations

import random

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorflow.core.util.event_pb2 import Event

from mmdgan.core.errors import ConfigError
from mmdgan.data.records.framing import masked_crc
from mmdgan.training import tensorboard as monitor_module
from mmdgan.training.event_files import read_scalars, readable
from mmdgan.training.tensorboard import Monitor


def write(folder, points, name="events.out.tfevents.1000000000.host", began=1e9):
    """An event file as TensorFlow 1 writes it: {tag: [(step, value)]}, the tags in turn; times are 100 + step."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    with tf.io.TFRecordWriter(str(path)) as file:
        file.write(Event(wall_time=began, file_version="brain.Event:2").SerializeToString())
        for tag, pairs in points.items():
            for step, value in pairs:
                event = Event(wall_time=100.0 + step, step=step)
                event.summary.value.add(tag=tag, simple_value=value)
                file.write(event.SerializeToString())
    return path


def curve(*pairs):
    """Points (step, value) as a list, from `Scalars` too."""
    return [(int(step), float(value)) for step, value in pairs]


def points(scalars):
    return curve(*zip(scalars.steps, scalars.values, strict=True))


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for tag, scalars in found.items():
        for ours, theirs in zip(scalars, expected[tag], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_monitors_scalars(tmp_path):
    monitor = Monitor(tmp_path / "logs")
    monitor.text("configuration", "**loss** rep_b")
    monitor.scalars(3, {"GANLoss/gen": tf.constant(0.1), "lr": np.float64(1 / 3), "count": 7})
    monitor.histograms(3, {"x/sx": np.zeros(3)})
    monitor.images(3, {"Ig": np.zeros((4, 2, 2, 3), "uint8")})
    monitor.scalars(2**40, {"GANLoss/gen": float("nan")})
    monitor.close()
    found = read_scalars(tmp_path)
    assert list(found) == ["count", "loss/generator", "lr"]
    assert [array.dtype for array in found["lr"]] == [np.int64, np.float64, np.float64]
    np.testing.assert_array_equal(found["GANLoss/gen"].steps, [3, 2**40])
    np.testing.assert_array_equal(found["GANLoss/gen"].values, [np.float32(0.1), np.nan])
    assert points(found["count"]) == [(3, 7.0)]
    assert found["lr"].values == pytest.approx([1 / 3], rel=1e-7)
    assert abs(found["lr"].times[0] - (tmp_path / "logs").stat().st_mtime) < 60
    assert_same(read_scalars(tmp_path / "logs"), found)
    assert_same(read_scalars(next((tmp_path / "logs").iterdir())), found)
    assert monitor_module.read_scalars is read_scalars


def test_one_tag_and_several(tmp_path):
    write(tmp_path, {"b": [(1, 2.0)], "a": [(1, 3.0)], "c": [(4, 5.0)]})
    assert points(read_scalars(str(tmp_path), "a")) == [(1, 3.0)]
    assert {tag: points(found) for tag, found in read_scalars(tmp_path, ("c", "a")).items()} == {
        "c": [(4, 5.0)],
        "a": [(1, 3.0)],
    }
    assert read_scalars(tmp_path, []) == {}


def test_a_run_as_tensorboard_reads_it(tiny_run):
    folder = tiny_run[1]
    events = EventAccumulator(str(folder / "logs"), size_guidance={"tensors": 0}).Reload()
    found = read_scalars(folder)
    plugins = {tag: events.SummaryMetadata(tag).plugin_data.plugin_name for tag in events.Tags()["tensors"]}
    assert set(found) == {tag for tag, plugin in plugins.items() if plugin == "scalars"} > {"loss/generator"}
    for tag, scalars in found.items():
        expected = [(e.step, float(tf.make_ndarray(e.tensor_proto)), e.wall_time) for e in events.Tensors(tag)]
        assert [tuple(point) for point in zip(*scalars, strict=True)] == expected


def test_a_later_file_takes_the_place_of_an_earlier_ones_end(tmp_path):
    # By name the files would be in the opposite order.
    write(tmp_path, {"loss": [(i, 1.0) for i in range(0, 60, 10)], "old": [(50, 7.0)]}, "x.tfevents.9", began=1e9)
    write(tmp_path, {"loss": [(30, 2.0), (45, 2.0)], "new": [(45, 8.0)]}, "x.tfevents.10", began=1e9 + 0.5)
    found = read_scalars(tmp_path)
    assert points(found["loss"]) == [(0, 1), (10, 1), (20, 1), (30, 2), (45, 2)]
    np.testing.assert_array_equal(found["loss"].times, [100, 110, 120, 130, 145])
    assert (points(found["old"]), points(found["new"])) == ([(50, 7)], [(45, 8)])


def test_a_second_resumption_goes_back_further(tmp_path):
    for number, steps in enumerate([range(0, 50), range(30, 60), range(10, 20)]):
        file = {"loss": [(step, number) for step in steps]}
        write(tmp_path, file, f"events.out.tfevents.{number}", began=1e9 + number)
    expected = [(step, 0) for step in range(10)] + [(step, 2) for step in range(10, 20)]
    assert points(read_scalars(tmp_path, "loss")) == expected


def test_going_back_within_a_file(tmp_path):
    write(tmp_path, {"loss": [(1, 1.0), (2, 1.0), (3, 1.0), (2, 2.0), (2, 3.0), (9, 4.0)]})
    assert points(read_scalars(tmp_path, "loss")) == [(1, 1), (2, 3), (9, 4)]


def test_numbers_in_every_form_that_writers_use(tmp_path):
    """Tensors of other types and layouts, and the mark of a scalar only with a tag's first point."""
    numbers = [np.float32(1.5), np.float64(0.1), np.int64(-3), np.array([2.5], "float32"), np.float16(0.25)]
    with tf.io.TFRecordWriter(str(tmp_path / "tfevents")) as file:
        for step, number in enumerate(numbers):
            event = Event(step=step)
            value = event.summary.value.add(tag="x", tensor=tf.make_tensor_proto(number))
            if step == 0:
                value.metadata.plugin_data.plugin_name = "scalars"
            file.write(event.SerializeToString())
        event = Event(step=9)
        event.summary.value.add(tag="x", tensor=tf.make_tensor_proto([1.0, 2.0]))
        event.summary.value.add(tag="x", tensor=tf.make_tensor_proto("text"))
        event.summary.value.add(tag="no scalar", tensor=tf.make_tensor_proto(1.0))
        file.write(event.SerializeToString())
        file.write(b"not an event \xff")
    found = read_scalars(tmp_path)
    assert list(found) == ["x"]
    assert points(found["x"]) == list(enumerate([1.5, 0.1, -3.0, 2.5, 0.25]))


@pytest.mark.parametrize(
    ("place", "tags", "sentence"),
    [
        ("runn", None, "runn does not exist; give a run directory"),
        (".", None, "logs holds no event files; give a run directory"),
        (
            "full",
            "loss/critic_",
            r"no scalars with the tag 'loss/critic_' \(did you mean loss/critic\?\); it has 'loss/c",
        ),
        ("full", ["GANLoss/gen", "Ig"], "no scalars with the tag 'Ig'; it has 'loss/critic', 'loss/generator'"),
        ("empty", "x", "no scalars with the tag 'x'; it has none"),
    ],
)
def test_what_is_missing_is_named(tmp_path, place, tags, sentence):
    (tmp_path / "logs").mkdir()
    write(tmp_path / "full" / "logs", {"GANLoss/gen": [(1, 1.0)], "GANLoss/dis": [(1, 2.0)]})
    write(tmp_path / "empty", {})
    with pytest.raises(ConfigError, match=sentence):
        read_scalars(tmp_path / place, tags)


@pytest.fixture
def ten_points(tmp_path):
    path = write(tmp_path, {"loss": [(i, i / 8) for i in range(10)]})
    return path, path.read_bytes()


def test_truncated_anywhere(ten_points):
    """As many points as there are whole frames, told by TensorFlow's own reader."""
    path, content = ten_points
    expected = curve(*((i, i / 8) for i in range(10)))
    for size in range(len(content)):
        path.write_bytes(content[:size])
        whole = 0
        try:
            for _ in tf.compat.v1.io.tf_record_iterator(str(path)):
                whole += 1
        except (tf.errors.DataLossError, tf.errors.OutOfRangeError):
            pass
        found = read_scalars(path).get("loss")
        assert (points(found) if found else []) == expected[: max(0, whole - 1)], size


def test_flipped_bits(ten_points):
    """A wrong payload costs one point, a wrong length all that follow; nothing else is ever read."""
    path, content = ten_points
    expected = curve(*((i, i / 8) for i in range(10)))
    rng = random.Random(0)
    lost = []
    for _ in range(300):
        damaged = bytearray(content)
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        found = read_scalars(path).get("loss")
        found = points(found) if found else []
        assert set(found) <= set(expected) and found == sorted(found)
        lost.append(len(expected) - len(found))
    assert lost.count(1) > 100 and max(lost) == 10


def test_declared_lengths_are_not_believed(ten_points):
    """A length far beyond the file's end, with a sound checksum: nothing of that size is asked for."""
    path, content = ten_points
    length = (2**62).to_bytes(8, "little")
    path.write_bytes(content + length + masked_crc(length).to_bytes(4, "little") + b"the end")
    assert len(read_scalars(path, "loss").steps) == 10


def test_either_name_finds_a_curve_of_either_naming(tmp_path):
    """A run that was begun under the original's tags, and went on under readable ones, has one curve of both."""
    write(tmp_path, {"GANLoss/gen": [(1, 2.0), (2, 3.0)], "rmb/kxx": [(1, 5.0)]}, "x.tfevents.1", began=1e9)
    write(tmp_path, {"loss/generator": [(3, 4.0)], "new": [(3, 1.0)]}, "x.tfevents.2", began=2e9)
    everything = read_scalars(tmp_path)
    assert list(everything) == ["loss/generator", "mmd/kxx", "new"]
    for name in ("loss/generator", "GANLoss/gen"):
        assert name in everything
        assert points(everything[name]) == points(read_scalars(tmp_path, name)) == [(1, 2.0), (2, 3.0), (3, 4.0)]
    assert points(read_scalars(tmp_path, ["rep/kxx"])["rep/kxx"]) == [(1, 5.0)]
    assert "GANLoss/dis" not in everything
    with pytest.raises(KeyError, match="GANLoss/dis"):
        everything["GANLoss/dis"]


@pytest.mark.parametrize(
    ("original", "name"),
    [
        ("GANLoss/dis", "loss/critic"),
        ("GANLoss/gp", "loss/gp"),
        ("rand_g/kxy_mix/d0", "mmd/kxy_mix/d0"),
        ("kernel_norm/dis/l1_f32/kernel", "spectral/critic/l1_f32"),
        ("kernel_norm/gen/l2/kernel_0", "spectral/generator/l2/kernel_0"),
        ("scores/FD[classifier]", "score/FD[classifier]"),
        ("Ir", "images/real"),
        ("grad_dis/l1/kernel/kernel", "gradients/critic/l1/kernel"),
        ("learning_rate/gen", "training/learning_rate_generator"),
        ("my/own", "my/own"),
    ],
)
def test_names_that_a_newcomer_reads(original, name):
    assert readable(original) == readable(name) == name


def test_no_loss_has_two_curves_of_one_name():
    from mmdgan import losses

    scores, checked = tf.random.stateless_normal((2, 6, 4), (0, 1)), 0
    for name in losses.names():
        loss = losses.get(name)
        sets = scores[..., : min(4, losses.score_size(name))]
        try:
            logs = loss(sets[0], sets[1], seed=(0, 1), state=loss.initial_state()).logs
        except ConfigError:  # of losses with a penalty, which is computed elsewhere
            continue
        tags = {*logs, "GANLoss/gen", "GANLoss/dis"}
        assert len({readable(tag) for tag in tags}) == len(tags), name
        checked += 1
    assert checked >= 20
