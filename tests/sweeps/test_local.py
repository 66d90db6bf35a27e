"""The local engine: every run in a process of its own, results kept, nothing repeated, however the sweep is killed."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mmdgan.cli import program
from mmdgan.core.errors import ConfigError
from mmdgan.core.options import changed_flags
from mmdgan.core.workers import THREAD_VARIABLES, environment
from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps.folder import Outcome, SweepFolder
from mmdgan.sweeps.spec import Sweep, expand, load
from mmdgan.sweeps.worker import write_hparams
from tests.conftest import script_environment
from tests.helpers.command_line import status
from tests.helpers.hparams_table import hparams_table
from tests.helpers.sweep_helpers import start, tiny_base, write_spec


def weights(run) -> dict[str, np.ndarray]:
    """The arrays of a run's newest checkpoint."""
    import tensorflow as tf

    from mmdgan.training.checkpoints import saved_steps

    reader = tf.train.load_checkpoint(str(run / "checkpoints" / f"ckpt-{saved_steps(run / 'checkpoints')[-1]}"))
    names = [name for name in reader.get_variable_to_shape_map() if name.endswith("VARIABLE_VALUE")]
    return {name: reader.get_tensor(name) for name in names}


@pytest.fixture(scope="module")
def done(tiny_architecture, tmp_path_factory):
    """A sweep of three runs, one of which diverges at once: (its file, its folder, what it printed)."""
    place = tmp_path_factory.mktemp("sweep")
    base = tiny_base(tiny_architecture, results=str(place / "R"))
    parts = "points=[{'lr_dis': 1e-4}, {'lr_dis': 1e-3}, {'lr_dis': 1e-2, 'divergence_limit': 1e-9}], metric='swd'"
    file = write_spec(place, base, parts)
    process = start(place, str(file), "--jobs=1", "--threads=1")
    text = process.communicate(timeout=300)[0]
    assert process.returncode == 0, text
    return file, SweepFolder(place / "R" / "sweeps" / "tiny"), text


def test_each_run_is_a_result_and_an_ordinary_run(done):
    file, folder, text = done
    states = folder.states()
    assert [(outcome.status, outcome.step) for _, outcome in states] == [
        ("finished", 4),
        ("finished", 4),
        ("diverged", 1),
    ]
    assert [point.run for point, _ in states][:2] == ["lr_dis=0.0001", "lr_dis=0.001"]
    assert "[3 of 3] lr_dis=0.01,divergence_limit=1e-09: diverged at step 1" in text
    assert "Done: 2 finished, 1 diverged." in text
    point, outcome = states[0]
    assert outcome.engine == "local" and outcome.threads == 1 and outcome.seconds > 0 and outcome.attempt == 1
    run = point.experiment.folder()
    assert run.steps() == [4] and (run.grid_file(4)).is_file()
    assert Experiment.load(run.path).lr_dis == 1e-4


def test_tensorboard_has_a_row_for_each_run(done):
    _, folder, _ = done
    columns, metrics, rows = hparams_table(folder.path)
    assert columns == ["divergence_limit", "lr_dis"] and metrics == ["loss/generator", "loss/critic"]
    assert sorted((values["lr_dis"], status) for status, values, _ in rows) == [(1e-4, 1), (1e-3, 1), (1e-2, 2)]
    assert all(found["loss/generator"] == found["loss/generator"] for status, _, found in rows if status == 1)


def test_a_run_without_scores_takes_no_column_from_the_others(tiny_architecture, tmp_path):
    base = tiny_base(tiny_architecture, results=str(tmp_path))
    sweep = Sweep(name="tiny", base=base, grid={"lr_dis": [1e-4, 1e-3]}, metric="swd")
    folder = SweepFolder(tmp_path / "sweeps" / "tiny")
    first, second = folder.begin("tiny", "swd", base, expand(sweep))
    folder.write(Outcome(first.run, "finished", 4, ({"metric": "SWD mean", "value": 0.5, "spread": None},)))
    folder.write(Outcome(second.run, "diverged", 1))
    write_hparams(folder)
    assert hparams_table(folder.path)[:2] == (["lr_dis"], ["score/SWD mean", "loss/generator", "loss/critic"])


