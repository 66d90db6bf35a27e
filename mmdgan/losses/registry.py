"""The losses by their names, with options and defaults, without TensorFlow, so that `--help` is quick.

One entry per loss (`mmdgan.losses.entries`), found by any of its names; the module that computes it is
imported by the first call.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mmdgan.core.errors import ConfigError
from mmdgan.core.types import TensorLike
from mmdgan.losses.entries import ENTRIES, SCALE_WEIGHT, VARIANTS
from mmdgan.losses.options import check_option, nearest

_KERNEL_OPTIONS = ("sigma", "alpha", "beta")


class GanLosses(NamedTuple):
    """Both players' losses (scalars, to be minimised), tensors to log by their tags, and the next state."""

    gen: Any
    dis: Any
    logs: dict[str, Any]
    state: Mapping[str, Any]


class LossInputs(NamedTuple):
    """What a loss function may use besides the scores; see `Loss.__call__`. ``scope`` begins its log tags."""

    scope: str
    dis_penalty: Any
    dis_scale: Any
    seed: Any
    state: Mapping[str, Any]


def _all_names() -> dict[str, tuple[str, str]]:
    """Every name with the loss and the variant it stands for."""
    found: dict[str, tuple[str, str]] = {}
    for canonical, entry in ENTRIES.items():
        own = (canonical, *entry.aliases)
        found |= dict.fromkeys(own, (canonical, "gp" if entry.needs_penalty else ""))
        if entry.penalty_weight is not None:
            found |= {f"{name}_gp": (canonical, "gp") for name in own}
        if entry.scalable:
            found |= {f"{name}_ds": (canonical, "ds") for name in own}
    return found


_NAMES = _all_names()


