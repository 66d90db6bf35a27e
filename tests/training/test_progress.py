"""The line of progress, on a terminal and in a file."""

import io
import time

import pytest

from mmdgan.core.text import duration
from mmdgan.training.trainer import Pace, Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_line_says_step_losses_speed_and_time_left():
    stream = io.StringIO()
    Progress(2000, stream).update(500, {"loss_gen": -0.12345678, "loss_dis": 1234.5}, 98.76, 0.5)
    assert stream.getvalue() == "step 500/2000  loss_gen -0.1235  loss_dis 1234  98.8 images/s  12:30 left\n"


def test_a_file_gets_a_line_now_and_then_and_the_last_one():
    stream = io.StringIO()
    progress = Progress(None, stream, interval=0.2)
    progress.update(1, {}, last_step=9)
    progress.update(2, {}, last_step=9)
    time.sleep(0.25)
    progress.update(3, {}, last_step=9)
    progress.update(4, {}, last_step=9)
    progress.close()
    progress.close()
    assert stream.getvalue() == "step 1/9\nstep 3/9\nstep 4/9\n"


def test_a_terminal_gets_one_line_rewritten():
    stream = Terminal()
    progress = Progress(9, stream)
    progress.update(1, {"loss_gen": -0.25})
    time.sleep(0.25)
    progress.update(2, {"loss_gen": 5})
    progress.close()
    long, short = "step 1/9  loss_gen -0.25", "step 2/9  loss_gen 5"
    assert stream.getvalue() == f"\r{long}\r{short}{' ' * (len(long) - len(short))}\n"


def test_silence():
    progress = Progress(9, None)
    progress.update(1, {"loss_gen": 1.0}, 2.0, 3.0)
    progress.close()


def test_the_default_is_what_standard_error_is_at_the_time(capsys):
    Progress(9).update(1, {})
    assert capsys.readouterr() == ("", "step 1/9\n")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (360000, "100:00:00")])
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_pace_leaves_pauses_out():
    pace = Pace(window=2)
    assert pace.seconds_per_step is None
    assert pace.mean_seconds_per_step is None
    time.sleep(0.2)
    pace.resume()
    time.sleep(0.1)
    pace.count(10)
    time.sleep(0.2)
    pace.resume()
    pace.count(10)
    assert pace.seconds == pytest.approx(0.1, abs=0.05)
    assert pace.mean_seconds_per_step == pytest.approx(0.005, abs=0.0025)
    pace.count(10)
    assert pace.seconds_per_step < 0.001
