"""One step of GAN training: both networks are updated from one forward pass (spec E.2, E.4; penalties: D.1).

`GanStep` reads in the order of a step: what it computes (`_forward`, `_gradients`), how that is applied (`_update`),
how it is compiled (`_train`), and what TensorBoard shows of it (`_inspect`).

The generator runs once. The critic sees real and generated images with the same effective kernels, and both gradients
come from that one forward pass. Penalties run the critic once more, in inference mode but with the same effective
kernels, so that a kernel has one spectral norm per step. Every quantity is computed from the values before the step:
weights, moving averages and spectral vectors change only after the gradients are known.

Several replicas take equal parts of the batch. Scores are gathered, so that each replica computes the loss of the whole
batch, and batch normalisation takes the statistics of the whole batch: R replicas of B / R images make the step of one
device with B. Each replica differentiates its own copy of the loss; the mean of their gradients is the gradient of the
loss, because the reductions between them are differentiated too (`mmdgan.core.replicas`).

With `micro_batch` a step takes the memory of a small batch (gradient caching; Gao et al. 2021): all scores are computed
chunk by chunk, then the loss and its gradient for the scores once, then each chunk again with its rows of that
gradient. Losses and gradients are those of the whole batch (`_InChunks`, `mmdgan.training.chunks`).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, TypeAlias, TypeVar

import tensorflow as tf

from mmdgan import losses, tf1
from mmdgan.core import random, replicas
from mmdgan.core.devices import REPLICA_LOSSES
from mmdgan.core.errors import ConfigError, DataError
from mmdgan.core.gradients import free_with_graphs
from mmdgan.core.options import check_count
from mmdgan.core.types import TensorLike
from mmdgan.layers import scope
from mmdgan.layers.normalization import BatchNorm
from mmdgan.losses.penalties import jacobian_squared_norms
from mmdgan.losses.registry import Loss
from mmdgan.networks.blocks import batch_shape
from mmdgan.networks.network import Network, check_labels
from mmdgan.training.aids import augment
from mmdgan.training.aids.augment import GENERATED, REAL, CriticInput
from mmdgan.training.aids.ema import WeightAverage
from mmdgan.training.aids.settings import Aids
from mmdgan.training.chunks import Chunked, Gradient, Objective
from mmdgan.training.distribution import Replicas
from mmdgan.training.optimizers import NAMES, LossScale, UpdateSchedule, clipped, scheduled_optimizer

T = TypeVar("T")
Pair: TypeAlias = tuple[list[tf.Tensor], list[tf.Tensor]]
"""Gradients of both players' losses."""

CODES, LABELS, LOSS, INTERPOLATION, UPDATE, VIEW = range(6)
"""Streams of random numbers within one step."""


@dataclasses.dataclass
class Computed:
    """What a pass over a replica's images computes, whether at once or in chunks.

    Attributes:
        losses: Result of the loss function.
        loss_dis: Loss of the critic, with the penalty R1.
        regularisers: Penalties and scales, reported with the losses.
        state: State that the loss was given.
        score_gen, score_data: Scores that the loss saw: of this replica's images, or of all replicas'.
        updates: (variable, next value) of moving averages and spectral vectors.
    """

    losses: Any
    loss_dis: tf.Tensor
    regularisers: dict[str, tf.Tensor]
    state: dict[str, tf.Tensor]
    score_gen: tf.Tensor
    score_data: tf.Tensor
    updates: list[tuple[Any, tf.Tensor]]


@dataclasses.dataclass
class Forward(Computed):
    """One forward pass of both networks on a replica, with what is needed to differentiate and to log it.

    Attributes:
        tape: Persistent; it has recorded the pass.
        real, generated: (n, ...) images of this replica, before augmentation.
        own_scores: Scores (generated, real) of this replica's images.
        sigmas: Spectral norm of each layer.
    """

    tape: tf.GradientTape
    real: tf.Tensor
    generated: tf.Tensor
    own_scores: tuple[tf.Tensor, tf.Tensor]
    sigmas: dict[str, tf.Tensor]


