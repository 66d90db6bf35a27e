"""The CIFAR-10 network at full width, from a trained state: five steps run in other ways follow the plain step's."""

import json

import numpy as np
import pytest

import mmdgan
from mmdgan import losses, tf1
from mmdgan.training import GanStep
from tests.helpers.golden_data import trajectory

STEPS, BATCH = 5, 16


def make_gan(golden, precision="float32", data_format="channels_last", **options):
    """A step in the state before the first one of a golden trajectory."""
    config = json.loads(str(golden["config"]))
    build = (mmdgan.build_generator, mmdgan.build_discriminator)
    networks = (b(config["architecture"], precision=precision, data_format=data_format) for b in build)
    gan = GanStep(*networks, losses.get(config["loss_type"]), config["lr_dis"], config["lr_gen"], **options)
    arrays = {key.removeprefix("before/"): value for key, value in golden.items() if key.startswith("before/")}
    tf1.import_checkpoint(arrays, gan)
    return gan


def vectors(gan):
    return {name: layer.in_rand.numpy() for name, layer in gan.discriminator.spectral_layers().items()}


def distance(value, expected):
    return np.linalg.norm(value - expected) / np.linalg.norm(expected)


@pytest.fixture(scope="module")
def plain():
    """The trajectory, images, and the plain step's first gradients, losses and last spectral vectors."""
    golden = trajectory("cifar_rep")
    real = np.random.default_rng(0).integers(0, 256, (STEPS, BATCH, 32, 32, 3), dtype=np.uint8)
    gan = make_gan(golden)
    gradients = gan._gradients(gan._forward(real[0], None, None, None))
    taken = [{name: float(value) for name, value in gan.step(batch).items()} for batch in real]
    return golden, real, gradients, taken, vectors(gan)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"jit": True}, 2e-3),
        ({"steps_per_call": STEPS}, 2e-3),
        ({"data_format": "channels_first"}, 2e-3),
        ({"precision": "fp16"}, 5e-2),
    ],
    ids=["jit", "steps_per_call", "channels_first", "fp16"],
)
def test_five_steps_are_the_same(options, tolerance, plain):
    golden, real, gradients, taken, expected = plain
    options = dict(options)
    together = options.pop("steps_per_call", 1)
    gan = make_gan(golden, **options)
    images = real.transpose(0, 1, 4, 2, 3) if "data_format" in options else real
    if together == 1 and "jit" not in options:
        for one, two in zip(gradients, gan._gradients(gan._forward(images[0], None, None, None)), strict=True):
            for known, found in list(zip(one, two, strict=True))[:-1]:  # the last bias is left to rounding noise
                assert distance(found, known) < 3 * tolerance  # biases of half precision differ the most
    if together > 1:
        several = gan.steps(images)
        found = [{name: values[index] for name, values in several.items()} for index in range(STEPS)]
    else:
        found = [gan.step(batch) for batch in images]
    for known, step in zip(taken, found, strict=True):
        for name, value in known.items():
            # Of terms of size 1, the generator's loss leaves differences of a thousandth.
            assert float(step[name]) == pytest.approx(value, rel=tolerance, abs=tolerance / 20), name
    for name, value in vectors(gan).items():
        assert distance(value, expected[name]) < tolerance, name
