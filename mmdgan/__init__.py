"""MMD-GANs in TensorFlow 2 and Keras 3: repulsive losses, PICO spectral normalisation, scores one can trust.

After "Improving MMD-GAN Training with Repulsive Loss Function" (Wang, Sun, Halgamuge; ICLR 2019). Importing
this package does not import TensorFlow; the names below load what they need.
"""

from __future__ import annotations

import importlib

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


def __getattr__(name: str):
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"mmdgan.{name}")
    raise AttributeError(f"module 'mmdgan' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS, *_SUBMODULES])
