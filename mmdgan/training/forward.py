"""The forward pass of a training step and its gradients: all that is computed from the values before the step.

Nothing here changes a variable; `mmdgan.training.step` does, with what comes of this.

The generator runs once; the critic sees real and generated images with the same effective kernels; both gradients
come from that one forward pass. Losses do not compute penalties: the critic runs once more for them, in inference mode
but with the same effective kernels, so that a kernel has one spectral norm per step.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import tensorflow as tf

from mmdgan.core import random, replicas
from mmdgan.core.errors import ConfigError, DataError
from mmdgan.core.types import TensorLike
from mmdgan.layers import scope
from mmdgan.losses.registry import Loss
from mmdgan.networks.blocks import batch_shape
from mmdgan.networks.network import Network
from mmdgan.training.aids import critic_input, critic_terms
from mmdgan.training.aids.ada import AdaptiveProbability
from mmdgan.training.aids.critic_input import View
from mmdgan.training.aids.settings import Aids
from mmdgan.training.precision import LossScale

CODES, LABELS, LOSS, INTERPOLATION, UPDATE, VIEW = range(6)
"""Streams of random numbers within one step."""


@dataclasses.dataclass
class Forward:
    """One forward pass of both networks, with what is needed to differentiate and to log it.

    Scores are those that the loss saw; `own_scores` those of this replica's images, generated and real. `loss_dis` is
    the critic's loss with what aids add to it (`r1`); `regularisers` is what is told beside the losses, `state` what
    the loss was given.
    """

    tape: tf.GradientTape
    losses: Any
    loss_dis: tf.Tensor
    r1: tf.Tensor | None
    regularisers: dict[str, tf.Tensor]
    state: dict[str, tf.Tensor]
    real: tf.Tensor
    generated: tf.Tensor
    score_gen: tf.Tensor
    score_data: tf.Tensor
    own_scores: tuple[tf.Tensor, tf.Tensor]
    sigmas: dict[str, tf.Tensor]
    updates: list[tuple[Any, tf.Tensor]]


class ForwardPass(tf.Module):
    """Both networks and their loss, as far as a step computes with them; `GanStep` says what the arguments are.

    Attributes:
        iterations: number of steps taken (tf.Variable, int64), on which random numbers depend.
        gathers: whether the loss is that of the scores of all replicas.
        ada: what adapts the probability of augmentation, if the aids ask for it, else None.
        loss_scale: the dynamic scale of the losses of float16 networks, else None.
        loss_state: what the loss remembers, by name.
    """

    def __init__(
        self,
        generator: Network,
        discriminator: Network,
        loss: Loss,
        *,
        penalty_weight: float | None,
        legacy: bool,
        seed: int,
        gathers: bool,
        fixed_critic: bool,
        aids: Aids,
    ) -> None:
        super().__init__(name="gan_step")
        check_pair(generator, discriminator)
        self.generator = generator
        self.discriminator = discriminator
        self.loss = loss
        self.penalty_weight = resolve_penalty_weight(loss, penalty_weight)
        self.legacy = legacy
        self.seed = int(seed)
        self.gathers = gathers
        self.aids = aids
        self.fixed_critic = fixed_critic or not discriminator.trainable_variables
        if self.fixed_critic and (loss.penalty or loss.uses_scale):
            raise ConfigError(
                f"The loss {loss.name!r} regularises the critic, but this critic does not learn: choose a loss "
                "without penalty and scale."
            )
        self.loss_scale = LossScale() if "fp16" in (generator.precision, discriminator.precision) else None
        self.iterations = tf.Variable(0, dtype=tf.int64, trainable=False, name="global_step")
        self.ada = None if aids.ada is None else AdaptiveProbability(aids.ada, aids.ada_images)
        probability = None if self.ada is None else self.ada.probability
        shape = discriminator.spec.input_shape
        self._view = View(aids, discriminator.data_format, shape, self.iterations, probability)
        self.loss_state = {
            name: tf.Variable(value, trainable=False, name=name) for name, value in loss.initial_state().items()
        }
        self._substep = 0  # of the critic's updates before the one that both players have

    @property
    def code_size(self) -> int:
        """Length of a latent code."""
        return self.generator.spec.input_shape[0]

    @property
    def num_class(self) -> int:
        """Number of classes; below 2 the networks are unconditional."""
        return self.generator.spec.num_class

    @property
    def _networks(self) -> tuple[Network, Network]:
        return self.generator, self.discriminator

    def _forward(
        self,
        real: TensorLike,
        codes: TensorLike | None,
        labels: TensorLike | None,
        labels_gen: TensorLike | None,
        watch_images: bool = False,
    ) -> Forward:
        """Runs both networks and the loss under a persistent tape; changes no variable. Of this replica's images."""
        real = checked_images(real, self.discriminator)
        codes, labels_gen = self._draw(batch_size(real), codes, labels_gen)
        labels = checked_labels(labels, self.discriminator)
        state = {name: tf.convert_to_tensor(variable) for name, variable in self.loss_state.items()}
        with (
            tf.GradientTape(persistent=True) as tape,
            scope.deferred_updates() as averages,
            scope.synchronised_statistics(self.gathers),
        ):
            if watch_images:
                tape.watch(real)
            norms = self._norms()
            with scope.shared_kernels({id(layer): norm[0] for layer, norm in norms.items()}):
                generated = self._generator(codes, labels_gen, training=True)
                seen = self._seen(real, critic_input.REAL), self._seen(generated, critic_input.GENERATED)
                own_scores = self._scores(*seen, labels, labels_gen)
                score_gen, score_data = self._gathered(*own_scores)
                regularisers = self._regularisers(*seen, labels, score_gen, score_data, state)
                r1 = self._r1(seen[0], labels)
            losses = self.loss(score_gen, score_data, seed=self._seed(LOSS), state=state, **regularisers)
            loss_dis = losses.dis if r1 is None else losses.dis + r1
        learns = set(self._spectral_layers(*self._learning))
        vectors = [(layer.in_rand, norm[2]) for layer, norm in norms.items() if layer in learns and norm[2] is not None]
        names = {layer: name for net in self._networks for name, layer in net.spectral_layers().items()}
        return Forward(
            tape=tape,
            losses=losses,
            loss_dis=loss_dis,
            r1=r1,
            regularisers=regularisers if r1 is None else {**regularisers, "r1": r1},
            state=state,
            real=real,
            generated=generated,
            score_gen=score_gen,
            score_data=score_data,
            own_scores=own_scores,
            sigmas={names[layer]: norm[1] for layer, norm in norms.items()},
            updates=[*self._averages(averages), *vectors],
        )

    def _gathered(self, *scores: tf.Tensor) -> list[tf.Tensor]:
        """Scores (n, d) of this replica as the loss sees them: with those of all replicas, if it is to."""
        if not self.gathers or replicas.replica_count() == 1:
            return list(scores)
        return tf.split(replicas.gather_rows(tf.concat(scores, 1)), len(scores), axis=1)

    def _averages(self, updates: list[tuple[Any, tf.Tensor]]) -> list[tuple[Any, tf.Tensor]]:
        """Moving averages of all replicas: alike if batch statistics are, else their mean."""
        values = self._of_all_replicas([value for _, value in updates])
        return [(variable, value) for (variable, _), value in zip(updates, values, strict=True)]

    @property
    def _learning(self) -> tuple[Network, ...]:
        """The networks that steps change."""
        return self._networks[:1] if self.fixed_critic else self._networks

    def _spectral_layers(self, *networks: Network) -> list:
        return [layer for net in networks for layer in net.spectral_layers().values()]

    def _norms(self) -> dict:
        """Effective kernel, spectral norm and next vector of each layer with a norm."""
        learning = {layer: layer.normalise(gradient_at="next") for layer in self._spectral_layers(*self._learning)}
        fixed = [net for net in self._networks if net not in self._learning]
        return learning | {layer: layer.normalise() for layer in self._spectral_layers(*fixed)}

    def _generator(self, codes: TensorLike | None, labels: TensorLike | None, training: bool) -> tf.Tensor:
        inputs = codes if labels is None else {"x": codes, "y": labels}
        return self.generator(inputs, training=training)

    def _scores(
        self, real: TensorLike, generated: TensorLike, labels: TensorLike | None, labels_gen: TensorLike | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores of generated and of real images.

        Apart, so that the generator's gradient does not pay for the real half; in one batch, real first, where
        batch normalisation in the critic makes the samples depend on one another.
        """
        if self.fixed_critic or not self.discriminator.couples_batch():
            return self._critic(generated, labels_gen), self._critic(real, labels)
        images = tf.concat([real, generated], 0)
        both = None if labels is None else tf.concat([labels, labels_gen], 0)
        scores = self._critic(images, both)
        return scores[tf.shape(real)[0] :], scores[: tf.shape(real)[0]]

    def _critic(self, images: TensorLike, labels: TensorLike | None, training: bool = True) -> tf.Tensor:
        inputs = images if labels is None else {"x": images, "y": labels}
        return self.discriminator(inputs, training=training and not self.fixed_critic)

    def _regularisers(
        self,
        real: TensorLike,
        generated: TensorLike,
        labels: TensorLike | None,
        score_gen: TensorLike,
        score_data: TensorLike,
        state: Mapping[str, Any],
    ) -> dict[str, tf.Tensor]:
        """What the loss wants besides scores, by the name of its argument: {} for most losses (spec D.1).

        The critic runs in inference mode; interpolates between real and generated images keep the real labels.
        """
        from mmdgan import losses

        critic = self._inference_critic(labels)
        if self.loss.uses_scale:
            weight: Any = self.penalty_weight  # never None with a scale
            mean = replicas.mean_over_replicas if self.gathers else tf.identity
            return {"dis_scale": losses.jacobian_scale(critic, real, weight, mean)}
        if self.loss.penalty is None:
            return {}
        count = batch_size(real)
        penalty = losses.gradient_penalty(
            self.loss.penalty,
            critic,
            real,
            generated,
            score_data,
            score_gen,
            self._drawn(count, lambda total: random.uniform((total, 1, 1, 1), self._seed(INTERPOLATION))),
            legacy=self.legacy,
            **self.loss.penalty_kernel(score_gen, score_data, self._seed(LOSS), state),
        )
        if self.gathers:
            penalty = replicas.mean_over_replicas(penalty)
        return {"dis_penalty": self.penalty_weight * penalty}

    def _inference_critic(self, labels: TensorLike | None) -> Callable[[tf.Tensor], tf.Tensor]:
        return lambda images: self._critic(images, labels, training=False)

    def _r1(self, real: TensorLike, labels: TensorLike | None) -> tf.Tensor | None:
        """What the penalty R1 adds to the critic's loss, if the aids ask for it."""
        if self.aids.r1 is None:
            return None
        penalty = critic_terms.r1_penalty(self._inference_critic(labels), real, self.aids.r1)
        return replicas.mean_over_replicas(penalty) if self.gathers else penalty

    def _seen(self, images: tf.Tensor, whose: int) -> tf.Tensor:
        """This replica's images as the critic sees them."""
        return self._view(images, whose, lambda: self._seed(VIEW), self._drawn)

    def _gradients(self, forward: Forward) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Gradients of each player's loss for its own variables: (critic's, generator's); none of a fixed critic."""
        dis, gen = self.discriminator.trainable_variables, self.generator.trainable_variables
        dis, gen = [v.value for v in dis], [v.value for v in gen]
        tape, losses = forward.tape, forward.losses

        def gradients(loss: tf.Tensor, variables: Sequence[tf.Variable]) -> Any:
            scale = self.loss_scale
            zero = tf.UnconnectedGradients.ZERO
            found = tape.gradient(loss, variables, None if scale is None else scale.scale, zero)
            return found if scale is None else scale.unscaled(found)

        if self.fixed_critic:
            return [], gradients(losses.gen, gen)
        if self._substep:
            return gradients(forward.loss_dis, dis), []
        if self.loss.shares_backward:
            # losses.dis is -losses.gen exactly: one backward pass through the critic serves both players.
            both = gradients(losses.gen, dis + gen)
            critics = [-gradient for gradient in both[: len(dis)]]
            if forward.r1 is not None:
                critics = [a + b for a, b in zip(critics, gradients(forward.r1, dis), strict=True)]
            return critics, both[len(dis) :]
        return gradients(forward.loss_dis, dis), gradients(losses.gen, gen)

    def _draw(
        self, count: TensorLike, codes: TensorLike | None = None, labels: TensorLike | None = None
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Returns (codes, labels) of this step and replica; what is not given is drawn."""
        if codes is None:
            codes = self._drawn(count, lambda n: random.normal((n, self.code_size), self._seed(CODES)))
        if self.num_class < 2:
            return tf.convert_to_tensor(codes), None
        if labels is None:
            drawn = {"minval": 0, "maxval": self.num_class, "dtype": tf.int32}
            labels = self._drawn(count, lambda n: random.uniform((n, 1), self._seed(LABELS), **drawn))
        return tf.convert_to_tensor(codes), tf.cast(labels, tf.int32)

    def _drawn(self, count: TensorLike, draw: Callable[[Any], tf.Tensor]) -> tf.Tensor:
        """This replica's rows of random numbers that are drawn for the samples of all replicas."""
        return replicas.own_rows(draw(count * replicas.replica_count()), count)

    def _of_all_replicas(self, values: Any) -> Any:
        """What the replicas computed of the loss: alike if they gathered the scores, else their mean."""
        return values if self.gathers else replicas.mean_over_replicas(values)

    def _seed(self, stream: int) -> tf.Tensor:
        """A stateless seed for one stream of random numbers at the present step."""
        with random.outside():
            seed = tf.stack([tf.constant(self.seed * 8 + stream, tf.int64), self.iterations])
            return tf.random.experimental.stateless_fold_in(seed, self._substep) if self._substep else seed


def batch_size(images: tf.Tensor) -> int | tf.Tensor:
    """The number of images: where it is known, a number, for the choice of algorithms."""
    return images.shape[0] or tf.shape(images)[0]


# MERGED mmdgan/training/forward.py
# What a training step accepts: images, labels, and pairs of networks; what it refuses, in a sentence.


def resolve_penalty_weight(loss: Loss, given: float | None) -> float | None:
    """The weight to use of a loss's penalty or scale; None for a loss that has neither."""
    if given is not None and loss.penalty_weight is None:
        raise ConfigError(
            f"penalty_weight is {given}, but the loss {loss.name!r} has no penalty to weigh; leave it out."
        )
    if given is not None and not (isinstance(given, Real) and 0 < given < math.inf):
        raise ConfigError(f"penalty_weight is {given!r}; give a positive number.")
    return loss.penalty_weight if given is None else float(given)


def check_pair(generator: Network, discriminator: Network) -> None:
    """Refuses two networks that cannot play together: of unlike data formats or numbers of classes."""
    formats = generator.data_format, discriminator.data_format
    if formats[0] != formats[1]:
        raise ConfigError(f"The generator is {formats[0]} and the critic {formats[1]}: build both in one data_format.")
    counts = [network.spec.num_class if network.spec.num_class >= 2 else 0 for network in (generator, discriminator)]
    if counts[0] != counts[1]:
        raise ConfigError(
            f"The generator has {counts[0]} classes and the critic {counts[1]}: build both with the same num_class."
        )


def to_float(images: TensorLike, dtype: str) -> tf.Tensor:
    """uint8 0..255 to [-1, 1] by v / 127.5 - 1; of floating-point images only the type changes."""
    images = tf.convert_to_tensor(images)
    if images.dtype == tf.uint8:
        return tf.cast(images, dtype) / 127.5 - 1
    if not images.dtype.is_floating:
        raise DataError(f"Images must be uint8 (0 to 255) or floating-point in [-1, 1], not {images.dtype.name}.")
    return tf.cast(images, dtype)


def channels_last(images: tf.Tensor, data_format: str) -> tf.Tensor:
    """Images (N, H, W, C) of images in `data_format`; points (N, d) are as they are."""
    return tf.transpose(images, (0, 2, 3, 1)) if data_format == "channels_first" and len(images.shape) == 4 else images


def checked_images(real: TensorLike, critic: Network) -> tf.Tensor:
    """Real images as floats in [-1, 1], of the critic's shape; DataError if they are of another."""
    real = to_float(real, critic.variable_dtype)
    expected = batch_shape(critic.spec.input_shape, critic.data_format)
    if not real.shape.is_compatible_with(expected):
        raise DataError(f"Real images must have shape {expected} for this critic, not {tuple(real.shape)}.")
    return real


def checked_labels(labels: TensorLike | None, critic: Network) -> tf.Tensor | None:
    """Labels of real images; None for unconditional networks, which do not need them; DataError if they are missing."""
    num_class = critic.spec.num_class
    if labels is None and critic.conditional:
        raise DataError(
            f"The critic is conditional on {num_class} classes and was given images alone: pass their labels too, "
            "int (B, 1)."
        )
    return None if labels is None or num_class < 2 else tf.cast(labels, tf.int32)
