"""Figure S1: quadratures against scipy and Monte Carlo, slopes against differences, equilibria against theory."""

import csv
import dataclasses
import itertools
import runpy

import numpy as np
import pytest
from scipy import integrate, stats

from mmdgan.core.errors import ConfigError
from paper.stability import (
    DATA,
    LOSSES,
    OUTSIDE,
    PROPER_END,
    TRIVIAL_END,
    Field,
    StabilityOptions,
    TwoParameterGan,
    destinations,
    find_equilibria,
    line_rows,
    make,
    normal_rule,
    start_grid,
    uniform_rule,
    velocity_field,
)

POINTS = [(0.6, 0.5), (1.4, 0.8), (2.3, 1.6)]
SETTINGS = list(itertools.product(LOSSES, DATA))


def test_rules_give_the_moments():
    for power, uniform, normal in ((0, 1, 1), (2, 1 / 3, 1), (4, 1 / 5, 3), (8, 1 / 9, 105)):
        for rule, moment in (
            (uniform_rule(60), uniform),
            (normal_rule(100), normal),
            (normal_rule(60, "hermite"), normal),
        ):
            assert rule.weights @ rule.nodes**power == pytest.approx(moment, rel=1e-11)


def _kernel(a, b):
    return np.exp(-2.0 * (a - b) ** 2)


def _scipy_mean(density_a, most_a, scale_a, density_b, most_b, scale_b):
    """E k(scale_a a^2, scale_b b^2) by adaptive quadrature over the positive quadrant, of which there are four."""
    value, error = integrate.dblquad(
        lambda b, a: 4 * density_a(a) * density_b(b) * _kernel(scale_a * a**2, scale_b * b**2),
        0, most_a, 0, most_b, epsabs=1e-8, epsrel=1e-8,
    )  # fmt: skip
    assert error < 1e-6
    return value


def _losses_by_scipy(loss, data, w1, w2):
    half = (lambda x: 0.5, 1.0)
    real, generated = (half if data == "uniform" else (stats.norm.pdf, 8.0), w2), (half, w2 * w1**2)
    if data == "normal":
        real = ((lambda x: np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi), 8.0), w2)
    own_real, own_generated, cross = (
        _scipy_mean(*a[0], a[1], *b[0], b[1]) for a, b in ((real, real), (generated, generated), (real, generated))
    )
    mmd2 = own_real + own_generated - 2 * cross
    return mmd2, (-mmd2 if loss == "rbf" else own_real - own_generated)


@pytest.mark.parametrize(("loss", "data"), SETTINGS)
def test_losses_are_scipys_double_integrals(loss, data):
    found = TwoParameterGan(loss, data).losses(1.4, 0.8)
    np.testing.assert_allclose(found, _losses_by_scipy(loss, data, 1.4, 0.8), atol=1e-6)


def test_losses_are_a_monte_carlo_mean_within_four_standard_errors():
    """Two million independent pairs for each term; the standard errors are some 3e-4."""
    rng = np.random.default_rng(0)
    w1, w2 = 1.8, 0.6
    x, y = w2 * rng.standard_normal((2, 2_000_000)) ** 2
    g, h = w2 * (w1 * rng.uniform(-1, 1, (2, 2_000_000))) ** 2
    terms = [_kernel(a, b) for a, b in ((x, y), (g, h), (x, h))]
    means, errors = [t.mean() for t in terms], [t.std() / np.sqrt(len(t)) for t in terms]
    mmd2, rep = TwoParameterGan("rep", "normal").losses(w1, w2)
    assert mmd2 == pytest.approx(
        means[0] + means[1] - 2 * means[2], abs=4 * np.hypot(np.hypot(*errors[:2]), 2 * errors[2])
    )
    assert rep == pytest.approx(means[0] - means[1], abs=4 * np.hypot(*errors[:2]))
    assert max(errors) < 3.5e-4


@pytest.mark.parametrize(("loss", "data"), SETTINGS)
def test_velocity_is_minus_each_players_own_slope_and_the_jacobian_its_derivative(loss, data):
    gan, step = TwoParameterGan(loss, data, nodes=60), 1e-5
    for w1, w2 in POINTS:
        by_w1 = (gan.losses(w1 + step, w2)[0] - gan.losses(w1 - step, w2)[0]) / (2 * step)
        by_w2 = (gan.losses(w1, w2 + step)[1] - gan.losses(w1, w2 - step)[1]) / (2 * step)
        np.testing.assert_allclose(gan.velocity((w1, w2)), [-by_w1, -by_w2], atol=1e-9)
        columns = [
            (gan.velocity((w1 + step * a, w2 + step * b)) - gan.velocity((w1 - step * a, w2 - step * b))) / (2 * step)
            for a, b in ((1, 0), (0, 1))
        ]
        np.testing.assert_allclose(gan.jacobian((w1, w2)), np.transpose(columns), atol=1e-8)


