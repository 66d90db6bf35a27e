"""The configuration of a training run, and the run itself: the one place where all parts of the library meet.

    Experiment(loss="rep_b", data="sample", max_step=2000).run()

Every field is a flag of `python -m mmdgan train` and of the scripts in experiments/. The defaults are the
original's CIFAR-10 experiment: 100,000 steps in eight rounds, each followed by a grid of samples from 400
fixed codes and by scores. This module imports neither TensorFlow nor NumPy; `dry_run` does not need them.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmdgan import data, design
from mmdgan.core.devices import REPLICA_LOSSES, STRATEGIES
from mmdgan.core.errors import ConfigError, DesignError
from mmdgan.core.options import option
from mmdgan.core.text import format_value
from mmdgan.data.memory import CACHES
from mmdgan.losses import registry as losses
from mmdgan.metrics import METRICS
from mmdgan.runs.folder import RunFolder
from mmdgan.runs.plan import FEATURES, check, facts
from mmdgan.runs.scores import JUDGES
from mmdgan.training.aids.settings import FALLING, KINDS, NAMES as AIDS, SCHEDULES, Aids

if TYPE_CHECKING:
    import keras

# MERGED mmdgan/runs/experiment.py
# What `mmdgan.experiment` knows of its own fields, and of the dictionaries that they name.


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


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What to train, on what, how long, and what to write on the way."""

    architecture: str = option(
        "cifar10/DCGAN", "the networks: a preset, or path/file.py:NAME for a dictionary of yours", "networks"
    )
    num_class: int = option(
        0, "classes of conditional networks, as many as the data set has; 0: unconditional", "networks"
    )
    score_size: int | None = option(
        None,
        "outputs of the last critic layer; none: 1 if it projects labels, else 16 for MMD losses, 1 for the others; a "
        "fixed critic, or one whose last layer has no weights, has the width it has",
        "networks",
    )
    fixed_critic: bool = option(
        False, "the critic stays as it is, a fixed function of each image, and only the generator learns", "networks"
    )
    critic_weights: str | None = option(
        None, "a file of weights (.npz) that the critic's layers of the same names begin with", "networks"
    )
    gain: float | None = option(
        None, "K: act_k = K^(1/L) on all L normalised layers; none: the dictionary's", "networks"
    )
    spectral: str = option(
        "pico", "power iteration on the convolution (PICO) or its matrix (PIM)", "networks", ("pico", "pim")
    )
    initializer: str = option("default", "initial weights", "networks", ("default", "sn_paper", "pg_paper"))
    precision: str = option(
        "float32",
        "of the convolutions; weights and losses are float32, and fp16 scales its losses dynamically",
        "networks",
        ("float32", "bf16", "fp16", "float64"),
    )
    data_format: str | None = option(
        None, "none: channels_first on a GPU", "networks", ("channels_first", "channels_last", "none")
    )
    legacy: bool = option(False, "label projections and penalties as the released code computes them", "networks")

    data: str = option("cifar10", "the data set: cifar10, sample, ...", "data")
    data_root: str = option("Data", "the folder that holds the data sets", "data")
    source: str | None = option(None, "a copy of it to convert, as `prepare --source` takes it", "data")
    cache: str = option(
        "auto",
        "where the images are: in memory, or on disk and read as they are needed (stream); auto: in memory if "
        "they take at most half of what is available",
        "data",
        CACHES,
    )
    flip: bool = option(False, "mirror each image, left and right, by the toss of a coin", "data")
    same_class: bool = option(False, "batches of images of one class each", "data")

    loss: str = option("rep", f"{loss_names()}; `python -m mmdgan losses` explains them", "training")
    penalty_weight: float | None = option(
        None,
        "weight of a _gp loss's or wasserstein's gradient penalty, or λ of a _ds loss's scale; none: 10 for "
        "wasserstein, 1 for attractive _gp losses, 0.1 for repulsive ones and _ds",
        "training",
    )
    rep_weights: tuple[float, float] | None = option(
        None, "w0,w1 of the repulsive losses, w0 - w1 = 1; none: 0,-1", "training"
    )
    rep_lambda: float | None = option(None, "or their λ = -w1: 1 is the repulsive loss, -1 is MMD-GAN", "training")
    sigma: tuple[float, ...] | None = option(None, "widths of the Gaussian kernels", "training")
    variance: tuple[float, ...] | None = option(None, "or their squares a: exp(-D / (2 a))", "training")
    alpha: tuple[float, ...] | None = option(None, "exponents of mmd_t's kernels", "training")
    beta: float | None = option(None, "scale of mmd_t's kernels", "training")
    add_dot: float | None = option(None, "times <x, y>, is added to the kernels of mmd_g and mmd_t", "training")
    biased: bool = option(False, "MMDs are means over all pairs, a sample with itself too (V-statistic)", "training")
    lower_bound: float | None = option(None, "squared distances count as at least this (bounded losses)", "training")
    upper_bound: float | None = option(None, "or as at most this", "training")
    cross_bound: bool = option(False, "bound rep_b's cross term too, for λ < 0", "training")
    omega: tuple[float, ...] | None = option(
        None, "low,high or one number: mean kernel value between the players, of the random-width losses", "training"
    )
    ref_normal: float | None = option(
        None, "mean squared distance within the normal that rand_g and its kin compare with", "training"
    )
    mix_threshold: float | None = option(
        None, "loss above which the mixing losses exchange samples, and ins_noise adds noise", "training"
    )
    batch_size: int = option(64, "images per step", "training")
    optimizer: str = option("adam", "adam has betas 0.5, 0.999", "training", ("adam", "rmsprop", "sgd", "momentum"))
    lr_dis: float = option(5e-4, "the critic's learning rate", "training")
    lr_gen: float = option(2e-4, "the generator's learning rate", "training")
    end_lr: float = option(
        1e-7, "learning rate at step 100,000, of sgd and momentum, or at the end of an lr_schedule", "training"
    )
    imbalanced_update: tuple[int, int] | Literal["dynamic"] | None = option(
        None,
        "p_dis,p_gen: update a network every p-th step, one of them 1; dynamic: the critic more rarely the "
        "larger the generator's loss, after 1,000 steps",
        "training",
    )
    seed: int = option(0, "of weights, data order, codes and samples", "training")
    replica_losses: str = option(
        "gathered",
        "of several replicas: the loss of all their scores together, or local: each replica's own, gradients averaged",
        "training",
        REPLICA_LOSSES,
    )

    ema: float | None = option(
        None,
        "decay of an average of the generator's weights over the steps, such as 0.999, which samples and scores are "
        "made with; none: they are made with the last weights",
        "training aids",
    )
    augment: tuple[str, ...] = option(
        (),
        f"of {', '.join(KINDS)} (DiffAugment): the critic sees real and generated images changed so at random",
        "training aids",
    )
    ada: float | None = option(
        None,
        "adapt the probability of each of these changes, from 0 up, until the measure of overfitting is at this "
        "target, such as 0.6; none: each always applies",
        "training aids",
    )
    ada_images: int = option(500_000, "real images over which that probability can go from 0 to 1", "training aids")
    instance_noise: tuple[float, int] | None = option(
        None,
        "SIGMA,STEPS: Gaussian noise on the images that the critic sees, of a standard deviation that falls linearly "
        "to 0 over so many steps",
        "training aids",
    )
    critic_steps: int = option(
        1, "updates of the critic, each on a batch of its own, for each of the generator", "training aids"
    )
    r1: float | None = option(
        None,
        "gamma: adds gamma/2 times the mean squared Jacobian of the scores at real images to the critic's loss",
        "training aids",
    )
    clip_norm: float | None = option(
        None, "divide each network's gradients by what their norm exceeds this by", "training aids"
    )
    lr_schedule: str = option(
        "original",
        "of both learning rates: linear or cosine from their first value to end_lr; original: constant of adam and "
        "rmsprop, decaying of sgd and momentum",
        "training aids",
        SCHEDULES,
    )
    lr_steps: int | None = option(
        None, "the step at which linear and cosine rates have reached end_lr; none: max_step", "training aids"
    )

    strategy: str = option(
        "auto",
        "one device; mirrored: several of one machine; multi_worker: of several processes or machines; tpu "
        "(experimental, not tried); auto: mirrored if several GPUs are visible, else one",
        "devices",
        STRATEGIES,
    )
    devices: int | None = option(
        None, "how many GPUs to use, or parts to split the CPU into; none: all GPUs, or the CPU as one", "devices"
    )
    workers: tuple[str, ...] = option(
        (), "host:port,... of all workers, the chief first; none: those of TF_CONFIG, or of the Slurm step", "devices"
    )
    worker_index: int | None = option(None, "this process's place among --workers, from 0", "devices")

    max_step: int = option(100_000, "train up to this step", "the run")
    rounds: int = option(8, "how often, in equal parts of max_step, to make samples and scores", "the run")
    score_steps: tuple[int, ...] = option((), "or after which steps to make them, e.g. 500,1000", "the run")
    query_step: int = option(1000, "steps between TensorBoard summaries", "the run")
    save_every: int | None = option(1000, "steps between checkpoints", "the run")
    save_secs: float | None = option(300.0, "seconds between checkpoints", "the run")
    keep: int = option(2, "how many of the newest checkpoints to keep", "the run")
    keep_best: str | None = option(
        "auto",
        "keep the checkpoint of the round with the best score besides; auto: by fid, if it is among the metrics",
        "the run",
        ("auto", "none", *JUDGES),
    )
    keep_rounds: bool = option(False, "keep the checkpoint of each round besides", "the run")
    grid: tuple[int, int] = option((20, 20), "rows,columns of the grid of samples", "the run")
    deterministic: bool = option(False, "the same run to the last bit each time, on one machine; slower", "the run")
    divergence_limit: float | None = option(
        30_000.0,
        "a loss beyond this, either way, is divergence, as one that is no number is; none: no limit",
        "the run",
    )
    on_divergence: str = option(
        "stop",
        "stop: with exit status 3; rollback: back to the last checkpoint with other random numbers, 3 times at most",
        "the run",
        ("stop", "rollback"),
    )
    results: str = option("Results", "runs go to RESULTS/<data>/<run name>/", "the run")
    run_name: str | None = option(None, "none: from loss, learning rates, gain and weights", "the run")
    restart: bool = option(False, "begin anew; an earlier run is moved aside", "the run")
    fallback: bool = option(
        False,
        "if the newest checkpoint is damaged or of other networks, go on from the newest that is sound",
        "the run",
    )

    jit: bool = option(False, "compile the networks, the loss and their gradients with XLA", "speed")
    steps_per_call: int = option(
        1, "steps in one call of TensorFlow; fewer where a checkpoint, a summary or a round ends", "speed"
    )
    profile: tuple[int, ...] = option(
        (),
        "write a TensorBoard profile and a Chrome trace of steps FIRST,LAST, or of so many steps after the 10th of "
        "this call of the program, to the run's logs",
        "speed",
    )

    metrics: tuple[str, ...] = option(
        ("fid", "is", "kid"), f"scores after each round, of {', '.join(METRICS)}; none: no scores", "scores"
    )
    features: str = option(
        "auto",
        f"what scores are computed from: {', '.join(FEATURES)} (or keras:PATH.keras), a network of keras.applications; "
        "auto: inception if its graph is there or can be fetched, else classifier",
        "scores",
    )
    resize: str | None = option(
        None,
        "how images come to the features' size; none: legacy for inception, clean for Keras networks",
        "scores",
        ("legacy", "tfgan", "clean", "none"),
    )
    inception: str | None = option(None, "the 2015 Inception graph: .pb, tar.gz or SavedModel", "scores")
    classifier_data: str | None = option(None, "labelled data set to train the classifier on", "scores")
    score_count: int | None = option(
        None, "images to score; none: 50,000 or all of the data, in whole batches", "scores"
    )
    feature_cache: str | None = option(
        None, "the folder where features of images are kept; none: DATA_ROOT/features; off: they are not", "scores"
    )

    @classmethod
    def load(cls, run: str | os.PathLike) -> Experiment:
        """The experiment of an existing run directory.

        Raises:
          ConfigError: no run directory, or one whose configuration this version does not know.
        """
        folder = RunFolder.open(run)
        saved = folder.read_config()["experiment"]
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(saved) - known):
            raise ConfigError(f"{folder.config_file} has fields of another version: {', '.join(unknown)}.")
        fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in saved.items()}
        return cls(**fields)

    def resolved(self) -> Experiment:
        """The same experiment, checked, with every default that depends on other fields filled in.

        Raises:
          ConfigError: a value that is not valid; it names the field and the valid values.
          DataError: no data set of that name.
          DesignError: an architecture that cannot be built.
        """
        check(self)
        options = losses.resolve_options(self.loss, **self._loss_options())
        weights, penalty_weight = options.get("rep_weights"), self.loss_function().penalty_weight
        widths = options["sigma"] if self.variance else self.sigma
        experiment = dataclasses.replace(
            self,
            sigma=(widths,) if isinstance(widths, float) else widths,
            variance=None,
            score_size=self.networks()[2].output_shape[0],
            penalty_weight=penalty_weight if self.penalty_weight is None else self.penalty_weight,
            rep_weights=tuple(weights) if weights else None,
            rep_lambda=None,
            lr_steps=self.aids().lr_steps,
        )
        return dataclasses.replace(experiment, run_name=self.run_name or experiment._default_run_name())

    def networks(self) -> tuple[dict[str, Any], design.NetworkSpec, design.NetworkSpec]:
        """The architecture with this experiment's score size and gain: (dictionary, generator, critic).

        Raises:
          DesignError: it cannot be built; for conditional layers without classes it names the flag.
        """
        architecture = design.load_architecture(self.architecture)
        own_width = self.fixed_critic or design.has_fixed_width(architecture)
        if not own_width:
            default = 1 if ends_in_projection(architecture) else losses.score_size(self.loss)
            architecture = design.with_score_size(architecture, self.score_size or default)
        if self.gain is not None:
            architecture = design.with_gain(architecture, self.gain)
        generator, critic = self._parsed(architecture)
        width = critic.output_shape[0]
        if own_width and self.score_size not in (None, width):
            why = "is fixed" if self.fixed_critic else f"ends in layer {critic.layers[critic.outputs[0]].name!r}"
            raise ConfigError(
                f"score_size is {self.score_size}, but the critic of {self.architecture} {why} and has {width} "
                "outputs; leave it out."
            )
        return architecture, generator, critic

    def _parsed(self, architecture: dict[str, Any]) -> tuple[design.NetworkSpec, design.NetworkSpec]:
        """Generator and critic of an architecture; a DesignError names the flag that conditional layers lack."""
        try:
            return design.parse_architecture(architecture, self.num_class)
        except DesignError as error:
            layers = conditional_layers(architecture) if self.num_class < 2 else []
            if not layers:
                raise
            count = data.info(self.data, self.data_root).num_class or "N"
            raise DesignError(
                f"architecture {self.architecture} depends on class labels in {layers[0]}: give --num_class={count}, "
                f"the number of classes of {self.data}."
            ) from error

    def cache_mode(self) -> str:
        """Where the images are to be: as `cache` says, or where they are in the run that would be resumed.

        Returns:
          "memory", "stream", or "auto": whatever suits the machine.

        Raises:
          ConfigError: `cache` contradicts the run, whose images would come in another order.
        """
        folder = self.folder()
        if self.restart or not folder.config_file.is_file():
            return self.cache
        known = folder.read_config().get("data")
        if known is None:  # a run that was imported and has not trained yet
            return self.cache
        mode = known.get("mode", "memory")  # all that versions without the field could
        if self.cache not in ("auto", mode):
            raise ConfigError(
                f"cache is {self.cache}, but {folder.path} holds a run with cache {mode}, and its images would come in "
                "another order: leave --cache out, give --restart to begin anew (the earlier run is moved aside), or "
                "another --run_name."
            )
        return mode

    def judge(self) -> str | None:
        """The score by which the best checkpoint is chosen, a key of `run_scores.JUDGES`; None: none is."""
        if self.keep_best != "auto":
            return self.keep_best
        return "fid" if "fid" in self.metrics else None

    def folder(self) -> RunFolder:
        """Where the run is, or will be."""
        experiment = self if self.run_name else self.resolved()
        place = self.data.replace(":", "_").replace("/", "_")
        return RunFolder(Path(self.results) / place / str(experiment.run_name))

    def stops(self) -> list[int]:
        """The steps after which samples and scores are made; the last step is always one of them."""
        steps = self.score_steps or [self.max_step * i // self.rounds for i in range(1, self.rounds + 1)]
        return sorted({step for step in steps if 0 < step <= self.max_step} | {self.max_step})

    def config(self) -> dict[str, Any]:
        """What config.json holds besides the data: resolved fields, the networks' dictionaries, versions."""
        experiment = self.resolved()
        defaults: dict[str, Any] = {
            field.name: field.default for field in dataclasses.fields(self) if field.name in ELSEWHERE
        }
        return {
            "experiment": dataclasses.asdict(dataclasses.replace(experiment, **defaults)),
            "architecture": experiment.networks()[0],
            "versions": versions(),
        }

    def describe(self) -> str:
        """The resolved configuration, one field per line, as flags take the values."""
        experiment = self.resolved()
        names = [field.name for field in dataclasses.fields(experiment)]
        return "\n".join(f"  {name:<18}{format_value(getattr(experiment, name)) or 'none'}" for name in names)

    def dry_run(self) -> str:
        """What `run` would do: configuration and networks; without TensorFlow, without writing."""
        experiment = self.resolved()
        _, generator, critic = experiment.networks()
        lines = [f"{name:<18}{value}" for name, value in facts(self).items()]
        return "\n\n".join(
            [
                "\n".join(lines),
                "configuration:\n" + experiment.describe(),
                "generator:\n" + design.describe(generator),
                "critic:\n" + design.describe(critic),
            ]
        )

    def run(self, callbacks: Sequence[keras.callbacks.Callback] = ()) -> dict[str, Any]:
        """Trains up to `max_step`, from the run's newest checkpoint if there is one.

        Everything that can be wrong is found before the first step: the configuration, the data, the features
        of the scores.

        Args:
          callbacks: Keras callbacks, for which all rounds are one training (`mmdgan.training.callbacks`); of several
            workers the chief's are called. When one stops the training, samples and scores are made of that step.

        Returns:
          "folder", "step", "grid" (its path, or None if no round ended here), "scores" (the last round's, by name),
          "best" (the step of the best checkpoint, or None).

        Raises:
          ConfigError, DesignError, DataError, MetricError: as named in mmdgan.errors, before training; among them
            that another process is training in the run's directory.
          Interrupted, Diverged, WorkerLost: of mmdgan.training.
        """
        from mmdgan.runs.train import TrainingRun
        from mmdgan.training.callbacks import check as check_callbacks
        from mmdgan.training.signals import raising_worker_lost

        check_callbacks(callbacks)  # by every worker, lest the others wait for one that refuses
        with raising_worker_lost() if self.strategy == "multi_worker" else nullcontext(), ExitStack() as held:
            return TrainingRun(self, held).execute(callbacks)

    def aids(self) -> Aids:
        """The training aids that are asked for."""
        settings = {name: getattr(self, name) for name in AIDS}
        if self.lr_schedule in FALLING and self.lr_steps is None:
            settings["lr_steps"] = self.max_step
        return Aids(**settings)

    def loss_function(self) -> losses.Loss:
        """The loss with this experiment's options."""
        return losses.get(self.loss, **self._loss_options())

    def _loss_options(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in LOSS_OPTIONS}
        given = {name: value for name, value in values.items() if value is not None and value is not False}
        # One number of a list-valued flag is a number: rep's sigma and a fixed omega are no lists.
        return {k: v[0] if isinstance(v, tuple) and len(v) == 1 else v for k, v in given.items()}

    def _default_run_name(self) -> str:
        """The original's name of a run (spec E.8), with the loss as typed."""
        critic = self.networks()[2]
        gains = [part.gain for layer in critic.layers for part in layer.parts if part.spectral]
        name = f"sngan_{self.loss}_{self.lr_dis:.0e}_{self.lr_gen:.0e}_k{gains[0] if gains else 1:.3g}"
        if self.rep_weights is not None:
            name += "_{:.1f}_{:.1f}".format(*self.rep_weights)
        return name


IDENTITY: dict[str, Any] = {
    field.name: field.default for field in dataclasses.fields(Experiment) if field.name in IDENTITY_NAMES
}
"""What a resumed run must share with the run before, with what the runs had that knew no such field."""
