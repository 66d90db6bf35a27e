"""The CIFAR-10 network at full width: five steps run in other ways follow the plain step's."""

import keras
import numpy as np
import pytest

import mmdgan
from mmdgan.training import GanStep

STEPS, BATCH = 5, 8


def make_gan(precision="float32", data_format="channels_last", **options):
    keras.utils.set_random_seed(1)
    architecture = mmdgan.load_architecture("cifar10/DCGAN")
    build = (mmdgan.build_generator, mmdgan.build_discriminator)
    networks = (b(architecture, precision=precision, data_format=data_format) for b in build)
    return GanStep(*networks, "rep_b", 5e-4, 2e-4, **options)


def start_alike(gan, plain):
    """Gives a step the weights and the spectral vectors of another, which may have been drawn in another layout."""
    state = plain.state()
    for name, variable in gan.state().items():
        if name in state:
            variable.assign(np.reshape(state[name].numpy(), variable.shape))


@pytest.fixture(scope="module")
def plain():
    """The images, the plain step at its start and its losses, gradients and spectral vectors."""
    real = np.random.default_rng(0).integers(0, 256, (STEPS, BATCH, 32, 32, 3), dtype=np.uint8)
    gan, start = make_gan(), make_gan()
    gradients = gan._gradients(gan._forward(real[0], None, None, None))
    losses = [{name: float(value) for name, value in gan.step(batch).items()} for batch in real]
    return real, start, losses, gradients, vectors(gan)


def vectors(gan):
    return {name: layer.in_rand.numpy() for name, layer in gan.discriminator.spectral_layers().items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "loss", "gradient", "vector"),
    [
        ({"jit": True}, 1e-4, 1e-3, 1e-4),
        ({"data_format": "channels_first"}, 1e-4, 1e-3, 1e-4),
        ({"precision": "fp16"}, 5e-2, 5e-2, 1e-3),
        ({"steps_per_call": STEPS}, 1e-4, 1e-3, 1e-4),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_five_steps_are_the_same(options, loss, gradient, vector, plain):
    real, start, losses, gradients, expected = plain
    options = dict(options)
    together = options.pop("steps_per_call", 1)
    gan = make_gan(**options)
    start_alike(gan, start)
    first = options.get("data_format") == "channels_first"
    images = real.transpose(0, 1, 4, 2, 3) if first else real
    if together == 1 and not options.get("jit"):
        for one, two in zip(gradients, gan._gradients(gan._forward(images[0], None, None, None)), strict=True):
            for known, found in zip(one[:-1], two[:-1], strict=True):
                assert np.linalg.norm(found - known) <= gradient * np.linalg.norm(known) + 1e-9
    if together > 1:
        taken = gan.steps(images)
        found = [{name: values[index] for name, values in taken.items()} for index in range(STEPS)]
    else:
        found = [gan.step(batch) for batch in images]
    for known, step in zip(losses, found, strict=True):
        for name, value in known.items():
            assert float(step[name]) == pytest.approx(value, rel=loss, abs=1e-5), name
    for name, value in vectors(gan).items():
        difference = np.linalg.norm(value - expected[name])
        assert difference <= vector * np.linalg.norm(expected[name]), name