@dataclass(frozen=True)
class Loss:
    """A pair of losses for generator and critic, ready to be called.

    Attributes:
        name: as it was typed, e.g. "rep_b_gp" (run names use it).
        canonical: the loss it stands for, e.g. "rmb", without "_gp" or "_ds" (log tags use it).
        options: every option with the value it resolved to.
        score_size: width of the critic's last layer unless a person sets another.
        shares_backward: loss_dis == -loss_gen if no penalty is passed, so that one backward pass serves both.
        penalty: kind of gradient penalty (`mmdgan.losses.gradient_penalty`) that must be passed as
            ``dis_penalty``, or None.
        penalty_weight: default weight: of the penalty, or of the Jacobian in the scale; None if the loss has
            neither.
        uses_scale: `mmdgan.losses.jacobian_scale` must be passed as ``dis_scale``.
    """

    name: str
    canonical: str
    options: Mapping[str, Any] = field(hash=False)
    score_size: int
    shares_backward: bool
    penalty: str | None
    penalty_weight: float | None
    uses_scale: bool

    def __call__(
        self,
        score_gen: TensorLike,
        score_data: TensorLike,
        dis_penalty: TensorLike | None = None,
        dis_scale: TensorLike | None = None,
        seed: TensorLike | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> GanLosses:
        """Both losses of one batch of scores, in float32 (float64 if the scores are).

        Args:
            score_gen: (B, d) critic scores of generated samples.
            score_data: (B, d) critic scores of data.
            dis_penalty: scalar, already weighted, added to the critic's loss by all losses whose name ends in
                "_gp", and by wasserstein, fixed_g, fixed_t, mgb and the rep and rmb families; the others do
                not use it.
            dis_scale: scalar that multiplies the critic's loss of the rep and rmb families (rep subtracts 1
                before); the others do not use it.
            seed: (2,) integers, for losses that draw random numbers; by default TensorFlow's global generator
                draws it.
            state: for losses with a memory: the previous call's ``state``, or `initial_state()`.

        Raises:
            ConfigError: shapes that do not fit, or no penalty or scale where the loss needs one.
        """
        entry = ENTRIES[self.canonical]
        if self.penalty is not None and dis_penalty is None:
            raise ConfigError(
                f"The loss {self.name!r} needs a gradient penalty of kind {self.penalty!r}: pass it, "
                "weighted, as dis_penalty, or choose a loss that needs none, such as 'rep_b' or 'hinge'."
            )
        if self.uses_scale and dis_scale is None:
            raise ConfigError(
                f"The loss {self.name!r} needs the scale that mmdgan.losses.jacobian_scale computes: pass it as "
                f"dis_scale, or choose {self.canonical!r}, which needs none."
            )
        if not (entry.adds_penalty or self.penalty):
            dis_penalty = None
        compute = _load(entry.function)
        return compute(score_gen, score_data, self._inputs(dis_penalty, dis_scale, seed, state), **self.options)

    def initial_state(self) -> dict[str, float]:
        """The state to pass to the first call: empty for losses without a memory."""
        return dict(ENTRIES[self.canonical].state)

    def penalty_kernel(
        self,
        score_gen: TensorLike,
        score_data: TensorLike,
        seed: TensorLike | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The kernel options with which `mmdgan.losses.gradient_penalty` uses this loss's own kernel.

        Args:
            score_gen: (B, d), as in the call.
            score_data: (B, d), as in the call.
            seed: as in the call: the same seed draws the same width.
            state: as in the call.

        Returns:
            sigma, or alpha and beta, and add_dot if it is not 0. For random-width losses sigma is the width of this
            step, a tensor through which gradients pass; mixing losses have that of the unmixed scores, ins_noise
            that of the noisy ones. Without MMD: {}.
        """
        if width := ENTRIES[self.canonical].width:
            inputs = self._inputs(None, None, seed, state)
            return {"sigma": _load(width)(score_gen, score_data, inputs, **self.options)}
        found = {name: self.options[name] for name in _KERNEL_OPTIONS if name in self.options}
        return found | ({"add_dot": self.options["add_dot"]} if self.options.get("add_dot") else {})

    def _inputs(
        self,
        dis_penalty: TensorLike | None,
        dis_scale: TensorLike | None,
        seed: TensorLike | None,
        state: Mapping[str, Any] | None,
    ) -> LossInputs:
        state = self.initial_state() if state is None else state
        if set(state) != set(self.initial_state()):
            wanted, given = (", ".join(map(str, names)) or "nothing" for names in (self.initial_state(), state))
            raise ConfigError(
                f"The state of the loss {self.name!r} holds {wanted}, not {given}: begin with initial_state(), then "
                "pass what the last call gave."
            )
        return LossInputs(self.canonical, dis_penalty, dis_scale, seed, state)


def get(name: str, **options: Any) -> Loss:
    """The loss of that name or alias.

    Args:
        name: one of `names`; "" is the original's other name of "logistic".
        **options: see `resolve_options`.

    Raises:
        ConfigError: an unknown name or option (with the nearest valid one), or a value out of range.
    """
    canonical, variant = _find(name)
    entry = ENTRIES[canonical]
    kind = canonical if entry.needs_penalty else f"{canonical}_gp"
    return Loss(
        name=name,
        canonical=canonical,
        options=resolve_options(name, **options),
        score_size=entry.score_size,
        shares_backward=entry.zero_sum and not variant,
        penalty=kind if variant == "gp" else None,
        penalty_weight=_penalty_weight(canonical, variant),
        uses_scale=variant == "ds",
    )


def names() -> dict[str, str]:
    """Every name that `get` accepts, with one line each: what it computes (L_G; L_D), and the source.

    Aliases follow the name they stand for, then come its variants with gradient penalty and with scale.
    """
    return {name: "{} ({})".format(*_summary(*found)) for name, found in _NAMES.items() if name}


def canonical_name(name: str) -> str:
    """The loss that an alias or variant stands for, e.g. "rmb" for "rep_b" and for "rep_b_gp".

    Raises:
        ConfigError: an unknown name.
    """
    return _find(name)[0]


def score_size(name: str) -> int:
    """Default width of the critic's last layer: 16 for MMD losses, 1 for those that judge single samples."""
    return ENTRIES[canonical_name(name)].score_size


def describe() -> str:
    """One line per loss and variant: its names, what it computes (L_G; L_D), where it comes from."""
    rows: dict[tuple[str, str], list[str]] = {}
    for name, found in _NAMES.items():
        rows.setdefault(found, []).extend([name] if name else [])
    cells = [(", ".join(row), *_summary(*found)) for found, row in rows.items()]
    widths = [max(len(cell[i]) for cell in cells) for i in range(2)]
    return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in cells)


def resolve_options(name: str, **options: Any) -> dict[str, Any]:
    """The options of a loss with their defaults filled in.

    Args:
        name: one of `names`.
        **options: None stands for "not given", and may be said of any loss's options.
            sigma: Gaussian width(s): a list for fixed_g and mmd_g_mix, one number for mgb, rep, rmb and sgm; or
            variance: their squares a, ``exp(-D / (2 a))``, for fixed_g, mgb, rep and rmb.
            alpha, beta: rational quadratic exponents (a list) and scale, for fixed_t.
            rep_weights: (w0, w1) with w0 - w1 = 1, for rep and rmb; or
            rep_lambda: the paper's lambda, short for rep_weights (1 - lambda, -lambda).
            lower_bound, upper_bound: bounds of squared distances, for mgb and rmb.
            cross_bound: bound the cross term of rmb for lambda < 0 as in Eq. 6 (the released code does not).
            add_dot: of fixed_g and fixed_t: this times <x, y> is added to the sum of kernels, once.
            biased: plain means over all pairs, those of a sample with itself too (the V-statistic), for fixed_g,
                fixed_t, mgb, rep and rmb.
            omega: mean kernel value of random-width losses: one number, or the range to draw it from.
            ref_normal: mean squared distance within the reference normal of random-width losses but rgb.
            mix_threshold: the running loss above which a critic's task is made harder, of the mixing losses
                and ins_noise.

    Returns:
        Every option of this loss; rep_lambda has become rep_weights, and variance sigma.

    Raises:
        ConfigError: as `get`.
    """
    defaults = ENTRIES[canonical_name(name)].defaults
    known_somewhere = {option for entry in ENTRIES.values() for option in entry.defaults}
    resolved = dict(defaults)
    for option, value in options.items():
        if value is None and option in known_somewhere:
            continue
        if option not in defaults:
            known = nearest(option, defaults) if defaults else ": it takes none"
            raise ConfigError(f"The loss {name!r} has no option {option!r}{known}.")
        form = defaults["sigma"] if option == "variance" else defaults[option]
        resolved[option] = check_option(f"loss {name!r}", option, value, form)
    if "rep_lambda" in resolved:
        resolved["rep_weights"] = _weights(name, options.get("rep_weights"), resolved)
    if (variance := resolved.pop("variance", None)) is not None:
        if options.get("sigma") is not None:
            raise ConfigError(f"The loss {name!r} was given both sigma and variance = sigma^2: keep one of them.")
        many = isinstance(variance, tuple)
        resolved["sigma"] = tuple(math.sqrt(a) for a in variance) if many else math.sqrt(variance)
    if "lower_bound" in resolved and resolved["lower_bound"] > resolved["upper_bound"]:
        raise ConfigError(
            f"The loss {name!r} has lower_bound {resolved['lower_bound']} above upper_bound "
            f"{resolved['upper_bound']}: exchange them."
        )
    return resolved


def _find(name: str) -> tuple[str, str]:
    if not isinstance(name, str) or name not in _NAMES:
        raise ConfigError(f"There is no loss named {name!r}{nearest(name, names())}.")
    return _NAMES[name]


def _load(path: str) -> Any:
    module, function = path.split(".")
    return getattr(importlib.import_module(f"mmdgan.losses.{module}"), function)


def _penalty_weight(canonical: str, variant: str) -> float | None:
    return {"": None, "gp": ENTRIES[canonical].penalty_weight, "ds": SCALE_WEIGHT}[variant]


def _summary(canonical: str, variant: str) -> tuple[str, str]:
    """What a loss or variant computes, and its source."""
    entry = ENTRIES[canonical]
    if not variant or entry.needs_penalty:
        return entry.summary, entry.source
    summary, source = VARIANTS[variant]
    return summary.format(name=canonical, weight=_penalty_weight(canonical, variant)), source


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
