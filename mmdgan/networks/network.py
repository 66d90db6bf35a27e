"""From architecture dictionaries to Keras models.

A network is a `keras.Model` made of one block per layer dictionary, wired as the dictionary says. Its weights do
not depend on the data format it runs in: kernels are (k, k, in, out) ((k, k, out, in) for transposed convolutions)
and class tensors (classes, 1, 1, channels) in both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mmdgan.core.errors import ConfigError, DataError
from mmdgan.core.signatures import takes_options_of
from mmdgan.core.startup import check_tensorflow
from mmdgan.core.types import TensorLike
from mmdgan.design import NetworkSpec, Route, parse_architecture, parse_network
from mmdgan.layers.initializers import MODES
from mmdgan.layers.layout import channel_axis
from mmdgan.layers.linear import SPECTRAL_MODES, SpectralLayer
from mmdgan.networks.blocks import BLOCKS, batch_shape

PRECISIONS = {"float32": "float32", "bf16": "mixed_bfloat16", "fp16": "mixed_float16", "float64": "float64"}
"""Names of precisions, and the Keras dtype policies that they stand for."""
DATA_FORMATS = ("channels_first", "channels_last")
"""Memory layouts of images."""

_REGISTERED = "mmdgan>Network"

# The original's words for the same values.
_DATA_FORMAT_ALIASES = {"NCHW": "channels_first", "NHWC": "channels_last"}
_SPECTRAL_ALIASES = {"PICO": "pico", "default": "pico", "PIM": "pim", "sn_paper": "pim"}


@keras.saving.register_keras_serializable(package="mmdgan")
class Network(keras.Model):
    """Blocks in a chain or a graph; scores and images leave it in float32 (float64 for a float64 network).

    It takes a tensor, or with 2 classes or more {"x": tensor, "y": int labels (N, 1)}, and returns a tensor, or for
    several outputs {layer name: tensor}. A network without conditional layers does not need the labels.

    Args:
        layers: Layer dictionaries, or {"layers": [...], "links": [...], "outputs": [...]}.
        input_shape: (C, H, W) or (features,), without the batch.
        name: 'gen' or 'dis' for the two players: the prefix of every variable's name.
        num_class: Number of classes of conditional layers; below 2 the network is unconditional.
        data_format: Layout of images; None: channels_first if a GPU is visible, else channels_last.
        precision: float32, bf16 or fp16 (float32 master weights), or float64.
        spectral: 'pico' or 'pim', for the layers with ``w_nm: 's'``.
        initializer: 'default', 'sn_paper' or 'pg_paper'.
        legacy: Compute as released where that differs from the paper: the kernel of a label projection is then not
            divided by its spectral norm.

    Raises:
        DesignError: A dictionary that cannot be built.
        ConfigError: An option without such a value, or a process in which TensorFlow cannot work.
    """

    built: bool

    def __init__(
        self,
        layers: Sequence[dict] | Mapping,
        input_shape: Sequence[int],
        *,
        name: str = "net",
        num_class: int = 0,
        data_format: str | None = None,
        precision: str = "float32",
        spectral: str = "pico",
        initializer: str = "default",
        legacy: bool = False,
    ):
        check_tensorflow()
        _check("precision", precision, PRECISIONS)
        spectral = _SPECTRAL_ALIASES.get(spectral, spectral)
        _check("spectral", spectral, SPECTRAL_MODES)
        _check("initializer", initializer, MODES)
        super().__init__(name=name, dtype=PRECISIONS[precision])
        self.spec: NetworkSpec = parse_network(layers, tuple(input_shape), name=name, num_class=num_class)
        self.conditional = self.spec.conditional
        self.data_format = resolve_data_format(data_format)
        self.precision = precision
        self.spectral = spectral
        self.initializer = initializer
        self.legacy = legacy
        options = {
            "data_format": self.data_format,
            "spectral": spectral,
            "initializer": initializer,
            "legacy": legacy,
            "dtype": self.dtype_policy,
        }
        self.blocks = [BLOCKS[spec.type](spec, **options) for spec in self.spec.layers]
        self.build(batch_shape(self.spec.input_shape, self.data_format))

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        for block in self.blocks:
            block.build(batch_shape(block.spec.input_shape, self.data_format))
        self.built = True

    def __call__(self, inputs: TensorLike, *args: Any, **kwargs: Any) -> tf.Tensor:
        # Checked here, because Keras rewrites what `call` raises.
        self._check_inputs(*_features_and_labels(inputs))
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: TensorLike, training: bool = False) -> tf.Tensor:
        x, labels = _features_and_labels(inputs)
        x = tf.cast(x, self.compute_dtype)
        labels = tf.convert_to_tensor(labels) if self.conditional else None
        results: list[tf.Tensor] = []
        for block, route in zip(self.blocks, self.spec.routes, strict=True):
            sources = [x if source < 0 else results[source] for source in route.sources]
            results.append(block(self._join(sources, route), labels=labels, training=training))
        outputs = {self.blocks[i].name: tf.cast(results[i], self.variable_dtype) for i in self.spec.outputs}
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch = (input_shape["x"] if isinstance(input_shape, Mapping) else input_shape)[0]
        shapes = {
            name: (batch, *batch_shape(shape, self.data_format)[1:]) for name, shape in self.spec.output_shapes.items()
        }
        return shapes if len(shapes) > 1 else next(iter(shapes.values()))

    def save(self, filepath: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.save`; HDF5 files name the class by its registered name, so that Keras finds it again."""
        super().save(filepath, *args, **kwargs)
        if str(filepath).endswith((".h5", ".hdf5")):
            import h5py  # a requirement of Keras

            with h5py.File(filepath, "r+") as file:
                config = {**json.loads(file.attrs["model_config"]), "class_name": _REGISTERED}
                file.attrs["model_config"] = json.dumps(config)

    def export(
        self,
        filepath: str | os.PathLike,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """As `keras.Model.export`, of inference, for batches of any size; the network need not have been called."""
        signature = [self._input_signature()] if input_signature is None else input_signature
        super().export(str(filepath), format, verbose, signature, **kwargs)

    def spectral_layers(self) -> dict[str, SpectralLayer]:
        """Returns the layers with a spectral norm by name: 'dis/l1_f32/kernel'."""
        return {
            f"{self.name}/{block.name}/{slot}": layer
            for block in self.blocks
            for slot, layer in block.sublayers.items()
            if isinstance(layer, SpectralLayer) and layer.spectral
        }

    def sigmas(self) -> dict[str, tf.Tensor]:
        """Returns the spectral norm of each normalised kernel, or of each of its classes, as its vector sees it."""
        return {name: layer.normalise()[1] for name, layer in self.spectral_layers().items()}

    def couples_batch(self) -> bool:
        """Whether an output depends on other samples of the batch (batch normalisation)."""
        return any(part.op in ("bn", "cbn") for spec in self.spec.layers for part in spec.parts)

    def get_config(self) -> dict:
        return {
            "layers": self.spec.config,
            "input_shape": list(self.spec.input_shape),
            "name": self.name,
            "num_class": self.spec.num_class,
            "data_format": self.data_format,
            "precision": self.precision,
            "spectral": self.spectral,
            "initializer": self.initializer,
            "legacy": self.legacy,
        }

    @property
    def _default_save_signature(self) -> Any:
        """What `tf.saved_model.save` asks of a Keras model; Keras's own would take labels as floats."""
        return tf.function(lambda inputs: self(inputs), input_signature=[self._input_signature()], autograph=False)

    def _input_signature(self) -> Any:
        shape = batch_shape(self.spec.input_shape, self.data_format)
        x = tf.TensorSpec(shape, self.variable_dtype, "x")
        return {"x": x, "y": tf.TensorSpec((None, 1), tf.int32, "y")} if self.conditional else x

    def _check_inputs(self, x: TensorLike, labels: TensorLike) -> None:
        shape, expected = _shape(x), batch_shape(self.spec.input_shape, self.data_format)
        if not tf.TensorShape(shape).is_compatible_with(expected):
            raise DataError(f"The network {self.name!r} takes inputs of shape {expected}, not {shape}.")
        if not self.conditional:
            return
        if labels is None:
            raise DataError(
                f"The network {self.name!r} is conditional on {self.spec.num_class} classes: call it with "
                '{"x": tensor, "y": int labels (N, 1)}.'
            )
        check_labels(labels, self.spec.num_class, f"the network {self.name!r}")
        if not tf.TensorShape(_shape(labels)).is_compatible_with((shape[0], 1)):
            owner = f"Labels of the network {self.name!r}"
            raise DataError(f"{owner} must be integers of shape ({shape[0] or 'N'}, 1), not {_shape(labels)}.")

    def _join(self, sources: Sequence[tf.Tensor], route: Route) -> tf.Tensor:
        """The input of a layer: of one source or several, whole or one slice of its channels."""
        x = sources[0]
        axis = channel_axis(x.shape.rank, self.data_format)
        if len(sources) > 1:
            x = tf.concat(sources, axis) if route.how == "concat" else tf.add_n(list(sources))
        return x if route.pieces == 1 else tf.split(x, route.pieces, axis)[route.piece]


@takes_options_of(Network)
def build_network(
    layer_dicts: Sequence[dict] | Mapping,
    input_shape: Sequence[int],
    name: str = "net",
    num_class: int = 0,
    **options: Any,
) -> Network:
    """Builds a network from layer dictionaries; options (data_format, ...), defaults and errors as `Network`."""
    return Network(layer_dicts, input_shape, name=name, num_class=num_class, **options)


@takes_options_of(Network, "name")
def build_generator(architecture: dict, num_class: int = 0, **options: Any) -> Network:
    """Builds the generator 'gen' of an architecture: codes (N, code) -> images in [-1, 1], float32.

    Images are (N, H, W, C), or (N, C, H, W) with ``data_format="channels_first"``. Options as `Network`.

    Raises:
        DesignError: The architecture cannot be built; both networks are checked.
    """
    return _build_player(parse_architecture(architecture, num_class)[0], options)


@takes_options_of(Network, "name")
def build_discriminator(architecture: dict, num_class: int = 0, **options: Any) -> Network:
    """Builds the critic 'dis' of an architecture: images -> scores (N, d), float32.

    Options and errors as `build_generator`.
    """
    return _build_player(parse_architecture(architecture, num_class)[1], options)


def resolve_data_format(data_format: str | None) -> str:
    """Returns the layout to run in: as asked, or channels_first exactly if a GPU is visible."""
    if data_format is None:
        return "channels_first" if tf.config.list_physical_devices("GPU") else "channels_last"
    data_format = _DATA_FORMAT_ALIASES.get(data_format, data_format)
    _check("data_format", data_format, DATA_FORMATS)
    return data_format


def check_labels(labels: TensorLike, num_class: int, owner: str) -> None:
    """Refuses class labels that are not integers, or, where their values are known, not below `num_class`.

    Raises:
        DataError: Names `owner`.
    """
    dtype = keras.backend.standardize_dtype(getattr(labels, "dtype", None) or np.asarray(labels).dtype)
    if "int" not in dtype:
        raise DataError(f"Labels of {owner} must be integers of shape (N, 1), not {dtype} {_shape(labels)}.")
    if isinstance(labels, keras.KerasTensor) or (tf.is_tensor(labels) and not hasattr(labels, "numpy")):
        return  # symbolic: the values come later
    values = np.asarray(labels)
    if values.size and not 0 <= values.min() <= values.max() < num_class:
        raise DataError(f"Labels of {owner} must lie in 0..{num_class - 1}, not {values.min()}..{values.max()}.")


def _features_and_labels(inputs: TensorLike) -> tuple:
    return (inputs["x"], inputs.get("y")) if isinstance(inputs, Mapping) else (inputs, None)


def _shape(x: TensorLike) -> tuple:
    """The static shape of an array, a tensor or a symbolic one."""
    return tuple(x.shape) if hasattr(x, "shape") else np.shape(x)


def _build_player(spec: NetworkSpec, options: dict) -> Network:
    return build_network(spec.config, spec.input_shape, spec.name, spec.num_class, **options)


def _check(field: str, value: str, valid: Iterable[str]) -> None:
    if value not in valid:
        raise ConfigError(f"{field} {value!r} is not one of {', '.join(valid)}.")
