"""Short texts for messages."""

import pytest

from mmdgan.core.text import duration, first_line


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (360000, "100:00:00")])
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("no room\nat all", "no room"),
        ("", "OSError"),
        ("{{function_node __wrapped__SaveV2}} a/b; No space left [Op:SaveV2] name: x", "a/b; No space left"),
    ],
)
def test_the_first_line_of_an_error_has_no_marks_of_tensorflow(message, line):
    assert first_line(OSError(message)) == line
