"""Child processes: their status, time, threads and log; and that they end with their parent, in order."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from mmdgan.core.processes import THREAD_VARIABLES, Supervisor, SupervisorStopped, processor_seconds
from tests.conftest import script_environment
from tests.helpers import signals

SLEEPER = """
import signal, sys, time
def end(number, frame):
    print("saved", flush=True)
    sys.exit(5)
signal.signal(signal.SIGTERM, {handler})
print("begun", flush=True)
time.sleep(60)
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def wait_for(condition) -> None:
    until = time.monotonic() + 30
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    assert condition()


def test_status_time_and_log(tmp_path):
    log = tmp_path / "new" / "a.log"
    code = "import sys, time; print('one'); t = time.process_time\nwhile t() < 0.3: pass\nprint(t()); sys.exit(3)"
    ended = Supervisor().run(python(code), log)
    told = log.read_text().split()
    assert ended.status == 3 and told[0] == "one"
    assert float(told[1]) - 0.01 <= ended.seconds < float(told[1]) + 1.0
    assert Supervisor().run(python("import os; print('two', flush=True); os.kill(os.getpid(), 9)"), log).status == -9
    assert log.read_text().split()[2:] == ["two"]


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_threads_are_those_that_were_asked_for(threads, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    log = tmp_path / "a.log"
    code = f"import json, os; print(json.dumps([os.environ.get(name) for name in {THREAD_VARIABLES}]))"
    Supervisor(threads).run(python(code), log)
    here = [os.environ.get(name) for name in THREAD_VARIABLES]
    assert json.loads(log.read_text()) == (here if threads is None else [str(threads)] * len(THREAD_VARIABLES))


def test_a_child_is_told_to_end_when_its_processor_time_is_used_up(tmp_path):
    log = tmp_path / "a.log"
    busy = SLEEPER.format(handler="end").replace("time.sleep(60)", "while time.process_time() < 30: pass")
    ended = Supervisor().run(python(busy), log, seconds=1.0)
    assert ended.status == 5 and 0.9 < ended.seconds < 10 and log.read_text().split() == ["begun", "saved"]
    # One that ends before is not waited for.
    assert Supervisor().run(python(""), seconds=20.0).status == 0


def test_stop_lets_children_save_and_no_other_begin(tmp_path):
    children, log, ended = Supervisor(), tmp_path / "a.log", []
    code = SLEEPER.format(handler="end")
    thread = threading.Thread(target=lambda: ended.append(children.run(python(code), log)))
    thread.start()
    wait_for(lambda: log.is_file() and "begun" in log.read_text())
    children.stop()
    thread.join(20)
    assert [one.status for one in ended] == [5] and log.read_text().split() == ["begun", "saved"]
    with pytest.raises(SupervisorStopped, match="was not started"):
        children.run(python(""))


def test_a_child_that_does_not_heed_is_killed(tmp_path):
    children, log, ended = Supervisor(), tmp_path / "a.log", []
    code = SLEEPER.format(handler="signal.SIG_IGN")
    thread = threading.Thread(target=lambda: ended.append(children.run(python(code), log)))
    thread.start()
    wait_for(lambda: log.is_file() and "begun" in log.read_text())
    children.stop(patience=0.2)
    thread.join(20)
    assert [one.status for one in ended] == [-signal.SIGKILL]


def test_an_interrupted_parent_ends_its_child_before_itself(tmp_path):
    log = tmp_path / "a.log"
    words = python(SLEEPER.format(handler="end"))
    run = f"Supervisor().run({words}, pathlib.Path({str(log)!r}))"
    parent = f"import pathlib; from mmdgan.core.processes import Supervisor; {run}"
    process = subprocess.Popen(
        python(parent),
        env=script_environment(),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=signals.handle_interrupts,
    )
    wait_for(lambda: log.is_file() and "begun" in log.read_text())
    process.send_signal(signal.SIGINT)  # to the parent alone
    _, told = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in told and log.read_text().split() == ["begun", "saved"]


def test_processor_time_is_that_of_the_process():
    assert abs(processor_seconds(os.getpid()) - time.process_time()) < 1.5
    child = subprocess.Popen(python(""))
    child.wait()
    assert processor_seconds(child.pid) == math.inf
