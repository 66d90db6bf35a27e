"""The names of the losses, their options and defaults, without TensorFlow, so that `--help` is quick.

One entry per loss, found by any of its names; the module that computes it is imported by the first call.
Defaults are those of the original, i.e. the paper's settings; sources are given per entry.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mmdgan.errors import ConfigError
from mmdgan.losses.options import check_option, nearest

_PAPER = "Wang et al. 2019"
_SIGMAS = (1.0, math.sqrt(2.0), 2.0, math.sqrt(8.0), 4.0)
_ALPHAS = (0.2, 0.5, 1.0, 2.0, 5.0)
_BOUNDS = {"lower_bound": 0.25, "upper_bound": 4.0}
_WEIGHTS = {"rep_weights": (0.0, -1.0), "rep_lambda": None}


class GanLosses(NamedTuple):
    """Both players' losses (scalars, to be minimised), tensors to log by their tags, and the next state."""

    gen: Any
    dis: Any
    logs: dict[str, Any]
    state: dict[str, Any]


class LossInputs(NamedTuple):
    """What a loss function may use besides the scores; see `Loss.__call__`. ``scope`` begins its log tags."""

    scope: str
    dis_penalty: Any
    dis_scale: Any
    seed: Any
    state: dict[str, Any]


@dataclass(frozen=True)
class LossEntry:
    """What is known of a loss before it is computed; fields not described here are those of `Loss`.

    Attributes:
        function: "module.name" under `mmdgan.losses`, called as
            ``name(score_gen, score_data, inputs: LossInputs, **options) -> GanLosses``.
        summary: one line: what it computes, the generator's loss first.
        source: where it comes from.
        aliases: its other names.
        defaults: its options.
    """

    function: str
    summary: str
    source: str
    aliases: tuple[str, ...] = ()
    score_size: int = 16
    shares_backward: bool = False
    penalty: str | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)


_CATALOG: dict[str, LossEntry] = {
    "logistic": LossEntry(
        "classic.logistic",
        "non-saturating loss: softplus(-s_g); softplus(s_g) + softplus(-s_x)",
        "Goodfellow et al. 2014",
        aliases=("",),
        score_size=1,
    ),
    "minimax": LossEntry(
        "classic.minimax",
        "zero-sum logistic loss: L_G = -L_D",
        "Goodfellow et al. 2014, Eq. 1",
        score_size=1,
        shares_backward=True,
    ),
    "hinge": LossEntry(
        "classic.hinge",
        "hinge loss: -s_g; max(1 + s_g, 0) + max(1 - s_x, 0)",
        "Miyato et al. 2018, Eq. 16, 17",
        score_size=1,
    ),
    "wasserstein": LossEntry(
        "classic.wasserstein",
        "Wasserstein loss with gradient penalty: s_x - s_g; s_g - s_x + penalty",
        "Gulrajani et al. 2017, Eq. 3",
        score_size=1,
        penalty="wasserstein",
    ),
    "fixed_g": LossEntry(
        "mmd.fixed_g",
        "MMD-rbf: MMD^2 summed over Gaussian widths sigma; L_D = -L_G",
        f"{_PAPER}, Eq. 2, 3",
        aliases=("mmd_g",),
        shares_backward=True,
        defaults={"sigma": _SIGMAS},
    ),
    "fixed_t": LossEntry(
        "mmd.fixed_t",
        "MMD-rq: MMD^2 summed over rational quadratic exponents alpha; L_D = -L_G",
        f"{_PAPER}, section 2; Binkowski et al. 2018",
        aliases=("mmd_t",),
        shares_backward=True,
        defaults={"alpha": _ALPHAS, "beta": 2.0},
    ),
    "mgb": LossEntry(
        "mmd.mgb",
        "MMD-rbf-b: one Gaussian, attractive critic loss on bounded distances",
        f"{_PAPER}, Eq. 6",
        defaults={"sigma": 1.0, **_BOUNDS},
    ),
    "rep": LossEntry(
        "mmd.rep",
        "MMD-rep: one Gaussian, repulsive critic loss E k_xx - E k_gg (rep_weights, rep_lambda)",
        f"{_PAPER}, Eq. 4, 5",
        aliases=("rep_mmd_g",),
        defaults={**_WEIGHTS, "sigma": 1.0},
    ),
    "rmb": LossEntry(
        "mmd.rmb",
        "MMD-rep-b: repulsive critic loss on bounded distances, the paper's best",
        f"{_PAPER}, Eq. 7",
        aliases=("rep_b", "rep_mmd_b"),
        defaults={**_WEIGHTS, "sigma": 1.0, **_BOUNDS, "cross_bound": False},
    ),
}

_CANONICAL = {alias: name for name, entry in _CATALOG.items() for alias in (name, *entry.aliases)}


