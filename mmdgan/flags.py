"""The documented path of `mmdgan.cli.flags`."""

from mmdgan.cli.flags import *  # noqa: F403
