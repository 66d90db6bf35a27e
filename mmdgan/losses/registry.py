"""The losses by their names: how they are registered, found and called.

A loss is a function with `loss` above it:

    @loss("least_squares", source="Mao et al. 2017", formula="(s_g - 1)^2; s_g^2 + (s_x - 1)^2", score_size=1)
    def least_squares(score_gen, score_data, inputs):
        '''Least squares: (s_g - 1)^2; s_g^2 + (s_x - 1)^2.'''

The first line of its docstring says what it computes, the generator's loss first; `formula` says the same in LaTeX, in
the symbols of the reference (`docs/generated/losses.py`). Its keyword-only arguments are its options with their
defaults, the original's. A name that ends in "_gp" adds a gradient penalty to the critic's loss (on the witness
function of the loss's kernel; `mmdgan.losses.penalties`), one that ends in "_ds" scales the critic's loss down where
its Jacobian is large. Names, options and score sizes are known without TensorFlow, so that `--help` is quick: the
modules of losses take `tf` from `mmdgan.core.lazy`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, NamedTuple, TypeVar

from mmdgan.core.errors import ConfigError
from mmdgan.core.lazy import tf
from mmdgan.core.signatures import takes, takes_options_of
from mmdgan.core.text import table
from mmdgan.core.types import TensorLike
from mmdgan.losses.kernels import MEDIAN, median_sigma
from mmdgan.losses.options import check_option, near_and_valid

F = TypeVar("F", bound=Callable)

SCALE_WEIGHT = 0.1
"""Weight of the mean squared Jacobian in the scale of the "_ds" losses."""

_VARIANTS = {
    "gp": (
        "{name} + {weight:g} * mean (|gradient of its kernel's witness| - 1)^2 for the critic",
        "Binkowski et al. 2018",
    ),
    "ds": ("{name} with the critic's loss scaled by 1 / (1 + {weight:g} E|Jacobian|^2)", "Arbel et al. 2018"),
}
"""Summary and source of each kind of variant."""

_KERNEL_OPTIONS = ("sigma", "alpha", "beta")
_SECOND_FORMS = {"rep_weights": "rep_lambda", "sigma": "variance"}
"""Options that may be given in another form, which becomes the first one."""


class GanLosses(NamedTuple):
    """Both players' losses (scalars, to be minimised), tensors to log by their tags, and the next state."""

    gen: Any
    dis: Any
    logs: dict[str, Any]
    state: Mapping[str, Any]


class LossInputs(NamedTuple):
    """Inputs of a loss function in addition to the scores; see `Loss.__call__`. Its log tags begin with ``scope``."""

    scope: str
    dis_penalty: Any
    dis_scale: Any
    seed: Any
    state: Mapping[str, Any]

    def penalised(self, loss_dis: tf.Tensor) -> tf.Tensor:
        """The critic's loss plus the penalty, if one was passed."""
        return loss_dis if self.dis_penalty is None else loss_dis + tf.cast(self.dis_penalty, loss_dis.dtype)


@dataclass(frozen=True)
class Entry:
    """What is known of a loss before it is computed.

    Attributes:
        name: Its canonical name.
        aliases: Its other names.
        function: Called as ``function(score_gen, score_data, inputs: LossInputs, **options) -> GanLosses``.
        options: Its options with their defaults; rep_lambda and variance, which become rep_weights and sigma, too.
        source: Where it comes from.
        formula: "L_G; L_D" in LaTeX, for the reference, where `\\E`, `\\MMD`, `\\mean` and `\\softplus` are operators.
        score_size: Default width of the critic's last layer.
        zero_sum: Whether loss_dis == -loss_gen if nothing is added.
        penalty_weight: Default weight of its gradient penalty; None if it has no "_gp" variant.
        needs_penalty: Whether its own name means the variant with penalty.
        adds_penalty: Whether a penalty is added to the critic's loss although its name does not end in "_gp".
        scalable: Whether it has a "_ds" variant.
        frozen: Whether the critic's scores are features that are not trained.
        width: For random-width losses, ``width(score_gen, score_data, inputs, **options) -> sigma``.
        state: The state before the first call.
    """

    name: str
    aliases: tuple[str, ...]
    function: Callable[..., GanLosses]
    options: Mapping[str, Any]
    source: str
    _: KW_ONLY
    formula: str = ""
    score_size: int = 16
    zero_sum: bool = False
    penalty_weight: float | None = 1.0
    needs_penalty: bool = False
    adds_penalty: bool = False
    scalable: bool = False
    frozen: bool = False
    width: Callable[..., Any] | None = None
    state: Mapping[str, float] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """One line: what it computes, the generator's loss first."""
        return (self.function.__doc__ or "").partition("\n")[0].rstrip(".")

    def weight(self, variant: str) -> float | None:
        """Default weight of what a variant adds: "gp", "ds", or "" for the loss itself."""
        return {"": None, "gp": self.penalty_weight, "ds": SCALE_WEIGHT}[variant]

    def summary(self, variant: str) -> tuple[str, str]:
        """What the loss or one of its variants computes, and the source."""
        if not variant or self.needs_penalty:
            return self.text, self.source
        text, source = _VARIANTS[variant]
        return text.format(name=self.name, weight=self.weight(variant)), source


