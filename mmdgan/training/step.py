"""One simultaneous update of both players (spec E.2, E.4), with the penalties of D.1.

The generator runs once; the critic sees real and generated images with the same effective kernels; both gradients
come from that one forward pass and both updates are applied. Every quantity is computed from the values before
the step: weights, moving averages and spectral vectors change only after the gradients are known.

Losses do not compute penalties; the step does. It runs the critic once more, in inference mode but with the same
effective kernels, so that a kernel has one spectral norm per step.

Several replicas take equal parts of the batch. Scores are gathered, so that each computes the loss of the whole batch,
and statistics of batch normalisation are those of the whole batch: R replicas of B / R images are one device of B. Each
replica differentiates its own copy of the loss; the mean of the replicas' gradients is then the gradient of the loss,
because what they tell one another is differentiated too (`mmdgan.collectives`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from mmdgan import collectives, tf1
from mmdgan.devices import REPLICA_LOSSES, check_one_replica
from mmdgan.errors import ConfigError
from mmdgan.layers import scope
from mmdgan.losses import randomness
from mmdgan.losses.catalog import Loss
from mmdgan.networks import Network, check_labels
from mmdgan.tensor_types import TensorLike
from mmdgan.training import ada, checks, critic_terms, execution, inspection, view
from mmdgan.training.ada import AdaptiveProbability
from mmdgan.training.aids import Aids
from mmdgan.training.checks import channels_last, check_pair, resolve_penalty_weight
from mmdgan.training.distribution import Replicas
from mmdgan.training.ema import WeightAverage
from mmdgan.training.inspection import Forward
from mmdgan.training.learning_rates import scheduled_optimizer
from mmdgan.training.precision import LossScale
from mmdgan.training.schedule import UpdateSchedule
from mmdgan.training.view import View

_CODES, _LABELS, _LOSS, _INTERPOLATION, _UPDATE, _VIEW = range(6)
"""Streams of random numbers within one step."""


class GanStep(tf.Module):
    """Both networks with their loss and optimisers, and the step that trains them.

    Built, like the networks, within the scope of a `tf.distribute.Strategy`, it trains on all of its replicas.

    Args:
        generator: from `mmdgan.build_generator`.
        discriminator: the critic, from `mmdgan.build_discriminator`.
        loss: from `mmdgan.losses.get`, or a loss name.
        lr_dis: learning rate of the critic.
        lr_gen: learning rate of the generator.
        optimizer: 'adam', 'rmsprop', 'sgd' or 'momentum', or a pair of names (critic, generator).
        end_lr: rate of sgd and momentum at step 100,000.
        imbalanced_update: (p_dis, p_gen) or 'dynamic', as in `mmdgan.training.schedule`; None: both at every step.
        penalty_weight: multiplies the loss's gradient penalty, or the squared Jacobian in the scale of the `_ds`
            losses; None: the loss's own default.
        legacy: compute penalties with the released witness (`mmdgan.losses.gradient_penalty`).
        seed: of codes, labels and the loss's own random numbers; these are functions of (seed, step).
        replica_losses: "gathered": the loss of the scores of all replicas; "local": each replica's loss is that of its
            own samples, with batch statistics of its own, and gradients and moving averages are averaged (towers).
        jit: whether XLA compiles the networks, the loss and their gradients; on one device.
        fixed_critic: the critic is a fixed function of each image: it runs in inference mode (batch normalisation by
            its moving averages), and no step changes its weights, moving averages or spectral vectors. A critic
            without weights always is.
        aids: the training aids; by default none.

    Attributes:
        iterations: number of steps taken (tf.Variable, int64): the original's global step.
        replicas: what takes the steps.
        average: of the generator's weights, if the aids ask for it, else None.
        ada: what adapts the probability of augmentation, if the aids ask for it, else None.
        loss_scale: the dynamic scale of the losses of float16 networks, on one device, else None.

    Raises:
        ConfigError: an unknown optimiser or loss, a schedule that is none, a penalty's weight for a loss without
            one, networks of different numbers of classes, or networks built outside of the strategy's scope.
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
    ):
        super().__init__(name="gan_step")
        from mmdgan import losses

        self.aids = aids or Aids()
        self.generator = generator
        self.discriminator = discriminator
        self.loss = losses.get(loss) if loss is None or isinstance(loss, str) else loss
        self.seed = int(seed)
        self.schedule = UpdateSchedule(imbalanced_update)
        self._substep = 0  # of the critic's updates before the one that both players have
        self.penalty_weight = resolve_penalty_weight(self.loss, penalty_weight)
        self.legacy = legacy
        self._compute = execution.Compiled(self._differentiate) if jit else self._differentiate
        self.loss_scale = LossScale() if "fp16" in (generator.precision, discriminator.precision) else None
        check_pair(generator, discriminator)
        self.fixed_critic = fixed_critic or not discriminator.trainable_variables
        self.aids.check_beside(imbalanced_update=imbalanced_update, jit=jit, critic_learns=not self.fixed_critic)
        if self.fixed_critic and (self.loss.penalty or self.loss.uses_scale):
            raise ConfigError(
                f"The loss {self.loss.name!r} regularises the critic, but this critic does not learn: choose a loss "
                "without penalty and scale."
            )
        if replica_losses not in REPLICA_LOSSES:
            raise ConfigError(f"replica_losses is {replica_losses!r}; give one of {', '.join(REPLICA_LOSSES)}.")
        self.gathers = replica_losses == "gathered"
        self.replicas = Replicas.current()
        self.replicas.check_variables([v.value for net in self._networks for v in net.variables])
        check_one_replica(1, jit, generator.precision, self.replicas.count)
        names = (optimizer, optimizer) if isinstance(optimizer, str) else tuple(optimizer)
        if len(names) != 2:
            raise ConfigError(f"optimizer must be one name or two (critic, generator), not {optimizer!r}.")
        self.iterations = tf.Variable(0, dtype=tf.int64, trainable=False, name="global_step")
        rates = {"end_lr": end_lr, "aids": self.aids, "global_step": self.iterations}
        self.optimizer_dis = scheduled_optimizer(names[0], lr_dis, **rates)
        self.optimizer_gen = scheduled_optimizer(names[1], lr_gen, **rates)
        self.optimizer_dis.build(discriminator.trainable_variables)
        self.optimizer_gen.build(generator.trainable_variables)
        self.average = None if self.aids.ema is None else WeightAverage(generator, self.aids.ema)
        self.ada = None if self.aids.ada is None else AdaptiveProbability(self.aids.ada, self.aids.ada_images)
        self._view = View(
            self.aids,
            discriminator.data_format,
            discriminator.spec.input_shape,
            self.iterations,
            None if self.ada is None else self.ada.probability,
        )
        self.loss_state = {
            name: tf.Variable(value, trainable=False, name=name) for name, value in self.loss.initial_state().items()
        }

    @property
    def code_size(self) -> int:
        """Length of a latent code."""
        return self.generator.spec.input_shape[0]

    @property
    def sampling_generator(self) -> Network:
        """The generator that samples and scores are made with: the averaged one, if there is one."""
        return self.generator if self.average is None else self.average.network

    @property
    def num_class(self) -> int:
        """Number of classes; below 2 the networks are unconditional."""
        return self.generator.spec.num_class

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
                workers each gives its own equal part of the batch, here and in what follows.
            codes: (B, code) latent codes; by default standard normal, a function of (seed, step).
            labels: (B, 1) int classes of `real`; needed by conditional critics only. With `critic_steps` c of the aids,
                `real` and `labels` are of c B images, those of the update of both players last.
            labels_gen: (B, 1) classes to generate; by default uniform, a function of (seed, step).

        Returns:
            Scalars by name, of the forward pass before the update: loss_gen, loss_dis, and what the step computed
            for the critic's loss: dis_penalty (weighted) or dis_scale.

        Raises:
            DataError: images of another shape or type, or no labels for a conditional critic.
        """
        self._check_label_values(labels, labels_gen)
        update = self.schedule.updates(self.iterations, lambda: randomness.uniform((), self._seed(_UPDATE)))
        return self._train(real, codes, labels, labels_gen, *update)

    def steps(self, real: TensorLike, labels: TensorLike | None = None) -> dict[str, tf.Tensor]:
        """Takes several steps in one call of a TensorFlow function.

        Args:
            real: (K, B, H, W, C) or (K, B, C, H, W): a batch of real images for each step.
            labels: (K, B, 1) int classes of `real`, for conditional critics.

        Returns:
            What `step` returns, one number for each step: (K,).

        Raises:
            ConfigError: a schedule that decides before each step whether to update a network.
            DataError: as `step`.
        """
        if not self.schedule.constant:
            raise ConfigError(
                "imbalanced_update decides before each step which network is updated, so that steps cannot be taken "
                "several at a time; leave it out, or leave steps_per_call at 1."
            )
        self._check_label_values(labels)
        return self._train_several(tf.convert_to_tensor(real), labels)

    def inspect(
        self, real: TensorLike, labels: TensorLike | None = None, num_images: int = 8
    ) -> dict[str, dict[str, tf.Tensor]]:
        """Looks at one batch as the step would, and changes nothing.

        Args:
            real: as in `step`.
            labels: as in `step`.
            num_images: how many real and generated images to return.

        Returns:
            "scalars", "histograms" and "images", each a dict by the original's tags (spec E.7).
        """
        self._check_label_values(labels)
        return self._inspect(real, labels, num_images)

    def generate(self, codes: TensorLike | None, labels: TensorLike | None = None) -> tf.Tensor:
        """Returns images (N, H, W, C) in [-1, 1] of codes (N, code) [and labels (N, 1)], in inference mode."""
        self._check_label_values(labels)
        return self._generate(codes, labels)

    @tf.function(autograph=False, reduce_retracing=True)
    def _generate(self, codes: TensorLike | None, labels: TensorLike | None) -> tf.Tensor:
        return channels_last(self._generator(codes, labels, training=False), self.generator.data_format)

    def state(self) -> dict[str, tf.Variable]:
        """Returns every variable that a checkpoint must hold, under the original's names."""
        state = {tf1.original_name(v): v.value for net in self._networks for v in net.variables}
        for optimizer, net, index in ((self.optimizer_dis, *_DIS), (self.optimizer_gen, *_GEN)):
            network = getattr(self, net)
            state |= tf1.slot_variables(optimizer, network, index)
        state |= {f"loss/{name}": variable for name, variable in self.loss_state.items()}
        scale = {} if self.loss_scale is None else self.loss_scale.state()
        average = {} if self.average is None else self.average.state()
        adapted = {} if self.ada is None else self.ada.state()
        return state | self.schedule.state() | scale | average | adapted | {"global_step": self.iterations}

    @property
    def _networks(self) -> tuple[Network, Network]:
        return self.generator, self.discriminator

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
        *before, batch = critic_terms.batches_of_step(self.aids.critic_steps, real, labels)
        try:
            for number, (images, classes) in enumerate(before, 1):
                self._substep = number
                self._update(images, None, classes, None, True, False)
        finally:
            self._substep = 0
        losses = self._update(batch[0], codes, batch[1], labels_gen, update_dis, update_gen)
        if self.ada is not None:
            self.ada.update(losses["ada_r"], _batch(real) * self.replicas.workers)
        self.schedule.observe(losses["loss_gen"])
        self.iterations.assign_add(1)
        return losses

    def _update(
        self,
        real: TensorLike,
        codes: TensorLike | None,
        labels: TensorLike | None,
        labels_gen: TensorLike | None,
        update_dis: bool,
        update_gen: bool,
    ) -> Any:
        """One update of both players, or of one; returns the losses before it."""
        variables: list = []

        def learn(*batch: Any) -> Any:
            computed, variables[:] = self._compute(*map(self.replicas.share, batch))
            losses, regularisers, gradients, updates, state = computed
            if self.loss_scale is None:
                self._apply(gradients, update_dis, update_gen)
            losses, state = self._of_all_replicas(({**losses, **regularisers}, state))
            return losses, state, updates, () if self.loss_scale is None else gradients

        losses, state, values, gradients = self.replicas.run(learn, real, codes, labels, labels_gen)

        def update() -> None:
            if self.loss_scale is not None:
                self._apply(gradients, update_dis, update_gen)
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            for name, value in state.items():
                self.loss_state[name].assign(value)
            if self.average is not None and update_gen:
                self.average.update()

        if self.loss_scale is None:
            update()
        else:
            self.loss_scale.update_if_finite(tf.nest.flatten(gradients), update)
        return losses

    def _apply(self, gradients: Sequence[Sequence[tf.Tensor]], update_dis: bool, update_gen: bool) -> None:
        """Updates the critic and the generator by the mean of the replicas' gradients; Keras applies their sum."""
        count = collectives.replica_count()
        players = (
            (update_dis, self.optimizer_dis, self.discriminator),
            (update_gen, self.optimizer_gen, self.generator),
        )
        for (wanted, optimizer, network), values in zip(players, gradients, strict=True):
            if wanted and values:
                if self.aids.clip_norm is not None:
                    values = critic_terms.clipped_mean(values, self.aids.clip_norm)
                values = values if count == 1 else [gradient / count for gradient in values]
                optimizer.apply(values, network.trainable_variables)

    def _of_all_replicas(self, values: Any) -> Any:
        """What the replicas computed of the loss: alike if they gathered the scores, else their mean."""
        return values if self.gathers else collectives.mean_over_replicas(values)

    @tf.function(autograph=False)
    def _train_several(self, real: TensorLike, labels: TensorLike | None) -> Any:
        one = [None if batch is None else batch[0] for batch in (real, labels)]
        like = self._train.get_concrete_function(one[0], None, one[1], None, True, True).structured_outputs
        return execution.repeated(lambda x, y: self._train(x, None, y, None, True, True), like, real, labels)

    def _differentiate(
        self, real: TensorLike, codes: TensorLike | None, labels: TensorLike | None, labels_gen: TensorLike | None
    ) -> tuple[tuple, list]:
        """What a step computes from the values before it, and the variables whose next values `updates` are."""
        forward = self._forward(real, codes, labels, labels_gen)
        losses = {"loss_gen": forward.losses.gen, "loss_dis": forward.loss_dis}
        if self.ada is not None:
            scores = forward.score_gen, forward.score_data
            losses["ada_r"] = ada.overfitting(self.loss, *scores, self._seed(_LOSS), forward.state)
            losses["ada_p"] = tf.convert_to_tensor(self.ada.probability)
        pairs = forward.updates
        if self._substep:  # of the generator nothing changes
            critics = {id(variable) for variable in self.discriminator.variables}
            pairs = [(variable, value) for variable, value in pairs if id(variable) in critics]
        updates = [value for _, value in pairs]
        computed = losses, forward.regularisers, self._gradients(forward), updates, forward.losses.state
        return computed, [variable for variable, _ in pairs]

    @tf.function(autograph=False)
    def _inspect(self, real: TensorLike, labels: TensorLike | None, num_images: int) -> Any:
        def look(real: TensorLike, labels: TensorLike | None) -> Any:
            images, classes = critic_terms.batches_of_step(self.aids.critic_steps, real, labels)[-1]
            return inspection.look(self, self.replicas.share(images), self.replicas.share(classes), num_images)

        return self.replicas.run(look, real, labels)

    def _forward(
        self,
        real: TensorLike,
        codes: TensorLike | None,
        labels: TensorLike | None,
        labels_gen: TensorLike | None,
        watch_images: bool = False,
    ) -> Forward:
        """Runs both networks and the loss under a persistent tape; changes no variable. Of this replica's images."""
        real = checks.checked_images(real, self.discriminator)
        codes, labels_gen = self._draw(_batch(real), codes, labels_gen)
        labels = checks.checked_labels(labels, self.discriminator)
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
                seen = self._seen(real, view.REAL), self._seen(generated, view.GENERATED)
                own_scores = self._scores(*seen, labels, labels_gen)
                score_gen, score_data = self._gathered(*own_scores)
                regularisers = self._regularisers(*seen, labels, score_gen, score_data, state)
                r1 = self._r1(seen[0], labels)
            losses = self.loss(score_gen, score_data, seed=self._seed(_LOSS), state=state, **regularisers)
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
        if not self.gathers or collectives.replica_count() == 1:
            return list(scores)
        return tf.split(collectives.gather_rows(tf.concat(scores, 1)), len(scores), axis=1)

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
            mean = collectives.mean_over_replicas if self.gathers else tf.identity
            return {"dis_scale": losses.jacobian_scale(critic, real, weight, mean)}
        if self.loss.penalty is None:
            return {}
        count = _batch(real)
        penalty = losses.gradient_penalty(
            self.loss.penalty,
            critic,
            real,
            generated,
            score_data,
            score_gen,
            self._drawn(count, lambda total: randomness.uniform((total, 1, 1, 1), self._seed(_INTERPOLATION))),
            legacy=self.legacy,
            **self.loss.penalty_kernel(score_gen, score_data, self._seed(_LOSS), state),
        )
        if self.gathers:
            penalty = collectives.mean_over_replicas(penalty)
        return {"dis_penalty": self.penalty_weight * penalty}

    def _inference_critic(self, labels: TensorLike | None) -> Callable[[tf.Tensor], tf.Tensor]:
        return lambda images: self._critic(images, labels, training=False)

    def _r1(self, real: TensorLike, labels: TensorLike | None) -> tf.Tensor | None:
        """What the penalty R1 adds to the critic's loss, if the aids ask for it."""
        if self.aids.r1 is None:
            return None
        penalty = critic_terms.r1_penalty(self._inference_critic(labels), real, self.aids.r1)
        return collectives.mean_over_replicas(penalty) if self.gathers else penalty

    def _seen(self, images: tf.Tensor, whose: int) -> tf.Tensor:
        """This replica's images as the critic sees them."""
        return self._view(images, whose, lambda: self._seed(_VIEW), self._drawn)

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
            codes = self._drawn(count, lambda n: randomness.normal((n, self.code_size), self._seed(_CODES)))
        if self.num_class < 2:
            return tf.convert_to_tensor(codes), None
        if labels is None:
            drawn = {"minval": 0, "maxval": self.num_class, "dtype": tf.int32}
            labels = self._drawn(count, lambda n: randomness.uniform((n, 1), self._seed(_LABELS), **drawn))
        return tf.convert_to_tensor(codes), tf.cast(labels, tf.int32)

    def _drawn(self, count: TensorLike, draw: Callable[[Any], tf.Tensor]) -> tf.Tensor:
        """This replica's rows of random numbers that are drawn for the samples of all replicas."""
        return collectives.own_rows(draw(count * collectives.replica_count()), count)

    def _check_label_values(self, *given: TensorLike | None) -> None:
        """Refuses labels that a compiled step could not name: of another type, or of a class that does not exist."""
        for labels in given:
            if labels is not None and self.num_class >= 2:
                check_labels(labels, self.num_class, "this step")

    def _seed(self, stream: int) -> tf.Tensor:
        """A stateless seed for one stream of random numbers at the present step."""
        with randomness.outside():
            seed = tf.stack([tf.constant(self.seed * 8 + stream, tf.int64), self.iterations])
            return tf.random.experimental.stateless_fold_in(seed, self._substep) if self._substep else seed


def _batch(images: tf.Tensor) -> int | tf.Tensor:
    """The number of images: where it is known, a number, for the choice of algorithms."""
    return images.shape[0] or tf.shape(images)[0]


_DIS = ("discriminator", 0)
_GEN = ("generator", 1)
