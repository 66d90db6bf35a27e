"""Free particles: points in the plane that move down the critic's loss, then down the generator's (Figure 1).

Source: Wang, Sun, Halgamuge, "Improving MMD-GAN Training with Repulsive Loss Function", ICLR 2019, Figure 1, and the
notebook that animates it (spec I). The points stand for the critic's scores of six real ("R") and six generated
("G") samples. In the critic's phase all of them move, as if the critic could place every score where it likes;
in the generator's phase only the generated ones do. Everything here is NumPy in float64; phases of any loss of the
catalogue are in `paper.particle_losses`.

The kernel is ``exp(-D)`` of squared distances D, a Gaussian with sigma = 1 / sqrt(2), and the mean over pairs leaves
out i = j, in the cross term too: ``(sum - trace) / (rows cols - min(rows, cols))``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

SIGMA = 0.5**0.5
"""Width at which `mmdgan.losses.kernels.gaussian` is this module's kernel."""

MOST_DISTANCE = 1e4
"""Squared distances are clipped here, as in the notebook."""


class Component(NamedTuple):
    """One part of an objective: its value and gradients, and how its arrows are drawn.

    Attributes:
        name: "attraction", "repulsion", or "loss" if the objective is not split.
        value: of this part.
        real: (n, d), its gradient with respect to the real points.
        generated: (n, d), with respect to the generated points.
    """

    name: str
    value: float
    real: np.ndarray
    generated: np.ndarray


Objective = Callable[[np.ndarray, np.ndarray, int], list[Component]]
"""(real (n, d), generated (n, d), step) -> components, whose sum is the objective."""


class Phase(NamedTuple):
    """What moves, and by what.

    Attributes:
        name: as the files' names end, the notebook's: "mmd_att", "g_mmd_rep".
        title: for the pictures.
        player: "critic" (all points move) or "generator" (only generated ones).
        objective: the components, at given points and step.
        sign: 1 if points move up its gradient, -1 if down.
        value_name: what the objective is called.
    """

    name: str
    title: str
    player: str
    objective: Objective
    sign: int
    value_name: str


class Trajectory(NamedTuple):
    """A phase, step by step; T + 1 moments, the first before any step.

    Attributes:
        phase: what was simulated.
        points: (T + 1, 2, n, d), real points first.
        gradients: by component, (T + 1, 2, n, d).
        objective: (T + 1,)
    """

    phase: Phase
    points: np.ndarray
    gradients: dict[str, np.ndarray]
    objective: np.ndarray

    def arrows(self) -> dict[str, np.ndarray]:
        """Half of each component's gradient, along the direction in which points move; fixed points have none."""
        return {name: 0.5 * self.phase.sign * gradient for name, gradient in self.gradients.items()}


