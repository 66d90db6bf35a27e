"""What is added to a critic's loss, or divides it, to bound its slope.

Most people want `gradient_penalty`, which is added; `jacobian_scale` is the divisor of the scaled MMD:

    penalty = 10.0 * mmdgan.losses.gradient_penalty("wasserstein", critic, real, generated)
    losses = mmdgan.losses.get("wasserstein_gp")(score_gen, score_data, dis_penalty=penalty)

    scale = mmdgan.losses.jacobian_scale(critic, real)
    losses = mmdgan.losses.get("rep_ds")(score_gen, score_data, dis_scale=scale)

`GanStep` does both by itself for losses whose names end in "_gp" and "_ds".

Sources: Gulrajani et al. 2017 (Wasserstein), Binkowski et al. 2018 (the penalty on an MMD's witness function),
Arbel et al. 2018 (the scaled MMD). The original defines them and never calls them (spec D.1). A critic here is
any function from images (N, ...) to scores (N, d) that treats samples apart, as a network does in inference
mode. Results can be differentiated for the critic's variables; at zero gradients they have finite ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mmdgan.core import random
from mmdgan.core.errors import ConfigError
from mmdgan.core.lazy import tf
from mmdgan.core.random import INTERPOLATION, stream
from mmdgan.core.signatures import takes
from mmdgan.core.types import TensorLike
from mmdgan.losses import registry
from mmdgan.losses.kernels import OPTIONS, as_floats
from mmdgan.losses.mmd import SIGMAS, witness
from mmdgan.losses.options import check_option, given, near_and_valid
from mmdgan.losses.registry import SCALE_WEIGHT

Critic = Callable[[Any], Any]

RELEASED_ALPHAS = (0.25, 0.5, 0.9, 2.0, 25.0)
"""Exponents of fixed_t's witness in the original, which differ from those of its loss."""

_RELEASED = ("fixed_g", "fixed_t", "rep", "rmb")

_NORM_EPSILON = 1e-12
"""Under the root of a gradient's norm: its derivative at a zero gradient is then 0 instead of NaN."""


@takes(*OPTIONS, "add_dot", *(name for entry in registry.ENTRIES.values() if entry.width for name in entry.options))
def gradient_penalty(
    kind: str,
    critic: Critic,
    real: TensorLike,
    generated: TensorLike,
    score_data: TensorLike | None = None,
    score_gen: TensorLike | None = None,
    uniform: TensorLike | None = None,
    *,
    seed: TensorLike | None = None,
    legacy: bool = False,
    **kernel_options: Any,
) -> tf.Tensor:
    """``mean (|gradient of f at a point between a real and a generated sample| - 1)^2``, without a weight.

    f is the sum of a sample's scores (kind "wasserstein"), or the witness function at its scores z:
    ``mean_j k(z, score_data_j) - mean_j k(z, score_gen_j)`` with the kernel k of the loss that `kind` names,
    never bounded. Gradients pass through score_data and score_gen too.

    Args:
        kind: "wasserstein" or the name of an MMD loss that ends in "_gp", e.g. "rep_gp" or "mmd_g_gp".
        critic: Images -> scores (N, d); see the module.
        real: (N, ...) floating-point images (or codes: any shape).
        generated: As `real`.
        score_data: (M, d) the critic's scores of data; by default those of `real`. Not for "wasserstein".
        score_gen: (M, d) the critic's scores of generated samples; by default those of `generated`.
        uniform: N numbers in [0, 1] (any shape, e.g. (N, 1, 1, 1)): the share of `real` in each point; by
            default they are drawn.
        seed: (2,) integers for the draws; by default TensorFlow's global generator draws them.
        legacy: Use the kernels of the original's witness where it has one (fixed_g_gp, fixed_t_gp, rep_gp,
            rmb_gp): Gaussians exp(-D / (2 sigma)) whose sigma is not squared, and `RELEASED_ALPHAS`.
        **kernel_options: Sigma (or variance); or alpha and beta; add_dot; as `Loss.penalty_kernel` returns them. By
            default (None) those of the loss. For a random-width loss without sigma: the loss's own options, such as
            omega, and the width is drawn.

    Returns:
        A scalar.

    Raises:
        ConfigError: An unknown kind or option, or shapes that do not fit.
    """
    loss = _loss_with_penalty(kind)
    real, generated = as_floats(real, generated)
    points = _between(real, generated, uniform, seed)
    if loss.canonical == "wasserstein":
        registry.resolve_options(kind, **kernel_options)
        return _norms_from_one(lambda images: tf.reduce_sum(as_floats(critic(images))[0]), points)
    score_data = critic(real) if score_data is None else score_data
    score_gen = critic(generated) if score_gen is None else score_gen
    score_data, score_gen = as_floats(score_data, score_gen)
    kernel = _kernel(loss, given(kernel_options), score_gen, score_data, seed, legacy)
    return _norms_from_one(
        lambda images: tf.reduce_sum(witness(critic(images), score_data, score_gen, **kernel)), points
    )


