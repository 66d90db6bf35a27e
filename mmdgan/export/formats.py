"""The formats of an exported network: how each is written, and how it is run again.

A file computes the network in inference: float32, channels_last, any batch size. A generator takes `codes` (N, code)
and gives `images` (N, H, W, C) in [-1, 1]; a critic takes `images` and gives `scores` (N, d). Conditional networks also
take `labels`, int32 (N,). Only a critic in the Keras format is called as in mmdgan, with
{"x": images, "y": labels (N, 1)}. TensorFlow is imported only when a network is written or run.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mmdgan.core.errors import ConfigError
from mmdgan.core.files import literal
from mmdgan.core.progress import quiet_loggers

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from mmdgan.networks.network import Network

OPSET = 17
"""Operator set of ONNX: old enough for every runtime of these years, new enough for all our operations."""


@dataclass(frozen=True)
class InferenceNetwork:
    """A network to export.

    Attributes:
        net: The network in float32 and channels_last.
        role: "generator" or "critic".
    """

    net: Network
    role: str

    @property
    def input_name(self) -> str:
        """Name of the first input."""
        return "codes" if self.role == "generator" else "images"

    @property
    def output_name(self) -> str:
        """Name of the output."""
        return "images" if self.role == "generator" else "scores"

    def plain(self) -> keras.Model:
        """Returns the model of standard Keras layers; a ConfigError says that there is none."""
        from mmdgan.export.plain import plain_model

        return plain_model(self.net, self.role, self.input_name)

    def run(self, x: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """Returns the network's own outputs for x and labels (N,)."""
        return self.net(x if labels is None else {"x": x, "y": labels[:, None]}, training=False).numpy()

    def feed(self, x: np.ndarray, labels: np.ndarray | None) -> dict[str, np.ndarray]:
        """Returns the inputs by name."""
        return {self.input_name: x} | ({} if labels is None else {"labels": labels})

    def function(self) -> tuple[tf.types.experimental.PolymorphicFunction, list[tf.Variable]]:
        """Returns a function of named inputs that gives {output name: tensor}, and the variables that it reads.

        It computes with standard layers, whose kernels are already divided by their spectral norms, or where these are
        not possible with the network's own.
        """
        import tensorflow as tf

        from mmdgan.networks.blocks import batch_shape

        shape = batch_shape(self.net.spec.input_shape, "channels_last")
        signature = [tf.TensorSpec(shape, tf.float32, name=self.input_name)]
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


def write_keras(network: InferenceNetwork, path: Path) -> None:
    """Writes a generator in standard layers, or a critic with the layers of mmdgan, which can be trained further.

    Raises:
        ConfigError: A part of a generator has no equivalent in standard layers.
    """
    (network.plain() if network.role == "generator" else network.net).save(path)


def run_keras(network: InferenceNetwork, path: Path, x: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """Returns the outputs of the file for x and labels (N,)."""
    import keras

    model = keras.saving.load_model(path, compile=False)
    if labels is None:
        return model(x).numpy()
    return model({"x": x, "y": labels[:, None]} if network.role == "critic" else [x, labels]).numpy()


def write_saved_model(network: InferenceNetwork, path: Path) -> None:
    """Writes a SavedModel with the signature serving_default."""
    import tensorflow as tf

    module = tf.Module()
    module.compute, module.kept = network.function()
    with quiet_loggers("tensorflow", "absl"):
        signatures = {"serving_default": module.compute.get_concrete_function()}
        tf.saved_model.save(module, str(path), signatures=signatures)


def run_saved_model(network: InferenceNetwork, path: Path, x: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """Returns the outputs of the SavedModel for x and labels (N,)."""
    import tensorflow as tf

    with literal(path) as place:
        serve = tf.saved_model.load(place).signatures["serving_default"]
    inputs = {name: tf.constant(value) for name, value in network.feed(x, labels).items()}
    return serve(**inputs)[network.output_name].numpy()


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


def write_onnx(network: InferenceNetwork, path: Path) -> None:
    """Writes an ONNX file.

    Raises:
        ConfigError: The packages for it are missing.
    """
    check_onnx()
    import onnx
    import tf2onnx

    function, _ = network.function()
    with quiet_loggers("tf2onnx"):
        model, _ = tf2onnx.convert.from_function(function, function.input_signature, opset=OPSET)
    [output] = model.graph.output
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [network.output_name if name == output.name else name for name in names]
    output.name = network.output_name
    del model.graph.value_info[:]
    for tensor in (*model.graph.input, output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    model.graph.name = network.role
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def run_onnx(network: InferenceNetwork, path: Path, x: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """Returns the outputs of the file for x and labels (N,)."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run([network.output_name], network.feed(x, labels))[0]


class Format(NamedTuple):
    """A format.

    Attributes:
        ending: Ending of the file's name; "" for the folder of a SavedModel.
        library: Name that Hugging Face has for it.
        write: Writes a network to a path.
        run: Returns the outputs of what was written, for x and labels (N,) or None.
    """

    ending: str
    library: str
    write: Callable[[InferenceNetwork, Path], None]
    run: Callable[[InferenceNetwork, Path, np.ndarray, np.ndarray | None], np.ndarray]


FORMATS = {
    "keras": Format(".keras", "keras", write_keras, run_keras),
    "savedmodel": Format("", "tensorflow", write_saved_model, run_saved_model),
    "onnx": Format(".onnx", "onnx", write_onnx, run_onnx),
}
