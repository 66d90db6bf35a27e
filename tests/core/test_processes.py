"""Worker processes: what they can import, their threads, their pipes, and their end."""

from __future__ import annotations

import json
import os
import sys

import pytest

from mmdgan.core.processes import THREAD_VARIABLES, end_workers, environment, start_worker

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
