"""Figure 1: free particles, points of the plane that move down the critic's loss, then down the generator's.

Source: Wang, Sun, Halgamuge, "Improving MMD-GAN Training with Repulsive Loss Function", ICLR 2019, Figure 1, and the
notebook that animates it (spec I). The points stand for the critic's scores of six real ("R") and six generated ("G")
samples, without a critic that made them. In the critic's phase all of them move, as if the critic could place every
score where it likes; in the generator's phase only the generated ones do.

The published phases are NumPy in float64. Their kernel is ``exp(-D)`` of squared distances D, a Gaussian with
sigma = 1 / sqrt(2), and the mean over pairs leaves out i = j, in the cross term too:
``(sum - trace) / (rows cols - min(rows, cols))``. Phases of any loss of the catalogue use TensorFlow's gradients:

* A gradient penalty, or a scale by the critic's Jacobian, has no meaning here: the loss is shown without it.
* Losses of critics with one score per sample (hinge, logistic, minimax, Wasserstein) move the points along a line: the
  horizontal coordinate is the score; the vertical one only keeps the points apart, and stays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmdgan import losses
from mmdgan.core.errors import ConfigError
from mmdgan.core.lazy import tf
from mmdgan.core.options import check_limits, fields_with, option
from paper.output import FigureOptions, Output, new_figure, pixels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIGMA = 0.5**0.5
"""Width at which `mmdgan.losses.kernels.gaussian` is this module's kernel."""

MOST_DISTANCE = 1e4
"""Squared distances are clipped here, as in the notebook."""


REAL_COLOUR, GENERATED_COLOUR = "#606060", "#D7191C"
ARROW_COLOURS = {"attraction": "#1F77B4", "repulsion": "#FF7F0E", "loss": "#202020"}
"""As in the paper: what draws points together is blue, what drives them apart orange."""

COLUMNS = ["phase", "step", "objective", "kind", "point", "x", "y"]
"""Columns of the CSV file, before both coordinates of each component's gradient."""

_GROUP = "options of --loss"


@dataclasses.dataclass(frozen=True)
class ParticleOptions(FigureOptions):
    """The flags of figure 1's script."""

    # From this seed's start all points stay in the axes.
    seed: int = option(10, "seed of the points' start, and of losses that draw random numbers", least=0)
    points: int = option(6, "real points, and as many generated ones", least=2)
    spread: float = option(0.15, "standard deviation of each coordinate at the start", positive=True)
    rate: float = option(0.01, "points move by this times the gradient", positive=True)
    critic_steps: int = option(450, "steps of the critic, from whose end the generator begins", least=0)
    shown_steps: int = option(600, "steps of the critic's own animation, as in the authors' GIFs", least=1)
    generator_steps: int = option(600, "steps of the generator", least=1)
    query_step: int = option(100, "steps between the numbers that are printed and written", least=1)
    frame_steps: int = option(5, "steps between the frames of an animation", least=1)
    animations: bool = option(True, "also write the GIFs (a minute); --noanimations leaves them out")
    dpi: int = option(90, "pixels per inch of the animations, which are 6.4 x 4.8 inches", positive=True)
    loss: str | None = option(None, "instead, a loss of `python -m mmdgan losses`: each player descends its own")
    rep_weights: tuple[float, float] | None = option(None, "w0,w1 of rep and rep_b", _GROUP)
    rep_lambda: float | None = option(None, "or their λ = -w1: 1 is repulsive, -1 attractive", _GROUP)
    sigma: tuple[float, ...] | None = option(None, "widths of the Gaussian kernels", _GROUP)
    alpha: tuple[float, ...] | None = option(None, "exponents of mmd_t's kernels", _GROUP)
    beta: float | None = option(None, "scale of mmd_t's kernels", _GROUP)
    lower_bound: float | None = option(None, "squared distances count as at least this", _GROUP)
    upper_bound: float | None = option(None, "or as at most this", _GROUP)
    cross_bound: bool = option(False, "bound rep_b's cross term too, for λ < 0", _GROUP)
    omega: tuple[float, ...] | None = option(None, "mean kernel value of random-width losses, or its range", _GROUP)
    ref_normal: float | None = option(None, "mean squared distance within their reference normal", _GROUP)
    mix_threshold: float | None = option(None, "running loss above which mixing losses mix", _GROUP)


def make(options: ParticleOptions) -> Output:
    """Simulates, then writes the panels, one GIF per phase, and the numbers; prints the objective on the way.

    Raises:
        ConfigError: Numbers that make no picture, an option of a loss without `loss`, or one that it does not have.
    """
    check_limits(options)
    if options.quick:
        few: dict[str, Any] = {
            "critic_steps": 10,
            "shown_steps": 20,
            "generator_steps": 20,
            "query_step": 10,
            "frame_steps": 10,
        }
        options = dataclasses.replace(options, **few)
    trajectories = _simulated(options)
    output = Output(options.out, f"figure1_{options.loss}" if options.loss else "figure1")
    output.figure(draw_panels(trajectories, _panel_steps(options)))
    output.table(*table(trajectories, options.query_step))
    for trajectory in trajectories:
        print(f"{trajectory.phase.title}: step, {trajectory.phase.value_name}")
        for step in range(0, len(trajectory.objective), options.query_step):
            print(f"  {step:4d}  {trajectory.objective[step]:+.6f}")
        if options.animations:
            frames = np.array(list(animation_frames(trajectory, options.frame_steps, options.dpi)))
            output.animation(frames, f"_{trajectory.phase.name}")
    return output


