"""Every preset: described, built as its inference says, and trained on images of noise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import mmdgan
from mmdgan import design
from mmdgan.training import GanStep
from tests.conformance.descriptions import PRESETS

BATCH = 2
STEPS = 3

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


def trainings() -> list:
    """Every preset that is trained, in both precisions; those that take long, and the second, with the slow tests."""
    found = []
    for preset, precision in itertools.product(TRAINED, ("float32", "bf16")):
        marks = [pytest.mark.slow] if preset.slow or precision == "bf16" else []
        found.append(pytest.param(preset, precision, marks=marks, id=f"{preset.name}-{precision}"))
    return found


@pytest.mark.parametrize(("preset", "precision"), trainings())
def test_training(preset, precision):
    architecture = mmdgan.load_architecture(preset.name)
    builders = (mmdgan.build_generator, mmdgan.build_discriminator)
    options = {"data_format": "channels_last", "precision": precision}
    networks = [build(architecture, preset.num_class, **options) for build in builders]
    specs = design.parse_architecture(architecture, preset.num_class)
    for network, spec in zip(networks, specs, strict=True):
        assert sum(v.numpy().size for v in network.trainable_variables) == spec.parameters

    step = GanStep(*networks, preset.loss, lr_dis=1e-3, lr_gen=1e-3)
    before = [net.get_weights() for net in networks]
    channels, *pixels = specs[1].input_shape
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH, *pixels, channels), dtype=np.uint8)
    labels = rng.integers(0, preset.num_class, (BATCH, 1)) if preset.num_class else None
    # In the very first step spectral vectors without norm all but close the critic, and attention is still shut.
    results = [step.step(images, labels=labels) for _ in range(STEPS)]
    for result in results:
        assert {"loss_gen", "loss_dis"} <= result.keys()
        assert all(np.isfinite(value) for value in result.values())
    for network, weights in zip(networks, before, strict=True):
        # A number added to all scores changes no loss.
        idle = f"dis/{specs[1].layers[-1].name}/bias/bias"
        for variable, old, new in zip(network.weights, weights, network.get_weights(), strict=True):
            assert np.all(np.isfinite(new)), variable.path
            assert variable.path == idle or not np.array_equal(old, new), variable.path
