"""Checks of the options of losses and kernels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

from mmdgan.core.errors import ConfigError
from mmdgan.core.text import nearest


def check_option(owner: str, option: str, value: Any, default: Any) -> Any:
    """A value in the form of its default: a bool, a number, or a tuple of numbers (of one, if given alone).

    Args:
        owner: Whose option it is, for the message: "loss 'rep'".
        option: Its name. Numbers must be positive but those of rep_weights (two), rep_lambda and mix_threshold;
            add_dot may be 0; omega is one number between 0 and 1, or two: a range.
        value: What was given.
        default: The option's default.

    Raises:
        ConfigError: Another form, or a number out of range.
    """
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ConfigError(f"{option} of the {owner} must be True or False, not {value!r}.")
        return value
    many = isinstance(default, tuple)
    values = list(value) if many and isinstance(value, Iterable) and not isinstance(value, str) else [value]
    if not values or not all(_is_finite_number(v) for v in values):
        form = "one or more finite numbers" if many else "a finite number"
        raise ConfigError(f"{option} of the {owner} must be {form}, not {value!r}.")
    if option == "rep_weights" and len(values) != 2:
        raise ConfigError(f"rep_weights of the {owner} must be two numbers (w0, w1), not {value!r}.")
    if option == "add_dot" and min(values) < 0:
        raise ConfigError(f"add_dot of the {owner} must be 0 or positive, not {value!r}.")
    if option not in ("rep_weights", "rep_lambda", "mix_threshold", "add_dot") and min(values) <= 0:
        raise ConfigError(f"{option} of the {owner} must be positive, not {value!r}.")
    if option == "omega":
        _check_omega(owner, values)
    return tuple(float(v) for v in values) if many else float(values[0])


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are not None, which stands for "not given"."""
    return {name: value for name, value in options.items() if value is not None}


def near_and_valid(word: Any, valid: Iterable[str]) -> str:
    """The end of an error message on an unknown word: the nearest valid one, if any is near, and all."""
    valid = list(valid)
    return f"{nearest(word, valid)}; valid are {', '.join(valid)}"


def _check_omega(owner: str, values: Sequence[Any]) -> None:
    if len(values) > 2 or max(values) >= 1 or list(values) != sorted(set(values)):
        raise ConfigError(
            f"omega of the {owner} is a mean kernel value: give one number between 0 and 1, or two in ascending "
            f"order from between which it is drawn, not {', '.join(f'{v:g}' for v in values)}."
        )


def _is_finite_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
