"""Options: dataclass fields that carry what is known of them, such as their help texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from mmdgan.core.errors import ConfigError


def option(default: Any, help: str, group: str = "options", choices: Sequence[str] | None = None) -> Any:
    """A dataclass field that is also a flag.

    Args:
      default: the field's default value.
      help: one or two lines for `--help`.
      group: the heading under which `--help` lists the flag.
      choices: valid values, where they are few.
    """
    return dataclasses.field(default=default, metadata={"help": help, "group": group, "choices": choices})


def check_seed(seed: int | None) -> None:
    """Refuses negative seeds; None stands for no seed."""
    if seed is not None and seed < 0:
        raise ConfigError(f"seed is {seed}; give a whole number of at least 0.")
