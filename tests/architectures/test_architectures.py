"""The DCGAN presets against the tables of the original, and the scripts that train them."""

from __future__ import annotations

import math
import re
import runpy
from pathlib import Path

import pytest

import mmdgan
from mmdgan.design import load_architecture, parse_architecture
from mmdgan.runs.experiment import Experiment

ROOT = Path(__file__).resolve().parents[2]

PARAMETERS = {
    "stl10/DCGAN": (5_151_299, 6_147_600),
    # Without the two numbers per feature of the batch normalisation, with the bias that it replaces.
    "stl10/DCGAN_PAPER": (5_151_299 - 2 * 18_432 + 18_432, 6_147_600),
    "stl10/DCGAN_QUARTER": (771_731, 440_208),
    "celeba/DCGAN": (13_258_307, 23_942_672),
    "celeba/DCGAN_QUARTER": (1_225_619, 1_546_640),
    "lsun/DCGAN": (13_258_307, 23_942_672),
    # CelebA's with a transposed convolution 1024 -> 1024 and its batch norm more, and two convolutions in the critic.
    "imagenet/DCGAN": (
        13_258_307 + 4 * 4 * 1024 * 1024 + 2 * 1024,
        23_942_672 + 4 * 4 * 1024 * 1024 + 3 * 3 * 1024 * 1024 + 2 * 1024,
    ),
}

STL_VECTORS = [(48, 3), *2 * [(24, 128)], *2 * [(12, 256)], *2 * [(6, 512)]]
FACE_VECTORS = [(64, 3), *2 * [(32, 128)], *2 * [(16, 256)], *2 * [(8, 512)], *2 * [(4, 1024)]]

SCRIPTS = {
    "my_test_cifar": ("cifar10/DCGAN", "cifar10", 5e-4, 2e-4),
    "my_test_stl": ("stl10/DCGAN", "stl10", 2e-4, 2e-4),
    "my_test_celebA": ("celeba/DCGAN", "celeba", 1e-4, 2e-4),
    "my_test_lsun": ("lsun/DCGAN", "lsun", 2e-4, 1e-4),
    "my_test_imagenet": ("imagenet/DCGAN", "imagenet", 2e-4, 1e-4),
}


@pytest.mark.parametrize("preset", PARAMETERS)
def test_trainable_parameters_are_as_published_and_as_documented(preset):
    gen, dis = parse_architecture(load_architecture(preset))
    assert (gen.parameters, dis.parameters) == PARAMETERS[preset]
    module, name = preset.split("/")
    source = (ROOT / "architectures" / f"{module}.py").read_text(encoding="utf-8")
    documentation = source.partition(f"\n{name} = ")[2].split('"""')[1]
    for count in PARAMETERS[preset]:
        assert f"{count:,}" in documentation


def test_stl_networks():
    gen, dis = parse_architecture(load_architecture("stl10/DCGAN"))
    shapes = [(512, 6, 6), (256, 12, 12), (128, 24, 24), (64, 48, 48), (3, 48, 48)]
    assert [layer.output_shape for layer in gen.layers] == shapes
    assert [layer.act for layer in gen.layers] == [*4 * ["relu"], "tanh"]
    assert [layer.bias for layer in gen.layers] == [*4 * [None], "b"]
    # Of the 18,432 features one by one, before they become images.
    assert [part.input_shape for part in gen.layers[0].parts if part.op == "bn"] == [(18_432,)]
    sides = [48, 24, 24, 12, 12, 6, 6]
    channels = [64, 128, 128, 256, 256, 512, 512]
    shapes = [(count, side, side) for count, side in zip(channels, sides, strict=True)]
    assert [layer.op_shape for layer in dis.layers] == [*shapes, (16,)]
    assert dis.layers[-1].input_shape == (18_432,)

    paper, critic = parse_architecture(load_architecture("stl10/DCGAN_PAPER"))
    assert (paper.layers[0].act, paper.layers[0].bias) == ("linear", "b")
    assert "bn" not in [part.op for part in paper.layers[0].parts]
    assert paper.layers[1:] == gen.layers[1:] and critic == dis


