"""One simultaneous update of both players (spec E.2, E.4), with the penalties of D.1.

The generator runs once; the critic sees real and generated images with the same effective kernels; both gradients
come from that one forward pass (`mmdgan.training.forward`) and both updates are applied. Every quantity is computed
from the values before the step: weights, moving averages and spectral vectors change only after the gradients are
known.

Several replicas take equal parts of the batch. Scores are gathered, so that each computes the loss of the whole batch,
and statistics of batch normalisation are those of the whole batch: R replicas of B / R images are one device of B. Each
replica differentiates its own copy of the loss; the mean of the replicas' gradients is then the gradient of the loss,
because what they tell one another is differentiated too (`mmdgan.core.replicas`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from mmdgan import tf1
from mmdgan.core import random, replicas
from mmdgan.core.devices import REPLICA_LOSSES, check_one_replica
from mmdgan.core.errors import ConfigError
from mmdgan.core.types import TensorLike
from mmdgan.losses.registry import Loss
from mmdgan.networks.network import Network, check_labels
from mmdgan.training import execution, inspection
from mmdgan.training.aids import ada, critic_terms
from mmdgan.training.aids.ema import WeightAverage
from mmdgan.training.aids.settings import Aids
from mmdgan.training.distribution import Replicas
from mmdgan.training.forward import LOSS, UPDATE, ForwardPass, batch_size, channels_last
from mmdgan.training.optimizers import scheduled_optimizer
from mmdgan.training.schedule import UpdateSchedule


class GanStep(ForwardPass):
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
        from mmdgan import losses

        if replica_losses not in REPLICA_LOSSES:
            raise ConfigError(f"replica_losses is {replica_losses!r}; give one of {', '.join(REPLICA_LOSSES)}.")
        super().__init__(
            generator,
            discriminator,
            losses.get(loss) if loss is None or isinstance(loss, str) else loss,
            penalty_weight=penalty_weight,
            legacy=legacy,
            seed=seed,
            gathers=replica_losses == "gathered",
            fixed_critic=fixed_critic,
            aids=aids or Aids(),
        )
        self.schedule = UpdateSchedule(imbalanced_update)
        self.aids.check_beside(imbalanced_update=imbalanced_update, jit=jit, critic_learns=not self.fixed_critic)
        self.replicas = Replicas.current()
        self.replicas.check_variables([v.value for net in self._networks for v in net.variables])
        check_one_replica(1, jit, generator.precision, self.replicas.count)
        names = (optimizer, optimizer) if isinstance(optimizer, str) else tuple(optimizer)
        if len(names) != 2:
            raise ConfigError(f"optimizer must be one name or two (critic, generator), not {optimizer!r}.")
        rates = {"end_lr": end_lr, "aids": self.aids, "global_step": self.iterations}
        self.optimizer_dis = scheduled_optimizer(names[0], lr_dis, **rates)
        self.optimizer_gen = scheduled_optimizer(names[1], lr_gen, **rates)
        self.optimizer_dis.build(discriminator.trainable_variables)
        self.optimizer_gen.build(generator.trainable_variables)
        self.average = None if self.aids.ema is None else WeightAverage(generator, self.aids.ema)
        self._compute = execution.Compiled(self._differentiate) if jit else self._differentiate

    @property
    def sampling_generator(self) -> Network:
        """The generator that samples and scores are made with: the averaged one, if there is one."""
        return self.generator if self.average is None else self.average.network

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
        update = self.schedule.updates(self.iterations, lambda: random.uniform((), self._seed(UPDATE)))
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
            self.ada.update(losses["ada_r"], batch_size(real) * self.replicas.workers)
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
        count = replicas.replica_count()
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
            losses["ada_r"] = ada.overfitting(self.loss, *scores, self._seed(LOSS), forward.state)
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

    def _check_label_values(self, *given: TensorLike | None) -> None:
        """Refuses labels that a compiled step could not name: of another type, or of a class that does not exist."""
        for labels in given:
            if labels is not None and self.num_class >= 2:
                check_labels(labels, self.num_class, "this step")


_DIS = ("discriminator", 0)
_GEN = ("generator", 1)
