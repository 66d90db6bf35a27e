"""Figure 2: the kernels as functions of the distance e = |a - b| of two scores, and their derivatives.

Source: Wang, Sun, Halgamuge, "Improving MMD-GAN Training with Repulsive Loss Function", ICLR 2019, Figure 2 and
Eq. 6, 7. Values come from `mmdgan.losses.kernels`; derivatives are closed forms. Where a derivative is near zero, the
critic gets no gradient: at large e the Gaussians of small width are mute, and every kernel is at e = 0. Bounds of the
squared distances make the derivative exactly zero where a pair is near, or far, enough.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmdgan import losses
from mmdgan.core.errors import ConfigError
from mmdgan.core.options import option
from mmdgan.losses import kernels
from paper.output import FigureOptions, Output, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BOUNDED = losses.get("rep_b").options
_FURTHEST_BOUNDED = 4.0
"""The panels of bounded kernels end here: beyond, nothing happens."""


class Curve(NamedTuple):
    """A kernel function at the distances: its name in legend and CSV file, value (N,), derivative by e (N,)."""

    label: str
    value: np.ndarray
    derivative: np.ndarray


@dataclasses.dataclass(frozen=True)
class KernelOptions(FigureOptions):
    """The flags of figure 2's script."""

    count: int = option(1001, "points of each curve")
    furthest: float = option(10.0, "largest distance")
    sigma: tuple[float, ...] = option(losses.get("mmd_g").options["sigma"], "widths of the Gaussian kernels")
    alpha: tuple[float, ...] = option(
        losses.get("mmd_t").options["alpha"], "exponents of the rational quadratic kernels"
    )
    bounded_sigma: float = option(_BOUNDED["sigma"], "width of the bounded Gaussian kernel")
    lower_bound: float = option(_BOUNDED["lower_bound"], "lower bound on squared distances of near pairs")
    upper_bound: float = option(_BOUNDED["upper_bound"], "upper bound on squared distances of far pairs")


def make(options: KernelOptions) -> Output:
    """Writes the figure and its numbers; ConfigError for numbers that make no picture."""
    _check(options)
    e = np.linspace(0.0, options.furthest, 101 if options.quick else options.count)
    bounds = (options.bounded_sigma, options.lower_bound, options.upper_bound)
    panels = {
        "Gaussian": gaussian_curves(e, options.sigma),
        "rational quadratic": rational_quadratic_curves(e, options.alpha),
        "MMD-rbf-b (Eq. 6)": bounded_curves(e, "attractive", *bounds),
        "MMD-rep-b (Eq. 7)": bounded_curves(e, "repulsive", *bounds),
    }
    output = Output(options.out, "figure2")
    output.figure(draw(e, panels))
    output.table(*table(e, panels))
    return output


def gaussian_curves(e: np.ndarray, sigmas: Sequence[float]) -> list[Curve]:
    """``exp(-e^2 / (2 sigma^2))``, with derivative ``-(e / sigma^2) k``, for each width; and their mean."""
    curves = []
    for sigma in sigmas:
        value = kernels.gaussian(kernels.as_floats(e**2)[0], sigma).numpy()
        curves.append(Curve(f"σ = {sigma:.3g}", value, -e / sigma**2 * value))
    return [*curves, _mean(curves)]


def rational_quadratic_curves(e: np.ndarray, alphas: Sequence[float]) -> list[Curve]:
    """``(1 + e^2 / (2 alpha))^-alpha``, with derivative ``-e (1 + e^2 / (2 alpha))^(-alpha - 1)``; and their mean."""
    curves = []
    for alpha in alphas:
        value = kernels.rational_quadratic(kernels.as_floats(e**2)[0], alpha).numpy()
        curves.append(Curve(f"α = {alpha:.3g}", value, -e * value / (1.0 + e**2 / (2.0 * alpha))))
    return [*curves, _mean(curves)]