def test_networks_of_64x64():
    gen, dis = parse_architecture(load_architecture("celeba/DCGAN"))
    shapes = [(1024, 4, 4), (512, 8, 8), (256, 16, 16), (128, 32, 32), (64, 64, 64), (3, 64, 64)]
    assert [layer.output_shape for layer in gen.layers] == shapes
    assert [layer.act for layer in gen.layers] == ["linear", *4 * ["relu"], "tanh"]
    assert [layer.bias for layer in gen.layers] == ["b", *4 * [None], "b"]
    sides = [64, 32, 32, 16, 16, 8, 8, 4, 4]
    channels = [64, 128, 128, 256, 256, 512, 512, 1024, 1024]
    shapes = [(count, side, side) for count, side in zip(channels, sides, strict=True)]
    assert [layer.op_shape for layer in dis.layers] == [*shapes, (16,)]
    assert load_architecture("lsun/DCGAN") == load_architecture("celeba/DCGAN")


def test_networks_of_128x128():
    gen, dis = parse_architecture(load_architecture("imagenet/DCGAN"))
    shapes = [(1024, 4, 4), (1024, 8, 8), (512, 16, 16), (256, 32, 32), (128, 64, 64), (64, 128, 128), (3, 128, 128)]
    assert [layer.output_shape for layer in gen.layers] == shapes
    assert [layer.bias for layer in gen.layers] == ["b", *5 * [None], "b"]
    sides = [128, 64, 64, 32, 32, 16, 16, 8, 8, 4, 4]
    channels = [64, 128, 128, 256, 256, 512, 512, 1024, 1024, 1024, 1024]
    shapes = [(count, side, side) for count, side in zip(channels, sides, strict=True)]
    assert [layer.op_shape for layer in dis.layers] == [*shapes, (16,)]
    assert [layer.kernel for layer in dis.layers] == [3, *5 * [4, 3], None]


@pytest.mark.parametrize("preset", PARAMETERS)
def test_every_critic_layer_is_normalised_and_the_multipliers_make_64(preset):
    _, dis = parse_architecture(load_architecture(preset))
    assert {layer.w_nm for layer in dis.layers} == {"s"}
    assert len({layer.act_k for layer in dis.layers}) == 1
    assert math.prod(layer.act_k for layer in dis.layers) == pytest.approx(64.0, rel=1e-12)
    assert [layer.act for layer in dis.layers] == [*(len(dis.layers) - 1) * ["lrelu"], "linear"]
    assert {layer.bias for layer in dis.layers} == {"b"}


@pytest.mark.parametrize(("preset", "vectors"), [("stl10/DCGAN", STL_VECTORS), ("celeba/DCGAN", FACE_VECTORS)])
def test_spectral_vectors_have_the_originals_shapes(preset, vectors):
    critic = mmdgan.build_discriminator(load_architecture(preset), data_format="channels_last")
    found = [tuple(v.shape) for v in critic.non_trainable_variables if v.name == "in_rand"]
    assert found == [*((1, side, side, channels) for side, channels in vectors), (1, 16)]


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_have_the_settings_of_the_original(script):
    preset = runpy.run_path(str(ROOT / "experiments" / f"{script}.py"))["PRESET"]
    architecture, data, lr_dis, lr_gen = SCRIPTS[script]
    assert preset == Experiment(architecture=architecture, data=data, lr_dis=lr_dis, lr_gen=lr_gen)
    assert (preset.loss, preset.batch_size, preset.optimizer) == ("rep", 64, "adam")
    assert preset.stops() == [12_500 * i for i in range(1, 9)]
    text = preset.dry_run()
    assert f"{data}: " in text and "sngan_rep_" in text
    gen, dis = PARAMETERS.get(architecture, (3_811_907, 5_983_760))
    assert f"{gen:,}" in text and f"{dis:,}" in text


def test_scripts_differ_in_four_values_and_the_docstring():
    texts = [(ROOT / "experiments" / f"{script}.py").read_text(encoding="utf-8") for script in SCRIPTS]
    code = [text.split('"""')[2] for text in texts]
    assert len({re.sub(r"(architecture|data|lr_dis|lr_gen)=.*,", r"\1=,", text) for text in code}) == 1


def test_a_script_runs_by_itself(run_script):
    done = run_script(str(ROOT / "experiments" / "my_test_celebA.py"), "--dry_run", "--loss=hinge")
    assert done.returncode == 0, done.stderr
    assert "1 output of critic layer l10_s" in done.stdout and "(3, 64, 64)" in done.stdout
