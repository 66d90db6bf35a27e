"""The devices and machines that train: TensorFlow's strategies by name, and how their workers agree.

`make_strategy` makes a `tf.distribute.Strategy`; networks and `GanStep` are built within its scope, as Keras models
are. Each replica takes an equal part of the batch (`mmdgan.training.step`). Of several processes, the workers, the
first one is the chief: it alone writes. docs/distributed.md says how to start them.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, TypeVar, cast

import tensorflow as tf

from mmdgan.core import replicas
from mmdgan.core.devices import check_devices
from mmdgan.core.errors import ConfigError
from mmdgan.core.text import first_line
from mmdgan.training.signals import WorkerLost

T = TypeVar("T")

_SLURM_PORTS = 12_000, 20_000
"""First port and number of ports; a Slurm job's number chooses one, so that jobs on one node do not collide."""


def make_strategy(
    name: str = "auto", *, devices: int | None = None, workers: Sequence[str] = (), worker_index: int | None = None
) -> tf.distribute.Strategy | None:
    """Makes the strategy of that name; with several workers it waits until all of them have called it.

    Args:
        name: One of `mmdgan.core.devices.STRATEGIES`. "auto" is "mirrored" if several GPUs are visible (or `devices` is
            above 1), else "one".
        devices: Number of GPUs, or of parts of the CPU (made by `mmdgan.startup.prepare_tensorflow`), that each process
            uses; by default all GPUs, or one CPU.
        workers: "host:port" of all workers of "multi_worker", the chief first, in the same order on each; by default
            those that TF_CONFIG or Slurm's variables name.
        worker_index: Index of this process in `workers`.

    Returns:
        The strategy; None for one device.

    Raises:
        ConfigError: Devices or workers that do not exist, or TensorFlow has started already.
        WorkerLost: This process cannot join the other workers.
    """
    check_devices(name, devices, workers, worker_index)
    if name == "tpu":
        return _tpu()
    gpus = tf.config.list_physical_devices("GPU")
    if devices is not None and gpus and devices > len(gpus):
        raise ConfigError(f"devices is {devices}, but {len(gpus)} GPUs are visible; give at most that.")
    if name == "auto":
        name = "mirrored" if (devices or len(gpus)) > 1 else "one"
    if name == "one":
        return None
    if name == "mirrored":
        kind = "GPU" if gpus else "CPU"
        return _mirrored(tuple(_named(kind, devices or len(gpus) or 1)))
    if devices is not None and devices > 1 and not gpus:
        raise ConfigError(f"devices is {devices}, but a worker of several has one CPU; start more workers instead.")
    return _multi_worker(_cluster(workers, worker_index), (devices or len(gpus)) if gpus else 0)


def worker_of(strategy: tf.distribute.Strategy | None) -> tuple[int, int]:
    """This process's number among the workers of a strategy (the chief is 0), and how many there are."""
    resolver = getattr(strategy, "cluster_resolver", None)
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or resolver is None:
        return 0, 1
    tasks = resolver.cluster_spec().as_dict()
    chiefs = len(tasks.get("chief", ()))
    number = resolver.task_id + (chiefs if resolver.task_type == "worker" else 0)
    return number or 0, max(1, chiefs + len(tasks.get("worker", ())))


