"""The dictionary language of architectures: parsed, checked and described without TensorFlow.

    generator, critic = mmdgan.design.parse_architecture(mmdgan.design.load_architecture("cifar10/DCGAN"), 0)
    print(mmdgan.design.describe(critic))               # layers, shapes, parameters, multiply-adds

Shapes are (C, H, W) throughout.
"""

from mmdgan.design.architecture import (
    has_fixed_width,
    parse_architecture,
    parse_network,
    with_gain,
    with_score_size,
)
from mmdgan.design.describe import describe, receptive_fields
from mmdgan.design.files import load_architecture
from mmdgan.design.spec import LayerSpec, NetworkSpec, Part, Route

__all__ = [
    "LayerSpec",
    "NetworkSpec",
    "Part",
    "Route",
    "describe",
    "has_fixed_width",
    "load_architecture",
    "parse_architecture",
    "parse_network",
    "receptive_fields",
    "with_gain",
    "with_score_size",
]
