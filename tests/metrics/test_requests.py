"""What an evaluation refuses before it computes anything, and what stored statistics allow."""

import numpy as np
import pytest

from mmdgan import metrics
from mmdgan.core.errors import MetricError
from mmdgan.data import ImageData
from mmdgan.metrics import evaluate
from mmdgan.metrics.context import EvaluateOptions, Facts
from mmdgan.metrics.moments import statistics_of
from mmdgan.metrics.sets import ArraySet, DataSet


class Means:
    """Features: an image's mean colours."""

    label = "means"
    feature_count = 3
    resize = "none"

    def protocol(self):
        return {"features": "means", "feature_source": "means", "feature_hash": "77", "resize": self.resize}

    def extract(self, images, progress=None):
        means = images.mean(axis=(1, 2)).astype("float32")
        return means, np.empty((len(images), 0), np.float32)


class NoLogits(Means):
    logit_count = 0


class NeverUsed(Means):
    def extract(self, images, progress=None):
        raise AssertionError("an image was looked at")


def _set(count, seed, labels=None, side=16):
    images = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return ArraySet(images, labels)


REFUSED = {
    "few": (("fid",), _set(3, 0), _set(50, 1), {}, "at least 4 images on each side and has 3"),
    "logits": (("is",), _set(9, 0), _set(50, 1), {"extractor": NoLogits()}, "without logits.*leave 'is' out"),
    "uneven": (("kid",), _set(9, 0), _set(990, 1), {}, "9 and 990 images in 10 blocks of up to 100"),
    "k": (("prdc",), _set(5, 0), _set(50, 1), {}, r"k = 5 need more than that many images on each side and have 5"),
    "pairs": (("ms_ssim",), _set(2, 0), _set(50, 1), {}, "at least 3 on each side"),
    "sizes": (("swd",), _set(9, 0), _set(9, 1, side=32), {}, "the images are 16x16 and the real ones 32x32"),
    "small": (("swd",), _set(9, 0, side=4), _set(9, 1, side=4), {}, "swd cannot be computed of 4x4 pixels"),
    "nn": (("nn",), _set(9, 0), _set(9, 1, side=32), {}, "nn compares pixels.*leave nn out"),
    "classes": (("intra_fid",), _set(9, 0), _set(9, 1), {}, "the generated ones have no classes"),
    "no labels": (("intra_fid",), _set(9, 0, np.arange(9) % 2), _set(9, 1), {}, "labels of the real images"),
    "unknown class": (
        ("intra_fid",),
        _set(9, 0, np.arange(9) % 2),
        _set(9, 1, np.zeros(9, int)),
        {},
        "no real images of class 1",
    ),
    "small class": (
        ("intra_fid",),
        _set(9, 0, np.arange(9) % 2),
        _set(9, 1, (np.arange(9) > 5).astype(int)),
        {},
        "intra_fid of 3 features needs at least 4 images of each class, and of class 1 there are 3 real ones",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_computed_is_refused_before_any_image_is_looked_at(case):
    names, generated, real, options, sentence = REFUSED[case]
    extractor = options.get("extractor", NeverUsed())
    with pytest.raises(MetricError, match=sentence):
        metrics.evaluate_sets(generated, real, extractor, names)
    left_out, other = [], "fid" if case == "logits" else "is"
    possible = evaluate.check_sets((*names, other), [generated], real, extractor, leave_out=left_out.append)
    assert possible == (other,) and len(left_out) == 1
    assert left_out[0].startswith(f"Without {names[0]}. ")


def test_when_nothing_can_be_computed_it_is_an_error():
    with pytest.raises(MetricError, match="None of the metrics fid, kid can"):
        evaluate.check_sets(("fid", "kid"), [_set(1, 0)], _set(50, 1), Means(), leave_out=lambda sentence: None)


def _classes(names, seed, shift=0):
    """Five images of each class, whose colour its name gives."""
    images = np.random.default_rng(seed).integers(0, 9, (5 * len(names), 8, 8, 3), dtype=np.uint8)
    colours = np.repeat([20 * int(str(name).strip("c")) for name in names], 5)
    return ArraySet(
        (images + colours[:, None, None, None]).astype(np.uint8),
        np.arange(5 * len(names)) // 5,
        class_names=tuple(names) if isinstance(names[0], str) else (),
    )


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (("0", "1", "10", "2"), ("00", "01", "02", "10")),
        (("c0", "c1", "c10", "c2"), ("c10", "c0", "c2", "c1")),
        (("0", "1", "10", "2"), tuple(range(11))),
        (tuple(range(4)), ("3", "2", "1", "0")),
    ],
)
def test_class_distances_are_those_of_the_same_classes(ours, theirs):
    generated, real = _classes(ours, 0), _classes(theirs, 1)
    (record,) = metrics.evaluate_sets(generated, real, Means(), ("intra_fid",))
    assert record["value"] < 5 and len(record["per_class"]) == 4  # of other classes: at least 3 * 20**2
    (record,) = metrics.evaluate_sets(real.first(5), generated, Means(), ("intra_fid",))
    assert "no images of class" in record["note"] and record["value"] < 5


