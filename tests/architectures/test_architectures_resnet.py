"""The residual presets against the tables of their sources, counted by hand, and what the sources do that they do not.

Widths and order of the blocks: Miyato et al. 2018, Tables 4 to 6; pfnet-research/sngan_projection (64 pixels);
Gulrajani et al. 2017, appendix; Zhang et al. 2019 and brain-research/self-attention-gan. All have codes of 128 numbers.
"""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

import mmdgan
from mmdgan.design import load_architecture, parse_architecture
from mmdgan.runs.experiment import Experiment

ROOT = Path(__file__).resolve().parents[2]
CODE = 128

# Side of the first images and channels of the generator; channels of the critic and its blocks that halve the side.
TABLES = {
    "sngan/32": (4, [256, 256, 256, 256], [128, 128, 128, 128], 2),
    "sngan/48": (6, [512, 256, 128, 64], [64, 128, 256, 512, 1024], 4),
    "sngan/64": (4, [1024, 512, 256, 128, 64], [64, 128, 256, 512, 1024], 5),
    "sngan/128": (4, [1024, 1024, 512, 256, 128, 64], [64, 128, 256, 512, 1024, 1024], 5),
    "sagan/64": (4, [1024, 512, 256, 128, 64], [64, 128, 256, 512, 1024], 5),
    "sagan/128": (4, [1024, 1024, 512, 256, 128, 64], [64, 128, 256, 512, 1024, 1024], 5),
    "wgan_gp/32": (4, [128, 128, 128, 128], [128, 128, 128, 128], 2),
}
ATTENDED = {"sagan/64": (128, 64), "sagan/128": (256, 128)}
"""Channels at 32x32 pixels, of generator and critic."""


def conv(kernel: int, before: int, after: int) -> int:
    """Weights and biases."""
    return kernel * kernel * before * after + after


def source_generator(side: int, widths: list[int], classes: int) -> int:
    """Parameters of a source's generator."""
    total = CODE * side * side * widths[0] + side * side * widths[0]
    for before, after in zip(widths, widths[1:], strict=False):
        total += conv(3, before, after) + conv(3, after, after) + conv(1, before, after)
        total += 2 * max(classes, 1) * (before + after)  # scales and shifts of two normalisations
    return total + 2 * widths[-1] + conv(3, widths[-1], 3)


def source_critic(widths: list[int], halvings: int, classes: int, wide: bool) -> int:
    """Parameters of a source's critic; `wide`: first convolutions of a block give what the block gives."""
    total, before = 0, 3
    for index, after in enumerate(widths):
        hidden = after if wide or index == 0 else before
        total += conv(3, before, hidden) + conv(3, hidden, after)
        if index < halvings or before != after:
            total += conv(1, before, after)
        before = after
    return total + before + 1 + classes * before


def redundant_biases(widths: list[int]) -> int:
    """Biases of the two convolutions of a generator's block, which the dictionaries leave out."""
    return sum(2 * after for after in widths[1:])


