"""What the tests of several replicas share: networks that compile in a second, warm weights, one step's differences."""

from __future__ import annotations

import contextlib

import keras
import numpy as np

import mmdgan
from mmdgan import losses
from mmdgan.training import GanStep
from tests.helpers.networks import SMALLEST

WAYS = {"several": {}, "jit": {"jit": True}, "micro_batch": {"micro_batch": 2}, "fp16": {"precision": "fp16"}}
"""Ways to run steps, each two in one call."""


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


def small_gan(loss, strategy=None, architecture=SMALLEST, num_class=0, lr=1.0, optimizer="sgd", **options) -> GanStep:
    """With plain gradient descent at rate 1, a step moves each variable by its raw gradient."""
    precision = options.pop("precision", "float32")
    if "mix_threshold" in options:
        loss = losses.get(loss, mix_threshold=options.pop("mix_threshold"))
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        keras.utils.set_random_seed(1)
        networks = [
            build(architecture, num_class, precision=precision)
            for build in (mmdgan.build_generator, mmdgan.build_discriminator)
        ]
        gan = GanStep(*networks, loss, lr, lr, optimizer, end_lr=lr, **options)
    warm(gan)
    return gan


def warm(gan: GanStep) -> None:
    """Weights with which scores differ: at the original's cold start, all gradients are rounding."""
    rng = np.random.default_rng(2)
    for network in (gan.generator, gan.discriminator):
        for variable in network.trainable_variables:
            drawn = rng.standard_normal(variable.shape)
            variable.assign(drawn / np.sqrt(np.prod(variable.shape[:-1])) + variable.path.endswith("gamma"))


def values(gan: GanStep) -> dict[str, np.ndarray]:
    return {name: variable.numpy().copy() for name, variable in gan.state().items()}


def moves(gan: GanStep, *batch, **more) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """The losses of a step, and by how much it moved each variable."""
    before = values(gan)
    found = {name: float(value) for name, value in gan.step(*batch, **more).items()}
    return found, {name: value - before[name] for name, value in values(gan).items()}


def assert_same(found, expected, tolerance: float) -> None:
    """Losses within the tolerance, and each variable's move: relative to its size, but for the weights' own rounding.

    A move is a difference of weights around 1. MMD losses do not move the last bias.
    """
    for name, value in expected[0].items():
        assert abs(found[0][name] - value) <= tolerance * max(1.0, abs(value)), (name, found[0][name], value)
    assert found[1].keys() == expected[1].keys()
    moved = 0
    for name, move in expected[1].items():
        error, size = np.linalg.norm(found[1][name] - move), np.linalg.norm(move)
        rounding = 2 * np.finfo(move.dtype).eps * np.sqrt(move.size) if move.dtype.kind == "f" else 0
        still = size <= 1e3 * rounding
        # All that moves what stands still is the rounding of a sum over the batch, other on each kind of processor.
        assert error <= tolerance * size + (4 * rounding if still else rounding), (name, error, size)
        moved += not still
    assert moved >= len(expected[1]) - 2