def test_the_plane_is_symmetric_in_both_signs():
    gan = TwoParameterGan("rep", "normal")
    np.testing.assert_allclose(gan.velocity((-1.2, 0.7)), gan.velocity((1.2, 0.7)) * [-1, 1], atol=1e-15)
    np.testing.assert_allclose(gan.velocity((1.2, -0.7)), gan.velocity((1.2, 0.7)) * [1, -1], atol=1e-15)


def _velocity_by_scipy(loss, w1, w2, step=1e-3):
    """From losses by adaptive quadrature, by central differences of the fourth order."""
    shifts = ((1, 8), (-1, -8), (2, -1), (-2, 1))
    first = sum(c * _losses_by_scipy(loss, "normal", w1 + i * step * 20, w2)[0] for i, c in shifts) / (240 * step)
    second = sum(c * _losses_by_scipy(loss, "normal", w1, w2 + i * step * 20)[1] for i, c in shifts) / (240 * step)
    return -first, -second


EXPECTED = {
    # w1, w2, eigenvalues; the converged values, beside those of 100 Gauss-Hermite nodes.
    ("rbf", "legendre"): (1.48393, 0.79594, -0.37672, -0.04320),
    ("rbf", "hermite"): (1.483, 0.808, -0.378, -0.038),
    ("rep", "legendre"): (1.55356, 0.30709, -2.1535, -0.25856),
    ("rep", "hermite"): (1.554, 0.307, -2.15, -0.259),
}


@pytest.mark.parametrize(("loss", "rule"), EXPECTED)
def test_one_stable_equilibrium_with_normal_data(loss, rule):
    gan = TwoParameterGan(loss, "normal", rule=rule)
    starts = [(0.7, 0.4), (1.4, 0.7), (1.6, 0.3), (1.7, 0.4)] if rule == "legendre" else [(1.48, 0.8), (1.55, 0.31)]
    points = find_equilibria(gan, starts, (3.0, 2.0), tolerance=1e-6 if rule == "legendre" else None)
    point = min(points, key=lambda found: abs(found.w2 - EXPECTED[loss, rule][1]))
    w1, w2, one, two = EXPECTED[loss, rule]
    assert (point.w1, point.w2) == pytest.approx((w1, w2), abs=2e-5 if rule == "legendre" else 6e-4)
    assert point.eigenvalues.real == pytest.approx([one, two], abs=1e-4 if rule == "legendre" else 4e-3)
    np.testing.assert_array_equal(point.eigenvalues.imag, 0)
    np.testing.assert_allclose(gan.velocity((point.w1, point.w2)), 0, atol=1e-9)
    if rule == "legendre":
        assert len(points) == 1 and point.residual < 1e-7


def test_a_hundred_hermite_nodes_have_not_converged_for_mmd_rbf_and_more_of_them_approach_the_other_rule():
    [exact] = find_equilibria(TwoParameterGan("rbf", "normal"), [(1.48, 0.8)])
    distances = []
    for nodes in (100, 128, 200):
        gan = TwoParameterGan("rbf", "normal", nodes=nodes, rule="hermite")
        [point] = find_equilibria(gan, [(exact.w1, exact.w2)], tolerance=None)
        distances.append(np.hypot(point.w1 - exact.w1, point.w2 - exact.w2))
        assert point.residual > 1e-6
        assert find_equilibria(gan, [(point.w1, point.w2)]) == []
    assert 0.015 > distances[0] > 0.01 and distances[1] < 0.5 * distances[0] and distances[2] < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_scipys_integrals_have_their_equilibrium_at_the_same_place(loss):
    w1, w2 = EXPECTED[loss, "legendre"][:2]
    here = _velocity_by_scipy(loss, w1, w2)
    np.testing.assert_allclose(here, 0, atol=3e-5)
    if loss == "rbf":
        there = _velocity_by_scipy(loss, *EXPECTED[loss, "hermite"][:2])
        assert abs(there[1]) > 3e-4


@pytest.mark.parametrize("loss", LOSSES)
def test_with_uniform_data_all_equilibria_lie_on_the_line(loss):
    gan = TwoParameterGan(loss, "uniform", nodes=60)
    points = find_equilibria(gan, start_grid((0.5, 1.6), (0.4, 1.6), 4), (3.0, 3.0))
    assert len(points) >= 4
    np.testing.assert_allclose([point.w1 for point in points], 1.0, atol=1e-8)
    np.testing.assert_allclose([gan.velocity((1.0, w2)) for w2 in (0.1, 0.9, 2.5)], 0, atol=1e-15)
    assert np.abs(gan.velocity((1.05, 0.9))).max() > 1e-2