def test_classes_without_a_partner_are_named():
    generated, real = _classes(("c1", "c7", "c2", "c8"), 0), _classes(("c1", "c2", "c3"), 1)
    with pytest.raises(MetricError, match=r"no real images of class c7, c8, .*\(this one has c1, c2, c3\)"):
        evaluate.check_sets(("intra_fid",), [generated], real, Means())


def test_the_asked_class_is_found_by_its_name():
    class Classifier(Means):
        label, class_names = "classifier", ("10", "2", "1", "0")

        def extract(self, images, progress=None):
            features, _ = super().extract(images)
            found = np.rint((features[:, :1] - 4) / 20)
            return features, -np.abs(found - [10, 2, 1, 0]).astype(np.float32)

    real = _classes(("0", "1", "2", "10"), 1)
    for names in (("0", "1", "10", "2"), (0, 1, 2)):
        records = metrics.evaluate_sets(_classes(names, 0), real, Classifier(), ("kid",))
        [asked] = [record for record in records if record["identifier"] == "asked_class"]
        assert asked["value"] == 1.0 and set(asked["shares"]) == {str(name) for name in names}
    records = metrics.evaluate_sets(_classes(("0", "3"), 0), real, Classifier(), ("kid",))
    [asked] = [record for record in records if record["identifier"] == "asked_class"]
    assert asked["value"] is None and "classifier does not know" in asked["note"]


def test_a_forced_class_distance_is_marked():
    labels = np.arange(6) % 2
    generated, real = _set(6, 0, labels), _set(6, 1, labels)
    (record,) = metrics.evaluate_sets(
        generated, real, Means(), ("intra_fid",), options=EvaluateOptions(force=True), step=1
    )
    assert "forced: 3 images in the smallest class for 3 features" in record["note"]
    assert record["count_per_class"] == record["count_real_per_class"] == 3


def test_labels_of_stored_images_are_not_read_for_nothing(monkeypatch):
    images, labels = np.zeros((50, 3, 16, 16), np.uint8), np.arange(50) % 2
    real = DataSet(ImageData("stored", images + labels[:, None, None, None].astype(np.uint8), labels, num_class=2))
    monkeypatch.setattr(DataSet, "labels", property(lambda _: pytest.fail("labels were read")))
    assert metrics.evaluate_sets(_set(40, 0), real, Means(), ("fid",))[0]["value"] > 0


def test_few_images_of_a_class_that_was_not_generated_do_not_matter():
    real = _classes(("c0", "c1"), 1)
    (record,) = metrics.evaluate_sets(real.first(5), real.first(7), Means(), ("intra_fid",))
    assert "no images of class c1" in record["note"] and "forced" not in record["note"]
    assert record["count_per_class"] == record["count_real_per_class"] == 5


def _request(names, count, extractor, force=False, **facts):
    return evaluate.check(names, Facts(count, count, count, EvaluateOptions(force=force), **facts), extractor)


