"""Toy distributions with a known density: those of the original's SimData (original.md G.4) and other common ones.

    shell = synthetic.get("shell")
    x = shell.sample(1000, seed=3)      # float64 (1000, 2)
    shell.log_prob(x)                   # float64 (1000,)
    shell.modes                         # float64 (8, 2)
    synthetic.get("swiss_roll", noise=0.1, x_dof=784)   # on a random plane of 784 dimensions

| name | aliases | options and their defaults |
|---|---|---|
| normal | gaussian | mu=0, std_or_cov=1: numbers, or (d,) and (d,) or (d, d) |
| gaussian_mixture | gm | probs (K,), mu (K, d), std_or_cov (K, d) or (K, d, d) |
| uniform | uni, u | low=0, high=1: numbers or (d,) |
| shell, shell2, star | | none: eight equally likely Gaussians of the plane |
| ring | | count=8, radius=1, std=0.01 (VEEGAN, Srivastava et al. 2017) |
| rings | | count=8 on each ring, radii=(0.5, 1), std=0.02 |
| grid | | side=5, spacing=2, std=0.05 (VEEGAN) |
| swiss_roll | | noise=0.05, radius=1 |
| two_moons | moons | noise=0.1 |
| circles | | noise=0.05, radii=(0.5, 1) |

Samples are a function of the seed alone, the same with every version of NumPy; the first samples of many are those of
few. This package needs only NumPy.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from mmdgan.core.errors import ConfigError
from mmdgan.core.text import listed, nearest
from mmdgan.data.synthetic import curves, mixtures
from mmdgan.data.synthetic.base import Distribution, Embedded, check_count
from mmdgan.data.synthetic.curves import NoisyCurves
from mmdgan.data.synthetic.mixtures import GaussianMixture, Uniform

__all__ = ["Distribution", "Embedded", "GaussianMixture", "NoisyCurves", "Uniform", "get", "names"]

_MAKERS: dict[str, Callable[..., Distribution]] = {
    "normal": mixtures.normal,
    "gaussian_mixture": mixtures.gaussian_mixture,
    "uniform": mixtures.uniform,
    "shell": mixtures.shell,
    "shell2": mixtures.shell2,
    "star": mixtures.star,
    "ring": mixtures.ring,
    "rings": mixtures.rings,
    "grid": mixtures.grid,
    "swiss_roll": curves.swiss_roll,
    "two_moons": curves.two_moons,
    "circles": curves.circles,
}
_ALIASES = {"gaussian": "normal", "gm": "gaussian_mixture", "uni": "uniform", "u": "uniform", "moons": "two_moons"}


def get(
    name: str, *, x_dof: int | None = None, z_dof: int | None = None, embedding_seed: int = 0, **options: Any
) -> Distribution:
    """The distribution of a name.

    Args:
        name: As in the table above.
        x_dof: Dimensions of the samples; if the distribution itself has fewer, it is embedded (see `Embedded`).
        z_dof: Dimensions of the distribution itself. It matters for normal and uniform, whose options may be numbers;
            its default is x_dof, or else 2.
        embedding_seed: Seed of the embedding's matrix.
        **options: Options of the distribution.

    Raises:
        ConfigError: A name or option is unknown (the nearest one is named), or a value is out of range.
    """
    maker = _MAKERS.get(_ALIASES.get(name, name)) if isinstance(name, str) else None
    if maker is None:
        raise ConfigError(f"there is no distribution {name!r}{nearest(name, names())}; there are {listed(names())}.")
    parameters = inspect.signature(maker).parameters
    _check_options(name, parameters, options)
    for option, value in (("x_dof", x_dof), ("z_dof", z_dof)):
        if value is not None:
            check_count(option, value)
    if "dof" in parameters:
        options["dof"] = z_dof or x_dof or 2
    found = maker(**options)
    if z_dof is not None and z_dof != found.dimension:
        raise ConfigError(f"z_dof is {z_dof}, but this {name} has {found.dimension} dimensions; leave z_dof out.")
    return found if x_dof in (None, found.dimension) else Embedded(found, x_dof, embedding_seed)


def names() -> list[str]:
    """Every name that `get` takes, aliases included."""
    return sorted([*_MAKERS, *_ALIASES])


def _check_options(name: str, parameters: Mapping[str, inspect.Parameter], options: Mapping[str, Any]) -> None:
    known = [option for option in parameters if option != "dof"]
    for option in options:
        if option not in known:
            choice = f"it takes {listed(known)}" if known else "it takes none"
            raise ConfigError(f"distribution {name} has no option {option!r}{nearest(option, known)}; {choice}.")
    needed = [option for option in known if parameters[option].default is inspect.Parameter.empty]
    if missing := [option for option in needed if option not in options]:
        raise ConfigError(f"distribution {name} needs {listed(missing)}.")
