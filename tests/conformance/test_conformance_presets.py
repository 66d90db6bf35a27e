"""Every preset: described, built as its inference says, and trained on images of noise."""

from __future__ import annotations

import numpy as np
import pytest

import mmdgan
from mmdgan import design
from mmdgan.training import GanStep
from tests.conformance.descriptions import PRESETS

BATCH = 4


TRAINED = [preset for preset in PRESETS if not preset.twin]


def layers(preset):
    """The layers of both networks, without their widths."""
    architecture = mmdgan.load_architecture(preset)
    return [
        [{key: value for key, value in layer.items() if key not in ("out", "out_reshape")} for layer in network]
        for network in (architecture["generator"], architecture["discriminator"])
    ]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_descriptions(preset):
    for spec in design.parse_architecture(mmdgan.load_architecture(preset.name), preset.num_class):
        assert f"{spec.parameters:,}" in design.describe(spec)
        assert f"{spec.multiply_adds:,}" in design.describe(spec)
    if preset.twin:
        assert layers(preset.name) == layers(preset.twin)
        assert preset.twin in [trained.name for trained in TRAINED]


@pytest.mark.parametrize("preset", TRAINED, ids=lambda preset: preset.name)
def test_training(preset):
    architecture = mmdgan.load_architecture(preset.name)
    builders = (mmdgan.build_generator, mmdgan.build_discriminator)
    networks = [build(architecture, preset.num_class, data_format="channels_last") for build in builders]
    specs = design.parse_architecture(architecture, preset.num_class)
    for network, spec in zip(networks, specs, strict=True):
        assert sum(v.numpy().size for v in network.trainable_variables) == spec.parameters

    step = GanStep(*networks, preset.loss, lr_dis=1e-3, lr_gen=1e-3)
    before = [net.get_weights() for net in networks]
    channels, *pixels = specs[1].input_shape
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH, *pixels, channels), dtype=np.uint8)
    labels = rng.integers(0, preset.num_class, (BATCH, 1)) if preset.num_class else None
    # Twice: in the very first step spectral vectors without norm all but close the critic.
    results = [step.step(images, labels=labels) for _ in range(2)]
    for result in results:
        assert {"loss_gen", "loss_dis"} <= result.keys()
        assert all(np.isfinite(value) for value in result.values())
    for network, weights in zip(networks, before, strict=True):
        # A number added to all scores changes no loss.
        idle = f"dis/{specs[1].layers[-1].name}/bias/bias"
        for variable, old, new in zip(network.weights, weights, network.get_weights(), strict=True):
            assert np.all(np.isfinite(new)), variable.path
            assert variable.path == idle or not np.array_equal(old, new), variable.path
