"""The errors that a person can cause: each message is one sentence naming the thing, the place and the remedy.

The command line prints that sentence and exits with status 2, without a traceback.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


class MmdGanError(Exception):
    """Base class of every error that this library raises on purpose."""


class DesignError(MmdGanError):
    """An architecture dictionary that cannot be built: names the network, the layer and the key."""


class DataError(MmdGanError):
    """A data set that is missing, broken or of the wrong form: names the file and the reason."""


class CheckpointError(MmdGanError):
    """A checkpoint that is missing, damaged or of another network: names it and those that exist."""


class MetricError(MmdGanError):
    """A score that cannot be computed as asked: names what is missing and how to get it."""


class ConfigError(MmdGanError):
    """A configuration or command line that contradicts itself: names the field and its valid values."""


@contextlib.contextmanager
def write_errors(place: str | os.PathLike, remedy: str = "name another place") -> Iterator[None]:
    """Turns a failure to write within the block into a ConfigError that names the place and the remedy."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{place} cannot be written ({error.strerror or error}); {remedy}.") from error