class Component(NamedTuple):
    """One part of an objective: "attraction", "repulsion", or "loss" if the objective is not split.

    Attributes:
        name: Which part; decides the colour of its arrows.
        value: Its value.
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
        name: End of the files' names, the notebook's: "mmd_att", "g_mmd_rep".
        title: Title in pictures.
        player: "critic" (all points move) or "generator" (only generated ones).
        objective: The components, at given points and step.
        sign: 1 if points move up its gradient, -1 if down.
        value_name: Name of the objective in pictures.
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
        phase: What was simulated.
        points: (T + 1, 2, n, d), real points first.
        gradients: By component, (T + 1, 2, n, d).
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
    """Moves the points (n, d) ``steps`` times by ``rate`` times the gradient, all at once.

    Random losses know the first step by the number `first_step`.
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
    """The four animations: the critic by the attractive and the repulsive loss, the generator after the one and other.

    Args:
        real: (n, 2)
        generated: (n, 2)
        critic_steps: Steps of the critic after which the generator begins.
        shown_steps: Steps of the critic's own animation, at least `critic_steps`.
        generator_steps: Steps of the generator.
        rate: As of `simulate`.
    """
    length = max(critic_steps, shown_steps)
    critics = [simulate(phase, real, generated, length, rate) for phase in (ATTRACTIVE, REPULSIVE)]
    generators = [
        simulate(phase, critic.points[critic_steps, 0], critic.points[critic_steps, 1], generator_steps, rate)
        for phase, critic in zip((AFTER_ATTRACTIVE, AFTER_REPULSIVE), critics, strict=True)
    ]
    return critics + generators


def notes(loss: losses.Loss) -> list[str]:
    """What the animation of a loss leaves out, one sentence each."""
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
    """The critic's animation, and the generator's from where the critic has come; arguments as `published_phases`.

    `loss` is one of `mmdgan.losses.get`; `seed` is for losses that draw random numbers.
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
    """An `Objective` that passes the state of losses with a memory from step to step; `states` has each step's."""

    def __init__(self, loss: losses.Loss, player: str, seed: int, state: dict[str, Any] | None = None):
        initial = loss.initial_state() if state is None else state
        self._next = {name: tf.cast(value, tf.float32) for name, value in initial.items()}
        self._gradient = tf.function(_gradient_of(loss, player), autograph=False)
        self._seed = seed
        self.states: list[dict[str, Any]] = []

    def __call__(self, real: np.ndarray, generated: np.ndarray, step: int) -> list[Component]:
        points = tf.constant(np.array([real, generated]), tf.float64)
        seed = tf.constant([self._seed, step], tf.int32)
        self.states.append(self._next)
        value, gradient, self._next = self._gradient(points, seed, self._next)
        return [Component("loss", float(value), *gradient.numpy())]


def _gradient_of(loss: losses.Loss, player: str) -> Callable[..., Any]:
    """A function (points (2, n, 2), seed, state) -> loss of the player, its gradient, the next state."""
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


def _simulated(options: ParticleOptions) -> list[Trajectory]:
    real, generated = start(options.points, options.spread, options.seed)
    steps = options.critic_steps, options.shown_steps, options.generator_steps
    given = {name: getattr(options, name) for name in fields_with(options, group=_GROUP)}
    given = {name: value for name, value in given.items() if value is not None and value is not False}
    if options.loss is None:
        if given:
            raise ConfigError(f"--{next(iter(given))} belongs to a loss: name it with --loss, as in --loss rep.")
        return published_phases(real, generated, *steps, options.rate)
    # One number of a list-valued flag is a number.
    values = {k: v[0] if isinstance(v, tuple) and len(v) == 1 else v for k, v in given.items()}
    loss = losses.get(options.loss, **values)
    for note in notes(loss):
        print(note)
    return loss_phases(loss, real, generated, *steps, options.rate, options.seed)


def table(trajectories: Sequence[Trajectory], query_step: int) -> tuple[list[list[Any]], list[str]]:
    """One row per phase, queried step and point, and the columns' names."""
    names = list(dict.fromkeys(name for trajectory in trajectories for name in trajectory.gradients))
    rows = []
    for trajectory in trajectories:
        count = trajectory.points.shape[2]
        for step in range(0, len(trajectory.points), query_step):
            for kind, point in np.ndindex(2, count):
                row = [trajectory.phase.name, step, float(trajectory.objective[step]), "RG"[kind], point]
                row += trajectory.points[step, kind, point].tolist()
                for name in names:
                    row += trajectory.gradients[name][step, kind, point].tolist()
                rows.append(row)
    return rows, COLUMNS + [f"{name}_d{axis}" for name in names for axis in "xy"]


