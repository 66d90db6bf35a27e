"""Two processes on the loopback interface: the step of one device, agreement, and runs that survive their workers."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.conftest import PROJECT, script_environment
from tests.training.replicas import images, moves, small_gan

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
    program = ["-m", "tests.training.worker_program"]
    workers = [start(*program, str(file), where, str(i), cwd=PROJECT) for i, file in enumerate(files)]
    assert [worker.wait(600) for worker in workers] == [0, 0]
    chief, other = (dict(np.load(file)) for file in files)
    assert chief.keys() == other.keys()
    for name in chief:  # weights, moving averages, vectors, coins, losses and statistics, after 50 steps too
        np.testing.assert_array_equal(chief[name], other[name], err_msg=name)
    assert chief["agreed"].tolist() == [1, 5] and chief["broadcast"] == 100
    assert chief["state/global_step"] == 50 and chief["state/loss/probability"] > 0
    for loss in ("rep", "wasserstein"):
        losses, moved = moves(small_gan(loss), images(8))
        for name, value in losses.items():
            assert chief[f"{loss}/losses/{name}"] == pytest.approx(value, abs=1e-5 * max(1, abs(value))), name
        for name, move in moved.items():
            error, size = np.linalg.norm(chief[f"{loss}/moved/{name}"] - move), np.linalg.norm(move)
            assert error <= 1e-5 * size + 2.4e-7 * np.sqrt(move.size), (loss, name, error, size)
