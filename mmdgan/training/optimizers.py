"""How the players are updated: the original's four optimisers (spec E.3) as Keras optimisers, with what goes with them.

| name | rule |
|---|---|
| adam | beta1 0.5, beta2 0.999, epsilon 1e-8 added to sqrt(v), bias correction folded into the step |
| rmsprop | decay 0.9, epsilon 1e-10 inside the root, squared-gradient average started at 1 |
| sgd | learning rate decayed continuously by powers of 0.96, to `end_lr` at step 100,000 |
| momentum | heavy ball 0.9, the same schedule; the learning rate multiplies the accumulated velocity |

`end_lr` has no effect on adam and rmsprop, whose rates are constant.

With them: learning rates that fall with the global step, which player a step updates (spec E.4), clipped gradients, and
the loss scale of float16.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mmdgan.core import replicas
from mmdgan.core.errors import ConfigError
from mmdgan.training.aids.settings import Aids

NAMES = ("adam", "rmsprop", "sgd", "momentum")
SCHEDULE_STEPS = 100_000
DECAY_RATE = 0.96

DYNAMIC = "dynamic"
_ALWAYS_BEFORE, _THRESHOLD = 1000, 0.1  # of the dynamic schedule

INITIAL_SCALE = 2.0**15
LARGEST_SCALE = 2.0**100
GROWTH_STEPS = 2000


def make_optimizer(
    name: str,
    learning_rate: float,
    end_lr: float = 1e-7,
    schedule: keras.optimizers.schedules.LearningRateSchedule | None = None,
    global_step: tf.Variable | None = None,
) -> keras.optimizers.Optimizer:
    """Builds the optimiser of that name.

    Args:
        name: One of `NAMES`, in any case.
        learning_rate: Positive rate; of sgd and momentum the rate at step 0.
        end_lr: Rate of sgd and momentum at step 100,000.
        schedule: Replaces the rates of any of them.
        global_step: Number of steps taken, by which rates fall; None: the optimiser's own count of its updates, which
            differs from it where one network is updated more often than the other.

    Raises:
        ConfigError: An unknown name, or a rate that is not positive.
    """
    kind = str(name).lower()
    if kind not in NAMES:
        raise ConfigError(f"optimizer {name!r} is not one of {', '.join(NAMES)}.")
    for rate in (learning_rate, end_lr):
        if not isinstance(rate, Real):
            raise ConfigError(
                f"A learning rate must be a number, not {rate!r}; rates that fall are lr_schedule and lr_steps of "
                "mmdgan.training.aids.settings.Aids, or the optimisers sgd and momentum."
            )
    learning_rate, end_lr = float(learning_rate), float(end_lr)
    if not (0 < learning_rate < math.inf and 0 < end_lr < math.inf):
        raise ConfigError(f"Learning rates must be positive; got {learning_rate} and end_lr {end_lr}.")
    constant: Any = learning_rate
    if keras.config.floatx() in ("float16", "bfloat16"):
        constant = decay_schedule(learning_rate, learning_rate)  # Keras would round its variable of the rate
    if schedule is None and kind in ("sgd", "momentum"):
        schedule = decay_schedule(learning_rate, end_lr)
    if schedule is not None and global_step is not None:
        schedule = _ByGlobalStep(schedule, global_step)
    if kind == "adam":
        return Adam(schedule or constant, beta_1=0.5, beta_2=0.999, epsilon=1e-8)
    if kind == "rmsprop":
        return RMSprop(schedule or constant, rho=0.9, epsilon=1e-10)
    if kind == "sgd":
        return keras.optimizers.SGD(schedule)
    return HeavyBall(schedule, momentum=0.9)


def scheduled_optimizer(
    name: str, learning_rate: float, *, end_lr: float, aids: Aids, global_step: tf.Variable
) -> keras.optimizers.Optimizer:
    """The optimiser of that name with the learning rate that the aids ask for; arguments as of `make_optimizer`."""
    if aids.lr_schedule == "original":
        return make_optimizer(name, learning_rate, end_lr, global_step=global_step)
    schedule = None  # a constant rate, of sgd and momentum too
    if aids.falls and aids.lr_steps is not None:
        schedule = Falling(aids.lr_schedule, learning_rate, end_lr, aids.lr_steps)
    return make_optimizer(name, learning_rate, learning_rate, schedule, global_step)


def decay_schedule(learning_rate: float, end_lr: float) -> keras.optimizers.schedules.LearningRateSchedule:
    """Exponential decay that reaches `end_lr` at step 100,000; constant if both rates are equal."""
    start = np.float32(learning_rate)  # of which type Keras computes, whatever its floatx is
    if learning_rate == end_lr:
        return keras.optimizers.schedules.ExponentialDecay(start, 1, 1.0)
    steps = round(SCHEDULE_STEPS * math.log(DECAY_RATE) / math.log(end_lr / learning_rate))
    return keras.optimizers.schedules.ExponentialDecay(start, steps, DECAY_RATE)


class _ByGlobalStep(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule's rates, by the global step."""

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, global_step: tf.Variable) -> None:
        self._schedule, self._global_step = schedule, global_step

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        return self._schedule(tf.convert_to_tensor(self._global_step))

    def get_config(self) -> dict[str, Any]:
        return self._schedule.get_config()


