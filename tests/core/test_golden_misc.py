"""Small functions against the original's numbers."""

import numpy as np

from mmdgan.metrics import frechet_distance
from mmdgan.sampling import slerp
from tests.helpers.golden_data import frechet_case, slerp_case


def test_frechet_distance():
    """The original takes roots in float32, which shows: 8e-4 from the exact distance of the same features."""
    case = frechet_case()
    np.testing.assert_allclose(frechet_distance(case["a"], case["b"]), case["value"], rtol=1.5e-3)


def test_slerp():
    case = slerp_case()
    for share, point in case["points"].items():
        np.testing.assert_allclose(slerp(case["p0"], case["p1"], share), point, rtol=1e-5, atol=1e-6)
    rows = slerp(case["p0"], case["p1"], np.array(list(case["points"])))
    np.testing.assert_allclose(rows, list(case["points"].values()), rtol=1e-5, atol=1e-6)
    # a quarter circle in thirds; and nearly parallel codes, where the original goes in a straight line
    third = slerp(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 1 / 3)
    np.testing.assert_allclose(third, [np.cos(np.pi / 6), np.sin(np.pi / 6)], rtol=1e-6)
    np.testing.assert_allclose(slerp(np.array([1.0, 0.0]), np.array([1.0, 0.05]), 0.5), [1.0, 0.025], rtol=1e-6)
