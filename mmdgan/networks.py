"""From architecture dictionaries to Keras models.

A network is a `keras.Model` made of one `Block` per layer dictionary. Its weights do not depend on the data
format it runs in: kernels are (k, k, in, out) ((k, k, out, in) for transposed convolutions) in both.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from mmdgan.design import NetworkSpec, parse_architecture, parse_network
from mmdgan.errors import ConfigError
from mmdgan.layers.blocks import Block, batch_shape
from mmdgan.layers.initializers import MODES
from mmdgan.layers.linear import SPECTRAL_MODES, SpectralLayer

PRECISIONS = {
    "float32": "float32",
    "bf16": "mixed_bfloat16",
    "fp16": "mixed_float16",
    "float64": "float64",
}
DATA_FORMATS = ("channels_first", "channels_last")


@keras.saving.register_keras_serializable(package="mmdgan")
class Network(keras.Model):
    """A chain of blocks; scores and images leave it in float32 (float64 for a float64 network).

    Args:
        layers: layer dictionaries.
        input_shape: (C, H, W) or (features,), without the batch.
        name: 'gen' or 'dis' for the two players: the prefix of every variable's name.
        num_class: number of classes; with 2 or more the model takes {"x": tensor, "y": int labels (N, 1)}.
        data_format: layout of images; None: channels_first if a GPU is visible, else channels_last.
        precision: float32, bf16 or fp16 (float32 master weights), or float64.
        spectral: 'pico' or 'pim', for the layers with ``w_nm: 's'``.
        initializer: 'default', 'sn_paper' or 'pg_paper'.

    Raises:
        DesignError: a dictionary that cannot be built.
        ConfigError: an option with no such value.
    """

    def __init__(
        self,
        layers: Sequence[dict],
        input_shape: Sequence[int],
        *,
        name: str = "net",
        num_class: int = 0,
        data_format: str | None = None,
        precision: str = "float32",
        spectral: str = "pico",
        initializer: str = "default",
    ):
        _check("precision", precision, PRECISIONS)
        _check("spectral", spectral, SPECTRAL_MODES)
        _check("initializer", initializer, MODES)
        super().__init__(name=name, dtype=PRECISIONS[precision])
        self.spec: NetworkSpec = parse_network(layers, tuple(input_shape), name=name, num_class=num_class)
        self.data_format = resolve_data_format(data_format)
        self.precision = precision
        self.spectral = spectral
        self.initializer = initializer
        self.blocks = [
            Block(
                spec,
                data_format=self.data_format,
                spectral=spectral,
                initializer=initializer,
                dtype=self.dtype_policy,
            )
            for spec in self.spec.layers
        ]
        self.build(batch_shape(self.spec.input_shape, self.data_format))

    def build(self, input_shape=None):
        if self.built:
            return
        for block in self.blocks:
            block.build(batch_shape(block.spec.input_shape, self.data_format))
        self.built = True

    def call(self, inputs, training=False):
        x = inputs["x"] if isinstance(inputs, dict) else inputs
        x = tf.cast(x, self.compute_dtype)
        for block in self.blocks:
            x = block(x, training=training)
        return tf.cast(x, self.variable_dtype)

    def compute_output_shape(self, input_shape):
        return (_batch_of(input_shape), *batch_shape(self.spec.output_shape, self.data_format)[1:])

    def spectral_layers(self) -> dict[str, SpectralLayer]:
        """Returns the layers with a spectral norm by name: 'dis/l1_f32/kernel'."""
        return {
            f"{self.name}/{block.name}/{layer.name}": layer
            for block in self.blocks
            for layer in block._flatten_layers(include_self=False)
            if isinstance(layer, SpectralLayer) and layer.spectral
        }

    def sigmas(self) -> dict[str, tf.Tensor]:
        """Returns each normalised kernel's spectral norm as its present vector sees it."""
        return {name: layer.normalise()[1] for name, layer in self.spectral_layers().items()}

    def couples_batch(self) -> bool:
        """Whether an output depends on other samples of the batch (batch normalisation)."""
        return any(spec.act_nm == "bn" for spec in self.spec.layers)

    def get_config(self) -> dict:
        return {
            "layers": self.spec.layer_dicts,
            "input_shape": list(self.spec.input_shape),
            "name": self.name,
            "num_class": self.spec.num_class,
            "data_format": self.data_format,
            "precision": self.precision,
            "spectral": self.spectral,
            "initializer": self.initializer,
        }


def build_network(
    layer_dicts: Sequence[dict], input_shape: Sequence[int], name: str = "net", num_class: int = 0, **options
) -> Network:
    """Builds a network from layer dictionaries; options (data_format, ...), defaults and errors as `Network`."""
    return Network(layer_dicts, input_shape, name=name, num_class=num_class, **options)


def build_generator(architecture: dict, num_class: int = 0, **options) -> Network:
    """Builds the generator 'gen' of an architecture: codes (N, code) -> images in [-1, 1], float32.

    Images are (N, H, W, C), or (N, C, H, W) with ``data_format="channels_first"``. Options as `Network`.

    Raises:
        DesignError: the architecture cannot be built; both networks are checked.
    """
    return _build_player(parse_architecture(architecture, num_class)[0], options)


def build_discriminator(architecture: dict, num_class: int = 0, **options) -> Network:
    """Builds the critic 'dis' of an architecture: images -> scores (N, d), float32.

    Options and errors as `build_generator`.
    """
    return _build_player(parse_architecture(architecture, num_class)[1], options)


def resolve_data_format(data_format: str | None) -> str:
    """Returns the layout to run in: as asked, or channels_first exactly if a GPU is visible."""
    if data_format is None:
        return "channels_first" if tf.config.list_physical_devices("GPU") else "channels_last"
    _check("data_format", data_format, DATA_FORMATS)
    return data_format


def _build_player(spec: NetworkSpec, options: dict) -> Network:
    return build_network(spec.layer_dicts, spec.input_shape, spec.name, spec.num_class, **options)


def _batch_of(shape) -> int | None:
    return (shape["x"] if isinstance(shape, dict) else shape)[0]


def _check(field: str, value: str, valid) -> None:
    if value not in valid:
        raise ConfigError(f"{field} {value!r} is not one of {', '.join(valid)}.")