def start(count: int = 6, spread: float = 0.15, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Real and generated points (count, 2), each coordinate from N(0, spread^2)."""
    real, generated = spread * np.random.default_rng(seed).standard_normal((2, count, 2))
    return real, generated


def simulate(
    phase: Phase, real: np.ndarray, generated: np.ndarray, steps: int, rate: float = 0.01, first_step: int = 0
) -> Trajectory:
    """Moves the points ``steps`` times by ``rate`` times the gradient, all at once.

    Args:
        phase: what moves, and by what.
        real: (n, d)
        generated: (n, d)
        steps: T.
        rate: length of a step in units of the gradient.
        first_step: the number by which random losses know the first step.
    """
    points = np.array([real, generated], np.float64)
    moments, objective = [points], []
    gradients: dict[str, list[np.ndarray]] = {}
    for step in range(steps + 1):
        parts = phase.objective(points[0], points[1], first_step + step)
        objective.append(sum(part.value for part in parts))
        change = np.zeros_like(points)
        for part in parts:
            gradient = np.array([part.real, part.generated])
            if phase.player == "generator":
                gradient[0] = 0.0
            change += gradient
            gradients.setdefault(part.name, []).append(gradient)
        if step < steps:
            points = points + rate * phase.sign * change
            moments.append(points)
    stacked = {name: np.array(gradient) for name, gradient in gradients.items()}
    return Trajectory(phase, np.array(moments), stacked, np.array(objective))


def mean_kernel(a: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Mean of ``exp(-|a_i - b_j|^2)`` over i != j, and its gradients with respect to a and to b.

    Args:
        a: (M, d)
        b: (N, d); if it is a itself, the gradient with respect to a is the sum of both.

    Returns:
        value, (M, d), (N, d).
    """
    differences = a[:, None] - b[None]
    weights = np.exp(-np.clip(np.sum(differences**2, axis=-1), 0.0, MOST_DISTANCE))
    np.fill_diagonal(weights, 0.0)
    weights /= weights.size - min(weights.shape)
    terms = -2.0 * weights[..., None] * differences
    return float(weights.sum()), terms.sum(axis=1), -terms.sum(axis=0)


def attractive_objective(real: np.ndarray, generated: np.ndarray, step: int = 0) -> list[Component]:
    """M = E k_RR + E k_GG - 2 E k_RG, the squared MMD: -L_D of MMD-GAN (Eq. 2), and L_G of both (Eq. 3)."""
    own_real, own_generated = mean_kernel(real, real), mean_kernel(generated, generated)
    cross = mean_kernel(real, generated)
    attraction = Component(
        "attraction",
        own_real[0] + own_generated[0],
        own_real[1] + own_real[2],
        own_generated[1] + own_generated[2],
    )
    return [attraction, Component("repulsion", -2.0 * cross[0], -2.0 * cross[1], -2.0 * cross[2])]


def repulsive_objective(real: np.ndarray, generated: np.ndarray, step: int = 0) -> list[Component]:
    """M = E k_GG - E k_RR = -L_D of the repulsive loss (Eq. 5): generated points attract, real ones repel."""
    own_real, own_generated = mean_kernel(real, real), mean_kernel(generated, generated)
    still = np.zeros_like(real, np.float64)
    return [
        Component("attraction", own_generated[0], still, own_generated[1] + own_generated[2]),
        Component("repulsion", -own_real[0], -(own_real[1] + own_real[2]), still),
    ]


def generator_objective(real: np.ndarray, generated: np.ndarray, step: int = 0) -> list[Component]:
    """The squared MMD, which the generator descends: what attracted in the critic's phase repels now (Eq. 3)."""
    own, cross = attractive_objective(real, generated, step)
    return [own._replace(name="repulsion"), cross._replace(name="attraction")]


ATTRACTIVE = Phase("mmd_att", "critic, attractive loss", "critic", attractive_objective, 1, "MMD²")
REPULSIVE = Phase("mmd_rep", "critic, repulsive loss", "critic", repulsive_objective, 1, "−L_D")
AFTER_ATTRACTIVE = Phase("g_mmd_att", "generator, after attractive", "generator", generator_objective, -1, "MMD²")
AFTER_REPULSIVE = Phase("g_mmd_rep", "generator, after repulsive", "generator", generator_objective, -1, "MMD²")


def published_phases(
    real: np.ndarray,
    generated: np.ndarray,
    critic_steps: int = 450,
    shown_steps: int = 600,
    generator_steps: int = 600,
    rate: float = 0.01,
) -> list[Trajectory]:
    """The four animations: the critic by both losses, and the generator from where each has come.

    Args:
        real: (n, 2)
        generated: (n, 2)
        critic_steps: steps of the critic after which the generator begins.
        shown_steps: of the critic's own animation; fewer than `critic_steps` are made so many.
        generator_steps: steps of the generator.
        rate: see `simulate`.

    Returns:
        Critic attractive, critic repulsive, generator after the one and after the other.
    """
    length = max(critic_steps, shown_steps)
    critics = [simulate(phase, real, generated, length, rate) for phase in (ATTRACTIVE, REPULSIVE)]
    generators = [
        simulate(phase, critic.points[critic_steps, 0], critic.points[critic_steps, 1], generator_steps, rate)
        for phase, critic in zip((AFTER_ATTRACTIVE, AFTER_REPULSIVE), critics, strict=True)
    ]
    return critics + generators
