"""Which direction of a score is better, and how the protocols of two scores differ."""

from __future__ import annotations

import pytest

from mmdgan.metrics.registry import direction
from mmdgan.report.scores import differences, protocol_of
from tests.helpers.report_records import score


@pytest.mark.parametrize(
    ("metric", "sign"),
    [
        ("FID", -1),
        ("FD[classifier]", -1),
        ("FD[keras:a b]", -1),
        ("FID real-real", 0),
        ("FD[classifier] real-real", 0),
        ("IS", 1),
        ("CS[classifier] (10 splits)", 1),
        ("CS[classifier] real", 0),
        ("CS[classifier] real (10 splits)", 0),
        ("KID", -1),
        ("recall[inception]", 1),
        ("SWD 32x32", -1),
        ("SWD mean real-real", 0),
        ("intra FID", -1),
        ("near copies[pixels]", 0),
        ("something else", 0),
    ],
)
def test_direction(metric, sign):
    assert direction(metric) == sign


def test_every_difference_of_protocol_is_said():
    one = score("FD[x]", 1.0)
    for name, value in {
        "features": "inception",
        "feature_hash": "12",
        "resize": "clean",
        "data": "b",
        "split": "test",
    }.items():
        [text] = differences({**one, name: value}, one)
        assert text.endswith(f"{value}, not {one[name]}")
        assert protocol_of({**one, name: value}) != protocol_of(one)
    assert differences({**one, "value": 9.0, "seconds": 3.0, "time": "now"}, one) == []
    assert protocol_of({**one, "value": 9.0, "seconds": 3.0, "time": "now"}) == protocol_of(one)
    without = {name: value for name, value in one.items() if name != "resize"}
    assert differences(without, one) == ["resize unknown, not none"]
    last = {**one, "weights": "last"}
    assert differences({**one, "weights": "ema"}, one) == []
    assert differences(last, one) == ["generator's weights last, not as in training"]
    assert protocol_of(last) != protocol_of(one) == protocol_of({**one, "weights": "ema"})
