"""What TensorBoard is shown of a training step (spec E.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from mmdgan import tf1
from mmdgan.core import replicas
from mmdgan.training.forward import channels_last

if TYPE_CHECKING:
    from mmdgan.training.forward import Forward
    from mmdgan.training.step import GanStep


def look(gan: GanStep, real: tf.Tensor, labels: tf.Tensor | None, num_images: int) -> dict[str, dict[str, tf.Tensor]]:
    """What `GanStep.inspect` returns, of this replica's images."""
    forward = gan._forward(real, None, labels, None, watch_images=True)
    generated = gan._generator(*gan._draw(num_images), training=False)
    losses, logs = gan._of_all_replicas(((forward.losses.gen, forward.loss_dis), forward.losses.logs))
    logs = {
        **logs,
        "GANLoss/gen": losses[0],
        "GANLoss/dis": losses[1],
        **{f"GANLoss/{name}": value for name, value in gan._of_all_replicas(forward.regularisers).items()},
        **{f"kernel_norm/{name}": sigma for name, sigma in forward.sigmas.items()},
        "learning_rate/dis": gan.optimizer_dis.learning_rate,
        "learning_rate/gen": gan.optimizer_gen.learning_rate,
        **({} if gan.loss_scale is None else {"loss_scale": gan.loss_scale.scale}),
    }
    logs = {tag: tf.convert_to_tensor(value) for tag, value in logs.items()}
    real, generated = (channels_last(x, gan.discriminator.data_format) for x in (forward.real, generated))
    return {
        "scalars": {tag: value for tag, value in logs.items() if value.shape.rank == 0},
        # Several numbers under one tag: the norms of a kernel's classes.
        "histograms": {tag: value for tag, value in logs.items() if value.shape.rank != 0} | _histograms(gan, forward),
        "images": {"Ir": real[:num_images], "Ig": tf.clip_by_value(generated, -1, 1)},
    }


def _histograms(gan: GanStep, forward: Forward) -> dict[str, tf.Tensor]:
    histograms = {"x/sx": forward.score_data, "x/sg": forward.score_gen, "x/x_gen": forward.generated}
    for tag, gradient in zip(("x/g_x_norm", "x/g_gen_norm"), _image_gradients(forward), strict=True):
        norms = tf.norm(tf.reshape(gradient, (tf.shape(gradient)[0], -1)), axis=1)
        histograms[tag] = replicas.gather_rows(norms)
    gradients = replicas.mean_over_replicas(gan._gradients(forward))
    for network, values in zip((gan.discriminator, gan.generator), gradients, strict=True):
        if not values:  # a fixed critic
            continue
        for variable, gradient in zip(network.trainable_variables, values, strict=True):
            name = tf1.original_name(variable)
            histograms[name] = tf.convert_to_tensor(variable)
            histograms[f"grad_{name}"] = gradient
    return histograms


def _image_gradients(forward: Forward) -> tuple[tf.Tensor, tf.Tensor]:
    """Gradients of the summed scores with respect to real and generated images."""
    score_gen, score_data = forward.own_scores
    return (
        forward.tape.gradient(score_data, forward.real),
        forward.tape.gradient(score_gen, forward.generated),
    )
