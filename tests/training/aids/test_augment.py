"""Augmentation, kind by kind: against loops over pixels, in both data formats; its gradients; what the toss does."""

import numpy as np
import pytest
import tensorflow as tf

from mmdgan.training.aids.augment import augment, count_numbers, draw_numbers
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
