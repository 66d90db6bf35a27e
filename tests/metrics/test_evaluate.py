"""Records, tables and files of scores, with an extractor whose features are known."""

import json
import math

import numpy as np
import pytest

from mmdgan import metrics
from mmdgan.core.errors import MetricError
from mmdgan.metrics import registry
from mmdgan.metrics.evaluate import EvaluateOptions
from mmdgan.metrics.scores import kid
from mmdgan.metrics.scores.inception_score import classifier_score_spread
from mmdgan.metrics.scores.kid import kernel_distance_error
from mmdgan.metrics.sets import ArraySet


class MeanColours:
    """Features: the mean of each channel in both halves of an image. Logits: the colour that is strongest, of three."""

    label = "classifier"
    feature_count = 6
    class_names = ("red", "green", "blue")

    def __init__(self):
        self.seen = 0

    def protocol(self):
        return {
            "features": self.label,
            "feature_source": "means",
            "feature_hash": "0123",
            "feature_count": 6,
            "resize": "none",
        }

    def extract(self, images, progress=None):
        self.seen += len(images)
        halves = images.reshape(len(images), 2, -1, 3).mean(axis=2) / 255.0
        return halves.reshape(len(images), 6).astype("float32"), (20.0 * halves.mean(axis=1)).astype("float32")


class MeanColoursAsInception(MeanColours):
    label = "inception"
    class_names = property()


def _images(count, seed, colours=(0, 1, 2), side=4):
    random = np.random.default_rng(seed)
    images = random.integers(0, 120, (count, side, side, 3), dtype=np.uint8)
    images[np.arange(count), :, :, np.asarray(colours)[np.arange(count) % len(colours)]] += 130
    return images


def _evaluate(**options):
    return metrics.evaluate_images(_images(90, 0), _images(60, 1), MeanColours(), seed=3, step=200, **options)


def _sets(generated, real, names, extractor=None, **options):
    return {
        record["metric"]: record
        for record in metrics.evaluate_sets(generated, real, extractor or MeanColours(), names, **options)
    }


def test_each_score_has_a_record():
    records = {record["metric"]: record for record in _evaluate(data="colours")}
    generated, logits = MeanColours().extract(_images(90, 0))
    real, logits_real = MeanColours().extract(_images(60, 1))
    split, split_real = (classifier_score_spread(part, 10) for part in (logits, logits_real))
    expected = {
        "FD[classifier]": metrics.frechet_distance(generated, real),
        "FD[classifier] real-real": metrics.frechet_distance(real[:30], real[30:]),
        "CS[classifier]": metrics.classifier_score(logits),
        "CS[classifier] (10 splits)": split[0],
        "CS[classifier] real": metrics.classifier_score(logits_real),
        "CS[classifier] real (10 splits)": split_real[0],
        "KD[classifier]": metrics.kernel_distance(generated, real),
        "classes[classifier]": 1 / 3,
    }
    assert list(records) == list(expected)
    for name, value in expected.items():
        assert records[name]["value"] == pytest.approx(value, rel=1e-9), name
        assert records[name]["values"] == [records[name]["value"]]
    counts = [(record["count"], record["count_real"]) for record in records.values()]
    assert counts == [(90, 60), (30, 30), (90, None), (90, None), (60, None), (60, None), (90, 60), (90, 60)]
    spreads = {name: record["spread"] for name, record in records.items() if record["spread"] is not None}
    assert spreads == pytest.approx(
        {"CS[classifier] (10 splits)": split[1], "CS[classifier] real (10 splits)": split_real[1]}, rel=1e-9
    )
    assert records["CS[classifier] (10 splits)"]["spread_of"] == "standard deviation over 10 splits"
    for record in records.values():
        assert record["seed"] == 3 and record["step"] == 200 and record["data"] == "colours" and record["repeats"] == 1
        assert record["split"] == "train" and record["resize"] == "none" and record["feature_hash"] == "0123"
        assert record["image_shape"] == [4, 4, 3] and record["seconds"] >= 0 and record["versions"]["tensorflow"]
        assert len(record["set_hash"]) == len(record["real_hash"]) == 16 and record["set_hash"] != record["real_hash"]
    assert records["FD[classifier]"]["method"] == "tensorflow-gan"
    identifiers = [record["identifier"] for record in records.values()]
    assert identifiers == ["fid", "fid", "is", "is", "is", "is", "kid", "classes"]


