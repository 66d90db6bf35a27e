"""A training run: rounds of training, each followed by a grid of samples and by scores (spec E.5, H.1)."""

from __future__ import annotations

import contextlib
import dataclasses
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.data import memory
from mmdgan.errors import CheckpointError, DataError
from mmdgan.experiment import IDENTITY
from mmdgan.run_scores import Best, best_of, newest
from mmdgan.runs import RunFolder
from mmdgan.scoring import Scorer
from mmdgan.startup import prepare_tensorflow
from mmdgan.training import divergence

if TYPE_CHECKING:
    from mmdgan.data import ImageData
    from mmdgan.data.stored import StoredImages
    from mmdgan.experiment import Experiment
    from mmdgan.training import GanStep


class TrainingRun:
    """Everything an `Experiment` needs while it runs; built in an order that finds mistakes before step 1."""

    def __init__(self, experiment: Experiment):
        """Opens the data, checks the run directory, and finds the features of the scores.

        Raises:
          ConfigError, DesignError, DataError, MetricError: whatever is wrong, before any training.
        """
        self.experiment = experiment.resolved()
        self.architecture = self.experiment.networks()[0]
        self.folder: RunFolder = self.experiment.folder()
        config = experiment.config()
        if not experiment.restart:
            self.folder.check(config, IDENTITY)
        mode = self.experiment.cache_mode()
        prepare_tensorflow(self.experiment.seed if self.experiment.deterministic else None)
        from mmdgan.training import Monitor

        self.monitor = Monitor(self.folder.logs)
        self.data = open_data(self.experiment, mode)
        self._check_labels()
        config["data"] = self._data_facts()
        if not experiment.restart:
            self.folder.check(config, IDENTITY)
        self.scorer = Scorer.of(self.experiment, self.data)
        self.folder.prepare(config, experiment.restart)
        self.attempt = divergence.attempts(self.folder.path)
        self._build()

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
            content = data.content_digest()
            fingerprint = content if content == known["fingerprint"] else fingerprint
        return {"count": data.count, "source": data.source, "fingerprint": fingerprint, "mode": data.mode}

    def _build(self) -> None:
        from mmdgan.data import Pipeline
        from mmdgan.training import Checkpoints, Progress, Trainer

        e = self.experiment
        seed = divergence.attempt_seed(e.seed, self.attempt)
        self.gan = make_gan(dataclasses.replace(e, seed=seed), self.architecture)
        self.checkpoints = Checkpoints(self.folder.checkpoints, self.gan.state(), keep=e.keep)
        stream = {"seed": seed, "data_format": self.gan.generator.data_format, "labels": e.num_class >= 2}
        stream |= {"flip": e.flip, "same_class": e.same_class}
        self.trainer = Trainer(
            self.gan,
            Pipeline(self.data, e.batch_size, **stream),
            checkpoints=self.checkpoints,
            monitor=self.monitor,
            progress=Progress(total=e.max_step),
            save_every=e.save_every,
            save_secs=e.save_secs,
            query_step=e.query_step,
            divergence_limit=e.divergence_limit,
        )

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

    def execute(self) -> dict[str, Any]:
        """Trains round after round; returns what `Experiment.run` does."""
        e = self.experiment
        if self.checkpoints.latest() is not None:
            print(f"Resuming {self.folder.path} after step {self._restore():,}.")
        else:
            print(f"Training {self.folder.path}.")
        self.monitor.text("configuration", "    " + e.describe().replace("\n", "\n    "))
        try:
            for stop in e.stops():
                self._train(stop)
                if self.step == stop:
                    self._finish_round(stop)
        finally:
            self.monitor.close()
        return self._report()

    def _restore(self) -> int:
        """Restores the newest checkpoint, with --fallback the newest that can be used; returns its step."""
        from mmdgan.training.checkpoint_reading import UnusableCheckpoint

        try:
            if not self.experiment.fallback:
                return self.checkpoints.restore()
            step, errors = self.checkpoints.restore_sound()
        except UnusableCheckpoint as error:
            before = [] if self.experiment.fallback else [s for s in self.checkpoints.steps() if s < error.step]
            remedy = f"goes on from the one before, of step {before[-1]}" if before else "begins anew"
            flag = "--fallback" if before else "None before it can be used; --restart"
            raise CheckpointError(f"{error} {flag} {remedy}.") from error
        for error in errors:
            print(f"{error} It is moved aside.")
        if errors:
            self.folder.forget_after(step)
        return step

    @property
    def step(self) -> int:
        """Steps done so far."""
        return int(self.gan.iterations.numpy())

    def _train(self, stop: int) -> None:
        """Trains up to a step, over divergences if the experiment says so."""
        while self.step < stop:
            try:
                self.trainer.fit(stop)
                return
            except divergence.Diverged as error:
                back_to = self.checkpoints.latest() or 0
                if self.experiment.on_divergence == "stop" or self.attempt == divergence.MOST_ROLLBACKS:
                    error.attempts = self.attempt
                    with contextlib.suppress(OSError):  # a full disk: the divergence is the news
                        divergence.record(self.folder.path, error, None, self.attempt)
                    raise
                self.attempt += 1
                divergence.record(self.folder.path, error, back_to, self.attempt)
                told = f"{error}; going back to step {back_to:,} with other random numbers"
            print(f"{told[0].upper()}{told[1:]}, {self.attempt} of at most {divergence.MOST_ROLLBACKS} times.")
            self.monitor.text("divergence", told, back_to)
            self._build()
            if back_to:
                self.checkpoints.restore()

    def _finish_round(self, step: int) -> None:
        """Makes what belongs to the end of a round, unless an interrupted run had made it already."""
        from mmdgan.metrics import format_table

        e = self.experiment
        if e.keep_rounds:
            self.checkpoints.keep_permanently(step)  # written by fit, or restored
        if not self.folder.grid_file(step).is_file():
            print(f"Samples after step {step:,}: {self._make_grid(step)}")
        if self.scorer and not any(record["step"] == step for record in self._rounds_scored()):
            scores = self.scorer.score(self.gan.generator, step)
            self._show(scores, step)
            self.folder.append(step, "train", scores)
            if step < e.max_step:  # the last ones are part of the report
                print(f"Scores after step {step:,}:\n{format_table(scores)}")
        best = self._best()
        if best is not None:
            self.checkpoints.keep_best(best.step)

    def _make_grid(self, step: int) -> Path:
        """Writes the grid of samples of the run's fixed codes."""
        from mmdgan import pictures, sampling
        from mmdgan.image_files import told

        rows, columns = self.experiment.grid
        codes = sampling.grid_codes(rows * columns, self.gan.code_size, self.experiment.seed)
        labels = sampling.cycled_labels(rows * columns, self.experiment.num_class, columns)
        images = sampling.generate(self.gan.generator, codes, labels)
        file = self.folder.grid_file(step)
        with told(file):
            return pictures.save_png(file, pictures.image_grid(images, columns))

    def _show(self, scores: list[dict[str, Any]], step: int) -> None:
        """Writes scores to TensorBoard, and their spreads under tags of their own."""
        for tag, key in (("scores", "value"), ("scores_spread", "spread")):
            known = {f"{tag}/{score['metric']}": score[key] for score in scores if score[key] is not None}
            self.monitor.scalars(step, known)

    def _best(self) -> Best | None:
        """The best checkpoint so far, if one is to be kept and is there."""
        judge = self.experiment.judge()
        return judge and best_of(self._rounds_scored(), judge, self.checkpoints.steps())

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


def make_gan(experiment: Experiment, architecture: dict[str, Any]) -> GanStep:
    """Both networks with fresh weights, the loss and the optimisers.

    Args:
      experiment: resolved.
      architecture: of `experiment.networks()`.
    """
    import keras

    from mmdgan import build_discriminator, build_generator
    from mmdgan.training import GanStep

    e = experiment
    keras.utils.set_random_seed(e.seed)
    names = ("data_format", "precision", "spectral", "initializer", "legacy")
    options = {name: getattr(e, name) for name in names}
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
    )


def open_data(experiment: Experiment, cache: str | None = None) -> ImageData | StoredImages:
    """The data set of an experiment; DataError names the ways to get it.

    Args:
      experiment: which one, and where.
      cache: "auto", "memory" or "stream"; by default the experiment's.
    """
    from mmdgan import data

    e = experiment
    return data.open_data(e.data, data_root=e.data_root, source=e.source, cache=cache or e.cache)
