"""Image data sets: opened by name, converted when they are not there yet, and fed to training.

    data = mmdgan.data.open_data("cifar10")
    pipeline = mmdgan.data.Pipeline(data, batch_size=64)

Points of the plane instead of images come from `mmdgan.data.synthetic`. Names load on first use, so that asking for
a data set's shape needs neither NumPy nor TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdgan.core import lazy

if TYPE_CHECKING:  # for checkers and editors; at run time names load on first use
    from mmdgan.data import synthetic as synthetic
    from mmdgan.data.catalog import DataInfo as DataInfo, info as info, names as names
    from mmdgan.data.dataset import ImageData as ImageData, StoredImages as StoredImages
    from mmdgan.data.open import open_data as open_data
    from mmdgan.data.pipeline import Pipeline as Pipeline

__getattr__, __dir__, __all__ = lazy.attach(__name__)
