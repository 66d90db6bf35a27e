"""mmdgan.metrics.score: arrays and paths, with features and without, give what the functions of each metric give."""

from __future__ import annotations

import numpy as np
import pytest

import mmdgan
from mmdgan.core.errors import DataError, MetricError
from mmdgan.metrics.evaluate import EvaluateOptions
from mmdgan.pictures import save_png
from tests.conftest import BlockMeans

QUICK = EvaluateOptions(pairs=4, all_pairs_of=4)


@pytest.fixture(scope="module")
def arrays():
    random = np.random.default_rng(0)
    return [random.integers(0, high, (count, 32, 32, 3), dtype=np.uint8) for high, count in ((256, 90), (200, 80))]


def test_scores_of_arrays_are_those_of_their_features(arrays):
    found = mmdgan.metrics.score(*arrays, metrics=["fid", "kid"], features=BlockMeans())
    a, b = (BlockMeans().extract(images)[0] for images in arrays)
    expected = mmdgan.metrics.frechet_distance(a, b)
    assert found["FD[classifier]"] == pytest.approx(expected, rel=1e-6) and expected > 1
    assert list(found) == [record["metric"] for record in found.records] and "KD[classifier]" in found
    assert found.records[0]["count"] == 90 and found.records[0]["count_real"] == 80
    assert str(found).startswith("score") and "FD[classifier]" in str(found)


def test_paths_count_and_seed(arrays, tmp_path):
    np.savez(tmp_path / "a.npz", images=arrays[0])
    options = {"metrics": ["fid"], "features": BlockMeans(), "count": 60}
    of_path = mmdgan.metrics.score(tmp_path / "a.npz", str(tmp_path / "a.npz"), **options, seed=2)
    of_array = mmdgan.metrics.score(arrays[0], arrays[0], **options, seed=2)
    assert dict(of_path) == dict(of_array) and of_array.records[0]["count"] == 60
    assert of_array != mmdgan.metrics.score(arrays[0], arrays[0], **options, seed=3)
    with pytest.raises(DataError, match="holds 90"):
        mmdgan.metrics.score(*arrays, **{**options, "count": 91})


def test_without_features_the_other_metrics_are_computed_and_the_notes_say_so(arrays, monkeypatch):
    def resolve(*_, **__):
        raise MetricError("There is no graph.")

    monkeypatch.setattr("mmdgan.metrics.comparison.resolve", resolve)
    said = []
    found = mmdgan.metrics.score(*arrays, options=QUICK, say=said.append)
    assert {"MS-SSIM", "SWD mean"} <= set(found) and not any("FD" in name for name in found)
    assert (
        found.notes[0] == "Without fid, is and kid, which need features. There is no graph." and found.notes[0] in said
    )
    assert found.notes[0] in str(found)
    for asked in ({"metrics": ["fid"]}, {"features": "inception"}):
        with pytest.raises(MetricError, match="no graph"):
            mmdgan.metrics.score(*arrays, **asked)


def test_wrong_requests(arrays):
    with pytest.raises(MetricError, match="no metric 'fids'"):
        mmdgan.metrics.score(*arrays, metrics=["fids"])
    with pytest.raises(DataError, match="float32"):
        mmdgan.metrics.score(arrays[0].astype(np.float32), arrays[1], metrics=["swd"])


def test_grey_images_are_compared_with_colours_as_three_equal_channels(arrays):
    grey = arrays[0][..., :1]
    pixels = {"metrics": ["swd", "nn"], "features": BlockMeans()}
    for generated, real in ((grey, arrays[1]), (arrays[1], grey)):
        colours = [np.repeat(images, 3, -1) if images is grey else images for images in (generated, real)]
        found, expected = mmdgan.metrics.score(generated, real, **pixels), mmdgan.metrics.score(*colours, **pixels)
        assert dict(found) == dict(expected) and found["SWD mean"] > 0
    alone = mmdgan.metrics.score(grey, grey[:40], metrics=["swd"])
    assert alone.records[0]["image_shape"] == [32, 32, 1]


def test_near_copies_of_files_have_the_places_of_their_names(arrays, tmp_path):
    for number, image in enumerate(arrays[1][:9]):
        save_png(tmp_path / f"{number}.png", image)
    found = mmdgan.metrics.score(arrays[1][[7, 4]], tmp_path, metrics=["nn"], features=BlockMeans())
    for record in (record for record in found.records if record["identifier"] == "nn"):
        assert {pair["generated"]: pair["training"] for pair in record["closest"]} == {0: 7, 1: 4}
