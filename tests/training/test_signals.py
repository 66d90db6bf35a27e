"""Signals: their exception passes `except Exception`, and they end workers that wait for each other."""

import signal
import subprocess
import sys
import time

import pytest

from mmdgan.training import signals
from mmdgan.training.distribution import Replicas
from tests.conftest import script_environment

# A call that holds the main thread for good, as TensorFlow's wait for a worker does: a mutex locked twice.
WAITING = """
import ctypes, sys, time
from mmdgan.training import signals
signals.FORCED_SECONDS = 0.5
with {block}:
    mutex = ctypes.create_string_buffer(128)
    lock = ctypes.CDLL(None).pthread_mutex_lock
    lock(mutex)
    print("waiting", flush=True)
    lock(mutex)
"""


def test_interrupted_passes_except_exception():
    with pytest.raises(KeyboardInterrupt) as caught:
        try:
            raise signals.Interrupted(3, signal.SIGTERM)
        except Exception:
            pytest.fail("a loop that goes on after an error has swallowed it")
    assert (caught.value.step, caught.value.signal) == (3, signal.SIGTERM)


@pytest.mark.parametrize(
    ("block", "sent", "status"),
    [
        ("signals.deadly()", [signal.SIGINT], -signal.SIGINT),
        ("signals.deadly()", [signal.SIGTERM], -signal.SIGTERM),
        ("signals.collected(forced=True)", [signal.SIGINT, signal.SIGINT], 128 + signal.SIGINT),
        ("signals.collected(forced=True)", [signal.SIGTERM, signal.SIGTERM], 128 + signal.SIGTERM),
        ("signals.collected(forced=True)", [signal.SIGINT, signal.SIGTERM], 128 + signal.SIGTERM),
    ],
)
def test_signals_end_a_process_that_waits(block, sent, status):
    command = [sys.executable, "-c", WAITING.format(block=block)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=script_environment()) as process:
        try:
            assert process.stdout.readline() == "waiting\n"
            for number in sent:
                process.send_signal(number)
                time.sleep(0.1)
            assert process.wait(20) == status
        finally:
            process.kill()


def test_the_first_signal_is_answered_while_the_main_thread_is_held():
    code = WAITING.format(
        block='signals.collected(forced=True, answer=lambda number: print("got", number, flush=True))'
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=script_environment()
    ) as process:
        try:
            assert process.stdout.readline() == "waiting\n"
            for number in (signal.SIGINT, signal.SIGINT):
                process.send_signal(number)
                time.sleep(0.1)
            assert process.stdout.read() == f"got {int(signal.SIGINT)}\n"
        finally:
            process.kill()


def test_forced_signals_that_are_handled_end_nothing(monkeypatch):
    monkeypatch.setattr(signals, "FORCED_SECONDS", 0.05)
    with signals.collected(forced=True) as received:
        for number in (signal.SIGTERM, signal.SIGTERM):
            signal.raise_signal(number)
        time.sleep(0.2)
    assert received == [signal.SIGTERM] * 2
    with pytest.raises(KeyboardInterrupt), signals.collected(forced=True):
        for number in (signal.SIGINT, signal.SIGINT):
            signal.raise_signal(number)
    time.sleep(0.2)


@pytest.mark.parametrize("error", [ValueError("x"), MemoryError(), RuntimeError("of a callback"), KeyboardInterrupt()])
def test_every_error_reaches_the_other_workers(error, monkeypatch):
    replicas, said = Replicas(), []

    def agree(*values):
        said.append(values)
        return list(values)

    monkeypatch.setattr(replicas, "agree", agree)

    def fail():
        raise error

    with pytest.raises(type(error)):
        replicas.all_succeed(fail)
    assert said == [(1,)]
    monkeypatch.setattr(replicas, "agree", lambda *values: [1])
    with pytest.raises(Exception, match="another worker cannot go on"):
        replicas.all_succeed(lambda: 3)
