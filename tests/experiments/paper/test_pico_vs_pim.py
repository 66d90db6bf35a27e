"""PICO, PIM and the exact norm against NumPy's SVD of dense operators; the published cells against the file itself."""

from __future__ import annotations

import csv
import math
from types import SimpleNamespace

import numpy as np
import pytest

from mmdgan.core.errors import ConfigError
from mmdgan.runs import published
from paper import pico_vs_pim
from paper.pico_vs_pim import SpectralOptions, converge, layer_norms, make, published_cells, published_text


def dense_convolution(kernel, height: int, width: int, stride: int) -> np.ndarray:
    """The matrix of a SAME convolution (TensorFlow's padding), by loops over outputs and kernel entries."""
    k, _, inputs, outputs = kernel.shape
    rows, columns = -(-height // stride), -(-width // stride)
    pads = [max((out - 1) * stride + k - size, 0) // 2 for out, size in ((rows, height), (columns, width))]
    matrix = np.zeros((rows, columns, outputs, height, width, inputs))
    for r in range(rows):
        for c in range(columns):
            for i in range(k):
                for j in range(k):
                    y, x = r * stride + i - pads[0], c * stride + j - pads[1]
                    if 0 <= y < height and 0 <= x < width:
                        matrix[r, c, :, y, x, :] += kernel[i, j].T
    return matrix.reshape(rows * columns * outputs, height * width * inputs)


def built(layer, shape):
    import keras

    keras.utils.set_random_seed(1)  # of the vector
    layer.build((None, *shape))
    rng = np.random.default_rng(3)
    layer.kernel.assign(rng.normal(size=layer.kernel.shape))
    return layer


@pytest.mark.parametrize(("stride", "size"), [(1, 3), (2, 4)])
@pytest.mark.parametrize("spectral", ["pico", "pim"])
def test_norms_of_a_convolution_are_singular_values_of_dense_matrices(stride, size, spectral):
    from mmdgan.layers import SpectralConv2D

    layer = built(SpectralConv2D(5, size, strides=stride, spectral=spectral, gain=2.0), (6, 8, 3))
    kernel = np.asarray(layer.kernel, np.float64)
    operator = np.linalg.svd(dense_convolution(kernel, 6, 8, stride), compute_uv=False)[0]
    matrix = np.linalg.svd(kernel.reshape(-1, 5), compute_uv=False)[0]
    before = np.asarray(layer.in_rand).copy()
    norms = layer_norms("l1", layer, 20_000)
    assert norms.exact == pytest.approx(operator, rel=1e-6)
    assert norms.pico == pytest.approx(operator, rel=1e-5)
    assert norms.pim == pytest.approx(matrix, rel=1e-5)
    assert norms.pico > 1.05 * norms.pim and norms.gain == 2 and norms.op == "c"
    # The stored vector is the iteration's of the layer's own mode, and stays as it was.
    np.testing.assert_array_equal(before, np.asarray(layer.in_rand))
    v = before.astype(np.float64).ravel()
    linear = dense_convolution(kernel, 6, 8, stride) if spectral == "pico" else kernel.reshape(-1, 5)
    linear = linear if linear.shape[1] == v.size else linear.T
    assert norms.stored == pytest.approx(np.linalg.norm(linear @ v), rel=1e-5)
    # A vector converges as the root of its norm's error.
    right = np.linalg.svd(linear)[2][0]
    assert norms.alignment == pytest.approx(abs(right @ v) / np.linalg.norm(v), abs=2e-2)


def test_dense_layers_have_one_norm_whatever_the_iteration():
    from mmdgan.layers import SpectralDense

    norms = layer_norms("l2", built(SpectralDense(4), (7,)), 20_000)
    assert norms.pico == norms.pim == pytest.approx(norms.exact, rel=1e-6)
    single = layer_norms("l3", built(SpectralDense(1), (7,)), 20_000)  # of one column: closed form, no vector
    assert single.pico == pytest.approx(single.exact, rel=1e-6)
    assert single.pico_iterations == 0 and math.isnan(single.alignment)


def test_what_has_not_converged_is_an_error():
    kernel = np.diag([1.0, 0.999, 0.998])
    with pytest.raises(ConfigError, match="of l9 has not converged in 5: give more --iterations"):
        converge("d", kernel, 5, "l9")
    found = converge("d", kernel, 100_000, "l9")
    assert found.sigma == pytest.approx(1, abs=1e-6) and found.iterations > 5
    assert np.linalg.norm(found.vector) == pytest.approx(1)


def test_published_cells_are_those_of_the_file():
    cells = published_cells()
    assert len(cells) == 4 * 4 * 6 and all(cell.pairs == 16 for cell in cells)
    [file] = [file for file in published.files() if file.name == "paper_results.csv"]
    raw = [row for row in csv.DictReader(file.open()) if row["block"] == "pico_vs_pim" and row["metric"] == "FID"]
    for cell in cells:
        data = "lsun_bedroom" if cell.data == "lsun" else cell.data
        of = [r["value"] for r in raw if (r["dataset"], r["loss"], r["variant"]) == (data, cell.loss, cell.variant)]
        assert cell.diverged == of.count("NaN")
        numbers = [float(value.rstrip(",")) for value in of if value != "NaN"]
        assert cell.best_fid == min(numbers, default=None)
    assert sum(cell.diverged for cell in cells if (cell.data, cell.loss) == ("lsun", "mmd_g")) == 96
    assert {(c.data, c.loss, c.variant): c.doubtful for c in cells if c.doubtful} == {("cifar10", "rep", "K=32"): 5}
    text = published_text(cells)
    # Best of PICO less PIM, by the numbers of the sheet: 16.635704 (K = 32) and 19.98.
    assert "| CIFAR-10 | MMD-rep | 18.51 (0) | 16.64 (2) |" in text and "| 19.98 (6) | -3.34 |" in text
    assert "| LSUN bedrooms | MMD-rbf | - (16) |" in text
    assert "| 53.17 (0) | +0.27 |" in text  # where PIM is better
    assert "not at hand" in published_text([])


def test_a_run_gives_figure_and_tables(tiny_run, tmp_path, capsys):
    output = make(SpectralOptions(out=str(tmp_path), runs=(str(tiny_run[1]),), iterations=50_000))
    endings = (".png", ".pdf", ".csv", "_published.csv", ".md")
    assert [file.name for file in output.files] == [f"pico_vs_pim{ending}" for ending in endings]
    rows = list(csv.DictReader((tmp_path / "pico_vs_pim.csv").open()))
    assert [row["layer"] for row in rows] == ["l1", "l2", "l3_s"]
    for row in rows:
        assert float(row["pico"]) == pytest.approx(float(row["exact"]), rel=1e-5)
        assert float(row["pico_over_pim"]) == pytest.approx(float(row["pico"]) / float(row["pim"]))
        assert float(row["stored_over_converged"]) <= 1 + 1e-4
    # A convolution whose stride is its kernel's size maps disjoint patches: both iterations agree.
    assert float(rows[0]["pico_over_pim"]) == pytest.approx(1, abs=1e-5)
    assert float(rows[1]["pico_over_pim"]) > 1
    assert "PICO > PIM in 1 of 2 convolutions" in capsys.readouterr().out


def test_every_kernel_of_a_block_has_its_norms(monkeypatch):
    from mmdgan import build_network

    layers = [
        {"name": "b", "type": "res", "out": 4, "w_nm": "s"},
        {"name": "s", "type": "project", "op": "d", "out": 1, "w_nm": "s", "in_reshape": [64]},
    ]
    critic = build_network(layers, (3, 4, 4), "dis", num_class=2)
    run = SimpleNamespace(name="r", folder=SimpleNamespace(load_critic=lambda step: (critic, 3)))
    monkeypatch.setattr(pico_vs_pim, "layer_norms", lambda name, layer, iterations: (name, layer.op))
    found = pico_vs_pim.run_norms(run, None, 10)
    assert found.norms == [
        ("b/kernel_0", "c"),
        ("b/kernel_1", "c"),
        ("b/kernel_sc", "c"),
        ("s", "d"),
        ("s/project", "project"),
    ]


def test_critics_without_spectral_norm_are_refused(tiny_run, tmp_path, monkeypatch):
    import mmdgan.networks

    monkeypatch.setattr(mmdgan.networks.Network, "spectral_layers", lambda self: {}, raising=True)
    with pytest.raises(ConfigError, match="no spectrally normalised layer"):
        make(SpectralOptions(out=str(tmp_path), runs=(str(tiny_run[1]),)))
