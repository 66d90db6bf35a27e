"""The critic's view: scores by the plain model, the witness by a double loop in NumPy, scores in the plane."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mmdgan import losses, report
from mmdgan.core.errors import CheckpointError, ConfigError, DataError, MetricError
from mmdgan.runs.folder import RunFolder


@pytest.fixture(scope="module")
def view(tiny_run):
    return report.view_critic(RunFolder.open(tiny_run[1]), count=110, seed=3)


def double_loop(scores, data, gen, kernel):
    """The witness with every point of the same half left out, in float64."""
    values = []
    for i, score in enumerate(np.asarray(scores, np.float64)):
        sums = []
        for others in (data, gen):
            terms = [kernel(np.sum((score - other) ** 2)) for j, other in enumerate(others) if j % 2 != i % 2]
            sums.append(sum(terms) / len(terms))
        values.append(sums[0] - sums[1])
    return np.array(values)


def test_the_real_images_are_those_that_scores_compare_with(tiny_run, view):
    from mmdgan.data import Pipeline
    from mmdgan.runs.train import open_data

    data = open_data(tiny_run[0])
    np.testing.assert_array_equal(view.images_data, Pipeline(data, 1).real_images(110, 3))
    sample = data.images.transpose(0, 2, 3, 1)
    for image, label in zip(view.images_data[:20], view.labels_data, strict=False):
        [index] = np.flatnonzero((sample == image).all(axis=(1, 2, 3)))
        assert data.labels[index] == label
    assert (view.class_names, view.labels_gen) == (data.class_names, None)


def test_scores_are_the_models_own_in_inference_mode(tiny_run, view):
    critic, step = RunFolder.open(tiny_run[1]).load_critic()
    assert step == view.step == 4
    for images, scores in ((view.images_data, view.score_data), (view.images_gen, view.score_gen)):
        expected = critic(images / np.float32(127.5) - 1, training=False).numpy()
        assert scores.shape == (110, 16)
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6)


def test_generated_images_are_those_of_the_score_codes(tiny_run, view):
    from mmdgan import sampling

    generator, _ = RunFolder.open(tiny_run[1]).load_generator()
    images = generator(sampling.score_codes(110, 8, 3), training=False).numpy()
    assert np.abs(view.images_gen / 127.5 - 1 - images).max() < 1 / 127.5


def test_the_witness_is_that_of_a_double_loop_over_the_other_half(view):
    def kernel(distance):
        return np.exp(-distance / 2)

    for witness, scores in ((view.witness_data, view.score_data), (view.witness_gen, view.score_gen)):
        expected = double_loop(scores, view.score_data, view.score_gen, kernel)
        np.testing.assert_allclose(witness, expected, rtol=0, atol=2e-6)
    assert view.witness_name == "witness of rep_b (Gaussian, width 1)"


def test_mixtures_and_rational_quadratic_kernels_have_their_own_witness():
    rng = np.random.default_rng(0)
    data, gen = rng.normal(size=(9, 3)), rng.normal(1, 1, size=(7, 3))
    widths, exponents = (1.0, 2.0), (0.5, 2.0)
    gaussians = losses.get("mmd_g", sigma=widths)
    rationals = losses.get("mmd_t", alpha=exponents, beta=2.0)
    for loss, kernel, name in (
        (gaussians, lambda d: sum(np.exp(-d / (2 * s**2)) for s in widths), "witness of mmd_g (2 Gaussian kernels)"),
        (
            rationals,
            lambda d: sum((1 + d / (2 * a)) ** -a for a in exponents),
            "witness of mmd_t (2 rational quadratic kernels)",
        ),
    ):
        of_data, of_gen, found = report.witness_values(loss, data, gen)
        np.testing.assert_allclose(of_data, double_loop(data, data, gen, kernel), rtol=0, atol=2e-6)
        np.testing.assert_allclose(of_gen, double_loop(gen, data, gen, kernel), rtol=0, atol=2e-6)
        assert found == name


def test_equal_sets_have_no_witness_on_average():
    """A point that were compared with itself would favour its own side: by 1 / (N / 2) here."""
    rng = np.random.default_rng(1)
    data, gen = rng.normal(size=(2, 400, 64)).astype(np.float32)
    of_data, of_gen, _ = report.witness_values(losses.get("rep"), data, gen)
    assert abs(of_data.mean() - of_gen.mean()) < 1e-4


def test_random_widths_are_drawn_once_and_named():
    rng = np.random.default_rng(2)
    data, gen = rng.normal(size=(8, 4)).astype(np.float32), rng.normal(2, 1, size=(8, 4)).astype(np.float32)
    first, again, other = (report.witness_values(losses.get("rand_g"), data, gen, seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first[0], again[0])
    assert first[2] == again[2] != other[2]
    width = float(first[2].rpartition(" ")[2].rstrip(")"))
    expected = double_loop(data, data, gen, lambda d: np.exp(-d / (2 * width**2)))
    np.testing.assert_allclose(first[0], expected, atol=5e-3)


@pytest.mark.parametrize("name", ["hinge", "logistic", "wasserstein"])
def test_losses_without_kernels_have_the_mean_score(name):
    scores = np.arange(8, dtype=np.float32).reshape(4, 2)
    data, gen, found = report.witness_values(losses.get(name), scores, -scores)
    assert data.tolist() == [0.5, 2.5, 4.5, 6.5] and gen.tolist() == [-0.5, -2.5, -4.5, -6.5]
    assert found == f"critic score ({name})"


def test_extremes_come_in_order(view):
    values = np.linspace(-1, 1, 110, dtype=np.float32)
    order = np.random.default_rng(4).permutation(110)
    numbered = np.broadcast_to(order.astype(np.uint8)[:, None, None, None], (110, 2, 2, 3))
    known = dataclasses.replace(view, images_data=numbered, witness_data=values[order], witness_gen=-values)
    found = report.extremes(known, 3)
    assert found["real_most"][:, 0, 0, 0].tolist() == [109, 108, 107]
    assert found["real_least"][:, 0, 0, 0].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(found["generated_most"], view.images_gen[:3])
    np.testing.assert_array_equal(found["generated_least"], view.images_gen[:-4:-1])


def test_a_conditional_critic_is_given_the_classes(conditional_run):
    folder = RunFolder.open(conditional_run[1])
    view = report.view_critic(folder, count=24)
    critic, _ = folder.load_critic()
    assert view.score_data.shape == view.score_gen.shape == (24, 1)
    for images, labels, scores in (
        (view.images_data, view.labels_data, view.score_data),
        (view.images_gen, view.labels_gen, view.score_gen),
    ):
        inputs = {"x": images / np.float32(127.5) - 1, "y": labels[:, None].astype(np.int32)}
        np.testing.assert_allclose(scores, critic(inputs, training=False).numpy(), rtol=1e-4, atol=1e-6)
        inputs["y"] = (inputs["y"] + 1) % 10
        assert np.abs(scores - critic(inputs, training=False).numpy()).max() > 1e-4


def test_an_older_checkpoint_is_looked_at_when_asked(tiny_run, view):
    older = report.view_critic(RunFolder.open(tiny_run[1]), step=2, count=8)
    assert older.step == 2 and not np.allclose(older.score_data, view.score_data[:8])


def test_a_small_data_set_is_looked_at_whole(tiny_run, monkeypatch):
    from mmdgan.runs import train

    opened = train.open_data

    def few(experiment, cache):
        data = opened(experiment, "memory")
        return dataclasses.replace(data, images=data.images[:count], labels=data.labels[:count], groups=None)

    monkeypatch.setattr(train, "open_data", few)
    folder = RunFolder.open(tiny_run[1])
    count = 20
    view = report.view_critic(folder)
    assert len(view.images_data) == len(view.score_gen) == 20 and len(set(map(bytes, view.images_data))) == 20
    count = 3
    with pytest.raises(ConfigError, match="sample holds 3 images; critics are looked at with at least 4"):
        report.view_critic(folder)


def test_mistakes_are_named(tiny_run):
    folder = RunFolder.open(tiny_run[1])
    with pytest.raises(ConfigError, match="count is 3; give at least 4"):
        report.view_critic(folder, count=3)
    with pytest.raises(DataError, match=r"1,000,000 images of sample are wanted, but it holds"):
        report.view_critic(folder, count=1_000_000)
    with pytest.raises(CheckpointError, match="2, 4"):
        report.view_critic(folder, step=3)


def view_of(score_data, score_gen) -> report.CriticView:
    count = len(score_data)
    pictures = np.zeros((count, 2, 2, 3), np.uint8)
    witness = np.zeros(count, np.float32)
    return report.CriticView(5, pictures, pictures, score_data, score_gen, None, None, (), witness, witness, "witness")


@pytest.fixture(scope="module")
def apart():
    rng = np.random.default_rng(0)
    data, gen = rng.normal(size=(2, 40, 8)).astype(np.float32)
    return view_of(data, gen + 12)


def test_points_are_real_then_generated_and_a_function_of_the_seed(apart):
    points = report.embed_scores(apart, seed=1)
    assert points.shape == (80, 2) and np.isfinite(points).all()
    np.testing.assert_array_equal(points, report.embed_scores(apart, seed=1))
    # Principal components begin alike for every seed; single scores begin with random points.
    single = view_of(apart.score_data[:, :1], apart.score_gen[:, :1])
    points = report.embed_scores(single, seed=1)
    np.testing.assert_array_equal(points, report.embed_scores(single, seed=1))
    assert not np.allclose(points, report.embed_scores(single, seed=2))


def test_sets_that_lie_apart_stay_apart(apart):
    points = report.embed_scores(apart)
    distances = np.linalg.norm(points[:, None] - points, axis=2) + 1e9 * np.eye(80)
    same_side = (np.argmin(distances, axis=1) < 40) == (np.arange(80) < 40)
    assert same_side.all()


def test_few_points_and_single_scores_are_embedded():
    rng = np.random.default_rng(1)
    for shape in ((2, 4, 16), (2, 4, 1), (2, 12, 1), (2, 5, 2)):
        data, gen = rng.normal(size=shape).astype(np.float32)
        points = report.embed_scores(view_of(data, gen))
        assert points.shape == (2 * shape[1], 2) and np.isfinite(points).all()


def test_scores_that_cannot_be_embedded():
    ones = np.ones((4, 3), np.float32)
    with pytest.raises(MetricError, match="All images have the same critic score at step 5"):
        report.embed_scores(view_of(ones, ones))
    with pytest.raises(MetricError, match="critic's scores at step 5 are not finite"):
        report.embed_scores(view_of(ones, ones * np.nan))
    with pytest.raises(ConfigError, match="perplexity is 0"):
        report.embed_scores(view_of(ones, ones), perplexity=0)
