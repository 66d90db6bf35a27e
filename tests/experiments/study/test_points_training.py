"""Training on points: networks, repeatability, forces and heights against closed forms and differences."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mmdgan import losses
from mmdgan.data import synthetic
from mmdgan.design import load_architecture, parse_architecture
from mmdgan.training.step import channels_last
from study import points, points_training
from study.points_options import PointsSettings

QUICK = PointsSettings("quick", steps=60, batch_size=16, snapshots=3, samples=60, permutations=19)
SHORT = dataclasses.replace(QUICK, steps=25)


def test_the_networks_are_as_documented():
    for name, parameters in (("MLP", (18_946, 18_960)), ("IDENTITY", (18_946, 0))):
        specs = parse_architecture(load_architecture(f"points/{name}"))
        assert tuple(spec.parameters for spec in specs) == parameters
        source = (Path(__file__).resolve().parents[3] / "architectures" / "points.py").read_text(encoding="utf-8")
        documentation = source.partition(f"\n{name} = ")[2].split('"""')[1]
        assert all(f"{count:,}" in documentation for count in parameters)


def test_points_have_no_channels_to_move():
    points_, images = tf.zeros((4, 2)), tf.zeros((4, 3, 5, 6))
    assert channels_last(points_, "channels_first").shape == (4, 2)
    assert channels_last(images, "channels_first").shape == (4, 5, 6, 3)


def test_without_spectral_norms_and_with_another_score_size():
    gan = points_training.build(dataclasses.replace(QUICK, loss="hinge", learned=True, spectral=False))
    assert not gan.discriminator.spectral_layers() and gan.discriminator.spec.output_shape == (1,)
    gan = points_training.build(dataclasses.replace(QUICK, loss="rep", learned=True, gain=27.0))
    assert len(gan.discriminator.spectral_layers()) == 3 and gan.discriminator.spec.output_shape == (16,)
    assert math.prod(layer.act_k for layer in gan.discriminator.spec.layers) == pytest.approx(27)


@pytest.fixture(scope="module")
def trained():
    return points_training.train(QUICK)


def test_a_run_is_a_function_of_its_settings(trained):
    again = points_training.train(QUICK)
    other = points_training.train(dataclasses.replace(SHORT, seed=1))
    assert [snapshot.step for snapshot in trained.snapshots] == [0, 25, 60]
    assert [row["step"] for row in trained.curves] == [25, 50, 60]
    assert int(trained.gan.iterations) == 60
    for one, two in zip(trained.snapshots, again.snapshots, strict=True):
        np.testing.assert_array_equal(one.samples, two.samples)
        np.testing.assert_array_equal(one.force, two.force)
    for one, two in zip(trained.snapshots[:2], other.snapshots, strict=True):
        assert not np.array_equal(one.samples, two.samples)
    assert trained.curves == again.curves
    assert not np.array_equal(trained.held_out(5), other.held_out(5))
    # Training changed the points, and the step before the last one had a small rate.
    assert not np.array_equal(trained.snapshots[0].samples, trained.snapshots[1].samples)
    assert float(trained.gan.optimizer_gen.learning_rate) == pytest.approx(3e-3 * 10 / 60)


def test_a_run_ends_when_its_time_is_used_up(monkeypatch):
    """By a clock of one second a look: one before the first step, one after each call of 25."""
    clock = iter(range(100))
    monkeypatch.setattr(points_training.time, "process_time", lambda: float(next(clock)))
    rates = []
    monkeypatch.setattr(points_training, "_set_rates", lambda gan, settings, share: rates.append(share))
    result = points_training.train(dataclasses.replace(QUICK, steps=60, seconds=4.0))
    assert int(result.gan.iterations) == 100 and rates == [1.0, 0.75, 0.5, 0.25]
    # Three snapshots: at the start, from a quarter of the time on, at the end.
    assert [snapshot.step for snapshot in result.snapshots] == [0, 25, 100]


def test_points_of_steps_are_neither_held_out_nor_those_of_other_steps(trained, monkeypatch):
    drawn = []
    sample = synthetic.GaussianMixture.sample
    monkeypatch.setattr(
        synthetic.GaussianMixture, "sample", lambda self, n, seed=0: drawn.append(sample(self, n, seed)) or drawn[-1]
    )
    result = points_training.train(dataclasses.replace(SHORT, steps=50))
    result.held_out(50)
    assert len(np.unique(np.concatenate([rows[:40] for rows in drawn[1:]]), axis=0)) >= 40 * 4


def witness(z, data, generated, sigma):
    def mean(rows):
        return np.exp(-np.square(z[:, None] - rows[None]).sum(axis=2) / (2 * sigma**2)).mean(axis=1)

    return mean(data) - mean(generated)