class GanStep(tf.Module):
    """Both networks with their loss and optimisers, and the step that trains them.

    Built, like the networks, within the scope of a `tf.distribute.Strategy`, it trains on all of its replicas.

    Args:
        generator: The generator, from `mmdgan.build_generator`.
        discriminator: The critic, from `mmdgan.build_discriminator`.
        loss: A loss from `mmdgan.losses.get`, or its name.
        lr_dis: Learning rate of the critic.
        lr_gen: Learning rate of the generator.
        optimizer: 'adam', 'rmsprop', 'sgd' or 'momentum', or a pair of names (critic, generator).
        end_lr: Learning rate of sgd and momentum at step 100,000.
        imbalanced_update: (p_dis, p_gen) or 'dynamic' (`mmdgan.training.optimizers.UpdateSchedule`); None updates both
            at every step.
        penalty_weight: Weight of the loss's gradient penalty, or of the squared Jacobian in the scale of the `_ds`
            losses; None: the loss's own default.
        legacy: Whether penalties use the released witness (`mmdgan.losses.gradient_penalty`).
        seed: Seed of codes, labels and the loss's random numbers, which are functions of (seed, step).
        replica_losses: "gathered": the loss of the scores of all replicas; "local": each replica takes the loss of its
            own samples, with its own batch statistics, and gradients and moving averages are averaged (towers).
        jit: Whether XLA compiles the networks, the loss and their gradients; on several devices the networks and
            their gradients, in passes between the reductions over the replicas (as `micro_batch` takes them).
        fixed_critic: Freezes the critic: it runs in inference mode, and no step changes its weights, moving averages or
            spectral vectors. A critic without weights is always frozen, and so is one with ``trainable=False``; layers
            and generators with ``trainable=False`` keep all of that, too. Freeze them before the first step.
        aids: The training aids; none by default.
        micro_batch: Number of images in memory at a time, on each replica, besides some inputs of batch norms
            (`mmdgan.training.chunks.KEPT_BYTES`); it divides a replica's batch. The step remains that of the whole
            batch: its losses, gradients and batch statistics. None: the whole batch at once.
        same_class: Whether generated images take the classes of the step's real ones, as the original's do where its
            batches are of one class; else their classes are drawn.

    Attributes:
        iterations: Number of steps taken (tf.Variable, int64): the original's global step.
        replicas: The replicas that take the steps.
        gathers: Whether the loss is that of the scores of all replicas.
        average: Average of the generator's weights; None without it.
        ada: Adapts the probability of augmentation; None without it.
        loss_scale: Dynamic scale of the losses of float16 networks; None otherwise.
        loss_state: Variables that the loss keeps from step to step, by name.

    Raises:
        ConfigError: An unknown optimiser or loss, an invalid schedule, a penalty weight for a loss without penalty,
            networks with different numbers of classes, or networks built outside of the strategy's scope.
    """

    def __init__(
        self,
        generator: Network,
        discriminator: Network,
        loss: Loss | str,
        lr_dis: float,
        lr_gen: float,
        optimizer: str | Sequence[str] = "adam",
        *,
        end_lr: float = 1e-7,
        imbalanced_update: Sequence[int] | str | None = None,
        penalty_weight: float | None = None,
        legacy: bool = False,
        seed: int = 0,
        replica_losses: str = "gathered",
        jit: bool = False,
        fixed_critic: bool = False,
        aids: Aids | None = None,
        micro_batch: int | None = None,
        same_class: bool = False,
    ):
        super().__init__(name="gan_step")
        if replica_losses not in REPLICA_LOSSES:
            raise ConfigError(f"replica_losses is {replica_losses!r}; give one of {', '.join(REPLICA_LOSSES)}.")
        if micro_batch is not None:
            check_count("micro_batch", micro_batch)
        loss = losses.get(loss) if loss is None or isinstance(loss, str) else loss
        _check_loss(loss, aids)
        _check_pair(generator, discriminator)
        self.generator = generator
        self.discriminator = discriminator
        self.loss = loss
        self.penalty_weight = _penalty_weight(loss, penalty_weight)
        self.legacy = legacy
        self.seed = int(seed)
        self.gathers = replica_losses == "gathered"
        self.micro_batch = micro_batch
        self.same_class = same_class
        self.fixed_critic = fixed_critic or not discriminator.trainable_variables
        if self.fixed_critic and (loss.penalty or loss.uses_scale):
            raise ConfigError(
                f"The loss {loss.name!r} regularises the critic, but this critic does not learn: choose a loss "
                "without penalty and scale."
            )
        self.loss_scale = LossScale() if "fp16" in (generator.precision, discriminator.precision) else None
        self.iterations = tf.Variable(0, dtype=tf.int64, trainable=False, name="global_step")
        self.aids = aids = aids or Aids()
        self.ada = None if aids.ada is None else augment.AdaptiveProbability(aids.ada, aids.ada_images)
        images = discriminator.data_format, discriminator.spec.input_shape, discriminator.variable_dtype
        probability = None if self.ada is None else self.ada.probability
        self._critic_input = CriticInput(aids, *images, self.iterations, probability)
        self.loss_state = {
            name: tf.Variable(value, trainable=False, name=name) for name, value in loss.initial_state().items()
        }
        self._trainable: tuple[bool, ...] | None = None  # of each layer, at the first step
        self._substep = 0  # number of the critic's update, before the one that updates both players
        self.schedule = UpdateSchedule(imbalanced_update)
        aids.check_with(imbalanced_update=imbalanced_update, jit=jit, critic_learns=not self.fixed_critic)
        self.replicas = Replicas.current()
        self.replicas.check_variables([v.value for net in self._networks for v in net.variables])
        names = _optimizer_names(optimizer)
        rates = {"end_lr": end_lr, "aids": aids, "global_step": self.iterations}
        self.optimizer_dis = scheduled_optimizer(names[0], lr_dis, **rates)
        self.optimizer_gen = scheduled_optimizer(names[1], lr_gen, **rates)
        self.optimizer_dis.build(discriminator.trainable_variables)
        self.optimizer_gen.build(generator.trainable_variables)
        self.average = None if aids.ema is None else WeightAverage(generator, aids.ema)
        # XLA compiles no reduction over replicas: of several it compiles the passes between them.
        self._jit_of_parts = jit and self.replicas.count > 1
        jit_of_all = jit and not self._jit_of_parts
        self._compute = random.Compiled(self._differentiate) if jit_of_all else self._differentiate

    @property
    def code_size(self) -> int:
        """Length of a latent code."""
        return self.generator.spec.input_shape[0]

    @property
    def num_class(self) -> int:
        """Number of classes; below 2 the networks are unconditional."""
        return self.generator.spec.num_class

    @property
    def sampling_generator(self) -> Network:
        """The generator for samples and scores: the averaged one if there is one."""
        return self.generator if self.average is None else self.average.network

    @property
    def _networks(self) -> tuple[Network, Network]:
        return self.generator, self.discriminator

    @property
    def _learning(self) -> tuple[Network, ...]:
        return self._networks[:1] if self.fixed_critic else self._networks

    def step(
        self,
        real: TensorLike,
        codes: TensorLike | None = None,
        labels: TensorLike | None = None,
        labels_gen: TensorLike | None = None,
    ) -> dict[str, tf.Tensor]:
        """Updates both networks once on a batch of real images.

        Args:
            real: (B, H, W, C) or (B, C, H, W) as the networks' data format; uint8, or float in [-1, 1]. With several
                workers each gives its own equal part of the batch, here and below.
            codes: (B, code) latent codes; by default standard normal, a function of (seed, step).
            labels: (B, 1) int classes of `real`; needed by conditional critics only. With `critic_steps` c of the aids,
                `real` and `labels` are of c B images, those of the update of both players last.
            labels_gen: (B, 1) classes to generate; by default uniform, a function of (seed, step).

        Returns:
            Scalars by name, of the forward pass before the update: loss_gen, loss_dis, and what the step computed
            for the critic's loss: dis_penalty (weighted) or dis_scale.

        Raises:
            DataError: Images of another shape or type, or no labels for a conditional critic.
        """
        self._check_frozen()
        self._check_label_values(labels, labels_gen)
        update = self.schedule.updates(self.iterations, lambda: random.uniform((), self._seed(UPDATE)))
        return self._train(real, codes, labels, labels_gen, *update)

    def steps(self, real: TensorLike, labels: TensorLike | None = None) -> dict[str, tf.Tensor]:
        """Takes several steps in one call of a TensorFlow function.

        Args:
            real: (K, B, H, W, C) or (K, B, C, H, W): a batch of real images for each step.
            labels: (K, B, 1) int classes of `real`, for conditional critics.

        Returns:
            The results of `step`, one number for each step: (K,).

        Raises:
            ConfigError: A schedule that decides before each step whether to update a network.
            DataError: As `step`.
        """
        if not self.schedule.constant:
            raise ConfigError(
                "imbalanced_update decides before each step which network is updated, so that steps cannot be taken "
                "several at a time; leave it out, or leave steps_per_call at 1."
            )
        self._check_frozen()
        self._check_label_values(labels)
        return self._train_several(tf.convert_to_tensor(real), labels)

    def inspect(
        self, real: TensorLike, labels: TensorLike | None = None, num_images: int = 8
    ) -> dict[str, dict[str, tf.Tensor]]:
        """Computes statistics of one batch as the step would, and changes nothing (spec E.7).

        With `micro_batch` they are of the first images of each replica, as many as fit.

        Args:
            real: As in `step`.
            labels: As in `step`.
            num_images: Number of real and of generated images to return.

        Returns:
            "scalars", "histograms" and "images", each a dict by the original's tags.
        """
        self._check_frozen()
        self._check_label_values(labels)
        # TensorFlow counts the tracings of all GanSteps together, and warns of the fifth; not of a concrete function.
        batch = real, labels, num_images
        return self._inspect.get_concrete_function(*batch)(*batch)

    def generate(self, codes: TensorLike | None, labels: TensorLike | None = None) -> tf.Tensor:
        """Returns images (N, H, W, C) in [-1, 1] of codes (N, code) [and labels (N, 1)], in inference mode."""
        self._check_label_values(labels)
        return self._generate(codes, labels)

    def state(self) -> dict[str, tf.Variable]:
        """Returns every variable that a checkpoint must hold, under the original's names."""
        state = {tf1.original_name(v): v.value for net in self._networks for v in net.variables}
        state |= tf1.slot_variables(self.optimizer_dis, self.discriminator, 0)
        state |= tf1.slot_variables(self.optimizer_gen, self.generator, 1)
        state |= {f"loss/{name}": variable for name, variable in self.loss_state.items()}
        for part in (self.schedule, self.loss_scale, self.average, self.ada):
            state |= {} if part is None else part.state()
        return state | {"global_step": self.iterations}

    # What a step computes from the values before it.

    def _differentiate(self, *batch: TensorLike) -> tuple[tuple, list]:
        """Returns a replica's (losses, regularisers, gradients, next values, next state) and the values' variables."""
        forward: Computed
        size = batch_size(tf.convert_to_tensor(batch[0]))
        if self.micro_batch in (None, size) and not self._jit_of_parts:
            forward = whole = self._forward(*batch)
            gradients = self._gradients(whole)
        else:
            forward, gradients = _InChunks(self, *batch).compute()
        computed = {"loss_gen": forward.losses.gen, "loss_dis": forward.loss_dis}
        if self.ada is not None:
            scores = forward.score_gen, forward.score_data
            computed["ada_r"] = augment.overfitting(self.loss, *scores, self._seed(LOSS), forward.state)
            computed["ada_p"] = tf.convert_to_tensor(self.ada.probability)
        pairs = forward.updates
        if self._substep:  # the generator stays as it is
            critics = {id(variable) for variable in self.discriminator.variables}
            pairs = [(variable, value) for variable, value in pairs if id(variable) in critics]
        updates = [value for _, value in pairs]
        results = computed, forward.regularisers, gradients, updates, forward.losses.state
        return results, [variable for variable, _ in pairs]

    def _forward(
        self,
        real: TensorLike,
        codes: TensorLike | None,
        labels: TensorLike | None,
        labels_gen: TensorLike | None,
        watch_images: bool = False,
    ) -> Forward:
        """Runs both networks and the loss on this replica's images under a persistent tape; changes no variable."""
        real = _checked_images(real, self.discriminator)
        labels = _checked_labels(labels, self.discriminator)
        codes, labels_gen = self._draw(batch_size(real), codes, labels_gen, labels)
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
                views = [self._view(batch_size(real), which) for which in (REAL, GENERATED)]
                seen = self._seen(real, views[REAL]), self._seen(generated, views[GENERATED])
                own_scores = self._scores(*seen, labels, labels_gen)
                score_gen, score_data = self._gathered(*own_scores)
                kernel = self._penalty_kernel(score_gen, score_data, state)
                uniform = self._interpolation(batch_size(real))
                means = self._means(*seen, labels, uniform, score_gen, score_data, kernel)
            computed, loss_dis, regularisers = self._losses(score_gen, score_data, means, state)
        names = {layer: name for net in self._networks for name, layer in net.spectral_layers().items()}
        return Forward(
            losses=computed,
            loss_dis=loss_dis,
            regularisers=regularisers,
            state=state,
            score_gen=score_gen,
            score_data=score_data,
            updates=self._updates(averages, norms),
            tape=tape,
            real=real,
            generated=generated,
            own_scores=own_scores,
            sigmas={names[layer]: norm[1] for layer, norm in norms.items()},
        )

    def _norms(self) -> dict:
        """Effective kernel, spectral norm and next vector of each layer with a norm."""
        learning = {layer: layer.normalise(gradient_at="next") for layer in self._spectral_layers(*self._learning)}
        fixed = [net for net in self._networks if net not in self._learning]
        return learning | {layer: layer.normalise() for layer in self._spectral_layers(*fixed)}

    def _updates(self, averages: Sequence[tuple[Any, tf.Tensor]], norms: Mapping) -> list[tuple[Any, tf.Tensor]]:
        """The next values of moving averages and of the spectral vectors of layers that learn, with the variables."""
        learns = {layer for layer in self._spectral_layers(*self._learning) if layer.trainable}
        vectors = [(layer.in_rand, norm[2]) for layer, norm in norms.items() if layer in learns and norm[2] is not None]
        # Moving averages are alike on all replicas if batch statistics are; else their mean is taken.
        values = self._over_replicas([value for _, value in averages])
        return [(variable, value) for (variable, _), value in zip(averages, values, strict=True)] + vectors

    def _spectral_layers(self, *networks: Network) -> list:
        return [layer for net in networks for layer in net.spectral_layers().values()]

    def _generator(self, codes: TensorLike | None, labels: TensorLike | None, training: bool) -> tf.Tensor:
        inputs = codes if labels is None else {"x": codes, "y": labels}
        return self.generator(inputs, training=training)

    def _critic(self, images: TensorLike, labels: TensorLike | None, training: bool = True) -> tf.Tensor:
        inputs = images if labels is None else {"x": images, "y": labels}
        return self.discriminator(inputs, training=training and not self.fixed_critic)

    def _view(self, count: TensorLike, stream: int) -> tuple:
        """The random numbers by which the critic's view of this replica's images differs from them."""
        return self._critic_input.draw(count, stream, self._seed(VIEW), self._drawn)

    def _seen(self, images: tf.Tensor, view: tuple) -> tf.Tensor:
        """Images as the critic sees them: with augmentation and noise."""
        return self._critic_input(images, *view)

    def _scores(
        self, real: TensorLike, generated: TensorLike, labels: TensorLike | None, labels_gen: TensorLike | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores of generated and of real images.

        Computed separately, so that the generator's gradient does not pay for the real half; in one batch, real first,
        where batch normalisation in the critic makes the samples depend on one another.
        """
        if self.fixed_critic or not self.discriminator.couples_batch():
            return self._critic(generated, labels_gen), self._critic(real, labels)
        images = tf.concat([real, generated], 0)
        both = None if labels is None else tf.concat([labels, labels_gen], 0)
        scores = self._critic(images, both)
        return scores[tf.shape(real)[0] :], scores[: tf.shape(real)[0]]

    def _gathered(self, *scores: tf.Tensor) -> list[tf.Tensor]:
        """The scores that the loss sees, of this replica's scores (n, d): those of all replicas, if it gathers."""
        if not self.gathers or replicas.replica_count() == 1:
            return list(scores)
        return tf.split(replicas.gather_rows(tf.concat(scores, 1)), len(scores), axis=1)

    def _penalty_kernel(self, score_gen: tf.Tensor, score_data: tf.Tensor, state: Mapping[str, Any]) -> dict:
        """The kernel options of the loss's gradient penalty; {} without one."""
        if self.loss.penalty is None:
            return {}
        return self.loss.penalty_kernel(score_gen, score_data, self._seed(LOSS), state)

    def _interpolation(self, count: TensorLike) -> tf.Tensor | None:
        """The share of the real image in each point of the gradient penalty; None without one."""
        if self.loss.penalty is None:
            return None
        return self._drawn(count, lambda total: random.uniform((total, 1, 1, 1), self._seed(INTERPOLATION)))

    def _means(
        self,
        real: tf.Tensor,
        generated: tf.Tensor,
        labels: tf.Tensor | None,
        uniform: tf.Tensor | None,
        score_gen: tf.Tensor,
        score_data: tf.Tensor,
        kernel: Mapping[str, Any],
    ) -> dict[str, tf.Tensor]:
        """The means over images of which `_losses` makes the regularisers (spec D.1), by their names.

        The critic runs in inference mode; interpolates between real and generated images keep the real labels.

        The penalty R1 is that of Mescheder et al. 2018, Eq. 9. For d > 1 scores the squared norm of the gradient
        becomes that of the Jacobian: the sum over the scores. The witness, the other scalar that could take the score's
        place, is flat where all kernel values are near 0, so that a penalty on it does not bound a critic that has
        moved its scores far apart. One backward pass for each score.
        """
        critic = functools.partial(self._critic, labels=labels, training=False)
        means = {}
        if self.loss.uses_scale:
            means["dis_scale"] = tf.reduce_mean(jacobian_squared_norms(critic, real))
        elif self.loss.penalty is not None:
            scores = {"score_data": score_data, "score_gen": score_gen}
            options = {**scores, "uniform": uniform, "legacy": self.legacy, **kernel}
            means["dis_penalty"] = losses.gradient_penalty(self.loss.penalty, critic, real, generated, **options)
        if self.aids.r1 is not None:
            means["r1"] = tf.reduce_mean(jacobian_squared_norms(critic, real))
        return means

    def _mean_names(self) -> list[str]:
        """The names of what `_means` returns."""
        needed = {
            "dis_scale": self.loss.uses_scale,
            "dis_penalty": not self.loss.uses_scale and self.loss.penalty is not None,
            "r1": self.aids.r1 is not None,
        }
        return [name for name, is_needed in needed.items() if is_needed]

    def _losses(
        self, score_gen: tf.Tensor, score_data: tf.Tensor, means: dict[str, tf.Tensor], state: Mapping[str, Any]
    ) -> tuple[Any, tf.Tensor, dict[str, tf.Tensor]]:
        """The loss's result, the critic's loss with the penalty R1, and the regularisers by name (mostly none)."""
        means = replicas.mean_over_replicas(means) if self.gathers and means else means
        weight: Any = self.penalty_weight  # never None with a penalty or scale
        gamma: Any = self.aids.r1
        of_means: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
            "dis_scale": lambda mean: 1.0 / (1.0 + weight * mean),
            "dis_penalty": lambda mean: weight * mean,
            "r1": lambda mean: gamma / 2 * mean,
        }
        regularisers = {name: of_means[name](mean) for name, mean in means.items()}
        of_loss = {name: value for name, value in regularisers.items() if name != "r1"}
        computed = self.loss(score_gen, score_data, seed=self._seed(LOSS), state=state, **of_loss)
        _check_result(self.loss, computed, state)
        return computed, computed.dis + regularisers["r1"] if "r1" in means else computed.dis, regularisers

    def _gradients(self, forward: Forward) -> Pair:
        """Gradients of each player's loss for its own variables: (critic's, generator's); none of a fixed critic."""
        dis, gen = self.discriminator.trainable_variables, self.generator.trainable_variables
        dis, gen = [v.value for v in dis], [v.value for v in gen]
        computed = forward.losses

        def gradients(loss: tf.Tensor, variables: Sequence[tf.Variable]) -> Any:
            scale = self.loss_scale
            zero = tf.UnconnectedGradients.ZERO
            found = forward.tape.gradient(loss, variables, None if scale is None else scale.scale, zero)
            return found if scale is None else scale.unscaled(found)

        if self.fixed_critic:
            return [], gradients(computed.gen, gen)
        if self._substep:
            return gradients(forward.loss_dis, dis), []
        if self.loss.shares_backward:
            # loss_dis is -loss_gen exactly: one backward pass through the critic serves both players.
            both = gradients(computed.gen, dis + gen)
            critics = [-gradient for gradient in both[: len(dis)]]
            if "r1" in forward.regularisers:
                of_r1 = gradients(forward.regularisers["r1"], dis)
                critics = [a + b for a, b in zip(critics, of_r1, strict=True)]
            return critics, both[len(dis) :]
        return gradients(forward.loss_dis, dis), gradients(computed.gen, gen)

    def _draw(
        self,
        count: TensorLike,
        codes: TensorLike | None = None,
        labels: TensorLike | None = None,
        of_real: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Returns (codes, labels) of this step and replica; draws those that are not given or those of real images."""
        if codes is None:
            codes = self._drawn(count, lambda n: random.normal((n, self.code_size), self._seed(CODES)))
        if self.num_class < 2:
            return tf.convert_to_tensor(codes), None
        if labels is None and self.same_class:
            labels = of_real
        if labels is None:
            drawn = {"minval": 0, "maxval": self.num_class, "dtype": tf.int32}
            labels = self._drawn(count, lambda n: random.uniform((n, 1), self._seed(LABELS), **drawn))
        return tf.convert_to_tensor(codes), tf.cast(labels, tf.int32)

    def _drawn(self, count: TensorLike, draw: Callable[[Any], tf.Tensor]) -> tf.Tensor:
        """This replica's rows of random numbers that are drawn for the samples of all replicas."""
        return replicas.own_rows(draw(count * replicas.replica_count()), count)

    def _over_replicas(self, values: Any) -> Any:
        """Values of the loss over all replicas: they are alike if scores are gathered, else their mean is taken."""
        return values if self.gathers else replicas.mean_over_replicas(values)

    def _seed(self, stream: int) -> tf.Tensor:
        """A stateless seed for one stream of random numbers at the present step."""
        with random.outside():
            seed = tf.stack([tf.constant(self.seed * 8 + stream, tf.int64), self.iterations])
            return tf.random.experimental.stateless_fold_in(seed, self._substep) if self._substep else seed

    # How that is applied.

    def _update(self, *batch: TensorLike, update_dis: bool, update_gen: bool) -> dict[str, tf.Tensor]:
        """Updates both players or one on (real, codes, labels, labels_gen); returns the losses before that."""
        variables: list = []

        several = self.replicas.count > 1
        # Of several replicas none can leave the update out: it is taken back after an overflow.
        before = [tf.identity(v) for v in self._updated_variables()] if several and self.loss_scale is not None else []

        def learn(*given: TensorLike) -> Any:
            results, variables[:] = self._compute(*map(self.replicas.share, given))
            computed, regularisers, gradients, updates, state = results
            finite = tf.constant(True)
            if self.loss_scale is not None:
                finite = self.loss_scale.is_finite(tf.nest.flatten(gradients))
            if self.loss_scale is None or several:
                self._apply(gradients, update_dis, update_gen)
                gradients = ()
            computed, state = self._over_replicas(({**computed, **regularisers}, state))
            return computed, state, updates, gradients, finite

        computed, state, values, gradients, finite = self.replicas.run(learn, *batch)

        def update() -> None:
            if gradients:
                self._apply(gradients, update_dis, update_gen)
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            for name, value in state.items():
                self.loss_state[name].assign(value)
            if self.average is not None and update_gen:
                self.average.update()

        if self.loss_scale is None:
            update()
        elif several:
            update()
            for variable, value in zip(self._updated_variables(), before, strict=True):
                variable.assign(tf.where(finite, variable, value))
            self.loss_scale.adapt(finite)
        else:
            tf.cond(finite, update, lambda: None)
            self.loss_scale.adapt(finite)
        return computed

    def _updated_variables(self) -> list[tf.Variable]:
        """All variables that an update may change."""
        optimizers = [v.value for optimizer in (self.optimizer_dis, self.optimizer_gen) for v in optimizer.variables]
        networks = [v.value for net in self._networks for v in net.variables]
        average = [] if self.average is None else list(self.average.state().values())
        return [*networks, *optimizers, *self.loss_state.values(), *average]

    def _apply(self, gradients: Sequence[Sequence[tf.Tensor]], update_dis: bool, update_gen: bool) -> None:
        """Updates the critic and the generator by the mean of the replicas' gradients; Keras applies their sum."""
        count, limit = replicas.replica_count(), self.aids.clip_norm
        players = (
            (update_dis, self.optimizer_dis, self.discriminator),
            (update_gen, self.optimizer_gen, self.generator),
        )
        for (wanted, optimizer, network), values in zip(players, gradients, strict=True):
            if wanted and values:
                if limit is not None:
                    values = clipped(replicas.mean_over_replicas(list(values)), limit)
                values = values if count == 1 else [gradient / count for gradient in values]
                optimizer.apply(values, network.trainable_variables)
        free_with_graphs()

    # How that is compiled.

    @tf.function(autograph=False)
    def _train(
        self,
        real: TensorLike,
        codes: TensorLike | None,
        labels: TensorLike | None,
        labels_gen: TensorLike | None,
        update_dis: bool,
        update_gen: bool,
    ) -> Any:
        *before, batch = self._batches(real, labels)
        try:
            for number, (images, classes) in enumerate(before, 1):
                self._substep = number
                self._update(images, None, classes, None, update_dis=True, update_gen=False)
        finally:
            self._substep = 0
        computed = self._update(batch[0], codes, batch[1], labels_gen, update_dis=update_dis, update_gen=update_gen)
        if self.ada is not None:
            self.ada.update(computed["ada_r"], batch_size(real) * self.replicas.workers)
        self.schedule.observe(computed["loss_gen"])
        self.iterations.assign_add(1)
        return computed

    @tf.function(autograph=False)
    def _train_several(self, real: TensorLike, labels: TensorLike | None) -> Any:
        one = [None if batch is None else batch[0] for batch in (real, labels)]
        like = self._train.get_concrete_function(one[0], None, one[1], None, True, True).structured_outputs
        return repeated(lambda x, y: self._train(x, None, y, None, True, True), like, real, labels)

    @tf.function(autograph=False, reduce_retracing=True)
    def _generate(self, codes: TensorLike | None, labels: TensorLike | None) -> tf.Tensor:
        return channels_last(self._generator(codes, labels, training=False), self.generator.data_format)

    def _batches(self, real: tf.Tensor, labels: tf.Tensor | None) -> list[tuple[tf.Tensor, tf.Tensor | None]]:
        """The batches (images, labels) of one step's critic updates, the last of which updates the generator too."""
        count = self.aids.critic_steps
        if count == 1:
            return [(real, labels)]
        real = tf.convert_to_tensor(real)
        if real.shape[0] is None or real.shape[0] % count:
            raise ConfigError(
                f"critic_steps is {count}, but a step was given {real.shape[0]} images; give a batch for each update."
            )
        parts = tf.split(real, count)
        return list(zip(parts, [None] * count if labels is None else tf.split(labels, count), strict=True))

    def _check_frozen(self) -> None:
        """Refuses layers frozen or unfrozen after the first step, which was compiled for what learned then."""
        now = tuple(
            layer.trainable
            for net in self._networks
            for block in net.blocks
            for layer in (block, *block.sublayers.values())
        )
        if self._trainable is None:
            self._trainable = now
        elif self._trainable != now:
            raise ConfigError(
                "Layers were frozen or unfrozen (`trainable`) after the first step, which is compiled by then; "
                "make a new GanStep."
            )

    def _check_label_values(self, *given: TensorLike | None) -> None:
        """Refuses labels outside of the compiled step, which cannot see their values."""
        for labels in given:
            if labels is not None and self.num_class >= 2:
                check_labels(labels, self.num_class, "this step")

    # What TensorBoard shows of it.

    @tf.function(autograph=False)
    def _inspect(self, real: TensorLike, labels: TensorLike | None, num_images: int) -> Any:
        def inspect(*batch: TensorLike | None) -> Any:
            real, labels = (self.replicas.share(each) for each in batch)
            if self.micro_batch is not None:
                count = max(self.micro_batch, 2)  # losses compare images
                real, labels = (None if each is None else each[:count] for each in (real, labels))
            return self._statistics(real, labels, num_images)

        return self.replicas.run(inspect, *self._batches(real, labels)[-1])

    def _statistics(self, real: TensorLike, labels: TensorLike | None, num_images: int) -> dict[str, dict]:
        """The result of `inspect`, of this replica's images."""
        forward = self._forward(real, None, labels, None, watch_images=True)
        generated = self._generator(*self._draw(num_images), training=False)
        computed, logs = self._over_replicas(((forward.losses.gen, forward.loss_dis), forward.losses.logs))
        logs = {
            **logs,
            "GANLoss/gen": computed[0],
            "GANLoss/dis": computed[1],
            **{f"GANLoss/{name}": value for name, value in self._over_replicas(forward.regularisers).items()},
            **{f"kernel_norm/{name}": sigma for name, sigma in forward.sigmas.items()},
            "learning_rate/dis": self.optimizer_dis.learning_rate,
            "learning_rate/gen": self.optimizer_gen.learning_rate,
            **({} if self.loss_scale is None else {"loss_scale": self.loss_scale.scale}),
        }
        logs = {tag: tf.convert_to_tensor(value) for tag, value in logs.items()}
        real, generated = (channels_last(x, self.discriminator.data_format) for x in (forward.real, generated))
        # A kernel with classes has several norms under one tag.
        norms = {tag: value for tag, value in logs.items() if value.shape.rank != 0}
        return {
            "scalars": {tag: value for tag, value in logs.items() if value.shape.rank == 0},
            "histograms": norms | self._histograms(forward),
            "images": {"Ir": real[:num_images], "Ig": tf.clip_by_value(generated, -1, 1)},
        }

    def _histograms(self, forward: Forward) -> dict[str, tf.Tensor]:
        histograms = {"x/sx": forward.score_data, "x/sg": forward.score_gen, "x/x_gen": forward.generated}
        score_gen, score_data = forward.own_scores
        scored = (("x/g_x_norm", score_data, forward.real), ("x/g_gen_norm", score_gen, forward.generated))
        for tag, scores, images in scored:
            gradient = forward.tape.gradient(scores, images)
            norms = tf.norm(tf.reshape(gradient, (tf.shape(gradient)[0], -1)), axis=1)
            histograms[tag] = replicas.gather_rows(norms)
        means = replicas.mean_over_replicas(self._gradients(forward))
        for network, values in zip((self.discriminator, self.generator), means, strict=True):
            if not values:  # a fixed critic
                continue
            for variable, gradient in zip(network.trainable_variables, values, strict=True):
                name = tf1.original_name(variable)
                histograms[name] = tf.convert_to_tensor(variable)
                histograms[f"grad_{name}"] = gradient
        return histograms


class _InChunks:
    """What `GanStep._forward` and `_gradients` compute, with `micro_batch` images in memory at a time.

    Args:
        step: The step.
        batch: (real, codes, labels, labels_gen) of a replica, as `GanStep.step` takes them.
    """

    def __init__(self, step: GanStep, *batch: Any) -> None:
        real, codes, labels, labels_gen = batch
        self.step = step
        self.gen, self.dis = step._networks
        self.real, self.labels = tf.convert_to_tensor(real), _checked_labels(labels, self.dis)
        count = batch_size(self.real)
        self.size = step.micro_batch or count
        if not isinstance(count, int) or count % self.size:
            raise ConfigError(
                f"micro_batch is {self.size}, but each replica takes {count} images a step; give a divisor."
            )
        self.count = count // self.size
        self.codes, self.labels_gen = step._draw(count, codes, labels_gen, self.labels)
        self.uniform = step._interpolation(count)
        self.views = [step._view(count, which) for which in (REAL, GENERATED)]
        self.state = {name: tf.convert_to_tensor(variable) for name, variable in step.loss_state.items()}
        self.variables = {net: [v.value for v in net.trainable_variables] for net in step._networks}
        with tf.GradientTape(persistent=True) as self.tape_of_norms:
            self.norms = step._norms()
        self.kernels = {net: {id(x): self.norms[x][0] for x in step._spectral_layers(net)} for net in step._networks}
        self.coupling = 0 if step.fixed_critic else _batch_norms(self.dis)

    def compute(self) -> tuple[Computed, Pair]:
        """The results of the pass, and the gradients for the critic's and for the generator's variables."""
        step, gen, dis = self.step, self.gen, self.dis
        with scope.deferred_updates() as averages, scope.synchronised_statistics(step.gathers):
            of_gen = self._chunked(self._generator_inputs, self._make, self.kernels[gen], _batch_norms(gen))
            [self.generated] = of_gen.outputs()
            of_dis = self._chunked(self._critic_inputs, self._score, self.kernels[dis], self.coupling)
            own_scores = [each.whole() for each in of_dis.outputs()]
            of_gen.observe()
            of_dis.observe()
            computed, for_scores, of_means = self._losses(own_scores)
            gradients = self._gradients(of_gen, of_dis, for_scores, of_means)
        computed.updates = step._updates(averages, self.norms)
        scale = step.loss_scale
        return computed, gradients if scale is None else (scale.unscaled(gradients[0]), scale.unscaled(gradients[1]))

    def _losses(self, own_scores: list[tf.Tensor]) -> tuple[Computed, Pair, list[tuple[tf.Tensor, Gradient]]]:
        """The results for this replica's scores, and what they depend on.

        Returns:
            The results, without updates; the gradients of the generator's and of the critic's loss for the scores;
            and for each mean of `GanStep._means` the derivative of the critic's loss, with the mean's own gradient.
        """
        step, variables = self.step, self.variables[self.dis]
        zero = tf.UnconnectedGradients.ZERO
        scale = tf.constant(1.0, self.dis.variable_dtype)
        if step.loss_scale is not None:
            scale = tf.convert_to_tensor(step.loss_scale.scale)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(own_scores)
            scores = score_gen, score_data = tuple(step._gathered(*own_scores))
            kernel = step._penalty_kernel(score_gen, score_data, self.state)
        # The width of a random-width loss is a tensor, through which its penalty depends on the scores, too.
        of_scores = scores, {name: value for name, value in kernel.items() if tf.is_tensor(value)}
        names = step._mean_names()
        wanted: Any = [[scale if name == other else None for other in names] for name in names]
        objectives = [Objective(functools.partial(_always, each), variables, True) for each in wanted]
        means = functools.partial(self._means, kernel)
        chunked = self._chunked(self._critic_inputs, means, (self.kernels[self.dis], *of_scores))
        of_means = chunked.gradients(*objectives)
        with tape:
            values = {name: found.value / scale for name, found in zip(names, of_means, strict=True)}
            tape.watch(values)
            computed, loss_dis, regularisers = step._losses(score_gen, score_data, values, self.state)
        for_gen = tape.gradient(computed.gen, own_scores, scale, zero)
        for_dis = tape.gradient(loss_dis, own_scores, scale, zero)
        weights = tape.gradient(loss_dis, list(values.values()), None, zero)
        for weight, found in zip(weights, of_means, strict=True):
            upstream = [weight * gradient for gradient in tf.nest.flatten(found.tensors[1:])]
            more = tape.gradient(tf.nest.flatten(of_scores), own_scores, upstream, zero)
            for_dis = [a + b for a, b in zip(for_dis, more, strict=True)]
        results = Computed(computed, loss_dis, regularisers, self.state, score_gen, score_data, updates=[])
        return results, (for_gen, for_dis), list(zip(weights, of_means, strict=True))

    def _gradients(
        self, of_gen: Chunked, of_dis: Chunked, for_scores: Pair, of_means: list[tuple[tf.Tensor, Gradient]]
    ) -> Pair:
        """The gradients for the variables of the critic and of the generator, from what `_losses` returns."""
        step, variables, (for_gen, for_dis) = self.step, self.variables, for_scores
        both = Objective(lambda number: self._rows(number, *for_gen), variables[self.dis], True, True)
        critics = Objective(lambda number: self._rows(number, *for_dis), variables[self.dis], True)
        # Without batch norm in the critic, real images' scores do not depend on the generator.
        of_real = for_gen[1] if self.coupling else None
        makers = Objective(lambda number: self._rows(number, for_gen[0], of_real), inputs=True)
        shares = step.loss.shares_backward and not step._substep and not step.fixed_critic
        objectives = [both] if shares else [critics] * (not step.fixed_critic) + [makers] * (not step._substep)
        of_critic = of_dis.gradients(*objectives)
        gradients: Pair = [], []
        if not step.fixed_critic:
            parts = [(-1.0 if shares else 1.0, of_critic[0].variables, of_critic[0].tensors)]
            parts += [(weight, each.variables, each.tensors[0]) for weight, each in of_means]
            weighted = [tf.nest.map_structure(lambda v, w=w: w * v, each) for w, *each in parts]
            gradients = self._through_norms(self.dis, *weighted), []
        if not step._substep:
            images: Any = of_critic[-1].inputs
            [found] = of_gen.gradients(Objective(lambda number: [images.read(number)], variables[self.gen], True))
            gradients = gradients[0], self._through_norms(self.gen, [found.variables, found.tensors])
        return gradients

    def _through_norms(self, network: Network, *found: Any) -> list[tf.Tensor]:
        """Sums (gradients for variables, for effective kernels), the latter taken on to the variables."""
        total = tf.nest.map_structure(lambda *values: tf.add_n(values), *found)
        pairs = [tf.nest.flatten(each) for each in (self.kernels[network], total[1])]
        if not pairs[0]:
            return total[0]
        more = self.tape_of_norms.gradient(pairs[0], self.variables[network], pairs[1], tf.UnconnectedGradients.ZERO)
        return [a + b for a, b in zip(total[0], more, strict=True)]

    # The functions of a chunk, and their inputs.

    def _chunked(self, inputs: Callable, function: Callable, tensors: Any, batch_norms: int = 0) -> Chunked:
        return Chunked(self.count, inputs, function, tensors, batch_norms, self.step._jit_of_parts)

    def _rows(self, number: tf.Tensor, *batch: Any) -> Any:
        def take(each: Any) -> Any:
            return None if each is None else replicas.rows_of(each, self.size, number)

        return tf.nest.map_structure(take, list(batch))

    def _generator_inputs(self, number: tf.Tensor) -> list:
        return self._rows(number, self.codes, self.labels_gen)

    def _critic_inputs(self, number: tf.Tensor) -> list:
        images, *others = self._rows(number, self.real, self.views, self.labels, self.labels_gen, self.uniform)
        return [self.generated.read(number), _checked_images(images, self.dis), *others]

    def _seen(self, inputs: Sequence[Any]) -> tuple[tf.Tensor, tf.Tensor]:
        made, images, views = inputs[:3]
        return self.step._seen(images, views[REAL]), self.step._seen(made, views[GENERATED])

    def _make(self, inputs: Sequence[Any], kernels: Any) -> list[tf.Tensor]:
        with scope.shared_kernels(kernels):
            return [self.step._generator(inputs[0], inputs[1], training=True)]

    def _score(self, inputs: Sequence[Any], kernels: Any) -> list[tf.Tensor]:
        with scope.shared_kernels(kernels):
            return list(self.step._scores(*self._seen(inputs), *inputs[3:5]))

    def _means(self, kernel: Mapping[str, Any], inputs: Sequence[Any], tensors: Any) -> list[tf.Tensor]:
        kernels, (score_gen, score_data), drawn = tensors
        seen, options = self._seen(inputs), {**kernel, **drawn}
        with scope.shared_kernels(kernels):
            found = self.step._means(*seen, inputs[3], inputs[5], score_gen, score_data, options)
        return [mean * (1 / self.count) for mean in found.values()]


def repeated(step: Callable[..., Mapping[str, tf.Tensor]], like: Mapping[str, tf.Tensor], *batches: Any) -> dict:
    """Takes one step per entry of the first axis of `batches`, in order, within one graph.

    Args:
        step: Takes one entry of each batch, and changes state.
        like: A result of `step`, or tensors of the same types.
        batches: Tensors; None where the step takes None.

    Returns:
        The results of the steps, stacked.
    """
    given = [batch for batch in batches if batch is not None]

    def one(entries: Any) -> Any:
        entries = iter(entries)
        return dict(step(*(None if batch is None else next(entries) for batch in batches)))

    signature = {name: tf.TensorSpec(value.shape, value.dtype) for name, value in like.items()}
    # In order: each step begins from what the one before has left.
    return tf.map_fn(one, given, fn_output_signature=signature, parallel_iterations=1)


def _always(value: T, _: Any) -> T:
    return value


def _batch_norms(network: Network) -> int:
    """The number of batch norms that take the statistics of a batch in training."""
    layers = [layer for block in network.blocks for layer in block.sublayers.values()]
    return sum(isinstance(layer, BatchNorm) and layer.trainable for layer in layers)


def batch_size(images: tf.Tensor) -> int | tf.Tensor:
    """The number of images; an int where it is known, by which layers choose algorithms."""
    return images.shape[0] or tf.shape(images)[0]


def channels_last(images: tf.Tensor, data_format: str) -> tf.Tensor:
    """Images (N, H, W, C) of images in `data_format`; points (N, d) stay as they are."""
    return tf.transpose(images, (0, 2, 3, 1)) if data_format == "channels_first" and len(images.shape) == 4 else images


def _checked_images(real: TensorLike, critic: Network) -> tf.Tensor:
    """Real images as floats in [-1, 1]: uint8 by v / 127.5 - 1; floats change their type only."""
    real = tf.convert_to_tensor(real)
    if real.dtype == tf.uint8:
        real = tf.cast(real, critic.variable_dtype) / 127.5 - 1
    elif not real.dtype.is_floating:
        raise DataError(f"Images must be uint8 (0 to 255) or floating-point in [-1, 1], not {real.dtype.name}.")
    real = tf.cast(real, critic.variable_dtype)
    expected = batch_shape(critic.spec.input_shape, critic.data_format)
    if not real.shape.is_compatible_with(expected):
        raise DataError(
            f"Real images must have shape {expected} for this critic, which is {critic.data_format}, not "
            f"{tuple(real.shape)}; a Pipeline takes data_format, and so do networks."
        )
    return real


def _checked_labels(labels: TensorLike | None, critic: Network) -> tf.Tensor | None:
    """Labels of real images; None for unconditional networks."""
    num_class = critic.spec.num_class
    if labels is None and critic.conditional:
        raise DataError(
            f"The critic is conditional on {num_class} classes and was given images alone: pass their labels too, "
            "int (B, 1)."
        )
    return None if labels is None or num_class < 2 else tf.cast(labels, tf.int32)


def _penalty_weight(loss: Loss, given: float | None) -> float | None:
    """The weight of a loss's penalty or scale; None for a loss that has neither."""
    if given is not None and loss.penalty_weight is None:
        raise ConfigError(
            f"penalty_weight is {given}, but the loss {loss.name!r} has no penalty to weigh; leave it out."
        )
    if given is not None and not (isinstance(given, Real) and 0 < given < math.inf):
        raise ConfigError(f"penalty_weight is {given!r}; give a positive number.")
    return loss.penalty_weight if given is None else float(given)


def _optimizer_names(given: Any) -> Sequence[str]:
    """The optimisers' names: (critic, generator)."""
    names = (given, given) if isinstance(given, str) else given
    if not (isinstance(names, Sequence) and len(names) == 2 and all(isinstance(name, str) for name in names)):
        raise ConfigError(
            f"optimizer must be one name or two (critic, generator) of {', '.join(NAMES)}, not {given!r}."
        )
    return names


def _check_loss(loss: Any, aids: Aids | None) -> None:
    """Refuses objects that do not have what a step reads of a loss."""
    wanted = ["name", "initial_state", "penalty", "penalty_weight", "uses_scale", "shares_backward"]
    adapts = aids is not None and aids.ada is not None
    wanted += ["penalty_kernel"] * (adapts or getattr(loss, "penalty", None) is not None) + ["canonical"] * adapts
    missing = [attribute for attribute in wanted if not hasattr(loss, attribute)]
    if missing or not callable(loss):
        raise ConfigError(
            f"The loss {loss!r} has no {', '.join(missing) or '__call__'}: give a name of mmdgan.losses.names(), what "
            "mmdgan.losses.get returns, or an object with all attributes and methods of mmdgan.losses.registry.Loss."
        )


def _check_result(loss: Loss, computed: Any, state: Mapping[str, Any]) -> None:
    """Refuses what a loss of one's own returns if it is not a pair of scalars in their place."""
    fields = losses.GanLosses._fields
    if not all(hasattr(computed, field) for field in fields):
        raise ConfigError(
            f"The loss {loss.name!r} returned a {type(computed).__name__}; return "
            f"mmdgan.losses.GanLosses({', '.join(fields)})."
        )
    for field in ("gen", "dis"):
        value = tf.convert_to_tensor(getattr(computed, field))
        if value.shape.rank != 0 or not value.dtype.is_floating:
            raise ConfigError(
                f"The loss {loss.name!r} returned {field} of shape {tuple(value.shape)} and type {value.dtype.name}; "
                "return one float, such as the mean over the batch."
            )
    if set(computed.state) != set(state):
        raise ConfigError(
            f"The loss {loss.name!r} returned the state {sorted(computed.state)}, but its initial_state() has "
            f"{sorted(state)}; return the same names."
        )


def _check_pair(generator: Network, discriminator: Network) -> None:
    """Refuses models of Keras, and two networks of different data formats or numbers of classes."""
    for role, network in (("generator", generator), ("critic", discriminator)):
        if not isinstance(network, Network):
            raise ConfigError(
                f"The {role} is a {type(network).__name__}; GanStep trains networks that mmdgan.build_generator, "
                "build_discriminator or build_network have built (docs: layers in one's own Keras models)."
            )
    of_gen, of_dis = ({tf1.original_name(v) for v in network.variables} for network in (generator, discriminator))
    if both := sorted(of_gen & of_dis):
        raise ConfigError(
            f"Both networks have a variable {both[0]}, as checkpoints name it: give each network a name of its own."
        )
    formats = generator.data_format, discriminator.data_format
    if formats[0] != formats[1]:
        raise ConfigError(f"The generator is {formats[0]} and the critic {formats[1]}: build both in one data_format.")
    counts = [network.spec.num_class if network.spec.num_class >= 2 else 0 for network in (generator, discriminator)]
    if counts[0] != counts[1]:
        raise ConfigError(
            f"The generator has {counts[0]} classes and the critic {counts[1]}: build both with the same num_class."
        )
