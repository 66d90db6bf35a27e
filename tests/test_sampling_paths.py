"""mmdgan.sampling: paths against their closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from mmdgan.core.errors import ConfigError
from mmdgan.sampling import MODES, paths

MANY = 20_000  # components: lengths and angles of random codes are then nearly the expected ones


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.arccos(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)))


@pytest.mark.parametrize("mode", MODES)
def test_rows_are_one_long_way(mode):
    codes = paths(mode, 4, 5, 16, seed=3)
    assert codes.dtype == np.float32 and codes.shape == (4, 5, 16)
    for row in range(3):
        np.testing.assert_allclose(codes[row, -1], codes[row + 1, 0], atol=1e-6)
    np.testing.assert_array_equal(paths(mode, 2, 5, 16, seed=3), codes[:2])
    assert np.abs(paths(mode, 2, 5, 16, seed=4) - codes[:2]).max() > 0.1


def test_ends_are_standard_normal_and_the_same_for_all_modes():
    ends = [paths(mode, 3, 2, MANY) for mode in MODES]
    np.testing.assert_allclose(ends[0].std(axis=-1), 1, atol=0.03)
    np.testing.assert_allclose(ends[1], ends[0], atol=1e-5)
    np.testing.assert_allclose(ends[2], ends[0], atol=1e-5)


def test_slerp_turns_evenly():
    [codes] = paths("slerp", 1, 4, 12, seed=1).astype(np.float64)
    whole = _angle(codes[0], codes[-1])
    for frame in range(3):
        # All are in the plane of the ends, so that equal weights of sin((1 - t) angle) and sin(t angle) can be checked.
        share = frame / 3
        expected = np.sin((1 - share) * whole) * codes[0] + np.sin(share * whole) * codes[-1]
        np.testing.assert_allclose(codes[frame] * np.sin(whole), expected, atol=1e-5)


def test_linear_paths_are_straight_and_shorter_in_the_middle():
    [codes] = paths("linear", 1, 5, MANY)
    np.testing.assert_allclose(
        np.diff(codes, axis=0), np.broadcast_to((codes[-1] - codes[0]) / 4, (4, MANY)), atol=1e-5
    )
    np.testing.assert_allclose(codes[2].std(), np.sqrt(0.5), atol=0.02)


def test_sine_paths_keep_the_distribution():
    [codes] = paths("sine", 1, 4, MANY)
    np.testing.assert_allclose(codes[1], np.sqrt(0.75) * codes[0] + 0.5 * codes[3], atol=1e-5)
    np.testing.assert_allclose(codes.std(axis=-1), 1, atol=0.03)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("frames", [6, 7])
def test_loops_come_back_one_step_before_their_beginning(mode, frames):
    open_paths, loops = paths(mode, 3, 2, MANY), paths(mode, 1, frames, MANY, loop=True)
    corners = [open_paths[0, 0], open_paths[1, 0], open_paths[2, 0]]
    # The three corners are at right angles: every code of the loop is known from those two it is between.
    for frame, code in enumerate(loops[0]):
        side, share = divmod(3 * frame / frames, 1)
        a, b = corners[int(side)], corners[(int(side) + 1) % 3]
        weights = (1 - share, share) if mode == "linear" else (np.cos(share * np.pi / 2), np.sin(share * np.pi / 2))
        assert np.abs(code - weights[0] * a - weights[1] * b).mean() < 0.02
    steps = np.linalg.norm(np.roll(loops[0], -1, axis=0) - loops[0], axis=1)
    assert steps.max() < 1.02 * np.pi / 2 * np.sqrt(MANY) * 3 / frames  # no more than its share of an arc: no jump


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("slurp", 2, 3), r"mode is 'slurp' \(did you mean slerp\?\); the modes are slerp, linear, sine"),
        (("sine", 0, 3), "rows is 0"),
        (("sine", 1, 1), "frames is 1; a path has at least 2"),
    ],
)
def test_paths_that_cannot_be_made(arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        paths(*arguments, 8)
    with pytest.raises(ConfigError, match="a loop has at least 3"):
        paths("sine", 1, 2, 8, loop=True)
