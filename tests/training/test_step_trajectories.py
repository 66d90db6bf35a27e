"""Whole training steps of the original, reproduced: every variable, every step, five losses and networks."""

import json

import numpy as np
import pytest

import mmdgan
from mmdgan import losses, tf1
from mmdgan.layers import spectral
from mmdgan.training import GanStep
from tests.helpers.golden_data import TRAJECTORIES, trajectory


def start(golden, data_format="channels_last"):
    """A GanStep in the state before the first step of a golden trajectory."""
    config = json.loads(str(golden["config"]))
    networks = [
        build(config["architecture"], data_format=data_format)
        for build in (mmdgan.build_generator, mmdgan.build_discriminator)
    ]
    gan = GanStep(*networks, losses.get(config["loss_type"]), config["lr_dis"], config["lr_gen"])
    prefix = "before/"
    arrays = {key[len(prefix) :]: value for key, value in golden.items() if key.startswith(prefix)}
    tf1.import_checkpoint(arrays, gan)
    return gan


def relative(value, expected, floor=1e-12):
    return np.linalg.norm(np.asarray(value, np.float64) - expected) / max(np.linalg.norm(expected), floor)


@pytest.mark.parametrize("case", TRAJECTORIES)
def test_trajectory(case):
    golden = trajectory(case)
    gan = start(golden)
    assert_probe(gan, golden, "generated_eval_nchw", "scores_eval", 1e-5)
    expected = golden["losses_gen_dis"]
    # The hinge loss shows the scores' common rounding (about 2e-6 of scores of size 2.5), the MMD losses do not.
    first = 1e-5 if case.endswith("hinge") else 1e-6
    for step, (images, codes) in enumerate(zip(golden["images_uint8_nhwc"], golden["codes"], strict=True)):
        result = gan.step(images, codes=codes)
        values = [float(result["loss_gen"]), float(result["loss_dis"])]
        np.testing.assert_allclose(values, expected[step], rtol=first if step == 0 else 5e-3, atol=1e-7)
    assert_after(gan, golden)
    assert_probe(gan, golden, "generated_after_nchw", "scores_after", 5e-3)


def assert_probe(gan, golden, images_key, scores_key, tolerance):
    """Inference outputs on fixed codes and images."""
    expected = golden[f"probe/{images_key}"].transpose(0, 2, 3, 1)
    assert relative(gan.generate(golden["probe/codes"][: len(expected)]), expected) < tolerance
    scores = golden[f"probe/{scores_key}"]
    images = golden["probe/images_uint8_nhwc"][: len(scores)] / np.float32(127.5) - 1
    error = gan.discriminator(images).numpy() - scores
    if gan.loss.score_size == 16:
        # An MMD loss leaves the last bias to rounding noise: compare what it can see.
        error -= error.mean(0)
    assert np.linalg.norm(error) < tolerance * np.linalg.norm(scores)


def assert_after(gan, golden):
    """Every variable at the end, whole where the golden file has it, else by its norm."""
    last_bias = f"dis/{gan.discriminator.spec.layers[-1].name}/bias/bias"
    checked = 0
    for name, variable in gan.state().items():
        if name == last_bias and gan.loss.score_size == 16:
            continue
        value = variable.numpy()
        if name.endswith("/in_rand") and value.ndim == 4:
            value = value.transpose(0, 3, 1, 2)
        if f"after_norm_sum/{name}" not in golden:
            continue
        norm = np.linalg.norm(np.asarray(value, np.float64))
        assert norm == pytest.approx(golden[f"after_norm_sum/{name}"][0], rel=5e-3), name
        if f"after_every_16th/{name}" in golden:
            assert relative(value.ravel()[::16], golden[f"after_every_16th/{name}"]) < 5e-3, name
        checked += 1
    assert checked >= 40


@pytest.mark.parametrize("case", [case for case in TRAJECTORIES if not case.endswith("cold")])
def test_first_gradients(case, monkeypatch):
    """The norm of every gradient of the first step, which the golden file takes at the vector before the step.

    At the cold start they are 1e-16 and below: rounding, in the original too.
    """
    golden = trajectory(case)
    at_old_vector = spectral.spectral_norm
    monkeypatch.setattr(
        "mmdgan.layers.linear.spectral_norm", lambda *args, gradient_at, **options: at_old_vector(*args, **options)
    )
    gan = start(golden)
    largest = max(float(value[0]) for key, value in golden.items() if key.startswith("grad_step1/"))
    forward = gan._forward(golden["images_uint8_nhwc"][0], golden["codes"][0], None, None, watch_images=True)
    histograms = gan._histograms(forward)
    for network in (gan.discriminator, gan.generator):
        for variable in network.trainable_variables:
            name = tf1.original_name(variable)
            gradient = histograms[f"grad_{name}"]
            norm, _ = golden[f"grad_step1/{name}"]
            # Rounding can flip a unit at the kink of its activation: that moves some norms by about 3e-4.
            assert np.linalg.norm(gradient) == pytest.approx(norm, rel=1e-3, abs=1e-5 * largest), name


def test_channels_first_takes_the_same_weights_to_the_same_losses():
    golden = trajectory(TRAJECTORIES[0])
    gan = start(golden, "channels_first")
    for images, codes, expected in zip(
        golden["images_uint8_nhwc"][:2], golden["codes"], golden["losses_gen_dis"], strict=False
    ):
        result = gan.step(images.transpose(0, 3, 1, 2), codes=codes)
        values = [float(result["loss_gen"]), float(result["loss_dis"])]
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-6)
