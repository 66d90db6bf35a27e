"""The networks and rows of the study on MNIST: sizes by hand, documentation, what each row is."""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import pytest

from mmdgan.cli.flags import parse
from mmdgan.design import load_architecture, parse_architecture, parse_network
from mmdgan.design.files import load_dictionary
from study.lenet import with_lenet
from study.mnist import ROWS, VARIANCES, script

ROOT = Path(__file__).resolve().parents[3]

MLP = 100 * 256 + 256 + 256 * 512 + 512 + 512 * 1024 + 1024 + 1024 * 784 + 784
CONV = 9 * 32 + 32 + 9 * 32 * 64 + 64
LENET = 25 * 6 + 6 + 25 * 6 * 16 + 16
# Kernels and, behind all but the last, two numbers per channel (per value of the first layer) of the normalisation.
DCGAN = (100 + 2) * 8192 + 16 * (512 * 256 + 256 * 128 + 128 * 64) + 2 * (256 + 128 + 64) + 9 * 64 + 1
CRITIC = 16 * (1 * 64 + 64 * 128 + 128 * 256) + 4096 * 16 + 16
HALF = (100 + 2) * 4096 + 16 * (256 * 128 + 128 * 64 + 64 * 32) + 2 * (128 + 64 + 32) + 9 * 32 + 1
HALF_CRITIC = 16 * (1 * 32 + 32 * 64 + 64 * 128) + 2048 * 16 + 16

PARAMETERS = {
    "PIXELS": (MLP, 0),
    "RANDOM_FEATURES": (MLP, CONV),
    "LENET": (MLP, LENET),
    "MLP_TRAINED": (MLP, CONV + 3136 * 16 + 16),
    "DCGAN": (DCGAN, CRITIC + 64 + 2 * (128 + 256)),
    "DCGAN_SN": (DCGAN, CRITIC + 64 + 128 + 256),
    "DCGAN_HALF": (HALF, HALF_CRITIC + 32 + 2 * (64 + 128)),
    "DCGAN_SN_HALF": (HALF, HALF_CRITIC + 32 + 64 + 128),
}


def documentation(name):
    source = (ROOT / "architectures" / "mnist.py").read_text(encoding="utf-8")
    return source.partition(f"\n{name} = ")[2].split('"""')[1]


@pytest.mark.parametrize("name", PARAMETERS)
def test_trainable_parameters_are_those_by_hand_and_as_documented(name):
    gen, dis = parse_architecture(load_architecture(f"mnist/{name}"))
    assert (gen.parameters, dis.parameters) == PARAMETERS[name]
    for count in PARAMETERS[name]:
        assert f"{count:,}" in documentation(name)


def test_lenet_is_the_usual_one():
    spec = parse_network(load_dictionary("mnist/LENET_CLASSIFIER"), (1, 28, 28))
    assert spec.parameters == 61_706 and "61,706" in documentation("LENET_CLASSIFIER")
    assert [layer.op_shape for layer in spec.layers[:4]] == [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5)]
    assert [layer.output_shape for layer in spec.layers[4:]] == [(120,), (84,), (10,)]
    critic = load_architecture("mnist/LENET")["discriminator"]
    assert critic == load_dictionary("mnist/LENET_CLASSIFIER")[:-3]


def test_sides_of_the_dcgan():
    for name in ("DCGAN", "DCGAN_SN"):
        gen, dis = parse_architecture(load_architecture(f"mnist/{name}"))
        shapes = [(512, 4, 4), (256, 7, 7), (128, 14, 14), (64, 28, 28), (1, 28, 28)]
        assert [layer.output_shape for layer in gen.layers] == shapes
        assert [layer.op_shape for layer in dis.layers] == [(64, 14, 14), (128, 7, 7), (256, 4, 4), (16,)]
    assert [layer.act_nm for layer in parse_architecture(load_architecture("mnist/DCGAN"))[1].layers] == [
        None, "bn", "bn", None
    ]  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_every_row_is_an_experiment(name):
    row = ROWS[name]
    resolved = row.experiment.resolved()
    drifts = name.startswith("drift")
    assert (resolved.lr_dis, resolved.lr_gen, resolved.optimizer) == (2e-4, 2e-4, "adam")
    assert (resolved.batch_size, resolved.micro_batch) == ((256, 64) if name == "drift_large" else (64, None))
    assert resolved.data == "fashion_mnist"
    loss = resolved.loss_function()
    if loss.canonical == "fixed_g" and name != "random_features":
        assert loss.options["sigma"] == pytest.approx([a**0.5 for a in VARIANCES])
    width = {
        "pixels": 784,
        "drift_pixels": 784,
        "drift_large": 784,
        "random_features": 3136,
        "drift": 3136,
        "lenet": 400,
        "wgan_gp": 1,
    }
    assert resolved.score_size == width.get(name, 16)
    assert (row.penalty == "none") == (resolved.penalty_weight is None)
    assert resolved.fixed_critic == (drifts or name in ("random_features", "lenet"))
    assert resolved.imbalanced_update == ((500, 1) if name == "rare" else None)


@pytest.mark.parametrize("name", ROWS)
def test_every_row_is_a_command(name):
    file, *flags = script(name, "fashion_mnist").split()
    preset = runpy.run_path(str(ROOT / file))["PRESET"]
    assert parse(preset, flags, usage="").options == ROWS[name].experiment
    if flags == ["--data", "fashion_mnist"]:
        assert f"python {file} --data fashion_mnist" in (ROOT / file).read_text(encoding="utf-8")


def test_lenet_begins_with_the_weights_beside_the_data():
    experiment = ROWS["lenet"].experiment
    assert experiment.critic_weights is None
    assert with_lenet(experiment).resolved().critic_weights == str(Path("Data/fashion_mnist/lenet.npz"))
    elsewhere = dataclasses.replace(experiment, data="mnist", data_root="there")
    assert with_lenet(elsewhere).critic_weights == str(Path("there/mnist/lenet.npz"))
    other = dataclasses.replace(experiment, critic_weights="mine.npz")
    assert with_lenet(other, train=True).resolved().critic_weights == "mine.npz"
