"""A training run: rounds of training, each followed by a grid of samples and by scores (spec E.5, H.1)."""

from __future__ import annotations

import contextlib
import dataclasses
import textwrap
import zlib
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.core.devices import check_batch, check_one_replica, check_towers
from mmdgan.core.errors import CheckpointError, ConfigError, DataError
from mmdgan.core.lock import FolderLock
from mmdgan.core.options import fields_with
from mmdgan.core.startup import prepare_tensorflow
from mmdgan.data import memory
from mmdgan.runs.experiment import IDENTITY
from mmdgan.runs.folder import RunFolder
from mmdgan.runs.scores import Best, best_of, newest
from mmdgan.runs.scoring import Scorer, of_weights
from mmdgan.training import divergence

if TYPE_CHECKING:
    import keras

    from mmdgan.data import ImageData
    from mmdgan.data.dataset import StoredImages
    from mmdgan.runs.experiment import Experiment
    from mmdgan.training import GanStep, Monitor
    from mmdgan.training.callbacks import Callbacks
    from mmdgan.training.distribution import Replicas


class TrainingRun:
    """Everything an `Experiment` needs while it runs; built in an order that finds mistakes before step 1."""

    def __init__(self, experiment: Experiment, held: ExitStack | None = None):
        """Opens the data, checks the run directory, and finds the features of the scores.

        Args:
          experiment: what to train.
          held: keeps the lock of the run directory until it is closed; None: no lock is taken.

        Raises:
          ConfigError, DesignError, DataError, MetricError: whatever is wrong, before any training; among them that
            another process is training in the directory.
        """
        self.experiment = experiment.resolved()
        self.architecture = self.experiment.networks()[0]
        self.folder: RunFolder = self.experiment.folder()
        config = experiment.config()
        if not experiment.restart and experiment.strategy != "multi_worker":  # else once the others can be told
            self.folder.check(config, self.experiment.identity())
        self.lock: FolderLock | None = None
        several = experiment.strategy == "multi_worker"
        if held is not None and not several:  # before TensorFlow starts, which takes its time
            self.lock = held.enter_context(FolderLock(self.folder.path))
        self.replicas = start_replicas(self.experiment)
        if held is not None and several:
            self.replicas.all_succeed(lambda: self._lock_as_chief(held))
        self.monitor = self._make_monitor()
        self.data = self._open_data()
        self.critic_weights = self._read_critic_weights()
        self.scorer: Scorer | None = None
        self.replicas.all_succeed(lambda: self._prepare(config))
        # The chief's records tell how many times the run has gone back.
        [self.attempt] = self.replicas.agree(divergence.attempts(self.folder.path) if self.replicas.is_chief else 0)
        self._build()

    def _lock_as_chief(self, held: ExitStack) -> None:
        if self.replicas.is_chief:  # which alone writes there
            self.lock = held.enter_context(FolderLock(self.folder.path))

    def _make_monitor(self) -> Monitor:
        from mmdgan.training import Monitor

        return Monitor(self.folder.logs, writes=self.replicas.is_chief)

    def _open_data(self) -> ImageData | StoredImages:
        """Opens the images: on the chief, which may write them; then, in the same order, on the other workers."""
        e, replicas, chief = self.experiment, self.replicas, self.replicas.is_chief
        first = replicas.all_succeed(lambda: open_data(e, e.cache_mode()) if chief else None)
        [streamed] = replicas.agree(int(first is not None and first.mode == "stream"))
        mode = "stream" if streamed else "memory"
        data = replicas.all_succeed(lambda: open_data(e, mode) if first is None else first)
        if replicas.workers > 1:
            number = zlib.crc32(data.fingerprint().encode())
            largest, minus_smallest = replicas.agree(number, -number)
            if largest != -minus_smallest:
                raise ConfigError(f"The workers hold different images of {data.name}; give all the same data set.")
        return data

    def _prepare(self, config: dict[str, Any]) -> None:
        """Checks the images against the run, and begins its directory: the chief does."""
        self._check_labels()
        if not self.replicas.is_chief:
            return
        config["data"] = self._data_facts()
        if not self.experiment.restart:
            self.folder.check(config, self.experiment.identity())
        self.scorer = Scorer.of(self.experiment, self.data)
        self.folder.prepare(config, self.experiment.restart)
        if self.lock is not None:
            self.lock.renew()  # --restart has moved the former directory aside, with its lock

    def _data_facts(self) -> dict[str, Any]:
        """What config.json holds of the images; says where they are, if that is not in memory."""
        data, known = self.data, {}
        if data.mode == "stream":
            size = data.count * data.shape[0] * data.shape[1] * data.shape[2]
            print(f"The images of {data.name} are {memory.explain(data.mode, size)}.")
        if self.folder.config_file.is_file() and not self.experiment.restart:
            known = self.folder.read_config().get("data", {})
        fingerprint = data.fingerprint()
        if known.get("fingerprint") not in (None, fingerprint) and data.mode == "memory":
            # The version before knew images by their content alone, and so may the run.
            images: Any = data  # ImageData, as they are in memory
            content = images.content_digest()
            fingerprint = content if content == known["fingerprint"] else fingerprint
        return {"count": data.count, "source": data.source, "fingerprint": fingerprint, "mode": data.mode}

    def _build(self) -> None:
        from mmdgan.data import Pipeline
        from mmdgan.training import Checkpoints, Progress, Trainer

        e, replicas = self.experiment, self.replicas
        seed = divergence.attempt_seed(e.seed, self.attempt)
        self.gan = make_gan(dataclasses.replace(e, seed=seed), self.architecture, replicas)
        if self.critic_weights:
            from mmdgan.networks import weights

            layers = weights.assign(self.gan.discriminator, self.critic_weights)
            print(f"The critic's {', '.join(layers)} begin with the weights of {e.critic_weights}.")
        state = self.gan.state()
        self.checkpoints = Checkpoints(self.folder.checkpoints, state, keep=e.keep, writes=replicas.is_chief)
        stream: dict[str, Any] = {
            "seed": seed,
            "data_format": self.gan.generator.data_format,
            "labels": e.num_class >= 2,
        }
        stream |= {"flip": e.flip, "same_class": e.same_class, "worker": (replicas.worker, replicas.workers)}
        self.trainer = Trainer(
            self.gan,
            Pipeline(self.data, e.batch_size * e.critic_steps, **stream),
            checkpoints=self.checkpoints,
            monitor=self.monitor,
            progress=Progress(total=e.max_step, stream="stderr" if replicas.is_chief else None),
            save_every=e.save_every,
            save_secs=e.save_secs,
            query_step=e.query_step,
            divergence_limit=e.divergence_limit,
            agree=replicas.agree if replicas.workers > 1 else None,
            steps_per_call=e.steps_per_call,
        )

    def _read_critic_weights(self) -> dict[str, Any]:
        """What the critic begins with besides its fresh weights: nothing in a run that is resumed."""
        e = self.experiment
        begun = not e.restart and bool(self.folder.steps())
        if e.critic_weights is None or begun:
            return {}
        from mmdgan.networks import weights

        return weights.read(e.critic_weights, e.networks()[2])

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

    def execute(self, callbacks: Sequence[keras.callbacks.Callback] = ()) -> dict[str, Any]:
        """Trains round after round; takes and returns what `Experiment.run` does."""
        e, replicas = self.experiment, self.replicas
        if self._restore():
            print(f"Resuming {self.folder.path} after step {self.step:,}.")
        else:
            print(f"Training {self.folder.path}.")
        self.monitor.text("configuration", "    " + e.describe().replace("\n", "\n    "))
        self._tell_hparams()
        looking_on = self._callbacks(callbacks)
        try:
            for stop in e.stops():
                self._train(stop, looking_on)
                [stopped] = replicas.agree(int(looking_on.stop))
                if (stopped or self.step == stop) and replicas.is_chief:
                    self._finish_round(self.step, looking_on)
                if stopped:
                    print(f"A callback has stopped the training after step {self.step:,}.")
                    break
            replicas.agree(0)  # nobody leaves before the chief is done: the others would take it for lost
            self._tell_hparams(succeeded=True)
        except divergence.Diverged:
            with contextlib.suppress(ConfigError):  # a full disk: the divergence is the news
                self._tell_hparams(succeeded=False)
            raise
        finally:
            looking_on.close()
            self.monitor.close()
        if not replicas.is_chief:
            return {"folder": self.folder.path, "step": self.step, "grid": None, "scores": {}, "best": None}
        return self._report()

    def _callbacks(self, given: Sequence[keras.callbacks.Callback]) -> Callbacks:
        """What looks on while the steps are taken: a person's callbacks, and the profiler if it is asked for."""
        from mmdgan.training.callbacks import Callbacks

        if not self.replicas.is_chief:
            return Callbacks([])
        looking_on = list(given)
        if self.experiment.profile:
            from mmdgan.training.profiling import Profile

            looking_on.append(Profile(self.folder.logs, self.experiment.profile, print))
        return Callbacks(looking_on)

    def _tell_hparams(self, succeeded: bool | None = None) -> None:
        """Tells TensorBoard's HParams tab the run's settings, and which scores there are so far."""
        if not self.replicas.is_chief:
            return
        from mmdgan.training.tensorboard import LOSSES

        scores = dict.fromkeys(f"scores/{record['metric']}" for record in self._rounds_scored())
        e = self.experiment
        names = [f.name for f in dataclasses.fields(e) if f.metadata["hparams"] or f.metadata["identity"]]
        values = {name: getattr(e, name) for name in names}
        always = fields_with(e, hparams="first")
        first = [name for name, value in values.items() if name in always or value != IDENTITY.get(name, value)]
        self.monitor.hparams(values, [*scores, *LOSSES], first=first, succeeded=succeeded)

    def _restore(self) -> bool:
        """Gives all workers the state of the chief's newest checkpoint, if there is one."""
        restored = self.replicas.all_succeed(self._restore_own)
        if not any(self.replicas.agree(int(restored))):
            return False
        self.replicas.broadcast(list(self.gan.state().values()))
        return True

    def _restore_own(self) -> bool:
        """Restores the newest checkpoint, with --fallback the newest that can be used, if there is one."""
        from mmdgan.training.checkpoints import UnusableCheckpoint

        if self.checkpoints.latest() is None:
            return False
        try:
            if not self.experiment.fallback:
                self.checkpoints.restore()
                return True
            step, errors = self.checkpoints.restore_sound()
        except UnusableCheckpoint as error:
            before = [] if self.experiment.fallback else [s for s in self.checkpoints.steps() if s < error.step]
            remedy = f"goes on from the one before, of step {before[-1]}" if before else "begins anew"
            flag = "--fallback" if before else "None before it can be used; --restart"
            raise CheckpointError(f"{error} {flag} {remedy}.") from error
        for damage in errors:
            print(f"{damage} It is moved aside.")
        if errors:
            self.folder.forget_after(step)
        return True

    @property
    def step(self) -> int:
        """Steps done so far."""
        return int(self.gan.iterations.numpy())

    def _train(self, stop: int, callbacks: Callbacks) -> None:
        """Trains up to a step, over divergences if the experiment says so."""
        while self.step < stop:
            try:
                self.trainer.fit(stop, callbacks)
                return
            except divergence.Diverged as error:  # on all workers at once
                [back_to] = self.replicas.agree(self.checkpoints.latest() or 0)
                if self.experiment.on_divergence == "stop" or self.attempt == divergence.MOST_ROLLBACKS:
                    error.attempts = self.attempt
                    with contextlib.suppress(OSError):  # a full disk: the divergence is the news
                        self._record(error, None)
                    raise
                self.attempt += 1
                self._record(error, back_to)
                told = f"{error}; going back to step {back_to:,} with other random numbers"
            print(f"{told[0].upper()}{told[1:]}, {self.attempt} of at most {divergence.MOST_ROLLBACKS} times.")
            self.monitor.text("divergence", told, back_to)
            self._build()
            self._restore()

    def _record(self, error: divergence.Diverged, back_to: int | None) -> None:
        if self.replicas.is_chief:
            divergence.record(self.folder.path, error, back_to, self.attempt)

    def _finish_round(self, step: int, callbacks: Callbacks) -> None:
        """Makes what belongs to the end of a round, unless an interrupted run had made it already."""
        from mmdgan.metrics import format_table

        e = self.experiment
        if e.keep_rounds:
            self.checkpoints.keep_permanently(step)  # written by fit, or restored
        if not self.folder.grid_file(step).is_file():
            print(f"Samples after step {step:,}: {self._make_grid(step)}")
        if self.scorer and not any(record["step"] == step for record in self._rounds_scored()):
            scores = self.scorer.score(self.gan.sampling_generator, step)
            scores = of_weights(scores, None if e.ema is None else "ema")
            self._show(scores, step)
            self.folder.append(step, "train", scores)
            self._tell_hparams()
            callbacks.scored({score["metric"]: score["value"] for score in scores if score["value"] is not None})
            if step < e.max_step:  # the last ones are part of the report
                print(f"Scores after step {step:,}:\n{format_table(scores)}")
        best = self._best()
        if best is not None:
            self.checkpoints.keep_best(best.step)

    def _make_grid(self, step: int) -> Path:
        """Writes the grid of samples of the run's fixed codes."""
        from mmdgan import sampling
        from mmdgan.pictures import grid as pictures
        from mmdgan.pictures.files import write_errors

        rows, columns = self.experiment.grid
        codes = sampling.grid_codes(rows * columns, self.gan.code_size, self.experiment.seed)
        labels = sampling.cycled_labels(rows * columns, self.experiment.num_class, columns)
        images = sampling.generate(self.gan.sampling_generator, codes, labels)
        file = self.folder.grid_file(step)
        with write_errors(file):
            return pictures.save_png(file, pictures.image_grid(images, columns))

    def _show(self, scores: list[dict[str, Any]], step: int) -> None:
        """Writes scores to TensorBoard, and their spreads under tags of their own."""
        for tag, key in (("scores", "value"), ("scores_spread", "spread")):
            known = {f"{tag}/{score['metric']}": score[key] for score in scores if score[key] is not None}
            self.monitor.scalars(step, known)

    def _best(self) -> Best | None:
        """The best checkpoint so far, if one is to be kept and is there."""
        judge = self.experiment.judge()
        return None if judge is None else best_of(self._rounds_scored(), judge, self.checkpoints.steps())

    def _rounds_scored(self) -> list[dict[str, Any]]:
        """The scores of this run's rounds; those that `evaluate` added are other ones."""
        return [record for record in self.folder.records() if record["by"] == "train"]

    def _report(self) -> dict[str, Any]:
        from mmdgan.metrics import format_table

        folder, step = self.folder, self.step
        scores, best = newest(self._rounds_scored()), self._best()
        beyond = f", beyond max_step {self.experiment.max_step:,}" if step > self.experiment.max_step else ""
        print(f"Done: {step:,} steps{beyond}. It wrote")
        grid = folder.grid_file(step)
        if grid.is_file():
            print(f"  {grid}   samples")
        if best is not None:
            print(f"  {folder.checkpoints}/ckpt-{best.step}   the best checkpoint kept: {best.metric} {best.value:.4g}")
        if scores:
            print(f"  {folder.metrics_file}   scores, the last after step {scores[0]['step']:,}:")
            print(textwrap.indent(format_table(scores), "    "))
        print(f"TensorBoard:  tensorboard --logdir {folder.logs}")
        print(f"Report:       python -m mmdgan report {folder.path}")
        which = " --step best" if best is not None and best.step != step else ""
        print(f"More samples: python -m mmdgan sample {folder.path}{which} --count 5000 --out samples.npz")
        metrics = "" if self.experiment.metrics else " --metrics=fid,is,kid"
        print(f"More scores:  python -m mmdgan evaluate {folder.path}{metrics}")
        return {
            "folder": folder.path,
            "step": step,
            "grid": grid if grid.is_file() else None,
            "scores": {score["metric"]: score["value"] for score in scores},
            "best": None if best is None else best.step,
        }


