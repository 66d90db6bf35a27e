"""On which devices and machines training runs: TensorFlow's strategies by name, and how their workers agree.

`make_strategy` makes a `tf.distribute.Strategy`; networks and `GanStep` are built within its scope, as Keras models
are. Each replica takes an equal part of the batch (`mmdgan.training.step`). With several processes, the workers, the
first one is the chief: it alone writes. docs/distributed.md tells how to start them.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import tensorflow as tf

from mmdgan.core import replicas
from mmdgan.core.devices import check_devices
from mmdgan.core.errors import ConfigError, MmdGanError
from mmdgan.training.signals import WorkerLost

T = TypeVar("T")

_SLURM_PORTS = 12_000, 20_000
"""First port and number of ports among which a Slurm job's number chooses: jobs on one node must not collide."""


def make_strategy(
    name: str = "auto", *, devices: int | None = None, workers: Sequence[str] = (), worker_index: int | None = None
) -> tf.distribute.Strategy | None:
    """Makes the strategy of that name; with several workers it waits until all of them have called it.

    Args:
        name: one of `mmdgan.core.devices.STRATEGIES`. "auto" is "mirrored" if several GPUs are visible (or `devices` is
            above 1), else "one".
        devices: how many of the GPUs, or of the CPU's parts (`mmdgan.startup.prepare_tensorflow` makes them), each
            process uses; by default all GPUs, or one CPU.
        workers: "host:port" of all workers of "multi_worker", the chief first, in one order everywhere; by default
            those that the environment's TF_CONFIG or Slurm names.
        worker_index: which of `workers` this process is.

    Returns:
        None for one device without a strategy.

    Raises:
        ConfigError: devices or workers that are not there, or TensorFlow at work already.
        WorkerLost: this process cannot join the other workers.
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
    if devices is not None and devices > 1 and not gpus and name == "multi_worker":
        raise ConfigError(f"devices is {devices}, but a worker of several has one CPU; start more workers instead.")
    return _multi_worker(_cluster(workers, worker_index), (devices or len(gpus)) if gpus else 0)


def worker_of(strategy: tf.distribute.Strategy | None) -> tuple[int, int]:
    """This process's number among those of a strategy, the chief being 0, and how many there are."""
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
        strategy: None for one device.
        count: of replicas, R.
        local: replicas of this process.
        worker: this process's number, from 0.
        workers: number of processes.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self.strategy = strategy
        self.count = 1 if strategy is None else strategy.num_replicas_in_sync
        self.worker, self.workers = worker_of(strategy)
        self.local = self.count // self.workers
        self._gathered = tf.function(lambda row: self.run(replicas.gather_rows, row), autograph=False)

    @classmethod
    def current(cls) -> Replicas:
        """Those of the strategy within whose scope this is called."""
        return cls(tf.distribute.get_strategy() if tf.distribute.has_strategy() else None)

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes."""
        return self.worker == 0

    def scope(self) -> AbstractContextManager:
        """Within it, networks and `GanStep` are made."""
        return nullcontext() if self.strategy is None else self.strategy.scope()

    def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Lets all replicas call a function of the same arguments; returns what the first one here returned."""
        if self.strategy is None:
            return function(*arguments)
        results = self.strategy.run(function, args=arguments)
        return tf.nest.map_structure(lambda value: self.strategy.experimental_local_results(value)[0], results)

    def share(self, batch: tf.Tensor | None) -> tf.Tensor | None:
        """Within `run`: this replica's equal part of a batch that this process holds."""
        if batch is None or self.local == 1:
            return batch
        batch = tf.convert_to_tensor(batch)
        if batch.shape[0] is None or batch.shape[0] % self.local:
            raise ConfigError(
                f"A batch of {batch.shape[0]} images cannot be shared equally by {self.local} replicas; add some."
            )
        # On the host, so that each device is sent its own part alone.
        with tf.device(None if self._on_tpu else "CPU:0"):
            number = replicas.replica_number() - self.worker * self.local
            return replicas.rows_of(batch, batch.shape[0] // self.local, number)

    def check_variables(self, variables: Sequence[tf.Variable]) -> None:
        """Refuses variables that the strategy does not know, which the replicas would not share."""
        strategy = self.strategy
        if strategy is not None and not all(map(strategy.extended.variable_created_in_scope, variables)):
            raise ConfigError("The networks were built outside of the strategy: build them within its scope, too.")

    def agree(self, *values: int) -> list[int]:
        """The largest of what the workers give, value by value; all of them call this at the same place."""
        if self.workers == 1:
            return list(values)
        return self._gather(values).max(axis=0).tolist()

    def all_succeed(self, function: Callable[[], T]) -> T:
        """Calls a function on every worker; where it raises an error of ours on one of them, all stop.

        Raises:
            MmdGanError: this worker's own, or a ConfigError that another one has stopped.
        """
        result, own_error = None, None
        try:
            result = function()
        except MmdGanError as error:
            own_error = error
        [failed] = self.agree(int(own_error is not None))
        if own_error is not None:
            raise own_error
        if failed:
            raise ConfigError("another worker cannot go on, and has printed why; this one stops too.")
        return cast("T", result)

    def broadcast(self, variables: Sequence[tf.Variable]) -> None:
        """Gives all workers the chief's values."""
        if self.workers == 1:
            return

        @tf.function(autograph=False)
        def of_the_chief() -> Any:
            return self.run(replicas.of_the_first, [tf.convert_to_tensor(variable) for variable in variables])

        for variable, value in zip(variables, of_the_chief(), strict=True):
            variable.assign(value)

    @property
    def _on_tpu(self) -> bool:
        return isinstance(self.strategy, tf.distribute.TPUStrategy)

    def _gather(self, values: Sequence[int]) -> np.ndarray:
        """What each replica's worker gives: (R, number of values)."""
        row = tf.constant([list(values)], tf.int64)
        return self._gathered(row).numpy()


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """One strategy per choice of devices: each numbers its messages from the start, and two would mix theirs up."""
    return tf.distribute.MirroredStrategy(devices)


def _named(kind: str, count: int) -> list[str]:
    """The logical devices of a kind; ConfigError if there are fewer."""
    there = len(tf.config.list_logical_devices(kind))
    if count > there:
        raise ConfigError(
            f"devices is {count}, but TensorFlow has {there} logical {kind}: it was started before it could be told; "
            "give --devices to a new process, or call mmdgan.startup.prepare_tensorflow(devices=...) first."
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
        # No mistake in the command where the workers of a run that just died are still leaving: it passes.
        raise WorkerLost(
            f"{cluster.job} {cluster.number} at {address} cannot join the others ({_first_line(error)}); is its port "
            "free, and has each worker another index?"
        ) from error


class _Cluster(NamedTuple):
    """All workers' addresses, and which of them this process is."""

    spec: tf.train.ClusterSpec
    job: str
    number: int


def _cluster(workers: Sequence[str], worker_index: int | None) -> _Cluster:
    """Who the workers are: those given, or those of TF_CONFIG, or those of a Slurm job."""
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
    """The tasks that srun started, on ports that the job's number gives."""
    first, ports = _SLURM_PORTS
    port, tasks = first + int(os.environ.get("SLURM_JOB_ID", 0)) % ports, int(os.environ["SLURM_STEP_NUM_TASKS"])
    # The resolver would ask nvidia-smi, and fail without GPUs; each task looks for its own.
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
    """Experimental: made as TensorFlow's guide says, not tried on a TPU."""
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=os.environ.get("TPU_NAME", "local"))
        if os.environ.get("TPU_NAME"):
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise ConfigError(
            f"strategy is tpu, but no TPU answers ({_first_line(error)}); set TPU_NAME, or give another strategy."
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
