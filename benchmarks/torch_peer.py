"""Plain PyTorch training steps of the same networks, as yardsticks for ours (needs `pip install torch`).

The usual loop (`Peer`): a critic step (generated images without gradient, one critic pass over real and generated
images together, backward, Adam), then a generator step with forward passes of its own and the critic's
parameters frozen. The simultaneous one (`SimultaneousPeer`) does what ours does: one forward pass, the critic on real
and on generated images apart, both gradients, both updates. Like for like: spectral normalisation by power iteration
on the convolution itself (PICO) or on the reshaped kernel (PIM, what `torch.nn.utils.spectral_norm` does), one
iteration per training step, gradients through sigma; losses and the gradient penalty as in `mmdgan.losses`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from mmdgan.core.errors import ConfigError
from mmdgan.design import LayerSpec, NetworkSpec, Part

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
BOUNDS = {"rep": (0.0, math.inf), "rmb": (0.25, 4.0)}
"""Bounds of the squared distances in the critic's loss: generated pairs from below, data from above."""
LOSSES = (*BOUNDS, "hinge", "wasserstein")
PENALTY_WEIGHT = 10.0
"""Of wasserstein's gradient penalty."""

Kernels = dict["Kernel", torch.Tensor]


class Kernel(nn.Module):
    """A convolution, transposed convolution or dense product, with its bias and spectral norm."""

    def __init__(self, part: Part, bias: Part | None, pico: bool):
        super().__init__()
        self.part = part
        self.padding = 0 if part.op == "d" else _padding(part)
        shape = part.variables["kernel"]
        # PyTorch's order: (out, in, k, k), for transposed convolutions (in, out, k, k), for dense (out, in).
        shape = shape[::-1] if part.op == "d" else (shape[3], shape[2], *shape[:2])
        self.kernel = nn.Parameter(torch.randn(shape) * math.sqrt(2.0 / math.prod(shape[1:])))
        self.bias = nn.Parameter(torch.zeros(part.output_shape[0])) if bias else None
        self.pico = pico
        if part.spectral:
            self.small_input = pico and math.prod(part.input_shape) <= math.prod(part.output_shape)
            vector = torch.randn(1, *(part.input_shape if self.small_input else part.output_shape))
            vector = vector if pico else torch.randn(shape[0])
            self.register_buffer("vector", F.normalize(vector.flatten(), dim=0).reshape(vector.shape))

    def forward(self, x: torch.Tensor, kernels: Kernels) -> torch.Tensor:
        return self._apply_kernel(x, kernels[self], self.bias)

    def _apply_kernel(self, x: torch.Tensor, kernel: torch.Tensor, bias=None) -> torch.Tensor:
        if self.part.op == "d":
            return F.linear(x, kernel, bias)
        op = F.conv2d if self.part.op == "c" else F.conv_transpose2d
        return op(x, kernel, bias, stride=self.part.strides, padding=self.padding)

    def _apply_adjoint(self, x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        if self.part.op == "d":
            return x @ kernel
        return F.conv_transpose2d(x, kernel, stride=self.part.strides, padding=self.padding)

    @torch.autocast("cpu", enabled=False)
    def effective(self, advance: bool) -> torch.Tensor:
        """The kernel times act_k / sigma; `advance` takes one step of the power iteration, in float32."""
        if not self.part.spectral:
            return self.kernel
        there, back = self._apply_kernel, self._apply_adjoint
        if not self.pico:
            there, back = lambda x, kernel: x @ kernel.flatten(1), lambda x, kernel: kernel.flatten(1) @ x
        elif not self.small_input:
            there, back = back, there
        image = there(self.vector, self.kernel)
        sigma = image.norm()
        if advance:
            with torch.no_grad():
                vector = back(image / (sigma + 1e-10), self.kernel)
                # A new tensor: the graph of this step still refers to the old one.
                self.vector = vector / (vector.norm() + 1e-10)
        return self.kernel * (self.part.gain / sigma)


class Layer(nn.Module):
    """One layer of the dictionary language: the types 'default' and 'res*', without classes."""

    def __init__(self, spec: LayerSpec, pico: bool):
        super().__init__()
        self.spec = spec
        self.parts = nn.ModuleDict()
        for part in spec.parts:
            if part.op in ("c", "d", "tc") and not (part.op == "tc" and part.spectral):
                self.parts[part.slot] = Kernel(part, spec.part(part.slot.replace("kernel", "bias")), pico)
            elif part.op == "bn":
                norm = nn.BatchNorm1d if len(part.output_shape) == 1 else nn.BatchNorm2d
                self.parts[part.slot] = norm(part.output_shape[0], eps=1e-3, momentum=0.01)
            elif part.op not in ("b", "avg", "sum"):
                raise ConfigError(f"the peer cannot build {part.op!r}, a part of layer {spec.name!r}.")
        known = spec.scale is None or tuple(spec.scale) in (("unpool", 2), ("avg", -2))
        if spec.act not in ACTIVATIONS or spec.type not in ("default", "res", "res_i", "res_v1") or not known:
            raise ConfigError(f"the peer cannot build layer {spec.name!r}: its type, act or scale.")
        self.activate = ACTIVATIONS[spec.act]

    def forward(self, x: torch.Tensor, kernels: Kernels) -> torch.Tensor:
        spec = self.spec
        x = x if spec.in_reshape is None else x.reshape(-1, *spec.in_reshape)
        x = self._default(x, kernels) if spec.type == "default" else self._residual(x, kernels)
        return x if spec.out_reshape is None else x.reshape(-1, *spec.out_reshape)

    def _default(self, x: torch.Tensor, kernels: Kernels) -> torch.Tensor:
        x = self._part("kernel", self._scaled(x, 1), kernels)
        return self._scaled(self.activate(self._part("BN", x, kernels)), -1)

    def _residual(self, x: torch.Tensor, kernels: Kernels) -> torch.Tensor:
        first = self.spec.type == "res_v1"
        main = x if first else self.activate(self._part("BN_0", x, kernels))
        main = self._part("kernel_0", self._scaled(main, 1), kernels)
        main = self._part("kernel_1", self.activate(self._part("BN_1", main, kernels)), kernels)
        if self.spec.type != "res_i":
            x = self._part("kernel_sc", self._scaled(x, -1 if first else 1), kernels)
            x = x if first else self._scaled(x, -1)
        return self._scaled(main, -1) + x

    def _part(self, slot: str, x: torch.Tensor, kernels: Kernels) -> torch.Tensor:
        if slot in self.parts:
            module = self.parts[slot]
            return module(x, kernels) if isinstance(module, Kernel) else module(x)
        part = self.spec.part(slot)
        if part is None:
            return x
        pooled = F.avg_pool2d(x, part.kernel, part.strides)
        return pooled * part.kernel**2 if part.op == "sum" else pooled

    def _scaled(self, x: torch.Tensor, sign: int) -> torch.Tensor:
        if self.spec.scale is None or self.spec.scale[1] * sign < 0:
            return x
        return F.interpolate(x, scale_factor=2.0, mode="nearest") if sign > 0 else F.avg_pool2d(x, 2)


class Network(nn.Module):
    """A chain of layers; the number of parameters is checked against the dictionary's."""

    def __init__(self, spec: NetworkSpec, pico: bool = True):
        super().__init__()
        self.layers = nn.ModuleList([Layer(layer, pico) for layer in spec.layers])
        count = sum(parameter.numel() for parameter in self.parameters())
        assert count == spec.parameters, f"{spec.name}: {count} parameters, not {spec.parameters}"

    def effective_kernels(self, advance: bool = False) -> Kernels:
        """Each kernel, divided by its spectral norm where it has one."""
        return {module: module.effective(advance) for module in self.modules() if isinstance(module, Kernel)}

    def forward(self, x: torch.Tensor, kernels: Kernels | None = None, advance: bool = False):
        """Images or scores, in float32; kernels that several calls share may be given."""
        kernels = self.effective_kernels(advance) if kernels is None else kernels
        for layer in self.layers:
            x = layer(x, kernels)
        return x.float()


class Peer:
    """Both networks and their Adams.

    Args:
        generator: specification of the generator.
        critic: specification of the critic.
        loss: One of `LOSSES` (canonical names).
        lr: learning rates (critic, generator).
        spectral: 'pico' or 'pim'.
        tuned: channels_last memory and the fused Adam, beyond what a plain loop has.
        bfloat16: whether forward passes run under `torch.autocast`.

    Raises:
        ConfigError: a loss, layer or padding that the peer does not have.
    """

    def __init__(
        self,
        generator: NetworkSpec,
        critic: NetworkSpec,
        loss: str,
        lr=(5e-4, 2e-4),
        spectral="pico",
        tuned=False,
        bfloat16=False,
    ):
        if loss not in LOSSES:
            raise ConfigError(f"the peer knows the losses {', '.join(LOSSES)}, not {loss!r}.")
        self.loss = loss
        self.bfloat16 = bfloat16
        self.code = generator.input_shape[0]
        self.layout = torch.channels_last if tuned else torch.contiguous_format
        self.generator = Network(generator, spectral == "pico").to(memory_format=self.layout).train()
        self.critic = Network(critic, spectral == "pico").to(memory_format=self.layout).train()
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
        loss = self._loss_critic(score_gen, score_data)
        return _descend(self.adam_critic, loss + self._penalty(real, generated))

    def generator_step(self, real: torch.Tensor) -> float:
        """Update the generator against the critic's scores of real images; returns its loss."""
        real = real.contiguous(memory_format=self.layout)
        self.critic.requires_grad_(False)
        with self._autocast():
            score_gen = self.critic(self.generator(torch.randn(len(real), self.code)))
            if self.loss in BOUNDS:  # of the others, data have no part in the generator's gradient
                with torch.no_grad():
                    score_data = self.critic(real)
            else:
                score_data = score_gen.detach()
        loss = _descend(self.adam_generator, self._loss_generator(score_gen, score_data))
        self.critic.requires_grad_(True)
        return loss

    def _autocast(self):
        return torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16)

    def _loss_critic(self, score_gen: torch.Tensor, score_data: torch.Tensor) -> torch.Tensor:
        if self.loss == "wasserstein":
            return score_gen.mean() - score_data.mean()
        if self.loss == "hinge":
            return F.relu(1 + score_gen).mean() + F.relu(1 - score_data).mean()
        lower, upper = BOUNDS[self.loss]
        repulsion = _mean_kernel(_distances(score_data, score_data).clamp(max=upper))
        attraction = _mean_kernel(_distances(score_gen, score_gen).clamp(min=lower))
        return repulsion - attraction

    def _loss_generator(self, score_gen: torch.Tensor, score_data: torch.Tensor) -> torch.Tensor:
        if self.loss not in BOUNDS:
            return -score_gen.mean()
        pairs = ((score_gen, score_gen), (score_data, score_data), (score_gen, score_data))
        gg, xx, gx = (_mean_kernel(_distances(a, b)) for a, b in pairs)
        return gg + xx - 2 * gx

    def _penalty(self, real: torch.Tensor, generated: torch.Tensor, kernels: Kernels | None = None) -> torch.Tensor:
        """The weighted gradient penalty of a third pass through the critic; 0 for losses without one."""
        if self.loss != "wasserstein":
            return torch.zeros(())
        share = torch.rand(len(real), 1, 1, 1)
        points = (share * real + (1 - share) * generated.detach()).requires_grad_()
        with self._autocast():
            score = self.critic(points, kernels).sum()
        [gradient] = torch.autograd.grad(score, points, create_graph=True)
        return PENALTY_WEIGHT * (gradient.flatten(1).norm(dim=1) - 1).square().mean()


class SimultaneousPeer(Peer):
    """One forward pass, both gradients from it, both updates; arguments as `Peer`."""

    def step(self, real: torch.Tensor) -> float:
        """Update both networks on real images (B, C, H, W) in [-1, 1]; returns the critic's loss."""
        real = real.contiguous(memory_format=self.layout)
        with self._autocast():
            kernels = self.critic.effective_kernels(advance=True)
            generated = self.generator(torch.randn(len(real), self.code))
            score_gen = self.critic(generated, kernels)
            score_data = self.critic(real, kernels)
        players = (
            (self.critic, self._loss_critic(score_gen, score_data) + self._penalty(real, generated, kernels)),
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


def _padding(part: Part) -> int:
    """The symmetric padding that gives the shapes of 'SAME'."""
    padding, odd = divmod(part.kernel - part.strides, 2)
    whole = part.op == "tc" or all(side % part.strides == 0 for side in part.input_shape[1:])
    if part.padding != "SAME" or part.dilation != 1 or padding < 0 or odd or not whole:
        raise ConfigError(f"the peer cannot pad a {part.slot} of {part.kernel} pixels symmetrically as 'SAME' does.")
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
