"""Networks of the descriptions, built once, and all that is seen of one when it is called."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from tests.conformance.descriptions import Description

BATCH = 4
LABELS = np.array([[0], [2], [1], [2]], "int32")


@dataclass(frozen=True)
class Built:
    """A network in float32 and channels_last, whose variables are all random, with an input for it.

    Attributes:
        net: its weights are `weights` whenever a test begins, and must be when it ends.
        x: (B, H, W, C) or (B, F).
        fresh: its outputs in training mode as it was initialised, before its variables were drawn anew.
        seen: `observe` of it, run eagerly.
    """

    net: keras.Model
    x: np.ndarray
    weights: list[np.ndarray]
    fresh: dict[str, np.ndarray]
    seen: dict[str, np.ndarray]

    def twin(self, description: Description, **options) -> keras.Model:
        """The same network with other options and the same weights."""
        net = description.make(**options)
        net.set_weights(self.weights)
        return net


@functools.cache
def built(description: Description) -> Built:
    """Builds a description's network."""
    keras.utils.set_random_seed(0)
    net = description.make()
    rng = np.random.default_rng(1)
    shape = net.spec.input_shape
    x = rng.standard_normal((BATCH, *shape[1:], shape[0])).astype("float32")
    fresh = outputs(net, x, training=True)
    for variable in net.variables:
        variable.assign(_drawn(rng, variable))
    weights = net.get_weights()
    seen = numbers(observe(net, tf.constant(x)))
    net.set_weights(weights)
    return Built(net, x, weights, numbers(fresh), seen)


def _drawn(rng: np.random.Generator, variable: keras.Variable) -> np.ndarray:
    """A value for a variable: what starts at zero or one would hide mistakes."""
    if variable.name == "in_rand":
        value = rng.standard_normal(variable.shape)
        return value / np.sqrt(np.sum(value**2) / len(value))
    low = 0.5 if variable.name in ("gamma", "scale", "moving_variance") else -0.5
    return rng.uniform(low, low + 1, variable.shape)


def outputs(net: keras.Model, x, training: bool = False, labels=LABELS) -> dict[str, tf.Tensor]:
    """A network's outputs by name."""
    found = net({"x": x, "y": tf.convert_to_tensor(labels)} if net.conditional else x, training=training)
    return found if isinstance(found, dict) else {"output": found}


def observe(net: keras.Model, x: tf.Tensor) -> dict[str, tf.Tensor]:
    """Outputs in both modes, gradients of the one in training, and the state after it; images as `net` wants them.

    Outputs and gradients of the input are given in channels_last.
    """
    inference = outputs(net, x)
    trainable = [variable.value for variable in net.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(x)
        training = outputs(net, x, training=True)
        value = tf.add_n([weighted_sum(relaid(y, net)) for y in training.values()])
    *gradients, of_input = tape.gradient(value, [*trainable, x])
    return {
        **{f"inference/{name}": relaid(y, net) for name, y in inference.items()},
        **{f"training/{name}": relaid(y, net) for name, y in training.items()},
        **{f"gradient/{v.path}": g for v, g in zip(net.trainable_variables, gradients, strict=True)},
        "gradient/input": relaid(of_input, net),
        **{f"{_kind(v)}/{v.path}": tf.convert_to_tensor(v) for v in net.non_trainable_variables},
    }


def _kind(state: keras.Variable) -> str:
    return "vector" if state.name == "in_rand" else "average"


def weighted_sum(y: tf.Tensor) -> tf.Tensor:
    """A number that depends on all entries of an output, on each in its own way."""
    return tf.reduce_sum(y * tf.reshape(tf.cos(tf.range(tf.size(y), dtype=y.dtype)), tf.shape(y)))


def relaid(images: tf.Tensor, net: keras.Model) -> tf.Tensor:
    """Images of a network in channels_last; what has no sides is left alone."""
    if net.data_format == "channels_first" and len(images.shape) == 4:
        return tf.transpose(images, (0, 2, 3, 1))
    return images


def as_wanted(x: np.ndarray, net: keras.Model) -> tf.Tensor:
    """Images of channels_last in the layout and precision of a network."""
    if net.data_format == "channels_first" and x.ndim == 4:
        x = x.transpose(0, 3, 1, 2)
    return tf.constant(x, net.variable_dtype)


def numbers(tensors: dict[str, tf.Tensor]) -> dict[str, np.ndarray]:
    """Tensors as arrays."""
    return {name: np.asarray(tensor) for name, tensor in tensors.items()}


def assert_close(found: dict, expected: dict, tolerance: float | dict[str, float]) -> None:
    """Compares what was seen, name by name, within a share of the largest number expected (or of 1).

    Args:
        found: by name, e.g. 'average/net/l/BN/moving_mean'.
        expected: as `found`.
        tolerance: one for all, or by the first part of the name.
    """
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        allowed = tolerance[name.split("/")[0]] if isinstance(tolerance, dict) else tolerance
        allowed *= max(1.0, float(np.max(np.abs(value))))
        np.testing.assert_allclose(np.asarray(found[name], "float64"), value, rtol=0, atol=allowed, err_msg=name)
