"""mmdgan.sampling: codes that depend on seed and index alone, images that depend on their code alone."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest
from scipy import stats

from mmdgan import build_generator, load_architecture
from mmdgan.core.errors import ConfigError
from mmdgan.sampling import (
    MODES,
    cycled_labels,
    feature_codes,
    generate,
    generate_batches,
    grid_codes,
    paths,
    random_codes,
    read_codes,
    score_codes,
    score_labels,
    simple_grid,
    sine_codes,
    to_uint8,
    truncated_codes,
)


def test_codes_are_standard_normal_and_reproducible():
    codes = random_codes(20_000, 4, seed=3)
    assert codes.dtype == np.float32 and codes.shape == (20_000, 4)
    np.testing.assert_allclose(codes.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(codes.T), np.eye(4), atol=0.05)
    np.testing.assert_array_equal(codes, random_codes(20_000, 4, seed=3))
    assert not np.array_equal(codes, random_codes(20_000, 4, seed=4))


def test_more_codes_begin_with_the_same_ones():
    np.testing.assert_array_equal(random_codes(50, 128, 1)[:7], random_codes(7, 128, 1))


def test_grid_scores_and_samples_use_different_codes():
    streams = [make(5, 8, 0) for make in (grid_codes, score_codes, random_codes)]
    for first in range(3):
        for second in range(first):
            assert np.abs(streams[first] - streams[second]).max() > 0.1


@pytest.mark.parametrize("truncation", [0.02, 0.5, 1.5])
def test_truncated_codes_are_those_of_the_cut_off_normal(truncation):
    codes = truncated_codes(4000, 5, truncation, seed=2)
    assert codes.dtype == np.float32 and codes.shape == (4000, 5) and np.abs(codes).max() <= truncation
    # 20,000 draws: the largest difference of the distribution functions is under 1.63 / sqrt(n) in 99 of 100 cases.
    distance = stats.kstest(codes.ravel(), stats.truncnorm(-truncation, truncation).cdf).statistic
    assert distance < 1.63 / math.sqrt(codes.size)
    # Components are independent: those that were drawn again, too.
    np.testing.assert_allclose(np.corrcoef(codes.T), np.eye(5), atol=0.06)


def test_truncation_changes_only_what_is_beyond_it():
    codes, truncated = random_codes(300, 7, 4), truncated_codes(300, 7, 1.0, 4)
    within = np.abs(codes) <= 1
    np.testing.assert_array_equal(truncated[within], codes[within])
    assert (truncated[~within] != codes[~within]).all()
    np.testing.assert_array_equal(truncated_codes(300, 7, 6.0, 4), codes)
    np.testing.assert_array_equal(truncated_codes(20, 7, 1.0, 4), truncated[:20])
    assert (truncated_codes(20, 7, 1.0, 5) != truncated[:20]).any()


@pytest.mark.parametrize("truncation", [0.0, -1.0, math.nan])
def test_truncation_at_nothing_is_refused(truncation):
    with pytest.raises(ConfigError, match="greater than 0"):
        truncated_codes(2, 3, truncation)


def test_components_beyond_the_truncation_are_drawn_anew_by_the_seed():
    one, two = (truncated_codes(50, 8, 0.5, seed) for seed in (1, 2))
    beyond = [np.abs(random_codes(50, 8, seed)) > 0.5 for seed in (1, 2)]
    both = beyond[0] & beyond[1]
    assert both.sum() > 100 and not (one == two)[both].any()


@pytest.mark.parametrize(("mesh", "span"), [((4, 3), math.pi / 4), ((2, 5), math.pi / 2), ((1, 3), 0.7), ((3, 1), 0.7)])
def test_sine_mesh_is_the_originals_formula(mesh, span):
    z = np.random.default_rng(0).normal(size=(4, 6))
    codes = sine_codes(mesh, 6, supports=z, span=span)
    m0, m1 = mesh
    assert codes.dtype == np.float32 and codes.shape == (m0 * m1, 6)
    for i in range(m1):
        for j in range(m0):
            phi = span * j / (m0 - 1) if m0 > 1 else 0
            psi = span * i / (m1 - 1) if m1 > 1 else 0
            first = math.cos(psi) * z[0] + math.sin(psi) * z[1]
            second = math.cos(psi) * z[2] + math.sin(psi) * z[3]
            expected = math.cos(phi) * first + math.sin(phi) * second
            np.testing.assert_allclose(codes[i * m0 + j], expected, rtol=1e-5, atol=1e-6)


def test_sine_mesh_ends_half_way_and_with_the_double_span_at_the_supports():
    z = np.eye(4, dtype=np.float32)
    corners = sine_codes((3, 2), 4, supports=z).reshape(2, 3, 4)[[0, 1, 0, 1], [0, 0, 2, 2]]
    half = math.sqrt(0.5)
    np.testing.assert_allclose(
        corners, [[1, 0, 0, 0], [half, half, 0, 0], [half, 0, half, 0], [0.5, 0.5, 0.5, 0.5]], atol=1e-6
    )
    corners = sine_codes((3, 2), 4, supports=z, span=math.pi / 2).reshape(2, 3, 4)[[0, 1, 0, 1], [0, 0, 2, 2]]
    np.testing.assert_allclose(corners, z, atol=1e-6)


def test_sine_mesh_is_standard_normal_and_seeded():
    codes = sine_codes((4, 5), 20_000, seed=1)
    np.testing.assert_allclose(codes.std(axis=1), 1, atol=0.03)
    np.testing.assert_array_equal(codes, sine_codes((4, 5), 20_000, seed=1))
    assert np.abs(codes[0] - sine_codes((4, 5), 20_000, seed=2)[0]).mean() > 0.5
    assert np.abs(codes[0] - random_codes(1, 20_000, 1)[0]).mean() > 0.5
    with pytest.raises(ConfigError, match=r"shape \(3, 6\); a sine mesh takes \(4, 6\)"):
        sine_codes((4, 5), 6, supports=np.zeros((3, 6)))


def test_feature_mesh_changes_one_component_per_row():
    codes = feature_codes((3, 5), 8, seed=1, grid=1.5)
    assert codes.dtype == np.float32 and codes.shape == (15, 8)
    columns = []
    for feature in range(3):
        rows = codes[feature * 5 : feature * 5 + 5]
        [column] = np.flatnonzero(np.abs(rows).sum(axis=0))
        np.testing.assert_allclose(rows[:, column], [-1.5, -0.75, 0, 0.75, 1.5], rtol=1e-6)
        columns.append(column)
    assert len(set(columns)) == 3
    np.testing.assert_array_equal(codes, feature_codes((3, 5), 8, seed=1, grid=1.5))


def test_feature_mesh_draws_its_components():
    """The permutation is of the columns: over seeds, each component is shown first equally often."""
    first = [np.flatnonzero(feature_codes((1, 2), 4, seed=seed)[1])[0] for seed in range(400)]
    np.testing.assert_allclose(np.bincount(first, minlength=4) / 400, 0.25, atol=0.08)
    all_of_them = np.abs(feature_codes((4, 2), 4, seed=5)).max(axis=0)
    np.testing.assert_array_equal(all_of_them, [2, 2, 2, 2])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: feature_codes((9, 3), 8), "mesh of 9 rows needs as many components, but the codes have 8"),
        (lambda: feature_codes((2, 3), 8, grid=0), "grid is 0"),
        (lambda: feature_codes((2, 0), 8), "mesh is 2,0"),
        (lambda: sine_codes((-1, 3), 8), "mesh is -1,3"),
    ],
)
def test_meshes_that_cannot_be_made(make, sentence):
    with pytest.raises(ConfigError, match=sentence):
        make()


def test_simple_grid_goes_through_the_second_component_first():
    codes, x, y = simple_grid((3, 2), x_range=(0, 4))
    np.testing.assert_array_equal(x, [0, 2, 4])
    np.testing.assert_array_equal(y, [-1, 1])
    np.testing.assert_array_equal(codes, [[0, -1], [0, 1], [2, -1], [2, 1], [4, -1], [4, 1]])
    assert codes.dtype == np.float32


def test_codes_of_a_file(tmp_path):
    codes = np.random.default_rng(0).normal(size=(5, 3))
    np.save(tmp_path / "a.npy", codes)
    np.savez(tmp_path / "a.npz", codes=codes)
    np.savez(tmp_path / "b.npz", codes=codes, labels=np.arange(5))
    for name, expected in (("a.npy", None), ("a.npz", None), ("b.npz", np.arange(5)[:, None])):
        read, labels = read_codes(tmp_path / name)
        assert read.dtype == np.float32
        np.testing.assert_allclose(read, codes, rtol=1e-6)
        assert (labels is None) if expected is None else (labels.dtype == np.int32 and (labels == expected).all())


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none.npy", None, "none.npy does not exist"),
        ("text.npy", "hello", "text.npy cannot be read"),
        ("text.npz", "hello", "text.npz cannot be read"),
        ("empty.npy", "", "empty.npy cannot be read"),
        ("flat.npy", np.zeros(4), r"flat.npy are float64 \(4,\)"),
        ("nan.npy", np.full((2, 3), np.nan), "must be finite"),
        ("words.npy", np.array([["a"]]), "must be finite numbers"),
        ("objects.npy", np.array([[None]]), "objects.npy cannot be read"),
        ("others.npz", {"images": np.zeros((2, 3))}, "others.npz holds images; it must have the codes"),
        ("short.npz", {"codes": np.zeros((2, 3)), "labels": np.zeros(3, int)}, r"labels of .* int64 \(3,\)"),
        ("halves.npz", {"codes": np.zeros((2, 3)), "labels": np.zeros(2)}, "must be whole numbers"),
    ],
)
def test_files_that_hold_no_codes(tmp_path, name, content, sentence):
    if isinstance(content, str):
        (tmp_path / name).write_text(content)
    elif isinstance(content, dict):
        np.savez(tmp_path / name, **content)
    elif content is not None:
        np.save(tmp_path / name, content, allow_pickle=True)
    with pytest.raises(ConfigError, match=sentence):
        read_codes(tmp_path / name)


def test_labels_of_a_grid_cycle_by_column():
    labels = cycled_labels(15, 3, columns=5)
    assert labels.dtype == np.int32 and labels.shape == (15, 1)
    np.testing.assert_array_equal(labels.reshape(3, 5), [[0, 1, 2, 0, 1]] * 3)
    np.testing.assert_array_equal(cycled_labels(7, 3)[:, 0], [0, 1, 2, 0, 1, 2, 0])


def test_labels_of_scores_are_uniform_and_begin_alike():
    labels = score_labels(6000, 4, seed=3)
    assert labels.dtype == np.int32 and labels.shape == (6000, 1)
    np.testing.assert_allclose(np.bincount(labels[:, 0]) / 6000, 1 / 4, atol=0.03)
    np.testing.assert_array_equal(score_labels(50, 4, seed=3), labels[:50])
    assert (score_labels(50, 4, seed=4) != labels[:50]).any()


@pytest.mark.parametrize("num_class", [0, 1])
def test_unconditional_generators_get_no_labels(num_class):
    assert cycled_labels(5, num_class) is None
    assert score_labels(5, num_class) is None


def test_pixels_are_rounded_clipped_and_inverted_exactly():
    pixels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(pixels.astype(np.float32) / 127.5 - 1), pixels)
    np.testing.assert_array_equal(to_uint8(np.array([-3.0, 0.0, 1.001, 5.0])), [0, 128, 255, 255])


@pytest.fixture(scope="module")
def generator(tiny_architecture):
    return build_generator(load_architecture(tiny_architecture))


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_images_do_not_depend_on_the_batch(generator, batch_size):
    codes = random_codes(7, 8)
    direct = generator(codes, training=False).numpy()
    images = generate(generator, codes, batch_size=batch_size)
    assert images.shape == (7, 32, 32, 3) and images.dtype == np.uint8
    expected = np.clip(direct, -1, 1) * 127.5 + 127.5
    assert np.abs(images - expected).max() <= 0.5 + 1e-3


def test_channels_first_models_give_the_same_pictures(generator):
    codes = random_codes(4, 8)

    class Transposed:
        """What a channels_first generator returns, on a CPU that cannot run one."""

        data_format = "channels_first"

        def __call__(self, inputs, training):
            import tensorflow as tf

            return tf.transpose(generator(inputs, training=training), (0, 3, 1, 2))

    np.testing.assert_array_equal(generate(Transposed(), codes), generate(generator, codes))


def test_a_conditional_generator_gets_its_labels(tiny_architecture):
    architecture = load_architecture(tiny_architecture.replace(":TINY", ":CONDITIONAL"))
    conditional = build_generator(architecture, num_class=3)
    for variable in conditional.trainable_variables:
        if variable.path.endswith("scale"):  # ones: classes would not differ
            variable.assign([[[[1.0] * 6]], [[[2.0] * 6]], [[[3.0] * 6]]])
    codes, labels = random_codes(5, 8), np.array([[0], [1], [2], [0], [1]])
    direct = conditional({"x": codes, "y": labels}, training=False).numpy()
    np.testing.assert_array_equal(generate(conditional, codes, labels, batch_size=2), to_uint8(direct))
    assert (generate(conditional, codes, labels * 0) != to_uint8(direct)).any()


def test_many_rounds_of_samples_bring_no_warning(generator, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("tensorflow"), "propagate", True)
    for _ in range(8):
        generate(generator, random_codes(2, 8), batch_size=2)
    assert "retracing" not in caplog.text


def test_progress_counts_to_the_end(generator):
    seen = []
    generate(generator, random_codes(7, 8), batch_size=3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(3, 7), (6, 7), (7, 7)]


def test_batches_come_one_at_a_time(generator):
    codes, made = random_codes(7, 8), []
    batches = generate_batches(generator, codes, batch_size=3, progress=lambda done, total: made.append(done))
    start, first = next(batches)
    assert (start, len(first), made) == (0, 3, [])
    rest = list(batches)
    assert [start for start, _ in rest] == [3, 6]
    images = np.concatenate([first, *(images for _, images in rest)])
    np.testing.assert_array_equal(images, generate(generator, codes))


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