# MERGED mmdgan/runs/train.py
# From an experiment to what it is made of: the replicas that train, the networks with their step, the images.


def start_replicas(experiment: Experiment) -> Replicas:
    """Starts TensorFlow on the devices that the experiment asks for; waits for the other workers, if there are any.

    Raises:
      ConfigError: devices or workers that are not there, or a batch that the replicas cannot share.
    """
    e = experiment
    if e.strategy == "multi_worker":
        print("Waiting for the other workers.", flush=True)

    def begin() -> Replicas:
        from mmdgan.training.distribution import Replicas, make_strategy

        options: dict[str, Any] = {"devices": e.devices, "workers": e.workers, "worker_index": e.worker_index}
        return Replicas(make_strategy(e.strategy, **options))

    replicas = prepare_tensorflow(e.devices, begin, e.seed if e.deterministic else None)
    check_batch(e.batch_size, replicas.count)
    check_one_replica(e.steps_per_call, e.jit, e.precision, replicas.count)
    if e.replica_losses == "local":
        check_towers(e.batch_size, replicas.count)
    if replicas.count > 1:
        which = f" in {replicas.workers} workers, of which this is {replicas.worker}" if replicas.workers > 1 else ""
        print(f"{replicas.count} replicas{which}, {e.batch_size // replicas.count} images each.")
    return replicas


