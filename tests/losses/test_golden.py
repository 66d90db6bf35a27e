"""Losses and their gradients as the original computed them (float32)."""

import numpy as np
import pytest
import tensorflow as tf

from mmdgan import losses
from tests.helpers.golden_data import loss_cases

CASES = loss_cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_values_and_gradients(case):
    scores = {"gen": tf.constant(case["score_gen"]), "data": tf.constant(case["score_data"])}
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(scores)
        result = losses.get(case["loss"], **case["options"])(scores["gen"], scores["data"], **case["call"])
    # Sums of means of size 1, which float32 rounds at 6e-8 each.
    np.testing.assert_allclose(result.gen, case["loss_gen"], rtol=1e-6, atol=4e-7)
    np.testing.assert_allclose(result.dis, case["loss_dis"], rtol=1e-6, atol=4e-7)
    for (player, which), expected in case["gradients"].items():
        gradient = tape.gradient(getattr(result, player), scores[which], unconnected_gradients="zero")
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-8)


def test_every_loss_without_a_coin_is_covered():
    covered = {losses.canonical_name(case["loss"]) for case in CASES}
    ours_alone = {"minimax", "drift"}
    with_a_coin = {"mmd_g_mix", "sgm", "rand_g_mix", "sym_rg_mix", "ins_noise"}  # their first steps: test_mixing.py
    assert covered | ours_alone | with_a_coin == {losses.canonical_name(name) for name in losses.names()}
