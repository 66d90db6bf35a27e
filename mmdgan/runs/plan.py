"""A plan: an experiment that is checked and resolved once, with its networks, loss, data set and folder.

    plan = experiment.plan()
    print(plan.dry_run())

What trains, scores or describes an experiment takes it from here, so that the user's architecture file is executed
once. Nothing here needs TensorFlow or reads an image.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan import data, design
from mmdgan.core.devices import check_batch, check_devices, visible_devices
from mmdgan.core.errors import CheckpointError, ConfigError, DesignError
from mmdgan.core.files import is_name
from mmdgan.core.lock import is_locked
from mmdgan.core.options import check_limits, defaults, rebased
from mmdgan.core.text import format_value, nearest
from mmdgan.core.versions import versions
from mmdgan.data import catalog, memory
from mmdgan.data.sidecar import read_sidecar
from mmdgan.losses import registry as losses
from mmdgan.metrics import METRICS
from mmdgan.networks import weights
from mmdgan.runs.folder import RunFolder, folder_of
from mmdgan.runs.pretrained import open_folder
from mmdgan.runs.scores import JUDGES

if TYPE_CHECKING:
    from mmdgan.runs.experiment import Experiment
    from mmdgan.training.aids.settings import Aids

FEATURES = ("auto", "inception", "classifier", "dinov2", "clip", "hub:PRESET", "keras:NAME")
"""What scores can be computed from; NAME stands for a network of keras.applications, or a file."""

Load = Callable[[str], dict[str, Any]]

_MOST_PIXELS = 2**30 // 12  # Pillow warns of larger pictures, which may be attacks, and refuses twice the number
_GIVEN = "(a dictionary)"  # the name of an architecture that is given as one, in messages


@dataclass(frozen=True)
class Plan:
    """A resolved experiment.

    Attributes:
        asked: The experiment as the user wrote it.
        experiment: The same with every default filled in that depends on other fields.
        architecture: Dictionary of both networks, with the experiment's score size and gain.
        generator: Specification of the generator.
        critic: Specification of the critic.
        loss: The loss with its options.
        aids: The training aids.
        info: What the catalogue knows of the data set.
        folder: Where the run is, or will be.
    """

    asked: Experiment
    experiment: Experiment
    architecture: dict[str, Any]
    generator: design.NetworkSpec
    critic: design.NetworkSpec
    loss: losses.Loss
    aids: Aids
    info: data.DataInfo
    folder: RunFolder

    def config(self) -> dict[str, Any]:
        """What config.json holds besides the data: resolved fields, the networks' dictionaries, versions."""
        e = self.experiment
        fields = dataclasses.asdict(e) | defaults(e, scope="call")
        del fields["run_dir"]  # a run is where it is opened
        if not e.restart and self.folder.config_file.is_file():
            fields |= self._same_paths(fields, self.folder.read_config()["experiment"])
            fields["max_step"] = max([e.max_step, *self.folder.steps()])
        return {
            "experiment": fields,
            "architecture": self.architecture,
            "versions": versions("python", "mmdgan", "tensorflow", "keras", "numpy"),
        }

    def _same_paths(self, fields: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
        """The relative paths of an earlier config.json that lead where those of these fields do, as written there."""
        e = dataclasses.fields(self.experiment)
        base = self.folder.base(before["results"], before["data"])
        was, now = rebased(before, e, base), rebased(fields, e, Path.cwd())
        return {name: value for name, value in before.items() if was[name] != value and was[name] == now.get(name)}

    def check_folder(self, config: Mapping[str, Any] | None = None) -> None:
        """Checks that the run in the folder, if there is one, can be resumed; with `restart` anything may be there.

        Args:
            config: What config.json would hold; by default without the data.

        Raises:
            ConfigError: It is a run of another configuration; the fields that differ are named.
        """
        if not self.experiment.restart:
            self.folder.check(config or self.config(), self.experiment.identity())

    def cache_mode(self) -> str:
        """Where to keep the images: as `cache` says, or as in the run that would be resumed.

        Returns:
            "memory", "stream", or "auto": what suits the machine.

        Raises:
            ConfigError: `cache` contradicts the run, whose images would come in another order.
        """
        cache, folder = self.experiment.cache, self.folder
        if self.experiment.restart or not folder.config_file.is_file():
            return cache
        known = folder.read_config().get("data")
        if known is None:  # a run that was imported and has not trained yet
            return cache
        mode = known.get("mode", "memory")  # all that versions without the field could
        if cache not in ("auto", mode):
            raise ConfigError(
                f"cache is {cache}, but {folder.path} holds a run with cache {mode}, and its images would come in "
                "another order: leave --cache out, give --restart to start from scratch (the earlier run is moved "
                "aside), or another --run_name."
            )
        return mode

    def refusal(self) -> str | None:
        """Why training would be refused because of what is in the folder, or of weights; None if it would start."""
        try:
            self.check_folder()
            self.cache_mode()
            if self.experiment.restart or not self.folder.steps():
                self._check_weights()
            self.folder.check_writable()
        except (CheckpointError, ConfigError) as error:
            return str(error)
        path = self.folder.path
        return f"another process is training in {path}; wait until it ends." if is_locked(path) else None

    def _check_weights(self) -> None:
        """Checks that the weights to begin with are there; which layers they fit is seen when TensorFlow is there."""
        e = self.experiment
        if e.critic_weights is not None:
            weights.read(e.critic_weights, self.critic)
        if e.init is not None and e.init.lower().endswith(".npz"):
            weights.read_all(e.init)
        elif e.init is not None:
            open_folder(e.init).find_step(None)

    def describe(self) -> str:
        """The resolved configuration, one field per line, as flags take the values."""
        fields = vars(self.experiment)
        return "\n".join(f"  {name:<18}{format_value(value) or 'none'}" for name, value in fields.items())

    def dry_run(self) -> str:
        """What training would do: facts, configuration and networks."""
        return "\n\n".join(
            [
                "\n".join(f"{name:<18}{value}" for name, value in self.facts().items()),
                "configuration:\n" + self.describe(),
                "generator:\n" + design.describe(self.generator),
                "critic:\n" + design.describe(self.critic),
            ]
        )

    def facts(self) -> dict[str, str]:
        """What training would do with the images, the loss and the networks, and where; open choices are explained."""
        e, refusal = self.experiment, self.refusal()
        stops = e.stops()
        shown = ", ".join(f"{step:,}" for step in (stops if len(stops) < 10 else [*stops[:8], stops[-1]]))
        return {
            "run directory": f"{self.folder.path} ({self._what_becomes_of_the_folder(refusal)})",
            **({} if refusal is None else {"refused": refusal}),
            "data": self._where_data(),
            "batches": self._which_batches(refusal is None),
            "classes": f"{e.num_class}, by the labels of the data" if e.num_class else "none: unconditional",
            "penalty": self._which_penalty(),
            "score size": self._why_score_size(),
            "training aids": self.aids.describe() or "none",
            "samples, scores": f"after step {shown}",
            "scores": self._which_scores(),
            "checkpoints": self._which_checkpoints(),
            "devices": visible_devices(),
        }

    def _what_becomes_of_the_folder(self, refusal: str | None) -> str:
        if not self.folder.config_file.is_file():
            return "new" if refusal is None else "new: the run would be refused"
        if refusal is not None:
            return "exists: the run would be refused"
        return "exists: it would be moved aside" if self.experiment.restart else "exists: the run would be resumed"

    def _where_data(self) -> str:
        """The images and where they would be taken from, in the order in which `data.open_data` looks."""
        e, info, root = self.experiment, self.info, Path(self.experiment.data_root)
        folder = root / e.data
        unfinished, loose = catalog.unfinished(e.data, root), catalog.loose_records(info, root)
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

    def _which_batches(self, as_in_the_run: bool) -> str:
        """How training takes the images, and where they would be meanwhile."""
        e, info = self.experiment, self.info
        mode = self.cache_mode() if as_in_the_run else e.cache
        size = None if info.count is None else info.count * math.prod(info.shape)
        kinds = [" of one class"] * e.same_class + [", flipped by chance"] * e.flip
        because = ", as in the run so far" if mode != e.cache else ""
        if mode == "auto":
            mode = "auto" if size is None else memory.choose_cache(size)
        return f"{e.batch_size} images{''.join(kinds)}; {memory.explain(mode, size)}{because}"

    def _which_penalty(self) -> str:
        weight = self.experiment.penalty_weight
        if self.loss.uses_scale:
            return f"none; the critic's loss is divided by 1 + {weight:g} times its mean squared Jacobian"
        return "none" if self.loss.penalty is None else f"{weight:g} times the gradient penalty {self.loss.penalty}"

    def _why_score_size(self) -> str:
        """The number of the critic's outputs, and the reason for it."""
        layer, size = self.critic.layers[self.critic.outputs[0]], self.critic.output_shape[0]
        outputs = f"{size} output{'s' * (size > 1)} of critic layer {layer.name}"
        if self.asked.score_size:
            return f"{outputs}, as --score_size says"
        if layer.type == "project":
            return f"{outputs}, because a label projection has one"
        if self.experiment.fixed_critic or design.has_fixed_width(self.architecture):
            return f"{outputs}, as the architecture has it"
        kind = "compares distributions of scores (an MMD loss)" if size > 1 else "judges each score by itself"
        return f"{outputs}, because {self.experiment.loss} {kind}"

    def _which_scores(self) -> str:
        e = self.experiment
        if not e.metrics:
            return "none"
        count = "50,000 images, or as many as there are" if e.score_count is None else f"{e.score_count:,} images"
        resize = f", resize {e.resize}" if e.resize else ""
        return f"{', '.join(e.metrics)} of {count}; features: {e.features}{resize}"

    def _which_checkpoints(self) -> str:
        e = self.experiment
        best = [f"the best by {e.judge()}"] if e.judge() else []
        return " and ".join([f"the newest {e.keep}", *best, *(["each round's"] if e.keep_rounds else [])])


def make_plan(experiment: Experiment, load: Load = design.load_architecture) -> Plan:
    """Checks and resolves an experiment.

    Args:
        experiment: As the user wrote it.
        load: Returns the dictionary that `experiment.architecture` names.

    Raises:
        ConfigError: A value is not valid; the sentence names the field and the valid values.
        DataError: There is no data set of that name.
        DesignError: The architecture cannot be built.
    """
    e = experiment
    _check_fields(e)
    check_devices(e.strategy, e.devices, e.workers, e.worker_index)
    _check_scores(e)
    loss, aids = e.loss_function(), e.aids()
    if e.batch_size < loss.least_batch:
        why = f", for the loss {loss.name!r} compares samples" if loss.least_batch > 1 else ""
        raise ConfigError(f"batch_size is {e.batch_size}; give at least {loss.least_batch}{why}.")
    architecture, generator, critic = networks_of(e, load)
    _check_frozen(e.freeze, [layer.name for layer in (*generator.layers, *critic.layers)])
    if isinstance(e.architecture, Mapping):
        e = dataclasses.replace(e, architecture=_GIVEN)
    critic_learns = not e.fixed_critic and critic.parameters > 0
    _check_loss(e, loss, critic_learns)
    aids.check_with(imbalanced_update=e.imbalanced_update, jit=e.jit, critic_learns=critic_learns)
    info = data.info(e.data, e.data_root)
    _check_data(e, info, generator, critic)
    weights, widths = loss.options.get("rep_weights"), loss.options["sigma"] if e.variance else e.sigma
    resolved = dataclasses.replace(
        e,
        sigma=(widths,) if isinstance(widths, float) else widths,
        variance=None,
        score_size=critic.output_shape[0],
        penalty_weight=loss.penalty_weight if e.penalty_weight is None else e.penalty_weight,
        rep_weights=tuple(weights) if weights else None,
        rep_lambda=None,
        lr_steps=aids.lr_steps,
    )
    resolved = dataclasses.replace(resolved, run_name=e.run_name or _default_run_name(resolved, critic))
    folder = run_folder(resolved)
    if isinstance(experiment.architecture, Mapping):
        resolved = dataclasses.replace(resolved, architecture=str(folder.config_file))
    return Plan(experiment, resolved, architecture, generator, critic, loss, aids, info, folder)


def _check_frozen(freeze: Sequence[str], layers: Sequence[str]) -> None:
    for name in freeze:
        if name not in layers:
            raise ConfigError(
                f"freeze has {name!r}{nearest(name, layers)}; the layers of both networks are {', '.join(layers)}."
            )


def run_folder(experiment: Experiment) -> RunFolder:
    """The folder of an experiment whose run has a name."""
    e = experiment
    return RunFolder(Path(e.run_dir) if e.run_dir else folder_of(e.results, e.data, e.run_name))


def _default_run_name(e: Experiment, critic: design.NetworkSpec) -> str:
    """The original's name of a run (spec E.8), with the loss as typed."""
    gains = [part.gain for layer in critic.layers for part in layer.parts if part.spectral]
    name = f"sngan_{e.loss}_{e.lr_dis:.0e}_{e.lr_gen:.0e}_k{gains[0] if gains else 1:.3g}"
    if e.rep_weights is not None:
        name += "_{:.1f}_{:.1f}".format(*e.rep_weights)
    return name


def networks_of(e: Experiment, load: Load) -> tuple[dict[str, Any], design.NetworkSpec, design.NetworkSpec]:
    """The architecture with the experiment's score size and gain: (dictionary, generator, critic)."""
    if isinstance(e.architecture, Mapping):
        given = dict(e.architecture)
        return networks_of(dataclasses.replace(e, architecture=_GIVEN), lambda _: given)
    try:
        architecture = load(e.architecture)
    except DesignError:
        folder = None if e.run_dir is None else run_folder(e)
        if folder is None or not folder.config_file.is_file():
            raise
        architecture = folder.read_config()["architecture"]  # of an opened run whose own file is gone
    own_width = e.fixed_critic or design.has_fixed_width(architecture)
    if not own_width:
        default = 1 if _ends_in_projection(architecture) else losses.score_size(e.loss)
        architecture = design.with_score_size(architecture, e.score_size or default)
    if e.gain is not None:
        architecture = design.with_gain(architecture, e.gain)
    try:
        generator, critic = design.parse_architecture(architecture, e.num_class)
    except DesignError as error:
        layers = _conditional_layers(architecture) if e.num_class < 2 else []
        if not layers:
            raise
        count = data.info(e.data, e.data_root).num_class or "N"
        raise DesignError(
            f"architecture {e.architecture} depends on class labels in {layers[0]}: give --num_class={count}, "
            f"the number of classes of {e.data}."
        ) from error
    try:
        json.dumps(architecture)
    except TypeError as error:
        raise DesignError(
            f"architecture {e.architecture} has what config.json cannot hold ({error}); use numbers, texts, lists and "
            "dictionaries of Python."
        ) from None
    width = critic.output_shape[0]
    if own_width and e.score_size not in (None, width):
        why = "is fixed" if e.fixed_critic else f"ends in layer {critic.layers[critic.outputs[0]].name!r}"
        raise ConfigError(
            f"score_size is {e.score_size}, but the critic of {e.architecture} {why} and has {width} outputs; leave "
            "it out."
        )
    return architecture, generator, critic


def _ends_in_projection(architecture: dict[str, Any]) -> bool:
    """Whether the critic's output layer adds a label projection, which has one output whatever the loss."""
    critics = [design.with_score_size(architecture, size)["discriminator"] for size in (1, 2)]
    one, two = [critic["layers"] if isinstance(critic, Mapping) else critic for critic in critics]
    return next(a for a, b in zip(one, two, strict=True) if a != b).get("type") == "project"


def _conditional_layers(architecture: dict[str, Any]) -> list[str]:
    """The layers that need class labels, as "gen/l2_up"; none if the architecture fails for another reason."""
    try:
        specs = design.parse_architecture(architecture, 2)
    except DesignError:
        return []
    return [f"{spec.name}/{layer.name}" for spec in specs for layer in spec.layers if layer.conditional]


def _check_fields(e: Experiment) -> None:
    """Checks the fields that need nothing else: numbers, names, and those that depend on one another."""
    check_limits(e)
    if not 0 <= e.seed < 2**32:
        raise ConfigError(f"seed is {e.seed}; give a whole number from 0 to {2**32 - 1}.")
    if min(e.grid) < 1:
        raise ConfigError(f"grid is {format_value(e.grid)}; give rows,columns of at least 1 each.")
    if e.run_name is not None and not is_name(e.run_name):
        raise ConfigError(
            f"run_name is {e.run_name!r}; give a folder's name without slashes, not dots alone, under 200 bytes."
        )
    periods = e.imbalanced_update
    if periods not in (None, "dynamic") and (isinstance(periods, str) or len(periods) != 2 or min(periods) != 1):
        raise ConfigError(f"imbalanced_update is {format_value(periods)}; give p_dis,p_gen, one of them 1, or dynamic.")
    if e.steps_per_call > 1 and periods is not None:
        raise ConfigError(
            f"steps_per_call is {e.steps_per_call}, but imbalanced_update decides before each step which network is "
            "updated; leave one of them out."
        )
    check_batch(e.batch_size, 1, e.micro_batch)
    if len(e.profile) > 2 or any(step < 1 for step in e.profile) or list(e.profile) != sorted(e.profile):
        raise ConfigError(f"profile is {format_value(e.profile)}; give FIRST,LAST or a number of steps, from 1 on.")
    if any(not 0 < step <= e.max_step for step in e.score_steps):
        raise ConfigError(
            f"score_steps is {format_value(e.score_steps)}; give steps from 1 to max_step = {e.max_step}."
        )


def _check_scores(e: Experiment) -> None:
    """Checks that the scores can be computed, as far as that shows without the images."""
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
    if e.features not in FEATURES[:-2] and not (kind in ("keras", "hub") and network):
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


def _check_loss(e: Experiment, loss: losses.Loss, critic_learns: bool) -> None:
    """Checks that the loss uses what was given for it."""
    if loss.penalty_weight is None and e.penalty_weight is not None:
        raise ConfigError(
            f"penalty_weight is {e.penalty_weight}, but loss {e.loss} has no penalty; leave it out, or choose a loss "
            "that has one, such as rep_gp or wasserstein."
        )
    if critic_learns and loss.frozen:
        raise ConfigError(
            f"loss {e.loss} takes the critic's scores as features that stay as they are; give --fixed_critic, and "
            "--critic_weights for features that were trained."
        )
    if critic_learns:
        return
    if loss.penalty or loss.uses_scale:
        raise ConfigError(
            f"loss {e.loss} regularises the critic, but the critic of {e.architecture} does not learn; choose "
            f"{loss.canonical}, or a critic that does."
        )
    if e.imbalanced_update is not None:
        raise ConfigError(
            f"imbalanced_update is {format_value(e.imbalanced_update)}, but the critic of {e.architecture} does "
            "not learn; leave it out."
        )


def _check_data(e: Experiment, info: data.DataInfo, generator: design.NetworkSpec, critic: design.NetworkSpec) -> None:
    """Checks that the data set has what is asked of it, and that the networks fit its images and classes."""
    if e.same_class and not info.num_class:
        raise ConfigError(f"same_class is true, but {e.data} has no classes; leave it out, or prepare it with labels.")
    if e.data == "sample" and e.cache == "stream":
        raise ConfigError("cache is stream, but sample is made on the spot, in memory; leave it out.")
    if e.num_class and e.num_class != info.num_class:
        has = f"{info.num_class} classes" if info.num_class else "no classes"
        raise ConfigError(f"num_class is {e.num_class}, but {e.data} has {has}; give {info.num_class}.")
    if e.num_class and not (generator.conditional or critic.conditional):
        raise ConfigError(
            f"num_class is {e.num_class}, but no layer of architecture {e.architecture} depends on class "
            "labels; leave it out, or choose an architecture with conditional layers, such as "
            "sample/PROJECTION_SMALL."
        )
    image = tuple(generator.output_shape)
    if image != tuple(info.shape):
        prepared = ""
        if image[1:] == tuple(info.shape[1:]) and image[0] in (1, 3) and e.data != "sample":
            prepared = f", or prepare the images with --channels {image[0]} under another name"
        raise ConfigError(
            f"architecture {e.architecture} makes images of {image} (C, H, W), but those of {e.data} are "
            f"{tuple(info.shape)}; choose an architecture of that shape{prepared}."
        )
    rows, columns = e.grid
    pixels = rows * columns * generator.output_shape[1] * generator.output_shape[2]
    if pixels > _MOST_PIXELS:
        raise ConfigError(
            f"grid is {format_value(e.grid)}, a picture of {pixels:,} pixels; give one of at most {_MOST_PIXELS:,}, "
            "which is what programs open."
        )
