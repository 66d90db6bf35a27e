"""Features of any Keras network: one of keras.applications or of keras-hub, or the user's own file.

`keras:NAME` is a network of keras.applications with its ImageNet weights, its own preprocessing and its default input
size: features are the average pool before the classifier, logits the classifier's outputs before the softmax.

`dinov2`, `clip` and `hub:PRESET` are backbones of keras-hub (the extra mmdgan[hub]) with the preset's own scaling: the
normalised class token of a vision transformer, the projected embedding of CLIP's images, or an average pool. PRESET may
be a folder that `save_to_preset` of a backbone and of an image converter has written.

`keras:PATH.keras` (or .h5) is the user's network. It takes images (N, H, W, C) as float32 in [0, 255], at its input's
size or, where that is open, at their own; so preprocessing is part of it. It returns features (N, F), or features and
logits (N, K), as a pair or as a dictionary of these names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from mmdgan.core.errors import MetricError
from mmdgan.core.network import download_timeout
from mmdgan.core.text import closest, first_line
from mmdgan.metrics.features.extractor import (
    METHODS,
    Extractor,
    check_method,
    digest_arrays,
    resize_images,
)

if TYPE_CHECKING:
    import keras

PREFIX, HUB_PREFIX = "keras:", "hub:"
HUB_PRESETS = {"dinov2": "dinov2_large", "clip": "clip_vit_large_patch14_336"}
"""The networks of keras-hub that have a name of their own: those of dgm-eval (Stein et al. 2023) and of CMMD."""
SUFFIXES = (".keras", ".h5")
_BATCH_PIXELS = 100 * 299 * 299  # of the prepared images that are run at a time, as Inception's
_OPEN_SIDE = 224  # where a network's input has no size: that of a trial, and of the MobileNetV3 of keras.applications


class KerasFeatures(Extractor):
    """The extractor of a Keras network; its label is as users name it, but "keras:STEM" or "hub:STEM" of a path."""

    def __init__(self, what: str, resize: str | None = None) -> None:
        """Loads the network and tries it on one image, so that what is missing or does not fit shows at once.

        Args:
            what: "keras:NAME", "keras:PATH", "dinov2", "clip" or "hub:PRESET", as above.
            resize: One of `METHODS`, which brings images to the network's size; None for "clean".

        Raises:
            MetricError: There is no such network, or its inputs or outputs have another form.
        """
        self.resize = check_method(resize or "clean")
        name = what.removeprefix(PREFIX)
        hub = what in HUB_PRESETS or what.startswith(HUB_PREFIX)
        if hub:
            preset = HUB_PRESETS.get(what, what.removeprefix(HUB_PREFIX))
            self._source, stem = f"keras-hub {preset}", Path(preset).name
            model, prepare = _load_hub(preset)
        elif name.lower().endswith(SUFFIXES):
            self._source, stem = name, Path(name).stem
            model, prepare = _load_file(Path(name)), None
        else:
            self._source, stem = f"keras.applications {name}, ImageNet weights", name
            model, prepare = _load_application(name)
        self.label = what if what in HUB_PRESETS else f"{HUB_PREFIX if hub else PREFIX}{stem}"
        self._input_shape = self._checked_input(model, _OPEN_SIDE if prepare else None)
        try:
            self._model, self._preprocess = model, prepare
            shape = (1, *(side or _OPEN_SIDE for side in self._input_shape))
            features, logits = self._compute(tf.zeros(shape, tf.uint8))
        except MetricError:
            raise
        except Exception as error:  # a user's network may raise anything
            raise MetricError(f"The network {self._source} does not run on images: {first_line(error)}") from error
        self.feature_count, self.logit_count = int(features.shape[1]), int(logits.shape[1])
        height, width = (side or 0 for side in self._input_shape[:2])
        self.batch_size = int(np.clip(_BATCH_PIXELS // max(1, height * width), 1, 100))
        # Keras numbers the layers of its own networks, so that their configuration tells what was built before.
        kind = self._source if prepare else model.to_json()
        self._hash = digest_arrays([np.frombuffer(kind.encode(), np.uint8), *model.get_weights()])
        size = f"{METHODS[self.resize]} to {height or 'any'}x{width or 'any'}"
        size = size if height or width else "none: the network takes any size"
        self._resize_text = size + (", grey repeated to 3 channels" if self._input_shape[-1] == 3 else "")

    def _check_channels(self, channels: int) -> None:
        if channels not in (1, self._input_shape[-1]):
            raise MetricError(
                f"The network {self._source} takes images of {self._input_shape[-1]} channel, not {channels}: name "
                "another one with --features."
            )

    def _checked_input(self, model: keras.Model, side: int | None) -> tuple[int | None, int | None, int]:
        """(H, W, C) of the network's input; `side` where H and W are open."""
        shape = getattr(model, "input_shape", None)
        if not isinstance(shape, tuple) or len(shape) != 4 or shape[-1] not in (1, 3):
            raise MetricError(
                f"The network {self._source} takes {shape}; features need one input of images (N, H, W, 1 or 3)."
            )
        return shape[1] or side, shape[2] or side, shape[3]

    def _compute(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # A side that the network leaves open is the images' own.
        (height, width, channels), (own_height, own_width) = self._input_shape, images.shape[1:3]
        resized = resize_images(images, (height or own_height, width or own_width), self.resize)
        if images.shape[-1] < channels:
            resized = tf.repeat(resized, 3, axis=-1)
        return self._outputs(self._model(self._preprocess(resized) if self._preprocess else resized, training=False))

    def _outputs(self, outputs: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Features (n, F) and logits (n, K) of what a network returns."""
        names = ("features", "logits")
        named = isinstance(outputs, dict)
        if named:
            parts = [outputs[name] for name in names[: len(outputs)] if name in outputs]
        else:
            parts = [*outputs] if isinstance(outputs, list | tuple) else [outputs]
        if (
            not 1 <= len(parts) <= 2
            or any(len(part.shape) != 2 for part in parts)
            or named
            and len(parts) < len(outputs)
        ):
            shapes = [tuple(part.shape[1:]) for part in (outputs.values() if named else parts)]
            found = f"{sorted(outputs)} of the shapes {shapes}" if named else f"the shapes {shapes}"
            raise MetricError(
                f"The network {self._source} returns {found} for each image; it must return features (F,), or features "
                'and logits (K,), as a pair or as a dictionary {"features", "logits"}.'
            )
        features = tf.cast(parts[0], tf.float32)
        logits = tf.cast(parts[1], tf.float32) if len(parts) == 2 else tf.zeros_like(features)[:, :0]
        return features, logits


def application_names() -> list[str]:
    """The networks of keras.applications."""
    import keras

    return [name for name, made in vars(keras.applications).items() if name[:1].isupper() and callable(made)]


def _load_application(name: str) -> tuple[keras.Model, Callable]:
    """A network of keras.applications with features and logits as outputs, and its preprocessing."""
    import keras

    names = application_names()
    if name not in names:
        near = closest(name, names)
        hint = f"did you mean {PREFIX}{near}? " if near else ""
        raise MetricError(
            f"There is no network {name!r} in keras.applications: {hint}The names are {', '.join(sorted(names))}; "
            "one of your own is named by its file, keras:PATH.keras."
        )
    build = getattr(keras.applications, name)
    try:
        with download_timeout():
            model = build(weights="imagenet", classifier_activation=None)
    except Exception as error:  # Keras raises the base class when it cannot download
        home, reason = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras"), first_line(error).rstrip(".")
        raise MetricError(
            f"The ImageNet weights of {name} cannot be loaded ({reason}): connect to the network, put that file into "
            f"{home / 'models'}, or give a network of your own as keras:PATH.keras."
        ) from error
    return _with_features(model), sys.modules[build.__module__].preprocess_input


def _with_features(model: keras.Model) -> keras.Model:
    """A classifier with features and logits as outputs: the last average pool, and what it returns."""
    from keras import Model, layers

    pools = [layer for layer in model.layers if isinstance(layer, layers.GlobalAveragePooling2D)]
    if pools:
        features = pools[-1].output
    else:  # VGG: the map that its first dense layer takes
        flat = next(layer for layer in reversed(model.layers) if isinstance(layer, layers.Flatten))
        features = layers.GlobalAveragePooling2D(name="features_pool", dtype="float32")(flat.input)
    if len(features.shape) > 2:
        features = layers.Flatten(name="features_flat", dtype="float32")(features)
    return Model(model.input, [features, model.output], name=f"{model.name}_features")


def _load_hub(preset: str) -> tuple[keras.Model, Callable]:
    """A backbone of keras-hub with features (N, F) as outputs, and its scaling of brightness values."""
    import keras

    try:
        import keras_hub
    except ImportError as error:
        raise MetricError(
            f"The network {preset} needs keras-hub (Python 3.11 or newer, Keras 3.15 or newer): install it by "
            'python -m pip install "mmdgan[hub]", or choose other --features.'
        ) from error
    try:
        with download_timeout():
            # DINOv2 is evaluated on 224 pixels, not on those of its training: it interpolates its positions.
            sides = {"image_shape": (_OPEN_SIDE, _OPEN_SIDE, 3)} if preset.startswith("dinov2_") else {}
            backbone = keras_hub.models.Backbone.from_preset(preset, **sides)
            converter = keras_hub.layers.ImageConverter.from_preset(preset)
    except Exception as error:  # its downloaders raise errors of their own
        raise MetricError(
            f"The weights of {preset} cannot be loaded ({first_line(error).rstrip('.')}): connect to Kaggle or Hugging "
            "Face, give a folder of the preset as hub:FOLDER, or choose other --features."
        ) from error
    scale = np.float32(1 if converter.scale is None else converter.scale)
    offset = np.float32(0 if converter.offset is None else converter.offset)
    if hasattr(backbone, "get_vision_embeddings"):
        images = keras.Input(backbone.vision_encoder.image_shape, name="images")
        features = backbone.get_vision_embeddings(images)
    else:
        images, features = backbone.inputs[0], backbone.output
        if len(features.shape) == 3:
            features = features[:, 0]
        elif len(features.shape) == 4:
            features = keras.layers.GlobalAveragePooling2D()(features)
    return keras.Model(images, features, name=f"{backbone.name}_features"), lambda resized: resized * scale + offset


def _load_file(path: Path) -> keras.Model:
    import keras

    if not path.is_file():
        raise MetricError(f"There is no network at {path}: --features keras:PATH names a .keras or .h5 file.")
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # what Keras raises for damaged files is not confined to any list
        raise MetricError(
            f"The network {path} cannot be loaded ({first_line(error).rstrip('.')}): save it by "
            "model.save('NAME.keras'), made of Keras' own layers."
        ) from error
