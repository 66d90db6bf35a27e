"""Training on points of the plane: a short loop over `GanStep`, with snapshots of what the generator and critic do."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from mmdgan.core.lazy import tf
from mmdgan.data import synthetic
from mmdgan.losses import witness
from study.points_options import PointsSettings, spread

STEPS_PER_CALL = 25
_HELD_OUT, _REFERENCE, _BATCHES = 0, 1, 2  # seeds of points: those compared in the end, of the witness, of the steps
_SEEDS = 10_000_019  # apart by more than there are batches
_FOLLOWED = 400
"""Generated points whose way through the training is kept."""
_REFERENCES = 1000
"""Points of each kind of which a witness function is the difference of means."""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The networks at one moment, as far as pictures show them.

    Attributes:
        step: Steps taken.
        samples: float32 (400, 2), the points of the same codes at every moment.
        force: float32 (400, 2), the direction in which the loss moves each of them: `force`.
        weights: Weights of the critic, for `Trained.height`.
        reference: float32 (1000, 2), more generated points, for the witness.
    """

    step: int
    samples: np.ndarray
    force: np.ndarray
    weights: list[np.ndarray]
    reference: np.ndarray


@dataclasses.dataclass
class Trained:
    """A trained run.

    Attributes:
        settings: Settings of the run.
        distribution: Distribution of the points.
        gan: The `GanStep`, at its last step.
        snapshots: The first before step 1, the last after the last step.
        curves: One row per call of several steps: step, loss_gen, loss_dis.
        seconds: Processor time from building the networks to the last step, without importing TensorFlow.
        diverged: The step after which a loss was not finite, where training ended; else None.
    """

    settings: PointsSettings
    distribution: synthetic.Distribution
    gan: Any
    snapshots: list[Snapshot]
    curves: list[dict[str, float]]
    seconds: float
    diverged: int | None = None

    def held_out(self, count: int) -> np.ndarray:
        """Points that training did not see: float64 (count, 2)."""
        return self.distribution.sample(count, _seed(self.settings, _HELD_OUT))

    def generate(self, count: int) -> np.ndarray:
        """Generated points of codes that training did not see: float32 (count, 2)."""
        return generate(self.gan, count, self.settings.seed, _HELD_OUT)

    def height(self, snapshot: Snapshot, points: np.ndarray) -> np.ndarray:
        """What the critic of a snapshot makes of points (N, 2): `height`, float32 (N,)."""
        last = self.gan.discriminator.get_weights()
        self.gan.discriminator.set_weights(snapshot.weights)
        try:
            data = self.distribution.sample(_REFERENCES, _seed(self.settings, _REFERENCE))
            return height(self.gan, points, data, snapshot.reference)
        finally:
            self.gan.discriminator.set_weights(last)


def train(settings: PointsSettings) -> Trained:
    """Trains a generator of points. Points of the steps, codes and initial weights are functions of the seed."""
    import keras

    distribution = synthetic.get(settings.points)
    start = time.process_time()
    keras.utils.set_random_seed(settings.seed)
    gan = build(settings)
    result = Trained(settings, distribution, gan, [], [], 0.0)
    moments = set(spread(settings.steps, settings.snapshots, STEPS_PER_CALL))
    result.snapshots.append(_snapshot(result, 0))
    step, done = 0, 0.0
    while done < 1.0 and result.diverged is None:
        count = STEPS_PER_CALL if settings.seconds is not None else min(STEPS_PER_CALL, settings.steps - step)
        if settings.decay:
            _set_rates(gan, settings, 1.0 - done)
        points = distribution.sample(count * settings.batch_size, _seed(settings, _BATCHES + step))
        losses = gan.steps(points.reshape(count, settings.batch_size, 2).astype(np.float32))
        step += count
        row = {name: float(np.mean(losses[name])) for name in ("loss_gen", "loss_dis")}
        result.curves.append({"step": step, **row})
        if settings.seconds is None:
            done, due = step / settings.steps, step in moments
        else:
            done = (time.process_time() - start) / settings.seconds
            due = done >= (len(result.snapshots) / (settings.snapshots - 1)) ** 2
        if not np.isfinite(list(row.values())).all():
            result.diverged = step
        elif due:
            result.snapshots.append(_snapshot(result, step))
    result.seconds = time.process_time() - start
    return result


def build(settings: PointsSettings) -> Any:
    """The two networks of a run in a `GanStep`."""
    from mmdgan import build_discriminator, build_generator, design, losses
    from mmdgan.training import GanStep

    loss = losses.get(settings.loss, **settings.loss_options)
    architecture = copy.deepcopy(design.load_architecture("points/MLP" if settings.learned else "points/IDENTITY"))
    if settings.learned:
        architecture = design.with_score_size(architecture, loss.score_size)
        if settings.spectral:
            architecture = design.with_gain(architecture, settings.gain)
        else:
            for layer in architecture["discriminator"]:
                layer.pop("w_nm"), layer.pop("act_k")
    return GanStep(
        build_generator(architecture),
        build_discriminator(architecture),
        loss,
        lr_dis=settings.lr_dis,
        lr_gen=settings.lr_gen,
        penalty_weight=settings.penalty_weight,
        seed=settings.seed,
    )


