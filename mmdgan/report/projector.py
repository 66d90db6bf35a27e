"""TensorBoard's embedding projector: critic scores of images, with their pictures and classes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from mmdgan.core.errors import ConfigError
from mmdgan.core.files import write_text
from mmdgan.pictures.grid import image_grid, save_png
from mmdgan.report.critic_view import CriticView
from mmdgan.runs.folder import RunFolder

CONFIG = "projector_config.pbtxt"
_LARGEST_SPRITE = 8192  # pixels per side that browsers accept


def write_projector(folder: RunFolder, view: CriticView, out: str | os.PathLike | None = None) -> Path:
    """Writes what `tensorboard --logdir RUN/logs` shows under "Projector" (original.md F.1).

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
    try:
        out.mkdir(parents=True, exist_ok=True)
        rows = ("\t".join(f"{value:.9g}" for value in row) for row in scores)
        write_text(out / f"{stem}_embedding.tsv", "\n".join(rows) + "\n")
        write_text(out / f"{stem}_label.tsv", _metadata(view))
        size = _write_sprite(out / f"{stem}.png", view)
        write_text(out / CONFIG, _config(out / CONFIG, stem, scores.shape, size))
    except OSError as error:
        raise ConfigError(f"{out} cannot be written ({error.strerror or error}); name another folder.") from error
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
