"""Names, options and their errors."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from mmdgan import losses
from mmdgan.errors import ConfigError

ALIASES = {
    "": "logistic",
    "mmd_g": "fixed_g",
    "mmd_t": "fixed_t",
    "rep_mmd_g": "rep",
    "rep_b": "rmb",
    "rep_mmd_b": "rmb",
}


def call(name, scores_gen, scores_data):
    return losses.get(name)(scores_gen, scores_data, dis_penalty=0.0 if losses.get(name).penalty else None)


def test_names_options_and_sizes_need_no_tensorflow():
    code = (
        "import sys, mmdgan.losses as losses\n"
        "assert losses.score_size(losses.names()[0]) == 1 and losses.canonical_name('rep_b') == 'rmb'\n"
        "losses.get('rep', rep_lambda=0.5), losses.describe()\n"
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_numeric_functions_are_found_in_the_package():
    assert {"mmd2", "witness"} <= set(dir(losses))
    assert callable(losses.mmd2)
    with pytest.raises(AttributeError, match="mmd3"):
        losses.mmd3  # noqa: B018


@pytest.mark.parametrize(("alias", "canonical"), ALIASES.items())
def test_aliases(alias, canonical):
    loss = losses.get(alias)
    assert (loss.name, loss.canonical) == (alias, canonical)
    assert loss.options == losses.get(canonical).options


@pytest.mark.parametrize("name", losses.names())
def test_every_name(name):
    rng = np.random.default_rng(0)
    g, x = (rng.standard_normal((4, losses.score_size(name))).astype(np.float32) for _ in range(2))
    loss = losses.get(name)
    assert loss.score_size == (1 if loss.canonical in ("logistic", "minimax", "hinge", "wasserstein") else 16)
    result = call(name, g, x)
    assert result.gen.shape == result.dis.shape == ()
    assert result.gen.dtype == result.dis.dtype == tf.float32
    assert loss.initial_state() == result.state == {}
    assert losses.get(name, **loss.options) == loss
    compiled = tf.function(lambda a, b: call(name, a, b))(g, x)
    np.testing.assert_allclose((compiled.gen, compiled.dis), (result.gen, result.dis), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", losses.names())
def test_shares_backward_is_said_of_the_zero_sum_losses(name):
    rng = np.random.default_rng(0)
    g, x = rng.standard_normal((8, 4)), rng.standard_normal((8, 4))
    result, loss = call(name, g, x), losses.get(name)
    assert loss.shares_backward == (float(result.gen) == -float(result.dis) and loss.penalty is None)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
@pytest.mark.parametrize("name", losses.names())
def test_low_precision_scores_give_float32_losses(name, dtype):
    g = tf.cast(tf.random.stateless_normal((8, 4), (1, 2)), dtype)
    x = tf.cast(tf.random.stateless_normal((8, 4), (3, 4)), dtype)
    result, exact = call(name, g, x), call(name, tf.cast(g, tf.float32), tf.cast(x, tf.float32))
    assert result.dis.dtype == tf.float32
    assert (float(result.gen), float(result.dis)) == (float(exact.gen), float(exact.dis))


def test_describe_has_a_line_with_every_name():
    lines = losses.describe().splitlines()
    words = [word.strip(",") for line in lines for word in line.split("  ")[0].split()]
    assert sorted(words) == sorted(losses.names())
    assert len(lines) == len({losses.canonical_name(name) for name in losses.names()})


def test_lambda_becomes_weights():
    assert losses.resolve_options("rep", rep_lambda=0.25) == {"rep_weights": (0.75, -0.25), "sigma": 1.0}
    assert losses.resolve_options("rep", rep_weights=None, rep_lambda=None)["rep_weights"] == (0.0, -1.0)
    for weights in ([0.1, -0.9], [0.2, -0.8], [0.3, -0.7]):
        assert losses.resolve_options("rmb", rep_weights=weights)["rep_weights"] == tuple(weights)


def test_options_of_other_losses_may_be_left_unset():
    assert losses.resolve_options("hinge", sigma=None, rep_lambda=None) == {}
    assert losses.resolve_options("mmd_t", alpha=2, sigma=None) == {"alpha": (2.0,), "beta": 2.0}


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("repp", {}, "no loss named 'repp': did you mean 'rep'"),
        (None, {}, "no loss named None"),
        ("rep", {"rep_weight": [0, -1]}, "no option 'rep_weight': did you mean 'rep_weights'"),
        ("rep", {"omega": 0.5}, "no option 'omega'; valid are rep_weights, rep_lambda, sigma"),
        ("hinge", {"sigma": 1.0}, "'hinge' has no option 'sigma': it takes none"),
        ("rep", {"rep_weights": [0, 1]}, r"w0 - w1 = 1, but for \(0.0, 1.0\) it is -1"),
        ("rep", {"rep_weights": [0.0, -1.00001]}, "w0 - w1 = 1"),
        ("rep", {"rep_weights": [0.0]}, "two numbers"),
        ("rep", {"rep_weights": [0, -1], "rep_lambda": 1}, "both rep_weights and rep_lambda"),
        ("rep", {"rep_lambda": float("nan")}, "rep_lambda of the loss 'rep' must be a finite number"),
        ("rep", {"sigma": [1.0, 2.0]}, "sigma of the loss 'rep' must be a finite number"),
        ("rep", {"sigma": 0}, "must be positive"),
        ("mmd_g", {"sigma": "1,2"}, "one or more finite numbers, not '1,2'"),
        ("mmd_t", {"beta": -1}, "must be positive"),
        ("rmb", {"lower_bound": 5}, "lower_bound 5.0 above upper_bound 4.0"),
        ("rmb", {"cross_bound": 1}, "True or False"),
    ],
)
def test_errors(name, options, words):
    with pytest.raises(ConfigError, match=words):
        losses.get(name, **options)


def test_a_missing_penalty_is_named():
    with pytest.raises(ConfigError, match="'wasserstein' needs a gradient penalty .* dis_penalty, or choose"):
        losses.get("wasserstein")(np.ones((4, 1)), np.ones((4, 1)))
