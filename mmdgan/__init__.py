"""MMD-GANs in TensorFlow 2 and Keras 3: repulsive losses, PICO spectral normalisation, scores one can trust.

    result = mmdgan.Experiment(data="sample", architecture="sample/DCGAN_SMALL", loss="rep_b", max_step=1500).run()
    images = mmdgan.load_pretrained("sample/rep_b")(tf.random.normal((16, 128)))

After "Improving MMD-GAN Training with Repulsive Loss Function" (Wang, Sun, Halgamuge; ICLR 2019). Importing
this package does not import TensorFlow; the names below load what they need. With it imported,
`keras.saving.load_model` restores every network and layer of its.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdgan.core import (
    lazy,
    startup as _startup,  # noqa: F401  # notices when this process is forked
)
from mmdgan.core.versions import VERSION as __version__
from mmdgan.networks import keras_names

if TYPE_CHECKING:  # for checkers and editors; at run time names load on first use
    from mmdgan import (
        data as data,
        design as design,
        layers as layers,
        losses as losses,
        metrics as metrics,
        mmd as mmd,
        networks as networks,
        tf1 as tf1,
        training as training,
    )
    from mmdgan.core.errors import (
        CheckpointError as CheckpointError,
        ConfigError as ConfigError,
        DataError as DataError,
        DesignError as DesignError,
        MetricError as MetricError,
        MmdGanError as MmdGanError,
    )
    from mmdgan.design.files import load_architecture as load_architecture
    from mmdgan.networks.network import (
        build_discriminator as build_discriminator,
        build_generator as build_generator,
        build_network as build_network,
    )
    from mmdgan.runs.experiment import Experiment as Experiment
    from mmdgan.runs.pretrained import load_pretrained as load_pretrained
    from mmdgan.runs.run import open_run as open_run

__getattr__, __dir__, __all__ = lazy.attach(__name__)
__all__ += ["__version__"]

keras_names.announce()
