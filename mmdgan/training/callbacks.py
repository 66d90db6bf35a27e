"""Keras callbacks in `Trainer.fit`, and those that cannot work there.

An epoch is a pass over the data, batches are numbered from 0 within it, and `params["step"]` is the run's step, from 1.
The callbacks' `model` is the generator. Logs hold the losses by name, of an epoch their means. A run of several rounds
is one training to its callbacks: they begin once and end once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from mmdgan.core.errors import ConfigError

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from mmdgan.data import Pipeline
    from mmdgan.training.step import GanStep

CallbacksLike: TypeAlias = Union[
    "Iterable[keras.callbacks.Callback]", "keras.callbacks.Callback", "keras.callbacks.CallbackList", None
]

_REFUSED = {
    "BackupAndRestore": "it backs up the generator alone, and runs have checkpoints of both networks, both optimisers "
    "and the place in the data, from which the same command goes on; leave it out",
    "LearningRateScheduler": "its model has one learning rate, and a GAN has two, which must go on where they were "
    "when a run is resumed; use --lr_schedule (lr_schedule of Aids)",
    "ReduceLROnPlateau": "its model has one learning rate, and the losses of a GAN do not fall while it learns; use "
    "--lr_schedule (lr_schedule of Aids)",
    "SwapEMAWeights": "it needs an optimiser that averages; use --ema (ema of Aids)",
}
"""Callbacks that cannot work here: name -> why, and what to do instead."""


class Callbacks:
    """Keras callbacks over one or several calls of `Trainer.fit`.

    `Trainer.fit` takes it in place of the list; then the caller ends it, with `close`.

    Attributes:
        scores: The latest scores, name -> value. Only the epoch that ends next has them in its logs, so that patience
            that counts epochs with scores counts scorings.
    """

    def __init__(self, callbacks: CallbacksLike) -> None:
        """Nothing is called yet.

        Args:
            callbacks: As `as_list` takes them.

        Raises:
            ConfigError: One of them cannot work here, or is not a callback.
        """
        callbacks = as_list(callbacks)
        check(callbacks)
        self.scores: dict[str, float] = {}
        self._unreported: dict[str, float] = {}
        self._callbacks = callbacks
        self._list: Any = None
        self._model: Any = None
        self._sees_steps = any(map(_sees_steps, callbacks))
        self._epoch: int | None = None
        self._sums: dict[str, Any] = {}
        self._steps = 0
        self._epoch_steps = 1
        self._logs: dict[str, float] = {}

    @property
    def stop(self) -> bool:
        """Whether one of them has asked to end the training."""
        return self._list is not None and bool(self._model.stop_training)

    def begin(self, gan: GanStep, pipeline: Pipeline, last_step: int) -> None:
        """Begins the training, or goes on with it, perhaps with another generator object than before."""
        if not self._callbacks:
            return
        import keras

        generator = gan.generator
        self._epoch_steps = max(1, pipeline.order.length // pipeline.batch_size)
        epochs = -(-last_step // self._epoch_steps)
        if self._list is None:
            self._adopt(gan)
            params = {"verbose": 0, "epochs": epochs, "steps": self._epoch_steps}
            self._list = keras.callbacks.CallbackList(self._callbacks, model=generator, **params)
            self._list.on_train_begin()
            return
        if generator is not self._model:
            self._adopt(gan)
            self._list.set_model(generator)
            if self._epoch is not None:  # training went back: do not count steps twice
                self._epoch, self._sums, self._steps = None, {}, 0
        self._list.params["epochs"] = epochs

    def before(self, step: int) -> None:
        """Before a step, counted from 1."""
        if self._list is None:
            return
        if self._epoch is None:
            self._epoch = (step - 1) // self._epoch_steps
            self._list.on_epoch_begin(self._epoch)
        self._list.params["step"] = step
        if self._sees_steps:
            self._list.on_train_batch_begin((step - 1) % self._epoch_steps)

    def after(self, step: int, losses: Mapping[str, tf.Tensor]) -> None:
        """After a step. Where a callback sees steps, Keras converts the losses to numbers, for which the loop waits."""
        if self._list is None:
            return
        if self._sees_steps:
            self._list.on_train_batch_end((step - 1) % self._epoch_steps, dict(losses))
        self._steps += 1
        for name, value in losses.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        if step % self._epoch_steps == 0:
            self._end_epoch()

    def scored(self, scores: Mapping[str, float]) -> None:
        """Takes the scores of a round, which the callbacks see as those of an evaluation without batches."""
        self.scores, self._unreported = dict(scores), dict(scores)
        if self._list is not None:
            self._list.on_test_begin()
            self._list.on_test_end(dict(scores))

    def close(self) -> None:
        """Ends the training and an unfinished epoch; does nothing before `begin`, or a second time."""
        if self._list is None:
            return
        finished, self._list = self._list, None
        if self._epoch is not None:
            self._end_epoch(finished)
        finished.on_train_end({**self._logs, **self.scores})
        if isinstance(self._model.optimizer, _Optimiser):
            self._model.optimizer = None

    def _adopt(self, gan: GanStep) -> None:
        """Gives the generator the attributes that callbacks expect of the model of `fit`."""
        self._model = gan.generator
        self._model.stop_training = False
        if isinstance(getattr(self._model, "optimizer", None), _Optimiser | None):
            self._model.optimizer = _Optimiser(gan)

    def _end_epoch(self, callbacks: Any = None) -> None:
        self._logs = {name: float(total) / self._steps for name, total in self._sums.items()}
        epoch, self._epoch, self._sums, self._steps = self._epoch, None, {}, 0
        scores, self._unreported = self._unreported, {}
        (callbacks or self._list).on_epoch_end(epoch, {**self._logs, **scores})


class _Optimiser:
    """The attributes that callbacks read of the generator's optimiser; Keras's own would be saved with the model."""

    def __init__(self, gan: GanStep) -> None:
        self._gan = gan

    @property
    def iterations(self) -> tf.Variable:
        """Number of steps taken."""
        return self._gan.iterations

    @property
    def learning_rate(self) -> tf.Tensor:
        """The generator's present rate."""
        return self._gan.optimizer_gen.learning_rate


