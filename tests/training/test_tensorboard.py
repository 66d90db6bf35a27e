"""What TensorBoard reads back of a run."""

import io
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mmdgan.training.checkpoints import Checkpoints
from mmdgan.training.tensorboard import Monitor, _buckets, read_scalars, write_scores
from mmdgan.training.trainer import Progress, Trainer
from tests.helpers.fake_gan import FakeGan, small_pipeline


def read(folder):
    """Everything in a folder: {tag: [(step, tensor as NumPy)]}."""
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return {
        tag: [(event.step, tf.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
    }


def test_scalars_texts_and_plugins(tmp_path):
    monitor = Monitor(tmp_path / "logs")
    monitor.scalars(3, {"learning_rate/dis": 5e-4, "rep_b/kxx": tf.constant(0.25)})
    monitor.text("configuration", "**loss** rep_b")
    monitor.histograms(3, {"x/sx": np.zeros(3)})
    monitor.close()
    found = read(tmp_path / "logs")
    assert found["learning_rate/dis"] == [(3, pytest.approx(5e-4))]
    assert found["rep_b/kxx"] == [(3, 0.25)]
    assert found["configuration"] == [(0, b"**loss** rep_b")]
    events = EventAccumulator(str(tmp_path / "logs")).Reload()
    plugins = [events.SummaryMetadata(tag).plugin_data.plugin_name for tag in ("rep_b/kxx", "configuration", "x/sx")]
    assert plugins == ["scalars", "text", "histograms"]


def test_histograms_count_every_finite_value(tmp_path):
    values = np.random.default_rng(0).normal(size=(50, 20)).astype("float32")
    values[0, :2] = [np.nan, np.inf]
    monitor = Monitor(tmp_path)
    monitor.write(
        1,
        {
            "histograms": {
                "many": tf.constant(values),
                "one": tf.fill((4, 4), 2.5),
                "none": tf.constant([np.nan]),
            }
        },
    )
    monitor.close()
    found = {tag: events[0][1] for tag, events in read(tmp_path).items()}
    finite = values[np.isfinite(values)]
    left, right, count = found["many"].T
    assert len(count) == 30
    assert count.sum() == 998
    assert (left[0], right[-1]) == (finite.min(), finite.max())
    np.testing.assert_allclose(left[1:], right[:-1])
    middle = (left[12] < finite) & (finite < right[12])
    assert count[12] == pytest.approx(middle.sum(), abs=1)
    np.testing.assert_array_equal(found["one"], [[2.0, 3.0, 16.0]])
    assert found["none"].shape == (0, 3)


def test_histograms_are_those_of_tf_summary(tmp_path):
    values = tf.random.stateless_normal((200,), (1, 2))
    monitor = Monitor(tmp_path / "ours")
    monitor.histograms(0, {"x": values})
    monitor.close()
    with tf.summary.create_file_writer(str(tmp_path / "theirs")).as_default() as writer:
        tf.summary.histogram("x", values, step=0)
        writer.close()
    ours, theirs = (read(tmp_path / who)["x"][0][1] for who in ("ours", "theirs"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_images_are_one_grid(tmp_path):
    images = np.full((8, 4, 5, 3), -1.0, "float32")
    images[4] = 1.0  # the second cell of the second row, three columns wide
    Monitor(tmp_path).images(2, {"Ig": images})
    ((step, (width, height, png)),) = read(tmp_path)["Ig"]
    assert (step, width, height) == (2, b"15", b"12")
    picture = np.asarray(Image.open(io.BytesIO(png)))
    assert picture.shape == (12, 15, 3)
    expected = np.zeros((12, 15, 3))
    expected[4:8, 5:10] = 255
    np.testing.assert_array_equal(picture, expected)


def test_nothing_is_written_before_the_first_call(tmp_path):
    monitor = Monitor(tmp_path / "logs")
    monitor.close()
    assert not (tmp_path / "logs").exists()


def test_the_trainer_writes_losses_often_and_inspections_seldom(tmp_path):
    gan = FakeGan(losses={step: tf.constant(float(step)) for step in range(1, 50)})
    monitor = Monitor(tmp_path / "logs")
    trainer = Trainer(
        gan,
        small_pipeline(),
        checkpoints=Checkpoints(tmp_path / "checkpoints", gan.state()),
        monitor=monitor,
        progress=Progress(stream=None),
        query_step=8,
        log_every=5,
    )
    trainer.fit(20)
    found = read(tmp_path / "logs")
    assert [step for step, _ in found["GANLoss/gen"]] == [1, 5, 10, 15, 20]
    assert [value for _, value in found["GANLoss/gen"]] == [1, 5, 10, 15, 20]
    assert [step for step, _ in found["GANLoss/dis"]] == [1, 5, 10, 15, 20]
    assert [step for step, _ in found["images_per_second"]] == [5, 10, 15, 20]
    for tag in ("rep_b/kxx", "gen/l1/kernel/kernel", "Ig"):
        assert [step for step, _ in found[tag]] == [8, 16, 20]
    for step, batch in gan.inspected:
        np.testing.assert_array_equal(batch, small_pipeline().batch(step)["x"])


def test_losses_are_on_the_disk_when_training_ends(tmp_path):
    monitor = Monitor(tmp_path)
    trainer = Trainer(FakeGan(), small_pipeline(), monitor=monitor, progress=Progress(stream=None), query_step=None)
    trainer.fit(2)
    assert [step for step, _ in read(tmp_path)["GANLoss/gen"]] == [1, 2]


@pytest.mark.parametrize("start", [1.0, 1e-20, 3e4])
def test_neighbouring_numbers_have_a_histogram(start):
    first = np.float32(start)
    values = np.array([first, np.nextafter(first, np.float32(np.inf)), first], np.float32)
    found = _buckets(values)
    assert found[:, 2].sum() == 3 and found[0, 2] == 2 and found[-1, 2] == 1
    assert found[0, 0] == values.min() and found[-1, 1] == values.max()


def test_files_are_in_the_order_of_writing_though_the_clock_was_set_back(tmp_path):
    for number, ahead in ((1, 5000), (2, 3000), (3, 0)):
        monitor = Monitor(tmp_path)
        for step in range(number, 4):
            monitor.scalars(step, {"loss": number})
        monitor.close()
        assert all(int(path.name.split(".")[3]) <= time.time() for path in tmp_path.iterdir())
        file = max(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        first, _, seconds = file.name.partition("tfevents.")
        seconds, _, rest = seconds.partition(".")
        if ahead:
            file.rename(file.with_name(f"{first}tfevents.{int(seconds) + ahead}.{rest}"))
    assert [float(value) for _, value in read(tmp_path)["loss"]] == [1, 1, 1, 2, 2, 3]  # TensorBoard's order
    assert read_scalars(tmp_path, "loss").values.tolist() == [1, 2, 3]


def test_readable_names_have_descriptions_and_sheets_no_holes(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), dtype=np.uint8)
    monitor = Monitor(tmp_path, naming="readable")
    monitor.samples = lambda: images[:4]
    monitor.write(3, {"scalars": {"GANLoss/dis": 1.0, "rep_b/kxx": 2.0}, "images": {"Ir": images, "Ig": images[:1]}})
    monitor.close()
    found = read(tmp_path)
    assert list(found) == ["loss/critic", "mmd/kxx", "images/real", "images/samples"]
    events = EventAccumulator(str(tmp_path)).Reload()
    assert "pairs of generated images" in events.SummaryMetadata("mmd/kxx").summary_description
    assert "fixed codes" in events.SummaryMetadata("images/samples").summary_description
    for tag, size in (("images/real", (4, 2)), ("images/samples", (2, 2))):
        ((_, (width, height, _)),) = found[tag]
        assert (int(width), int(height)) == (4 * size[0], 4 * size[1])


def test_scores_of_evaluate_are_in_the_order_of_steps(tmp_path):
    lines = [(4, "FD[c]", 1.0), (2, "FD[c]", 5.0), (4, "CS[c]", None)]
    records = [{"step": step, "metric": name, "value": value} for step, name, value in lines]
    for _ in range(2):
        write_scores(tmp_path / "evaluate", records, "readable", "{} is a score.".format)
    assert read(tmp_path / "evaluate") == {"score/FD[c]": [(2, 5.0), (4, 1.0)]}
    said = EventAccumulator(str(tmp_path / "evaluate")).Reload().SummaryMetadata("score/FD[c]").summary_description
    assert said == "FD[c] is a score. metrics.jsonl has the protocol of this score."
    assert len(list((tmp_path / "evaluate").iterdir())) == 1
