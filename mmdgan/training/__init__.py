"""Training: one step (`GanStep`), the loop (`Trainer`), checkpoints, TensorBoard (`Monitor`) and optimisers.

    gan = mmdgan.training.GanStep(generator, discriminator, "rep_b", lr_dis=2e-4, lr_gen=1e-4)
    losses = gan.step(images)                  # one step on uint8 images (N, H, W, C), on a GPU (N, C, H, W)
    pipeline = mmdgan.data.Pipeline(data, batch_size=64, data_format=generator.data_format)
    mmdgan.training.Trainer(gan, pipeline).fit(10_000)

The names load when first used, so that importing this package does not import TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdgan.core import lazy

if TYPE_CHECKING:  # for checkers and editors; at run time names load on first use
    from mmdgan.training.checkpoints import Checkpoints as Checkpoints
    from mmdgan.training.divergence import Diverged as Diverged
    from mmdgan.training.optimizers import make_optimizer as make_optimizer
    from mmdgan.training.preview import Preview as Preview
    from mmdgan.training.signals import Interrupted as Interrupted, WorkerLost as WorkerLost
    from mmdgan.training.step import GanStep as GanStep
    from mmdgan.training.tensorboard import Monitor as Monitor
    from mmdgan.training.trainer import Progress as Progress, Trainer as Trainer

__getattr__, __dir__, __all__ = lazy.attach(__name__)
