"""What a run on points of the plane is made of, and the flags of its two scripts: a fixed kernel, and a learned one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmdgan import losses
from mmdgan.core.errors import ConfigError
from mmdgan.core.options import check_seed, option
from paper.output import FigureOptions

POINTS = tuple("ring grid rings star shell shell2 swiss_roll two_moons circles normal uniform".split())
"""The distributions of `mmdgan.data.synthetic` that are points of the plane with no more said."""

KERNELS = {"gaussian": "mmd_g", "rational_quadratic": "mmd_t"}
"""The loss that is the MMD^2 of each kernel function."""

_DATA, _KERNEL, _TRAINING = "points", "kernel", "training"


@dataclasses.dataclass(frozen=True)
class PointsSettings:
    """One run: what is learned, with which loss, and how it is trained.

    Attributes:
        name: Name in tables and pictures.
        points: One of `POINTS`.
        loss: A name of `mmdgan.losses.names()`.
        loss_options: Options of `mmdgan.losses.get`.
        learned: Whether a critic is trained (architectures/points.py: MLP); else the loss sees the points themselves
            (IDENTITY).
        steps: Steps of training.
        seconds: Processor time of training, in place of the steps; None: the steps count.
        batch_size: Points of each kind in a step, fresh ones each time.
        lr_dis, lr_gen: Learning rates of Adam.
        decay: Whether they fall linearly to 0 at the end, so that the points come to rest.
        spectral: Whether the critic's layers are divided by their spectral norms.
        gain: Product of the critic's multipliers where they are.
        penalty_weight: Weight of a gradient penalty or scale; None for the loss's own.
        snapshots: How many moments of the training are kept for pictures, the first and the last among them.
        samples: How many generated and held-out points are compared in the end.
        permutations: Divisions of the two-sample tests.
        seed: Seed of all random numbers.
    """

    name: str
    points: str = "ring"
    loss: str = "mmd_g"
    loss_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    learned: bool = False
    steps: int = 8000
    seconds: float | None = None
    batch_size: int = 128
    lr_dis: float = 3e-3
    lr_gen: float = 3e-3
    decay: bool = True
    spectral: bool = True
    gain: float = 8.0
    penalty_weight: float | None = None
    snapshots: int = 25
    samples: int = 2500
    permutations: int = 999
    seed: int = 0

    def __post_init__(self) -> None:
        if self.points not in POINTS:
            raise ConfigError(f"points is {self.points!r}; the distributions of the plane are {', '.join(POINTS)}.")
        for name, least in (("steps", 1), ("batch_size", 2), ("snapshots", 2), ("samples", 4), ("permutations", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; give at least {least}.")
        for name in ("lr_dis", "lr_gen", "gain", "seconds"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name} is {value}; give a positive number.")
        check_seed(self.seed)


@dataclasses.dataclass(frozen=True)
class PointsOptions(FigureOptions):
    """The flags that both scripts have."""

    out: str = option("Results/points", "folder for the pictures and their numbers")
    points: str = option("ring", "distribution to learn", _DATA, POINTS)
    sigma: tuple[float, ...] | None = option(None, "widths of the Gaussian kernel exp(-D^2 / (2 sigma^2))", _KERNEL)
    variance: tuple[float, ...] | None = option(
        None, "instead of --sigma, in the study's convention exp(-D^2 / (2 a)): a = sigma^2", _KERNEL
    )
    alpha: tuple[float, ...] | None = option(None, "exponents of the rational quadratic kernel", _KERNEL)
    biased: bool = option(False, "count the pairs of a sample with itself too: the V-statistic", _KERNEL)
    add_dot: float | None = option(None, "weight of a linear term <x, y> added to the kernel", _KERNEL)
    steps: int = option(8000, "steps of training", _TRAINING)
    seconds: float | None = option(None, "train for so much processor time instead of --steps", _TRAINING)
    batch_size: int = option(128, "points of each kind in a step, fresh ones each time", _TRAINING)
    lr_gen: float = option(3e-3, "learning rate of the generator (Adam)", _TRAINING)
    decay: bool = option(True, "let the learning rates fall linearly to 0 at the end", _TRAINING)
    snapshots: int = option(25, "moments of the training to keep, the frames of the GIF", _TRAINING)

    def common(self) -> dict[str, Any]:
        """The fields of `PointsSettings` that these flags say; with --quick few steps, and few points to compare."""
        fewer = {"steps": 300, "snapshots": 5, "samples": 500, "permutations": 99} if self.quick else {}
        names = ("points", "steps", "seconds", "batch_size", "lr_gen", "decay", "snapshots", "seed")
        given = {name: getattr(self, name) for name in names}
        return {**given, **{name: min(value, given.get(name, value)) for name, value in fewer.items()}}

    def kernel_options(self) -> dict[str, Any]:
        """The options of a loss that are not a width or an exponent, where given."""
        return {**({"biased": True} if self.biased else {}), **_given(add_dot=self.add_dot)}


@dataclasses.dataclass(frozen=True)
class FixedOptions(PointsOptions):
    """The flags of experiments/points_fixed.py."""

    sigma: tuple[float, ...] | None = option(
        None, "widths of the Gaussian kernel, a run for each [0.05,0.2,1 if nothing is said]", _KERNEL
    )
    kernel: str = option("gaussian", "the kernel function", _KERNEL, tuple(KERNELS))
    mixture: bool = option(False, "one run with the sum of the kernels, instead of a run for each", _KERNEL)


@dataclasses.dataclass(frozen=True)
class LearnedOptions(PointsOptions):
    """The flags of experiments/points_learned.py."""

    loss: tuple[str, ...] = option(
        ("mmd_g", "rep", "rep_b", "hinge"), "losses, a run for each: `python -m mmdgan losses` lists them", _TRAINING
    )
    lr_dis: float = option(3e-3, "learning rate of the critic (Adam)", _TRAINING)
    spectral: str = option(
        "auto",
        "divide the critic's layers by their spectral norms; auto: for MMD losses",
        _TRAINING,
        ("auto", "on", "off"),
    )
    gain: float = option(8.0, "with spectral norms: the product of the multipliers of the critic's layers", _TRAINING)
    penalty_weight: float | None = option(
        None, "weight of the gradient penalty of losses that end in _gp, and of wasserstein [the loss's own]", _TRAINING
    )


def fixed_settings(options: FixedOptions) -> list[PointsSettings]:
    """The runs that the flags of experiments/points_fixed.py ask for.

    Raises:
        ConfigError: Widths of a kernel that has none, or two kinds of widths.
    """
    gaussian = options.kernel == "gaussian"
    given = _given(sigma=options.sigma, variance=options.variance, alpha=options.alpha)
    wrong = [name for name in given if (name == "alpha") == gaussian]
    if wrong:
        raise ConfigError(f"The {options.kernel} kernel has no {wrong[0]}: leave it out, or choose the other --kernel.")
    if len(given) > 1:
        raise ConfigError("sigma and variance say the same thing: keep one of them.")
    ((width, values),) = (given or ({"sigma": (0.05, 0.2, 1.0)} if gaussian else {"alpha": (0.2, 1.0, 5.0)})).items()
    if not values:
        raise ConfigError(f"{width} is empty; give one or more numbers, such as --{width}=0.2,1.")
    losses.resolve_options(KERNELS[options.kernel], **{width: values}, **options.kernel_options())
    runs = [values] if options.mixture else [(value,) for value in values]
    return [
        PointsSettings(
            name=f"{'sum of ' if len(run) > 1 else ''}{width} {', '.join(f'{value:g}' for value in run)}",
            loss=KERNELS[options.kernel],
            loss_options={width: run, **options.kernel_options()},
            **options.common(),
        )
        for run in runs
    ]


def learned_settings(options: LearnedOptions) -> list[PointsSettings]:
    """The runs that the flags of experiments/points_learned.py ask for.

    Raises:
        ConfigError: A loss that does not exist, or an option that one of the losses does not have.
    """
    if not options.loss:
        raise ConfigError("loss is empty; give one or more, such as --loss=mmd_g,rep_b.")
    given = {**_given(sigma=options.sigma, variance=options.variance, alpha=options.alpha), **options.kernel_options()}
    runs = []
    for name in options.loss:
        defaults = losses.resolve_options(name)
        fitting = {key: _as_default(value, defaults.get(key)) for key, value in given.items()}
        losses.resolve_options(name, **fitting)  # refuses what the loss does not have, before anything is trained
        loss = losses.get(name)
        runs.append(
            PointsSettings(
                name=name,
                loss=name,
                loss_options=fitting,
                learned=not loss.frozen,  # critic-free: of the points themselves
                lr_dis=options.lr_dis,
                spectral=loss.score_size > 1 if options.spectral == "auto" else options.spectral == "on",
                gain=options.gain,
                penalty_weight=options.penalty_weight if loss.penalty_weight is not None else None,
                **options.common(),
            )
        )
    if options.penalty_weight is not None and all(run.penalty_weight is None for run in runs):
        raise ConfigError("penalty_weight is given, but none of the losses has a penalty; choose one that ends in _gp.")
    return runs


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _as_default(value: Any, default: Any) -> Any:
    """A single value of a list alone, for losses that take one number."""
    single = isinstance(value, Sequence) and len(value) == 1 and not isinstance(default, tuple)
    return value[0] if single else value


def spread(steps: int, count: int, multiple: int) -> Iterator[int]:
    """Steps at which to look, from 0 to `steps`: at most `count`, closer at the beginning, multiples of `multiple`."""
    last = -1
    for index in range(count):
        step = steps if index == count - 1 else round(steps * (index / (count - 1)) ** 2 / multiple) * multiple
        if last < step <= steps:
            last = step
            yield step
