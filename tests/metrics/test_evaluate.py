"""Records, tables and files of scores, with an extractor whose features are known."""

import json

import numpy as np
import pytest

from mmdgan import metrics
from mmdgan.errors import MetricError
from mmdgan.metrics import evaluate, tfgan


class MeanColours:
    """Features: the mean of each channel in both halves of an image. Logits: the colour that is strongest, of three."""

    label = "classifier"
    feature_count = 6
    class_names = ("red", "green", "blue")

    def protocol(self):
        return {
            "features": self.label,
            "feature_source": "means",
            "feature_hash": "0123",
            "feature_count": 6,
            "resize": "none",
        }

    def extract(self, images, progress=None):
        halves = images.reshape(len(images), 2, -1, 3).mean(axis=2) / 255.0
        return halves.reshape(len(images), 6), 20.0 * halves.mean(axis=1)


class MeanColoursAsInception(MeanColours):
    label = "inception"
    class_names = property()


def _images(count, seed, colours=(0, 1, 2)):
    random = np.random.default_rng(seed)
    images = random.integers(0, 120, (count, 4, 4, 3), dtype=np.uint8)
    images[np.arange(count), :, :, np.asarray(colours)[np.arange(count) % len(colours)]] += 130
    return images


def _evaluate(**options):
    return metrics.evaluate_images(_images(90, 0), _images(60, 1), MeanColours(), seed=3, step=200, **options)


def test_each_score_has_a_record():
    records = {record["metric"]: record for record in _evaluate(data="colours")}
    assert list(records) == [
        "FD[classifier]",
        "FD[classifier] real-real",
        "CS[classifier]",
        "CS[classifier] real",
        "KD[classifier]",
        "classes[classifier]",
    ]
    generated, logits = MeanColours().extract(_images(90, 0))
    real, logits_real = MeanColours().extract(_images(60, 1))
    expected = {
        "FD[classifier]": metrics.frechet_distance(generated, real),
        "FD[classifier] real-real": metrics.frechet_distance(real[:30], real[30:]),
        "CS[classifier]": metrics.classifier_score(logits),
        "CS[classifier] real": metrics.classifier_score(logits_real),
        "KD[classifier]": metrics.kernel_distance(generated, real),
        "classes[classifier]": 1 / 3,
    }
    for name, value in expected.items():
        assert records[name]["value"] == pytest.approx(value, rel=1e-9), name
    counts = [(record["count"], record["count_real"]) for record in records.values()]
    assert counts == [(90, 60), (30, 30), (90, None), (60, None), (90, 60), (90, 60)]
    for record in records.values():
        assert record["seed"] == 3 and record["step"] == 200 and record["data"] == "colours"
        assert record["split"] == "train" and record["resize"] == "none" and record["feature_hash"] == "0123"
        assert record["image_shape"] == [4, 4, 3] and record["seconds"] >= 0 and record["versions"]["tensorflow"]


def test_names_are_fid_is_and_kid_only_with_inception():
    records = metrics.evaluate_images(_images(90, 0), _images(60, 1), MeanColoursAsInception(), seed=0, step=0)
    assert [record["metric"] for record in records] == ["FID", "FID real-real", "IS", "IS real", "KID"]
    assert evaluate.score_name("kid", "classifier:cifar10") == "KD[classifier:cifar10]"


def test_a_missing_class_shows():
    records = metrics.evaluate_images(
        _images(90, 0, colours=(0, 0, 0, 2)), _images(60, 1), MeanColours(), (), seed=0, step=0
    )
    (record,) = records
    assert record["value"] == 0.0
    assert record["shares"]["green"] == 0.0 and record["shares"]["red"] == pytest.approx(68 / 90)
    assert record["shares_real"]["green"] == pytest.approx(1 / 3)


def test_the_classes_asked_for_are_looked_for():
    asked = np.arange(90)[:, None] % 3
    asked[[0, 3, 4]] = 2  # two of red and one of green
    records = {r["metric"]: r for r in _evaluate(labels=asked, metrics=())}
    assert list(records) == ["classes[classifier]", "asked class[classifier]"]
    record = records["asked class[classifier]"]
    assert record["value"] == pytest.approx(87 / 90) and record["count"] == 90
    assert record["shares"] == pytest.approx({"red": 1.0, "green": 1.0, "blue": 30 / 33})
    assert "least for blue (90.9%)" in record["note"]


@pytest.mark.parametrize(
    ("function", "metric"),
    [
        ("frechet_classifier_distance_from_activations", "FD[classifier]"),
        ("classifier_score_from_logits", "CS[classifier]"),
        ("kernel_classifier_distance_from_activations", "KD[classifier]"),
    ],
)
def test_the_reported_scores_are_tensorflow_gans(monkeypatch, function, metric):
    monkeypatch.setattr(tfgan.load(), function, lambda *args, **options: np.float64(123.25))
    assert {r["metric"]: r["value"] for r in _evaluate()}[metric] == 123.25


def test_too_few_images():
    few = _images(6, 0)
    with pytest.raises(MetricError, match="at least 7 images"):
        metrics.evaluate_images(few, _images(60, 1), MeanColours(), seed=0, step=0)
    first, halves = metrics.evaluate_images(few, _images(13, 1), MeanColours(), ("fid",), seed=0, step=0, force=True)[
        :2
    ]
    assert np.isfinite(first["value"]) and "forced" in first["note"]
    assert halves["value"] is None and "needs 14 real images" in halves["note"]
    with pytest.raises(MetricError, match="no metric 'fd': choose from fid, is, kid"):
        evaluate.check_request(("fd",), 100, MeanColours())


def test_the_file_of_records_survives_an_unfinished_line(tmp_path):
    path = tmp_path / "run" / "metrics.jsonl"
    records = _evaluate()
    metrics.append_jsonl(path, records[:2])
    with open(path, "a") as file:
        file.write('{"metric": "FD[clas')
    metrics.append_jsonl(path, records[2:])
    lines = path.read_text().splitlines()
    assert [json.loads(line) for line in lines[:2] + lines[3:]] == records


def test_the_table_shows_values_and_protocol():
    table = metrics.format_table(_evaluate(data="colours")).splitlines()
    assert len(table) == 8
    assert table[1].startswith("FD[classifier] ") and table[1].endswith("90 and 60")
    assert "means (0123)" in table[-1] and "colours, train" in table[-1] and "step 200" in table[-1]
    assert metrics.format_table([]) == "No scores were asked for."