class Replicas:
    """The replicas that take a training step together; without a strategy one.

    Attributes:
        strategy: Their strategy; None for one device.
        count: Number R of replicas.
        local: Number of this process's replicas.
        worker: This process's number, from 0.
        workers: Number of processes.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self.strategy = strategy
        self.count = 1 if strategy is None else strategy.num_replicas_in_sync
        self.worker, self.workers = worker_of(strategy)
        self.local = self.count // self.workers
        self._gathered = tf.function(lambda row: self.run(replicas.gather_rows, row), autograph=False)

    @classmethod
    def current(cls) -> Replicas:
        """The replicas of the strategy in whose scope this is called."""
        return cls(tf.distribute.get_strategy() if tf.distribute.has_strategy() else None)

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes."""
        return self.worker == 0

    def scope(self) -> AbstractContextManager:
        """The scope in which to make networks and `GanStep`."""
        return nullcontext() if self.strategy is None else self.strategy.scope()

    def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Calls a function with the same arguments on all replicas; returns the result of this process's first one."""
        if self.strategy is None:
            return function(*arguments)
        results = self.strategy.run(function, args=arguments)
        return tf.nest.map_structure(lambda value: self.strategy.experimental_local_results(value)[0], results)

    def share(self, batch: tf.Tensor | None) -> tf.Tensor | None:
        """This replica's equal part of a batch that this process holds; called within `run`."""
        if batch is None or self.local == 1:
            return batch
        batch = tf.convert_to_tensor(batch)
        if batch.shape[0] is None or batch.shape[0] % self.local:
            raise ConfigError(
                f"A batch of {batch.shape[0]} images cannot be shared equally by {self.local} replicas; add some."
            )
        # On the host, so that each device receives only its own part.
        with tf.device(None if isinstance(self.strategy, tf.distribute.TPUStrategy) else "CPU:0"):
            number = replicas.replica_number() - self.worker * self.local
            return replicas.rows_of(batch, batch.shape[0] // self.local, number)

    def check_variables(self, variables: Sequence[tf.Variable]) -> None:
        """Refuses variables made outside of the strategy's scope, which the replicas would not share."""
        strategy = self.strategy
        if strategy is not None and not all(map(strategy.extended.variable_created_in_scope, variables)):
            raise ConfigError("The networks were built outside of the strategy: build them within its scope, too.")

    def agree(self, *values: int) -> list[int]:
        """The maximum over the workers of each value; all of them must call this at the same place."""
        if self.workers == 1:
            return list(values)
        row = tf.constant([list(values)], tf.int64)
        return self._gathered(row).numpy().max(axis=0).tolist()

    def all_succeed(self, function: Callable[[], T]) -> T:
        """Calls a function on every worker; if it raises on one of them, all stop.

        Raises:
            ConfigError: Another worker has stopped. This worker's own error is raised as it is.
        """
        try:
            result = function()
        except (Exception, KeyboardInterrupt):
            with contextlib.suppress(tf.errors.OpError):  # the others are gone
                self.agree(1)
            raise
        [failed] = self.agree(0)
        if failed:
            raise ConfigError("another worker cannot go on, and has printed why; this one stops too.")
        return result

    def broadcast(self, variables: Sequence[tf.Variable]) -> None:
        """Assigns the chief's values on all workers."""
        if self.workers == 1:
            return

        @tf.function(autograph=False)
        def of_the_chief() -> Any:
            return self.run(replicas.from_first, [tf.convert_to_tensor(variable) for variable in variables])

        for variable, value in zip(variables, of_the_chief(), strict=True):
            variable.assign(value)


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """One strategy per choice of devices: two would mix up their messages, which each numbers from the start."""
    return tf.distribute.MirroredStrategy(devices)


def _named(kind: str, count: int) -> list[str]:
    """The logical devices of a kind; ConfigError if there are fewer."""
    available = len(tf.config.list_logical_devices(kind))
    if count > available:
        raise ConfigError(
            f"devices is {count}, but TensorFlow has started with {available} logical {kind}; give --devices to a new "
            "process, or call mmdgan.startup.prepare_tensorflow(devices=...) first."
        )
    return [f"{kind}:{number}" for number in range(count)]


def _multi_worker(cluster: _Cluster, gpus: int) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Joins the other workers, with this many GPUs of each (or its CPU)."""
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        cluster.spec, task_type=cluster.job, task_id=cluster.number, num_accelerators={"GPU": gpus}, rpc_layer="grpc"
    )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except RuntimeError as error:
        raise ConfigError(
            f"TensorFlow was at work before the strategy multi_worker was made ({error}); begin with it, in a new "
            "process."
        ) from error
    except tf.errors.OpError as error:
        address = cluster.spec.task_address(cluster.job, cluster.number)
        # Not a ConfigError: where the workers of a run that has just died are still leaving, trying again helps.
        raise WorkerLost(
            f"{cluster.job} {cluster.number} at {address} cannot join the others ({first_line(error)}); is its port "
            "free, and has each worker another index?"
        ) from error


class _Cluster(NamedTuple):
    """All workers' addresses, and this process's place among them."""

    spec: tf.train.ClusterSpec
    job: str
    number: int


def _cluster(workers: Sequence[str], worker_index: int | None) -> _Cluster:
    """The workers: those given, else those of TF_CONFIG, else those of a Slurm job."""
    if workers:
        return _Cluster(tf.train.ClusterSpec({"worker": list(workers)}), "worker", cast("int", worker_index))
    return _of_environment() if "TF_CONFIG" in os.environ else _of_slurm()


def _of_environment() -> _Cluster:
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    try:
        cluster = _Cluster(resolver.cluster_spec(), resolver.task_type, resolver.task_id)
        cluster.spec.task_address(cluster.job, cluster.number)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"TF_CONFIG names no cluster with this process as its task ({error}); correct it.") from error
    if set(cluster.spec.jobs) - {"chief", "worker"}:
        raise ConfigError(
            f"TF_CONFIG has the jobs {', '.join(cluster.spec.jobs)}; training has workers, and at most one chief."
        )
    return cluster


def _of_slurm() -> _Cluster:
    """The tasks that srun has started, on ports that follow from the job's number."""
    first, ports = _SLURM_PORTS
    port, tasks = first + int(os.environ.get("SLURM_JOB_ID", 0)) % ports, int(os.environ["SLURM_STEP_NUM_TASKS"])
    # By default the resolver asks nvidia-smi, and fails without GPUs; each task finds its own.
    options = {"port_base": port, "auto_set_gpu": False, "gpus_per_node": tasks, "gpus_per_task": 1}
    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(**options)
        spec = resolver.cluster_spec()
        own = spec.task_address(resolver.task_type, resolver.task_id).rpartition(":")[0]
    except (RuntimeError, KeyError, ValueError) as error:
        raise ConfigError(f"Slurm's variables do not name the workers ({error}); start them by srun.") from error
    if os.environ.get("SLURMD_NODENAME", own) != own:
        raise ConfigError(
            f"TensorFlow's resolver takes this task for one on {own}, but it is on {os.environ['SLURMD_NODENAME']}: it "
            "sorts the nodes by their names; give --workers and --worker_index instead."
        )
    return _Cluster(spec, resolver.task_type, resolver.task_id)


def _tpu() -> tf.distribute.TPUStrategy:
    """Experimental: follows TensorFlow's guide, not tried on a TPU."""
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=os.environ.get("TPU_NAME", "local"))
        if os.environ.get("TPU_NAME"):
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise ConfigError(
            f"strategy is tpu, but no TPU answers ({first_line(error)}); set TPU_NAME, or give another strategy."
        ) from error
