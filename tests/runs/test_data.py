"""mmdgan.experiment and its data: flips, same-class batches, and images that are streamed instead of kept in memory."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest

from mmdgan import data
from mmdgan.core.errors import ConfigError, DataError
from mmdgan.data.memory import choose_cache
from mmdgan.data.records.writer import ShardWriter
from mmdgan.data.sample import make_sample
from mmdgan.data.sidecar import Origin, Sidecar, read_sidecar
from mmdgan.metrics.features import classifier
from mmdgan.runs.experiment import Experiment
from mmdgan.runs.folder import RunFolder
from mmdgan.runs.train import TrainingRun

COUNT = 300
NAMES = tuple("0123456789")


def write_set(root, labelled=True):
    """The set `mine` below a data folder: the first pictures of `sample`, in two files."""
    sample, folder = make_sample(), root / "mine"
    folder.mkdir(parents=True, exist_ok=True)
    chosen = np.random.default_rng(0).permutation(sample.count)[:COUNT]
    shards = []
    for number, part in enumerate(np.split(chosen, [200])):
        path = folder / f"mine-{number:05d}-of-00002.tfrecords"
        with ShardWriter(path) as writer:
            for i in part:
                writer.write(sample.images[i], int(sample.labels[i]) if labelled else None)
        shards.append(writer.shard(path.name))
    origin = Origin("a test", "nowhere")
    Sidecar("mine", (3, 32, 32), labelled, NAMES if labelled else (), origin, tuple(shards)).write(folder)
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("Data"))


@pytest.fixture
def experiment(tiny_architecture, tmp_path, root):
    return Experiment(
        architecture=tiny_architecture,
        data="mine",
        data_root=str(root),
        batch_size=8,
        max_step=2,
        rounds=1,
        grid=(2, 2),
        metrics=(),
        results=str(tmp_path),
    )


@pytest.fixture
def opened(monkeypatch):
    """The ways to cache that `open_data` was asked for."""
    asked, original = [], data.open_data

    def open_data(name, *, cache, **options):
        asked.append(cache)
        return original(name, cache=cache, **options)

    monkeypatch.setattr(data, "open_data", open_data)
    return asked


def config_of(path, change=None):
    """config.json of a run; `change` alters it on disk."""
    config = json.loads((path / "config.json").read_text())
    if change is not None:
        change(config)
        (path / "config.json").write_text(json.dumps(config))
    return config


def weights(path):
    return RunFolder.open(path).load_generator()[0].get_weights()


def test_a_streamed_run_in_parts_is_a_run_in_memory_at_one_stretch(experiment, capsys):
    """One window holds the set, so that the order is the same on disk and in memory; each round begins to read anew."""
    whole = dataclasses.replace(experiment, flip=True, run_name="whole", cache="memory", max_step=3)
    whole = whole.run(say=print)["folder"]
    assert "The images of mine" not in capsys.readouterr().out
    path = dataclasses.replace(experiment, flip=True, cache="stream", max_step=3, rounds=3).run(say=print)["folder"]
    assert "The images of mine are read from disk as they are needed (0.00 GB" in capsys.readouterr().out
    for mine, other in zip(weights(path), weights(whole), strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-6)


def test_both_ways_know_the_images_by_the_checksums_of_their_files(experiment, root):
    known = set()
    for cache in ("memory", "stream"):
        run = TrainingRun(dataclasses.replace(experiment, cache=cache, run_name=cache).plan())
        facts = config_of(run.folder.path)["data"]
        assert facts["mode"] == cache and facts["count"] == COUNT
        known.add(facts["fingerprint"])
    assert known == {read_sidecar(root / "mine", "mine").fingerprint()}


def test_a_run_keeps_the_way_it_takes_its_images(experiment, opened):
    path = TrainingRun(dataclasses.replace(experiment, cache="stream").plan()).folder.path
    TrainingRun(experiment.plan())
    assert opened == ["stream", "stream"] and config_of(path)["data"]["mode"] == "stream"
    assert Experiment.load(path).cache == "auto"
    with pytest.raises(ConfigError, match="cache is memory, but .* holds a run with cache stream.*--restart"):
        TrainingRun(dataclasses.replace(experiment, cache="memory").plan())
    TrainingRun(dataclasses.replace(experiment, cache="memory", restart=True).plan())
    assert opened[2:] == ["memory"] and config_of(path)["data"]["mode"] == "memory"


def test_a_run_uses_what_its_source_was_converted_to_wherever_that_came_from(experiment, tmp_path):
    path = TrainingRun(experiment.plan()).folder.path

    def name_a_source(config):
        config["experiment"]["source"] = str(tmp_path / "gone.zip")

    config_of(path, name_a_source)
    assert Experiment.load(path).source is None
    config_of(path, lambda config: config["experiment"].update(data_root=str(tmp_path / "none")))
    assert Experiment.load(path).source == str(tmp_path / "gone.zip")


def test_auto_follows_from_the_memory_for_a_new_run_only(experiment, opened, monkeypatch):
    monkeypatch.setattr("mmdgan.data.open.choose_cache", lambda size: choose_cache(size, available=1000))
    path = TrainingRun(experiment.plan()).folder.path
    assert config_of(path)["data"]["mode"] == "stream"
    monkeypatch.setattr("mmdgan.data.open.choose_cache", choose_cache)
    TrainingRun(experiment.plan())
    assert opened == ["auto", "stream"] and config_of(path)["data"]["mode"] == "stream"


def test_runs_of_the_version_before_are_resumed_in_memory(experiment, opened):
    """They knew neither the fields nor the mode, and their images by the content."""
    path = TrainingRun(experiment.plan()).folder.path
    content = data.open_data("mine", data_root=experiment.data_root, cache="memory").content_digest()

    def forget(config):
        for name in ("flip", "same_class", "cache"):
            del config["experiment"][name]
        del config["data"]["mode"]
        assert config["data"]["fingerprint"] != content
        config["data"]["fingerprint"] = content

    config_of(path, forget)
    assert Experiment.load(path).cache == "auto" and Experiment.load(path).flip is False
    TrainingRun(experiment.plan())
    facts = config_of(path)["data"]
    assert opened[-1] == "memory" and (facts["mode"], facts["fingerprint"]) == ("memory", content)
    config_of(path, lambda config: config["data"].update(fingerprint="0", source="elsewhere"))
    with pytest.raises(ConfigError, match="the images.*from elsewhere there"):
        TrainingRun(experiment.plan())


def test_an_imported_run_takes_any_way(experiment, opened):
    """It has not seen its images yet."""
    path = TrainingRun(experiment.plan()).folder.path
    config_of(path, lambda config: config.pop("data"))
    TrainingRun(dataclasses.replace(experiment, cache="stream").plan())
    assert opened == ["auto", "stream"]


@pytest.mark.parametrize("field", ["flip", "same_class"])
def test_what_changes_the_batches_belongs_to_the_run(experiment, field):
    changed = dataclasses.replace(experiment, **{field: True})
    run = TrainingRun(changed.plan())
    assert getattr(run.experiment, field) is True
    pipeline = run.trainer.pipeline
    assert (pipeline.flip, pipeline.order.length > COUNT) == (field == "flip", field == "same_class")
    with pytest.raises(ConfigError, match=rf"{field} \(true there, false now\)"):
        TrainingRun(experiment.plan())


def test_a_conditional_run_takes_streamed_batches_of_one_class(experiment):
    architecture = experiment.architecture.replace(":TINY", ":CONDITIONAL")
    options = {"architecture": architecture, "num_class": 10, "same_class": True, "cache": "stream"}
    run = TrainingRun(dataclasses.replace(experiment, **options).plan())
    batch = run.trainer.pipeline.batch(0)
    assert batch["y"].shape == (8, 1) and len(set(batch["y"][:, 0].tolist())) == 1


def test_mistakes_are_named_before_anything_is_done(experiment, tiny_architecture, tmp_path):
    with pytest.raises(ConfigError, match="cache is disk; the valid values are auto, memory, stream"):
        dataclasses.replace(experiment, cache="disk").resolved()
    with pytest.raises(ConfigError, match="cache is stream, but sample is made on the spot"):
        dataclasses.replace(experiment, data="sample", cache="stream").resolved()
    bare = dataclasses.replace(experiment, data_root=str(write_set(tmp_path / "bare", labelled=False)), same_class=True)
    with pytest.raises(ConfigError, match="same_class is true, but mine has no classes"):
        bare.resolved()
    assert not (tmp_path / "mine").exists()


def test_a_set_smaller_than_a_batch_is_scored_whole(experiment, block_means):
    """Without a score_count all images count, in whole batches if there are any."""
    changes = {"batch_size": COUNT + 1, "metrics": ("is",), "run_name": "large"}
    assert TrainingRun(dataclasses.replace(experiment, **changes).plan()).scorer.count == COUNT
    changes |= {"batch_size": 7, "run_name": "small"}
    assert TrainingRun(dataclasses.replace(experiment, **changes).plan()).scorer.count == COUNT // 7 * 7


@pytest.mark.parametrize("cache", ["memory", "stream"])
def test_records_without_labels_are_named_when_they_are_found(experiment, tmp_path, cache):
    """The catalogue knows classes; the original's records may hold no labels."""
    place = tmp_path / "old" / "cifar_NCHW"
    place.mkdir(parents=True)
    source = next(write_set(tmp_path / "bare", labelled=False).glob("mine/*-00000-*"))
    shutil.copy(source, place / "cifar.tfrecords")
    changes = {"data": "cifar10", "data_root": str(tmp_path / "old"), "same_class": True, "cache": cache}
    with pytest.raises(DataError, match="same_class is true, but the images of cifar10 that were found"):
        dataclasses.replace(experiment, **changes).run()
    assert not (tmp_path / "cifar10").exists()