def test_every_metric_has_a_score_and_a_json_record():
    assert registry.identifiers() == metrics.METRICS
    real = ArraySet(_images(80, 1, side=16), np.arange(80) % 3, class_names=MeanColours.class_names)
    generated = ArraySet(_images(60, 0, side=16), np.arange(60) % 3)
    extractor = MeanColours()
    options = EvaluateOptions(pairs=6, all_pairs_of=4)
    every = [metric for metric in metrics.METRICS if metric != "cmmd"]  # of CLIP features alone
    records = _sets(generated, real, every, extractor, options=options)
    assert extractor.seen == 140  # each image once, for all metrics
    shown = (
        "FD[classifier]|FD[classifier] real-real|FD[classifier] infinity|CS[classifier]|CS[classifier] (10 splits)|"
        "CS[classifier] real|CS[classifier] real (10 splits)|KD[classifier]|MD[classifier]|"
        "precision[classifier]|recall[classifier]|density[classifier]|coverage[classifier]|"
        "MS-SSIM|MS-SSIM all pairs|MS-SSIM real|MS-SSIM all pairs real|SWD mean|SWD 16x16|"
        "SWD mean real-real|SWD 16x16 real-real|intra FD[classifier]|near copies[pixels]|near copies[classifier]|"
        "classes[classifier]|asked class[classifier]"
    )
    assert list(records) == shown.split("|")
    json.dumps(list(records.values()), allow_nan=False)
    for name, record in records.items():
        of_pixels = name.startswith(("MS-SSIM", "SWD")) or name.endswith("[pixels]")
        assert record["features"] == (None if of_pixels else "classifier"), name
        assert record["value"] is not None, name
        # A classifier score in one part has no scatter where all images are as far from the mean.
        assert record["interval"][0] <= record["value"] + 1e-12 and record["interval_of"].startswith("95%, "), name
        assert record["value"] <= record["interval"][1] + 1e-12, name
    assert records["precision[classifier]"]["k"] == 5 and records["MS-SSIM"]["pairs"] == 6
    assert records["MS-SSIM"]["resize"] == "bilinear to 256x256" and records["MS-SSIM all pairs"]["pairs"] == 6
    assert records["SWD 16x16"]["count"] == records["SWD 16x16 real-real"]["count_real"] == 40


def test_scores_of_pixels_need_no_features():
    generated, real = ArraySet(_images(12, 0, side=16)), ArraySet(_images(14, 1, side=16))
    records = metrics.evaluate_sets(generated, real, None, ("swd",))
    assert [record["metric"] for record in records][:2] == ["SWD mean", "SWD 16x16"]
    with pytest.raises(MetricError, match="metrics swd, kid need features: give an extractor"):
        metrics.evaluate_sets(generated, real, None, ("swd", "kid"))


def test_repeats_give_a_mean_and_its_spread():
    real = ArraySet(_images(60, 1))
    several = [ArraySet(_images(90, seed)) for seed in (0, 2, 5)]
    alone = [_sets(one, real, ("fid", "kid"))["FD[classifier]"] for one in several]
    records = _sets(several, real, ("fid", "kid"))
    record = records["FD[classifier]"]
    values = [one["value"] for one in alone]
    assert record["values"] == values and record["value"] == pytest.approx(sum(values) / 3, rel=1e-12)
    assert record["spread"] == pytest.approx(np.std(values, ddof=1), rel=1e-12) and record["repeats"] == 3
    assert record["spread_of"] == "standard deviation of 3 repeats"
    assert record["set_hash"] == ",".join(one["set_hash"] for one in alone)
    assert len(records["FD[classifier] real-real"]["values"]) == 1
    assert records["FD[classifier] real-real"]["spread"] is None
    with pytest.raises(MetricError, match="Repeats are sets of as many images"):
        metrics.evaluate_sets([several[0], real], real, MeanColours(), ("fid",))


def test_the_kernel_distance_has_an_error_where_there_are_blocks():
    a, b = _images(250, 0), _images(300, 1)
    record = _sets(ArraySet(a), ArraySet(b), ("kid",))["KD[classifier]"]
    features = [MeanColours().extract(images)[0] for images in (b, a)]
    value, error = metrics.kernel_distance(*features), kernel_distance_error(*features, block_size=100)[1]
    assert (record["value"], record["spread"]) == pytest.approx((value, error), rel=1e-12)
    assert record["blocks"] == 3 and record["spread_of"] == "standard error over 3 blocks"
    few = _sets(ArraySet(a[:90]), ArraySet(b[:90]), ("kid",))["KD[classifier]"]
    assert few["spread"] is None and few["spread_of"] is None and few["blocks"] == 1


