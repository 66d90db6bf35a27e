"""Gradient penalties and the Jacobian's scale against the original, loops, closed forms and finite differences."""

import numpy as np
import pytest
import tensorflow as tf

import mmdgan
from mmdgan import losses, tf1
from mmdgan.core.errors import ConfigError
from mmdgan.losses.penalties import _kernel, jacobian_squared_norms
from tests.helpers.double_loops import (
    central_differences,
    exponential,
    gaussian,
    matched_beta,
    rational_quadratic,
    scores,
)
from tests.helpers.golden_data import penalty_case

SIGMAS = (1, 2**0.5, 2, 8**0.5, 4)
ALPHAS = (0.2, 0.5, 1, 2, 5)
KINDS = [name for name in losses.names() if losses.get(name).penalty]

REAL = np.sin(0.9 * np.arange(12).reshape(4, 3) + 0.3)
GENERATED = np.cos(0.4 * np.arange(12).reshape(4, 3) + 0.1)
KERNEL = np.sin(1.1 * np.arange(6).reshape(3, 2) + 0.5)
UNIFORM = np.array([0.1, 0.4, 0.6, 0.9])


def tanh_critic(kernel):
    return lambda images: tf.tanh(tf.matmul(tf.cast(images, kernel.dtype), kernel))


CRITIC = tanh_critic(KERNEL)


def penalty(kind, kernel=KERNEL, **options):
    return losses.gradient_penalty(kind, tanh_critic(kernel), REAL, GENERATED, uniform=UNIFORM, **options)


@pytest.mark.parametrize(
    ("kind", "value"),
    [("wasserstein", 0.270342), ("fixed_g_gp", 0.311659), ("fixed_t_gp", 0.152796), ("rep_gp", 0.622102)],
)
def test_published_numbers(kind, value):
    """Of the original, so with its witness."""
    assert float(penalty(kind, legacy=True)) == pytest.approx(value, abs=2e-6)


def test_the_released_witness_takes_the_median_distance_too():
    """Its widths are not squared, which the roots of the widths make up for."""
    scores = [np.random.default_rng(seed).standard_normal((6, 3)) for seed in (1, 2)]
    loss = losses.get("rep", sigma="median")
    released, meant = (float(_kernel(loss, {}, *scores, None, legacy)["sigma"]) for legacy in (True, False))
    assert released == pytest.approx(meant**0.5, rel=1e-6) and abs(meant - 1) > 0.1


def test_published_scale():
    norms = jacobian_squared_norms(CRITIC, REAL)
    np.testing.assert_allclose(norms, (2.014069, 0.894354, 0.460251, 0.428222), atol=2e-6)
    assert float(losses.jacobian_scale(CRITIC, REAL)) == pytest.approx(0.913307, abs=1e-6)
    assert float(losses.jacobian_scale(CRITIC, REAL, 2.0)) == pytest.approx(1 / (2 * np.mean(norms) + 1), rel=1e-6)


def test_published_witness():
    """At points with the squared distances [[0, 1], [2, 3]] and [[1, 1], [4, 0.5]]; its widths are not squared."""
    z, x = np.array([[0, 0], [2**0.5, 0]]), np.array([[0.0, 0], [0, 1]])
    y = np.array([[-1 / 8**0.5, (1 - 1 / 8) ** 0.5], [2.5 / 8**0.5, (1 - 6.25 / 8) ** 0.5]])
    np.testing.assert_allclose(losses.witness(z, x, y, sigma=2**0.5), (0.110600, -0.085740), atol=1e-6)
    roots = [sigma**0.5 for sigma in SIGMAS]
    np.testing.assert_allclose(losses.witness(z, x, y, sigma=roots), (0.596008, -0.467061), atol=1e-6)
    released = losses.witness(z, x, y, kernel="rational_quadratic", alpha=[0.25, 0.5, 0.9, 2, 25])
    np.testing.assert_allclose(released, (0.805815, -0.567357), atol=1e-6)


@pytest.fixture(scope="module")
def golden():
    """The original's critic and penalties: (case, function of images, variable with known gradients, images)."""
    case = penalty_case()
    critic = mmdgan.build_discriminator(case["architecture"], data_format="channels_last")
    tf1.import_checkpoint(case["variables"], critic)
    [variable] = [v for v in critic.trainable_variables if tf1.original_name(v) == "dis/l3/kernel/kernel"]
    images = [tf.constant(case[name].transpose(0, 2, 3, 1)) for name in ("real", "generated")]
    return case, lambda x: critic(x, training=False), variable, images


