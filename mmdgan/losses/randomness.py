"""The former path of `mmdgan.core.random`, for code written for version 0.1."""

from mmdgan.core.random import *  # noqa: F403
