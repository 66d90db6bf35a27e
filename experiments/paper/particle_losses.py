"""Free particles under any loss of the catalogue: `paper.particles` with TensorFlow's gradients.

The points are the critic's scores, without a critic that made them. In the critic's phase all points descend L_D, in
the generator's phase the generated ones descend L_G. Two things follow, which `notes` says in words:

* A gradient penalty, or a scale by the critic's Jacobian, has no meaning here: the loss is shown without it.
* Losses of critics with one score per sample (hinge, logistic, minimax, Wasserstein) move the points along a line: the
  horizontal coordinate is the score; the vertical one only keeps the points apart, and stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mmdgan import losses
from paper.particles import Component, Phase, Trajectory, simulate


def notes(loss: losses.Loss) -> list[str]:
    """What a person has to know of this loss's animation, one sentence each."""
    found = []
    if loss.penalty or loss.uses_scale:
        missing = "gradient penalty" if loss.penalty else "scale by the critic's Jacobian"
        found.append(f"Points have no critic that could be differentiated: {loss.name} is shown without its {missing}.")
    if loss.score_size == 1:
        found.append(
            f"A critic of {loss.name} gives one score per sample: here the horizontal coordinate; the vertical one "
            "only keeps the points apart."
        )
    return found


def loss_phases(
    loss: losses.Loss,
    real: np.ndarray,
    generated: np.ndarray,
    critic_steps: int = 450,
    shown_steps: int = 600,
    generator_steps: int = 600,
    rate: float = 0.01,
    seed: int = 0,
) -> list[Trajectory]:
    """The critic's animation, and the generator's from where the critic has come after `critic_steps`.

    Args:
        loss: from `mmdgan.losses.get`.
        real: (n, 2)
        generated: (n, 2)
        critic_steps: as `particles.published_phases`, and the three after it.
        shown_steps: see there.
        generator_steps: see there.
        rate: see there.
        seed: of losses that draw random numbers; each step has its own.
    """
    critic = _LossObjective(loss, "dis", seed)
    phase = Phase(f"{loss.name}_critic", f"critic, {loss.name}", "critic", critic, -1, "L_D")
    first = simulate(phase, real, generated, max(critic_steps, shown_steps), rate)
    # The memory of a loss with one goes on where the critic was left.
    generator = _LossObjective(loss, "gen", seed, critic.states[critic_steps])
    phase = Phase(f"{loss.name}_generator", f"generator, {loss.name}", "generator", generator, -1, "L_G")
    real, generated = first.points[critic_steps]
    return [first, simulate(phase, real, generated, generator_steps, rate, first_step=critic_steps)]


class _LossObjective:
    """An `Objective` that also hands the state of losses with a memory from step to step.

    Attributes:
        states: the state that the call of each step was given.
    """

    def __init__(self, loss: losses.Loss, player: str, seed: int, state: dict[str, Any] | None = None):
        import tensorflow as tf

        initial = loss.initial_state() if state is None else state
        self._next = {name: tf.cast(value, tf.float32) for name, value in initial.items()}
        self._gradient = tf.function(_gradient_of(loss, player), autograph=False)
        self._seed = seed
        self.states: list[dict[str, Any]] = []

    def __call__(self, real: np.ndarray, generated: np.ndarray, step: int) -> list[Component]:
        import tensorflow as tf

        points = tf.constant(np.array([real, generated]), tf.float64)
        seed = tf.constant([self._seed, step], tf.int32)
        self.states.append(self._next)
        value, gradient, self._next = self._gradient(points, seed, self._next)
        return [Component("loss", float(value), *gradient.numpy())]


def _gradient_of(loss: losses.Loss, player: str) -> Callable[..., Any]:
    """A function (points (2, n, 2), seed, state) -> loss of the player, its gradient, the next state."""
    import tensorflow as tf

    scores = slice(0, 1) if loss.score_size == 1 else slice(None)
    penalty = 0.0 if loss.penalty else None
    scale = 1.0 if loss.uses_scale else None

    def gradient(points: tf.Tensor, seed: tf.Tensor, state: tf.Tensor) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(points)
            real, generated = points[0][:, scores], points[1][:, scores]
            found = loss(generated, real, dis_penalty=penalty, dis_scale=scale, seed=seed, state=state)
            value = getattr(found, player)
        return value, tape.gradient(value, points, unconnected_gradients="zero"), found.state

    return gradient