class _OneLoss:
    """As much of a `GanStep` as forces and heights need, with a critic that is a given function."""

    def __init__(self, loss, critic=lambda x, training: x):
        self.loss, self.discriminator = loss, critic
        self.loss_state, self.seed = {name: tf.Variable(v) for name, v in loss.initial_state().items()}, 0


def test_the_witness_of_gaussians_is_that_of_the_closed_form():
    """f(z) = s^2 / (s^2 + v) (exp(-|z - m|^2 / 2 (s^2 + v)) - exp(-|z - n|^2 / 2 (s^2 + v))) in the plane."""
    sigma, variance, count = 0.7, 0.3, 40_000
    m, n = np.array([0.5, 0.0]), np.array([-0.5, 0.4])
    data = synthetic.get("normal", mu=m, std_or_cov=math.sqrt(variance) * np.ones(2)).sample(count, seed=1)
    generated = synthetic.get("normal", mu=n, std_or_cov=math.sqrt(variance) * np.ones(2)).sample(count, seed=2)
    z = np.random.default_rng(0).uniform(-2, 2, (30, 2))

    def mean(centre):
        width = sigma**2 + variance
        return sigma**2 / width * np.exp(-np.square(z - centre).sum(axis=1) / (2 * width))

    found = points_training.height(_OneLoss(losses.get("mmd_g", sigma=[sigma])), z, data, generated)
    exact = mean(m) - mean(n)
    # Each mean of kernel values in [0, 1] is within 5 of its standard errors, at most 0.5 / sqrt(count).
    np.testing.assert_allclose(found, exact, atol=5 * 0.5 * math.sqrt(2 / count))
    assert np.abs(exact).max() > 0.15


@pytest.mark.parametrize("mean", [(0.0, 0.0), (1.0, -0.5)])
def test_mmd2_of_two_gaussians_of_unlike_widths_is_that_of_the_closed_form(mean):
    """E k(x, y) = s^2 / (s^2 + v + w) exp(-|m|^2 / 2 (s^2 + v + w)) of x ~ N(0, v I), y ~ N(m, w I) in the plane."""
    sigma, v, w, count, draws = 0.8, 0.5, 1.2, 60, 100

    def expected(total, apart=0.0):
        return sigma**2 / (sigma**2 + total) * math.exp(-apart / (2 * (sigma**2 + total)))

    exact = expected(2 * v) + expected(2 * w) - 2 * expected(v + w, float(np.square(mean).sum()))
    rng = np.random.default_rng(4)
    values = []
    for _ in range(draws):
        x = rng.standard_normal((count, 2)) * math.sqrt(v)
        y = rng.standard_normal((count, 2)) * math.sqrt(w) + np.array(mean)
        values.append(float(losses.mmd2(x, y, sigma=sigma)))
    assert np.mean(values) == pytest.approx(exact, abs=4 * np.std(values) / math.sqrt(draws))
    assert np.std(values) / math.sqrt(draws) < 0.2 * exact


def test_the_force_is_twice_the_slope_of_the_witness():
    """-N d MMD^2 / dx_i = 2 grad f(x_i): exactly of the V-statistic, in which a point's own term has no slope."""
    rng = np.random.default_rng(0)
    data, generated = rng.uniform(-1, 1, (300, 2)), rng.uniform(-1, 1, (300, 2)) + 0.4
    found = points_training.force(_OneLoss(losses.get("mmd_g", sigma=[0.6], biased=True)), generated, data)
    step = 1e-4
    for axis in range(2):
        there, back = generated.copy(), generated.copy()
        there[:, axis] += step
        back[:, axis] -= step
        slope = (witness(there, data, generated, 0.6) - witness(back, data, generated, 0.6)) / (2 * step)
        np.testing.assert_allclose(found[:, axis], 2 * slope, atol=2e-5)
        assert np.abs(slope).max() > 0.19


def test_the_linear_term_is_part_of_the_height():
    rng = np.random.default_rng(0)
    z, data, generated = rng.standard_normal((3, 40, 2))
    with_term, without = (
        points_training.height(_OneLoss(losses.get("mmd_g", sigma=[0.6], add_dot=w)), z, data, generated)
        for w in (0.3, 0.0)
    )
    np.testing.assert_allclose(with_term - without, 0.3 * z @ (data.mean(0) - generated.mean(0)), atol=1e-6)
    np.testing.assert_allclose(without, witness(z, data, generated, 0.6), atol=1e-6)


