"""From flags to runs, and what is refused before anything is trained."""

import dataclasses
import subprocess
import sys

import pytest

from mmdgan.cli.flags import parse
from mmdgan.core.errors import ConfigError
from mmdgan.data import synthetic
from study.points_options import (
    POINTS,
    FixedOptions,
    LearnedOptions,
    PointsSettings,
    fixed_settings,
    learned_settings,
    spread,
)
from study.report_points import study_rows
from tests.conftest import script_environment


def fixed(*flags):
    return fixed_settings(parse(FixedOptions(), flags, usage="").options)


def learned(*flags):
    return learned_settings(parse(LearnedOptions(), flags, usage="").options)


def test_every_distribution_is_of_the_plane():
    assert {synthetic.get(name).dimension for name in POINTS} == {2}


def test_a_run_for_each_width():
    runs = fixed("--sigma=0.05,0.2,1", "--points=grid", "--steps=7", "--batch_size=9", "--lr_gen=0.1", "--seed=3")
    assert [run.name for run in runs] == ["sigma 0.05", "sigma 0.2", "sigma 1"]
    assert [run.loss_options for run in runs] == [{"sigma": (0.05,)}, {"sigma": (0.2,)}, {"sigma": (1.0,)}]
    first = runs[0]
    assert (first.points, first.steps, first.batch_size, first.lr_gen, first.seed) == ("grid", 7, 9, 0.1, 3)
    assert not first.learned and first.loss == "mmd_g" and first.decay
    assert not fixed("--nodecay")[0].decay


def test_one_run_with_their_sum():
    [run] = fixed("--variance=2,5,10", "--mixture", "--biased", "--add_dot=0.1")
    assert run.name == "sum of variance 2, 5, 10"
    assert run.loss_options == {"variance": (2.0, 5.0, 10.0), "biased": True, "add_dot": 0.1}


def test_defaults_and_the_other_kernel():
    assert [run.loss_options for run in fixed()] == [{"sigma": (0.05,)}, {"sigma": (0.2,)}, {"sigma": (1.0,)}]
    runs = fixed("--kernel=rational_quadratic", "--alpha=0.1,10")
    assert [(run.loss, run.loss_options) for run in runs] == [("mmd_t", {"alpha": (0.1,)}), ("mmd_t", {"alpha": (10,)})]


def test_a_run_for_each_loss():
    runs = learned("--loss=rep_b,mmd_g", "--sigma=0.5", "--spectral=off", "--gain=2", "--lr_dis=0.3")
    assert [run.name for run in runs] == ["rep_b", "mmd_g"]
    assert [run.loss_options for run in runs] == [{"sigma": 0.5}, {"sigma": (0.5,)}]
    assert all(run.learned and not run.spectral and run.gain == 2 and run.lr_dis == 0.3 for run in runs)


def test_spectral_norms_are_for_the_losses_that_need_them():
    assert [run.spectral for run in learned("--loss=rep,hinge,wasserstein")] == [True, False, False]
    assert [run.spectral for run in learned("--loss=rep,hinge", "--spectral=on")] == [True, True]


def test_a_penaltys_weight_goes_to_the_losses_that_have_one():
    runs = learned("--loss=rep_gp,wasserstein,rep,hinge", "--penalty_weight=0.7")
    assert [run.penalty_weight for run in runs] == [0.7, 0.7, None, None]


def test_a_loss_without_a_critic_sees_the_points_themselves():
    assert [(run.learned, run.spectral) for run in learned("--loss=drift,rep_b", "--spectral=on")] == [
        (False, True),
        (True, True),
    ]


def test_seconds_instead_of_steps():
    [run] = learned("--loss=rep", "--seconds=2.5")
    assert run.seconds == 2.5
    assert learned("--loss=rep")[0].seconds is None


def test_quick_is_small():
    [run] = learned("--quick", "--loss=rep")
    assert (run.steps, run.snapshots, run.samples, run.permutations) == (300, 5, 500, 99)
    assert learned("--quick", "--loss=rep", "--steps=20")[0].steps == 20


@pytest.mark.parametrize(
    ("make", "flags", "words"),
    [
        (fixed, ["--sigma=0"], "sigma of the loss 'mmd_g' must be positive"),
        (fixed, ["--alpha=1"], "gaussian kernel has no alpha"),
        (fixed, ["--kernel=rational_quadratic", "--sigma=1"], "rational_quadratic kernel has no sigma"),
        (fixed, ["--sigma=1", "--variance=1"], "keep one of them"),
        (fixed, ["--points=square"], "the valid values are ring, grid"),
        (fixed, ["--steps=0"], "steps is 0"),
        (fixed, ["--seconds=0"], "seconds is 0"),
        (fixed, ["--lr_gen=-1"], "lr_gen is -1"),
        (fixed, ["--seed=-1"], "seed is -1"),
        (fixed, ["--batch_size=1"], "batch_size is 1"),
        (learned, ["--loss=repp"], "no loss named 'repp'.*did you mean rep"),
        (learned, ["--loss="], "loss is empty"),
        (learned, ["--loss=hinge", "--sigma=1"], "'hinge' has no option 'sigma'"),
        (learned, ["--loss=rep", "--add_dot=1"], "'rep' has no option 'add_dot'"),
        (learned, ["--loss=hinge,rep", "--penalty_weight=1"], "none of the losses has a penalty"),
    ],
)
def test_mistakes(make, flags, words):
    with pytest.raises(ConfigError, match=words):
        make(*flags)


def test_no_width_at_all():
    with pytest.raises(ConfigError, match="sigma is empty"):
        fixed_settings(FixedOptions(sigma=()))


def test_names_of_points_are_checked_from_python_too():
    with pytest.raises(ConfigError, match="points is 'cube'"):
        PointsSettings("mine", points="cube")


@pytest.mark.parametrize(("steps", "count"), [(3000, 25), (100, 5), (30, 25), (7, 3), (26, 2)])
def test_snapshots_begin_close_together_and_end_with_the_last_step(steps, count):
    found = list(spread(steps, count, 25))
    assert found[0] == 0 and found[-1] == steps and len(found) <= count
    assert found == sorted(set(found)) and all(step % 25 == 0 for step in found[:-1])


def test_the_studys_runs_have_names_of_their_own():
    rows = study_rows()
    assert len({row.name for row in rows}) == len(rows) >= 14
    assert {row.points for row in rows} == {"ring", "grid"}
    learned_losses = {row.loss for row in rows if row.learned}
    assert {"mmd_g", "rep", "rep_b", "hinge", "logistic", "wasserstein"} <= learned_losses
    assert len({str(row.loss_options) for row in rows if not row.learned and row.points == "ring"}) >= 3
    assert [dataclasses.replace(row, seed=0) for row in study_rows(seed=4)] == rows
    assert all(dataclasses.replace(row, steps=1) for row in rows)


def test_flags_need_neither_tensorflow_nor_numpy():
    code = (
        "import sys; import study.points, study.points_options, study.report_points;"
        "print(*({'tensorflow', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=script_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