def attention(channels: int, inner: int) -> int:
    """Kernels of queries, keys, values (`inner` channels) and the one after, none with a bias; the scalar."""
    return 2 * channels * (channels // 8) + 2 * channels * inner + 1


def merged_attention(channels: int) -> int:
    """The same with one kernel for values."""
    return 2 * channels * (channels // 8) + channels**2 + 1


def names() -> list[tuple[str, int]]:
    cases = []
    for table in TABLES:
        family, side = table.split("/")
        cases.append((f"{family}/RESNET_{side}", 0))
        cases += [] if family == "wgan_gp" else [(f"{family}/PROJECTION_{side}", classes) for classes in (10, 1000)]
    return cases


def table_of(preset: str) -> str:
    family, name = preset.split("/")
    return f"{family}/{name.split('_')[1]}"


@pytest.mark.parametrize(("preset", "classes"), names())
def test_parameters_are_those_of_the_source(preset, classes):
    table = table_of(preset)
    side, widths, critic_widths, halvings = TABLES[table]
    gen, dis = parse_architecture(load_architecture(preset), classes)
    attended = ATTENDED.get(table, (0, 0))
    expected = source_generator(side, widths, classes) - redundant_biases(widths)
    assert gen.parameters == expected + (merged_attention(attended[0]) if attended[0] else 0)
    expected = source_critic(critic_widths, halvings, classes, wide=preset.startswith("sagan"))
    assert dis.parameters == expected + (merged_attention(attended[1]) if attended[1] else 0)


def test_sagan_has_the_size_that_brock_et_al_publish():
    """Brock, Donahue, Simonyan, ICLR 2019, Table 1, first row: 81.5 million in both networks of SAGAN."""
    side, widths, critic_widths, halvings = TABLES["sagan/128"]
    source = source_generator(side, widths, 1000) + source_critic(critic_widths, halvings, 1000, wide=True)
    source += attention(256, 128) + attention(128, 64)
    assert round(source / 1e6, 1) == 81.5
    ours = sum(spec.parameters for spec in parse_architecture(load_architecture("sagan/PROJECTION_128"), 1000))
    assert ours - source == merged_attention(256) - attention(256, 128) + merged_attention(128) - attention(
        128, 64
    ) - redundant_biases(widths)


@pytest.mark.parametrize("table", TABLES)
def test_shapes_of_the_blocks(table):
    family, pixels = table.split("/")
    pixels = int(pixels)
    side, widths, critic_widths, halvings = TABLES[table]
    gen, dis = parse_architecture(load_architecture(f"{family}/RESNET_{pixels}"))
    blocks = [layer for layer in gen.layers if layer.type == "res"]
    assert [layer.output_shape[0] for layer in blocks] == widths[1:]
    assert [layer.output_shape[1] for layer in blocks] == [side * 2**index for index in range(1, len(widths))]
    assert {(layer.act, layer.act_nm, layer.scale) for layer in blocks} == {("relu", "bn", ("unpool", 2))}
    assert [layer.act for layer in gen.layers[-2:]] == ["relu", "tanh"] and gen.output_shape == (3, pixels, pixels)
    blocks = [layer for layer in dis.layers if layer.type.startswith("res")]
    assert [layer.output_shape[0] for layer in blocks] == critic_widths
    sides = [pixels // 2 ** min(index, halvings) for index in range(1, len(critic_widths) + 1)]
    assert [layer.output_shape[1] for layer in blocks] == sides
    assert blocks[0].type == "res_v1" and {layer.act_nm for layer in blocks} == {None}
    pool = dis.layers[-2]
    assert (pool.op, pool.kernel, pool.output_shape) == (
        "avg" if family == "wgan_gp" else "sum",
        sides[-1],
        (critic_widths[-1],),
    )
    spectral = {"sngan": ({False}, {True}), "sagan": ({True}, {True}), "wgan_gp": ({False}, {False})}[family]
    kernels = [
        {part.spectral for layer in spec.layers for part in layer.parts if part.op in ("c", "d")} for spec in (gen, dis)
    ]
    assert tuple(kernels) == spectral
    where = [spec.part("f_x").output_shape[1:] for net in (gen, dis) for spec in net.layers if spec.type == "nl"]
    assert where == (2 * [(32, 32)] if family == "sagan" else [])


@pytest.mark.parametrize("preset", ["sngan/PROJECTION_48", "sagan/PROJECTION_64"])
def test_only_the_last_normalisation_is_not_conditional(preset):
    gen, dis = parse_architecture(load_architecture(preset), 10)
    norms = [part.op for layer in gen.layers for part in layer.parts if part.op.endswith("bn")]
    assert norms == [*(len(norms) - 1) * ["cbn"], "bn"]
    assert [layer.type for layer in dis.layers][-1] == "project"


def test_leaving_out_the_biases_of_a_block_changes_nothing():
    """What `architectures.resnet` says of them: with the sources' biases added to the kernels' outputs, sums agree."""
    rng = np.random.default_rng(0)
    before, after, weight, shortcut = rng.standard_normal((4, 64, 3))
    first, second, bias = rng.standard_normal((3, 3))

    def normalised(x):
        return (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3)

    def block(first, second, bias):
        return np.maximum(normalised(before + first), 0) * weight + second + shortcut + bias

    np.testing.assert_allclose(block(first, second, bias), block(0, 0, second + bias), rtol=1e-9, atol=1e-9)
    assert np.abs(block(first, second, bias) - block(first, 0, bias)).max() > 0.1 and after.shape == (64, 3)


def test_the_critic_sums_over_pixels_what_relu_leaves():
    """The end of the critic of 32 pixels, in NumPy: relu, sum over 8x8 pixels, one weight a channel."""
    layers = load_architecture("sngan/RESNET_32_QUARTER")["discriminator"][-3:]
    end = mmdgan.build_network([{**layer, "w_nm": None} for layer in layers], (32, 8, 8), data_format="channels_last")
    x = np.random.default_rng(0).standard_normal((2, 8, 8, 32)).astype("float32")
    kernel, bias = (variable.numpy() for variable in end.trainable_variables)
    expected = np.maximum(x, 0).sum((1, 2)) @ kernel + bias
    np.testing.assert_allclose(end(x), expected, rtol=1e-4, atol=1e-3)


def test_the_script_for_cifar_has_the_settings_of_the_source():
    preset = runpy.run_path(str(ROOT / "experiments" / "my_test_cifar_resnet.py"))["PRESET"]
    assert preset == Experiment(
        architecture="sngan/RESNET_32",
        data="cifar10",
        loss="hinge",
        spectral="pim",
        lr_dis=2e-4,
        lr_gen=2e-4,
        imbalanced_update=(1, 5),
    )
    text = preset.dry_run()
    assert "4,275,203" in text and "1,053,825" in text and "1 output of critic layer score" in text