def test_the_height_of_drift_is_a_difference_of_its_kernels():
    gan = points_training.build(dataclasses.replace(QUICK, loss="drift", loss_options={"temperature": (0.5, 2.0)}))
    z, x, y = (np.random.default_rng(seed).standard_normal((5, 2)) for seed in range(3))
    unit = np.mean([math.dist(a, b) for a in x for b in y])
    expected = [
        sum(
            np.mean([math.exp(-math.dist(point, a) / unit / t) for a in x])
            - np.mean([math.exp(-math.dist(point, b) / unit / t) for b in y])
            for t in (0.5, 2.0)
        )
        for point in z
    ]
    np.testing.assert_allclose(points_training.height(gan, z, x, y), expected, rtol=1e-5)


def test_heights_of_losses_without_a_kernel():
    rng = np.random.default_rng(0)
    z, data, generated = rng.standard_normal((3, 40, 2))

    def critic(x, training):
        return 3.0 * x[:, :1] + 7.0

    hinge = points_training.height(_OneLoss(losses.get("hinge"), critic), z, data, generated)
    np.testing.assert_allclose(hinge, 3 * z[:, 0] + 7, rtol=1e-5)
    wasserstein = points_training.height(_OneLoss(losses.get("wasserstein"), critic), z, data, generated)
    middle = (data[:, 0].mean() + generated[:, 0].mean()) / 2
    np.testing.assert_allclose(wasserstein, 3 * (z[:, 0] - middle), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["mmd_t", "rep_b", "rand_g", "mmd_g_mix", "ins_noise", "wasserstein", "rep_ds"])
def test_every_kind_of_loss_has_forces_and_heights(name):
    rng = np.random.default_rng(0)
    z, data, generated = rng.standard_normal((3, 40, 2)).astype(np.float32)
    gan = _OneLoss(losses.get(name))
    force, height = points_training.force(gan, generated, data), points_training.height(gan, z, data, generated)
    assert force.shape == (40, 2) and height.shape == (40,)
    assert np.isfinite(force).all() and np.abs(force).max() > 0
    assert np.isfinite(height).all() and np.abs(height).max() > 0


def test_a_snapshots_height_is_that_of_its_own_critic():
    settings = dataclasses.replace(SHORT, loss="rep_b", learned=True)
    result = points_training.train(settings)
    z = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    last, first = (result.height(snapshot, z) for snapshot in (result.snapshots[-1], result.snapshots[0]))
    assert not np.allclose(first, last, rtol=1e-3)
    for mine, now in zip(result.snapshots[-1].weights, result.gan.discriminator.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, now)
    np.testing.assert_array_equal(result.height(result.snapshots[-1], z), last)


def test_a_run_that_diverges_says_when():
    result = points_training.train(dataclasses.replace(SHORT, lr_gen=1e20, decay=False))
    assert result.diverged == 25
    numbers = points.measure(result)
    assert numbers.diverged == 25 and numbers.steps == 25
    assert numbers.energy is None or numbers.energy > 1e3
    assert points.caption(numbers) == "diverged at step 25"


def test_numbers_of_a_run(trained):
    result = points.measure(trained)
    assert (result.modes, result.steps, result.diverged) == (8, 60, None)
    assert 0 <= result.covered <= 8 and 0 <= result.high_quality <= 1
    assert 1 / 20 <= result.p_mmd <= 0.1 and 1 / 20 <= result.p_energy <= 0.1  # 60 steps are not enough
    assert list(result.row()) == list(points.COLUMNS)
    assert result.kernel == "Gaussian, sigma 1, 1.41, 2, 2.83, 4"
    biased = losses.get("mmd_t", alpha=[0.1, 10], add_dot=0.1, biased=True)
    assert points.describe_kernel(biased) == "rational quadratic, alpha 0.1, 10, add_dot 0.1, biased"
    assert points.describe_kernel(losses.get("rep", variance=4.0)) == "Gaussian, sigma 2"
    assert points.describe_kernel(losses.get("rand_g")) == "Gaussian, random sigma"
    assert points.describe_kernel(losses.get("hinge")) == ""
    assert points.describe_kernel(losses.get("drift")) == "Laplacian, 0.02, 0.05, 0.2 mean distances"
    text = points.table([result.row()])
    assert "modes covered" in text and "diverged" not in text


def test_points_without_modes():
    result = points.measure(points_training.train(dataclasses.replace(QUICK, points="two_moons", steps=1)))
    assert result.covered is result.high_quality is result.kl is None
    assert result.energy > 0
    assert points.caption(result).startswith("energy ")


@pytest.mark.slow
def test_a_fixed_kernel_learns_the_moons():
    """Of two_moons a width of 0.2 leaves a twentieth of the energy distance that 0.05 leaves, or less."""
    found = {}
    for sigma in (0.05, 0.2):
        found[sigma] = points.run(
            PointsSettings("moons", "two_moons", loss_options={"sigma": [sigma]}, steps=2000, permutations=99)
        )
    assert found[0.2].energy < 0.01
    assert found[0.2].energy < found[0.05].energy / 3
    assert found[0.05].p_energy == 0.01