class Falling(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that falls from `start` at step 0 to `end` at step `steps`: linearly, or as half a cosine.

    Source of the cosine: Loshchilov and Hutter 2017, Eq. 5.

    Args:
        kind: "linear" or "cosine".
        start: Rate at step 0.
        end: Rate from step `steps` on.
        steps: Number of steps over which it falls.
    """

    def __init__(self, kind: str, start: float, end: float, steps: int) -> None:
        super().__init__()
        self._kind, self._start, self._end, self._steps = kind, float(start), float(end), int(steps)

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        share = tf.minimum(tf.cast(step, tf.float64) / self._steps, 1.0)
        left = 1.0 - share if self._kind == "linear" else (1.0 + tf.cos(math.pi * share)) / 2.0
        return tf.cast(self._end + (self._start - self._end) * left, tf.float32)

    def get_config(self) -> dict[str, Any]:
        return {"kind": self._kind, "start": self._start, "end": self._end, "steps": self._steps}


@keras.saving.register_keras_serializable(package="mmdgan")
class Adam(keras.optimizers.Adam):
    """Keras's Adam with TensorFlow's fused update: the same formula in one pass over memory."""

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        dtype = tf.as_dtype(variable.dtype)
        if self.amsgrad or dtype not in (tf.float32, tf.float64):
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations.value + 1, dtype)
        beta_1, beta_2 = tf.constant(self.beta_1, dtype), tf.constant(self.beta_2, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=beta_1**step,
            beta2_power=beta_2**step,
            lr=tf.cast(learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.constant(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )


@keras.saving.register_keras_serializable(package="mmdgan")
class RMSprop(keras.optimizers.RMSprop):
    """RMSprop whose average of squared gradients starts at 1, as TensorFlow 1's."""

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        for velocity in self._velocities:
            velocity.assign(tf.ones_like(velocity.value))


@keras.saving.register_keras_serializable(package="mmdgan")
class HeavyBall(keras.optimizers.SGD):
    """Momentum as TensorFlow 1's: ``a <- m a + g``, ``w <- w - lr a``; Keras's applies lr inside a."""

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        accumulator = self.momentums[self._get_variable_index(variable)]
        accumulator.assign(self.momentum * accumulator + tf.cast(gradient, variable.dtype))
        variable.assign(variable - tf.cast(learning_rate, variable.dtype) * accumulator)


class UpdateSchedule:
    """Decides before each step whether the critic and the generator are updated (spec E.4).

    Args:
        imbalanced_update: None: both at every step. (p_dis, p_gen), one of them 1: at global step n a network is
            updated if n mod p == 0. 'dynamic': the generator at every step; the critic at each of the first 1,000,
            and then with probability 0.1 / max(loss_gen of the step before, 0.1) (spec D.2, quirk 38).

    Raises:
        ConfigError: Anything else.
    """

    def __init__(self, imbalanced_update: Sequence[int] | str | None):
        self._periods = None
        self._loss_gen: tf.Variable | None = None
        if isinstance(imbalanced_update, str) and imbalanced_update == DYNAMIC:
            self._loss_gen = tf.Variable(0.0, trainable=False, name="loss_gen")
        elif imbalanced_update is not None:
            self._periods = _periods(imbalanced_update)

    @property
    def constant(self) -> bool:
        """Whether both networks are updated at every step."""
        return self._periods is None and self._loss_gen is None

    def state(self) -> dict[str, tf.Variable]:
        """Returns what a checkpoint must hold: the generator's last loss, if decisions depend on it."""
        return {} if self._loss_gen is None else {"schedule/loss_gen": self._loss_gen}

    def updates(self, step: tf.Variable, uniform: Callable[[], tf.Tensor]) -> tuple[bool, bool]:
        """Returns whether (critic, generator) are updated at this step.

        Args:
            step: Number of steps taken so far; read only if the decision depends on it, because reading waits for the
                device.
            uniform: Draws this step's number from U(0, 1).
        """
        if self._periods is not None:
            number = int(step.numpy())
            return number % self._periods[0] == 0, number % self._periods[1] == 0
        if self._loss_gen is None or int(step.numpy()) < _ALWAYS_BEFORE:
            return True, True
        return float(uniform()) < _THRESHOLD / max(float(self._loss_gen.numpy()), _THRESHOLD), True

    def observe(self, loss_gen: tf.Tensor) -> None:
        """Remembers the generator's loss of the present step."""
        if self._loss_gen is not None:
            self._loss_gen.assign(tf.cast(loss_gen, self._loss_gen.dtype))


def _periods(imbalanced_update: Sequence[int] | str) -> tuple[int, int] | None:
    several = isinstance(imbalanced_update, Iterable) and not isinstance(imbalanced_update, str)
    periods: tuple[Any, ...] = tuple(imbalanced_update) if several else ()
    whole = all(isinstance(p, Integral) and int(p) >= 1 for p in periods)
    if len(periods) != 2 or not whole or 1 not in periods:
        raise ConfigError(
            f"imbalanced_update must be two periods (critic, generator), one of them 1, or {DYNAMIC!r}; "
            f"got {imbalanced_update!r}."
        )
    return None if math.prod(periods) == 1 else (int(periods[0]), int(periods[1]))


def clipped(gradients: Sequence[tf.Tensor], limit: float) -> list[tf.Tensor]:
    """Gradients of one player, scaled down so that their global norm is at most `limit` (Pascanu et al. 2013).

    Args:
        gradients: One for each variable, the same ones on all replicas.
        limit: Largest root of the sum of all squares.
    """
    norm = tf.linalg.global_norm(gradients)
    factor = limit / tf.maximum(norm, limit)
    return [gradient * tf.cast(factor, gradient.dtype) for gradient in gradients]


class LossScale:
    """Dynamic loss scaling: keeps float16 gradients from vanishing, and skips the updates of those that overflow.

    float16 has no positive number below 6e-8, and gradients of MMD losses are often smaller. Losses are multiplied by a
    scale before they are differentiated, and gradients divided by it (Micikevicius et al. 2018). The scale doubles
    after `GROWTH_STEPS` steps without overflow and halves at an overflow; a step that overflows changes nothing else
    but the number of steps. Both players share the scale, because one forward pass serves them.

    Attributes:
        scale: The present factor (tf.Variable, float32), at least 1.
        good_steps: Number of steps without overflow since the scale changed (tf.Variable, int64).
    """

    def __init__(self) -> None:
        self.scale = tf.Variable(INITIAL_SCALE, trainable=False, name="scale")
        self.good_steps = tf.Variable(0, dtype=tf.int64, trainable=False, name="good_steps")

    def state(self) -> dict[str, tf.Variable]:
        """Returns what a checkpoint must hold."""
        return {"loss_scale/scale": self.scale, "loss_scale/good_steps": self.good_steps}

    def unscaled(self, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the gradients of scaled losses, divided by the scale."""
        inverse = 1 / self.scale  # a power of two: exact
        return [gradient * tf.cast(inverse, gradient.dtype) for gradient in gradients]

    @staticmethod
    def is_finite(gradients: Sequence[tf.Tensor]) -> tf.Tensor:
        """Whether all gradients are finite, on all replicas."""
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])
        return replicas.mean_over_replicas(tf.cast(finite, tf.float32)) > 1 - 1e-6

    def adapt(self, finite: tf.Tensor) -> None:
        """Adapts the scale after a step whose gradients were finite, or were not."""
        steps = self.good_steps + 1
        grow = steps >= GROWTH_STEPS
        good = tf.where(grow, tf.minimum(self.scale * 2, LARGEST_SCALE), self.scale)
        self.scale.assign(tf.where(finite, good, tf.maximum(self.scale / 2, 1.0)))
        self.good_steps.assign(tf.where(finite, tf.where(grow, tf.zeros_like(steps), steps), tf.zeros_like(steps)))


def _handle(variable: tf.Variable) -> tf.Tensor:
    """The resource of a tf.Variable, or of the one inside a Keras variable."""
    return variable.value.handle if isinstance(variable, keras.Variable) else variable.handle
