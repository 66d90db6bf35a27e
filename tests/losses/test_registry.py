"""Names, options and their errors."""

import dataclasses
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from mmdgan import losses
from mmdgan.core.errors import ConfigError
from mmdgan.losses import registry

ALIASES = {
    "": "logistic",
    "mmd_g": "fixed_g",
    "mmd_t": "fixed_t",
    "rep_mmd_g": "rep",
    "rep_b": "rmb",
    "rep_mmd_b": "rmb",
    "fixed_g_mix": "mmd_g_mix",
    "sym_rand_g": "sym_rg",
    "instance_noise": "ins_noise",
}
JUDGING = ("logistic", "minimax", "hinge", "wasserstein")
MMDS = ("fixed_g", "fixed_t", "mgb", "rep", "rmb", "rand_g", "rgb", "sym_rg")
STATEFUL = ("mmd_g_mix", "sgm", "rand_g_mix", "sym_rg_mix", "ins_noise")
IGNORING = ("logistic", "minimax", "hinge", "rand_g", "rgb", "sym_rg", "drift", *STATEFUL)
"""Losses that do not use a penalty unless their name asks for one."""

LOSSES = [name for name in losses.names() if losses.get(name).canonical == name.removesuffix("_gp").removesuffix("_ds")]
"""Every loss and variant once."""


def call(name, scores_gen, scores_data, **inputs):
    loss = losses.get(name)
    needed = {"dis_penalty": 0.0 if loss.penalty else None, "dis_scale": 1.0 if loss.uses_scale else None}
    return loss(scores_gen, scores_data, **{"seed": (3, 4), **needed, **inputs})


def scores(rows=8, columns=4):
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, columns)), rng.standard_normal((rows, columns))


def test_a_loss_is_a_function_below_the_decorator(monkeypatch):
    monkeypatch.setattr(registry, "ENTRIES", dict(registry.ENTRIES))
    monkeypatch.setattr(registry, "_NAMES", dict(registry._NAMES))

    @losses.loss("squares", "mse", source="Mao et al. 2017", score_size=1, penalty_weight=2.0)
    def squares(score_gen, score_data, inputs, *, sigma=1.0, mix_threshold=0.5):
        """Squares: s_g^2; s_x^2.

        Not in the first line.
        """
        logs = {f"{inputs.scope}/sigma": sigma}
        return losses.GanLosses(score_gen**2, inputs.penalised(score_data**2), logs, inputs.state)

    loss = losses.get("mse_gp", variance=4.0)
    assert (loss.name, loss.canonical, loss.score_size, loss.penalty) == ("mse_gp", "squares", 1, "squares_gp")
    assert loss.options == {"sigma": 2.0, "mix_threshold": 0.5}
    assert losses.names()["squares"] == "Squares: s_g^2; s_x^2 (Mao et al. 2017)"
    assert re.search(r"^squares_gp, mse_gp +squares \+ 2 \* mean", losses.describe(), re.MULTILINE)
    result = loss(tf.constant(3.0), tf.constant(2.0), dis_penalty=0.5)
    assert (float(result.gen), float(result.dis), result.logs) == (9.0, 4.5, {"squares/sigma": 2.0})


