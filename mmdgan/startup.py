"""The documented path of `mmdgan.core.startup`."""

from mmdgan.core.startup import *  # noqa: F403
