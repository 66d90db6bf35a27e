"""Figure 1 drawn and written: panels, animations and numbers of the free particles.

Source: Wang et al. 2019, Figure 1, and the four animations of its README (spec I). The simulation is in
`paper.particles`, that of any loss in `paper.particle_losses`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import fields_with, option
from paper.output import FigureOptions, Output, new_figure, pixels
from paper.particles import Trajectory, published_phases, start

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REAL_COLOUR, GENERATED_COLOUR = "#606060", "#D7191C"
ARROW_COLOURS = {"attraction": "#1F77B4", "repulsion": "#FF7F0E", "loss": "#202020"}
"""As in the paper: what draws points together is blue, what drives them apart orange."""

COLUMNS = ["phase", "step", "objective", "kind", "point", "x", "y"]
"""Of the CSV file; then come both coordinates of each component's gradient."""

_GROUP = "options of --loss"


@dataclasses.dataclass(frozen=True)
class ParticleOptions(FigureOptions):
    """The flags of figure 1's script."""

    # From this seed's start all points stay in the axes.
    seed: int = option(10, "of the points' start, and of losses that draw random numbers")
    points: int = option(6, "real points, and as many generated ones")
    spread: float = option(0.15, "standard deviation of each coordinate at the start")
    rate: float = option(0.01, "points move by this times the gradient")
    critic_steps: int = option(450, "steps of the critic, from whose end the generator begins")
    shown_steps: int = option(600, "steps of the critic's own animation, as in the authors' GIFs")
    generator_steps: int = option(600, "steps of the generator")
    query_step: int = option(100, "the numbers are printed and written every so many steps")
    frame_steps: int = option(5, "an animation's frames are so many steps apart")
    animations: bool = option(True, "write the GIFs too (a minute); --noanimations leaves them out")
    dpi: int = option(90, "pixels per inch of the animations, which are 6.4 x 4.8 inches")
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
      ConfigError: numbers that make no picture, an option of a loss without `loss`, or one that it does not have.
    """
    _check(options)
    if options.quick:
        options = dataclasses.replace(
            options, critic_steps=10, shown_steps=20, generator_steps=20, query_step=10, frame_steps=10
        )
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
    """The phase's pictures, uint8 (H, W, 3), at steps 0, every, 2 every, ..., without the last moment."""
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
        style: dict[str, Any] = {
            "angles": "xy",
            "scale_units": "xy",
            "scale": 1,
            "units": "xy",
            "width": 0.01 * limit,
            "minlength": 0,
        }
        heads: dict[str, Any] = {"headwidth": 4, "headlength": 5, "headaxislength": 4.5, "zorder": 3}
        self._quivers = {
            name: axes.quiver(*np.zeros((4, count)), color=ARROW_COLOURS[name], **style, **heads)
            for name in self._arrows
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


def _simulated(options: ParticleOptions) -> list[Trajectory]:
    real, generated = start(options.points, options.spread, options.seed)
    steps = options.critic_steps, options.shown_steps, options.generator_steps
    given = {
        name: value
        for name in fields_with(options, group=_GROUP)
        if (value := getattr(options, name)) not in (None, False)
    }
    if options.loss is None:
        if given:
            raise ConfigError(f"--{next(iter(given))} belongs to a loss: name it with --loss, as in --loss rep.")
        return published_phases(real, generated, *steps, options.rate)
    from mmdgan import losses
    from paper.particle_losses import loss_phases, notes

    # One number of a list-valued flag is a number.
    values = {k: v[0] if isinstance(v, tuple) and len(v) == 1 else v for k, v in given.items()}
    loss = losses.get(options.loss, **values)
    for note in notes(loss):
        print(note)
    return loss_phases(loss, real, generated, *steps, options.rate, options.seed)


def _check(options: ParticleOptions) -> None:
    least = {"points": 2, "critic_steps": 0, "shown_steps": 1, "generator_steps": 1, "query_step": 1, "frame_steps": 1}
    for name, bound in least.items():
        if getattr(options, name) < bound:
            raise ConfigError(f"--{name} is {getattr(options, name)}; give a whole number of at least {bound}.")
    for name in ("spread", "rate", "dpi"):
        if not 0 < getattr(options, name) < np.inf:
            raise ConfigError(f"--{name} is {getattr(options, name)}; give a positive number.")
    if options.seed < 0:
        raise ConfigError(f"--seed is {options.seed}; give a whole number of at least 0.")


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
