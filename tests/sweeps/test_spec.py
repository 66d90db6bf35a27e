"""What a sweep's file may say, which runs come of it, and what is refused before anything starts."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import changed_flags
from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps import Sweep, choice, integers, loguniform, uniform
from mmdgan.sweeps.spec import expand, load, run_name
from tests.helpers.sweep_helpers import tiny_base, write_spec


def test_parts_are_multiplied_and_the_first_varies_slowest():
    sweep = Sweep(
        name="a",
        points=[{"seed": 1}, {"seed": 2}],
        zip={"loss": ["rep", "rep_b"], "cross_bound": [False, True]},
        grid={"lr_dis": [1e-4, 1e-3], "lr_gen": [2e-4, 3e-4, 4e-4]},
    )
    expected = [
        {"seed": seed, "loss": loss, "cross_bound": bound, "lr_dis": dis, "lr_gen": gen}
        for seed in (1, 2)
        for loss, bound in (("rep", False), ("rep_b", True))
        for dis, gen in itertools.product((1e-4, 1e-3), (2e-4, 3e-4, 4e-4))
    ]
    assert list(sweep.values()) == expected
    assert list(Sweep(name="b").values()) == [{}]


def test_draws_are_of_their_distributions_and_a_longer_search_begins_as_a_shorter_one():
    space = {
        "lr_dis": loguniform(1e-4, 1e-2),
        "sigma": uniform(1, 3),
        "seed": integers(3, 5),
        "loss": choice("rep", "hinge"),
    }
    long, short = (list(Sweep(name="a", space=space, trials=n, seed=7).values()) for n in (2000, 20))
    assert long[:20] == short
    assert short != list(Sweep(name="a", space=space, trials=20, seed=8).values())
    logs = sorted(math.log10(point["lr_dis"]) for point in long)
    # The largest distance of a uniform sample of 2,000 from its distribution is below 0.0365 in 99% of all cases.
    assert max(abs(x - (-4 + 2 * (i + 0.5) / 2000)) / 2 for i, x in enumerate(logs)) < 0.0365
    sigmas = sorted(point["sigma"] for point in long)
    assert max(abs(x - (1 + 2 * (i + 0.5) / 2000)) / 2 for i, x in enumerate(sigmas)) < 0.0365
    counts = [sum(point["seed"] == seed for point in long) for seed in (3, 4, 5)]
    assert sum(counts) == 2000 and all(abs(count - 667) < 90 for count in counts)  # four standard deviations
    assert abs(sum(point["loss"] == "rep" for point in long) - 1000) < 90
    # A drawn number has four digits, so that a run's name tells all of it.
    assert all(float(f"{point['lr_dis']:.4g}") == point["lr_dis"] for point in long)
    state = random.getstate()
    list(Sweep(name="a", space=space, trials=3).values())
    assert random.getstate() == state


def test_runs_are_named_by_their_fields_and_checked(tiny_architecture):
    base = tiny_base(tiny_architecture, results="here")
    points = expand(Sweep(name="a", base=base, grid={"rep_lambda": [-1, 0.5], "lr_dis": [1e-4]}))
    assert [point.run for point in points] == ["rep_lambda=-1.0,lr_dis=0.0001", "rep_lambda=0.5,lr_dis=0.0001"]
    assert points[0].experiment.folder().path.as_posix() == "here/sweeps/a/sample/rep_lambda=-1.0,lr_dis=0.0001"
    assert points[0].experiment.loss_function() is not None and points[0].experiment.rep_lambda == -1.0
    assert expand(Sweep(name="a", base=base), results="there")[0].experiment.folder().path.as_posix() == (
        "there/sweeps/a/sample/base"
    )
    assert (
        run_name({"architecture": "my files/x.py:A", "omega": (0.1, 0.9)})
        == "architecture=my_files_x.py_A,omega=0.1_0.9"
    )
    long = {"architecture": "x" * 300}
    assert len(run_name(long)) <= 180 and run_name(long) != run_name({"architecture": "x" * 300 + "y"})


def test_the_base_has_values_as_its_flags_would_give_them(tiny_architecture):
    [point] = expand(Sweep(name="a", base=tiny_base(tiny_architecture, keep_best="none", lr_gen=1)))
    assert point.experiment.keep_best is None and isinstance(point.experiment.lr_gen, float)
    with pytest.raises(ConfigError, match="sweep a, base: batch_size is 8.5: it takes a whole number"):
        expand(Sweep(name="a", base=tiny_base(tiny_architecture, batch_size=8.5)))


def test_the_flags_of_a_run_make_it_again():
    from mmdgan.cli import flags

    experiment = Experiment(rep_lambda=-0.5, cross_bound=True, loss="rep_b", metrics=(), grid=(3, 4), save_every=None)
    assert flags.parse(Experiment(), changed_flags(experiment), usage="").options == experiment


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ("grid={'lr_dsi': [1e-4]}", ["point 1 (lr_dsi=0.0001)", "no field 'lr_dsi'", "did you mean lr_dis?"]),
        ("grid={'lr_dis': [1e-4, -1.0]}", ["point 2 (lr_dis=-1.0)", "lr_dis is -1.0", "positive"]),
        ("grid={'batch_size': [8.5]}", ["point 1", "batch_size", "whole number"]),
        ("grid={'loss': ['rep', 'repp']}", ["point 2 (loss=repp)", "repp"]),
        ("grid={'loss': ['rep'], 'penalty_weight': [1.0]}", ["point 1", "penalty_weight", "no penalty"]),
        ("grid={'run_name': ['a']}", ["run_name cannot vary"]),
        ("grid={'seed': [1, 1]}", ["point 2 (seed=1)", "twice"]),
        ("grid={'seed': 3}", ["seed has the values 3", "list"]),
        ("grid={'loss': 'rep'}", ["loss has the values 'rep'", "list"]),
        ("zip={'seed': [1, 2], 'lr_dis': [1e-4]}", ["2 of seed, 1 of lr_dis"]),
        ("grid={'seed': [1]}, points=[{'seed': 2}]", ["seed stands in two"]),
        ("space={'lr_dis': loguniform(1e-4, 1e-3)}", ["trials is 0"]),
        ("space={'lr_dis': [1e-4]}, trials=2", ["space has lr_dis", "grid"]),
        ("space={'lr_dis': loguniform(1e-3, 1e-4)}, trials=2", ["the smaller one first"]),
        ("trials=1 / 0", ["fails in line 4", "ZeroDivisionError"]),
    ],
)
def test_mistakes_name_the_point_and_the_field(tmp_path, tiny_architecture, parts, words):
    file = write_spec(tmp_path, tiny_base(tiny_architecture), parts)
    with pytest.raises(ConfigError) as caught:
        expand(load(file))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_files_without_a_sweep(tmp_path):
    with pytest.raises(ConfigError, match="there is no file"):
        load(tmp_path / "no.py")
    (tmp_path / "empty.py").write_text("SWEEEP = 1\n")
    with pytest.raises(ConfigError, match="has no SWEEP"):
        load(tmp_path / "empty.py")
    (tmp_path / "other.py").write_text("SWEEP = {}\n")
    with pytest.raises(ConfigError, match="SWEEP that is dict"):
        load(tmp_path / "other.py")
    for wrong in ("a/b", "", ".."):
        with pytest.raises(ConfigError, match="names a folder"):
            Sweep(name=wrong)


@pytest.mark.parametrize(
    ("name", "count"), [("figure3", 192), ("figure3_small", 96), ("published_tables", 384), ("example", 8)]
)
def test_the_shipped_sweeps_have_their_runs(name, count):
    from tests.conftest import PROJECT

    sweep = load(PROJECT / "experiments" / "sweeps" / f"{name}.py")
    values = list(sweep.values())
    assert sweep.name == name and len(values) == count
    assert len({run_name(value) for value in values}) == count
