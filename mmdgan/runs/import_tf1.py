"""Runs made of the original's TensorFlow 1 checkpoints."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan import design
from mmdgan.core.errors import CheckpointError, ConfigError, DesignError
from mmdgan.core.progress import Say, log
from mmdgan.core.startup import prepare_tensorflow

if TYPE_CHECKING:
    from mmdgan.runs.experiment import Experiment


def import_run(
    prefix: str | os.PathLike,
    experiment: Experiment,
    load: Callable[[str], dict[str, Any]] = design.load_architecture,
    say: Say = log,
) -> Path:
    """Makes a run of a TensorFlow 1 checkpoint of the original: it samples, evaluates and resumes.

    Weights, moving averages, spectral vectors, the optimisers' slots, the states of mixing losses and the step are
    those of the checkpoint. The data set is not needed: the run records its images when it is first resumed.

    The critic has as many outputs as the dictionary says, like the original's, unless `experiment.score_size` is
    given; the default of the loss, which training takes, does not apply. The command that resumes the run must give
    `--score_size` where it is not that default.

    Args:
        prefix: A checkpoint's prefix ('.../cifar.ckpt-100000'), one of its files, or a folder with a file
            `checkpoint`, whose newest is taken.
        experiment: The architecture and the settings that the checkpoint was trained with; where the run goes.
        load: Returns the dictionary that `experiment.architecture` names.
        say: Takes each sentence about the run.

    Returns:
        The run's directory.

    Raises:
        CheckpointError: No readable checkpoint, or one of other networks or optimisers; the variables are named.
        ConfigError: The directory exists and `experiment.restart` is not given, or the experiment is not valid.
        DataError, DesignError: No such data set, or an architecture that cannot be built.
    """
    load = functools.cache(load)
    plan = _with_score_size_of_dictionary(experiment, load).plan(load)
    folder = plan.folder
    if folder.path.exists() and not experiment.restart:
        raise ConfigError(
            f"{folder.path} exists already. Give --restart to move it aside, or another --run_name or --results."
        )
    prepare_tensorflow()
    from mmdgan import tf1
    from mmdgan.core.lock import FolderLock
    from mmdgan.runs.train import make_gan
    from mmdgan.training import Checkpoints

    gan = make_gan(plan)
    tf1.import_checkpoint(prefix, gan)
    if gan.average is not None:
        gan.average.reset()
    with FolderLock(folder.path) as lock:
        folder.prepare(plan.config(), experiment.restart, say)
        lock.renew()
        try:
            Checkpoints(folder.checkpoints, gan.state(), keep=experiment.keep).save(int(gan.iterations))
        except CheckpointError:
            shutil.rmtree(folder.path, ignore_errors=True)  # made above, so that the same command can be given again
            raise
    return folder.path


def _with_score_size_of_dictionary(experiment: Experiment, load: Callable[[str], dict[str, Any]]) -> Experiment:
    """The experiment with the number of outputs that the dictionary gives the critic, unless it has its own."""
    if experiment.score_size is not None:
        return experiment
    try:
        given = experiment.architecture
        written = load(given) if isinstance(given, str) else dict(given)
        size = design.parse_architecture(written, experiment.num_class)[1].output_shape[0]
    except DesignError:
        return experiment  # the plan says what is wrong, or needs no number from it
    return dataclasses.replace(experiment, score_size=size)
