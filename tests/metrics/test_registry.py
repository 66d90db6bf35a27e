"""The registered metrics: what is known of them without computing."""

import subprocess
import sys

import numpy as np
import pytest

from mmdgan import metrics
from mmdgan.core.errors import MetricError
from mmdgan.metrics import registry
from mmdgan.metrics.sets import ArraySet


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, mmdgan.metrics; print({'tensorflow', 'tensorflow_gan', 'numpy'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
    with pytest.raises(AttributeError, match="no attribute 'frechet'"):
        metrics.frechet  # noqa: B018


@pytest.mark.parametrize(
    ("name", "identifier", "better"),
    [
        ("FID", "fid", -1),
        ("FD[classifier:cifar10]", "fid", -1),
        ("FD[classifier] real-real", "fid", 0),
        ("IS", "is", 1),
        ("CS[classifier] (10 splits)", "is", 1),
        ("CS[classifier] real (10 splits)", "is", 0),
        ("KD[keras:VGG16]", "kid", -1),
        ("density[inception]", "prdc", 1),
        ("MS-SSIM", "ms_ssim", -1),
        ("MS-SSIM all pairs", "ms_ssim", -1),
        ("MS-SSIM all pairs real", "ms_ssim", 0),
        ("SWD mean", "swd", -1),
        ("SWD 16x16", "swd", -1),
        ("SWD 16x16 real-real", "swd", 0),
        ("intra FID", "intra_fid", -1),
        ("near copies[pixels]", "nn", 0),
        ("classes[classifier]", "classes", 1),
        ("asked class[classifier]", "asked_class", 1),
        ("LPIPS", "", 0),
    ],
)
def test_every_score_has_its_metric_and_its_direction(name, identifier, better):
    assert registry.identifier_of(name) == identifier and registry.direction(name) == better
    assert registry.lower_is_better(name) == (better < 1)


def test_what_a_score_means():
    for name, meaning in {
        "FD[classifier]": "Fréchet distance from the real images' features; lower is better.",
        "KID": "Squared MMD from the real images' features; lower is better.",
        "CS[c] (10 splits)": "How clear and how varied the classes of the images are; higher is better.",
        "CS[c] real (10 splits)": "How clear and how varied the classes of the images are, of real images alone.",
        "near copies[pixels]": "Share of images suspiciously near to a training image.",
        "LPIPS": "",
    }.items():
        assert registry.meaning(name) == meaning


def test_judges_and_the_scores_that_they_stand_for():
    assert list(registry.judges()) == "fid is cmmd kid mind precision recall density coverage swd intra_fid".split()
    lower = [name for name, judge in registry.judges().items() if judge.lower]
    assert (
        lower
        == ["fid", "cmmd", "kid", "mind", "swd", "intra_fid"]
        == [n for n in registry.judges() if registry.lower_is_better(n)]
    )
    for judge, names in {
        "fid": ("FID", "FD[classifier]"),
        "is": ("IS", "CS[keras:VGG16]"),
        "recall": ("recall[inception]", "recall[classifier]"),
        "swd": ("SWD mean",),
        "intra_fid": ("intra FID", "intra FD[classifier]"),
    }.items():
        assert all(registry.is_judged(name, judge) for name in names), judge
    for name, judge in (
        ("FD[classifier] real-real", "fid"),
        ("IS (10 splits)", "is"),
        ("SWD 16x16", "swd"),
        ("recall", "recall"),
        ("MS-SSIM", "ms_ssim"),
        ("MS-SSIM", ""),
    ):
        assert not registry.is_judged(name, judge), name


def test_an_unknown_metric_is_refused_by_all_the_names():
    with pytest.raises(MetricError, match=r"no metric 'ms-ssim' \(did you mean ms_ssim\?\): choose from fid, fid_inf"):
        registry.get("ms-ssim")
    images = ArraySet(np.zeros((4, 8, 8, 3), np.uint8))
    with pytest.raises(MetricError, match="no metric 'classes'"):  # which nobody asks for
        metrics.evaluate_sets(images, images, None, ("classes",))