@pytest.mark.parametrize("kind", ["wasserstein", "fixed_g_gp", "fixed_t_gp", "rep_gp", "rmb_gp", "scale"])
def test_the_originals_critic(golden, kind):
    case, critic, variable, images = golden
    with tf.GradientTape() as tape:
        if kind == "scale":
            value = losses.jacobian_scale(critic, images[0])
        else:
            value = losses.gradient_penalty(kind, critic, *images, uniform=case["uniform"], legacy=True)
    assert float(value) == pytest.approx(case["values"][kind], rel=1e-5)
    expected = case["gradients"][kind]
    np.testing.assert_allclose(tape.gradient(value, variable), expected, atol=1e-4 * np.abs(expected).max())


def kernels_of(kind, score_gen, score_data, omega):
    """The members of a loss's kernel, as functions of one distance."""
    name = losses.canonical_name(kind)
    if name in ("fixed_g", "mmd_g_mix"):
        return [gaussian(sigma) for sigma in SIGMAS]
    if name == "fixed_t":
        return [rational_quadratic(alpha) for alpha in ALPHAS]
    if name in ("mgb", "rep", "rmb", "sgm"):
        return [gaussian()]
    beta = matched_beta(score_gen, score_data, omega)
    return [exponential(min(max(beta, 0.125), 2) if name == "rgb" else beta)]


@pytest.mark.parametrize("kind", KINDS)
def test_against_finite_differences_of_the_witness(kind):
    """The witness by loops, its gradient at the points between by finite differences."""
    options = {"omega": 0.4} if "omega" in losses.get(kind).options else {}

    def score(rows):
        return np.tanh(rows @ KERNEL)

    members = kernels_of(kind, score(GENERATED), score(REAL), 0.4) if "wasserstein" not in kind else None

    def witness(point):
        if members is None:
            return score(point).sum()
        z, total = score(point), 0.0
        for sign, others in ((1, score(REAL)), (-1, score(GENERATED))):
            total += sign * sum(k(((z - row) ** 2).sum()) for k in members for row in others) / len(others)
        return total

    points = UNIFORM[:, None] * REAL + (1 - UNIFORM[:, None]) * GENERATED
    norms = [np.linalg.norm(central_differences(witness, point)) for point in points]
    assert float(penalty(kind, **options)) == pytest.approx(np.mean((np.array(norms) - 1) ** 2), rel=1e-6)


@pytest.mark.parametrize("kind", ["wasserstein", "fixed_g_gp", "fixed_t_gp", "rep_gp", "rand_g_gp", "rgb_gp"])
def test_the_critics_gradient_against_finite_differences(kind):
    """Through the points' scores, those of data and generated samples, and the random width."""
    options = {"omega": 0.4} if "omega" in losses.get(kind).options else {}
    kernel = tf.constant(KERNEL)
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        value = penalty(kind, kernel, **options)
    expected = central_differences(lambda moved: penalty(kind, tf.constant(moved), **options), KERNEL)
    np.testing.assert_allclose(tape.gradient(value, kernel), expected, atol=1e-7)


