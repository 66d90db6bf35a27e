"""Worker processes: results, faults, and an end that comes with their parent's, whatever they are doing."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time

import pytest

from mmdgan.core import workers
from mmdgan.core.errors import DataError
from mmdgan.core.workers import THREAD_VARIABLES, end_workers, environment, run_jobs, start_worker


def square(number, report):
    report(number)
    print("noise on standard output, which must not disturb the messages")
    return os.getpid(), number**2


def sleep(seconds, report):
    time.sleep(seconds)


def fail(number, report):
    raise DataError(f"job {number}\nfailed")


def leave(number, report):
    os._exit(7)


def test_results_and_reports():
    reported: list[int] = []
    results = dict(run_jobs(square, range(20), 3, reported.append))
    assert [results[number][1] for number in range(20)] == [number**2 for number in range(20)]
    assert 1 < len({process for process, _ in results.values()} | {os.getpid()}) <= 4
    assert os.getpid() not in {process for process, _ in results.values()}
    assert sum(reported) == sum(range(20))


def test_large_jobs_and_results():
    [(number, (_, size))] = run_jobs(measure, [bytes(5_000_000)], 1, lambda images: None)
    assert (number, len(size)) == (0, 5_000_000)


def measure(content, report):
    return os.getpid(), content


def test_faults():
    with pytest.raises(DataError, match="^job 0\nfailed$"):
        list(run_jobs(fail, range(1), 1, lambda images: None))
    with pytest.raises(DataError, match="ended with status 7"):
        list(run_jobs(leave, range(3), 1, lambda images: None))
    with pytest.raises(RuntimeError, match="A worker process failed:(.*\n)*.*TypeError"):
        list(run_jobs(square, ["x"], 1, lambda images: None))


@pytest.mark.parametrize("busy", [False, True])
def test_workers_end_with_their_parent(busy, tmp_path):
    """A closed standard input is what a parent killed by signal 9 leaves; until then the lock is held."""
    path = tmp_path / "lock"
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = workers._start([lock.fileno()])
        workers._send(process.stdin, (sleep, 60.0 if busy else 0.0))
        if not busy:
            assert [workers._message(process)[0] for _ in range(2)] == ["images", "done"]
    try:
        with open(path) as other:
            with pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            process.stdin.close()
            assert process.wait(10) == 0
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_an_abandoned_iteration_ends_the_workers():
    results = run_jobs(square, range(3), 2, lambda images: None)
    _, (worker, _) = next(results)
    results.close()
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


MODULE = f"""
import json, os, sys

def work():
    answer = [sys.stdin.readline().strip(), [os.environ.get(name) for name in {THREAD_VARIABLES}], os.getsid(0)]
    print(json.dumps(answer), flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("threads", [1, 3])
def test_a_worker_imports_what_this_process_can_and_has_the_threads_that_were_asked_for(threads, tmp_path, monkeypatch):
    (tmp_path / "my_worker.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    process = start_worker("my_worker:work", env=environment(threads))
    try:
        process.stdin.write(b"a job\n")
        job, variables, session = json.loads(process.stdout.readline())
    finally:
        end_workers([process])
    assert job == "a job" and variables == [str(threads)] * len(THREAD_VARIABLES)
    assert session == process.pid != os.getsid(0)  # out of reach of Ctrl-C at the terminal
    assert process.returncode == -9 and process.stdin.closed and process.stdout.closed


def test_a_worker_ends_when_its_input_does(tmp_path, monkeypatch):
    (tmp_path / "my_worker.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    process = start_worker("my_worker:work")
    process.stdin.close()
    assert process.wait(20) == 0
    end_workers([process])
