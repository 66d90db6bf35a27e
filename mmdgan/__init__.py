"""MMD-GANs in TensorFlow 2 and Keras 3: repulsive losses, PICO spectral normalisation, scores one can trust.

After "Improving MMD-GAN Training with Repulsive Loss Function" (Wang, Sun, Halgamuge; ICLR 2019). Importing
this package does not import TensorFlow; the names below load what they need. With it imported,
`keras.saving.load_model` restores every network and layer of its.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mmdgan import keras_names

if TYPE_CHECKING:  # for checkers and editors; at run time names load on first use
    from mmdgan import (
        data as data,
        design as design,
        layers as layers,
        losses as losses,
        metrics as metrics,
        networks as networks,
        tf1 as tf1,
        training as training,
    )
    from mmdgan.design import load_architecture as load_architecture
    from mmdgan.errors import (
        CheckpointError as CheckpointError,
        ConfigError as ConfigError,
        DataError as DataError,
        DesignError as DesignError,
        MetricError as MetricError,
        MmdGanError as MmdGanError,
    )
    from mmdgan.networks import (
        build_discriminator as build_discriminator,
        build_generator as build_generator,
        build_network as build_network,
    )

__version__ = "0.1.0"

_EXPORTS = {
    "load_architecture": "mmdgan.design",
    "build_generator": "mmdgan.networks",
    "build_discriminator": "mmdgan.networks",
    "build_network": "mmdgan.networks",
    "MmdGanError": "mmdgan.errors",
    "DesignError": "mmdgan.errors",
    "DataError": "mmdgan.errors",
    "CheckpointError": "mmdgan.errors",
    "MetricError": "mmdgan.errors",
    "ConfigError": "mmdgan.errors",
}
_SUBMODULES = ("data", "design", "layers", "losses", "metrics", "networks", "tf1", "training")

__all__ = [*_EXPORTS, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"mmdgan.{name}")
    raise AttributeError(f"module 'mmdgan' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS, *_SUBMODULES])


keras_names.announce()