def test_the_scales_gradient_against_finite_differences():
    kernel = tf.constant(KERNEL)
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        value = losses.jacobian_scale(tanh_critic(kernel), REAL)
    expected = central_differences(lambda moved: losses.jacobian_scale(tanh_critic(tf.constant(moved)), REAL), KERNEL)
    np.testing.assert_allclose(tape.gradient(value, kernel), expected, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_zero_gradients_are_not_nan(kind):
    """A critic that gives every image the same score, and one whose score is zero: |gradient| = 0, penalty 1."""
    for start in (0.0, -1.0):
        kernel = tf.Variable(tf.fill((3, 2), start))
        with tf.GradientTape() as tape:
            value = losses.gradient_penalty(
                kind, lambda x, k=kernel: tf.nn.relu(x @ k), tf.ones((4, 3)), tf.fill((4, 3), 2.0), seed=(0, 1)
            )
        assert float(value) == pytest.approx(1.0, abs=1e-5)
        gradient = tape.gradient(value, kernel, unconnected_gradients="zero")
        assert np.isfinite(gradient).all()
    constant = losses.gradient_penalty(kind, lambda x: tf.ones((4, 2)), tf.ones((4, 3)), tf.zeros((4, 3)), seed=(0, 1))
    assert float(constant) == pytest.approx(1.0, abs=1e-5)


def test_scores_may_be_given_and_gradients_pass_through_them():
    kernel = tf.constant(KERNEL)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(kernel)
        critic = tanh_critic(kernel)
        plain = penalty("rep_gp", kernel)
        given = penalty("rep_gp", kernel, score_data=critic(REAL), score_gen=critic(GENERATED))
        constant = penalty("rep_gp", kernel, score_data=CRITIC(REAL), score_gen=CRITIC(GENERATED))
    assert float(plain) == float(given) == float(constant)
    np.testing.assert_array_equal(tape.gradient(plain, kernel), tape.gradient(given, kernel))
    assert np.abs(tape.gradient(plain, kernel) - tape.gradient(constant, kernel)).max() > 1e-3


def test_a_random_width_is_that_of_the_losss_step():
    """Given by penalty_kernel, or drawn from the same seed; otherwise from TensorFlow's generator."""
    score_gen, score_data = CRITIC(GENERATED), CRITIC(REAL)
    for name in ("rand_g_gp", "rgb_gp", "sym_rg_mix_gp"):
        loss = losses.get(name)
        widths = [loss.penalty_kernel(score_gen, score_data, (2, step)) for step in (3, 4)]
        by_width = [float(penalty(name, **width)) for width in widths]
        assert by_width == pytest.approx([float(penalty(name, seed=(2, step))) for step in (3, 4)], rel=1e-12)
        assert by_width[0] != by_width[1]
        assert float(penalty(name)) != by_width[0]


def test_points_are_drawn_between_the_partners():
    def distances(images):
        return tf.abs(images)

    real, generated = np.full((2000, 1), 3.0), np.full((2000, 1), 1.0)
    seen = []
    losses.gradient_penalty("wasserstein", lambda x: seen.append(x) or distances(x), real, generated, seed=(0, 1))
    losses.gradient_penalty("wasserstein", lambda x: seen.append(x) or distances(x), real, generated, seed=(0, 1))
    losses.gradient_penalty("wasserstein", lambda x: seen.append(x) or distances(x), real, generated, seed=(0, 2))
    first, again, other = (np.ravel(points) for points in seen)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
    histogram = np.histogram(first, bins=4, range=(1, 3))[0]
    assert abs(histogram - 500).max() < 4 * np.sqrt(375)


def test_legacy_concerns_only_the_witnesses_that_were_released():
    assert float(penalty("rep_gp", legacy=True, sigma=4.0)) == pytest.approx(float(penalty("rep_gp", sigma=2.0)))
    assert float(penalty("rep_gp", legacy=True, variance=4.0)) == float(penalty("rep_gp", variance=4.0))
    released = penalty("fixed_t_gp", alpha=[0.25, 0.5, 0.9, 2, 25])
    assert float(penalty("fixed_t_gp", legacy=True, alpha=[1])) == float(released)
    for kind in ("mgb_gp", "mmd_g_mix_gp", "wasserstein"):
        assert float(penalty(kind, legacy=True)) == float(penalty(kind))


def test_options_that_are_none_are_those_of_the_loss():
    for kind in ("fixed_t_gp", "rep_gp"):
        assert float(penalty(kind, sigma=None, alpha=None, omega=None)) == float(penalty(kind))


def test_images_and_compiled():
    rng = np.random.default_rng(0)
    images = rng.standard_normal((2, 3, 4, 4, 2)).astype(np.float32)
    weights = tf.constant(rng.standard_normal((32, 5)), tf.float32)

    def critic(x):
        return tf.tanh(tf.reshape(x, (-1, 32)) @ weights)

    for kind in ("wasserstein", "mmd_t_gp"):
        compiled = tf.function(lambda a, b, k=kind: losses.gradient_penalty(k, critic, a, b, seed=(1, 2)))
        eager = losses.gradient_penalty(kind, critic, *images, seed=(1, 2))
        assert float(compiled(*images)) == pytest.approx(float(eager), rel=1e-5)
    compiled = tf.function(lambda a: losses.jacobian_scale(critic, a))(images[0])
    assert float(compiled) == pytest.approx(float(losses.jacobian_scale(critic, images[0])), rel=1e-5)


def test_one_backward_pass_per_score():
    passes = []

    @tf.custom_gradient
    def counted(x):
        def backward(upstream):
            passes.append(1)
            return upstream

        return x, backward

    jacobian_squared_norms(lambda x: tf.tanh(counted(x)), scores()[0])
    assert len(passes) == 3


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: penalty("rep"), r"no gradient penalty of kind 'rep' \(did you mean rep_gp\?\)"),
        (lambda: penalty("hinge_gp"), "no gradient penalty of kind 'hinge_gp'"),
        (lambda: penalty("rep_gp", alpha=1.0), "'gaussian' has no option 'alpha'"),
        (lambda: penalty("wasserstein", sigma=1.0), "'wasserstein' has no option 'sigma'"),
        (lambda: penalty("rand_g_gp", omega=1.5), "omega of the loss 'rand_g_gp'"),
        (
            lambda: losses.gradient_penalty("rep_gp", CRITIC, REAL, GENERATED[:3]),
            r"equally many of one shape, not \(4, 3\) and \(3, 3\)",
        ),
        (lambda: losses.jacobian_scale(CRITIC, REAL, 0.0), "weight of the Jacobian's scale must be positive"),
        (lambda: losses.jacobian_scale(lambda x: x[:, 0], REAL), r"scores \(N, d\) with a known d, not \(4,\)"),
    ],
)
def test_errors(call, words):
    with pytest.raises(ConfigError, match=words):
        call()