def test_the_dry_run_says_how_images_come(experiment):
    text = dataclasses.replace(experiment, flip=True, same_class=True, cache="stream").dry_run()
    assert (
        "\nbatches           8 images of one class, flipped by chance; read from disk as they are needed (0.00" in text
    )
    assert "\nbatches           8 images; in memory (0.00 GB, with " in experiment.dry_run()
    TrainingRun(dataclasses.replace(experiment, cache="stream").plan())
    text = experiment.dry_run()
    assert "as they are needed (0.00 GB, with " in text and "available), as in the run so far\n" in text


def test_the_dry_run_tells_of_an_unfinished_conversion(tmp_path):
    (tmp_path / "cifar10" / ".partial").mkdir(parents=True)
    experiment = Experiment(data_root=str(tmp_path), results=str(tmp_path / "r"))
    assert f"only half converted in {tmp_path}/cifar10: TensorFlow Datasets" in experiment.dry_run()
    text = dataclasses.replace(experiment, source="somewhere").dry_run()
    assert f"to be converted from somewhere into {tmp_path}/cifar10, going on with what is there" in text


def test_a_classifier_trains_on_streamed_images_as_on_those_in_memory(root, tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "PRESENTATIONS", (200, 200))
    features = {}
    for cache in ("memory", "stream"):
        images = data.open_data("mine", data_root=root, cache=cache)
        extractor = classifier.ClassifierFeatures(images, tmp_path / cache, say=lambda line: None)
        pictures = np.ascontiguousarray(images.take(np.arange(20))[0].transpose(0, 2, 3, 1))
        features[cache] = extractor.extract(pictures)[0], extractor.protocol()["classifier_accuracy"]
        assert [path.name for path in (tmp_path / cache).iterdir()] == [f"classifier-1-{images.fingerprint()[:12]}.npz"]
    np.testing.assert_allclose(features["memory"][0], features["stream"][0], rtol=1e-4, atol=1e-4)
    assert features["memory"][1] == features["stream"][1]