def test_the_request_of_a_training_is_checked_without_images():
    labels = np.repeat([0, 1], [10, 3])
    known = {"labels": labels, "labels_training": np.arange(40) % 2}
    with pytest.raises(MetricError, match="of class 1 there are 3 generated ones"):
        _request(("intra_fid",), 13, Means(), **known)
    with pytest.raises(MetricError, match="the generated ones have no classes"):
        _request(("intra_fid",), 13, Means())
    with pytest.raises(MetricError, match="square images, and these are 16x32"):
        _request(("swd",), 13, None, shape=(16, 32, 3))
    with pytest.raises(MetricError, match="at least 4 images"):
        _request(("fid",), 3, Means())
    assert _request(("fid",), 3, Means(), force=True) == ("fid",)


def test_class_distances_are_of_the_images_of_one_class():
    labels = np.arange(80) % 2
    images = np.random.default_rng(0).integers(0, 100, (80, 4, 4, 3), dtype=np.uint8)
    images[labels == 1] += 90
    real = ArraySet(images, labels, class_names=("dark", "light"))
    generated = _set(60, 3, np.arange(60) % 2, side=4)
    (record,) = metrics.evaluate_sets(generated, real, Means(), ("intra_fid",))
    features = [Means().extract(side.take(np.arange(side.count)))[0] for side in (generated, real)]
    expected = {
        name: metrics.frechet_distance(
            *(f[side.labels == c] for f, side in zip(features, (generated, real), strict=True))
        )
        for c, name in enumerate(("dark", "light"))
    }
    assert record["per_class"] == pytest.approx(expected, rel=1e-9)
    assert record["value"] == pytest.approx(np.mean(list(expected.values())), rel=1e-9)
    assert expected["dark"] != pytest.approx(expected["light"], rel=0.1)


def test_stored_statistics_give_the_same_distance(tmp_path):
    generated, real = _set(40, 0), _set(50, 1)
    features = Means().extract(real.take(np.arange(50)))[0]
    statistics_of(features, Means(), "50 images").save(tmp_path / "real.npz")
    moments = metrics.read_moments(tmp_path / "real.npz")
    (record,) = metrics.evaluate_sets(generated, moments, Means(), ("fid",), step=1)
    direct, _ = metrics.evaluate_sets(generated, real, Means(), ("fid",), step=1)
    assert record["value"] == pytest.approx(direct["value"], rel=1e-9)
    assert record["count_real"] == 50 and "note" not in record
    with pytest.raises(MetricError, match="fid and fid_infinity can be computed and kid cannot"):
        metrics.evaluate_sets(generated, moments, Means(), ("fid", "kid"))


def test_statistics_of_other_features_are_refused(tmp_path):
    features = Means().extract(_set(50, 1).take(np.arange(50)))[0]
    generated = _set(40, 0)

    def refusal(statistics):
        with pytest.raises(MetricError) as error:
            metrics.evaluate_sets(generated, statistics, Means(), ("fid",))
        return str(error.value)

    other = Means()
    other.label = "inception"
    assert "are of inception features, not of means" in refusal(statistics_of(features, other, ""))
    other = Means()
    other.resize = "legacy"
    assert "resize: legacy there, 77, resize: none here" in refusal(statistics_of(features, other, ""))
    assert "of 2 features, and the means has 3" in refusal(metrics.Moments.of(features[:, :2]))


def test_what_statistics_do_not_say_is_noted(tmp_path):
    features = Means().extract(_set(50, 1).take(np.arange(50)))[0].astype(float)
    np.savez(tmp_path / "fid.npz", mu=features.mean(0), sigma=np.cov(features, rowvar=False))
    (record,) = metrics.evaluate_sets(_set(40, 0), metrics.read_moments(tmp_path / "fid.npz"), Means(), ("fid",))
    assert (
        record["note"] == "the statistics do not say of which features, of which network, of how many images they are"
    )
    assert record["count_real"] is None
