"""The three forms of an exported network: how each is written, and how it is run again.

What a file computes is the network in inference: float32, channels_last, any batch size. A generator takes `codes`
(N, code) and gives `images` (N, H, W, C) in [-1, 1]; a critic takes `images` and gives `scores` (N, d). Conditional
networks take `labels` besides, int32 (N,); only a critic in the Keras form is called as in mmdgan, with
{"x": images, "y": labels (N, 1)}.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from mmdgan.core.errors import ConfigError
from mmdgan.export.plain import plain_model
from mmdgan.networks.network import Network

OPSET = 17
"""Of ONNX: old enough for every runtime of these years, new enough for all our operations."""


@dataclass(frozen=True)
class Subject:
    """A network to be exported.

    Attributes:
        net: in float32 and channels_last.
        role: "generator" or "critic".
    """

    net: Network
    role: str

    @property
    def input_name(self) -> str:
        """Of the first input."""
        return "codes" if self.role == "generator" else "images"

    @property
    def output_name(self) -> str:
        """Of the output."""
        return "images" if self.role == "generator" else "scores"

    def plain(self) -> keras.Model:
        """The model of standard Keras layers; ConfigError if there is none."""
        return plain_model(self.net, self.role, self.input_name)

    def run(self, x: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """What the network itself gives for x and labels (N,)."""
        inputs = x if labels is None else {"x": x, "y": labels[:, None]}
        return np.asarray(self.net(inputs, training=False))

    def function(self) -> tuple[tf.types.experimental.PolymorphicFunction, list[tf.Variable]]:
        """A function of named inputs that gives {output name: tensor}, and the variables that it reads.

        It is that of the standard layers, whose kernels are already divided by their spectral norms, or where these
        cannot be had the network's own.
        """
        signature = [tf.TensorSpec((None, *self._input_shape()), tf.float32, name=self.input_name)]
        if self.net.conditional:
            signature.append(tf.TensorSpec((None,), tf.int32, name="labels"))
        try:
            model = self.plain()
        except ConfigError:
            model = self.net

        def compute(x: Any, labels: Any = None) -> Any:
            if model is self.net:
                inputs = x if labels is None else {"x": x, "y": labels[:, None]}
            else:
                inputs = x if labels is None else [x, labels]
            return {self.output_name: model(inputs, training=False)}

        return tf.function(compute, input_signature=signature, autograph=False), [v.value for v in model.variables]

    def _input_shape(self) -> tuple[int, ...]:
        shape = self.net.spec.input_shape
        return shape if len(shape) == 1 else (*shape[1:], shape[0])


def write_keras(subject: Subject, path: Path) -> None:
    """Writes a generator in standard layers, a critic with mmdgan's own, which can be trained on.

    Raises:
        ConfigError: a part of a generator that cannot be written in standard layers.
    """
    (subject.plain() if subject.role == "generator" else subject.net).save(path)


def run_keras(subject: Subject, path: Path, x: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """What the file gives for x and labels (N,)."""
    model = keras.saving.load_model(path, compile=False)
    if subject.role == "critic":
        return np.asarray(model(x if labels is None else {"x": x, "y": labels[:, None]}))
    return np.asarray(model(x if labels is None else [x, labels]))


def write_saved_model(subject: Subject, path: Path) -> None:
    """Writes a SavedModel with the signature serving_default."""
    function, variables = subject.function()
    module = tf.Module()
    module.kept = variables
    module.compute = function
    with _quiet("tensorflow", "absl"):
        signatures = {"serving_default": function.get_concrete_function()}
        tf.saved_model.save(module, str(path), signatures=signatures)


def run_saved_model(subject: Subject, path: Path, x: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """What the SavedModel gives for x and labels (N,)."""
    loaded = tf.saved_model.load(str(path))
    inputs = {name: tf.constant(value) for name, value in _feed(subject, x, labels).items()}
    return loaded.signatures["serving_default"](**inputs)[subject.output_name].numpy()


def check_onnx() -> None:
    """Raises a ConfigError unless the packages for ONNX are installed."""
    for package in ("onnx", "onnxruntime", "tf2onnx"):
        try:
            importlib.import_module(package)
        except ImportError:
            raise ConfigError(
                f"format onnx needs the package {package}, which is not installed: pip install mmdgan[onnx], or choose "
                "the format keras or savedmodel."
            ) from None


def write_onnx(subject: Subject, path: Path) -> None:
    """Writes an ONNX file.

    Raises:
        ConfigError: the packages for it are missing.
    """
    check_onnx()
    import onnx
    import tf2onnx

    function, _ = subject.function()
    with _quiet("tf2onnx"):
        model, _ = tf2onnx.convert.from_function(function, function.input_signature, opset=OPSET)
    [output] = model.graph.output
    for node in model.graph.node:
        node.input[:] = [subject.output_name if name == output.name else name for name in node.input]
        node.output[:] = [subject.output_name if name == output.name else name for name in node.output]
    output.name = subject.output_name
    del model.graph.value_info[:]
    for tensor in (*model.graph.input, output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    model.graph.name = subject.role
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def run_onnx(subject: Subject, path: Path, x: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """What the file gives for x and labels (N,)."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run([subject.output_name], _feed(subject, x, labels))[0]


class Form(NamedTuple):
    """How one form is written, and run."""

    write: Callable[[Subject, Path], None]
    run: Callable[[Subject, Path, np.ndarray, np.ndarray | None], np.ndarray]


FORMS = {
    "keras": Form(write_keras, run_keras),
    "savedmodel": Form(write_saved_model, run_saved_model),
    "onnx": Form(write_onnx, run_onnx),
}


def _feed(subject: Subject, x: np.ndarray, labels: np.ndarray | None) -> dict[str, np.ndarray]:
    return {subject.input_name: x} | ({} if labels is None else {"labels": labels})


@contextlib.contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Within the block, these loggers say errors only."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
