"""From an experiment to what it is made of: the replicas that train, the networks with their step, the images."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from mmdgan.devices import check_batch, check_one_replica, check_towers
from mmdgan.startup import prepare_tensorflow

if TYPE_CHECKING:
    from mmdgan.data import ImageData
    from mmdgan.data.stored import StoredImages
    from mmdgan.experiment import Experiment
    from mmdgan.training import GanStep
    from mmdgan.training.distribution import Replicas


def start_replicas(experiment: Experiment) -> Replicas:
    """Starts TensorFlow on the devices that the experiment asks for; waits for the other workers, if there are any.

    Raises:
      ConfigError: devices or workers that are not there, or a batch that the replicas cannot share.
    """
    e = experiment
    if e.strategy == "multi_worker":
        print("Waiting for the other workers.", flush=True)

    def begin() -> Replicas:
        from mmdgan.training.distribution import Replicas, make_strategy

        options: dict[str, Any] = {"devices": e.devices, "workers": e.workers, "worker_index": e.worker_index}
        return Replicas(make_strategy(e.strategy, **options))

    replicas = prepare_tensorflow(e.devices, begin, e.seed if e.deterministic else None)
    check_batch(e.batch_size, replicas.count)
    check_one_replica(e.steps_per_call, e.jit, e.precision, replicas.count)
    if e.replica_losses == "local":
        check_towers(e.batch_size, replicas.count)
    if replicas.count > 1:
        which = f" in {replicas.workers} workers, of which this is {replicas.worker}" if replicas.workers > 1 else ""
        print(f"{replicas.count} replicas{which}, {e.batch_size // replicas.count} images each.")
    return replicas


def make_gan(experiment: Experiment, architecture: dict[str, Any], replicas: Replicas | None = None) -> GanStep:
    """Both networks with fresh weights, the loss and the optimisers.

    Args:
      experiment: resolved.
      architecture: of `experiment.networks()`.
      replicas: what trains them; one device by default.
    """
    import keras

    from mmdgan import build_discriminator, build_generator
    from mmdgan.training import GanStep

    e = experiment
    keras.utils.set_random_seed(e.seed)
    names = ("data_format", "precision", "spectral", "initializer", "legacy")
    options = {name: getattr(e, name) for name in names}
    with nullcontext() if replicas is None else replicas.scope():
        return GanStep(
            build_generator(architecture, e.num_class, **options),
            build_discriminator(architecture, e.num_class, **options),
            e.loss_function(),
            e.lr_dis,
            e.lr_gen,
            e.optimizer,
            end_lr=e.end_lr,
            imbalanced_update=e.imbalanced_update,
            penalty_weight=e.penalty_weight,
            legacy=e.legacy,
            seed=e.seed,
            replica_losses=e.replica_losses,
            jit=e.jit,
            fixed_critic=e.fixed_critic,
            aids=e.aids(),
        )


def open_data(experiment: Experiment, cache: str | None = None) -> ImageData | StoredImages:
    """The data set of an experiment; DataError names the ways to get it.

    Args:
      experiment: which one, and where.
      cache: "auto", "memory" or "stream"; by default the experiment's.
    """
    from mmdgan import data

    e = experiment
    return data.open_data(e.data, data_root=e.data_root, source=e.source, cache=cache or e.cache)