def bounded_curves(e: np.ndarray, variant: str, sigma: float, lower: float, upper: float) -> list[Curve]:
    """What the bounded losses' critic sees of the Gaussian kernel, by kind of pair.

    At the bound itself the derivative is the kernel's own, as TensorFlow has it; beyond the bound it is zero.

    Args:
        e: (N,) distances.
        variant: "attractive" (Eq. 6): pairs of one kind at ``max(e^2, lower)``, real-generated ones at
            ``min(e^2, upper)``; or "repulsive" (Eq. 7): generated pairs at ``max(e^2, lower)``, real ones at
            ``min(e^2, upper)``.
        sigma: Width.
        lower: Bound of squared distances.
        upper: Bound of squared distances.
    """
    pairs = {
        "attractive": ("real and generated pairs", "real-generated pairs"),
        "repulsive": ("generated pairs", "real pairs"),
    }
    if variant not in pairs:
        raise ConfigError(f"There is no bounded loss {variant!r}: the valid ones are {', '.join(pairs)}.")
    squares = e**2
    near, far = pairs[variant]
    curves = []
    for label, distances, free in (
        (f"{near}: max(e², {lower:g})", np.maximum(squares, lower), squares >= lower),
        (f"{far}: min(e², {upper:g})", np.minimum(squares, upper), squares <= upper),
    ):
        value = kernels.gaussian(kernels.as_floats(distances)[0], sigma).numpy()
        curves.append(Curve(label, value, np.where(free, -e / sigma**2 * value, 0.0)))
    return curves


def table(e: np.ndarray, panels: dict[str, list[Curve]]) -> tuple[np.ndarray, list[str]]:
    """One row per distance, and the columns' names: e, then each curve's value and derivative."""
    columns, names = [e], ["e"]
    for title, curves in panels.items():
        for curve in curves:
            columns += [curve.value, curve.derivative]
            names += [f"{title}, {curve.label}", f"{title}, {curve.label}, derivative"]
    return np.stack(columns, axis=1).tolist(), names


def draw(e: np.ndarray, panels: dict[str, list[Curve]]) -> Figure:
    """A column per group of kernels: values above, derivatives below."""
    from mmdgan.report.plots import COLOURS

    figure = new_figure(3.5 * len(panels), 6.6)
    axes = figure.subplots(2, len(panels), squeeze=False, sharey="row", sharex="col")
    for column, (title, curves) in enumerate(panels.items()):
        above, below = axes[:, column]
        bounded = "Eq." in title
        for index, curve in enumerate(curves):
            style: dict[str, Any] = {"color": COLOURS[index % len(COLOURS)], "linewidth": 1.5}
            style["label"] = curve.label.replace(": ", ":\n")
            if curve.label == "mean":
                style |= {"color": "black", "linewidth": 2.4, "linestyle": "--"}
            elif bounded and index:
                style["linestyle"] = "-."
            above.plot(e, curve.value, **style)
            below.plot(e, curve.derivative, **style)
        above.set_title(title, fontsize=12)
        below.set(xlim=(0, min(_FURTHEST_BOUNDED, e[-1]) if bounded else e[-1]), xlabel="e = |a − b|")
        above.legend(loc="upper right", fontsize=9.5, frameon=False)
        for panel in (above, below):
            tidy(panel)
    axes[0, 0].set_ylabel("k(e)")
    axes[1, 0].set_ylabel("dk/de")
    axes[0, 0].set_ylim(-0.02, 1.04)
    return figure


def _mean(curves: Sequence[Curve]) -> Curve:
    return Curve("mean", *(np.mean([getattr(curve, name) for curve in curves], axis=0) for name in Curve._fields[1:]))


def _check(options: KernelOptions) -> None:
    if options.count < 2:
        raise ConfigError(f"--count is {options.count}; a curve needs at least 2 points.")
    for name in ("furthest", "sigma", "alpha", "bounded_sigma", "lower_bound", "upper_bound"):
        values = np.atleast_1d(getattr(options, name))
        if not values.size or not np.all(np.isfinite(values) & (values > 0)):
            raise ConfigError(f"--{name} is {getattr(options, name)}; give positive numbers.")