def _sees_steps(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback overrides a method that is called at steps."""
    names = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
    return any(not getattr(getattr(callback, name), "_is_default", False) for name in names)


def as_list(callbacks: CallbacksLike) -> list[keras.callbacks.Callback]:
    """Callbacks in each form in which Keras or a program holds them.

    Args:
        callbacks: A list or any other iterable, which is read once; one callback; a `keras.callbacks.CallbackList`,
            whose callbacks are taken; None.

    Raises:
        ConfigError: Anything else.
    """
    if callbacks is None:
        return []
    if not isinstance(callbacks, (list, tuple)):
        import keras

        if isinstance(callbacks, keras.callbacks.CallbackList):
            return list(callbacks.callbacks)
        if isinstance(callbacks, keras.callbacks.Callback):
            return [callbacks]
    if not isinstance(callbacks, Iterable) or isinstance(callbacks, (str, bytes, dict)):
        raise ConfigError(f"callbacks is {callbacks!r}; give a list of keras.callbacks.Callback.")
    return list(callbacks)


def check(callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Refuses callbacks that would do nothing useful here, or harm.

    Raises:
        ConfigError: The message names the callback, why, and what to do instead.
    """
    if not callbacks:
        return
    import keras

    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise ConfigError(f"callbacks holds {callback!r}, which is not a keras.callbacks.Callback; leave it out.")
        for kind in type(callback).__mro__:
            if (reason := _REFUSED.get(kind.__name__)) and kind.__module__.startswith("keras."):
                raise ConfigError(f"callbacks has {type(callback).__name__}, but {reason}.")
