"""Checks of an experiment before anything is done: without TensorFlow, without reading an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmdgan import data
from mmdgan.core.devices import check_devices
from mmdgan.core.errors import ConfigError
from mmdgan.core.options import check_limits
from mmdgan.core.text import format_value, nearest
from mmdgan.data import catalog, memory
from mmdgan.data.open import loose_records
from mmdgan.data.sidecar import read_sidecar
from mmdgan.metrics import METRICS
from mmdgan.runs.scores import JUDGES

if TYPE_CHECKING:
    from mmdgan.runs.experiment import Experiment

FEATURES = ("auto", "inception", "classifier", "keras:NAME")
"""What scores can be computed from; NAME stands for a network of keras.applications, or a file."""


def check(e: Experiment) -> None:
    """Checks every field of an experiment, alone and against the data set, the loss and the networks.

    Raises:
      ConfigError: a value that is not valid; it names the field and the valid values.
      DataError: no data set of that name.
      DesignError: an architecture that cannot be built.
    """
    _check_fields(e)
    _check_choices(e)
    check_devices(e.strategy, e.devices, e.workers, e.worker_index)
    _check_scores(e)
    _check_loss(e)
    e.aids().check_with(imbalanced_update=e.imbalanced_update, jit=e.jit, critic_learns=_critic_learns(e))
    _check_data(e)
    _check_networks(e)


def _check_fields(e: Experiment) -> None:
    """Checks numbers and names by themselves."""
    check_limits(e)
    if e.batch_size < 2:
        raise ConfigError(f"batch_size is {e.batch_size}; give at least 2, for losses compare samples.")
    if not 0 <= e.seed < 2**32:
        raise ConfigError(f"seed is {e.seed}; give a whole number from 0 to {2**32 - 1}.")
    if min(e.grid) < 1:
        raise ConfigError(f"grid is {format_value(e.grid)}; give rows,columns of at least 1 each.")
    if e.run_name is not None and (not e.run_name or set(e.run_name) & set("/\\")):
        raise ConfigError(f"run_name is {e.run_name!r}; give a folder's name without slashes.")


def _check_choices(e: Experiment) -> None:
    """Checks what depends on another field."""
    periods = e.imbalanced_update
    if periods not in (None, "dynamic") and (isinstance(periods, str) or len(periods) != 2 or min(periods) != 1):
        shown = format_value(periods)
        raise ConfigError(f"imbalanced_update is {shown}; give p_dis,p_gen, one of them 1, or dynamic.")
    if e.steps_per_call > 1 and periods is not None:
        raise ConfigError(
            f"steps_per_call is {e.steps_per_call}, but imbalanced_update decides before each step which network is "
            "updated; leave one of them out."
        )
    if len(e.profile) > 2 or any(step < 1 for step in e.profile) or list(e.profile) != sorted(e.profile):
        raise ConfigError(f"profile is {format_value(e.profile)}; give FIRST,LAST or a number of steps, from 1 on.")
    if any(not 0 < step <= e.max_step for step in e.score_steps):
        shown = format_value(e.score_steps)
        raise ConfigError(f"score_steps is {shown}; give steps from 1 to max_step = {e.max_step}.")


def _check_scores(e: Experiment) -> None:
    """Checks that the scores can be had, as far as that shows without the images."""
    for metric in e.metrics:
        if metric not in METRICS:
            raise ConfigError(
                f"metrics has {metric!r}{nearest(metric, METRICS)}; the valid values are {', '.join(METRICS)}."
            )
    if "intra_fid" in e.metrics and e.num_class < 2:
        raise ConfigError(
            "metrics has intra_fid, which compares images class by class, but the networks are unconditional "
            f"(num_class is {e.num_class}); leave it out, or train a conditional run."
        )
    kind, _, network = e.features.partition(":")
    if e.features not in FEATURES[:-1] and not (kind == "keras" and network):
        raise ConfigError(f"features is {e.features}; the valid values are {', '.join(FEATURES)}.")
    if e.metrics and e.score_count is not None and e.score_count < 2:
        raise ConfigError(f"score_count is {e.score_count}; give at least 2, for scores compare images.")
    if e.feature_cache is not None and not e.feature_cache:
        raise ConfigError("feature_cache is empty; give a folder, off, or none for the usual one.")
    judge = e.judge()
    if judge is not None and JUDGES[judge].metric not in e.metrics:
        there = [name for name, (metric, _) in JUDGES.items() if metric in e.metrics]
        raise ConfigError(
            f"keep_best is {judge}, but metrics is {format_value(e.metrics) or 'empty'}; add {JUDGES[judge].metric} to "
            f"metrics, or let keep_best be {' or '.join([*there, 'none'])}."
        )


def _check_loss(e: Experiment) -> None:
    """Checks that the loss has a use for what is given of it."""
    if e.loss_function().penalty_weight is None and e.penalty_weight is not None:
        raise ConfigError(
            f"penalty_weight is {e.penalty_weight}, but loss {e.loss} has no penalty; leave it out, or choose a loss "
            "that has one, such as rep_gp or wasserstein."
        )
    if not _critic_learns(e):
        if e.loss_function().penalty or e.loss_function().uses_scale:
            raise ConfigError(
                f"loss {e.loss} regularises the critic, but the critic of {e.architecture} does not learn; choose "
                f"{e.loss_function().canonical}, or a critic that does."
            )
        if e.imbalanced_update is not None:
            raise ConfigError(
                f"imbalanced_update is {format_value(e.imbalanced_update)}, but the critic of {e.architecture} does "
                "not learn; leave it out."
            )


def _critic_learns(e: Experiment) -> bool:
    """Whether steps change the critic: it is not fixed, and has weights."""
    return not e.fixed_critic and e.networks()[2].parameters > 0


def _check_data(e: Experiment) -> None:
    """Checks that the data set can be taken as asked for."""
    if e.same_class and not data.info(e.data, e.data_root).num_class:
        raise ConfigError(f"same_class is true, but {e.data} has no classes; leave it out, or prepare it with labels.")
    if e.data == "sample" and e.cache == "stream":
        raise ConfigError("cache is stream, but sample is made on the spot, in memory; leave it out.")


def _check_networks(e: Experiment) -> None:
    """Checks that the networks fit the images and the classes of the data set."""
    info = data.info(e.data, e.data_root)
    if e.num_class and e.num_class != info.num_class:
        has = f"{info.num_class} classes" if info.num_class else "no classes"
        raise ConfigError(f"num_class is {e.num_class}, but {e.data} has {has}; give {info.num_class}.")
    _, generator, critic = e.networks()
    if e.num_class and not (generator.conditional or critic.conditional):
        raise ConfigError(
            f"num_class is {e.num_class}, but no layer of architecture {e.architecture} depends on class "
            "labels; leave it out, or choose an architecture with conditional layers, such as "
            "sample/PROJECTION_SMALL."
        )
    image = tuple(generator.output_shape)
    if image != tuple(info.shape):
        raise ConfigError(
            f"architecture {e.architecture} makes images of {image} (C, H, W), but those of {e.data} are "
            f"{tuple(info.shape)}; choose an architecture of that size."
        )


# MERGED mmdgan/runs/plan.py
# What an experiment's dry run says before its configuration; without TensorFlow, without reading an image.


def facts(e: Experiment) -> dict[str, str]:
    """What the run would do with the images, the losses and the networks, and where.

    Args:
      e: an experiment as a person wrote it: what was left open is explained.

    Raises:
      ConfigError, DataError, DesignError: as `Experiment.resolved`.
    """
    folder, stops = e.folder(), e.stops()
    progress = "(exists: the run would be resumed)" if folder.config_file.is_file() else "(new)"
    shown = ", ".join(f"{step:,}" for step in (stops if len(stops) < 10 else [*stops[:8], stops[-1]]))
    return {
        "run directory": f"{folder.path} {progress}",
        "data": where_data(e),
        "batches": which_batches(e),
        "classes": f"{e.num_class}, by the labels of the data" if e.num_class else "none: unconditional",
        "penalty": which_penalty(e),
        "score size": why_score_size(e),
        "training aids": e.aids().describe() or "none",
        "samples, scores": f"after step {shown}",
        "scores": which_scores(e),
        "checkpoints": which_checkpoints(e),
    }


def where_data(e: Experiment) -> str:
    """The images and where they would be taken from, in the order in which `data.open_data` looks."""
    info, root = data.info(e.data, e.data_root), Path(e.data_root)
    folder = root / e.data
    unfinished, loose = catalog.unfinished(e.data, root), loose_records(info, root)
    if e.data == "sample":
        place = "made on the spot"
    elif read_sidecar(folder, e.data) is not None:
        place = f"in {folder}"
    elif e.source is not None:
        again = ", going on with what is there" if unfinished else ""
        place = f"to be converted from {e.source} into {folder}{again}"
    elif loose:
        place = f"in {loose[0]}"
    else:
        fetched = "TensorFlow Datasets would download it; " if info.tfds else ""
        where = f"only half converted in {folder}" if unfinished else f"not in {root} yet"
        place = f"{where}: {fetched}--source=PATH converts a copy"
    count = f"{info.count:,} images " if info.count else "images "
    return f"{e.data}: {count}{info.shape} (C, H, W), {place}"


def which_batches(e: Experiment) -> str:
    """How training takes the images, and where they would be meanwhile."""
    info, mode = data.info(e.data, e.data_root), e.cache_mode()
    size = None if info.count is None else info.count * info.shape[0] * info.shape[1] * info.shape[2]
    kinds = [" of one class"] * e.same_class + [", flipped by chance"] * e.flip
    because = ", as in the run so far" if mode != e.cache else ""
    if mode == "auto":
        mode = "auto" if size is None else memory.choose_cache(size)
    return f"{e.batch_size} images{''.join(kinds)}; {memory.explain(mode, size)}{because}"


def which_penalty(e: Experiment) -> str:
    """The loss's gradient penalty and its weight."""
    loss, weight = e.loss_function(), e.resolved().penalty_weight
    if loss.uses_scale:
        return f"none; the critic's loss is divided by 1 + {weight:g} times its mean squared Jacobian"
    return "none" if loss.penalty is None else f"{weight:g} times the gradient penalty {loss.penalty}"


def why_score_size(e: Experiment) -> str:
    """The number of the critic's outputs, and the reason for it."""
    critic = e.networks()[2]
    layer, size = critic.layers[critic.outputs[0]], critic.output_shape[0]
    outputs = f"{size} output{'s' * (size > 1)} of critic layer {layer.name}"
    if e.score_size:
        return f"{outputs}, as --score_size says"
    if layer.type == "project":
        return f"{outputs}, because a label projection has one"
    kind = "compares distributions of scores (an MMD loss)" if size > 1 else "judges each score by itself"
    return f"{outputs}, because {e.loss} {kind}"


def which_scores(e: Experiment) -> str:
    """The scores after each round, and what they are computed from."""
    if not e.metrics:
        return "none"
    count = "50,000 images, or as many as there are" if e.score_count is None else f"{e.score_count:,} images"
    resize = f", resize {e.resize}" if e.resize else ""
    return f"{', '.join(e.metrics)} of {count}; features: {e.features}{resize}"


def which_checkpoints(e: Experiment) -> str:
    """The checkpoints that stay."""
    best = [f"the best by {e.judge()}"] if e.judge() else []
    return " and ".join([f"the newest {e.keep}", *best, *(["each round's"] if e.keep_rounds else [])])
