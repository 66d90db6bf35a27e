"""The documented path of `mmdgan.core.errors`."""

from mmdgan.core.errors import *  # noqa: F403
