"""The configuration of a training run.

    Experiment(loss="rep_b", data="sample", max_step=2000).run()

Every field is a flag of `python -m mmdgan train` and of the scripts in experiments/. The defaults are the
original's CIFAR-10 experiment: 100,000 steps in eight rounds, each followed by a grid of samples from 400
fixed codes and by scores. This module imports neither TensorFlow nor NumPy; `dry_run` does not need them.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmdgan import design
from mmdgan.core.devices import REPLICA_LOSSES, STRATEGIES
from mmdgan.core.errors import ConfigError, MmdGanError
from mmdgan.core.files import read_text
from mmdgan.core.options import check_limits, defaults, fields_with, option, plain, rebased
from mmdgan.core.progress import Say, log as to_logger
from mmdgan.core.text import nearest
from mmdgan.data.memory import CACHES
from mmdgan.data.sidecar import sidecar_path
from mmdgan.losses import registry as losses
from mmdgan.metrics import METRICS
from mmdgan.runs.folder import RunFolder
from mmdgan.runs.plan import FEATURES, Load, Plan, folder_of, make_plan, networks_of, run_folder
from mmdgan.runs.scores import JUDGES
from mmdgan.training import divergence
from mmdgan.training.aids.settings import FALLING, KINDS, SCHEDULES, Aids
from mmdgan.training.trackers import TRACKERS

if TYPE_CHECKING:
    from mmdgan.runs.run import Run
    from mmdgan.training.callbacks import CallbacksLike

LOSS, AIDS = "options of the loss", "training aids"
"""The groups of the fields that are options of losses, and of those that are fields of `Aids`."""


def _uses_end_lr(experiment: Experiment) -> bool:
    """Whether a learning rate falls to `end_lr`."""
    falls = experiment.lr_schedule in FALLING
    return falls or (experiment.lr_schedule == "original" and experiment.optimizer in ("sgd", "momentum"))


_network = functools.partial(option, group="networks", identity=True)
_data = functools.partial(option, group="data")
_loss = functools.partial(option, group="loss", identity=True)
_loss_option = functools.partial(option, group=LOSS, identity=True)
_training = functools.partial(option, group="training", identity=True)
_aid = functools.partial(option, group=AIDS, identity=True)
_devices = functools.partial(option, group="devices", scope="call")
_run = functools.partial(option, group="run")
_speed = functools.partial(option, group="speed")
_scores = functools.partial(option, group="scores")


@dataclasses.dataclass(frozen=True, repr=False)
class Experiment:
    """What to train, on what, how long, and what to write on the way."""  # The fields are added below.

    architecture: str | Mapping[str, Any] = _network(
        "cifar10/DCGAN",
        "networks: a preset, path/file.py:NAME for your own dictionary, or RUN/config.json for those of a run",
        short=3,
        hparams="first",
        identity=False,
        path=r"(.+\.(?:py|json))(?::.*)?",
        also="arch model network",
    )
    num_class: int = _network(
        0, "number of classes of conditional networks, that of the data set; 0: unconditional", inputs=True
    )
    score_size: int | None = _network(
        None,
        "outputs of the last critic layer; none: 1 if it projects labels, else 16 for MMD losses and 1 for the others "
        "(a fixed critic, or one whose last layer has no weights, keeps its width)",
        least=1,
    )
    fixed_critic: bool = _network(False, "freeze the critic; train only the generator")
    critic_weights: str | None = _network(
        None, "weight file (.npz) that initialises the critic's layers of the same names", path="(.+)"
    )
    init: str | None = _network(
        None,
        "begin with the networks of another run (a RUN or pretrained:NAME) or of a weight file (.npz): layers of the "
        "same names and shapes, the generator's averaged weights where there are any; no optimiser is taken over",
        path="(?!pretrained:)(.+)",
        also="checkpoint ckpt weights pretrained load",
    )
    init_parts: tuple[str, ...] = _network(
        ("generator", "critic"), "networks that begin so", choices=("generator", "critic")
    )
    freeze: tuple[str, ...] = _network(
        (), "layers of either network to keep as they are (FreezeD), such as l1_f32,l2_ds"
    )
    gain: float | None = _network(
        None, "K: sets act_k = K^(1/L) on all L normalised layers; none: the dictionary's act_k", positive=True
    )
    spectral: str = _network(
        "pico",
        "power iteration for spectral norms: on the convolution (pico) or on its matrix (pim)",
        choices=("pico", "pim"),
    )
    initializer: str = _network("default", "initial weights", choices=("default", "sn_paper", "pg_paper"))
    precision: str = _network(
        "float32",
        "precision of the convolutions; weights and losses stay in float32",
        choices=("float32", "bf16", "fp16", "float64"),
        short=9,
        also="amp fp16 bf16 half mixed_precision dtype",
    )
    data_format: str | None = _network(
        None,
        "memory layout of images; none: channels_first on a GPU, else channels_last",
        choices=("channels_first", "channels_last", "none"),
        identity=False,
    )
    legacy: bool = _network(False, "compute label projections and penalties as the released code does")

    data: str = _data(
        "cifar10",
        "data set: cifar10, sample, ...",
        short=1,
        inputs=True,
        hparams="first",
        identity=True,
        also="dataset",
    )
    data_root: str = _data("Data", "folder of the data sets", scope="place", inputs=True, path="(.+)")
    source: str | None = _data(
        None,
        "copy of the data set to convert, as `prepare --source` takes it",
        scope="place",
        inputs=True,
        path=r"(?!\w+:)(.+)",
    )
    cache: str = _data(
        "auto",
        "where to keep the images: in memory, or read them from disk as needed (stream); auto: memory if they take at "
        "most half of what is available",
        choices=CACHES,
        scope="machine",
        inputs=True,
    )
    flip: bool = _data(False, "mirror each image horizontally with probability 1/2", identity=True)
    same_class: bool = _data(False, "fill each batch with images of one class", identity=True)

    loss: str = _loss(
        "rep",
        "rep, rep_b, mmd_g, hinge, logistic, wasserstein, ..., many also with a gradient penalty as rep_gp; "
        "the verb losses lists them all",
        short=2,
        hparams="first",
        suggests=losses.names,
    )
    penalty_weight: float | None = _loss(
        None,
        "weight of the gradient penalty of _gp losses and wasserstein, or λ of the scale of _ds losses; none: 10 for "
        "wasserstein, 1 for attractive _gp losses, 0.1 for repulsive ones and _ds",
        positive=True,
    )

    rep_weights: tuple[float, float] | None = _loss_option(
        None, "w0,w1 of the repulsive losses, with w0 - w1 = 1; none: 0,-1"
    )
    rep_lambda: float | None = _loss_option(
        None, "the same as λ = -w1: 1 is the repulsive loss, -1 is MMD-GAN", identity=False
    )
    sigma: tuple[float, ...] | Literal["median"] | None = _loss_option(
        None, "widths of the Gaussian kernels; median: the median distance of each batch's scores"
    )
    variance: tuple[float, ...] | None = _loss_option(
        None, "the same as squared widths a: exp(-D / (2 a))", identity=False
    )
    alpha: tuple[float, ...] | None = _loss_option(None, "exponents of the kernels of mmd_t")
    beta: float | None = _loss_option(None, "scale of the kernels of mmd_t")
    add_dot: float | None = _loss_option(None, "add this times <x, y> to the kernels of mmd_g and mmd_t")
    biased: bool = _loss_option(False, "average MMDs over all pairs, each sample with itself included (V-statistic)")
    lower_bound: float | None = _loss_option(None, "lower bound on squared distances, in bounded losses")
    upper_bound: float | None = _loss_option(None, "upper bound on squared distances, in bounded losses")
    cross_bound: bool = _loss_option(False, "bound the cross term of rep_b too, for λ < 0")
    omega: tuple[float, ...] | None = _loss_option(
        None, "low,high or one number: mean kernel value between real and generated scores, of the random-width losses"
    )
    ref_normal: float | None = _loss_option(
        None, "mean squared distance within the normal that rand_g and its variants compare with"
    )
    temperature: tuple[float, ...] | None = _loss_option(
        None, "widths of the kernels of drift, in units of the mean distance of generated to real scores"
    )
    mix_threshold: float | None = _loss_option(
        None, "loss above which the mixing losses exchange samples, and ins_noise adds noise"
    )

    batch_size: int = _training(64, "images per step", short=4, inputs=True, hparams="first", also="batch bs")
    optimizer: str = _training(
        "adam", "optimiser; adam has betas 0.5, 0.999", choices=("adam", "rmsprop", "sgd", "momentum")
    )
    lr_dis: float = _training(
        5e-4,
        "learning rate of the critic",
        positive=True,
        short=6,
        hparams="first",
        identity=lambda e: not e.fixed_critic,
        also="lr learning_rate lr_d d_lr",
    )
    lr_gen: float = _training(
        2e-4,
        "learning rate of the generator",
        positive=True,
        short=7,
        hparams="first",
        also="lr learning_rate lr_g g_lr",
    )
    end_lr: float = _training(
        1e-7,
        "learning rate of sgd and momentum at step 100,000, or at the end of an lr_schedule",
        positive=True,
        identity=_uses_end_lr,
    )
    imbalanced_update: tuple[int, int] | Literal["dynamic"] | None = _training(
        None,
        "p_dis,p_gen: update a network every p-th step, one of them 1; dynamic: after 1,000 steps, update the critic "
        "more rarely the larger the generator's loss",
    )
    seed: int = _training(0, "seed of weights, data order, codes and samples", hparams="first")
    replica_losses: str = _training(
        "gathered",
        "loss of several replicas: of all their scores together, or local: each replica's own, gradients averaged",
        choices=REPLICA_LOSSES,
    )

    ema: float | None = _aid(
        None,
        "make samples and scores with a moving average of the generator's weights of this decay, such as 0.999; none: "
        "with the last weights",
        short=8,
    )
    augment: tuple[str, ...] = _aid(
        (), f"random changes of all images that the critic sees (DiffAugment), of {', '.join(KINDS)}"
    )
    ada: float | None = _aid(
        None,
        "adapt the probability of each of these changes so that the measure of overfitting stays at this target, such "
        "as 0.6; none: each always applies",
    )
    ada_images: int = _aid(
        500_000, "real images over which that probability can go from 0 to 1", identity=lambda e: e.ada is not None
    )
    instance_noise: tuple[float, int] | None = _aid(
        None,
        "SIGMA,STEPS: add Gaussian noise to the images that the critic sees; its standard deviation falls linearly "
        "from SIGMA to 0 over STEPS steps",
    )
    critic_steps: int = _aid(
        1, "critic updates per generator update, each on a batch of its own", also="n_critic num_critic n_dis d_steps"
    )
    r1: float | None = _aid(
        None, "gamma of the R1 penalty: gamma/2 times the mean squared Jacobian of the scores at real images"
    )
    clip_norm: float | None = _aid(None, "clip the gradients of each network to this global norm")
    lr_schedule: str = _aid(
        "original",
        "schedule of both learning rates: linear or cosine decay to end_lr; original: constant for adam and rmsprop, "
        "decaying for sgd and momentum",
        choices=SCHEDULES,
    )
    lr_steps: int | None = _aid(None, "step at which linear and cosine rates reach end_lr; none: max_step")

    strategy: str = _devices(
        "auto",
        "one device, several of one machine (mirrored), or several processes or machines (multi_worker); auto: "
        "mirrored if several GPUs are visible, else one; tpu is untested",
        choices=STRATEGIES,
        short=10,
    )
    devices: int | None = _devices(
        None,
        "number of GPUs to use, or of parts to split the CPU into; none: all GPUs, or the CPU as one",
        also="gpus gpu num_gpus device",
    )
    workers: tuple[str, ...] = _devices(
        (), "host:port,... of all workers, the chief first; none: from TF_CONFIG, or from the Slurm step"
    )
    worker_index: int | None = _devices(None, "index of this process in --workers, from 0")

    max_step: int = _run(
        100_000,
        "train up to this step",
        least=1,
        short=5,
        hparams="shown",
        also="steps iterations iters niter max_steps epochs kimg",
    )
    rounds: int = _run(8, "number of rounds of equal length; samples and scores follow each", least=1)
    score_steps: tuple[int, ...] = _run(
        (), "instead, the steps after which to make samples and scores, such as 500,1000"
    )
    query_step: int = _run(1000, "steps between TensorBoard summaries", least=1)
    tags: str = _run(
        "readable",
        "names of TensorBoard's curves: readable, the same for every loss (loss/critic), or original (GANLoss/dis)",
        choices=("readable", "original"),
    )
    log: tuple[str, ...] = _run(
        (),
        "also track the run by wandb or mlflow (extras of these names): settings, losses, scores, samples",
        choices=tuple(TRACKERS),
        scope="machine",
    )
    save_every: int | None = _run(1000, "steps between checkpoints", least=1, also="snap")
    save_secs: float | None = _run(300.0, "seconds between checkpoints", positive=True)
    keep: int = _run(2, "number of newest checkpoints to keep", least=1)
    keep_best: str | None = _run(
        "auto",
        "also keep the checkpoint of the round with the best value of this score; auto: fid, if it is computed",
        choices=("auto", "none", *JUDGES),
    )
    keep_rounds: bool = _run(False, "also keep the checkpoint of each round")
    grid: tuple[int, int] = _run((20, 20), "rows,columns of the grid of samples")
    deterministic: bool = _run(False, "make runs bit-identical on one machine; slower")
    divergence_limit: float | None = _run(
        divergence.LIMIT, "stop when |loss| exceeds this limit or is NaN (none: no limit)", positive=True
    )
    on_divergence: str = _run(
        "stop",
        "stop: with exit status 3; rollback: return to the last checkpoint with other random numbers, at most 3 times",
        choices=("stop", "rollback"),
    )
    results: str = _run(
        "Results",
        "runs go to RESULTS/<data>/<run name>/",
        short=11,
        scope="place",
        path="(.+)",
        also="outdir out_dir output_dir output out logdir log_dir save_dir checkpoint_dir ckpt_dir",
    )
    run_name: str | None = _run(
        None,
        "name of the run; none: made from loss, learning rates, gain and weights",
        short=12,
        scope="place",
        also="name",
    )
    run_dir: str | None = _run(
        None, "directory of the run, wherever it is; none: RESULTS/<data>/<run name>", scope="place", compare=False
    )
    restart: bool = _run(False, "start from scratch; an earlier run is moved to a folder next to it", scope="call")
    fallback: bool = _run(
        False,
        "if the newest checkpoint is damaged or of other networks, resume from the newest sound one",
        scope="call",
    )

    jit: bool = _speed(False, "compile the networks, the loss and their gradients with XLA")
    steps_per_call: int = _speed(
        1, "steps per TensorFlow call; fewer before a checkpoint, a summary or the end of a round", least=1
    )
    micro_batch: int | None = _speed(
        None,
        "images in memory at a time, a divisor of each device's part of the batch; the step stays that of the whole "
        "batch; none: all of them",
        least=1,
        scope="machine",
    )
    profile: tuple[int, ...] = _speed(
        (),
        "write a TensorBoard profile and a Chrome trace of steps FIRST,LAST, or of this many steps after the 10th of "
        "this call, to the run's logs",
        scope="machine",
    )

    metrics: tuple[str, ...] = _scores(
        ("fid", "is", "kid"), f"scores after each round, of {', '.join(METRICS)}; none: no scores", inputs=True
    )
    features: str = _scores(
        "auto",
        f"features that scores are computed from: {', '.join(FEATURES)} (of keras.applications) or keras:PATH.keras; "
        "auto: inception if its graph is there or can be fetched, else classifier",
        inputs=True,
        path=r"keras:(.+\.keras)",
    )
    resize: str | None = _scores(
        None,
        "how images are resized for the features; none: legacy for inception, clean for Keras networks",
        choices=("legacy", "tfgan", "clean", "none"),
        inputs=True,
    )
    inception: str | None = _scores(
        None, "the 2015 Inception graph: .pb, tar.gz or SavedModel", scope="place", inputs=True, path="(.+)"
    )
    classifier_data: str | None = _scores(None, "labelled data set to train the classifier on", inputs=True)
    score_count: int | None = _scores(
        None, "images to score; none: 50,000 or all of the data, in whole batches", least=1, inputs=True
    )
    feature_cache: str | None = _scores(
        None,
        "folder of cached image features; none: DATA_ROOT/features; off: no cache",
        scope="place",
        path="(?!off$)(.+)",
    )

    def __repr__(self) -> str:
        """The fields that are not at their defaults."""
        fields = [(field.name, getattr(self, field.name), field.default) for field in dataclasses.fields(self)]
        return f"Experiment({', '.join(f'{name}={value!r}' for name, value, default in fields if value != default)})"

    def __post_init__(self) -> None:
        """Takes paths, NumPy numbers, lists and ranges for the values that they stand for, and one value for a list."""
        for field in dataclasses.fields(self):
            value = plain(getattr(self, field.name))
            alone = isinstance(field.default, tuple) and isinstance(value, (str, int, float))
            object.__setattr__(self, field.name, (value,) if alone else value)

    @classmethod
    def load(cls, run: str | os.PathLike) -> Experiment:
        """The experiment of an existing run directory, which trains on there, wherever it is by now.

        Relative paths in its config.json are taken from the folder that holds `results`, if the run is still in
        RESULTS/<data>/, and else from the current folder. Networks whose file is gone are those of config.json.

        Raises:
            ConfigError: It is not a run directory, or its configuration is not of this version.
        """
        folder = RunFolder.open(run)
        saved = folder.read_config()["experiment"]
        if unknown := sorted(set(saved) - set(fields_with(cls))):
            raise ConfigError(f"{folder.config_file} has fields of another version: {', '.join(unknown)}.")
        fields = placed(folder, saved)
        if sidecar_path(Path(fields["data_root"]) / fields["data"], fields["data"]).is_file():
            fields["source"] = None  # which has been converted
        return cls(**fields)

    @classmethod
    def read(cls, source: str | os.PathLike) -> Experiment:
        """The settings of a file or of a run, for another training.

        Args:
            source: A .json or .toml file with fields by name, or such fields under "experiment", as config.json has
                them; or a run's directory, or its config.json. What a run's other fields had decided stays open, and
                its name is left out: other settings make another run.

        Raises:
            ConfigError: It cannot be read, has unknown fields (the nearest ones are named), or values that are not
                valid.
        """
        path = Path(source)
        file = path if path.suffix in (".json", ".toml") else path / "config.json"
        fields = _fields_of(file)
        if file.name == "config.json" and {"results", "data", "run_name"} <= fields.keys():
            fields = {**placed(RunFolder.open(file.parent), fields), "run_name": None, "run_dir": None}
            if str(fields.get("architecture")).partition(":")[0].endswith((".py", ".json")):
                fields["architecture"] = str(file)
        known = fields_with(cls)
        for name in fields:
            if name not in known:
                raise ConfigError(f"{file} has {name!r}, which is no field of an experiment{nearest(name, known)}.")
        experiment = cls(**fields)
        check_limits(experiment)
        return experiment._with_open_fields()

    def _with_open_fields(self) -> Experiment:
        """The same experiment with the fields at None that resolving it fills in as they are."""
        nothing: dict[str, Any] = {field.name: None for field in dataclasses.fields(self) if field.default is None}
        opened = dataclasses.replace(self, **nothing)
        try:
            resolved = opened.resolved()
        except MmdGanError:
            return self
        kept = {name: getattr(self, name) for name in nothing if getattr(self, name) != getattr(resolved, name)}
        return dataclasses.replace(opened, **kept)

    def plan(self, load: Load = design.load_architecture) -> Plan:
        """The experiment checked and resolved, with its networks, loss, data set and folder.

        Each call executes the user's architecture file; what needs several of these takes them from one plan.

        Args:
            load: Returns the dictionary that `architecture` names; a cached one serves several experiments.

        Raises:
            ConfigError: A value is not valid; the sentence names the field and the valid values.
            DataError: There is no data set of that name.
            DesignError: The architecture cannot be built; for conditional layers without classes it names the flag.
        """
        return make_plan(self, load)

    def resolved(self) -> Experiment:
        """The same experiment, checked, with every default filled in that depends on other fields."""
        return self.plan().experiment

    def networks(self) -> tuple[dict[str, Any], design.NetworkSpec, design.NetworkSpec]:
        """The architecture with this experiment's score size and gain: (dictionary, generator, critic)."""
        return networks_of(self, design.load_architecture)

    def folder(self) -> RunFolder:
        """Where the run is, or will be."""
        return run_folder(self) if self.run_name or self.run_dir else self.plan().folder

    def config(self) -> dict[str, Any]:
        """What config.json holds besides the data: resolved fields, the networks' dictionaries, versions."""
        return self.plan().config()

    def dry_run(self) -> str:
        """What `run` would do: configuration and networks; without TensorFlow, without writing."""
        return self.plan().dry_run()

    def run(self, callbacks: CallbacksLike = (), say: Say = to_logger) -> Run:
        """Trains up to `max_step`, from the run's newest checkpoint if there is one.

        Everything that can be wrong is found before the first step: the configuration, the data, the features
        of the scores.

        Args:
            callbacks: Keras callbacks (a list, an iterator, one, a CallbackList, None), for which all rounds are one
                training (`mmdgan.training.callbacks`); of several workers the chief's are called. When one stops the
                training, samples and scores are made of that step.
            say: Takes each sentence about the run; by default they go to the logger "mmdgan", and there is no progress
                line outside of a notebook.

        Returns:
            The run, with its samples, curves, scores and networks. As a mapping it has the keys "folder", "step",
            "grid" (its path, or None if no round ended here), "scores" (the last round's, by name) and "best" (the step
            of the best checkpoint, or None).

        Raises:
            ConfigError, DesignError, DataError, MetricError: As in `mmdgan.errors`, before training; among them that
                another process is training in the run's directory.
            Interrupted, Diverged, WorkerLost: Of mmdgan.training; the first is a KeyboardInterrupt.
        """
        from mmdgan.runs.run import Run
        from mmdgan.runs.train import train

        outcome = train(self.plan(), callbacks, say)
        return Run(RunFolder(outcome["folder"]), outcome)

    def stops(self) -> list[int]:
        """The steps after which samples and scores are made; the last step is always one of them."""
        steps = self.score_steps or [self.max_step * i // self.rounds for i in range(1, self.rounds + 1)]
        return sorted({step for step in steps if 0 < step <= self.max_step} | {self.max_step})

    def judge(self) -> str | None:
        """The score by which the best checkpoint is chosen, a key of `mmdgan.runs.scores.JUDGES`; None: no score."""
        if self.keep_best != "auto":
            return None if self.keep_best == "none" else self.keep_best
        return "fid" if "fid" in self.metrics else None

    def identity(self) -> dict[str, Any]:
        """What a resumed run must share with this one, as `IDENTITY`, without the fields that have no effect here."""
        rules = {field.name: field.metadata["identity"] for field in dataclasses.fields(self)}
        return {name: absent for name, absent in IDENTITY.items() if rules[name] is True or rules[name](self)}

    def aids(self) -> Aids:
        """The training aids that are asked for."""
        settings = {name: getattr(self, name) for name in fields_with(self, group=AIDS)}
        if self.lr_schedule in FALLING and self.lr_steps is None:
            settings["lr_steps"] = self.max_step
        return Aids(**settings)

    def loss_function(self) -> losses.Loss:
        """The loss with this experiment's options."""
        values = {name: getattr(self, name) for name in fields_with(self, group=LOSS)}
        given = {name: value for name, value in values.items() if value is not None and value is not False}
        # One number of a list-valued flag is a number: rep's sigma and a fixed omega are no lists.
        options = {k: v[0] if isinstance(v, tuple) and len(v) == 1 else v for k, v in given.items()}
        return losses.get(self.loss, **options)


Experiment.__doc__ = "\n".join(
    [f"{Experiment.__doc__}\n\nAttributes:"]
    + [f"    {field.name}: {field.metadata['help']}." for field in dataclasses.fields(Experiment)]
)

IDENTITY = defaults(Experiment, identity=True)
"""What a resumed run must share with the run before, with the values of runs made before there was such a field."""

LOSS_OPTIONS = fields_with(Experiment, group=LOSS)
"""The fields that are options of losses."""


def _fields_of(file: Path) -> dict[str, Any]:
    """The fields that a .json or .toml file holds."""
    try:
        text = read_text(file)
        if file.suffix == ".toml":
            held = importlib.import_module("tomllib").loads(text)
        else:
            held = json.loads(text)
        return dict(held.get("experiment", held))
    except ImportError:
        raise ConfigError(f"{file} cannot be read: TOML needs Python 3.11 or newer; write it as JSON.") from None
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be read ({error.strerror or error}); config is a .json or .toml file, or a RUN."
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{file} does not hold fields of an experiment by name ({error}).") from None


def placed(folder: RunFolder, saved: Mapping[str, Any]) -> dict[str, Any]:
    """The experiment's fields of a config.json, with `run_dir` and other paths if they are not to be found from here.

    Args:
        folder: Where the run is.
        saved: The fields, as they were written.
    """
    fields = {name: plain(value) for name, value in saved.items()}
    usual = folder_of(fields["results"], fields["data"], fields["run_name"])
    if usual.exists() and usual.samefile(folder.path):
        return fields
    base = folder.base(fields["results"], fields["data"])
    if base != Path.cwd():
        fields = rebased(fields, dataclasses.fields(Experiment), base)
    return {**fields, "run_dir": str(folder.path)}
