"""What a run's critic makes of real and generated images: scores, witness, extremes, t-SNE, an embedding projector.

Both networks run in inference mode, on 8-bit images (generated ones as they would be written to a file).
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmdgan.core.errors import ConfigError, MetricError, write_errors
from mmdgan.core.files import write_text
from mmdgan.pictures.grid import image_grid, save_png
from mmdgan.runs.folder import RunFolder

if TYPE_CHECKING:
    import keras

    from mmdgan.losses import Loss

EXTREMES = {
    "real_most": "real, taken for the most real",
    "real_least": "real, taken for the least real",
    "generated_most": "generated, taken for the most real",
    "generated_least": "generated, taken for the least real",
}
"""The groups of images that `extremes` finds, with their titles."""

_WIDTH_DRAW = 4
"""Separates the draw of a random-width loss's kernel from other uses of the seed."""

CONFIG = "projector_config.pbtxt"
_LARGEST_SPRITE = 8192  # pixels per side that browsers accept


@dataclasses.dataclass(frozen=True)
class CriticView:
    """Real and generated images with the critic's scores.

    Attributes:
        step: Step of the checkpoint.
        images_data, images_gen: uint8 (N, H, W, C).
        score_data, score_gen: float32 (N, d).
        labels_data: int64 (N,), classes of the real images; None where the data set has none.
        labels_gen: int64 (N,), classes that were asked for; None for an unconditional generator.
        class_names: One name per class; empty without labels.
        witness_data, witness_gen: float32 (N,), how real the critic takes each image to be: the higher, the more real
            (see `view_critic`).
        witness_name: What the witness is, in words.
    """

    step: int
    images_data: np.ndarray
    images_gen: np.ndarray
    score_data: np.ndarray
    score_gen: np.ndarray
    labels_data: np.ndarray | None
    labels_gen: np.ndarray | None
    class_names: tuple[str, ...]
    witness_data: np.ndarray
    witness_gen: np.ndarray
    witness_name: str

    def class_name(self, label: int) -> str:
        """Name of a class; its number where there is no name."""
        return self.class_names[label] if label < len(self.class_names) else str(label)


def view_critic(
    folder: RunFolder, step: int | str | None = None, count: int | None = None, seed: int = 0
) -> CriticView:
    """Scores `count` real images of a run's data set and as many generated ones.

    The witness function of an MMD loss is ``f(s) = mean k(s, s_data) - mean k(s, s_gen)`` with the loss's own kernel
    (`mmdgan.losses.witness`): positive where real scores are denser than generated ones. Bounded losses use the
    unbounded kernel, which the generator sees; random-width losses use one width, drawn with `seed`. No image is
    compared with itself, which would favour its own side: both sets are cut in two, and the scores of each half are
    compared with the other halves, N / 2 real and N / 2 generated ones. A repulsive critic spreads the scores of real
    images out, so that most witnesses are negative, those of real images less so: the order counts, not the sign. For
    the other losses the witness is the mean of an image's d scores, which all of them raise for real images.

    Args:
        folder: The run.
        step: Step of the checkpoint, or "best"; the newest by default.
        count: N, the number of real and of generated images; by default 256, or all that a smaller data set holds.
        seed: Seed of the choice of real images (the same as for scores), of codes and of labels.

    Raises:
        ConfigError: There are fewer than 4 images.
        DataError: The data set holds fewer images.
        CheckpointError: There is no such checkpoint.
    """
    from mmdgan import sampling
    from mmdgan.data.pipeline import real_images
    from mmdgan.runs.experiment import Experiment
    from mmdgan.runs.train import open_data

    if count is not None and count < 4:
        raise ConfigError(f"count is {count}; give at least 4 images to be looked at.")
    experiment = Experiment.load(folder.path)
    data = open_data(experiment, "stream")  # a few images; all of them need not be read
    if data.count < 4:
        raise ConfigError(f"{data.name} holds {data.count} images; critics are looked at with at least 4.")
    count = min(256, data.count) if count is None else count
    _, images_data, labels_data = real_images(data, count, seed)  # those that scores compare with
    generator, step = folder.load_generator(step, ema=False)  # the critic's opponent, not its average
    critic, _ = folder.load_critic(step)
    codes = sampling.score_codes(count, generator.spec.input_shape[0], seed)
    labels_gen = sampling.score_labels(count, experiment.num_class, seed)
    images_gen = sampling.generate(generator, codes, labels_gen)
    conditional = experiment.num_class >= 2
    score_data = critic_scores(critic, images_data, labels_data if conditional else None)
    score_gen = critic_scores(critic, images_gen, labels_gen)
    witness_data, witness_gen, witness_name = witness_values(experiment.loss_function(), score_data, score_gen, seed)
    return CriticView(
        step=step,
        images_data=images_data,
        images_gen=images_gen,
        score_data=score_data,
        score_gen=score_gen,
        labels_data=labels_data,
        labels_gen=None if labels_gen is None else labels_gen[:, 0].astype(np.int64),
        class_names=tuple(data.class_names) if data.labelled else (),
        witness_data=witness_data,
        witness_gen=witness_gen,
        witness_name=witness_name,
    )


