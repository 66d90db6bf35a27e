"""Spectral norms over a run: exact ones by NumPy's SVD of the whole operator, training's by one product with it."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from mmdgan import report
from mmdgan.core.errors import CheckpointError, ConfigError
from mmdgan.layers.conditional import ScaledDense
from mmdgan.layers.linear import SpectralConv2D, SpectralSeparableConv2D
from mmdgan.report.spectra import exact_norm, layer_norm
from mmdgan.runs.folder import RunFolder


@pytest.fixture(scope="module")
def history(tiny_run):
    return report.spectral_history(RunFolder.open(tiny_run[1]))


def dense(kernel, side, stride):
    """The matrix of a SAME convolution of square images, (side^2 in, (side / stride)^2 out), pixel by pixel."""
    size, _, channels, filters = kernel.shape
    out = -(-side // stride)
    before = max((out - 1) * stride + size - side, 0) // 2
    matrix = np.zeros((side, side, channels, out, out, filters))
    for i, j in np.ndindex(out, out):
        for a, b in np.ndindex(size, size):
            row, column = i * stride + a - before, j * stride + b - before
            if 0 <= row < side and 0 <= column < side:
                matrix[row, column, :, i, j] += kernel[a, b]
    return matrix.reshape(side * side * channels, -1)


def test_every_kept_checkpoint_has_every_normalised_layer(history):
    layers = ["dis/l1/kernel", "dis/l2/kernel", "dis/l3_s/kernel"]
    assert [(row.step, row.layer) for row in history] == [(step, layer) for step in (2, 4) for layer in layers]


def test_exact_norms_are_those_of_the_whole_operator(tiny_run, history):
    for step in (2, 4):
        critic, _ = RunFolder.open(tiny_run[1]).load_critic(step)
        kernels = {name: np.asarray(layer.kernel) for name, layer in critic.spectral_layers().items()}
        matrices = {
            "dis/l1/kernel": dense(kernels["dis/l1/kernel"], 32, 4),
            "dis/l2/kernel": dense(kernels["dis/l2/kernel"], 8, 1),
            "dis/l3_s/kernel": kernels["dis/l3_s/kernel"],
        }
        for row in history:
            if row.step == step:
                assert row.exact == pytest.approx(np.linalg.svd(matrices[row.layer], compute_uv=False)[0], rel=1e-6)
                assert row.ratio == pytest.approx(row.sigma / row.exact, rel=1e-12)
                assert 0.1 < row.ratio <= 1 + 1e-6


def test_sigma_is_one_product_with_the_stored_vector(tiny_run, history):
    critic, _ = RunFolder.open(tiny_run[1]).load_critic(4)
    layer = critic.spectral_layers()["dis/l2/kernel"]
    image = np.asarray(layer.in_rand, np.float64).ravel() @ dense(np.asarray(layer.kernel), 8, 1)
    [row] = [row for row in history if (row.step, row.layer) == (4, "dis/l2/kernel")]
    assert row.sigma == pytest.approx(np.linalg.norm(image), rel=1e-5)


def test_steps_and_layers_can_be_chosen(tiny_run):
    folder, seen = RunFolder.open(tiny_run[1]), []
    rows = report.spectral_history(folder, [4], ["dis/l3"], lambda *count: seen.append(count))
    assert [(row.step, row.layer) for row in rows] == [(4, "dis/l3_s/kernel")] and seen == [(1, 1)]
    with pytest.raises(ConfigError, match="No spectrally normalised layer is named gen; there are dis/l1/kernel, dis/"):
        report.spectral_history(folder, layers=["gen"])
    with pytest.raises(CheckpointError, match="2, 4"):
        report.spectral_history(folder, [3])


def test_the_norm_of_a_layer_trained_with_pim_is_still_its_own():
    layer = SpectralConv2D(2, 3, spectral="pim", data_format="channels_last", name="pim")
    layer.build((None, 5, 5, 2))
    kernel = np.asarray(layer.kernel)
    assert exact_norm(layer) == pytest.approx(np.linalg.svd(dense(kernel, 5, 1))[1][0], rel=1e-6)
    matrix = kernel.reshape(-1, 2)
    assert not np.isclose(exact_norm(layer), np.linalg.svd(matrix)[1][0], rtol=1e-2)
    vector = np.asarray(layer.in_rand)
    assert layer_norm(1, "pim", layer).sigma == pytest.approx(np.linalg.norm(vector @ matrix.T), rel=1e-5)


def test_separable_convolutions_have_the_norm_of_their_product():
    keras.utils.set_random_seed(0)
    layer = SpectralSeparableConv2D(3, 3, data_format="channels_last", name="separable")
    layer.build((None, 4, 4, 2))
    product = np.einsum(
        "abi,io->abio", np.asarray(layer.depthwise_kernel)[..., 0], np.asarray(layer.pointwise_kernel)[0, 0]
    )
    assert exact_norm(layer) == pytest.approx(np.linalg.svd(dense(product, 4, 1))[1][0], rel=1e-6)


def test_of_a_kernel_per_class_the_class_of_the_largest_norm_is_told():
    keras.utils.set_random_seed(0)
    layer = ScaledDense(4, num_class=3, name="scaled")
    layer.build((None, 5))
    scales = np.array([[0.1] * 4, [2.0, -0.5, 1.0, 0.0], [-0.3] * 4], np.float32)
    layer.c_kernel.assign(scales)
    kernel = np.asarray(layer.kernel)
    norms = [np.linalg.svd(kernel * (1 + scale))[1][0] for scale in scales]
    assert np.argmax(norms) == 1
    row = layer_norm(7, "scaled", layer)
    assert row.exact == pytest.approx(norms[1], rel=1e-6)
    image = (kernel * (1 + scales[1])) @ np.asarray(layer.in_rand)[1]
    assert row.sigma == pytest.approx(np.linalg.norm(image), rel=1e-5)


def test_a_layer_of_zeros_has_no_ratio():
    layer = SpectralConv2D(2, 3, kernel_initializer="zeros", data_format="channels_last", name="zeros")
    layer.build((None, 4, 4, 2))
    row = layer_norm(0, "zeros", layer)
    assert row.exact == 0 and np.isnan(row.ratio)
