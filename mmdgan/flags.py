"""The documented path of `mmdgan.cli.flags`, and of `option`, which makes the fields that it reads."""

from mmdgan.cli.flags import *  # noqa: F403
from mmdgan.core.options import check_seed as check_seed, option as option
