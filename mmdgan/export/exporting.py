"""Writing one network of a run, its model card and its picture into a folder; TensorFlow is imported only then."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from mmdgan.core.errors import ConfigError
from mmdgan.runs.folder import RunFolder

if TYPE_CHECKING:
    import numpy as np

    from mmdgan.export.forms import Subject

ENDINGS = {"keras": ".keras", "savedmodel": "", "onnx": ".onnx"}
"""How the name of the file ends in each format; a SavedModel is a folder."""

FORMATS = tuple(ENDINGS)
NETWORKS = ("generator", "critic")
TOLERANCE = 1e-5
"""How much an exported network may differ from the run's, as a share of the largest output (or of 1)."""

_CARD, _SAMPLES = "README.md", "samples.png"
_GRID = (4, 8)


class Exported(NamedTuple):
    """What `export_network` wrote.

    Attributes:
        folder: all of it.
        model: the file or, of a SavedModel, the folder in it.
        step: of the checkpoint.
        bytes: size of the model.
        difference: the largest one between its outputs and the run's network, of 4 samples.
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
    """Writes a network of a run in a form that other programs load, with a model card.

    Args:
        run: the run's directory.
        format: "keras" (a generator in standard layers; a critic keeps mmdgan's), "savedmodel" or "onnx".
        out: the folder to write into; RUN/export/<step>_<format> by default, with "critic_" before the format of one.
        step: of the checkpoint; "best": the one kept for its score; None: the newest.
        network: "generator" or "critic".
        overwrite: replace an export that is in the folder already.
        ema: whether the generator's weights are the averaged ones; None: if the run has them.

    Raises:
        ConfigError: no such format or network, a folder that is taken or cannot be written to, packages for ONNX
            that are not installed, or a layer that standard Keras layers cannot express.
        CheckpointError: no such checkpoint.
    """
    if ema is not None and network != "generator":
        raise ConfigError(f"ema is {str(ema).lower()}, but only the generator's weights are averaged; leave it out.")
    for field, value, valid in (("format", format, FORMATS), ("network", network, NETWORKS)):
        if value not in valid:
            raise ConfigError(f"{field} is {value!r}; choose from {', '.join(valid)}.")
    folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
    if out is not None:
        _check_target(Path(out), overwrite)
    from mmdgan.export import forms
    from mmdgan.export.plain import float32_network

    if format == "onnx":
        forms.check_onnx()
    net, step = folder.load_generator(step, ema) if network == "generator" else folder.load_critic(step)
    subject = forms.Subject(float32_network(net), network)
    kind = format if network == "generator" else f"critic_{format}"
    kind += "_noema" if ema is False else ""
    target = folder.path / "export" / f"{step}_{kind}" if out is None else Path(out)
    _check_target(target, overwrite)
    try:
        return _write(subject, folder, format, step, target)
    except OSError as error:
        raise ConfigError(f"{target} cannot be written ({error.strerror or error}); give another --out.") from error


def _write(subject: Subject, folder: RunFolder, format: str, step: int, target: Path) -> Exported:
    """Writes everything into a folder beside the target, checks it, and moves it into place."""
    from mmdgan.export.card import model_card
    from mmdgan.export.forms import FORMS

    form = FORMS[format]
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=target) as partial:
        model = Path(partial) / (subject.role + ENDINGS[format])
        form.write(subject, model)
        difference = _difference(subject, format, model)
        card = model_card(folder, step, format, subject.role, difference)
        (Path(partial) / _CARD).write_text(card, encoding="utf-8")
        if subject.role == "generator":
            _save_samples(subject, folder, Path(partial) / _SAMPLES)
        for name in (_CARD, _SAMPLES, *_models()):
            _remove(target / name)
        for path in Path(partial).iterdir():
            path.rename(target / path.name)
    model = target / model.name
    return Exported(target, model, step, _size(model), difference)


def _difference(subject: Subject, format: str, model: Path) -> float:
    """The largest difference between the written model and the run's network; an error if it is not rounding."""
    import numpy as np
    import tensorflow as tf

    from mmdgan.export.forms import FORMS

    x, labels = _inputs(subject, 4)
    with tf.device("CPU:0"):
        expected = subject.run(x, labels)
        found = FORMS[format].run(subject, model, x, labels)
    difference = float(np.max(np.abs(found - expected)))
    if not difference <= TOLERANCE * max(1.0, float(np.max(np.abs(expected)))):
        raise RuntimeError(
            f"The exported {subject.role} differs from the run's by {difference:.2g}: this is a mistake in mmdgan; "
            "nothing was written."
        )
    return difference


def _inputs(subject: Subject, count: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Codes or noise images, and labels (count,), to compare outputs by."""
    import numpy as np

    from mmdgan import sampling

    shape = subject.net.spec.input_shape
    x = sampling.random_codes(count, int(np.prod(shape)), 0)
    labels = sampling.cycled_labels(count, subject.net.spec.num_class) if subject.net.conditional else None
    x = x if len(shape) == 1 else np.tanh(x).reshape(count, *shape[1:], shape[0])
    return x, None if labels is None else labels[:, 0]


def _save_samples(subject: Subject, folder: RunFolder, path: Path) -> None:
    """Writes a grid of the run's first fixed codes; its columns show the classes in turn."""
    from mmdgan import sampling
    from mmdgan.pictures import grid

    rows, columns = _GRID
    spec, seed = subject.net.spec, folder.read_config()["experiment"].get("seed", 0)
    codes = sampling.grid_codes(rows * columns, spec.input_shape[0], seed)
    labels = sampling.cycled_labels(rows * columns, spec.num_class if spec.conditional else 0, columns)
    images = sampling.generate(subject.net, codes, labels, batch_size=rows * columns)
    grid.save_png(path, grid.image_grid(images, columns))


def _models() -> list[str]:
    """What exported networks are called."""
    return [network + ending for network in NETWORKS for ending in ENDINGS.values()]


def _check_target(target: Path, overwrite: bool) -> None:
    """Refuses a target that is no folder or holds an export, or what looks like one, already."""
    if target.suffix in (".keras", ".onnx", ".pb", ".h5"):
        raise ConfigError(f"out is {target}; name a folder, into which the model, its card and samples go.")
    if target.exists() and not target.is_dir():
        raise ConfigError(f"out is {target}, which is a file; name a folder.")
    models = [name for name in _models() if _is_model(target / name)]
    foreign = [name for name in _models() if (target / name).exists() and name not in models]
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
