"""Networks: Keras models built from architecture dictionaries.

    generator = mmdgan.build_generator(mmdgan.load_architecture("cifar10/DCGAN"))
    images = generator(tf.random.normal((8, 128)))      # (8, 32, 32, 3), channels first with a GPU

A conditional network takes {"x": tensor, "y": labels (N, 1)}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdgan.core import lazy

if TYPE_CHECKING:  # for checkers and editors; at run time names load on first use
    from mmdgan.networks.network import (
        DATA_FORMATS as DATA_FORMATS,
        PRECISIONS as PRECISIONS,
        Network as Network,
        build_discriminator as build_discriminator,
        build_generator as build_generator,
        build_network as build_network,
        check_labels as check_labels,
        resolve_data_format as resolve_data_format,
    )

__getattr__, __dir__, __all__ = lazy.attach(__name__)