def critic_scores(
    critic: keras.Model, images: np.ndarray, labels: np.ndarray | None = None, batch_size: int = 100
) -> np.ndarray:
    """The critic's scores of images, in inference mode.

    Args:
        critic: A model of `mmdgan.build_discriminator`, in either data format.
        images: uint8 (N, H, W, C).
        labels: int (N,) or (N, 1), for a conditional critic.
        batch_size: Images computed at a time.

    Returns:
        float32 (N, d).
    """
    import tensorflow as tf

    # As in `sampling.sampler`: traced once, for one shape, so the last batch is filled up.
    shape = tuple(critic.spec.input_shape)  # (C, H, W)
    first = critic.data_format == "channels_first"
    signature = tf.TensorSpec((batch_size, *(shape if first else (*shape[1:], shape[0]))), tf.float32)
    if labels is not None:
        labels = np.reshape(labels, (-1, 1))
        signature = {"x": signature, "y": tf.TensorSpec((batch_size, 1), tf.int32)}
    forward = tf.function(lambda inputs: critic(inputs, training=False)).get_concrete_function(signature)
    parts = []
    for start in range(0, len(images), batch_size):
        rows = np.arange(start, start + batch_size) % len(images)
        pixels = images[rows].astype(np.float32) / 127.5 - 1.0
        inputs = tf.constant(pixels.transpose(0, 3, 1, 2) if first else pixels)
        if labels is not None:
            inputs = {"x": inputs, "y": tf.constant(labels[rows], tf.int32)}
        parts.append(forward(inputs).numpy().astype(np.float32)[: len(images) - start])
    return np.concatenate(parts)


def witness_values(
    loss: Loss, score_data: np.ndarray, score_gen: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, str]:
    """The witness of real and of generated scores, as `view_critic` describes it; NaN for scores that are not finite.

    Args:
        loss: Loss of the run.
        score_data: (N, d), N >= 2.
        score_gen: (M, d), M >= 2.
        seed: Seed of the width of random-width losses.

    Returns:
        float32 (N,), float32 (M,), and what the witness is, in words.
    """
    kernel = loss.penalty_kernel(score_gen, score_data, seed=(seed, _WIDTH_DRAW), state=loss.initial_state())
    if not kernel:
        return score_data.mean(axis=1), score_gen.mean(axis=1), f"critic score ({loss.name})"
    from mmdgan.losses import witness

    name = "rational_quadratic" if "alpha" in kernel else "gaussian"

    def against_other_half(scores: np.ndarray) -> np.ndarray:
        values = np.empty(len(scores), np.float32)
        for half in range(2):
            other = 1 - half
            values[half::2] = witness(scores[half::2], score_data[other::2], score_gen[other::2], name, **kernel)
        return values

    words = f"witness of {loss.name} ({_describe(kernel)})"
    return against_other_half(score_data), against_other_half(score_gen), words


def extremes(view: CriticView, count: int = 8) -> dict[str, np.ndarray]:
    """The images that the critic takes for the most and for the least real, by the witness.

    Returns:
        uint8 (min(count, N), H, W, C), the most extreme first, for each key of `EXTREMES`.
    """
    found = {}
    for kind, images, values in (
        ("real", view.images_data, view.witness_data),
        ("generated", view.images_gen, view.witness_gen),
    ):
        order = np.argsort(values, kind="stable")
        found[f"{kind}_most"] = images[order[::-1][:count]]
        found[f"{kind}_least"] = images[order[:count]]
    return found


def embed_scores(view: CriticView, seed: int = 0, perplexity: float = 30) -> np.ndarray:
    """Embeds real and generated scores in the plane, as `embed` does: float32 (2N, 2), the real ones first."""
    return embed(np.concatenate([view.score_data, view.score_gen]), view.step, seed, perplexity)