def make_gan(experiment: Experiment, architecture: dict[str, Any], replicas: Replicas | None = None) -> GanStep:
    """Both networks with fresh weights, the loss and the optimisers.

    Args:
      experiment: resolved.
      architecture: of `experiment.networks()`.
      replicas: what trains them; one device by default.
    """
    import keras

    from mmdgan.networks import build_discriminator, build_generator
    from mmdgan.training import GanStep

    e = experiment
    keras.utils.set_random_seed(e.seed)
    names = ("data_format", "precision", "spectral", "initializer", "legacy")
    options = {name: getattr(e, name) for name in names}
    with nullcontext() if replicas is None else replicas.scope():
        return GanStep(
            build_generator(architecture, e.num_class, **options),
            build_discriminator(architecture, e.num_class, **options),
            e.loss_function(),
            e.lr_dis,
            e.lr_gen,
            e.optimizer,
            end_lr=e.end_lr,
            imbalanced_update=e.imbalanced_update,
            penalty_weight=e.penalty_weight,
            legacy=e.legacy,
            seed=e.seed,
            replica_losses=e.replica_losses,
            jit=e.jit,
            fixed_critic=e.fixed_critic,
            aids=e.aids(),
        )


def open_data(experiment: Experiment, cache: str | None = None) -> ImageData | StoredImages:
    """The data set of an experiment; DataError names the ways to get it.

    Args:
      experiment: which one, and where.
      cache: "auto", "memory" or "stream"; by default the experiment's.
    """
    from mmdgan import data

    e = experiment
    return data.open_data(e.data, data_root=e.data_root, source=e.source, cache=cache or e.cache, say=print)
