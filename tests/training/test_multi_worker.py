"""Two processes on the loopback interface: the step of one device, agreement, and runs that survive their workers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from mmdgan.training import divergence
from mmdgan.training.checkpoints import saved_steps
from tests.conftest import PROJECT, script_environment
from tests.helpers.replicas import WAYS, images, moves, small_gan

pytestmark = pytest.mark.slow


def addresses(count: int = 2) -> str:
    """Free ports of this machine; another program could take one before it is used."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    found = ",".join(f"127.0.0.1:{one.getsockname()[1]}" for one in sockets)
    for one in sockets:
        one.close()
    return found


def start(*words: str, **options) -> subprocess.Popen:
    command = [sys.executable, *words]
    return subprocess.Popen(command, env=script_environment(), stderr=subprocess.STDOUT, text=True, **options)


def test_two_processes_make_the_step_of_one_device(tmp_path):
    files, where = [tmp_path / f"{index}.npz" for index in range(2)], addresses()
    program = ["-m", "tests.helpers.worker_program"]
    workers = [start(*program, str(file), where, str(i), cwd=PROJECT) for i, file in enumerate(files)]
    assert [worker.wait(600) for worker in workers] == [0, 0]
    chief, other = (dict(np.load(file)) for file in files)
    assert chief.keys() == other.keys()
    for name in chief:  # weights, moving averages, vectors, coins, losses and statistics, after 50 steps too
        np.testing.assert_array_equal(chief[name], other[name], err_msg=name)
    assert chief["agreed"].tolist() == [1, 5] and chief["broadcast"].tolist() == [100, 0.25]
    assert chief["state/global_step"] == 50 and chief["state/loss/probability"] > 0
    for loss in ("rep", "wasserstein"):
        losses, moved = moves(small_gan(loss), images(8))
        for name, value in losses.items():
            assert chief[f"{loss}/losses/{name}"] == pytest.approx(value, abs=1e-5 * max(1, abs(value))), name
        for name, move in moved.items():
            error, size = np.linalg.norm(chief[f"{loss}/moved/{name}"] - move), np.linalg.norm(move)
            assert error <= 1e-5 * size + 2.4e-7 * np.sqrt(move.size), (loss, name, error, size)
    for way, options in WAYS.items():
        gan = small_gan("rep", **({} if way == "jit" else options))
        expected = gan.steps(np.stack([images(8, step) for step in range(2)]))["loss_dis"]
        np.testing.assert_allclose(chief[f"way/{way}"], expected, atol=2e-3 if way == "fp16" else 1e-5, err_msg=way)


def run_words(tiny_architecture: str, where: str, index: str, results, *more: str) -> list[str]:
    """The command line of one worker of a run."""
    flags = f"--architecture={tiny_architecture} --data=sample --loss=rep_b --batch_size=8 --metrics= --grid=2,3"
    flags += f" --strategy=multi_worker --workers={where} --worker_index={index} --results={results} --run_name=run"
    return ["-m", "mmdgan", "train", *flags.split(), "--rounds=1", "--query_step=40", *more]


def wait_for(condition, seconds: float = 400) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_killed_worker_comes_back_and_all_resume_together(tiny_architecture, tmp_path):
    """A supervisor restarts each worker that fails, as systemd does; the chief alone writes."""
    results, steps = tmp_path / "results", "--max_step=300"
    words = run_words(tiny_architecture, addresses(), "{index}", results, steps, "--save_every=20")
    supervisor = start("-m", "tests.helpers.supervisor", str(tmp_path), "2", sys.executable, *words, cwd=PROJECT)
    run = results / "sample" / "run"
    wait_for(lambda: saved_steps(run / "checkpoints"))
    os.kill(int((tmp_path / "1.pids").read_text().split()[0]), signal.SIGKILL)
    assert supervisor.wait(600) == 0
    logs = [(tmp_path / f"{index}.log").read_text() for index in range(2)]
    resumed = [re.findall(r"Resuming .* after step (\d+)", log) for log in logs]
    assert resumed[0] and resumed[0] == resumed[1] and int(resumed[0][-1]) >= 20
    assert "another worker is gone" in logs[0]
    assert "Done: 300 steps" in logs[0] and "Done" not in logs[1]
    assert saved_steps(run / "checkpoints")[-1] == 300
    assert [file.name for file in (run / "samples").iterdir()] == ["300.png"]
    assert json.loads((run / "config.json").read_text())["experiment"]["workers"] == []


