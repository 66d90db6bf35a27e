"""Conversions that are killed go on with the same command, and end as if nothing had happened."""

from __future__ import annotations

from tests.helpers import kill_conversions


def test_killed_at_random_moments(tmp_path):
    assert len(kill_conversions.series(tmp_path, 3, seed=4)) == 3
