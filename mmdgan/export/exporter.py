"""Writes a network of a run, its model card and its samples into a folder; TensorFlow is imported only then."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from mmdgan.core.errors import ConfigError, write_errors
from mmdgan.core.files import is_named_as_file
from mmdgan.export.card import model_card
from mmdgan.export.formats import FORMATS, InferenceNetwork, check_onnx
from mmdgan.runs.folder import RunFolder
from mmdgan.runs.pretrained import open_folder

if TYPE_CHECKING:
    import numpy as np

NETWORKS = ("generator", "critic")
"""Networks that can be exported."""
TOLERANCE = 3e-5  # convolutions by Winograd round images of 32x32 pixels by up to 1.6e-5
"""Largest difference between an exported network and the run's, as a share of the largest output (or of 1)."""

_CARD, _SAMPLES = "README.md", "samples.png"
_MODELS = [network + format.ending for network in NETWORKS for format in FORMATS.values()]
_GRID = (4, 8)


class Exported(NamedTuple):
    """What `export_network` wrote.

    Attributes:
        folder: The folder of all files.
        model: The file or, of a SavedModel, the folder in it.
        step: Step of the checkpoint.
        bytes: Size of the model.
        difference: Largest difference between its outputs and those of the run's network, for 4 samples.
    """

    folder: Path
    model: Path
    step: int
    bytes: int
    difference: float


def export_network(
    run: str | os.PathLike | RunFolder,
    format: str = "keras",
    out: str | os.PathLike | None = None,
    step: int | Literal["best"] | None = None,
    network: str = "generator",
    overwrite: bool = False,
    ema: bool | None = None,
) -> Exported:
    """Writes a network of a run in a format that other programs load, with a model card.

    Args:
        run: The run's directory, or `pretrained:NAME`.
        format: "keras" (a generator in standard layers; a critic keeps the layers of mmdgan), "savedmodel" or "onnx".
        out: Folder to write to; RUN/export/<step>_<format> by default, for a critic RUN/export/<step>_critic_<format>.
        step: Step of the checkpoint; "best": the one kept for its score; None: the newest.
        network: "generator" or "critic".
        overwrite: Whether to replace an export in the folder.
        ema: Whether to export the averaged weights of the generator; None: if the run has them.

    Raises:
        ConfigError: There is no such format or network, the folder is taken or cannot be written, packages for ONNX
            are not installed, or a layer has no equivalent in standard Keras layers.
        CheckpointError: There is no such checkpoint.
    """
    if ema is not None and network != "generator":
        raise ConfigError(f"ema is {str(ema).lower()}, but only the generator's weights are averaged; leave it out.")
    for field, value, valid in (("format", format, tuple(FORMATS)), ("network", network, NETWORKS)):
        if value not in valid:
            raise ConfigError(f"{field} is {value!r}; choose from {', '.join(valid)}.")
    folder = run if isinstance(run, RunFolder) else open_folder(run)
    step = folder.find_step(step)
    kind = format if network == "generator" else f"critic_{format}"
    kind += "_noema" if ema is False else ""
    target = folder.outputs / "export" / f"{step}_{kind}" if out is None else Path(out)
    _check_target(target, overwrite)
    if format == "onnx":
        check_onnx()
    from mmdgan.export.plain import float32_network

    net, _ = folder.load_generator(step, ema) if network == "generator" else folder.load_critic(step)
    with write_errors(target, "give another --out"):
        return _write(InferenceNetwork(float32_network(net), network), folder, format, step, target, ema)


def _write(
    network: InferenceNetwork, folder: RunFolder, format: str, step: int, target: Path, ema: bool | None
) -> Exported:
    """Writes everything into a temporary folder in the target, checks it, and moves it into place."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=target) as partial:
        model = Path(partial) / (network.role + FORMATS[format].ending)
        FORMATS[format].write(network, model)
        difference = _difference(network, format, model)
        card = model_card(folder, step, format, network.role, difference, ema)
        (Path(partial) / _CARD).write_text(card, encoding="utf-8")
        if network.role == "generator":
            _save_samples(network, folder, Path(partial) / _SAMPLES)
        for name in (_CARD, _SAMPLES, *_MODELS):
            _remove(target / name)
        for path in Path(partial).iterdir():
            path.rename(target / path.name)
    model = target / model.name
    return Exported(target, model, step, _size(model), difference)


def _difference(network: InferenceNetwork, format: str, model: Path) -> float:
    """The largest difference between the written model and the run's network; an error if it is not rounding."""
    import numpy as np
    import tensorflow as tf

    x, labels = _inputs(network, 4)
    with tf.device("CPU:0"):
        expected = network.run(x, labels)
        found = FORMATS[format].run(network, model, x, labels)
    difference = float(np.max(np.abs(found - expected)))
    if not difference <= TOLERANCE * max(1.0, float(np.max(np.abs(expected)))):
        raise RuntimeError(
            f"The exported {network.role} differs from the run's by {difference:.2g}: this is a mistake in mmdgan; "
            "nothing was written."
        )
    return difference


def _inputs(network: InferenceNetwork, count: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Codes or noise images, and labels (count,), to compare outputs by."""
    import numpy as np

    from mmdgan import sampling

    shape = network.net.spec.input_shape
    x = sampling.random_codes(count, int(np.prod(shape)), 0)
    labels = sampling.cycled_labels(count, network.net.spec.num_class) if network.net.conditional else None
    x = x if len(shape) == 1 else np.tanh(x).reshape(count, *shape[1:], shape[0])
    return x, None if labels is None else labels[:, 0]


def _save_samples(network: InferenceNetwork, folder: RunFolder, path: Path) -> None:
    """Writes a grid of the run's first fixed codes; its columns show the classes in turn."""
    from mmdgan import sampling
    from mmdgan.pictures import grid

    rows, columns = _GRID
    spec, seed = network.net.spec, folder.read_config()["experiment"].get("seed", 0)
    codes = sampling.grid_codes(rows * columns, spec.input_shape[0], seed)
    labels = sampling.cycled_labels(rows * columns, spec.num_class if spec.conditional else 0, columns)
    images = sampling.generate(network.net, codes, labels, batch_size=rows * columns)
    grid.save_png(path, grid.image_grid(images, columns))


def _check_target(target: Path, overwrite: bool) -> None:
    """Refuses a target that is not a folder, or that holds an export or files of the same names."""
    if is_named_as_file(target):
        raise ConfigError(f"out is {target}; name a folder, into which the model, its card and samples go.")
    if target.exists() and not target.is_dir():
        raise ConfigError(f"out is {target}, which is a file; name a folder.")
    models = [name for name in _MODELS if _is_model(target / name)]
    foreign = [name for name in _MODELS if (target / name).exists() and name not in models]
    if not models:
        foreign += [name for name in (_CARD, _SAMPLES) if (target / name).exists()]
    if foreign:
        raise ConfigError(f"{target} holds {' and '.join(foreign)} of something else; give another --out.")
    if models and not overwrite:
        raise ConfigError(f"{target} holds an export already; give --overwrite to replace it, or another --out.")


def _is_model(path: Path) -> bool:
    return path.is_file() if path.suffix else (path / "saved_model.pb").is_file()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
