"""What `mmdgan.experiment` knows of its own fields, and of the dictionaries that they name."""

from __future__ import annotations

from collections.abc import Mapping

from mmdgan import design
from mmdgan.errors import DesignError
from mmdgan.losses import catalog as losses
from mmdgan.training.aids import NAMES as AIDS

LOSS_OPTIONS = (
    "rep_weights rep_lambda sigma variance alpha beta add_dot biased lower_bound upper_bound cross_bound omega "
    "ref_normal mix_threshold"
).split()
"""The fields that are options of losses."""

IDENTITY_NAMES = (
    "data flip same_class loss penalty_weight rep_weights sigma alpha beta add_dot biased lower_bound upper_bound "
    "cross_bound omega ref_normal mix_threshold num_class score_size fixed_critic critic_weights gain spectral "
    "initializer precision legacy batch_size optimizer lr_dis lr_gen end_lr imbalanced_update seed replica_losses"
).split() + list(AIDS)
"""The fields that a resumed run must share with the run before."""

HPARAMS = ("architecture", "max_step", *IDENTITY_NAMES)
"""The fields that TensorBoard's HParams tab shows of a run."""

HPARAMS_FIRST = ("architecture", "batch_size", "data", "loss", "lr_dis", "lr_gen", "seed")
"""Those of them whose columns always come first; the others do where they are not the default."""

ELSEWHERE = "restart fallback strategy devices workers worker_index".split()
"""What is of one call alone: a run that is loaded knows nothing of it."""


def loss_names() -> str:
    """The names of the losses, with the variants of each behind it: "rep[_gp|_ds]"."""
    variants: dict[str, list[str]] = {}
    for name in losses.names():
        base = name.removesuffix("_gp").removesuffix("_ds")
        variants.setdefault(base, []).extend([name.removeprefix(base)] if name != base else [])
    return ", ".join(f"{base}[{'|'.join(ends)}]" if ends else base for base, ends in variants.items())


def ends_in_projection(architecture: dict) -> bool:
    """Whether the critic's output layer adds a label projection, which has one output whatever the loss."""
    critics = [design.with_score_size(architecture, size)["discriminator"] for size in (1, 2)]
    one, two = [critic["layers"] if isinstance(critic, Mapping) else critic for critic in critics]
    return next(a for a, b in zip(one, two, strict=True) if a != b).get("type") == "project"


def conditional_layers(architecture: dict) -> list[str]:
    """The layers that need class labels, as "gen/l2_up"; none if the architecture fails for another reason."""
    try:
        specs = design.parse_architecture(architecture, 2)
    except DesignError:
        return []
    return [f"{spec.name}/{layer.name}" for spec in specs for layer in spec.layers if layer.conditional]


def versions() -> dict[str, str]:
    """The installed versions of what a run's numbers depend on."""
    import platform
    from importlib import metadata

    found = {"python": platform.python_version()}
    for name in ("mmdgan", "tensorflow", "keras", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed as a package"
    return found