@pytest.mark.slow
def test_a_run_equals_the_same_run_alone(done, tmp_path):
    """Forked after another one, with TensorFlow imported before the fork: the same bits as a fresh process's."""
    _, folder, _ = done
    point = folder.points()[1]
    alone = dataclasses.replace(point.experiment, results=str(tmp_path), run_name="alone")

    command = [sys.executable, "-m", "mmdgan", "train", *changed_flags(alone)]
    threads = {name: environment(1)[name] for name in THREAD_VARIABLES}
    subprocess.run(command, check=True, capture_output=True, env=script_environment() | threads)
    ours, other = weights(point.experiment.folder().path), weights(alone.folder().path)
    assert len(ours) > 10 and set(ours) == set(other)
    assert all(np.array_equal(ours[name], other[name]) for name in ours)


def test_nothing_is_repeated_and_points_may_be_added(done, tiny_architecture, capsys):
    file, folder, _ = done
    before = {path.name: path.stat().st_mtime_ns for path in (folder.path / "outcomes").iterdir()}
    assert status("sweep", str(file)) == 0
    assert "Done: 2 finished, 1 diverged." in capsys.readouterr().out
    assert {path.name: path.stat().st_mtime_ns for path in (folder.path / "outcomes").iterdir()} == before
    base = load(file).base
    longer = Sweep(name="tiny", base=base, grid={"lr_dis": [1e-4, 2e-4]}, metric="swd")
    points = folder.begin("tiny", "swd", base, expand(longer))
    assert [point.run for point in points] == ["lr_dis=0.0001", "lr_dis=0.0002"]
    assert len(folder.points()) == 4 and folder.state(points[1]).status == "waiting"
    other = dataclasses.replace(base, batch_size=16, lr_dis=3e-4)
    with pytest.raises(ConfigError, match=r"another base: batch_size \(8 there, 16 now\)\. Give"):
        folder.begin("tiny", "swd", other, expand(dataclasses.replace(longer, base=other)))
    # A field more in the grid does not rename the runs that are there.
    seeds = Sweep(name="tiny", base=base, grid={"lr_dis": [1e-4], "seed": [0, 1]}, metric="swd")
    names = [point.run for point in folder.begin("tiny", "swd", base, expand(seeds))]
    assert names == ["lr_dis=0.0001", "lr_dis=0.0001,seed=1"]


def test_status_table_and_best(done, capsys, tmp_path):
    _, folder, _ = done
    assert status("sweep", "status", str(folder.path)) == 0
    text = capsys.readouterr().out
    assert "2 finished, 1 diverged" in text and "diverged at step 1: lr_dis=0.01,divergence_limit=1e-09" in text
    assert status("sweep", "table", str(folder.path), f"--csv={tmp_path / 'all.csv'}") == 0
    assert "diverged" in capsys.readouterr().out
    lines = (tmp_path / "all.csv").read_text().splitlines()
    assert lines[0].startswith("run,lr_dis,") and lines[1].startswith("lr_dis=0.0001,0.0001,")
    assert status("sweep", "best", str(folder.path)) == program.BAD_USE
    assert "no finished run has the score swd" in capsys.readouterr().err
    assert status("sweep", "table", "nosuch", f"--results={folder.path.parents[1]}") == program.BAD_USE
    assert "there are tiny" in capsys.readouterr().err


@pytest.mark.slow
def test_a_failure_is_told_and_tried_again(tiny_architecture, tmp_path):
    """A run that cannot be saved fails; once that is mended, the sweep goes on."""
    base = tiny_base(tiny_architecture, results=str(tmp_path / "R"))
    file = write_spec(tmp_path, base, "grid={'lr_dis': [1e-4]}")
    obstacle = tmp_path / "R" / "sweeps" / "tiny" / "sample" / "lr_dis=0.0001"
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("in the way")
    process = start(tmp_path, str(file), "--threads=1")
    text = process.communicate(timeout=300)[0]
    assert process.returncode == program.BAD_USE and "1 of 1 runs failed" in text and "tried again" not in text
    obstacle.unlink()
    process = start(tmp_path, str(file), "--threads=1")
    assert "Done: 1 finished." in process.communicate(timeout=300)[0] and process.returncode == 0


