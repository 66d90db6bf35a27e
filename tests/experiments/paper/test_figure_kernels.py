"""Figure 2: values against formulas in NumPy, derivatives against central differences and TensorFlow's."""

import csv
import dataclasses
import runpy

import numpy as np
import pytest

from mmdgan import losses
from mmdgan.core.errors import ConfigError
from paper.kernels import KernelOptions, bounded_curves, gaussian_curves, make, rational_quadratic_curves, table

SIGMAS = (1.0, 2**0.5, 2.0, 8**0.5, 4.0)
ALPHAS = (0.2, 0.5, 1.0, 2.0, 5.0)
E = np.linspace(0.0, 10.0, 201)


def _central(function, e, step=1e-5):
    return (function(e + step) - function(e - step)) / (2 * step)


def test_gaussians_and_their_mean_are_the_formula_and_its_slope():
    *curves, mean = gaussian_curves(E, SIGMAS)
    formulas = [lambda e, s=s: np.exp(-(e**2) / (2 * s**2)) for s in SIGMAS]
    assert [curve.label for curve in curves] == ["σ = 1", "σ = 1.41", "σ = 2", "σ = 2.83", "σ = 4"]
    for curve, formula in zip(curves, formulas, strict=True):
        np.testing.assert_allclose(curve.value, formula(E), atol=1e-14)
        np.testing.assert_allclose(curve.derivative, _central(formula, E), atol=1e-9)
    np.testing.assert_allclose(mean.value, sum(formula(E) for formula in formulas) / 5, atol=1e-14)
    np.testing.assert_allclose(mean.derivative, sum(_central(formula, E) for formula in formulas) / 5, atol=1e-9)
    # The steepest place of a Gaussian is at e = sigma, where the slope is -exp(-1/2) / sigma.
    assert curves[2].derivative.min() == pytest.approx(-np.exp(-0.5) / 2, abs=1e-12)
    assert E[curves[2].derivative.argmin()] == 2.0


def test_rational_quadratics_and_their_mean_are_the_formula_and_its_slope():
    *curves, mean = rational_quadratic_curves(E, ALPHAS)
    formulas = [lambda e, a=a: (1 + e**2 / (2 * a)) ** -a for a in ALPHAS]
    for curve, formula in zip(curves, formulas, strict=True):
        np.testing.assert_allclose(curve.value, formula(E), atol=1e-13)
        np.testing.assert_allclose(curve.derivative, _central(formula, E), atol=1e-9)
    np.testing.assert_allclose(mean.derivative, sum(_central(formula, E) for formula in formulas) / 5, atol=1e-9)
    assert mean.label == "mean" and mean.value[0] == 1.0


def test_derivatives_are_those_that_tensorflow_backpropagates():
    import tensorflow as tf

    from mmdgan.losses import kernels

    e = tf.constant(np.linspace(0.013, 9.7, 50), tf.float64)
    cases = [(curve, kernels.gaussian, s) for curve, s in zip(gaussian_curves(e.numpy(), SIGMAS), SIGMAS, strict=False)]
    quadratics = rational_quadratic_curves(e.numpy(), ALPHAS)
    cases += [(curve, kernels.rational_quadratic, a) for curve, a in zip(quadratics, ALPHAS, strict=False)]
    for curve, kernel, parameter in cases:
        with tf.GradientTape() as tape:
            tape.watch(e)
            value = kernel(e * e, parameter)
        np.testing.assert_allclose(curve.derivative, tape.gradient(value, e), atol=1e-13)


