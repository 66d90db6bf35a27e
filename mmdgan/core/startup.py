"""Import TensorFlow without its start-up log lines, and check that it can work in this process."""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mmdgan.core.errors import ConfigError

VERBOSITY = "TF_CPP_MIN_LOG_LEVEL"
BACKEND = "KERAS_BACKEND"

_forked = False
_quieting = threading.Lock()
_own = False


def own_process() -> None:
    """Says that this process is the program's own, in which TensorFlow starts faster than a library may let it.

    Keras 3.15 imports scikit-learn, Matplotlib and pandas where they are installed, for wrappers, galleries and data
    frames, and takes half as long again for it: it is imported without them; they can be imported as usual afterwards.
    What has been imported is never garbage: Python's collections pass it over.
    """
    global _own
    _own = True


def prepare_tensorflow(
    devices: int | None = None, first: Callable[[], Any] | None = None, deterministic_seed: int | None = None
) -> Any:
    """Imports TensorFlow, and lets GPU memory grow instead of taking all of it.

    The log lines of its C++ parts are hidden, unless TensorFlow fails to start or TF_CPP_MIN_LOG_LEVEL is set to 0 or 1
    (TensorFlow 2.21 does not obey that variable while it starts).

    Args:
        devices: Number of logical devices to split the CPU into where no GPU is visible; without effect once
            TensorFlow has started.
        first: Called before anything is computed, as strategies of several processes require.
        deterministic_seed: Makes every operation of this process give the same bits each time, at some cost, and seeds
            what draws random numbers without a seed of its own. None: the fastest operations.

    Returns:
        The value of `first()`.

    Raises:
        ConfigError: As `check_tensorflow`.
    """
    keep_freed_memory()
    os.environ.setdefault(VERBOSITY, "2")
    with importing():
        with _keras_on_tensorflow(), _without_collections():  # Keras imports TensorFlow
            import keras  # noqa: F401
            import tensorflow as tf

        check_tensorflow()
        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)
        if devices is not None:
            _split_cpu(devices)
        # TensorFlow 2.21 fails to fuse bias and activation into the training step's convolutions, and prints an
        # error about it; without the attempt, the step takes as long and nothing is printed.
        tf.config.optimizer.set_experimental_options({"remapping": False})
        if deterministic_seed is not None:
            tf.config.experimental.enable_op_determinism()
            tf.random.set_seed(deterministic_seed)  # without it, operations would refuse to be random
        result = None if first is None else first()
        tf.config.list_logical_devices()
        return result


def check_tensorflow() -> None:
    """Refuses a process in which Keras or TensorFlow cannot do this library's work.

    Raises:
        ConfigError: Keras runs on another backend, eager execution is off, or this process was forked from one in which
            TensorFlow had started.
    """
    import keras
    import tensorflow as tf

    if _forked:
        raise ConfigError(
            "This process was forked from one in which TensorFlow had started, and TensorFlow does not survive that: "
            "start processes by multiprocessing.get_context('spawn'), or fork before TensorFlow is used."
        )
    if keras.backend.backend() != "tensorflow":
        raise ConfigError(
            f"Keras runs on {keras.backend.backend()}, and mmdgan needs TensorFlow: set {BACKEND}=tensorflow before "
            'Keras is imported (or "backend" in ~/.keras/keras.json).'
        )
    if not tf.compat.v1.executing_eagerly_outside_functions() or not tf.compat.v1.resource_variables_enabled():
        raise ConfigError(
            "TensorFlow's eager execution or version 2 behaviour is switched off in this process, which mmdgan needs: "
            "leave out tf.compat.v1.disable_eager_execution, disable_v2_behavior and disable_resource_variables, or "
            "train in a process of its own."
        )


@contextmanager
def _keras_on_tensorflow() -> Iterator[None]:
    """Within the block, Keras chooses TensorFlow when it is imported, whatever the environment and keras.json say."""
    before = os.environ.get(BACKEND)
    os.environ[BACKEND] = "tensorflow"
    modules: dict[str, Any] = sys.modules
    extras = ("sklearn", "matplotlib", "pandas") if _own and "keras" not in modules else ()
    skipped = [name for name in extras if name not in modules]
    modules.update(dict.fromkeys(skipped))  # None: as if not installed
    try:
        yield
    finally:
        for name in skipped:
            del modules[name]
        if before is None:
            del os.environ[BACKEND]
        else:
            os.environ[BACKEND] = before


@contextmanager
def _without_collections() -> Iterator[None]:
    """Within the block, Python does not look for cyclic garbage, which takes half a second of TensorFlow's import."""
    first, enabled = "tensorflow" not in sys.modules, gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if _own and first:  # a later block would keep the garbage of what ran before it
            gc.freeze()
        if enabled:
            gc.enable()


def _note_fork() -> None:
    """In a forked child: notes whether TensorFlow's threads had started, none of which is here."""
    global _forked
    context = sys.modules.get("tensorflow.python.eager.context")
    _forked = _forked or bool(getattr(getattr(context, "_context", None), "_initialized", False))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


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
    import ctypes

    with contextlib.suppress(OSError, AttributeError, TypeError):  # another system, or another C library
        mallopt = ctypes.CDLL(None).mallopt
        trim_threshold, top_pad, mmap_max = -1, -2, -4  # numbers of the parameters in malloc.h
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**28)
        mallopt(mmap_max, 0)


class _Lasting:
    """A stream that drops what is written after its reader has gone (`| head`), so that the work goes on."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._dropping():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._dropping():
            self._stream.flush()

    @contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):  # EIO: the terminal has gone
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def open_streams() -> None:
    """Lets a program work on, whatever becomes of its output.

    Standard streams that are closed (`2>&-`) are opened on nothing, so that no file gets their number and with it what
    C++ code reports. Output whose reader has gone is dropped; characters that its encoding lacks are escaped.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        if not isinstance(stream, _Lasting):
            setattr(sys, name, _Lasting(stream))


@contextmanager
def importing() -> Iterator[None]:
    """Hides the log lines of TensorFlow's start if the block imports it first, unless they are asked for."""
    hidden = "tensorflow" not in sys.modules and os.environ.get(VERBOSITY, "2").strip() not in ("0", "1")
    with quiet() if hidden else contextlib.nullcontext():
        yield
        if hidden and "tensorflow" in sys.modules:
            import tensorflow as tf  # another thread's import is waited for

            tf.config.list_physical_devices()  # reports missing drivers


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps everything off standard error, also what C++ code writes; prints it if the block raises.

    A block within a block, or in another thread meanwhile, changes nothing: two that do not end in the opposite order
    would leave standard error redirected.
    """
    if not _quieting.acquire(blocking=False):
        yield
        return
    try:
        with _held_back():
            yield
    finally:
        _quieting.release()


@contextmanager
def _held_back() -> Iterator[None]:
    import tempfile

    stream = sys.stderr or io.StringIO()  # of services and of pythonw it is None
    stream.flush()
    try:
        own = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(own, held.read())
            raise
        finally:
            stream.flush()
            os.dup2(own, 2)
            os.close(own)