def embed(scores: np.ndarray, step: int, seed: int = 0, perplexity: float = 30) -> np.ndarray:
    """Embeds critic scores in the plane by t-SNE (van der Maaten & Hinton 2008), as in the paper's Fig. 4.

    Args:
        scores: (N, d), N >= 2.
        step: Step of the checkpoint, for error messages.
        seed: Seed; the embedding is a function of it and of the scores.
        perplexity: About how many neighbours a point keeps close; at most a third of the points is used, which t-SNE
            needs.

    Returns:
        float32 (N, 2), without units.

    Raises:
        ConfigError: The perplexity is below 1.
        MetricError: The scores are not finite, or all alike.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if perplexity < 1:
        raise ConfigError(f"perplexity is {perplexity}; give a number of neighbours, such as 30.")
    scores = scores.astype(np.float32)
    if not np.isfinite(scores).all():
        raise MetricError(f"The critic's scores at step {step} are not finite; look at an earlier checkpoint.")
    if (scores == scores[0]).all():
        raise MetricError(f"All images have the same critic score at step {step}; look at another checkpoint.")
    tsne = TSNE(
        n_components=2,
        perplexity=min(perplexity, (len(scores) - 1) / 3),
        # One score has no second principal component to begin with.
        init="pca" if scores.shape[1] > 1 else "random",
        random_state=seed,
    )
    # Threads gain little for so few points, wait for each other on a busy machine, and add up in any order.
    with threadpool_limits(limits=1):
        return tsne.fit_transform(scores)


def _describe(kernel: dict) -> str:
    """ "Gaussian, width 1", "5 rational quadratic kernels"."""
    kind = "rational quadratic" if "alpha" in kernel else "Gaussian"
    values = np.reshape(kernel["alpha" if "alpha" in kernel else "sigma"], -1)
    if len(values) > 1:
        return f"{len(values)} {kind} kernels"
    return f"{kind}, {'exponent' if 'alpha' in kernel else 'width'} {float(values[0]):.3g}"


def write_projector(folder: RunFolder, view: CriticView, out: str | os.PathLike | None = None) -> Path:
    """Writes what `tensorboard --logdir RUN` shows under "Projector" (original.md F.1).

    For step N: `x_vs_xg_N_embedding.tsv` (critic scores of the real images, then of the generated ones),
    `x_vs_xg_N_label.tsv` (a header; six-digit index, "real" or "generated", and the class where there are labels),
    `x_vs_xg_N.png` (the images in a grid, each stretched to the whole range of grey values). The step is added to
    `projector_config.pbtxt`, next to other steps.

    Args:
        folder: The run.
        view: Its real and generated images.
        out: Another folder of logs.

    Returns:
        The path of `projector_config.pbtxt`.

    Raises:
        ConfigError: The folder cannot be written, or holds a damaged configuration of another program.
    """
    out = folder.logs if out is None else Path(out)
    stem = f"x_vs_xg_{view.step}"
    scores = np.concatenate([view.score_data, view.score_gen])
    with write_errors(out, "name another folder"):
        out.mkdir(parents=True, exist_ok=True)
        rows = ("\t".join(f"{value:.9g}" for value in row) for row in scores)
        write_text(out / f"{stem}_embedding.tsv", "\n".join(rows) + "\n")
        write_text(out / f"{stem}_label.tsv", _metadata(view))
        size = _write_sprite(out / f"{stem}.png", view)
        write_text(out / CONFIG, _config(out / CONFIG, stem, scores.shape, size))
    return out / CONFIG


def _metadata(view: CriticView) -> str:
    kinds = ["real"] * len(view.score_data) + ["generated"] * len(view.score_gen)
    header, columns = ["Name", "Class"], [[f"{index:06d}" for index in range(len(kinds))], kinds]
    if view.labels_data is not None:
        header.append("Label")
        asked = [""] * len(view.score_gen) if view.labels_gen is None else map(view.class_name, view.labels_gen)
        columns.append([*map(view.class_name, view.labels_data), *asked])
    return "".join("\t".join(row) + "\n" for row in [header, *zip(*columns, strict=True)])


def _write_sprite(path: Path, view: CriticView) -> tuple[int, int]:
    """Writes the grid of images; returns width and height of one image."""
    images = np.concatenate([view.images_data, view.images_gen])
    columns = int(np.ceil(np.sqrt(len(images))))
    shrink = int(np.ceil(columns * max(images.shape[1:3]) / _LARGEST_SPRITE))
    images = images[:, ::shrink, ::shrink]
    save_png(path, image_grid(images, columns, stretch=True))
    return images.shape[2], images.shape[1]


def _config(path: Path, name: str, shape: tuple[int, int], size: tuple[int, int]) -> str:
    """The configuration with an embedding of this name added or replaced."""
    from google.protobuf import text_format
    from tensorboard.plugins.projector import ProjectorConfig

    config = ProjectorConfig()
    if path.is_file():
        try:
            text_format.Parse(path.read_text(encoding="utf-8"), config)
        except (text_format.ParseError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{path} is not a configuration of TensorBoard's projector ({error}); delete it."
            ) from error
    for embedding in [e for e in config.embeddings if e.tensor_name == name]:
        config.embeddings.remove(embedding)
    embedding = config.embeddings.add()
    embedding.tensor_name = name
    embedding.tensor_path = f"{name}_embedding.tsv"
    embedding.tensor_shape.extend(shape)
    embedding.metadata_path = f"{name}_label.tsv"
    embedding.sprite.image_path = f"{name}.png"
    embedding.sprite.single_image_dim.extend(size)
    return text_format.MessageToString(config)