def jacobian_scale(critic: Critic, real: TensorLike, weight: float = SCALE_WEIGHT) -> tf.Tensor:
    """``1 / (1 + weight * mean J)`` with J of `jacobian_squared_norms`: the ``dis_scale`` of the "_ds" losses.

    Args:
        critic: Images -> scores (N, d); see the module.
        real: (N, ...) floating-point images.
        weight: A positive number.

    Raises:
        ConfigError: A weight that is not positive, or a critic whose number of scores is unknown.
    """
    weight = check_option("Jacobian's scale", "weight", weight, SCALE_WEIGHT)
    return 1.0 / (1.0 + weight * tf.reduce_mean(jacobian_squared_norms(critic, real)))


def jacobian_squared_norms(critic: Critic, real: TensorLike) -> tf.Tensor:
    """Squared Frobenius norm of the critic's Jacobian at each sample: one backward pass per score.

    Args:
        critic: Images -> scores (N, d); see the module.
        real: (N, ...) floating-point images.

    Returns:
        (N,)

    Raises:
        ConfigError: A critic whose number of scores d is unknown.
    """
    [real] = as_floats(real)
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(real)
        [scores] = as_floats(critic(real))
        if scores.shape.rank != 2 or scores.shape[1] is None:
            raise ConfigError(
                "The Jacobian is taken score by score: let the critic return scores (N, d) with a known d, "
                f"not {scores.shape}."
            )
        columns = tf.unstack(scores, axis=1)
    gradients = [tape.gradient(column, real, unconnected_gradients="zero") for column in columns]
    return tf.add_n([_squared_norms(gradient) for gradient in gradients])


def _loss_with_penalty(kind: str) -> registry.Loss:
    kinds = [name for name in registry.names() if registry.get(name).penalty]
    if kind not in kinds:
        raise ConfigError(f"There is no gradient penalty of kind {kind!r}{near_and_valid(kind, kinds)}.")
    return registry.get(kind)


def _between(real: tf.Tensor, generated: tf.Tensor, uniform: TensorLike | None, seed: TensorLike | None) -> tf.Tensor:
    """One point between each real sample and its generated partner."""
    if not real.shape.is_compatible_with(generated.shape):
        raise ConfigError(
            "A gradient penalty is taken between real and generated samples: give equally many of one shape, "
            f"not {tuple(real.shape)} and {tuple(generated.shape)}."
        )
    if uniform is None:
        uniform = random.uniform(tf.shape(real)[:1], stream(seed, INTERPOLATION))
    uniform = tf.cast(uniform, real.dtype)
    if None not in (count := uniform.shape.num_elements(), real.shape[0]) and count != real.shape[0]:
        raise ConfigError(f"A gradient penalty needs one uniform number per sample: {real.shape[0]}, not {count}.")
    share = tf.reshape(uniform, [-1] + [1] * (real.shape.rank - 1))
    return share * real + (1.0 - share) * generated


def _kernel(
    loss: registry.Loss,
    given: dict[str, Any],
    score_gen: TensorLike,
    score_data: TensorLike,
    seed: TensorLike | None,
    legacy: bool,
) -> dict[str, Any]:
    """Arguments of `witness` for the kernel of a loss."""
    random_width = "omega" in loss.options
    if not random_width:
        options = loss.penalty_kernel(score_gen, score_data)
        if "variance" in given and "sigma" not in given:
            options.pop("sigma", None)
        options |= given
    elif "sigma" in given:
        options = dict(given)
    else:
        options = registry.get(loss.name, **given).penalty_kernel(score_gen, score_data, seed)
    name = "rational_quadratic" if "alpha" in loss.options else "gaussian"
    if legacy and loss.canonical in _RELEASED:
        if name == "rational_quadratic":
            options["alpha"] = RELEASED_ALPHAS
        elif tf.is_tensor(options.get("sigma")):  # the median distance
            options["sigma"] = tf.sqrt(options["sigma"])
        elif "sigma" in options:  # else its square is given
            sigmas = check_option("kernel 'gaussian'", "sigma", options["sigma"], SIGMAS)
            options["sigma"] = [math.sqrt(sigma) for sigma in sigmas]
    if tf.is_tensor(options.get("sigma")):
        options["sigma"] = tf.cast(options["sigma"], score_data.dtype)
    return {"kernel": name, **options}


def _norms_from_one(function: Callable[[tf.Tensor], tf.Tensor], points: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(points)
        value = function(points)
    squares = _squared_norms(tape.gradient(value, points, unconnected_gradients="zero"))
    return tf.reduce_mean(tf.square(tf.sqrt(squares + _NORM_EPSILON) - 1.0))


def _squared_norms(gradient: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.square(gradient), axis=list(range(1, gradient.shape.rank)))
