"""One simultaneous update of both players (spec E.2, E.4).

The generator runs once; the critic sees real and generated images with the same effective kernels; both gradients
come from that one forward pass and both updates are applied. Every quantity is computed from the values before
the step: weights, moving averages and spectral vectors change only after the gradients are known.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from mmdgan import tf1
from mmdgan.errors import ConfigError, DataError
from mmdgan.layers import scope
from mmdgan.layers.blocks import batch_shape
from mmdgan.networks import Network
from mmdgan.training.optimizers import make_optimizer

_CODES, _LABELS, _LOSS = range(3)
"""Streams of random numbers within one step."""


@dataclasses.dataclass
class _Forward:
    """One forward pass of both networks, with what is needed to differentiate and to log it."""

    tape: tf.GradientTape
    losses: Any
    real: tf.Tensor
    generated: tf.Tensor
    score_gen: tf.Tensor
    score_data: tf.Tensor
    sigmas: dict[str, tf.Tensor]
    vectors: list[tuple[Any, tf.Tensor]]


class GanStep(tf.Module):
    """Both networks with their loss and optimisers, and the step that trains them.

    Args:
        generator: from `mmdgan.build_generator`.
        discriminator: the critic, from `mmdgan.build_discriminator`.
        loss: from `mmdgan.losses.get`, or a loss name.
        lr_dis: learning rate of the critic.
        lr_gen: learning rate of the generator.
        optimizer: 'adam', 'rmsprop', 'sgd' or 'momentum', or a pair of names (critic, generator).
        end_lr: rate of sgd and momentum at step 100,000.
        imbalanced_update: (p_dis, p_gen), one of them 1: at global step n a network is updated if n mod p == 0.
        seed: of codes, labels and the loss's own random numbers; these are functions of (seed, step).

    Attributes:
        iterations: number of steps taken (tf.Variable, int64): the original's global step.

    Raises:
        ConfigError: an unknown optimiser or loss, or update periods without a 1.
    """

    def __init__(
        self,
        generator: Network,
        discriminator: Network,
        loss,
        lr_dis: float,
        lr_gen: float,
        optimizer: str | Sequence[str] = "adam",
        *,
        end_lr: float = 1e-7,
        imbalanced_update: Sequence[int] | None = None,
        seed: int = 0,
    ):
        super().__init__(name="gan_step")
        from mmdgan import losses

        self.generator = generator
        self.discriminator = discriminator
        self.loss = losses.get(loss) if isinstance(loss, str) else loss
        self.seed = int(seed)
        self.periods = _periods(imbalanced_update)
        names = (optimizer, optimizer) if isinstance(optimizer, str) else tuple(optimizer)
        if len(names) != 2:
            raise ConfigError(f"optimizer must be one name or two (critic, generator), not {optimizer!r}.")
        self.optimizer_dis = make_optimizer(names[0], lr_dis, end_lr)
        self.optimizer_gen = make_optimizer(names[1], lr_gen, end_lr)
        self.optimizer_dis.build(discriminator.trainable_variables)
        self.optimizer_gen.build(generator.trainable_variables)
        self.iterations = tf.Variable(0, dtype=tf.int64, trainable=False, name="global_step")
        self.loss_state = {
            name: tf.Variable(value, trainable=False, name=name) for name, value in self.loss.initial_state().items()
        }

    @property
    def code_size(self) -> int:
        """Length of a latent code."""
        return self.generator.spec.input_shape[0]

    @property
    def num_class(self) -> int:
        """Number of classes; below 2 the networks are unconditional."""
        return self.generator.spec.num_class

    def step(self, real, codes=None, labels=None, labels_gen=None) -> dict[str, tf.Tensor]:
        """Updates both networks once on a batch of real images.

        Args:
            real: (B, H, W, C) or (B, C, H, W) as the networks' data format; uint8, or float in [-1, 1].
            codes: (B, code) latent codes; by default standard normal, a function of (seed, step).
            labels: (B, 1) int classes of `real`; needed by conditional networks only.
            labels_gen: (B, 1) classes to generate; by default uniform, a function of (seed, step).

        Returns:
            Scalars by name: loss_gen and loss_dis, of the forward pass before the update.
        """
        update = (True, True)
        if self.periods is not None:
            step = int(self.iterations)
            update = tuple(step % period == 0 for period in self.periods)
        return self._train(real, codes, labels, labels_gen, *update)

    def inspect(self, real, labels=None, num_images: int = 8) -> dict[str, dict[str, tf.Tensor]]:
        """Looks at one batch as the step would, and changes nothing.

        Args:
            real: as in `step`.
            labels: as in `step`.
            num_images: how many real and generated images to return.

        Returns:
            "scalars", "histograms" and "images", each a dict by the original's tags (spec E.7).
        """
        return self._inspect(real, labels, num_images)

    @tf.function(autograph=False, reduce_retracing=True)
    def generate(self, codes, labels=None) -> tf.Tensor:
        """Returns images (N, H, W, C) in [-1, 1] of codes (N, code) [and labels (N, 1)], in inference mode."""
        return _channels_last(self._generator(codes, labels, training=False), self.generator.data_format)

    def state(self) -> dict[str, tf.Variable]:
        """Returns every variable that a checkpoint must hold, under the original's names."""
        state = {tf1.original_name(v): v.value for net in self._networks for v in net.variables}
        for optimizer, net, index in ((self.optimizer_dis, *_DIS), (self.optimizer_gen, *_GEN)):
            network = getattr(self, net)
            state |= tf1.slot_variables(optimizer, network, index)
        state |= {f"loss/{name}": variable for name, variable in self.loss_state.items()}
        return state | {"global_step": self.iterations}

    @property
    def _networks(self) -> tuple[Network, Network]:
        return self.generator, self.discriminator

    @tf.function(autograph=False)
    def _train(self, real, codes, labels, labels_gen, update_dis: bool, update_gen: bool):
        forward = self._forward(real, codes, labels, labels_gen)
        gradients_dis, gradients_gen = self._gradients(forward)
        if update_dis:
            self.optimizer_dis.apply(gradients_dis, self.discriminator.trainable_variables)
        if update_gen:
            self.optimizer_gen.apply(gradients_gen, self.generator.trainable_variables)
        for vector, value in forward.vectors:
            vector.assign(value)
        for name, value in forward.losses.state.items():
            self.loss_state[name].assign(value)
        self.iterations.assign_add(1)
        return {"loss_gen": forward.losses.gen, "loss_dis": forward.losses.dis}

    @tf.function(autograph=False)
    def _inspect(self, real, labels, num_images: int):
        with scope.frozen_state():
            forward = self._forward(real, None, labels, None, watch_images=True)
            codes, fake_labels = self._draw(num_images)
            generated = self.generate(codes, fake_labels)
        logs = forward.losses.logs
        scalars = {tag: value for tag, value in logs.items() if value.shape.rank == 0}
        scalars |= {"GANLoss/gen": forward.losses.gen, "GANLoss/dis": forward.losses.dis}
        scalars |= {f"kernel_norm/{name}": sigma for name, sigma in forward.sigmas.items()}
        scalars |= {
            "learning_rate/dis": self.optimizer_dis.learning_rate,
            "learning_rate/gen": self.optimizer_gen.learning_rate,
        }
        histograms = {tag: value for tag, value in logs.items() if value.shape.rank != 0}
        histograms |= self._histograms(forward)
        real = _channels_last(_to_float(real), self.generator.data_format)
        images = {"Ir": real[:num_images], "Ig": tf.clip_by_value(generated, -1, 1)}
        return {
            "scalars": {tag: tf.convert_to_tensor(value) for tag, value in scalars.items()},
            "histograms": histograms,
            "images": images,
        }

    def _histograms(self, forward: _Forward) -> dict[str, tf.Tensor]:
        histograms = {"x/sx": forward.score_data, "x/sg": forward.score_gen, "x/x_gen": forward.generated}
        for tag, gradient in zip(("x/g_x_norm", "x/g_gen_norm"), self._image_gradients(forward), strict=True):
            histograms[tag] = tf.norm(tf.reshape(gradient, (tf.shape(gradient)[0], -1)), axis=1)
        gradients = self._gradients(forward)
        for network, values in zip(reversed(self._networks), gradients, strict=True):
            for variable, gradient in zip(network.trainable_variables, values, strict=True):
                name = tf1.original_name(variable)
                histograms[name] = tf.convert_to_tensor(variable)
                histograms[f"grad_{name}"] = gradient
        return histograms

    def _image_gradients(self, forward: _Forward) -> tuple[tf.Tensor, tf.Tensor]:
        """Gradients of the summed scores with respect to real and generated images."""
        return (
            forward.tape.gradient(forward.score_data, forward.real),
            forward.tape.gradient(forward.score_gen, forward.generated),
        )

    def _forward(self, real, codes, labels, labels_gen, watch_images: bool = False) -> _Forward:
        """Runs both networks and the loss under a persistent tape."""
        real = _to_float(real)
        expected = batch_shape(self.discriminator.spec.input_shape, self.discriminator.data_format)
        if not real.shape.is_compatible_with(expected):
            raise DataError(f"Real images must have shape {expected} for this critic, not {tuple(real.shape)}.")
        drawn, drawn_labels = self._draw(tf.shape(real)[0], labels_gen)
        codes = drawn if codes is None else tf.convert_to_tensor(codes)
        state = {name: tf.convert_to_tensor(variable) for name, variable in self.loss_state.items()}
        with tf.GradientTape(persistent=True) as tape:
            if watch_images:
                tape.watch(real)
            norms = {layer: layer.normalise() for layer in self._spectral_layers()}
            with scope.shared_kernels({id(layer): norm[0] for layer, norm in norms.items()}):
                generated = self._generator(codes, drawn_labels, training=True)
                score_gen, score_data = self._scores(real, generated, labels, drawn_labels)
            losses = self.loss(score_gen, score_data, seed=self._seed(_LOSS), state=state)
        names = {layer: name for net in self._networks for name, layer in net.spectral_layers().items()}
        return _Forward(
            tape=tape,
            losses=losses,
            real=real,
            generated=generated,
            score_gen=score_gen,
            score_data=score_data,
            sigmas={names[layer]: norm[1] for layer, norm in norms.items()},
            vectors=[(layer.in_rand, norm[2]) for layer, norm in norms.items() if norm[2] is not None],
        )

    def _spectral_layers(self) -> list:
        return [layer for net in self._networks for layer in net.spectral_layers().values()]

    def _generator(self, codes, labels, training: bool) -> tf.Tensor:
        inputs = codes if self.num_class < 2 else {"x": codes, "y": labels}
        return self.generator(inputs, training=training)

    def _scores(self, real, generated, labels, labels_gen) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores of generated and of real images.

        Apart, so that the generator's gradient does not pay for the real half; in one batch, real first, where
        batch normalisation in the critic makes the samples depend on one another.
        """
        if not self.discriminator.couples_batch():
            return self._critic(generated, labels_gen), self._critic(real, labels)
        images = tf.concat([real, tf.cast(generated, real.dtype)], 0)
        both = None if labels is None else tf.concat([labels, labels_gen], 0)
        scores = self._critic(images, both)
        return scores[tf.shape(real)[0] :], scores[: tf.shape(real)[0]]

    def _critic(self, images, labels) -> tf.Tensor:
        inputs = images if self.num_class < 2 else {"x": images, "y": labels}
        return self.discriminator(inputs, training=True)

    def _gradients(self, forward: _Forward) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Gradients of each player's loss for its own variables: (critic's, generator's)."""
        dis, gen = self.discriminator.trainable_variables, self.generator.trainable_variables
        dis, gen = [v.value for v in dis], [v.value for v in gen]
        tape, losses = forward.tape, forward.losses
        zero = tf.UnconnectedGradients.ZERO
        if self.loss.shares_backward:
            # loss_dis is -loss_gen exactly: one backward pass through the critic serves both players.
            both = tape.gradient(losses.gen, dis + gen, unconnected_gradients=zero)
            return [-gradient for gradient in both[: len(dis)]], both[len(dis) :]
        return (
            tape.gradient(losses.dis, dis, unconnected_gradients=zero),
            tape.gradient(losses.gen, gen, unconnected_gradients=zero),
        )

    def _draw(self, count, labels=None) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Draws (codes, labels) of this step; given labels are kept."""
        codes = tf.random.stateless_normal((count, self.code_size), self._seed(_CODES))
        if labels is None and self.num_class >= 2:
            seed = self._seed(_LABELS)
            labels = tf.random.stateless_uniform((count, 1), seed, 0, self.num_class, tf.int32)
        return codes, labels

    def _seed(self, stream: int) -> tf.Tensor:
        """A stateless seed for one stream of random numbers at the present step."""
        return tf.stack([tf.constant(self.seed * 8 + stream, tf.int64), self.iterations])


_DIS = ("discriminator", 0)
_GEN = ("generator", 1)


def _periods(imbalanced_update: Sequence[int] | None) -> tuple[int, int] | None:
    if imbalanced_update is None:
        return None
    periods = tuple(imbalanced_update)
    whole = all(isinstance(p, int) and p >= 1 for p in periods)
    if len(periods) != 2 or not whole or 1 not in periods:
        raise ConfigError(
            f"imbalanced_update must be two periods (critic, generator), one of them 1; got {imbalanced_update!r}."
        )
    return None if math.prod(periods) == 1 else periods


def _to_float(images) -> tf.Tensor:
    """uint8 0..255 to [-1, 1] by v / 127.5 - 1; floating-point images pass."""
    images = tf.convert_to_tensor(images)
    if images.dtype == tf.uint8:
        return tf.cast(images, tf.float32) / 127.5 - 1
    if not images.dtype.is_floating:
        raise DataError(f"Images must be uint8 (0 to 255) or floating-point in [-1, 1], not {images.dtype.name}.")
    return images


def _channels_last(images: tf.Tensor, data_format: str) -> tf.Tensor:
    return tf.transpose(images, (0, 2, 3, 1)) if data_format == "channels_first" else images
