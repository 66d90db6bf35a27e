"""Augmentation, kind by kind: against loops over pixels, in both data formats; its gradients; what the toss does."""

import numpy as np
import pytest
import tensorflow as tf

from mmdgan import losses
from mmdgan.training.aids.augment import AdaptiveProbability, augment, count_numbers, draw_numbers, overfitting
from mmdgan.training.aids.settings import KINDS

HEIGHT, WIDTH = 12, 17


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).uniform(-1, 1, (5, HEIGHT, WIDTH, 3))


def numbers_of(kinds, count=5, seed=(3, 4)):
    return draw_numbers(count, kinds, seed).numpy().astype(np.float64)


def colored(image, brightness, saturation, contrast):
    image = image + brightness - 0.5
    changed = np.empty_like(image)
    for i in range(HEIGHT):
        for j in range(WIDTH):
            grey = sum(image[i, j]) / 3
            changed[i, j] = [grey + 2 * saturation * (v - grey) for v in image[i, j]]
    return changed.mean() + (0.5 + contrast) * (changed - changed.mean())


def translated(image, down, right):
    down, right = (int(np.floor(u * (2 * most + 1))) - most for u, most in ((down, 2), (right, 2)))
    changed = np.zeros_like(image)
    for i in range(HEIGHT):
        for j in range(WIDTH):
            if 0 <= i - down < HEIGHT and 0 <= j - right < WIDTH:
                changed[i, j] = image[i - down, j - right]
    return changed


def cut(image, down, right):
    """A square of 6 by 8 (half of 17 is rounded to even) centred at any of 13 rows and 18 columns' edges."""
    i0, j0 = int(np.floor(down * (HEIGHT + 1))) - 3, int(np.floor(right * (WIDTH + 1))) - 4
    changed = image.copy()
    changed[max(i0, 0) : max(i0 + 6, 0), max(j0, 0) : max(j0 + 8, 0)] = 0
    return changed


LOOPS = {"color": colored, "translation": translated, "cutout": cut}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_what_a_loop_over_pixels_makes(kind, x):
    numbers = numbers_of((kind,))
    expected = np.stack([LOOPS[kind](image, *row[:-1]) for image, row in zip(x, numbers, strict=True)])
    assert np.abs(expected - x).max(axis=(1, 2, 3)).min() > 0.05  # each image changes
    np.testing.assert_allclose(augment(x, (kind,), numbers), expected, atol=1e-12)
    first = augment(x.transpose(0, 3, 1, 2), (kind,), numbers, "channels_first")
    np.testing.assert_allclose(first.numpy().transpose(0, 2, 3, 1), expected, atol=1e-12)


def test_kinds_apply_in_one_order_with_numbers_of_their_own(x):
    numbers = numbers_of(KINDS)
    assert numbers.shape == (5, count_numbers(KINDS)) == (5, 10)
    expected = x
    for kind, part in zip(KINDS, (numbers[:, :4], numbers[:, 4:7], numbers[:, 7:]), strict=True):
        expected = np.stack([LOOPS[kind](image, *row[:-1]) for image, row in zip(expected, part, strict=True)])
    for order in (KINDS, KINDS[::-1]):
        np.testing.assert_allclose(augment(x, order, numbers), expected, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_finite_differences(kind, x):
    numbers, rng = numbers_of((kind,)), np.random.default_rng(1)
    weights = rng.standard_normal(x.shape)

    def value(images):
        return tf.reduce_sum(tf.sin(augment(images, (kind,), numbers)) * weights)

    images = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = value(images)
    gradient = tape.gradient(total, images).numpy()
    for _ in range(5):
        direction, h = rng.standard_normal(x.shape), 1e-5
        difference = (value(x + h * direction) - value(x - h * direction)) / (2 * h)
        assert float(difference) == pytest.approx(float(np.sum(gradient * direction)), rel=1e-6)
    for index in [tuple(rng.integers(x.shape)) for _ in range(10)]:
        step = np.zeros_like(x)
        step[index] = 1e-5
        difference = float((value(x + step) - value(x - step)) / 2e-5)
        assert difference == pytest.approx(gradient[index], abs=1e-8)


def test_extreme_numbers_stay_within_their_ranges(x):
    """0 and the largest float32 below 1: shifts of 2 pixels either way, squares at the very corners."""
    largest = np.float64(np.nextafter(np.float32(1), np.float32(0)))
    for number, corner in ((0.0, (slice(0, 3), slice(0, 4))), (largest, (slice(9, None), slice(13, None)))):
        changed = augment(x, ("cutout",), np.full((5, 3), number)).numpy()
        expected = x.copy()
        expected[:, corner[0], corner[1]] = 0
        np.testing.assert_array_equal(changed, expected)
    moved = augment(x, ("translation",), np.full((5, 3), largest)).numpy()
    np.testing.assert_array_equal(moved[:, 2:, 2:], x[:, :-2, :-2])
    assert not moved[:, :2].any() and not moved[:, :, :2].any()


def test_each_kind_is_taken_by_a_toss_of_its_own(x):
    many = np.repeat(x[:1], 400, 0)
    numbers = numbers_of(KINDS, 400)
    np.testing.assert_array_equal(augment(many, KINDS, numbers, probability=0.0), many)
    np.testing.assert_array_equal(augment(many, KINDS, numbers, probability=1.0), augment(many, KINDS, numbers))
    some = augment(many, ("translation",), numbers[:, 4:7], probability=0.3).numpy()
    kept = numbers[:, 6] >= 0.3
    np.testing.assert_array_equal(some[kept], many[kept])
    np.testing.assert_array_equal(some[~kept], augment(many, ("translation",), numbers[:, 4:7]).numpy()[~kept])
    assert 0.6 < kept.mean() < 0.8
    tosses = [numbers[:, i] < 0.3 for i in (3, 6, 9)]
    assert abs(np.corrcoef(tosses) - np.eye(3)).max() < 0.2


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
