"""Kernel functions against loops, formulas and finite differences."""

import gc
import math
import weakref

import numpy as np
import pytest
import tensorflow as tf

from mmdgan import losses
from mmdgan.core.errors import ConfigError
from mmdgan.losses import kernels, registry
from tests.helpers.double_loops import central_differences


def points(rows, columns, seed):
    return np.random.default_rng(seed).standard_normal((rows, columns))


def test_squared_distances_against_a_loop():
    a, b = points(4, 3, 0), points(6, 3, 1)
    expected = [[sum((p - q) ** 2 for p, q in zip(row, other, strict=True)) for other in b] for row in a]
    np.testing.assert_allclose(kernels.squared_distances(a, b), expected, rtol=1e-12)


def test_squared_distances_are_never_negative():
    a = (points(50, 16, 0) * 1e-4 + 30).astype(np.float32)
    assert np.min(kernels.squared_distances(a, a)) == 0


@pytest.mark.parametrize(
    ("given", "computed"), [("float16", "float32"), ("bfloat16", "float32"), ("float32", "float32"), ("float64",) * 2]
)
def test_dtypes(given, computed):
    a = tf.cast(points(4, 3, 0), given)
    assert kernels.squared_distances(a, a).dtype == computed
    assert kernels.squared_distances(a, points(2, 3, 1)).dtype == tf.float64


def test_gradient_at_coincident_points_against_finite_differences():
    a = points(5, 3, 0)
    a[1] = a[0]
    b = np.concatenate([a[:2], points(3, 3, 1)])
    weights = points(5, 5, 2)

    def value(rows):
        return tf.reduce_sum(weights * kernels.gaussian(kernels.squared_distances(rows, b), 0.7))

    with tf.GradientTape() as tape:
        rows = tf.constant(a)
        tape.watch(rows)
        loss = value(rows)
    np.testing.assert_allclose(tape.gradient(loss, rows), central_differences(value, a), atol=1e-8)


def test_formulas():
    distances = np.array([0.0, 0.3, 2.0, 50.0])
    np.testing.assert_allclose(kernels.gaussian(distances, 1.5), np.exp(-distances / 4.5), rtol=1e-14)
    expected = (1 + distances / (3.0 * 0.2)) ** -0.2
    np.testing.assert_allclose(kernels.rational_quadratic(distances, 0.2, 3.0), expected, rtol=1e-14)


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 2)])
def test_mean_without_diagonal_against_a_loop(shape):
    matrix = points(*shape, 0)
    entries = [matrix[i, j] for i in range(shape[0]) for j in range(shape[1]) if i != j]
    assert float(kernels.mean_without_diagonal(tf.constant(matrix))) == pytest.approx(sum(entries) / len(entries))


@pytest.mark.parametrize(
    ("kernel", "options", "words"),
    [
        ("gausian", {}, r"'gausian' \(did you mean gaussian\?\); valid are gaussian, rational_quadratic, laplace"),
        ("gaussian", {"alpha": 1.0}, "no option 'alpha'"),
        ("gaussian", {"sigma": [1.0, 0.0]}, "must be positive"),
        ("gaussian", {"sigma": []}, "one or more finite numbers"),
        ("rational_quadratic", {"beta": [1.0, 2.0]}, "a finite number"),
        ("rational_quadratic", {"alpha": "1"}, "one or more finite numbers"),
    ],
)
def test_mixture_errors(kernel, options, words):
    with pytest.raises(ConfigError, match=words):
        kernels.mixture(kernel, **options)


def test_options_that_are_none_are_not_given():
    [kernel] = kernels.mixture("gaussian", sigma=None, variance=4.0, alpha=None)
    assert float(kernel(tf.constant(2.0))) == pytest.approx(math.exp(-2 / (2 * 4.0)))


def test_the_width_may_be_a_tensor():
    sigma = tf.constant(0.7)
    with tf.GradientTape() as tape:
        tape.watch(sigma)
        value = kernels.mixture("gaussian", sigma=sigma)[0](tf.constant(2.0))
    exact = np.exp(-1 / 0.49)
    np.testing.assert_allclose((value, tape.gradient(value, sigma)), (exact, exact * 2 / 0.7**3), rtol=1e-6)


@pytest.mark.parametrize("offset", [0, 300, 3000, -20000])
@pytest.mark.parametrize("rows", [(64, 64), (40, 64)])
def test_distances_far_from_the_origin(offset, rows):
    a, b = points(rows[0], 16, 0) * 0.3 + offset, points(rows[1], 16, 1) * 0.3 + offset + 0.1
    a, b = a.astype(np.float32), b.astype(np.float32)
    expected = kernels.squared_distances(a.astype(np.float64), b.astype(np.float64))
    np.testing.assert_allclose(kernels.squared_distances(a, b), expected, rtol=1e-5, atol=1e-5)