def test_a_signal_to_one_worker_stops_all_after_one_step(tiny_architecture, tmp_path):
    where, workers = addresses(), []
    for index in range(2):
        words = run_words(tiny_architecture, where, str(index), tmp_path, "--max_step=1000000", "--save_every=1000000")
        with (tmp_path / f"{index}.log").open("w") as log:
            workers.append(start(*words, cwd=tmp_path, stdout=log))
    wait_for(lambda: "step 1/" in (tmp_path / "0.log").read_text())
    workers[1].send_signal(signal.SIGTERM)
    assert [worker.wait(300) for worker in workers] == [143, 143]
    stopped = [re.search(r"interrupted after step (\d+)", (tmp_path / f"{i}.log").read_text())[1] for i in range(2)]
    assert stopped[0] == stopped[1] and int(stopped[0]) % 10 == 0
    assert saved_steps(tmp_path / "sample" / "run" / "checkpoints") == [int(stopped[0])]


def test_a_mistake_that_the_chief_alone_can_see_stops_all(tiny_architecture, tiny_run, tmp_path):
    """The chief's run directory holds a run of another seed; the other worker has none, and makes none."""
    where, workers = addresses(), []
    shutil.copytree(tiny_run[1], tmp_path / "0" / "sample" / "run")
    for index in range(2):
        words = run_words(tiny_architecture, where, str(index), tmp_path / str(index), "--max_step=4", "--seed=1")
        with (tmp_path / f"{index}.log").open("w") as log:
            workers.append(start(*words, cwd=tmp_path, stdout=log))
    assert [worker.wait(300) for worker in workers] == [2, 2]
    logs = [(tmp_path / f"{index}.log").read_text() for index in range(2)]
    assert "holds a run of another configuration: seed (0 there, 1 now)" in logs[0]
    assert "another worker cannot go on" in logs[1]
    assert not (tmp_path / "1").exists()


def finished(tiny_architecture: str, results, *more: str) -> tuple[list[int], list[str]]:
    """Exit statuses and logs of two workers of a run; the second one does not see the run's directory."""
    where, workers = addresses(), []
    for index in range(2):
        with (results / f"{index}.log").open("w") as log:
            words = run_words(tiny_architecture, where, str(index), results / ("unseen" if index else ""), *more)
            workers.append(start(*words, cwd=results, stdout=log))
    return [worker.wait(300) for worker in workers], [(results / f"{i}.log").read_text() for i in range(2)]


def test_all_workers_go_back_together_and_give_up_together(tiny_architecture, tmp_path):
    """A limit that every first step exceeds: three attempts more, with the same numbers on both workers."""
    flags = "--max_step=4", "--on_divergence=rollback", "--divergence_limit=1e-9"
    statuses, logs = finished(tiny_architecture, tmp_path, *flags)
    assert statuses == [3, 3]
    for attempt in (1, 2, 3):
        assert f"with other random numbers, {attempt} of at most 3 times" in logs[0]
    run = tmp_path / "sample" / "run"
    assert [line["action"] for line in divergence.records(run)] == ["rollback", "rollback", "rollback", "stop"]


def test_after_a_damaged_checkpoint_all_workers_resume_from_the_same_step(tiny_architecture, tmp_path):
    flags = "--save_every=2", "--keep=9"
    assert finished(tiny_architecture, tmp_path, "--max_step=4", *flags)[0] == [0, 0]
    checkpoints = tmp_path / "sample" / "run" / "checkpoints"
    [newest] = checkpoints.glob("*-4.data-*")
    newest.write_bytes(newest.read_bytes()[:100])
    statuses, logs = finished(tiny_architecture, tmp_path, "--max_step=6", *flags)
    assert statuses == [2, 2] and "--fallback goes on from the one before, of step 2" in logs[0]
    statuses, logs = finished(tiny_architecture, tmp_path, "--max_step=6", "--fallback", *flags)
    assert statuses == [0, 0]
    assert "It is moved aside" in logs[0]
    assert re.findall(r"Resuming .* after step (\d+)", logs[0]) == re.findall(r"after step (\d+)", logs[1]) == ["2"]
    assert saved_steps(checkpoints)[-1] == 6 and not (tmp_path / "unseen").exists()
