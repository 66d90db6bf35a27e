"""The earlier path of `mmdgan.data.dataset`."""

from mmdgan.data.dataset import *  # noqa: F403