def test_gradient_far_from_the_origin():
    a, b = (tf.constant(points(5, 3, seed) + 3000, tf.float32) for seed in (0, 1))
    with tf.GradientTape() as tape:
        tape.watch([a, b])
        total = tf.reduce_sum(kernels.squared_distances(a, b))
    found = tape.gradient(total, [a, b])
    wide = [tf.cast(x, tf.float64) for x in (a, b)]
    differences = 2 * (wide[0][:, None] - wide[1][None])
    np.testing.assert_allclose(found[0], tf.reduce_sum(differences, 1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found[1], -tf.reduce_sum(differences, 0), rtol=1e-4, atol=1e-4)


MMD_LOSSES = [name for name in registry.ENTRIES if registry.score_size(name) > 1 and not registry.get(name).frozen]


def value_and_gradients(name, rows, dtype="float64"):
    """Both losses of samples of rows (generated, data), with their gradients for all scores, and the logs."""
    scores = [tf.constant(points(count, 3, seed), dtype) for seed, count in enumerate(rows)]
    options = {"add_dot": 0.1} if name == "fixed_g" else {}
    loss = registry.get(name, **options)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(scores)
        found = loss(*scores, seed=(1, 2), state={key: value + 0.3 for key, value in loss.initial_state().items()})
    gradients = [tape.gradient(player, scores) for player in (found.gen, found.dis)]
    return tf.nest.flatten((found.gen, found.dis, gradients)), found.logs


def in_blocks_of(entries, rows, monkeypatch):
    monkeypatch.setattr(kernels, "MOST_ROWS", rows)
    monkeypatch.setattr(kernels, "BLOCK", entries)


@pytest.mark.parametrize("name", MMD_LOSSES)
def test_in_blocks_a_loss_has_the_same_value_and_gradients(name, monkeypatch):
    """13 rows in blocks of 30 / 13 rows: whole blocks, and a rest."""
    expected, logs = value_and_gradients(name, (13, 13))
    in_blocks_of(30, 5, monkeypatch)
    found, in_blocks = value_and_gradients(name, (13, 13))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)
        assert np.abs(b).max() > 1e-6
    for tag, value in logs.items():
        corner = tuple(slice(5) for _ in value.shape)
        np.testing.assert_allclose(in_blocks[tag], np.asarray(value)[corner], rtol=1e-9, atol=1e-9, err_msg=tag)


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("rows", [(9, 9), (9, 7)])
def test_in_blocks_an_estimate_is_the_same(rows, unbiased, monkeypatch):
    samples = [points(count, 3, seed) for seed, count in enumerate(rows)]
    expected = losses.mmd2(*samples, unbiased=unbiased, sigma=[1.0, 2.0], add_dot=0.5)
    in_blocks_of(25, 5, monkeypatch)
    assert float(losses.mmd2(*samples, unbiased=unbiased, sigma=[1.0, 2.0], add_dot=0.5)) == pytest.approx(
        float(expected), rel=1e-10
    )


def test_no_block_is_larger_than_allowed(monkeypatch):
    in_blocks_of(256, 16, monkeypatch)
    sizes = []
    squares = kernels._squares
    monkeypatch.setattr(kernels, "_squares", lambda a, b, inner: sizes.append(inner.shape) or squares(a, b, inner))

    @tf.function(autograph=False)
    def compute(a, b):
        with tf.GradientTape() as tape:
            tape.watch(a)
            loss = registry.get("rand_g")(a, b, seed=(1, 2)).gen
        return tape.gradient(loss, a)

    assert np.isfinite(compute(*(tf.constant(points(100, 3, seed), tf.float32) for seed in range(2)))).all()
    assert sizes and max(shape.num_elements() for shape in sizes) <= 256


def test_a_tape_keeps_nothing_of_the_blocks(monkeypatch):
    """While nothing is compiled, where it records what a custom gradient computes."""
    in_blocks_of(26, 5, monkeypatch)
    made, squares = [], kernels._squares

    def watched(a, b, inner):
        found = squares(a, b, inner)
        if inner.shape[1] == 13:  # a block, and no corner for histograms
            made.append(weakref.ref(found))
        return found

    monkeypatch.setattr(kernels, "_squares", watched)
    scores = [tf.constant(points(13, 3, seed)) for seed in range(2)]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(scores)
        loss = registry.get("rmb")(*scores)
    gc.collect()
    assert len(made) >= 3 * 7 and not any(block() is not None for block in made)
    assert tape.gradient(loss.gen, scores)[0] is not None


@pytest.mark.slow
@pytest.mark.parametrize("rows", [4200, pytest.param(1500, id="1500, against whole matrices")])
def test_more_than_4096_rows_in_single_precision_are_those_in_double_precision(rows, monkeypatch):
    """In blocks, against blocks: of whole matrices of 4,200 rows a tape would keep 5 GB."""

    @tf.function(autograph=False)
    def compute(dtype):
        return value_and_gradients("rmb", (rows, rows), dtype)[0]

    expected = compute("float64")
    monkeypatch.setattr(kernels, "MOST_ROWS", min(rows - 1, kernels.MOST_ROWS))
    found = compute("float32")
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6 * max(1.0, np.abs(b).max()))
    for a, b in zip(found[2:], expected[2:], strict=True):
        assert np.linalg.norm(a.numpy() - b.numpy()) < 1e-4 * np.linalg.norm(b)