def test_names_options_and_sizes_need_no_tensorflow():
    code = (
        "import sys, mmdgan.losses as losses\n"
        "assert losses.score_size('hinge') == 1 and losses.canonical_name('rep_b') == 'rmb'\n"
        "loss = losses.get('rep_gp', rep_lambda=0.5)\n"
        "losses.names(), losses.describe(), loss.initial_state(), loss.penalty_kernel(None, None)\n"
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_numeric_functions_are_found_in_the_package():
    numeric = {"cramer", "gradient_penalty", "jacobian_scale", "mmd2", "mmd2_normal", "witness"}
    assert numeric <= set(losses.__all__) <= set(dir(losses))
    assert all(callable(getattr(losses, name)) for name in numeric)


@pytest.mark.parametrize(("alias", "canonical"), ALIASES.items())
def test_aliases(alias, canonical):
    for suffix in ("", "_gp", "_ds"):
        if canonical + suffix in losses.names() and alias + suffix:
            loss, expected = losses.get(alias + suffix), losses.get(canonical + suffix)
            assert (loss.name, loss.canonical) == (alias + suffix, canonical)
            assert dataclasses.replace(loss, name=expected.name) == expected


def test_the_names_of_the_original_and_all_variants():
    mmds = (*MMDS, *STATEFUL)
    expected = {"drift", *JUDGING, *mmds, *ALIASES} | {f"{name}_gp" for name in ("wasserstein", *mmds)}
    expected |= {f"{alias}_gp" for alias in ALIASES if alias}
    expected |= {f"{name}_ds" for name in ("rep", "rep_mmd_g", "rmb", "rep_b", "rep_mmd_b")}
    names = losses.names()
    assert set(names) == expected - {""}
    for name, line in names.items():
        assert "\n" not in line
        assert line.endswith(")") and re.search(r"\d{4}", line), name
    assert list(names)[:4] == ["logistic", "minimax", "hinge", "wasserstein"]


@pytest.mark.parametrize("name", losses.names())
def test_every_name(name):
    loss = losses.get(name)
    assert loss.score_size == losses.score_size(name) == (1 if loss.canonical in JUDGING else 16)
    assert losses.get(name, **loss.options) == loss
    assert (loss.initial_state() != {}) == (loss.canonical in STATEFUL)
    assert len({loss, losses.get(name)}) == 1  # hashable: tf.function(loss) works


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss(name):
    rng = np.random.default_rng(0)
    g, x = (rng.standard_normal((4, losses.score_size(name))).astype(np.float32) for _ in range(2))
    loss, result = losses.get(name), call(name, g, x)
    assert result.gen.shape == result.dis.shape == ()
    assert result.gen.dtype == result.dis.dtype == tf.float32
    assert set(result.state) == set(loss.initial_state())
    for tag in result.logs:
        assert tag.split("/")[0] in ("GANLoss", "squared_dist", loss.canonical)


@pytest.mark.parametrize("name", ["hinge", "fixed_t", "sym_rg_mix", "ins_noise"])
def test_compiled_with_unknown_batch_size(name):
    columns = losses.score_size(name)
    rng = np.random.default_rng(0)
    g, x = (rng.standard_normal((5, columns)).astype(np.float32) for _ in range(2))
    spec = tf.TensorSpec((None, columns), tf.float32)
    result = call(name, g, x)
    compiled = tf.function(lambda a, b: call(name, a, b), input_signature=[spec, spec])(g, x)
    np.testing.assert_allclose((compiled.gen, compiled.dis), (result.gen, result.dis), rtol=1e-5, atol=1e-6)
    for tag, value in result.logs.items():
        np.testing.assert_allclose(compiled.logs[tag], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("names", "penalty", "weight"),
    [
        (("wasserstein", "wasserstein_gp"), "wasserstein", 10),
        (("fixed_g_gp", "mmd_g_gp"), "fixed_g_gp", 1),
        (("mmd_t_gp",), "fixed_t_gp", 1),
        (("rep_gp", "rep_mmd_g_gp"), "rep_gp", 0.1),
        (("rmb_gp", "rep_b_gp", "rep_mmd_b_gp"), "rmb_gp", 0.1),
        (("rgb_gp",), "rgb_gp", 0.1),
        (("mgb_gp",), "mgb_gp", 1),
        (("instance_noise_gp",), "ins_noise_gp", 1),
        (("rep", "rep_b", "mmd_g", "hinge", "sgm"), None, None),
        (("rep_ds", "rep_mmd_b_ds"), None, 0.1),
    ],
)
def test_penalties_and_their_weights(names, penalty, weight):
    for name in names:
        loss = losses.get(name)
        assert (loss.penalty, loss.penalty_weight) == (penalty, weight)
        assert loss.uses_scale == name.endswith("_ds")


@pytest.mark.parametrize("name", LOSSES)
def test_who_adds_a_penalty(name):
    g, x = scores()
    difference = float(call(name, g, x, dis_penalty=0.25).dis - call(name, g, x, dis_penalty=0.0).dis)
    assert difference == pytest.approx(0.0 if name in IGNORING else 0.25, abs=1e-12)
    assert float(call(name, g, x, dis_penalty=0.25).gen) == float(call(name, g, x).gen)


@pytest.mark.parametrize("name", [name for name in LOSSES if name.endswith("_ds")])
def test_scaled_losses_are_the_plain_ones_given_a_scale(name):
    g, x = scores()
    plain = losses.get(name.removesuffix("_ds"))(g, x, dis_scale=0.3)
    assert float(call(name, g, x, dis_scale=0.3).dis) == float(plain.dis)


@pytest.mark.parametrize("name", LOSSES)
def test_shares_backward_is_said_of_the_zero_sum_losses(name):
    g, x = scores()
    loss = losses.get(name)
    state = {**loss.initial_state(), "probability": 0.5} if "probability" in loss.initial_state() else None
    result = call(name, g, x, state=state)
    assert loss.shares_backward == (float(result.gen) == -float(result.dis) and loss.penalty is None)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
@pytest.mark.parametrize("name", LOSSES)
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
    assert len(lines) == len(LOSSES) - 1  # wasserstein_gp is another name of wasserstein
    assert all(re.search(r"\d{4}", line) for line in lines)


def test_lambda_becomes_weights():
    assert losses.resolve_options("rep", rep_lambda=0.25) == {
        "rep_weights": (0.75, -0.25),
        "sigma": 1.0,
        "biased": False,
    }
    assert losses.resolve_options("rep", rep_weights=None, rep_lambda=None)["rep_weights"] == (0.0, -1.0)
    for weights in ([0.1, -0.9], [0.2, -0.8], [0.3, -0.7]):
        assert losses.resolve_options("rmb", rep_weights=weights)["rep_weights"] == tuple(weights)


def test_omega_is_a_range_or_a_number():
    assert losses.get("rand_g").options == {"omega": (0.05, 0.85), "ref_normal": 1.0}
    assert losses.get("rand_g", omega=0.5).options["omega"] == (0.5,)
    assert losses.get("rgb", omega=[0.25, 0.5]).options == {"omega": (0.25, 0.5)}


def test_mixing_thresholds():
    for name in STATEFUL:
        assert losses.get(name).options["mix_threshold"] == (1.0 if name == "mmd_g_mix" else 0.2)
        assert losses.get(name, mix_threshold=-1).options["mix_threshold"] == -1


def test_the_penaltys_kernel_is_the_losss():
    for name, options, expected in (
        ("mmd_g_gp", {"sigma": 3}, {"sigma": (3.0,)}),
        ("mmd_t_gp", {"beta": 3}, {"alpha": (0.2, 0.5, 1, 2, 5), "beta": 3.0}),
        ("rmb_gp", {"upper_bound": 3.0}, {"sigma": 1.0}),
        ("wasserstein", {}, {}),
        ("hinge", {}, {}),
    ):
        assert losses.get(name, **options).penalty_kernel(*scores()) == expected


def test_options_of_other_losses_may_be_left_unset():
    assert losses.resolve_options("hinge", sigma=None, rep_lambda=None) == {}
    expected = {"alpha": (2.0,), "beta": 2.0, "add_dot": 0.0, "biased": False}
    assert losses.resolve_options("mmd_t", alpha=2, sigma=None) == expected


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("repp", {}, r"no loss named 'repp' \(did you mean rep\?\); valid are logistic"),
        (None, {}, "no loss named None"),
        ("rep", {"rep_weight": [0, -1]}, r"no option 'rep_weight' \(did you mean rep_weights\?\)"),
        ("rep_b_gpp", {}, r"\(did you mean rep_b_gp\?\)"),
        ("hinge_gp", {}, "no loss named 'hinge_gp'"),
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
        ("rand_g", {"omega": 1}, "one number between 0 and 1, or two in ascending order .* not 1"),
        ("rgb", {"omega": (0.5, 0.2)}, "ascending order .* not 0.5, 0.2"),
        ("rgb", {"omega": (0.1, 0.2, 0.3)}, "not 0.1, 0.2, 0.3"),
        ("rgb", {"ref_normal": 1}, "'rgb' has no option 'ref_normal'"),
        ("sym_rg", {"omega": 0}, "must be positive"),
        ("sym_rg_mix", {"ref_normal": 0}, "must be positive"),
        ("sgm", {"mix_threshold": "high"}, "a finite number, not 'high'"),
    ],
)
def test_errors(name, options, words):
    with pytest.raises(ConfigError, match=words):
        losses.get(name, **options)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wasserstein", "'wasserstein' needs a gradient penalty .* dis_penalty, or choose"),
        ("rep_b_gp", "'rep_b_gp' needs a gradient penalty of kind 'rmb_gp'"),
        ("rep_b_ds", "'rep_b_ds' needs the scale .* dis_scale, or choose 'rmb'"),
    ],
)
def test_a_missing_penalty_or_scale_is_named(name, words):
    with pytest.raises(ConfigError, match=words):
        losses.get(name)(np.ones((4, 1)), np.ones((4, 1)))


def test_a_foreign_state_or_seed_is_refused():
    scores_gen, scores_data = scores()
    with pytest.raises(ConfigError, match="state of the loss 'sgm' holds average, probability, not level"):
        losses.get("sgm")(scores_gen, scores_data, seed=(1, 2), state={"level": 0.0})
    with pytest.raises(ConfigError, match="state of the loss 'rep' holds nothing, not average"):
        losses.get("rep")(scores_gen, scores_data, state={"average": 0.0})
    for seed in (3, (1, 2, 3), (0.5, 1.0)):
        with pytest.raises(ConfigError, match="A seed is two integers"):
            losses.get("rand_g")(scores_gen, scores_data, seed=seed)


def test_a_penalty_needs_one_uniform_number_per_sample():
    images = np.ones((4, 3), "float32")
    with pytest.raises(ConfigError, match="one uniform number per sample: 4, not 3"):
        losses.gradient_penalty("wasserstein", lambda x: x, images, images, uniform=np.ones((3, 1)))
