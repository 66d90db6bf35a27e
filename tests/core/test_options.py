"""mmdgan.core.options: what fields say of themselves, and their values as text."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import numpy as np
import pytest

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import (
    Value,
    changed_flags,
    check_limits,
    fields_with,
    option,
    option_like,
    plain,
    replace_from_text,
)
from mmdgan.runs.experiment import Experiment


@dataclasses.dataclass(frozen=True)
class Options:
    count: int = option(3, "how many", least=1, identity=True)
    rate: float | None = option(0.1, "how fast", "speed", positive=True, identity=lambda o: o.count > 1)
    folder: str = option("here", "where", scope="place", short=True)
    class_: str | None = option(None, "which", choices=("none", "cat", "dog"))
    hues: tuple[str, ...] = option((), "some")
    fast: bool = option(False, "hurry", "speed")


@dataclasses.dataclass(frozen=True)
class Others:
    rate: float | None = option_like(Options, "rate", "here", help="faster")
    more: int = option(1, "more")


def test_fields_are_found_by_what_they_say():
    assert fields_with(Options, identity=True) == ("count", "rate")
    assert fields_with(Options(), scope="place") == ("folder",)
    assert fields_with(Options, group="speed", identity=False) == ("fast",)
    assert fields_with(Others, like=True) == ("rate",) and Others().rate is None
    metadata = dataclasses.fields(Others)[0].metadata
    assert (metadata["help"], metadata["group"], metadata["positive"]) == ("faster", "here", True)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"count": 0}, "count is 0; give a whole number of at least 1"),
        ({"rate": float("inf")}, "rate is inf; give a positive number"),
        ({"class_": "cow"}, "class_ is cow; the valid values are none, cat, dog"),
    ],
)
def test_limits_are_checked(changes, sentence):
    check_limits(Options(rate=None))
    with pytest.raises(ConfigError, match=sentence):
        check_limits(Options(**changes))


def test_options_become_flags_and_texts_options():
    changed = Options(rate=None, class_="cat", hues=("a", "b"), fast=True)
    assert changed_flags(changed) == ["--rate=none", "--class=cat", "--hues=a,b", "--fast=true"]
    texts = {"rate": "none", "class_": "cat", "hues": "a,b", "fast": "true"}
    assert replace_from_text(Options(), texts) == changed
    with pytest.raises(ConfigError, match=r"no option 'cuont' \(did you mean count\?\)"):
        replace_from_text(Options(), {"cuont": "1"})
    with pytest.raises(ConfigError, match="count is 1.5: it takes a whole number"):
        replace_from_text(Options(), {"count": "1.5"})
    with pytest.raises(ConfigError, match="fast is maybe: it takes true or false"):
        replace_from_text(Options(), {"fast": "maybe"})


def test_values_of_other_libraries_become_plain_ones():
    given = [Path("a/b"), np.float32(0.5), np.int64(3), range(1, 3), np.array([1, 2]), [np.float64(1), (2,)], "x", None]
    values = [plain(value) for value in given]
    assert values == ["a/b", 0.5, 3, (1, 2), (1, 2), (1.0, (2,)), "x", None]
    assert [type(value) for value in values[:3]] == [str, float, int]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"lr_gen": "fast"}, "lr_gen is 'fast'; it takes a number."),
        ({"max_step": 10.5}, "max_step is 10.5; it takes a whole number."),
        ({"max_step": 100_000.0}, "max_step is 100000.0; it takes a whole number."),
        ({"results": 3}, "results is 3; it takes a text."),
        ({"jit": 1}, "jit is 1; it takes True or False."),
        ({"seed": True}, "seed is True; it takes a whole number."),
        ({"grid": (2, "x")}, "grid is (2, 'x'); it takes 2 values, each a whole number."),
        ({"grid": (2,)}, "grid is (2,); it takes 2 values, each a whole number."),
        ({"instance_noise": (1,)}, "instance_noise is (1,); it takes a number and a whole number or None."),
        ({"sigma": "mean"}, "sigma is 'mean'; it takes several values, each a number, 'median', or None."),
        ({"architecture": None}, "architecture is None; it takes a text or a dictionary."),
        ({"score_steps": ("a",)}, "score_steps is ('a',); it takes several values, each a whole number."),
    ],
)
def test_a_value_of_another_type_is_named(changes, sentence):
    with pytest.raises(ConfigError) as error:
        check_limits(Experiment(**changes))
    assert str(error.value) == sentence


def test_every_default_is_of_its_type():
    for field in dataclasses.fields(Experiment):
        assert Value(typing.get_type_hints(Experiment)[field.name]).takes(field.default), field.name
