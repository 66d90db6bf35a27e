"""A training run: rounds of training, each followed by a grid of samples and by scores (spec E.5, H.1)."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import textwrap
import zlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.core.devices import check_batch, check_towers
from mmdgan.core.errors import CheckpointError, ConfigError, DataError, write_errors
from mmdgan.core.lock import FolderLock
from mmdgan.core.options import defaults, fields_with
from mmdgan.core.progress import Say, in_notebook, log
from mmdgan.core.startup import prepare_tensorflow
from mmdgan.core.text import command, fitted
from mmdgan.core.workers import available_cores
from mmdgan.data import memory
from mmdgan.metrics.registry import meaning
from mmdgan.networks import weights
from mmdgan.runs.folder import newest_runs
from mmdgan.runs.pretrained import initial_weights
from mmdgan.runs.scores import Best, best_of, newest
from mmdgan.runs.scoring import Scorer, of_weights
from mmdgan.training import divergence, signals
from mmdgan.training.callbacks import Callbacks, CallbacksLike, as_list, check as check_callbacks
from mmdgan.training.checkpoints import UnusableCheckpoint
from mmdgan.training.signals import raising_worker_lost
from mmdgan.training.trackers import open_trackers

if TYPE_CHECKING:
    import keras
    import numpy as np

    from mmdgan.data import ImageData
    from mmdgan.data.dataset import StoredImages
    from mmdgan.runs.experiment import Experiment
    from mmdgan.runs.plan import Plan
    from mmdgan.training import GanStep
    from mmdgan.training.distribution import Replicas


def train(plan: Plan, callbacks: CallbacksLike = (), say: Say = log) -> dict[str, Any]:
    """Trains the run of a plan; see `Experiment.run`."""
    callbacks = as_list(callbacks)
    check_callbacks(callbacks)  # on every worker: one that refuses alone would leave the others waiting
    several = plan.experiment.strategy == "multi_worker"
    with raising_worker_lost() if several else nullcontext(), ExitStack() as held:
        return TrainingRun(plan, held, say).execute(callbacks)


class TrainingRun:
    """Everything that a run needs while it trains, built in an order that finds mistakes before step 1."""

    def __init__(self, plan: Plan, held: ExitStack | None = None, say: Say = log):
        """Opens the data, checks the run directory, and finds the features of the scores.

        Args:
            plan: What to train.
            held: Keeps the lock of the run directory until it is closed; None: no lock is taken.
            say: Takes each sentence about the run.

        Raises:
            ConfigError, DesignError, DataError, MetricError: Something is wrong; nothing has been trained. Among them:
                another process is training in the directory.
        """
        self.plan, self.experiment, self.folder, self.say = plan, plan.experiment, plan.folder, say
        self.lock: FolderLock | None = None
        several = self.experiment.strategy == "multi_worker"
        if not several:  # before TensorFlow starts, which takes its time
            plan.check_folder()
            self._take_lock(held)
        self.replicas = start_replicas(self.experiment, say)
        if several:  # all workers learn of a refusal
            self._on_chief(lambda: self._take_lock(held))
        from mmdgan.training import Monitor

        self.monitor = Monitor(self.folder.logs, self.replicas.is_chief, self.experiment.tags, meaning)
        self.data = self._open_data()
        # The chief alone has the run's directory.
        [fresh] = self.replicas.agree(
            int(self.replicas.is_chief and (self.experiment.restart or not self.folder.steps()))
        )
        self.critic_weights = self.replicas.all_succeed(self._read_critic_weights) if fresh else {}
        self.initial_weights = self.replicas.all_succeed(self._read_initial_weights) if fresh else {}
        self.scorer: Scorer | None = None
        self.replicas.all_succeed(self._check_labels)
        self._on_chief(self._prepare)
        # The chief's records tell how many times the run has gone back.
        [self.attempt] = self.replicas.agree(divergence.attempts(self.folder.path) if self.replicas.is_chief else 0)
        self._build()

    def _on_chief(self, task: Callable[[], Any]) -> Any:
        """Does a task on the chief alone; an error there is raised on all workers."""
        return self.replicas.all_succeed(lambda: task() if self.replicas.is_chief else None)

    def _take_lock(self, held: ExitStack | None) -> None:
        if held is not None:
            self.lock = held.enter_context(FolderLock(self.folder.path))

    def _open_data(self) -> ImageData | StoredImages:
        """Opens the images: on the chief, which may write them; then, in the same order, on the other workers."""
        e, replicas = self.experiment, self.replicas
        first = self._on_chief(lambda: open_data(e, self.plan.cache_mode(), self.say))
        [streamed] = replicas.agree(int(first is not None and first.mode == "stream"))
        mode = "stream" if streamed else "memory"
        data = replicas.all_succeed(lambda: open_data(e, mode, self.say) if first is None else first)
        if replicas.workers > 1:
            number = zlib.crc32(data.fingerprint().encode())
            largest, minus_smallest = replicas.agree(number, -number)
            if largest != -minus_smallest:
                raise ConfigError(f"The workers hold different images of {data.name}; give all the same data set.")
        return data

    def _prepare(self) -> None:
        """Checks the images against the run, finds the scores' features, and makes the directory."""
        config = {**self.plan.config(), "data": self._data_facts()}
        self.plan.check_folder(config)
        self.scorer = Scorer.of(self.experiment, self.data, say=self.say)
        self.folder.prepare(config, self.experiment.restart, self.say)
        if self.lock is not None:
            self.lock.renew()  # --restart has moved the former directory aside, with its lock

    def _data_facts(self) -> dict[str, Any]:
        """What config.json holds of the images; reports where they are, if that is not in memory."""
        data, known = self.data, None
        if data.mode == "stream":
            where = memory.explain(data.mode, data.count * math.prod(data.shape))
            self.say(f"The images of {data.name} are {where}.")
        if self.folder.config_file.is_file() and not self.experiment.restart:
            known = self.folder.read_config().get("data", {}).get("fingerprint")
        return {
            "count": data.count,
            "source": data.source,
            "fingerprint": fingerprint_like(known, data),
            "mode": data.mode,
        }

    def _check_labels(self) -> None:
        """Checks that the images that were found have the labels a conditional run needs."""
        wanted, data = self.experiment.num_class, self.data
        if (wanted or self.experiment.same_class) and not data.labelled:
            flag = f"num_class is {wanted}" if wanted else "same_class is true"
            raise DataError(
                f"{flag}, but the images of {data.name} that were found ({data.source}) have no "
                "labels; train without classes, or give a --source with labels."
            )
        if wanted and data.num_class != wanted:
            raise DataError(
                f"num_class is {wanted}, but the images of {data.name} that were found ({data.source}) are of "
                f"{data.num_class} classes; give --num_class={data.num_class}."
            )

    def _read_critic_weights(self) -> dict[str, Any]:
        """The weights of `critic_weights`."""
        file = self.experiment.critic_weights
        return {} if file is None else weights.read(file, self.plan.critic)

    def _read_initial_weights(self) -> dict[str, dict[str, np.ndarray]]:
        """The weights of `init` for the layers that fit, by part; ConfigError if there is no part, or no layer fits."""
        e = self.experiment
        found: dict[str, dict[str, np.ndarray]] = {}
        if e.init is None:
            return found
        specs = {"generator": self.plan.generator, "critic": self.plan.critic}
        for part, arrays in initial_weights(e.init, e.init_parts).items():
            found[part], left = weights.fitting(specs[part], arrays)
            reasons = [f"{name} ({why})" for name, why in left.items()]
            if not found[part]:
                raise ConfigError(
                    f"init is {e.init}, but no layer of the {part} fits: {', '.join(reasons)}. Leave the {part} out "
                    "of --init_parts."
                )
            rest = f"; fresh are {', '.join(reasons)}" if left else ""
            count = len(specs[part].layers) - len(left)
            self.say(f"Of the {part}, {count} layers begin with the weights of {e.init}{rest}.")
        if not found:
            raise ConfigError(f"init is {e.init}, which has none of init_parts={','.join(e.init_parts)} to begin with.")
        return found

    def _begin_with_weights(self) -> None:
        """Gives layers the weights of `critic_weights` and `init`; a run that is resumed gets its own afterwards."""
        if self.critic_weights:
            layers = weights.assign(self.gan.discriminator, self.critic_weights)
            self.say(f"The critic's {', '.join(layers)} begin with the weights of {self.experiment.critic_weights}.")
        players = {"generator": self.gan.generator, "critic": self.gan.discriminator}
        for part, arrays in self.initial_weights.items():
            weights.assign(players[part], arrays)
        if self.gan.average is not None:
            self.gan.average.reset()

    def _build(self) -> None:
        from mmdgan.data import Pipeline
        from mmdgan.training import Checkpoints, Progress, Trainer

        e, replicas = self.experiment, self.replicas
        seed = divergence.attempt_seed(e.seed, self.attempt)
        shows = replicas.is_chief and (self.say is not log or in_notebook())
        self.gan = make_gan(self.plan, replicas, seed)
        if self.critic_weights or self.initial_weights:
            self._begin_with_weights()
        state = self.gan.state()
        self.checkpoints = Checkpoints(self.folder.checkpoints, state, keep=e.keep, writes=replicas.is_chief)
        pipeline = Pipeline(
            self.data,
            e.batch_size * e.critic_steps,
            seed=seed,
            data_format=self.gan.generator.data_format,
            labels=e.num_class >= 2,
            flip=e.flip,
            same_class=e.same_class,
            worker=(replicas.worker, replicas.workers),
        )
        self.trainer = Trainer(
            self.gan,
            pipeline,
            checkpoints=self.checkpoints,
            monitor=self.monitor,
            progress=Progress(total=e.max_step, stream="stderr" if shows else None),
            save_every=e.save_every,
            save_secs=e.save_secs,
            query_step=e.query_step,
            divergence_limit=e.divergence_limit,
            agree=replicas.agree if replicas.workers > 1 else None,
            steps_per_call=e.steps_per_call,
        )

    def execute(self, callbacks: Sequence[keras.callbacks.Callback] = ()) -> dict[str, Any]:
        """Trains round after round; takes and returns what `Experiment.run` does."""
        e, replicas = self.experiment, self.replicas
        if self._restore():
            self.say(f"Resuming {self.folder.path} after step {self.step:,}.")
        else:
            self.say(f"Training {self.folder.path}.")
        self.say(self._header())
        self._on_chief(self._open_trackers)
        if e.tags == "readable":
            self.monitor.samples = lambda: self._samples(8, 8)
        self.monitor.text("configuration", "    " + self.plan.describe().replace("\n", "\n    "))
        self._write_hparams()
        called, succeeded = self._callbacks(callbacks), False
        try:
            for stop in e.stops():
                self._train(stop, called)
                [stopped] = replicas.agree(int(called.stop))
                if stopped or self.step == stop:
                    self._on_chief(lambda: self._finish_round(self.step, called))
                if stopped:
                    self.say(f"A callback has stopped the training after step {self.step:,}.")
                    break
            replicas.agree(0)  # barrier: a worker that leaves before the chief has finished would count as lost
            self._write_hparams(succeeded=True)
            succeeded = True
        except divergence.Diverged:
            with contextlib.suppress(ConfigError):  # report the divergence even if the disk is full
                self._write_hparams(succeeded=False)
            raise
        finally:
            called.close()
            self.monitor.close(succeeded)
        if not replicas.is_chief:
            return {"folder": self.folder.path, "step": self.step, "grid": None, "scores": {}, "best": None}
        return self._report()

    def _open_trackers(self) -> None:
        """Begins what `log` asks for, and says where it is."""
        e = self.experiment
        self.monitor.trackers = open_trackers(e.log, self.folder.path, dataclasses.asdict(e))
        for name, tracker in zip(e.log, self.monitor.trackers, strict=True):
            self.say(f"{name}: {tracker.address}")

    def _header(self) -> str:
        """What trains on what, how long, and the command that shows it."""
        e, data, plan = self.experiment, self.data, self.plan
        channels, height, width = data.shape
        classes = f"{data.num_class} classes" if data.labelled else "no classes"
        stops, step = [stop for stop in e.stops() if stop > self.step], self.step
        scores = f"samples and {', '.join(e.metrics)}" if e.metrics else "samples"
        after = [f"{stop:,}" for stop in stops]
        after = after if len(after) < 5 else [*after[:2], "...", after[-1]]
        facts = {
            "device": f"{self._devices()}, {e.precision}",
            "data": f"{data.name}: {data.count:,} images, {height}x{width}, {channels} channels, {classes}",
            "networks": f"{e.architecture}: generator {plan.generator.parameters:,} parameters, "
            f"critic {plan.critic.parameters:,}",
            "plan": f"steps {step + 1:,} to {e.max_step:,} of {e.batch_size} images; {scores} after {', '.join(after)}",
        }
        if not stops:
            facts["plan"] = f"nothing left to train: {step:,} steps of {e.max_step:,} are done"
        facts = {name: fitted(value, 12) for name, value in facts.items()} | {"watch": self.folder.tensorboard}
        return "\n".join(f"  {name:<10}{value}" for name, value in facts.items())

    def _devices(self) -> str:
        import tensorflow as tf

        gpus, count = tf.config.list_physical_devices("GPU"), self.replicas.count
        if not gpus:
            return f"CPU ({available_cores()} cores)" if count == 1 else f"{count} parts of the CPU"
        name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
        return f"{count} x {name}"

    def _callbacks(self, given: Sequence[keras.callbacks.Callback]) -> Callbacks:
        """The user's callbacks, and the profiler if it is asked for; on the chief alone."""
        if not self.replicas.is_chief:
            return Callbacks([])
        if self.experiment.profile:
            from mmdgan.training.profiling import Profile

            given = [*given, Profile(self.folder.logs, self.experiment.profile, self.say)]
        return Callbacks(given)

    def _write_hparams(self, succeeded: bool | None = None) -> None:
        """Writes the run's settings, and which scores there are so far, for TensorBoard's HParams tab."""
        if not self.replicas.is_chief:
            return
        from mmdgan.training.tensorboard import LOSSES

        e, identity = self.experiment, defaults(self.experiment, identity=True)
        always = fields_with(e, hparams="first")
        values = {name: getattr(e, name) for name in (*always, *fields_with(e, hparams="shown"), *identity)}
        first = [name for name, value in values.items() if name in always or value != identity.get(name, value)]
        scores = dict.fromkeys(f"scores/{record['metric']}" for record in self.folder.round_records())
        self.monitor.hparams(values, [*scores, *LOSSES], first=first, succeeded=succeeded)

    def _restore(self) -> bool:
        """Gives all workers the state of the chief's newest checkpoint, if there is one."""
        restored = self.replicas.all_succeed(self._restore_own)
        if not any(self.replicas.agree(int(restored))):
            return False
        self.replicas.broadcast(list(self.gan.state().values()))
        return True

    def _restore_own(self) -> bool:
        """Restores the newest checkpoint, with --fallback the newest usable one, if there is one."""
        if self.checkpoints.latest() is None:
            return False
        try:
            if not self.experiment.fallback:
                self.checkpoints.restore()
                return True
            step, errors = self.checkpoints.restore_sound()
        except UnusableCheckpoint as error:
            before = [] if self.experiment.fallback else [s for s in self.checkpoints.steps() if s < error.step]
            remedy = f"goes on from the one before, of step {before[-1]}" if before else "starts from scratch"
            flag = "--fallback" if before else "None before it can be used; --restart"
            raise CheckpointError(f"{error} {flag} {remedy}.") from error
        for damage in errors:
            self.say(f"{damage} It is moved aside.")
        if errors:
            self.folder.forget_after(step)
        return True

    @property
    def step(self) -> int:
        """Steps done so far."""
        return int(self.gan.iterations.numpy())

    def _train(self, stop: int, callbacks: Callbacks) -> None:
        """Trains up to a step; goes back after a divergence if the experiment says so."""
        while self.step < stop:
            try:
                self.trainer.fit(stop, callbacks)
                return
            except divergence.Diverged as error:  # on all workers at once
                [back_to] = self.replicas.agree(self.checkpoints.latest() or 0)
                if self.experiment.on_divergence == "stop" or self.attempt == divergence.MOST_ROLLBACKS:
                    error.attempts = self.attempt
                    with contextlib.suppress(OSError):  # report the divergence even if the disk is full
                        self._record(error, None)
                    raise
                self.attempt += 1
                self._record(error, back_to)
                sentence = f"{error}; going back to step {back_to:,} with other random numbers"
            count = f"{self.attempt} of at most {divergence.MOST_ROLLBACKS} times"
            self.say(f"{sentence[0].upper()}{sentence[1:]}, {count}.")
            self.monitor.text("divergence", sentence, back_to)
            self._build()
            self._restore()

    def _record(self, error: divergence.Diverged, back_to: int | None) -> None:
        if self.replicas.is_chief:
            divergence.record(self.folder.path, error, back_to, self.attempt)

    def _finish_round(self, step: int, callbacks: Callbacks) -> None:
        """Makes samples and scores of a round, unless an interrupted run had made them already."""
        from mmdgan.metrics import format_table

        e = self.experiment
        if e.keep_rounds:
            self.checkpoints.keep_permanently(step)  # written by fit, or restored
        if not self.folder.grid_file(step).is_file():
            self.say(f"Samples after step {step:,}: {self._make_grid(step)}")
        if self.scorer and not any(record["step"] == step for record in self.folder.round_records()):
            scores = self.scorer.score(self.gan.sampling_generator, step)
            scores = of_weights(scores, None if e.ema is None else "ema")
            self._write_scores(scores, step)
            self.folder.append(step, "train", scores)
            self._write_hparams()
            callbacks.scored({score["metric"]: score["value"] for score in scores if score["value"] is not None})
            if step < e.max_step:  # the last ones are part of the report
                self.say(f"Scores after step {step:,}:\n{format_table(scores)}")
        best = self._best()
        if best is not None:
            self.checkpoints.keep_best(best.step)

    def _samples(self, rows: int, columns: int) -> np.ndarray:
        """Images of the first of the run's fixed codes, uint8 (rows * columns, H, W, C)."""
        from mmdgan import sampling

        codes = sampling.grid_codes(rows * columns, self.gan.code_size, self.experiment.seed)
        labels = sampling.cycled_labels(rows * columns, self.experiment.num_class, columns)
        return sampling.generate(self.gan.sampling_generator, codes, labels)

    def _make_grid(self, step: int) -> Path:
        """Writes the grid of samples of the run's fixed codes."""
        from mmdgan.pictures import grid as pictures

        rows, columns = self.experiment.grid
        images = self._samples(rows, columns)
        file = self.folder.grid_file(step)
        with write_errors(file):
            return pictures.save_png(file, pictures.image_grid(images, columns))

    def _write_scores(self, scores: list[dict[str, Any]], step: int) -> None:
        """Writes scores to TensorBoard, and their spreads and intervals under tags of their own."""
        for tag, key in (("scores", "value"), ("scores_spread", "spread")):
            known = {f"{tag}/{score['metric']}": score[key] for score in scores if score[key] is not None}
            self.monitor.scalars(step, known)
        ends = [(score["metric"], score["interval"]) for score in scores if score.get("interval")]
        known = {
            f"scores_interval/{name}/{end}": v for name, x in ends for end, v in zip(("low", "high"), x, strict=True)
        }
        self.monitor.scalars(step, known)

    def _best(self) -> Best | None:
        """The best checkpoint so far, if one is to be kept and is there."""
        judge = self.experiment.judge()
        return None if judge is None else best_of(self.folder.round_records(), judge, self.checkpoints.steps())

    def _report(self) -> dict[str, Any]:
        from mmdgan.metrics import format_table

        folder, step = self.folder, self.step
        scores, best = newest(self.folder.round_records()), self._best()
        grid = folder.grid_file(step) if folder.grid_file(step).is_file() else None
        beyond = f", beyond max_step {self.experiment.max_step:,}" if step > self.experiment.max_step else ""
        lines = [f"Done: {step:,} steps{beyond}. It wrote"]
        if grid is not None:
            lines.append(f"  {grid}   samples")
        if best is not None:
            kept = f"the best checkpoint kept: {best.metric} {best.value:.4g}"
            lines.append(f"  {folder.checkpoints}/ckpt-{best.step}   {kept}")
        if scores:
            lines.append(f"  {folder.metrics_file}   scores, the last after step {scores[0]['step']:,}:")
            lines.append(textwrap.indent(format_table(scores), "    "))
        which = ["--step", "best"] if best is not None and best.step != step else []
        metrics = [] if self.experiment.metrics else ["--metrics=fid,is,kid"]
        lines += [
            f"TensorBoard:  {folder.tensorboard}",
            f"Report:       {command('report', folder.path)}",
            f"More samples: {command('sample', folder.path, *which, '--count', 5000, '--out', 'samples.npz')}",
            f"More scores:  {command('evaluate', folder.path, *metrics)}",
        ]
        if scores and self.experiment.run_dir is None:  # which may lie among anything
            others = (run.path for run in newest_runs(folder.path.parent) if run != folder and run.records())
            if (other := next(others, None)) is not None:
                lines.append(f"Comparison:   {command('compare', other, folder.path, '--out', 'compare')}")
        self.say("\n".join(lines))
        return {
            "folder": folder.path,
            "step": step,
            "grid": grid,
            "scores": {score["metric"]: score["value"] for score in scores},
            "best": None if best is None else best.step,
        }