def test_a_kernel_distance_whose_error_has_the_same_blocks_is_computed_once(monkeypatch):
    calls, compute = [], kid.kernel_distance_error
    monkeypatch.setattr(kid, "kernel_distance_error", lambda *a, **k: calls.append(k) or compute(*a, **k))
    for size, times in ((100, 1), (1024, 2)):
        calls.clear()
        _sets(ArraySet(_images(250, 0)), ArraySet(_images(300, 1)), ("kid",), options=EvaluateOptions(block_size=size))
        assert len(calls) == times


def test_names_are_fid_is_and_kid_only_with_inception():
    records = metrics.evaluate_images(_images(90, 0), _images(60, 1), MeanColoursAsInception(), seed=0, step=0)
    assert [record["metric"] for record in records] == [
        "FID",
        "FID real-real",
        "IS",
        "IS (10 splits)",
        "IS real",
        "IS real (10 splits)",
        "KID",
    ]
    assert registry.get("kid").scores[0].of("classifier:cifar10") == "KD[classifier:cifar10]"
    assert registry.get("intra_fid").scores[0].of("inception") == "intra FID"
    assert registry.get("prdc").scores[1].of("inception") == "recall[inception]"


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


def test_a_classifier_of_another_data_set_has_other_classes():
    extractor = MeanColours()
    extractor.label = "classifier:other"
    images, alike = _images(90, 0), _images(60, 1)
    [record] = metrics.evaluate_images(images, alike, extractor, (), seed=0, step=0)
    assert record["metric"] == "classes[classifier:other]" and record["value"] > 0
    assert not metrics.evaluate_images(images, _images(60, 1, colours=(0, 0, 2)), extractor, (), seed=0, step=0)


def test_shares_of_none_of_the_images_have_an_interval():
    """A precision of 0 of 30 images: Wilson's upper end, 1.96^2 / (30 + 1.96^2)."""
    records = metrics.evaluate_images(
        _images(30, 0) // 4, 255 - _images(40, 1) // 4, MeanColours(), ("prdc",), seed=0, step=0
    )
    precision = records[0]
    assert precision["value"] == 0 and precision["interval"] == pytest.approx([0, 3.8415 / 33.8415], abs=1e-4)


def test_too_few_images():
    few = _images(6, 0)
    with pytest.raises(MetricError, match="at least 7 images"):
        metrics.evaluate_images(few, _images(60, 1), MeanColours(), seed=0, step=0)
    first, halves = metrics.evaluate_images(few, _images(13, 1), MeanColours(), ("fid",), seed=0, step=0, force=True)[
        :2
    ]
    assert np.isfinite(first["value"]) and "forced" in first["note"]
    assert halves["value"] is None and "needs 14 real images" in halves["note"]
    with pytest.raises(
        MetricError, match=r"no metric 'fd' \(did you mean fid\?\): choose from fid, fid_infinity, is, "
    ):
        registry.get("fd")


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
    assert len(table) == 13
    assert table[1].startswith("FD[classifier] ") and table[1].endswith("90 and 60")
    assert "2.995 ± 0.0013 [2.994, 2.996]  90" in table[4] and "±: standard deviation over 10 splits." == table[-4]
    assert table[-3].startswith("[low, high]: 95% interval; delta method over the images of both sets; ")
    assert "means (0123)" in table[-2]
    assert "colours, train" in table[-1] and "step 200" in table[-1] and table[-1].startswith("Images: generated; ")
    assert metrics.format_table([]) == "No scores were asked for."


def test_there_is_a_table_for_each_step():
    first, second = _evaluate(), [{**record, "step": 300} for record in _evaluate()]
    text = metrics.format_table([*first, *second])
    assert text.count("score ") == 2 and "After step 200:\n" in text and "\n\nAfter step 300:\n" in text
    old = {key: value for key, value in first[0].items() if key not in ("spread", "spread_of", "repeats", "images")}
    assert metrics.format_table([old]).splitlines()[-1].startswith("Real images: unnamed, train; seed 3")


def test_a_value_that_is_no_number_is_none():
    from mmdgan.metrics.records import make_record, merge_repeats

    record = make_record("FID", math.nan, 3, spread=math.inf, spread_of="nothing")
    assert (record["value"], record["spread"], record["spread_of"]) == (None, None, None)
    whole = {**make_record("FID", 2.0, 3), "seconds": 1.0}
    merged = merge_repeats([whole, {**record, "seconds": 1.5}])
    assert merged["value"] is None and merged["values"] == [2.0, None] and merged["seconds"] == 2.5
    assert "  -  " in metrics.format_table([{**record, "step": 1, "data": "", "split": "", "seed": 0}])