@dataclass(frozen=True)
class Loss:
    """A pair of losses for generator and critic, ready to be called.

    Attributes:
        name: as it was typed, e.g. "rep_b" (run names use it).
        canonical: the loss it stands for, e.g. "rmb" (log tags use it).
        options: every option with the value it resolved to.
        score_size: width of the critic's last layer unless a person sets another.
        shares_backward: loss_dis == -loss_gen if no penalty is passed, so that one backward pass serves both.
        penalty: kind of gradient penalty that must be passed as ``dis_penalty``, or None.
    """

    name: str
    canonical: str
    options: Mapping[str, Any]
    score_size: int
    shares_backward: bool
    penalty: str | None

    def __call__(self, score_gen, score_data, dis_penalty=None, dis_scale=None, seed=None, state=None) -> GanLosses:
        """Both losses of one batch of scores, in float32 (float64 if the scores are).

        Args:
            score_gen: (B, d) critic scores of generated samples.
            score_data: (B, d) critic scores of data.
            dis_penalty: scalar, already weighted, added to the critic's loss by wasserstein, fixed_g,
                fixed_t, mgb and the rep and rmb families; the others do not use it.
            dis_scale: scalar that multiplies the critic's loss of the rep and rmb families (rep subtracts 1
                before); the others do not use it.
            seed: for losses that draw random numbers; a (2,) integer tensor.
            state: for losses with a memory: the previous call's ``state``, or `initial_state()`.

        Raises:
            ConfigError: shapes that do not fit, or no penalty where the loss needs one.
        """
        if self.penalty is not None and dis_penalty is None:
            raise ConfigError(
                f"The loss {self.name!r} needs a gradient penalty of kind {self.penalty!r}: pass it, "
                "weighted, as dis_penalty, or choose a loss that needs none, such as 'rep_b' or 'hinge'."
            )
        module, function = _CATALOG[self.canonical].function.split(".")
        compute = getattr(importlib.import_module(f"mmdgan.losses.{module}"), function)
        state = self.initial_state() if state is None else state
        inputs = LossInputs(self.canonical, dis_penalty, dis_scale, seed, state)
        return compute(score_gen, score_data, inputs, **self.options)

    def initial_state(self) -> dict[str, Any]:
        """The state to pass to the first call: empty for losses without a memory."""
        return {}


def get(name: str, **options) -> Loss:
    """The loss of that name or alias.

    Args:
        name: one of `names`; "" is the original's other name of "logistic".
        **options: see `resolve_options`.

    Raises:
        ConfigError: an unknown name or option (with the nearest valid one), or a value out of range.
    """
    canonical = canonical_name(name)
    entry = _CATALOG[canonical]
    return Loss(
        name=name,
        canonical=canonical,
        options=resolve_options(name, **options),
        score_size=entry.score_size,
        shares_backward=entry.shares_backward,
        penalty=entry.penalty,
    )


def names() -> list[str]:
    """Every name that `get` accepts, aliases right after the name they stand for."""
    return [name for name in _CANONICAL if name]


def canonical_name(name: str) -> str:
    """The name that an alias stands for, e.g. "rmb" for "rep_b".

    Raises:
        ConfigError: an unknown name.
    """
    if not isinstance(name, str) or name not in _CANONICAL:
        raise ConfigError(f"There is no loss named {name!r}{nearest(name, names())}.")
    return _CANONICAL[name]


def score_size(name: str) -> int:
    """Default width of the critic's last layer: 16 for MMD losses, 1 for those that judge single samples."""
    return _CATALOG[canonical_name(name)].score_size


def describe() -> str:
    """One line per loss: its names, what it computes (L_G; L_D), where it comes from."""
    rows = [
        (", ".join((name, *filter(None, entry.aliases))), entry.summary, entry.source)
        for name, entry in _CATALOG.items()
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in rows)


def resolve_options(name: str, **options) -> dict[str, Any]:
    """The options of a loss with their defaults filled in.

    Args:
        name: one of `names`.
        **options: None stands for "not given", and may be said of any loss's options.
            sigma: Gaussian width(s): a list for fixed_g, one number for mgb, rep and rmb.
            alpha, beta: rational quadratic exponents (a list) and scale, for fixed_t.
            rep_weights: (w0, w1) with w0 - w1 = 1, for rep and rmb; or
            rep_lambda: the paper's lambda, short for rep_weights (1 - lambda, -lambda).
            lower_bound, upper_bound: bounds of squared distances, for mgb and rmb.
            cross_bound: bound the cross term of rmb for lambda < 0 as in Eq. 6 (the released code does not).

    Returns:
        Every option of this loss; rep_lambda has become rep_weights.

    Raises:
        ConfigError: as `get`.
    """
    defaults = _CATALOG[canonical_name(name)].defaults
    known_somewhere = {option for entry in _CATALOG.values() for option in entry.defaults}
    resolved = dict(defaults)
    for option, value in options.items():
        if value is None and option in known_somewhere:
            continue
        if option not in defaults:
            known = nearest(option, defaults) if defaults else ": it takes none"
            raise ConfigError(f"The loss {name!r} has no option {option!r}{known}.")
        resolved[option] = check_option(f"loss {name!r}", option, value, defaults[option])
    if "rep_lambda" in resolved:
        resolved["rep_weights"] = _weights(name, options.get("rep_weights"), resolved)
    if "lower_bound" in resolved and resolved["lower_bound"] > resolved["upper_bound"]:
        raise ConfigError(
            f"The loss {name!r} has lower_bound {resolved['lower_bound']} above upper_bound "
            f"{resolved['upper_bound']}: exchange them."
        )
    return resolved


def _weights(name: str, given: Any, resolved: dict[str, Any]) -> tuple[float, float]:
    """Takes rep_lambda out of the resolved options and returns the weights it or rep_weights asks for."""
    rep_lambda = resolved.pop("rep_lambda")
    if rep_lambda is None:
        w0, w1 = resolved["rep_weights"]
    elif given is None:
        w0, w1 = 1.0 - rep_lambda, -rep_lambda
    else:
        raise ConfigError(f"The loss {name!r} was given both rep_weights and rep_lambda: keep one of them.")
    if abs(w0 - w1 - 1.0) > 1e-6:
        raise ConfigError(
            f"rep_weights of the loss {name!r} must satisfy w0 - w1 = 1, but for ({w0}, {w1}) it is "
            f"{w0 - w1:g}: use (1 - lambda, -lambda), or pass rep_lambda."
        )
    return w0, w1