@pytest.mark.parametrize(
    ("variant", "near", "far"),
    [
        ("attractive", "real and generated pairs", "real-generated pairs"),
        ("repulsive", "generated pairs", "real pairs"),
    ],
)
def test_bounds_stop_the_pull_of_near_and_the_push_of_far_pairs(variant, near, far):
    low, high = bounded_curves(E, variant, 1.5, 0.25, 4.0)
    assert low.label == f"{near}: max(e², 0.25)" and high.label == f"{far}: min(e², 4)"
    plain = np.exp(-(E**2) / 4.5)
    slope = -E / 2.25 * plain
    np.testing.assert_allclose(low.value, np.where(E < 0.5, np.exp(-0.25 / 4.5), plain), atol=1e-14)
    np.testing.assert_allclose(high.value, np.where(E > 2.0, np.exp(-4 / 4.5), plain), atol=1e-14)
    assert np.all(low.derivative[E < 0.5] == 0) and np.all(high.derivative[E > 2.0] == 0)
    np.testing.assert_allclose(low.derivative[E >= 0.5], slope[E >= 0.5], atol=1e-14)
    np.testing.assert_allclose(high.derivative[E <= 2.0], slope[E <= 2.0], atol=1e-14)


def _pair_loss(name, kind, e):
    """L_D of two real and two generated 1-D scores in which only the pair of this kind is at a distance that varies."""
    import tensorflow as tf

    far = 1e4
    position = {
        "real": ([0.0, e], [far, 3 * far]),
        "generated": ([far, 3 * far], [0.0, e]),
        # The cross term pairs i != j.
        "cross": ([0.0, far], [-far, e]),
    }[kind]
    real, generated = (tf.constant(np.array(points)[:, None], tf.float64) for points in position)
    return float(losses.get(name)(generated, real).dis)


@pytest.mark.parametrize(
    ("name", "kind", "variant", "index", "weight"),
    [
        ("mgb", "real", "attractive", 0, -1),
        ("mgb", "generated", "attractive", 0, -1),
        ("mgb", "cross", "attractive", 1, 1),
        ("rep_b", "generated", "repulsive", 0, -1),
        ("rep_b", "real", "repulsive", 1, 1),
        ("rep_b", "cross", "repulsive", 1, 0),
    ],
)
def test_bounded_curves_are_the_losses_part_of_that_kind_of_pair(name, kind, variant, index, weight):
    e = np.array([0.1, 0.4, 0.6, 1.9, 2.1, 5.0])
    curve = bounded_curves(e, variant, 1.0, 0.25, 4.0)[index]
    found = np.array([_pair_loss(name, kind, value) for value in e])
    np.testing.assert_allclose(found - found[-1], weight * (curve.value - curve.value[-1]), atol=1e-12)


def test_the_table_names_every_curve_and_its_derivative():
    curves = gaussian_curves(E, (1.0, 3.0))
    rows, names = table(E, {"g": curves})
    assert names[:3] == ["e", "g, σ = 1", "g, σ = 1, derivative"] and len(rows) == len(E) and len(names) == 7
    np.testing.assert_array_equal(np.array(rows)[:, 4], curves[1].derivative)


def test_the_script_draws_four_groups_of_kernels(tmp_path):
    script = runpy.run_path("experiments/figure2_kernels.py")
    options = dataclasses.replace(script["PRESET"], out=str(tmp_path), quick=True)
    assert options.sigma == pytest.approx(SIGMAS) and options.alpha == ALPHAS
    assert (options.bounded_sigma, options.lower_bound, options.upper_bound) == (1.0, 0.25, 4.0)
    files = script["make"](options).files
    assert [file.name for file in files] == ["figure2.png", "figure2.pdf", "figure2.csv"]
    with files[2].open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 101 and len(rows[0]) == 1 + 2 * (6 + 6 + 2 + 2)
    assert float(rows[-1]["e"]) == 10.0
    assert float(rows[20]["Gaussian, σ = 2"]) == pytest.approx(np.exp(-0.5), abs=1e-12)


@pytest.mark.parametrize(
    "wrong", [{"count": 1}, {"furthest": 0.0}, {"sigma": ()}, {"alpha": (1.0, -1.0)}, {"upper_bound": float("nan")}]
)
def test_wrong_flags_are_one_sentence(tmp_path, wrong):
    with pytest.raises(ConfigError, match=f"--{next(iter(wrong))} is"):
        make(dataclasses.replace(KernelOptions(), out=str(tmp_path), **wrong))
    with pytest.raises(ConfigError, match="attractive, repulsive"):
        bounded_curves(E, "neutral", 1.0, 0.25, 4.0)