@pytest.mark.slow
def test_sigterm_saves_what_is_under_way(tiny_architecture, tmp_path):
    base = tiny_base(tiny_architecture, results=str(tmp_path / "R"), max_step=100_000, save_every=None, save_secs=None)
    file = write_spec(tmp_path, base, "grid={'lr_dis': [1e-4, 1e-3]}")
    process = start(tmp_path, str(file), "--jobs=2", "--threads=1")
    folder = SweepFolder(tmp_path / "R" / "sweeps" / "tiny")

    def both_train():
        logs = list(folder.path.glob("logs/lr*.log"))
        return len(logs) == 2 and all("step" in log.read_text() for log in logs)

    try:
        _wait(both_train, 240)
        time.sleep(2)
        process.send_signal(signal.SIGTERM)
        text = process.communicate(timeout=180)[0]
    finally:
        process.kill()  # where it has not ended by itself, its runs must not go on
    assert process.returncode == 143 and "the sweep was interrupted after 0 of 2 runs" in text
    for point, outcome in folder.states():
        assert outcome.status == "interrupted" and outcome.step > 0
        assert point.experiment.folder().steps() == [outcome.step]


@pytest.mark.slow
def test_three_kills_repeat_nothing_and_change_nothing(tiny_architecture, tmp_path):
    """After three kill -9 of a sweep, its workers are gone, its runs are done once, and the results are the same."""
    folders = {}
    for name in ("calm", "killed"):
        place = tmp_path / name
        place.mkdir()
        base = tiny_base(tiny_architecture, results=str(place / "R"), max_step=200, save_every=20, deterministic=True)
        file = write_spec(place, base, "grid={'lr_dis': [1e-4, 1e-3], 'seed': [0, 1]}")
        folder = folders[name] = SweepFolder(place / "R" / "sweeps" / "tiny")
        for kill in range(3 if name == "killed" else 0):
            _start_and_kill(place, file, folder, kill)
        process = start(place, str(file), "--jobs=2", "--threads=1")
        text = process.communicate(timeout=300)[0]
        assert process.returncode == 0, text
    calm, killed = ({point.run: (point, outcome) for point, outcome in f.states()} for f in folders.values())
    assert list(calm) == list(killed) and all(outcome.status == "finished" for _, outcome in killed.values())
    for run, (point, _) in calm.items():
        one, other = weights(point.experiment.folder().path), weights(killed[run][0].experiment.folder().path)
        assert all(np.array_equal(one[name], other[name]) for name in one)
    # Some run was interrupted and resumed, none that had finished was started again.
    resumed = [log.read_text().count("Resuming") for log in (folders["killed"].path / "logs").glob("lr*.log")]
    assert sum(resumed) >= 2
    assert all(log.read_text().count("Done: ") == 1 for log in (folders["killed"].path / "logs").glob("lr*.log"))


def _start_and_kill(place, file, folder: SweepFolder, kill: int) -> None:
    """Kills a sweep when so many runs are done and another has a checkpoint; its workers follow, records stay."""
    process, before = start(place, str(file), "--jobs=2", "--threads=1"), _outcomes(folder)
    _wait(lambda: _begun(folder) > len(_outcomes(folder)) >= kill, 240)
    process.kill()
    process.communicate()
    _wait(lambda: not _processes(place), 10)
    after = _outcomes(folder)
    assert all(after[name] == text for name, text in before.items())


def _outcomes(folder: SweepFolder) -> dict[str, str]:
    """The records of ended runs, by file name."""
    return {path.name: path.read_text() for path in folder.path.glob("outcomes/[!.]*.json")}


def _begun(folder: SweepFolder) -> int:
    """How many runs have a checkpoint."""
    return len({path.parent for path in folder.path.glob("sample/*/checkpoints/ckpt-*.index")})


def _processes(place) -> list[str]:
    """Processes that have a file below a folder open."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and int(entry) != os.getpid():
            try:
                links = [os.readlink(f"/proc/{entry}/fd/{fd}") for fd in os.listdir(f"/proc/{entry}/fd")]
            except OSError:
                continue
            found += [entry] * any(link.startswith(str(place)) for link in links)
    return found


def _wait(condition, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.05)
