"""Adaptive augmentation: its controller against a loop, its measure against double loops and in known situations."""

import numpy as np
import pytest

from mmdgan import losses
from mmdgan.training.aids.ada import AdaptiveProbability, overfitting


def run(measures, target=0.6, images=1000, batch=50):
    ada, found = AdaptiveProbability(target, images), []
    for measure in measures:
        ada.update(np.float32(measure), batch)
        found.append(float(ada.probability.numpy()))
    return found, ada


def test_it_rises_under_overfitting_and_falls_otherwise_within_0_and_1():
    """Every 4 steps by 4 * 50 / 1000 = 0.2, by the mean of these 4."""
    rising, _ = run([0.9] * 28)
    expected = [min(1.0, 0.2 * ((step + 1) // 4)) for step in range(28)]
    np.testing.assert_allclose(rising, expected, atol=1e-6)
    assert max(rising) == 1.0
    falling, ada = run([0.9] * 8 + [0.2] * 16)
    np.testing.assert_allclose(falling[7::4], [0.4, 0.2, 0.0, 0.0, 0.0], atol=1e-6)
    assert min(falling) == 0.0
    assert set(ada.state()) == {"ada/probability", "ada/sum", "ada/steps"}


def test_the_mean_of_four_steps_decides_and_none_before():
    found, _ = run([1.0, 1.0, 1.0, -0.7] + [0.0, 0.0, 0.0, 2.6])
    np.testing.assert_allclose(found, [0, 0, 0, 0, 0, 0, 0, 0.2], atol=1e-6)  # means 0.575 and 0.65, target 0.6
    resumed, _ = run([1.0, 1.0])
    _, half = run([1.0, 1.0])
    _, other = run([])
    for name, variable in other.state().items():
        variable.assign(half.state()[name])
    for _ in range(2):
        other.update(np.float32(1.0), 50)
    assert float(other.probability.numpy()) == pytest.approx(0.2) and resumed == [0, 0]


def test_losses_that_are_undecided_at_0_take_the_sign_of_real_scores():
    scores = np.float32([[3.0], [-1.0], [2.0], [0.5]])
    for name in ("hinge", "logistic", "minimax"):
        assert float(overfitting(losses.get(name), -scores, scores)) == pytest.approx(0.5)


def pairs(f, g):
    return np.mean([[np.sign(a - b) for b in g] for a in f])


def test_the_measure_of_an_mmd_loss_is_the_order_of_witnesses_against_the_other_half():
    rng = np.random.default_rng(0)
    real, made = rng.standard_normal((10, 3)) * 0.8 + 0.4, rng.standard_normal((10, 3))

    def f(z, x, y):
        k = [[np.exp(-np.sum((a - b) ** 2) / 2) for b in z] for a in (*x, *y)]
        return np.mean(k[: len(x)], 0) - np.mean(k[len(x) :], 0)

    expected = 0
    for own, other in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
        values = [f(z[own], real[other], made[other]) for z in (real, made)]
        expected += pairs(*values) / 2
    assert float(overfitting(losses.get("rep"), made, real)) == pytest.approx(expected, abs=1e-6)
    assert -1 < expected < 1 and expected != 0
    means = pairs(real[:, 0], made[:, 0])
    assert float(overfitting(losses.get("wasserstein"), made[:, :1], real[:, :1])) == pytest.approx(means, abs=1e-6)


@pytest.mark.parametrize("loss", ["rep", "rmb", "fixed_g", "fixed_t", "rand_g", "wasserstein"])
def test_it_is_0_for_a_critic_that_cannot_tell_and_1_for_one_that_tells_all(loss):
    """Repulsive critics put generated scores on a heap and spread the real ones, attractive ones make two heaps."""
    rng = np.random.default_rng(1)
    loss = losses.get(loss)
    size = 1 if loss.canonical == "wasserstein" else 4
    blind = [
        float(overfitting(loss, *rng.standard_normal((2, 64, size)).astype("float32"), seed=(0, i))) for i in range(10)
    ]
    assert abs(np.mean(blind)) < 0.12, blind
    heap = 0.05 * rng.standard_normal((64, size))
    two = np.float32(heap), np.float32(heap[::-1] + 1.5)
    assert float(overfitting(loss, *two, seed=(0, 0))) > 0.99
    if loss.canonical in ("rep", "rmb"):
        spread = np.float32(rng.standard_normal((64, size)) * 8)
        assert float(overfitting(loss, np.float32(heap), spread, seed=(0, 0))) > 0.9
