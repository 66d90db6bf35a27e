"""What an experiment's dry run says before its configuration; without TensorFlow, without reading an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmdgan import data
from mmdgan.data import catalog, memory
from mmdgan.data.opening import loose_records
from mmdgan.data.sidecar import read_sidecar

if TYPE_CHECKING:
    from mmdgan.experiment import Experiment


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
