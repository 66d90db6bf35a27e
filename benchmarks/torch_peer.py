"""Plain PyTorch training steps of the same networks, as yardsticks for ours (needs `pip install torch`).

The usual loop (`Peer`): a critic step (generated images without gradient, one critic pass over real and generated
images together, backward, Adam), then a generator step with forward passes of its own and the critic's
parameters frozen. The simultaneous one (`SimultaneousPeer`) does what ours does: one forward pass, the critic on real
and on generated images apart, both gradients, both updates. Like for like: spectral normalisation by power iteration
on the convolution itself (PICO), one iteration per training step, gradients through sigma; repulsive losses as in
`mmdgan.losses`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from mmdgan.core.errors import ConfigError
from mmdgan.design import LayerSpec, NetworkSpec

ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": F.relu,
    "lrelu": lambda x: F.leaky_relu(x, 0.1),
    "elu": F.elu,
    "selu": F.selu,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}
LOSSES = {"rep": (0.0, math.inf), "rmb": (0.25, 4.0)}
"""Bounds of the squared distances in the critic's loss: generated pairs from below, data from above."""


class Layer(nn.Module):
    """One layer of the dictionary language: kernel, bias, batch norm, activation, reshape."""

    def __init__(self, spec: LayerSpec):
        super().__init__()
        if spec.act not in ACTIVATIONS or (spec.op == "tc" and spec.w_nm):
            raise ConfigError(f"the peer cannot build layer {spec.name!r}: no crelu, no spectral norm of tc.")
        self.spec = spec
        self.padding = 0 if spec.op == "d" else _padding(spec)
        shape = spec.part("kernel").variables["kernel"]
        # PyTorch's order: (out, in, k, k), for transposed convolutions (in, out, k, k), for dense (out, in).
        shape = shape[::-1] if spec.op == "d" else (shape[3], shape[2], *shape[:2])
        self.kernel = nn.Parameter(torch.randn(shape) * math.sqrt(2.0 / math.prod(shape[1:])))
        self.bias = nn.Parameter(torch.zeros(spec.out)) if spec.bias else None
        norm = nn.BatchNorm1d if len(spec.op_shape) == 1 else nn.BatchNorm2d
        self.norm = norm(spec.out, eps=1e-3, momentum=0.01) if spec.act_nm else None
        if spec.w_nm:
            self.small_input = math.prod(spec.input_shape) <= math.prod(spec.op_shape)
            vector = torch.randn(1, *(spec.input_shape if self.small_input else spec.op_shape))
            self.register_buffer("vector", F.normalize(vector.flatten(), dim=0).reshape(vector.shape))

    def forward(self, x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        spec = self.spec
        x = x if spec.in_reshape is None else x.reshape(-1, *spec.in_reshape)
        x = self._apply_kernel(x, kernel, self.bias)
        x = ACTIVATIONS[spec.act](x if self.norm is None else self.norm(x))
        return x if spec.out_reshape is None else x.reshape(-1, *spec.out_reshape)

    def _apply_kernel(self, x: torch.Tensor, kernel: torch.Tensor, bias=None) -> torch.Tensor:
        if self.spec.op == "d":
            return F.linear(x, kernel, bias)
        op = F.conv2d if self.spec.op == "c" else F.conv_transpose2d
        return op(x, kernel, bias, stride=self.spec.strides, padding=self.padding)

    def _apply_adjoint(self, x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        if self.spec.op == "d":
            return x @ kernel
        return F.conv_transpose2d(x, kernel, stride=self.spec.strides, padding=self.padding)

    @torch.autocast("cpu", enabled=False)
    def effective_kernel(self, advance: bool) -> torch.Tensor:
        """The kernel times act_k / sigma; `advance` takes one step of the power iteration, in float32."""
        if not self.spec.w_nm:
            return self.kernel
        there, back = self._apply_kernel, self._apply_adjoint
        if not self.small_input:
            there, back = back, there
        image = there(self.vector, self.kernel)
        sigma = image.norm()
        if advance:
            with torch.no_grad():
                vector = back(image / (sigma + 1e-10), self.kernel)
                # A new tensor: the graph of this step still refers to the old one.
                self.vector = vector / (vector.norm() + 1e-10)
        return self.kernel * (self.spec.act_k / sigma)


class Network(nn.Module):
    """A chain of layers; the number of parameters is checked against the dictionary's."""

    def __init__(self, spec: NetworkSpec):
        super().__init__()
        self.layers = nn.ModuleList(Layer(layer) for layer in spec.layers)
        count = sum(parameter.numel() for parameter in self.parameters())
        assert count == spec.parameters, f"{spec.name}: {count} parameters, not {spec.parameters}"

    def effective_kernels(self, advance: bool = False) -> list[torch.Tensor]:
        """Each layer's kernel, divided by its spectral norm where it has one."""
        return [layer.effective_kernel(advance) for layer in self.layers]

    def forward(self, x: torch.Tensor, kernels: list[torch.Tensor] | None = None, advance: bool = False):
        """Images or scores, in float32; kernels that several calls share may be given."""
        kernels = self.effective_kernels(advance) if kernels is None else kernels
        for layer, kernel in zip(self.layers, kernels, strict=True):
            x = layer(x, kernel)
        return x.float()


class Peer:
    """Both networks and their Adams.

    Args:
        generator: specification of the generator.
        critic: specification of the critic.
        loss: 'rep' or 'rmb' (canonical names).
        lr: learning rates (critic, generator).
        tuned: channels_last memory and the fused Adam, beyond what a plain loop has.
        bfloat16: whether forward passes run under `torch.autocast`.

    Raises:
        ConfigError: a loss, layer or padding that the peer does not have.
    """

    def __init__(
        self, generator: NetworkSpec, critic: NetworkSpec, loss: str, lr=(5e-4, 2e-4), tuned=False, bfloat16=False
    ):
        if loss not in LOSSES:
            raise ConfigError(f"the peer knows the losses {', '.join(LOSSES)}, not {loss!r}.")
        self.lower, self.upper = LOSSES[loss]
        self.bfloat16 = bfloat16
        self.code = generator.input_shape[0]
        self.layout = torch.channels_last if tuned else torch.contiguous_format
        self.generator = Network(generator).to(memory_format=self.layout).train()
        self.critic = Network(critic).to(memory_format=self.layout).train()
        more = {"betas": (0.5, 0.999), "eps": 1e-8, "fused": True if tuned else None}
        self.adam_critic = torch.optim.Adam(self.critic.parameters(), lr[0], **more)
        self.adam_generator = torch.optim.Adam(self.generator.parameters(), lr[1], **more)

    def critic_step(self, real: torch.Tensor) -> float:
        """Update the critic on real images (B, C, H, W) in [-1, 1]; returns its loss."""
        real = real.contiguous(memory_format=self.layout)
        with self._autocast():
            with torch.no_grad():
                generated = self.generator(torch.randn(len(real), self.code))
            scores = self.critic(torch.cat([real, generated]), advance=True)
        score_data, score_gen = scores.chunk(2)
        return _descend(self.adam_critic, self._loss_critic(score_gen, score_data))

    def generator_step(self, real: torch.Tensor) -> float:
        """Update the generator against the critic's scores of real images; returns its loss."""
        real = real.contiguous(memory_format=self.layout)
        self.critic.requires_grad_(False)
        with self._autocast():
            score_gen = self.critic(self.generator(torch.randn(len(real), self.code)))
            with torch.no_grad():
                score_data = self.critic(real)
        loss = _descend(self.adam_generator, self._loss_generator(score_gen, score_data))
        self.critic.requires_grad_(True)
        return loss

    def _autocast(self):
        return torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16)

    def _loss_critic(self, score_gen: torch.Tensor, score_data: torch.Tensor) -> torch.Tensor:
        repulsion = _mean_kernel(_distances(score_data, score_data).clamp(max=self.upper))
        attraction = _mean_kernel(_distances(score_gen, score_gen).clamp(min=self.lower))
        return repulsion - attraction

    def _loss_generator(self, score_gen: torch.Tensor, score_data: torch.Tensor) -> torch.Tensor:
        pairs = ((score_gen, score_gen), (score_data, score_data), (score_gen, score_data))
        gg, xx, gx = (_mean_kernel(_distances(a, b)) for a, b in pairs)
        return gg + xx - 2 * gx


class SimultaneousPeer(Peer):
    """One forward pass, both gradients from it, both updates; arguments as `Peer`."""

    def step(self, real: torch.Tensor) -> float:
        """Update both networks on real images (B, C, H, W) in [-1, 1]; returns the critic's loss."""
        real = real.contiguous(memory_format=self.layout)
        with self._autocast():
            kernels = self.critic.effective_kernels(advance=True)
            score_gen = self.critic(self.generator(torch.randn(len(real), self.code)), kernels)
            score_data = self.critic(real, kernels)
        players = (
            (self.critic, self._loss_critic(score_gen, score_data)),
            (self.generator, self._loss_generator(score_gen, score_data)),
        )
        for network, loss in players:
            parameters = list(network.parameters())
            gradients = torch.autograd.grad(loss, parameters, retain_graph=network is self.critic)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
        self.adam_critic.step()
        self.adam_generator.step()
        return players[0][1].item()


def _padding(spec: LayerSpec) -> int:
    """The symmetric padding that gives the shapes of 'SAME'."""
    padding, odd = divmod(spec.kernel - spec.strides, 2)
    whole = spec.op == "tc" or all(side % spec.strides == 0 for side in spec.input_shape[1:])
    if spec.padding != "SAME" or spec.dilation != 1 or padding < 0 or odd or not whole:
        raise ConfigError(f"the peer cannot pad layer {spec.name!r} symmetrically as 'SAME' does.")
    return padding


def _distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    squares = a.square().sum(1)[:, None] + b.square().sum(1)[None, :]
    return (squares - 2 * a @ b.T).clamp(min=0)


def _mean_kernel(distances: torch.Tensor) -> torch.Tensor:
    """The mean of exp(-D / 2) over i != j."""
    kernel, count = torch.exp(-distances / 2), len(distances)
    return (kernel.sum() - kernel.trace()) / (count * (count - 1))


def _descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> float:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