def test_proposition_1_across_the_line_the_eigenvalue_is_negative_and_along_it_zero():
    rows = line_rows(0.5, 60, (0.05, 0.5, 2.0))
    assert [(row[0], row[2]) for row in rows] == [(loss, w2) for loss in LOSSES for w2 in (0.05, 0.5, 2.0)]
    for loss, _, w2, across, along in rows:
        assert along == pytest.approx(0, abs=1e-12)
        # The generator's own slope: the Jacobian's upper left entry, because its right column is zero.
        gan = TwoParameterGan(loss, "uniform", nodes=60)
        slope = (gan.velocity((1 + 1e-5, w2)) - gan.velocity((1 - 1e-5, w2)))[0] / 2e-5
        assert across == pytest.approx(slope, rel=1e-6) and across < -0.005
        # For small w2: -8 c w2^2 (E z^2)^2 with c = 1 / (2 sigma^2) = 2 from the means of the squares, and more.
        if w2 == 0.05:
            assert across == pytest.approx(-16 * w2**2 * (2 / 9), rel=0.02)


def _flow_end(gan, start):
    """By scipy's integrator, in true time."""

    def speed(_, w):
        return gan.velocity(w)

    return integrate.solve_ivp(speed, (0, 600), start, rtol=1e-7, atol=1e-9, method="LSODA").y[:, -1]


@pytest.mark.parametrize(("loss", "data"), [("rep", "uniform"), ("rep", "normal"), ("rbf", "normal")])
def test_the_flow_ends_where_scipys_integrator_ends(loss, data):
    gan = TwoParameterGan(loss, data, nodes=40)
    line = 1.0 if data == "uniform" else None
    proper = {"rep": (1.5536, 0.3071), "rbf": (1.4839, 0.7959)}[loss]
    field = velocity_field(gan, np.linspace(0.01, 3, 31), np.linspace(0.01, 3, 31))
    ends = destinations(field, [] if line else [proper], line)
    starts = [(4, 4), (12, 12), (17, 6), (27, 2), (26, 10), (15, 3)]
    for i, j in starts:
        w1, w2 = _flow_end(gan, (field.w1[i], field.w2[j]))
        if ends[i, j] == TRIVIAL_END:
            assert abs(w2) < 0.02
        else:
            assert ends[i, j] == PROPER_END and w2 > 0.05
            assert (abs(w1 - 1) < 0.02) if line else np.hypot(w1 - proper[0], w2 - proper[1]) < 0.05
    trivial = np.mean(ends == TRIVIAL_END)
    assert trivial == 0 if loss == "rbf" else 0.02 < trivial < 0.3
    # The critic sees no more than squares' spread when w2 is small: trivial where the generated ones have more of it.
    threshold = 1.0 if line else (2 / (4 / 45)) ** 0.25
    if loss == "rep":
        assert np.all((ends[:, 0] == TRIVIAL_END) == (field.w1 > threshold + 0.01))


def test_a_flow_can_leave_the_plane():
    w = np.linspace(0.0, 1.0, 11)
    field = Field(w, w, np.broadcast_to([1.0, 0.5], (11, 11, 2)))
    assert np.all(destinations(field, []) == OUTSIDE)
    away = Field(w, w, np.broadcast_to([0.0, -1.0], (11, 11, 2)))
    assert np.all(destinations(away, []) == TRIVIAL_END)


def test_the_script_prints_and_writes_equilibria_and_flow(tmp_path, capsys):
    script = runpy.run_path("experiments/figureS1_stability.py")
    output = script["make"](dataclasses.replace(script["PRESET"], out=str(tmp_path), quick=True))
    names = [file.name for file in output.files]
    tables = ["_equilibria", "_line", "_field"]
    assert names == ["figureS1.png", "figureS1.pdf", *(f"figureS1{name}.csv" for name in tables)]
    with output.files[2].open() as file:
        rows = [row for row in csv.DictReader(file) if row["rule"] == "legendre"]
    assert [(row["loss"], row["paper_w1"], row["paper_w2"]) for row in rows] == [
        ("rbf", "1.55", "0.74"),
        ("rep", "1.55", "0.32"),
    ]
    for row in rows:
        for axis in ("w1", "w2"):
            difference = float(row[axis]) - float(row[f"paper_{axis}"])
            assert float(row[f"difference_{axis}"]) == pytest.approx(difference, abs=1e-12)
        assert float(row["eigenvalue_1"]) < float(row["eigenvalue_2"]) < 0
    printed = capsys.readouterr().out
    assert "paper (1.55, 0.74), differences -0.066, +0.056" in printed and "along it" in printed
    assert "MMD-rep, N(0, 1): trivial" in printed


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"grid": 2}, "grid is 2"), ({"sigma": 0.0}, "sigma is 0.0"), ({"most_w2": 0.1}, "too small to show")],
)
def test_wrong_flags_are_one_sentence(tmp_path, wrong, message):
    with pytest.raises(ConfigError, match=message):
        make(dataclasses.replace(StabilityOptions(), out=str(tmp_path), **wrong))
    with pytest.raises(ConfigError, match="The loss of the two-parameter GAN is 'mmd'; give one of rbf, rep"):
        TwoParameterGan("mmd", "uniform")
