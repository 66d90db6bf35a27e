"""Import TensorFlow without its start-up log lines."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

VERBOSITY = "TF_CPP_MIN_LOG_LEVEL"


def prepare_tensorflow(
    devices: int | None = None, first: Callable[[], Any] | None = None, deterministic_seed: int | None = None
) -> Any:
    """Imports TensorFlow, and lets GPU memory grow instead of taking all of it.

    The log lines of its C++ parts are hidden, unless TensorFlow fails to start or TF_CPP_MIN_LOG_LEVEL is set
    (TensorFlow 2.21 no longer obeys that variable while it starts).

    Args:
        devices: Number of logical devices to split the CPU into where no GPU is visible; without effect once
            TensorFlow has started.
        first: Called before anything is computed, as strategies of several processes require.
        deterministic_seed: Makes every operation of this process give the same bits each time, at some cost, and seeds
            what draws random numbers without a seed of its own. None: the fastest operations.

    Returns:
        The value of `first()`.
    """
    keep_freed_memory()
    chatty = VERBOSITY in os.environ or "tensorflow" in sys.modules
    os.environ.setdefault(VERBOSITY, "2")
    with contextlib.nullcontext() if chatty else quiet():
        import tensorflow as tf

        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)
        if devices is not None:
            _split_cpu(devices)
        # TensorFlow 2.21 fails to fuse bias and activation into the training step's convolutions, and prints an
        # error about it; without the attempt, the step takes as long and nothing is printed.
        tf.config.optimizer.set_experimental_options({"remapping": False})
        if deterministic_seed is not None:
            import keras

            tf.config.experimental.enable_op_determinism()
            keras.utils.set_random_seed(deterministic_seed)  # without it, operations would refuse to be random
        result = None if first is None else first()
        tf.config.list_logical_devices()
        return result


def _split_cpu(devices: int) -> None:
    import tensorflow as tf

    if devices > 1 and not tf.config.list_physical_devices("GPU"):
        [cpu] = tf.config.list_physical_devices("CPU")
        with contextlib.suppress(RuntimeError):  # it has started; make_strategy counts the devices
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)


def keep_freed_memory() -> None:
    """Keeps the memory that a training step frees for the next step (glibc only).

    By default glibc returns large blocks to the kernel, which zeroes fresh pages for each step.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another system, or another C library
        mallopt = ctypes.CDLL(None).mallopt
        trim_threshold, top_pad, mmap_max = -1, -2, -4  # numbers of the parameters in malloc.h
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**28)
        mallopt(mmap_max, 0)


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps everything off standard error, also what C++ code writes; prints it if the block raises."""
    sys.stderr.flush()
    own = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(own, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(own, 2)
            os.close(own)
