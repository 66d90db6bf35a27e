"""Devices and workers, as far as they need no TensorFlow: names of strategies, checks of settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import check_count
from mmdgan.core.workers import environment

STRATEGIES = ("auto", "one", "mirrored", "multi_worker", "tpu")
REPLICA_LOSSES = ("gathered", "local")

_DRIVER = Path("/proc/driver/nvidia/gpus")
"""Has an entry for each GPU that NVIDIA's driver runs."""

_ADDRESS = re.compile(r"[^\s:/]+:\d{1,5}")


def check_devices(
    strategy: str, devices: int | None = None, workers: Sequence[str] = (), worker_index: int | None = None
) -> None:
    """Checks a choice of devices and workers; arguments as of `mmdgan.training.distribution.make_strategy`.

    Raises:
        ConfigError: It contradicts itself, or names no workers where it must.
    """
    if strategy not in STRATEGIES:
        raise ConfigError(f"strategy is {strategy}; the valid values are {', '.join(STRATEGIES)}.")
    if devices is not None:
        check_count("devices", devices)
    if devices is not None and devices > 1 and strategy == "one":
        raise ConfigError(f"devices is {devices}, but strategy is one; give --strategy=mirrored.")
    if devices is not None and strategy == "tpu":
        raise ConfigError("devices counts GPUs or parts of a CPU, but strategy is tpu; leave it out.")
    if strategy == "multi_worker":
        _check_workers(workers, worker_index)
    elif workers or worker_index is not None:
        name = "workers" if workers else "worker_index"
        if workers and workers[0].isdecimal():
            raise ConfigError(
                f"workers is {workers[0]}, but workers are the processes of a distributed training, host:port,...; "
                "leave it out: images are read ahead without being asked for."
            )
        raise ConfigError(f"{name} is given, but strategy is {strategy}; add --strategy=multi_worker or omit it.")


def check_batch(batch_size: int, replicas: int, micro_batch: int | None = None) -> None:
    """Refuses a batch that the replicas cannot share equally, each its part in equal micro-batches."""
    if batch_size % replicas:
        below = batch_size - batch_size % replicas
        near = f"{below} or {below + replicas}" if below else str(replicas)
        raise ConfigError(
            f"batch_size is {batch_size}, which {replicas} replicas cannot share equally; give a multiple: {near}."
        )
    if micro_batch is not None and batch_size // replicas % micro_batch:
        parts = f"the {batch_size // replicas} images of each replica" if replicas > 1 else f"batch_size {batch_size}"
        raise ConfigError(f"micro_batch is {micro_batch}, which does not divide {parts}; give a divisor.")


def check_towers(batch_size: int, replicas: int) -> None:
    """Refuses a batch that leaves replicas with losses of their own nothing to compare."""
    if batch_size < 2 * replicas:
        raise ConfigError(
            f"replica_losses is local, but batch_size {batch_size} leaves {replicas} replicas less than 2 images each, "
            f"and losses compare samples; give at least {2 * replicas}."
        )


def visible_devices() -> str:
    """Which devices training would use, in words; TensorFlow is asked, in a process of its own, if there is a GPU."""
    count = len(list(_DRIVER.glob("*"))) if _DRIVER.is_dir() else 0
    if not count:
        return "the CPU: no NVIDIA GPU in this machine"
    code = "import tensorflow as tf; print('GPUs', len(tf.config.list_physical_devices('GPU')))"
    told = subprocess.run([sys.executable, "-c", code], env=environment(1), capture_output=True, text=True, check=False)
    seen = re.search(r"GPUs (\d+)", told.stdout)
    if seen is not None and int(seen[1]):
        return f"{seen[1]} of {count} NVIDIA GPUs"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    remedy = "install TensorFlow with its CUDA libraries in a fresh environment: pip install 'mmdgan[gpu]'"
    if hidden is not None:
        remedy = f"CUDA_VISIBLE_DEVICES is {hidden!r}: unset it"
    return f"the CPU: TensorFlow sees none of the {count} NVIDIA GPUs of this machine; {remedy}"


def in_slurm_step() -> bool:
    """Whether this process is one of several tasks that srun has started."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS") or 1) > 1 and "SLURM_PROCID" in os.environ


def _check_workers(workers: Sequence[str], worker_index: int | None) -> None:
    if not workers:
        if worker_index is not None:
            raise ConfigError(f"worker_index is {worker_index}, but workers is empty; give --workers=host:port,...")
        if "TF_CONFIG" not in os.environ and not in_slurm_step():
            raise ConfigError(
                "strategy is multi_worker, but nothing names the workers; give --workers=host:port,... and "
                "--worker_index, or set TF_CONFIG, or start the workers by srun."
            )
        return
    for address in workers:
        port = address.rpartition(":")[2]
        if not _ADDRESS.fullmatch(address) or not 0 < int(port) < 2**16:
            raise ConfigError(
                f"workers has {address!r}; give host:port of each worker, separated by commas, ports to 65535."
            )
    if len(set(workers)) < len(workers):
        raise ConfigError(f"workers is {','.join(workers)}; give each worker another host or port.")
    if worker_index is None or not 0 <= worker_index < len(workers):
        given = "not given" if worker_index is None else f"{worker_index}"
        raise ConfigError(f"worker_index is {given}; give this process's place among workers, 0 to {len(workers) - 1}.")