ENTRIES: dict[str, Entry] = {}
"""Every loss by its canonical name."""

_NAMES: dict[str, tuple[Entry, str]] = {}
"""Every name that `get` accepts: the loss and the variant that it stands for."""


@takes_options_of(Entry)
def loss(name: str, *aliases: str, source: str, **facts: Any) -> Callable[[F], F]:
    """Registers the function below it as a loss.

    Args:
        name: Canonical name.
        *aliases: Other names.
        source: Where it comes from.
        **facts: Further attributes of `Entry`.
    """

    def register(function: F) -> F:
        options: dict[str, Any] = {}
        for option, default in (function.__kwdefaults__ or {}).items():
            options[option] = default
            if option in _SECOND_FORMS:
                options[_SECOND_FORMS[option]] = None
        entry = ENTRIES[name] = Entry(name, aliases, function, options, source, **facts)
        own = (name, *aliases)
        _NAMES.update(dict.fromkeys(own, (entry, "gp" if entry.needs_penalty else "")))
        if entry.penalty_weight is not None:
            _NAMES.update({f"{each}_gp": (entry, "gp") for each in own})
        if entry.scalable:
            _NAMES.update({f"{each}_ds": (entry, "ds") for each in own})
        for shown in (get, resolve_options):
            takes(*(option for known in ENTRIES.values() for option in known.options))(shown)
        return function

    return register


@dataclass(frozen=True)
class Loss:
    """A pair of losses for generator and critic, ready to be called.

    Attributes:
        name: The name as it was typed, e.g. "rep_b_gp" (run names use it).
        canonical: The loss that it stands for, e.g. "rmb", without "_gp" or "_ds" (log tags use it).
        options: Every option with the value it resolved to.
        score_size: Width of the critic's last layer unless the user sets another.
        shares_backward: Whether loss_dis == -loss_gen if no penalty is passed, so that one backward pass serves both.
        penalty: Kind of gradient penalty (`mmdgan.losses.gradient_penalty`) that must be passed as ``dis_penalty``,
            or None.
        penalty_weight: Default weight of the penalty, or of the Jacobian in the scale; None if the loss has neither.
        uses_scale: Whether `mmdgan.losses.jacobian_scale` must be passed as ``dis_scale``.
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
            dis_penalty: Scalar, already weighted, added to the critic's loss by all losses whose name ends in "_gp",
                and by wasserstein, fixed_g, fixed_t, mgb and the rep and rmb families; the others ignore it.
            dis_scale: Scalar that multiplies the critic's loss of the rep and rmb families (rep subtracts 1 before);
                the others ignore it.
            seed: (2,) integers, for losses that draw random numbers; by default TensorFlow's global generator draws
                it.
            state: For losses with a memory: the previous call's ``state``, or `initial_state()`.

        Raises:
            ConfigError: Shapes that do not fit, or no penalty or scale where the loss needs one.
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
        inputs = self._inputs(seed, state)._replace(dis_penalty=dis_penalty, dis_scale=dis_scale)
        return entry.function(score_gen, score_data, inputs, **self._options(score_gen, score_data))

    @property
    def least_batch(self) -> int:
        """The smallest batch: critics with one score judge samples one by one, and all other losses compare them."""
        return 1 if ENTRIES[self.canonical].score_size == 1 else 2

    @property
    def frozen(self) -> bool:
        """Whether the critic's scores are features that are not trained."""
        return ENTRIES[self.canonical].frozen

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
            seed: As in the call: the same seed draws the same width.
            state: As in the call.

        Returns:
            sigma, or alpha and beta, and add_dot if it is not 0. For random-width losses sigma is the width of this
            step, a tensor through which gradients pass; for sigma="median" a tensor through which none pass. Mixing
            losses have that of the unmixed scores, ins_noise that of the noisy ones. Without MMD: {}.
        """
        if width := ENTRIES[self.canonical].width:
            return {"sigma": width(score_gen, score_data, self._inputs(seed, state), **self.options)}
        options = self._options(score_gen, score_data)
        found = {name: options[name] for name in _KERNEL_OPTIONS if name in options}
        return found | ({"add_dot": self.options["add_dot"]} if self.options.get("add_dot") else {})

    def _options(self, score_gen: TensorLike, score_data: TensorLike) -> dict[str, Any]:
        """The options, with the width that "median" stands for at these scores."""
        if self.options.get("sigma") != MEDIAN:
            return dict(self.options)
        return {**self.options, "sigma": median_sigma(score_gen, score_data)}

    def _inputs(self, seed: TensorLike | None, state: Mapping[str, Any] | None) -> LossInputs:
        state = self.initial_state() if state is None else state
        if set(state) != set(self.initial_state()):
            wanted, given = (", ".join(map(str, names)) or "nothing" for names in (self.initial_state(), state))
            raise ConfigError(
                f"The state of the loss {self.name!r} holds {wanted}, not {given}: begin with initial_state(), then "
                "pass what the last call gave."
            )
        return LossInputs(self.canonical, None, None, seed, state)


def get(name: str, **options: Any) -> Loss:
    """The loss of that name or alias.

    Args:
        name: One of `names`; "" is the original's other name of "logistic".
        **options: See `resolve_options`.

    Raises:
        ConfigError: An unknown name or option (with the nearest valid one), or a value out of range.
    """
    entry, variant = _find(name)
    kind = entry.name if entry.needs_penalty else f"{entry.name}_gp"
    return Loss(
        name=name,
        canonical=entry.name,
        options=resolve_options(name, **options),
        score_size=entry.score_size,
        shares_backward=entry.zero_sum and not variant,
        penalty=kind if variant == "gp" else None,
        penalty_weight=entry.weight(variant),
        uses_scale=variant == "ds",
    )


def names() -> dict[str, str]:
    """Every name that `get` accepts, with one line each: what it computes (L_G; L_D), and the source.

    Aliases follow the name they stand for, then come its variants with gradient penalty and with scale.
    """
    return {name: "{} ({})".format(*entry.summary(variant)) for name, (entry, variant) in _NAMES.items() if name}


def canonical_name(name: str) -> str:
    """The loss that an alias or variant stands for, e.g. "rmb" for "rep_b" and for "rep_b_gp".

    Raises:
        ConfigError: An unknown name.
    """
    return _find(name)[0].name


def score_size(name: str) -> int:
    """Default width of the critic's last layer: 16 for MMD losses, 1 for those that judge single samples."""
    return _find(name)[0].score_size


