"""PyTorch's networks in benchmarks/torch_peer.py are ours."""

import importlib
import importlib.util
import math
import sys
from unittest import mock

import numpy as np
import pytest

from mmdgan import design, losses, networks
from tests.conftest import PROJECT

PEERS = {
    "cifar10/DCGAN_QUARTER": "rep_b",
    "stl10/DCGAN_QUARTER": "rep",
    "celeba/DCGAN_QUARTER": "rep",
    "sngan/RESNET_32_QUARTER": "hinge",
    "wgan_gp/RESNET_32_QUARTER": "wasserstein",
}


class _Parameter:
    def __init__(self, array):
        self.numel = lambda: array.size


class _Module:
    """torch.nn.Module, as far as parameters can be counted without PyTorch."""

    def register_buffer(self, *_):
        pass

    def parameters(self):
        for value in list(vars(self).values()):
            items = value if isinstance(value, list) else value.values() if isinstance(value, dict) else [value]
            for item in items:
                yield from item.parameters() if isinstance(item, _Module) else [item] * isinstance(item, _Parameter)


class _BatchNorm(_Module):
    def __init__(self, channels, **_):
        self.weights = [_Parameter(np.zeros(channels)) for _ in range(2)]


def _counting_torch():
    """A stand-in for PyTorch whose modules have parameters and compute nothing."""
    torch = mock.MagicMock(zeros=np.zeros)
    torch.randn = lambda *shape: np.zeros(shape[0] if len(shape) == 1 else shape)
    torch.nn = mock.MagicMock(Module=_Module, Parameter=_Parameter, ModuleList=list, ModuleDict=dict)
    torch.nn.BatchNorm1d = torch.nn.BatchNorm2d = _BatchNorm
    return {"torch": torch, "torch.nn": torch.nn, "torch.nn.functional": torch.nn.functional}


@pytest.fixture
def torch_peer(monkeypatch):
    """The benchmark's module; where PyTorch is missing, on a stand-in."""
    monkeypatch.syspath_prepend(PROJECT / "benchmarks")
    with monkeypatch.context() as importing:  # SciPy would take the stand-in for PyTorch
        if importlib.util.find_spec("torch") is None:
            for name, module in _counting_torch().items():
                importing.setitem(sys.modules, name, module)
        module = importlib.import_module("torch_peer")
    yield module
    del sys.modules["torch_peer"]


def _players(preset):
    architecture = design.load_architecture(preset)
    architecture = design.with_score_size(architecture, losses.score_size(PEERS[preset]))
    builders = networks.build_generator, networks.build_discriminator
    return design.parse_architecture(architecture), [build(architecture) for build in builders]


@pytest.mark.parametrize("preset", PEERS)
def test_the_peer_has_as_many_parameters_as_each_player(preset, torch_peer):
    for spec, ours in zip(*_players(preset), strict=True):
        count = sum(math.prod(variable.shape) for variable in ours.trainable_variables)
        theirs = sum(parameter.numel() for parameter in torch_peer.Network(spec).parameters())
        assert theirs == count > 5e4


if importlib.util.find_spec("torch"):  # not in the test extra: with CUDA it takes some gigabytes

    @pytest.mark.slow
    @pytest.mark.parametrize("preset", PEERS)
    def test_the_peer_computes_the_same_from_our_weights(preset, torch_peer):
        import torch

        rng = np.random.default_rng(0)
        for spec, ours in zip(*_players(preset), strict=True):
            theirs = torch_peer.Network(spec).train()
            for block, layer in zip(ours.blocks, theirs.layers, strict=True):
                for slot, module in layer.parts.items():
                    _copy(torch, block.sublayers, slot, module)
            x = rng.normal(size=(3, *spec.input_shape)).astype(np.float32)
            expected = theirs(torch.tensor(x)).detach().numpy()
            channels_last = x.transpose(0, 2, 3, 1) if x.ndim == 4 else x
            got = ours(channels_last, training=True).numpy()
            got = got.transpose(0, 3, 1, 2) if got.ndim == 4 else got
            assert np.ptp(expected) > 1e-6
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * np.abs(expected).max())

    @pytest.mark.slow
    def test_the_peers_norm_of_a_reshaped_kernel_is_its_largest_singular_value(torch_peer):
        import torch

        [*_, spec], _ = _players("sngan/RESNET_32_QUARTER")
        kernels = [m for m in torch_peer.Network(spec, pico=False).modules() if isinstance(m, torch_peer.Kernel)]
        for kernel in kernels:
            for _ in range(300):
                kernel.effective(advance=True)
            sigma = torch.linalg.matrix_norm(kernel.kernel.flatten(1), 2)
            effective = kernel.effective(advance=False)
            np.testing.assert_allclose(effective.detach(), (kernel.kernel / sigma).detach(), rtol=1e-2)


def _copy(torch, sublayers, slot, module):
    """Gives a module of the peer the weights of one of our layers."""
    values = {weight.name: weight.numpy() for weight in sublayers[slot].weights}
    if "gamma" in values:
        pairs = {"weight": values["gamma"], "bias": values["beta"]}
    else:
        pairs = {"kernel": values["kernel"].transpose((3, 2, 0, 1) if values["kernel"].ndim == 4 else (1, 0))}
        if module.bias is not None:
            pairs["bias"] = sublayers[slot.replace("kernel", "bias")].bias.numpy()
        if "in_rand" in values:
            vector = values["in_rand"]
            pairs["vector"] = vector.transpose(0, 3, 1, 2) if vector.ndim == 4 else vector
    state = {name: torch.tensor(value) for name, value in pairs.items()}
    module.load_state_dict(state, strict=False)
