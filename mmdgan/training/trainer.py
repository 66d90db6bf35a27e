"""The training loop: steps, checkpoints, TensorBoard, Keras callbacks, the progress line, and an orderly end.

The schedule follows the original (original.md E.6): statistics every `query_step` steps on a new batch, a checkpoint at
the end of each call, and an end at the first loss that is not a number.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TextIO

from mmdgan.core.errors import CheckpointError, ConfigError, DataError
from mmdgan.core.progress import in_notebook
from mmdgan.core.text import duration, terminal_columns
from mmdgan.training import divergence, signals
from mmdgan.training.callbacks import Callbacks, CallbacksLike
from mmdgan.training.divergence import Diverged
from mmdgan.training.signals import Interrupted

if TYPE_CHECKING:
    import tensorflow as tf

    from mmdgan.data import Pipeline
    from mmdgan.training.checkpoints import Checkpoints
    from mmdgan.training.step import GanStep
    from mmdgan.training.tensorboard import Monitor

_FETCH_SECONDS = 2.0  # losses are fetched at least this often, for the progress line
_SNAPSHOT_SECONDS = 5.0  # between two copies of the state; the last one is saved if training diverges
_REMEMBERED = 20  # steps whose losses are reported if training diverges
_TERMINAL_SECONDS = 0.2  # between two rewritings of the progress line
_SHORTEST_BAR, _LONGEST_BAR = 8, 30  # characters


@dataclasses.dataclass(eq=False)
class Trainer:
    """Trains a GAN: runs `GanStep.step` on a pipeline's batches, with everything around it.

    Args:
        gan: Networks, loss and optimisers.
        pipeline: A `mmdgan.data.Pipeline`.
        checkpoints: Checkpoints of `gan.state()`; None saves nothing.
        monitor: TensorBoard's writer; None writes nothing.
        progress: The progress line; by default on standard error. `Progress(stream=None)` writes nothing.
        save_every: Steps between checkpoints; None saves at the end only.
        save_secs: Seconds after which a checkpoint is due whatever the steps; None: never.
        query_step: Steps between two inspections of a new batch (histograms, images, kernels' norms), of which one
            comes at the end too; None: no inspection.
        log_every: Steps between two points of the losses in TensorBoard. At most so many steps run before losses are
            fetched, so that the loop need not wait for the device after each step.
        divergence_limit: Size of a loss that counts as divergence; None: infinity.
        agree: `Replicas.agree` of several workers. Every `log_every` steps they agree on whether to stop, so that a
            signal to one of them stops all after the same step, and on whether to save by the clock.
        steps_per_call: Largest number of steps in one call of a TensorFlow function. A call ends where a checkpoint, an
            inspection or the end of training is due; callbacks come after it, one by one.
    """

    gan: GanStep
    pipeline: Pipeline
    _: dataclasses.KW_ONLY
    checkpoints: Checkpoints | None = None
    monitor: Monitor | None = None
    progress: Progress | None = None
    save_every: int | None = 1000
    save_secs: float | None = None
    query_step: int | None = 1000
    log_every: int = 10
    divergence_limit: float | None = None
    agree: Callable[..., list[int]] | None = None
    steps_per_call: int = 1

    def __post_init__(self) -> None:
        """Refuses arrays and TensorFlow's data sets in place of a pipeline."""
        if not hasattr(self.pipeline, "batch_size"):
            raise ConfigError(
                f"pipeline is a {type(self.pipeline).__name__}; give a mmdgan.data.Pipeline (of ImageData for "
                "arrays), or call gan.step on batches of your own."
            )

    def fit(self, last_step: int, callbacks: CallbacksLike | Callbacks = ()) -> dict[str, Any]:
        """Trains from the step that `gan` has reached up to and including `last_step`, then saves.

        Keras callbacks work: an epoch is a pass over the data, batches are numbered within it, their
        `params["step"]` is the step, their `model` the generator, and its `stop_training` ends training after the
        current step. Their training ends with this call, unless they come as `Callbacks`, which span several calls
        until they are closed.

        Args:
            last_step: Number of steps trained when this returns, unless a callback stops it or the pipeline ends
                earlier.
            callbacks: Keras callbacks as `mmdgan.training.callbacks.as_list` takes them, or
                `mmdgan.training.callbacks.Callbacks` of them.

        Returns:
            "losses" (the last step's, by name), "step" (reached), "steps" and "seconds" (of this call), and
            "images_per_second", without compilation, saving and inspections (None for less than two steps).

        Raises:
            Interrupted: A signal (`signals.STOPPING`) came to this worker or another; the state is saved.
            Diverged: A loss or a weight is not finite, or a loss exceeds `divergence_limit`; the good checkpoints are
                kept. Next to them are saved the state as `diverged-<step>`, that of some seconds before as
                `diverged-<step>-before`, and the last losses, kernels' norms and scores as `diverged-<step>.json`.
            DataError: Images cannot be read; the state after the last whole step is saved.
            ConfigError: TensorBoard's files cannot be written (the state is saved, if it can be), or a callback cannot
                work here (`mmdgan.training.callbacks`).
            CheckpointError: A checkpoint cannot be written, or there are later ones than the step of `gan`.
        """
        run = _Run(self, last_step, callbacks)
        with signals.collected(forced=self.agree is not None, answer=run.answer) as received:
            return run.train(received)


class _Run:
    """The state of one call of `Trainer.fit`."""

    def __init__(self, trainer: Trainer, last_step: int, callbacks: CallbacksLike | Callbacks) -> None:
        self.trainer = trainer
        self.gan = trainer.gan
        self.last_step = last_step
        self.first_step = self.step = int(self.gan.iterations.numpy())
        self.ends_callbacks = not isinstance(callbacks, Callbacks)
        self.callbacks = callbacks if isinstance(callbacks, Callbacks) else Callbacks(callbacks)
        self.progress = trainer.progress or Progress()
        self.limit = math.inf if trainer.divergence_limit is None else trainer.divergence_limit
        self.pace = Pace()
        self.pending: list[tuple[int, Mapping[str, tf.Tensor]]] = []
        self.losses: dict[str, float] = {}
        self.recent: deque[tuple[int, dict[str, float]]] = deque(maxlen=_REMEMBERED)
        self.inspected: dict[str, Any] | None = None  # of the last inspection, for a divergence
        self.snapshot: tuple[int, dict[str, tf.Tensor]] | None = None
        self.received: list[int] = []
        self.agreed = _Agreed()
        self.fetched_at = self.saved_at = self.began_at = time.monotonic()
        self.copied_at = -math.inf
        self.inspected_step = self.first_step
        checkpoints = trainer.checkpoints
        self.saved_step = checkpoints.latest() if checkpoints is not None else None
        if checkpoints is not None and self.saved_step is not None and self.saved_step > self.step:
            raise CheckpointError(
                f"{checkpoints.folder} holds a checkpoint of step {self.saved_step}, but training "
                f"would begin after step {self.step}; restore it, rewind to an older one, or train in another folder."
            )

    def answer(self, number: int) -> None:
        """Answers a signal at once, from another thread: the step under way may last."""
        if self.trainer.agree is not None:
            what = "the steps that all workers take"
        else:
            what = f"step {min(self.step + 1, self.last_step):,}"
        saving = "" if self.trainer.checkpoints is None else ", saving"
        again = "; Ctrl-C again ends at once" if number == signals.STOPPING[0] else ""
        self.progress.interrupt(f"mmdgan: finishing {what}{saving}{again}")

    def train(self, received: list[int]) -> dict[str, Any]:
        self.received = received
        try:
            self.callbacks.begin(self.gan, self.trainer.pipeline, self.last_step)
            self._train()
        except (DataError, ConfigError):  # keep what was trained
            if self.step > self.first_step:
                self._fetch()
                self._save()
            raise
        finally:
            self.progress.close()
            if self.ends_callbacks:
                self.callbacks.close()
        if self.agreed.signal or received:
            raise Interrupted(self.step, self.agreed.signal or received[0])
        return self._summary()

    def _train(self) -> None:
        if self.step < self.last_step:
            for batches in grouped(self.trainer.pipeline.dataset(self.step), self._steps_of_call):
                self._advance(batches)
                if self.agreed.stop or self.step >= self.last_step:
                    break
        self._fetch()
        if self.trainer.query_step is not None and (not self.agreed.signal or self.step == self.last_step):
            self._inspect()
        self._save()

    def _steps_of_call(self) -> int:
        trainer = self.trainer
        return steps_until(self.step, trainer.steps_per_call, self.last_step, trainer.query_step, trainer.save_every)

    def _advance(self, batches: Sequence[Mapping[str, tf.Tensor]]) -> None:
        trainer = self.trainer
        self.callbacks.before(self.step + 1)
        for index, losses in enumerate(take_steps(self.gan, batches)):
            if index:
                self.callbacks.before(self.step + 1)
            self.step += 1
            self.pending.append((self.step, losses))
            self.callbacks.after(self.step, losses)
        self._consult()
        query = self._is_due(trainer.query_step)
        save = self.agreed.save or self._is_due(trainer.save_every)
        if query or save or self._fetch_due():
            self._fetch()
        if query:
            self._inspect()
        if save:
            self._save()

    def _fetch_due(self) -> bool:
        first = self.pending[0][0] == self.first_step + 1
        # Workers check the same steps, so that none stops alone.
        waited = self.trainer.agree is None and time.monotonic() - self.fetched_at >= _FETCH_SECONDS
        return first or waited or self._passes_log()

    def _passes_log(self) -> bool:
        """Whether a multiple of `log_every` is among the steps that are not fetched yet."""
        log_every = self.trainer.log_every
        return self.step // log_every > (self.pending[0][0] - 1) // log_every

    def _consult(self) -> None:
        """Decides, with the other workers if there are any, whether to stop, and whether to save by the clock."""
        trainer = self.trainer
        signal_number = self.received[0] if self.received else 0
        late = trainer.save_secs is not None and time.monotonic() - self.saved_at >= trainer.save_secs
        mine = signal_number, int(bool(signal_number) or self.callbacks.stop), int(late)
        if trainer.agree is None:
            self.agreed = _Agreed(*mine)
        elif self._passes_log() or self.step == self.last_step:
            self.agreed = _Agreed(*trainer.agree(*mine))
        else:
            self.agreed = _Agreed()

    def _is_due(self, period: int | None) -> bool:
        return period is not None and self.step % period == 0

    def _fetch(self) -> None:
        """Waits for the steps under way; checks their losses, and shows them."""
        trainer = self.trainer
        pending, self.pending = self.pending, []
        points = []
        for step, tensors in pending:
            self.losses = {name: float(value) for name, value in tensors.items()}
            self.recent.append((step, self.losses))
            for name, value in self.losses.items():
                if not abs(value) <= self.limit or math.isinf(value):
                    self._diverge(step, name, value)
            if step % trainer.log_every == 0 or step in (1, self.last_step):
                points.append((step, {_tag(name): value for name, value in self.losses.items()}))
        self.fetched_at = time.monotonic()
        if not pending:
            return
        if pending[0][0] == self.first_step + 1:
            self.pace.resume()  # the first step's time is its compilation's
        else:
            self.pace.count(len(pending))
        seconds = self.pace.seconds_per_step
        rate = trainer.pipeline.batch_size / seconds if seconds else None
        self.progress.update(self.step, self.losses, rate, seconds, self.last_step)
        if trainer.monitor is not None:
            for step, values in points:
                trainer.monitor.scalars(step, values)
            if points and rate is not None:
                trainer.monitor.scalars(points[-1][0], {"images_per_second": rate})
        self._copy_state()

    def _inspect(self) -> None:
        """Writes the statistics of the batch that comes next, once per step."""
        monitor, pipeline = self.trainer.monitor, self.trainer.pipeline
        if monitor is None or self.inspected_step == self.step or self.step == pipeline.steps:
            return
        batch = pipeline.batch(self.step)
        inspected = dict(self.gan.inspect(batch["x"], labels=batch.get("y")))
        self.inspected = divergence.summary(self.step, inspected)
        written = {_tag(name) for name in self.losses}
        inspected["scalars"] = {t: v for t, v in inspected.get("scalars", {}).items() if t not in written}
        monitor.write(self.step, inspected)
        self.inspected_step = self.step
        self.pace.resume()

    def _save(self) -> None:
        """Saves the state after this step, if it is sound and not saved yet."""
        checkpoints = self.trainer.checkpoints
        if checkpoints is None or self.saved_step == self.step:
            return
        broken = checkpoints.non_finite()
        if broken:
            self._diverge(self.step, broken[0], math.nan)
        checkpoints.save(self.step)
        self.saved_step = self.step
        self.saved_at = time.monotonic()
        self.pace.resume()

    def _copy_state(self) -> None:
        """Copies the state now and then, if it is sound."""
        checkpoints = self.trainer.checkpoints
        if checkpoints is None or self.fetched_at - self.copied_at < _SNAPSHOT_SECONDS:
            return
        if not checkpoints.non_finite():
            self.snapshot = self.step, checkpoints.copied()
        self.copied_at = time.monotonic()
        self.pace.resume()

    def _diverge(self, step: int, name: str, value: float) -> None:
        """Saves what may explain a divergence, as far as the disk allows, and stops."""
        checkpoints = self.trainer.checkpoints
        if checkpoints is None:
            raise Diverged(step, name, value)
        error = {"step": step, "name": name, "value": value, "limit": self.limit}
        error |= {"state_of_step": self.step, "last_checkpoint": checkpoints.latest()}
        inspections = self.inspected, self._inspected_now()  # all workers compute this together
        path = None
        with contextlib.suppress(CheckpointError):  # report the divergence even if the disk is full
            path = checkpoints.save_aside(f"diverged-{step}")
            if self.snapshot is not None:
                error["state_before_of_step"], values = self.snapshot
                checkpoints.save_aside(f"diverged-{step}-before", values)
            if path is not None:
                divergence.write_evidence(path, error, self.recent, inspections)
        raise Diverged(step, name, value, path)

    def _inspected_now(self) -> dict[str, Any] | None:
        """Kernels' norms and the range of scores in the present state; None if the images cannot be read."""
        with contextlib.suppress(DataError, ConfigError):
            batch = self.trainer.pipeline.batch(self.step)
            return divergence.summary(self.step, self.gan.inspect(batch["x"], labels=batch.get("y")))
        return None

    def _summary(self) -> dict[str, Any]:
        seconds = self.pace.mean_seconds_per_step
        return {
            "losses": self.losses,
            "step": self.step,
            "steps": self.step - self.first_step,
            "seconds": time.monotonic() - self.began_at,
            "images_per_second": self.trainer.pipeline.batch_size / seconds if seconds else None,
        }


class _Agreed(NamedTuple):
    """The decision after a step: a signal's number or 0, whether to stop, whether to save by the clock."""

    signal: int = 0
    stop: int = 0
    save: int = 0


def _tag(loss: str) -> str:
    """The original's tag of a loss: loss_gen is GANLoss/gen."""
    return f"GANLoss/{loss.removeprefix('loss_')}"


def take_steps(gan: GanStep, batches: Sequence[Mapping[str, tf.Tensor]]) -> list[Mapping[str, tf.Tensor]]:
    """Takes one step on each batch, all in one call if there are several; returns each step's losses."""
    if len(batches) == 1:
        return [gan.step(batches[0]["x"], labels=batches[0].get("y"))]
    import tensorflow as tf

    real, labels = (tf.stack([batch[key] for batch in batches]) if key in batches[0] else None for key in ("x", "y"))
    losses = gan.steps(real, labels)
    columns = {name: tf.unstack(values) for name, values in losses.items()}
    return [{name: values[index] for name, values in columns.items()} for index in range(len(batches))]


def grouped(batches: Iterable[Mapping[str, tf.Tensor]], size: Callable[[], int]) -> Iterator[list[Mapping]]:
    """Collects batches for calls of several steps.

    Args:
        batches: One batch per step.
        size: Called before each group: returns its number of batches; the last group has the rest.
    """
    group: list[Mapping] = []
    wanted = size()
    for batch in batches:
        group.append(batch)
        if len(group) >= wanted:
            yield group
            group, wanted = [], size()
    if group:
        yield group


def steps_until(step: int, most: int, last: int, *periods: int | None) -> int:
    """The number of steps to take at once: up to `most`, but not beyond the last or a multiple of a period."""
    ends = [last - step, *(period - step % period for period in periods if period is not None)]
    return max(1, min(most, *ends))


class Progress:
    """The progress line: step, losses, images per second and the time left.

    A terminal's line has a bar too, is cut to the terminal's width and rewritten in place, as in a notebook. A file or
    a pipe gets a new line every `interval`.
    """

    def __init__(
        self, total: int | None = None, stream: TextIO | Literal["stderr"] | None = "stderr", interval: float = 10.0
    ) -> None:
        """Nothing is written yet.

        Args:
            total: Step at which all training ends; by default the one given to each `Trainer.fit`.
            stream: Where to write; by default the present standard error, in a notebook standard output (which is not
                shown in red). None writes nothing.
            interval: Seconds between two lines where the stream is not a terminal.
        """
        self.total = total
        notebook = stream == "stderr" and in_notebook()
        self.stream = (sys.stdout if notebook else sys.stderr) if stream == "stderr" else stream
        self._in_place = self.stream is not None and (notebook or self.stream.isatty())
        self._every = _TERMINAL_SECONDS if self._in_place else interval
        self._last_time: float | None = None
        self._last_line = ""
        self._pending = ""

    def update(
        self,
        step: int,
        losses: Mapping[str, float],
        images_per_second: float | None = None,
        seconds_per_step: float | None = None,
        last_step: int | None = None,
    ) -> None:
        """Shows the state after a step, if a line is due.

        Args:
            step: Number of steps trained so far.
            losses: The losses by name, in the order in which to show them.
            images_per_second: The speed; None leaves it out.
            seconds_per_step: Gives the time left; None leaves it out.
            last_step: Replaces `total` where that is None.
        """
        total = self.total or last_step
        head = f"step {step}/{total}" if total else f"step {step}"
        values = [f"{name} {value:.4g}" for name, value in losses.items()]
        speed = [] if images_per_second is None else [f"{images_per_second:.1f} images/s"]
        left = []
        if seconds_per_step is not None and total:
            left = [f"{duration(max(total - step, 0) * seconds_per_step)} left"]
        if self._in_place:
            short = [value.removeprefix("loss_") for value in values[:2]]
            forms: Sequence[list[str]] = (
                [*values, *speed],
                [*values[:2], *speed],
                [*short, *speed],
                values[:2],
                short,
                short[:1],
                [],
            )
            lines = ["  ".join([head, *form, *left]) for form in forms]
            self._pending = _with_bar(lines, terminal_columns(self.stream) - 1, step / total if total else None)
        else:
            self._pending = "  ".join([head, *values, *speed, *left])
        now = time.monotonic()
        if self._last_time is None or now - self._last_time >= self._every:
            self._write(self._pending)
            self._last_time = now

    def close(self) -> None:
        """Writes the last state unless it has been shown, and ends the line."""
        if self._pending and self._pending != self._last_line:
            self._write(self._pending)
        if self._in_place and self._last_line:
            self._print()
        self._last_line = self._pending = ""
        self._last_time = None

    def interrupt(self, sentence: str) -> None:
        """Writes a sentence, on a line of its own; from any thread."""
        self._print(f"\n{sentence}" if self._in_place else sentence)

    def _write(self, line: str) -> None:
        if self._in_place:
            covered = min(len(self._last_line), terminal_columns(self.stream) - 1)
            self._print(f"\r{line:<{covered}}", end="")
        else:
            self._print(line)
        self._last_line = line

    def _print(self, text: str = "", end: str = "\n") -> None:
        if self.stream is not None:
            try:
                print(text, end=end, file=self.stream, flush=True)
            except OSError:  # the terminal or the pipe's reader has gone; training goes on
                self.stream = None


def _with_bar(lines: Sequence[str], width: int, done: float | None) -> str:
    """The first of some lines that fits a width with a bar, else the first that fits, else the last one, cut."""
    longest = width - _SHORTEST_BAR - len("[]  ")
    if done is not None and (line := next((line for line in lines[:3] if len(line) <= longest), None)):
        size = min(width - len(line) - len("[]  "), _LONGEST_BAR)
        filled = int(min(done, 1) * size)
        return f"[{'=' * filled}{'.' * (size - filled)}]  {line}"
    return next((line for line in lines if len(line) <= width), lines[-1][:width])


class Pace:
    """Seconds per training step, over the last measurements.

    Pauses (saving, inspecting, the first step's compilation) do not count: the caller measures around them.
    """

    def __init__(self, window: int = 10) -> None:
        self._recent: deque[tuple[int, float]] = deque(maxlen=window)
        self._mark: float | None = None
        self.steps = 0
        self.seconds = 0.0

    def resume(self) -> None:
        """Starts measuring."""
        self._mark = time.perf_counter()

    def count(self, steps: int) -> None:
        """Adds the steps done since the last call of `resume` or `count`."""
        now = time.perf_counter()
        if self._mark is not None and steps:
            self._recent.append((steps, now - self._mark))
            self.steps += steps
            self.seconds += now - self._mark
        self._mark = now

    @property
    def seconds_per_step(self) -> float | None:
        """Over the recent measurements; None before the first."""
        steps = sum(count for count, _ in self._recent)
        return sum(seconds for _, seconds in self._recent) / steps if steps else None

    @property
    def mean_seconds_per_step(self) -> float | None:
        """Over everything measured; None if that is nothing."""
        return self.seconds / self.steps if self.steps else None
