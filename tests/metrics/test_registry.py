"""The registered metrics: what is known of them without computing, and a metric that is one file."""

import subprocess
import sys

import numpy as np
import pytest

from mmdgan import metrics
from mmdgan.core.errors import MetricError
from mmdgan.metrics import registry
from mmdgan.metrics.sets import ArraySet

BRIGHTNESS = """
from mmdgan.core.lazy import np
from mmdgan.metrics.records import make_record
from mmdgan.metrics.registry import HIGHER, Metric, Score, register


@register
class Brightness(Metric):
    identifier = "brightness"
    scores = (Score("brightness", HIGHER, judge="brightness"),)
    features = False

    def compute(self, context):
        images = context.generated.images.take(np.arange(context.generated.count))
        yield make_record("brightness", images.mean(), len(images), resize="none")
"""


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, mmdgan.metrics; print({'tensorflow', 'tensorflow_gan', 'numpy'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
    with pytest.raises(AttributeError, match="no attribute 'frechet'"):
        metrics.frechet  # noqa: B018


def test_a_file_among_the_metrics_is_a_new_metric(tmp_path):
    """Tried in another process, whose folder of metrics has a second place."""
    (tmp_path / "brightness.py").write_text(BRIGHTNESS)
    code = f"""
import importlib.machinery, sys

class Finder:
    def find_spec(name, path, target=None):
        if name == "mmdgan.metrics.scores":
            spec = importlib.machinery.PathFinder.find_spec(name, path)
            spec.submodule_search_locations.append({str(tmp_path)!r})
            return spec

sys.meta_path.insert(0, Finder)
from mmdgan.cli.program import main
from mmdgan.metrics import METRICS, registry
assert METRICS[-1] == "brightness" and "numpy" not in sys.modules, METRICS
import numpy as np
from mmdgan.metrics import evaluate_images
images = np.full((4, 8, 8, 3), 30, np.uint8)
[record] = evaluate_images(images, images, None, ("brightness",), seed=0, step=None)
print(record["metric"], record["identifier"], record["value"], record["features"], registry.direction("brightness"))
main(["evaluate", "--images=x.npz", "--reference=y.npz", "--metrics=darkness"])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.strip() == "brightness brightness 30.0 None 1", ran.stderr
    assert "'darkness'" in ran.stderr and "nn, brightness" in ran.stderr


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


def test_judges_and_the_scores_that_they_stand_for():
    assert list(registry.judges()) == "fid is kid precision recall density coverage swd intra_fid".split()
    lower = [name for name, judge in registry.judges().items() if judge.lower]
    assert lower == ["fid", "kid", "swd", "intra_fid"] == [n for n in registry.judges() if registry.lower_is_better(n)]
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
    with pytest.raises(MetricError, match=r"no metric 'ms-ssim' \(did you mean ms_ssim\?\): choose from fid, is, kid"):
        registry.get("ms-ssim")
    images = ArraySet(np.zeros((4, 8, 8, 3), np.uint8))
    with pytest.raises(MetricError, match="no metric 'classes'"):  # which nobody asks for
        metrics.evaluate_sets(images, images, None, ("classes",))