def generate(gan: Any, count: int, seed: int, stream: int) -> np.ndarray:
    """Generated points, float32 (count, 2), of standard normal codes that are a function of (seed, stream)."""
    codes = np.random.default_rng([seed, stream]).standard_normal((count, gan.code_size))
    # Not by gan.generate, which is traced again for each count.
    return gan.generator(codes.astype(np.float32), training=False).numpy()


def force(gan: Any, generated: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Where the generator's loss wants each generated point to go: ``-N dL_G / dx_i``.

    The critic stays as it is. L_G is a mean, so that N takes its share away: for the MMD^2 of N points, biased, this is
    twice the gradient of the witness function at x_i. Points and result are (N, 2).
    """
    x = tf.constant(generated, tf.float32)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        scores = gan.discriminator(x, training=False), gan.discriminator(tf.constant(data, tf.float32), training=False)
        state = {name: tf.convert_to_tensor(value) for name, value in gan.loss_state.items()}
        # Neither a penalty nor a scale is part of the generator's loss.
        loss = gan.loss(*scores, dis_penalty=0.0, dis_scale=1.0, seed=(gan.seed, 0), state=state).gen
    return -len(generated) * tape.gradient(loss, x, unconnected_gradients="zero").numpy()


def height(gan: Any, points: np.ndarray, data: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """What the critic makes of points of the plane: higher where it takes them for data.

    For an MMD loss this is its kernel's witness function, ``mean k(s, s_data) - mean k(s, s_gen)``, of the scores s of
    the points; for drift that of its kernels, of the points themselves; for the others the score itself: of hinge,
    logistic and minimax 0 lies between data and generated; of wasserstein, whose scores have no origin, the middle of
    the two mean scores is taken off.

    Points are (N, 2), data (M, 2), generated (L, 2); the result is float32 (N,).
    """
    if gan.loss.canonical == "drift":
        return _laplace_witness(points, data, generated, gan.loss.options["temperature"])

    def score(x: tf.Tensor) -> tf.Tensor:
        return gan.discriminator(tf.constant(x, tf.float32), training=False)

    score_data, score_gen = score(data), score(generated)
    kernel = kernel_options(gan, score_gen, score_data)
    if kernel is None:
        middle = 0.0
        if gan.loss.canonical == "wasserstein":
            middle = 0.5 * (np.mean(score_data) + np.mean(score_gen))
        return np.mean(score(points), axis=1) - middle
    parts = np.array_split(np.asarray(points, np.float32), max(1, len(points) // 2048))
    return np.concatenate([witness(score(part), score_data, score_gen, **kernel).numpy() for part in parts])


def _laplace_witness(points: np.ndarray, data: np.ndarray, generated: np.ndarray, temperatures: Any) -> np.ndarray:
    """``mean k(z, data) - mean k(z, generated)``, k the sum of exp(-D / T), T in mean distances of both sets."""
    from scipy.spatial.distance import cdist

    unit = cdist(generated, data).mean()
    to_data, to_generated = cdist(points, data) / unit, cdist(points, generated) / unit
    found = sum(np.exp(-to_data / t).mean(1) - np.exp(-to_generated / t).mean(1) for t in temperatures)
    return found.astype(np.float32)


def kernel_options(gan: Any, score_gen: tf.Tensor, score_data: tf.Tensor) -> dict[str, Any] | None:
    """The kernel of a loss as `mmdgan.losses.witness` takes it; None of a loss without kernel."""
    state = {name: float(value) for name, value in gan.loss_state.items()}
    options: Mapping[str, Any] = gan.loss.penalty_kernel(score_gen, score_data, seed=(gan.seed, 0), state=state)
    if not options:
        return None
    return {"kernel": "rational_quadratic" if "alpha" in options else "gaussian", **options}


def _set_rates(gan: Any, settings: PointsSettings, share: float) -> None:
    gan.optimizer_dis.learning_rate = share * settings.lr_dis
    gan.optimizer_gen.learning_rate = share * settings.lr_gen


def _snapshot(result: Trained, step: int) -> Snapshot:
    settings, gan = result.settings, result.gan
    samples = generate(gan, _FOLLOWED, settings.seed, _REFERENCE)
    data = result.distribution.sample(_FOLLOWED, _seed(settings, _REFERENCE))
    return Snapshot(
        step=step,
        samples=samples,
        force=force(gan, samples, data),
        weights=gan.discriminator.get_weights(),
        reference=generate(gan, _REFERENCES, settings.seed, _BATCHES),
    )


def _seed(settings: PointsSettings, stream: int) -> int:
    return settings.seed * _SEEDS + stream