def start_replicas(experiment: Experiment, say: Say = log) -> Replicas:
    """Starts TensorFlow on the devices that the experiment asks for; waits for the other workers, if there are any.

    Raises:
        ConfigError: Devices or workers are not there, or the replicas cannot share the batch.
    """
    e = experiment
    if e.strategy == "multi_worker":
        say("Waiting for the other workers.")

    def begin() -> Replicas:
        from mmdgan.training.distribution import Replicas, make_strategy

        with signals.deadly() if e.strategy == "multi_worker" else nullcontext():
            strategy = make_strategy(e.strategy, devices=e.devices, workers=e.workers, worker_index=e.worker_index)
            return Replicas(strategy)

    replicas = prepare_tensorflow(e.devices, begin, e.seed if e.deterministic else None)
    check_batch(e.batch_size, replicas.count, e.micro_batch)
    if e.replica_losses == "local" and e.loss_function().least_batch > 1:
        check_towers(e.batch_size, replicas.count)
    if replicas.count > 1:
        which = f" in {replicas.workers} workers, of which this is {replicas.worker}" if replicas.workers > 1 else ""
        say(f"{replicas.count} replicas{which}, {e.batch_size // replicas.count} images each.")
    return replicas


def make_gan(plan: Plan, replicas: Replicas | None = None, seed: int | None = None) -> GanStep:
    """Both networks with fresh weights, the loss and the optimisers.

    Args:
        plan: Which networks, loss and settings.
        replicas: What trains them; one device by default.
        seed: Replaces the experiment's.
    """
    from mmdgan.core import random
    from mmdgan.networks import build_discriminator, build_generator
    from mmdgan.training import GanStep

    e = plan.experiment
    seed = e.seed if seed is None else seed
    names = ("data_format", "precision", "spectral", "initializer", "legacy")
    options = {name: getattr(e, name) for name in names}
    with random.seeded(seed), nullcontext() if replicas is None else replicas.scope():
        generator = build_generator(plan.architecture, e.num_class, **options)
        critic = build_discriminator(plan.architecture, e.num_class, **options)
        for block in [*generator.blocks, *critic.blocks]:
            block.trainable = block.name not in e.freeze
        return GanStep(
            generator,
            critic,
            plan.loss,
            e.lr_dis,
            e.lr_gen,
            e.optimizer,
            end_lr=e.end_lr,
            imbalanced_update=e.imbalanced_update,
            penalty_weight=e.penalty_weight,
            legacy=e.legacy,
            seed=seed,
            replica_losses=e.replica_losses,
            jit=e.jit,
            fixed_critic=e.fixed_critic,
            aids=plan.aids,
            micro_batch=e.micro_batch,
            same_class=e.same_class,
        )


def fingerprint_like(known: str | None, data: ImageData | StoredImages) -> str:
    """The fingerprint of images, or that of their content alone, by which version 0.1 knew them, if it is `known`."""
    fingerprint = data.fingerprint()
    if known not in (None, fingerprint) and data.mode == "memory":
        images: Any = data  # ImageData, as they are in memory
        if (content := images.content_digest()) == known:
            return content
    return fingerprint


def open_data(experiment: Experiment, cache: str | None = None, say: Say = log) -> ImageData | StoredImages:
    """The data set of an experiment; DataError names the ways to get it.

    Args:
        experiment: Which one, and where.
        cache: "auto", "memory" or "stream"; by default the experiment's.
        say: Takes sentences about a conversion or a download.
    """
    from mmdgan import data

    e = experiment
    return data.open_data(e.data, data_root=e.data_root, source=e.source, cache=cache or e.cache, say=say)