def describe() -> str:
    """One line per loss and variant: its names, what it computes (L_G; L_D), where it comes from."""
    rows: dict[tuple[str, str], list[str]] = {}
    for name, (entry, variant) in _NAMES.items():
        rows.setdefault((entry.name, variant), []).extend([name] if name else [])
    cells = [(", ".join(row), *ENTRIES[name].summary(variant)) for (name, variant), row in rows.items()]
    return table(cells, left=range(3))


def resolve_options(name: str, **options: Any) -> dict[str, Any]:
    """The options of a loss with their defaults filled in.

    Args:
        name: One of `names`.
        **options: None stands for "not given", and may be said of any loss's options.
            sigma: Gaussian width(s): a list for fixed_g and mmd_g_mix, one number for mgb, rep, rmb and sgm; "median":
            the median distance of each batch's scores; or
            variance: their squares a, ``exp(-D / (2 a))``.
            alpha, beta: Rational quadratic exponents (a list) and scale, for fixed_t.
            rep_weights: (w0, w1) with w0 - w1 = 1, for rep and rmb; or
            rep_lambda: the paper's lambda, short for rep_weights (1 - lambda, -lambda).
            lower_bound, upper_bound: Bounds of squared distances, for mgb and rmb.
            cross_bound: Bound the cross term of rmb for lambda < 0 as in Eq. 6 (the released code does not).
            add_dot: Add this times <x, y> to the sum of kernels, once, for fixed_g and fixed_t.
            biased: Plain means over all pairs, those of a sample with itself too (the V-statistic), for fixed_g,
                fixed_t, mgb, rep and rmb.
            omega: Mean kernel value of random-width losses: one number, or the range to draw it from.
            ref_normal: Mean squared distance within the reference normal of random-width losses but rgb.
            temperature: Widths of the kernels of drift, in units of the mean distance of generated to data scores.
            mix_threshold: The running loss above which a critic's task is made harder, for the mixing losses and
                ins_noise.

    Returns:
        Every option of this loss; rep_lambda has become rep_weights, and variance sigma.

    Raises:
        ConfigError: As `get`.
    """
    defaults = _find(name)[0].options
    known_somewhere = {option for entry in ENTRIES.values() for option in entry.options}
    resolved = dict(defaults)
    for option, value in options.items():
        if value is None and option in known_somewhere:
            continue
        if option not in defaults:
            known = near_and_valid(option, defaults) if defaults else ": it takes none"
            raise ConfigError(f"The loss {name!r} has no option {option!r}{known}.")
        if option == "sigma" and isinstance(value, str) and value == MEDIAN:
            resolved[option] = value
            continue
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


def _find(name: str) -> tuple[Entry, str]:
    if not isinstance(name, str) or name not in _NAMES:
        raise ConfigError(f"There is no loss named {name!r}{near_and_valid(name, names())}.")
    return _NAMES[name]


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