def draw_panels(trajectories: Sequence[Trajectory], steps: Sequence[Sequence[int]]) -> Figure:
    """One row of panels per phase, at these steps of each."""
    columns = max(len(row) for row in steps)
    figure = new_figure(2.35 * columns + 0.3, 2.5 * len(trajectories) + 0.5)
    panels = figure.subplots(len(trajectories), columns, squeeze=False, sharex=True, sharey=True)
    limit = max(_limit(trajectory) for trajectory in trajectories)
    for row, trajectory, row_steps in zip(panels, trajectories, steps, strict=True):
        for axes, step in zip(row, row_steps, strict=True):
            _Moment(axes, trajectory, limit).show(step)
            axes.set_title(f"step {step}: {_value(trajectory, step)}", fontsize=10)
            axes.tick_params(labelsize=8)
        row[0].set_ylabel(trajectory.phase.title, fontsize=11)
    names = dict.fromkeys(name for trajectory in trajectories for name in trajectory.gradients)
    figure.legend(handles=_handles(names), loc="outside lower center", ncols=2 + len(names), frameon=False)
    return figure


def animation_frames(trajectory: Trajectory, every: int = 5, dpi: int = 90) -> Iterator[np.ndarray]:
    """Pictures of a phase, uint8 (H, W, 3), at steps 0, every, 2 every, ..., without the last moment."""
    figure = new_figure(6.4, 4.8, layout="none")
    axes = figure.add_axes((0.09, 0.08, 0.64, 0.84))
    moment = _Moment(axes, trajectory, _limit(trajectory))
    figure.legend(handles=_handles(trajectory.gradients), loc="center left", bbox_to_anchor=(0.74, 0.5), frameon=False)
    title = axes.set_title("", loc="left")
    for step in range(0, max(len(trajectory.points) - 1, 1), every):
        moment.show(step)
        title.set_text(f"{trajectory.phase.title}, step {step}: {_value(trajectory, step)}")
        yield pixels(figure, dpi)


class _Moment:
    """The points of one step with their arrows, in axes that can be set to another step."""

    def __init__(self, axes: Axes, trajectory: Trajectory, limit: float):
        self._trajectory, self._arrows = trajectory, trajectory.arrows()
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        axes.grid(color="#E4E4E4", linewidth=0.7)
        axes.set_axisbelow(True)
        colours = (REAL_COLOUR, GENERATED_COLOUR)
        self._points = [axes.scatter([], [], s=40, c=colour, alpha=0.5, linewidths=0) for colour in colours]
        count = trajectory.points.shape[1] * trajectory.points.shape[2]
        style: dict[str, Any] = dict.fromkeys(("angles", "scale_units", "units"), "xy")
        style |= {"scale": 1, "width": 0.01 * limit, "minlength": 0}
        style |= {"headwidth": 4, "headlength": 5, "headaxislength": 4.5, "zorder": 3}
        self._quivers = {
            name: axes.quiver(*np.zeros((4, count)), color=ARROW_COLOURS[name], **style) for name in self._arrows
        }

    def show(self, step: int) -> None:
        points = self._trajectory.points[step]
        for artist, group in zip(self._points, points, strict=True):
            artist.set_offsets(group)
        for name, quiver in self._quivers.items():
            arrows = self._arrows[name][step].reshape(-1, 2)
            # Those that are no longer than a pixel would be drawn as dots.
            seen = np.hypot(*arrows.T) > 0.004
            quiver.set_offsets(points.reshape(-1, 2))
            quiver.set_UVC(*np.ma.masked_array(arrows, np.repeat(~seen[:, None], 2, axis=1)).T)


def _panel_steps(options: ParticleOptions) -> list[list[int]]:
    """Four moments of each phase; the critic's last one is where the generator begins."""
    thirds = [
        [round(part * length / 3) for part in range(4)] for length in (options.critic_steps, options.generator_steps)
    ]
    return [thirds[0], thirds[1]] if options.loss else [thirds[0], thirds[0], thirds[1], thirds[1]]


def _limit(trajectory: Trajectory) -> float:
    """Half the side of the axes: 1, or more where points leave them."""
    furthest = float(np.nanmax(np.abs(trajectory.points)))
    return 1.0 if furthest <= 1.0 else 1.05 * furthest


def _value(trajectory: Trajectory, step: int) -> str:
    return f"{trajectory.phase.value_name} = {trajectory.objective[step]:.3f}".replace("-", "\N{MINUS SIGN}")


def _handles(names: Sequence[str] | dict[str, Any]) -> list[Any]:
    """The legend: R, G and the arrows."""
    from matplotlib.lines import Line2D

    dots: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 7, "alpha": 0.5, "markeredgewidth": 0}
    texts = {"loss": "−½ gradient", "attraction": "attraction", "repulsion": "repulsion"}
    handles = [Line2D([], [], color=REAL_COLOUR, label="R", **dots)]
    handles.append(Line2D([], [], color=GENERATED_COLOUR, label="G", **dots))
    for name in sorted(names):
        handles.append(Line2D([], [], color=ARROW_COLOURS[name], linewidth=2, label=texts[name]))
    return handles
