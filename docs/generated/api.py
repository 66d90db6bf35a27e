"""The reference of the public Python names: a page for each package, with an entry for each name of its `__all__`.

Packages, names and what an entry shows come from the source, which griffe reads without importing TensorFlow.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import griffe

PROJECT = Path(__file__).resolve().parents[2]

EXAMPLES = {
    "mmdgan": """```python
import mmdgan

experiment = mmdgan.Experiment(
    architecture="sample/DCGAN_SMALL", data="sample", loss="rep_b", max_step=200, metrics=()
)
run = experiment.run()
run = mmdgan.open_run(run.folder)  # later, or elsewhere
images = run.sample(64)  # uint8 (64, 32, 32, 3)
losses = run.curves["loss/generator"]  # losses.steps, losses.values
generator = mmdgan.load_pretrained("sample/rep_b")  # a keras.Model
```

The fields of an `Experiment` are the flags of [train](cli/train.md): `--lr_dis 1e-3` is `lr_dis=1e-3`.""",
    "mmdgan.losses": """```python
import numpy as np

import mmdgan

random = np.random.default_rng(0)
score_gen, score_data = random.normal(0, 1, (64, 16)), random.normal(1, 1, (64, 16))
losses = mmdgan.losses.get("rep_b", rep_lambda=1)(score_gen, score_data)
print(float(losses.gen), float(losses.dis))  # both to be minimised
print(float(mmdgan.losses.mmd2(score_gen, score_data, sigma=[1, 2, 4])))
```

[Formulas and options of every loss](../losses.md); [how to write one](../../howto/own_loss.md).""",
    "mmdgan.layers": """```python
import keras

import mmdgan

critic = keras.Sequential(
    [
        keras.Input((32, 32, 3)),
        mmdgan.layers.SpectralConv2D(64, 4, strides=2, padding="same", activation="relu"),
        keras.layers.Flatten(),
        mmdgan.layers.SpectralDense(1),
    ]
)
critic.compile("adam", "mse")
```

[How to use them in your own Keras model](../../howto/keras_layers.md).""",
    "mmdgan.mmd": """```python
import numpy as np

import mmdgan

random = np.random.default_rng(0)
x, y = random.normal(0, 1, (200, 2)), random.normal(0.5, 1, (200, 2))
result = mmdgan.mmd.two_sample_test(x, y)
print(result.p_value, result.statistic, result.interval)
print(mmdgan.mmd.witness_extremes(x, y, count=5).x)  # the rows of x that are most unlike y
```

[How to test whether two sets differ](../../howto/two_samples.md).""",
    "mmdgan.metrics": """```python
import numpy as np

import mmdgan

random = np.random.default_rng(0)
images, real = (random.integers(0, high, (64, 32, 32, 3), dtype=np.uint8) for high in (200, 256))
found = mmdgan.metrics.score(images, real, metrics=["swd"])  # a folder, a .npz or a data set's name will do too
print(found)  # a table with the protocol; found["SWD mean"] is a number
```

[What each score is](../../scores.md).""",
    "mmdgan.training": """```python
import mmdgan

architecture = mmdgan.load_architecture("sample/DCGAN_SMALL")
networks = mmdgan.build_generator(architecture), mmdgan.build_discriminator(architecture)
gan = mmdgan.training.GanStep(*networks, mmdgan.losses.get("rep_b"), lr_dis=1e-3, lr_gen=1e-3)
pipeline = mmdgan.data.Pipeline(mmdgan.data.open_data("sample"), batch_size=64)
losses = gan.step(pipeline.batch(0)["x"])  # one simultaneous update of both networks
progress = mmdgan.training.Trainer(gan, pipeline).fit(10)
```""",
    "mmdgan.sampling": """```python
import mmdgan
from mmdgan import pictures, sampling

generator = mmdgan.load_pretrained("sample/rep_b")
images = sampling.generate(generator, sampling.random_codes(64, 128, seed=0))  # uint8 (64, 32, 32, 3)
pictures.save_png("samples.png", pictures.image_grid(images))
```""",
}
"""Whole programs, and links, at the top of a package's page; the tests run them."""

_KERAS = {"build", "call", "get_config", "from_config", "compute_output_shape", "compute_output_spec"}
"""Methods that Keras calls."""

_READING = """Images in batches are (N, H, W, C), or (N, C, H, W) with `channels_first`; shapes in dictionaries are
always (C, H, W). Errors that you can mend are of the types below, with one sentence that names thing, place and remedy.
"""


def pages() -> dict[str, Callable[[], str]]:
    """The pages of the Python names: of the package itself, and of each package and module in it."""
    below = {f"reference/api/{name.partition('.')[2]}.md": functools.partial(page, name) for name in packages()[1:]}
    return {"reference/api.md": functools.partial(page, "mmdgan"), **below}


@functools.cache
def packages() -> list[str]:
    """The package and what has public names in it: packages with `__all__`, and modules that define functions."""
    found = ["mmdgan"]
    for module in pkgutil.iter_modules([str(PROJECT / "mmdgan")]):
        name = f"mmdgan.{module.name}"
        if not module.name.startswith("_") and public_names(name):
            found += [name, *(f"{name}.{inner}" for inner in public_names(name) if _is_face(f"{name}.{inner}"))]
    return found


@functools.cache
def public_names(package: str) -> tuple[str, ...]:
    """The names of a package's `__all__`, or the functions and classes of a module of the library's root."""
    if _is_face(package):
        return tuple(importlib.import_module(package).__all__)
    file = PROJECT.joinpath(*package.split(".")).with_suffix(".py")
    tree = ast.parse(file.read_text(encoding="utf-8") if file.is_file() else "")
    defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return tuple(name for name in defined if not name.startswith("_"))


def page(package: str) -> str:
    """The Markdown of a package's page."""
    docstring = _source(package).docstring
    up = "" if package == "mmdgan" else "../"
    parts = [f"# {package}\n\n{inspect.cleandoc(docstring.value) if docstring else ''}\n\n"]
    parts += [f"{EXAMPLES[package]}\n\n" if package in EXAMPLES else "", f"{_READING}\n" if not up else ""]
    if package == "mmdgan":
        lines = [f"| [`{name}`](api/{name.partition('.')[2]}.md) | {_first_line(name)} |" for name in packages()[1:]]
        parts.append("\n".join(["| package | what it has |", "|---|---|", *lines, "\n"]))
    places = {name: _place(package, name) for name in public_names(package) if f"{package}.{name}" not in packages()}
    for name in sorted(places, key=lambda name: places[name]):
        path, elsewhere = f"{package}.{name}", f"mmdgan.{name}"
        if up and name in public_names("mmdgan") and _source(path) is _source(elsewhere):
            parts.append(f"## {path} {{ #{path} }}\n\nThe same as [`{elsewhere}`](../api.md#{elsewhere}).\n\n")
        else:
            parts.append("\n".join(_entry(package, name)) + "\n\n")
    return "".join(parts)


def _place(package: str, name: str) -> tuple[int, str]:
    """The place of a name on its page: functions and classes, then errors, modules and constants; by the alphabet."""
    item = _source(f"{package}.{name}")
    kind = 3 if item.is_attribute else 2 if item.is_module and name not in item.members else name.endswith("Error")
    return int(kind), name.lower()


def _entry(package: str, name: str) -> Iterator[str]:
    """The lines of the entry of a name: its documentation, and that of the members that a reader calls."""
    path, item = f"{package}.{name}", _source(f"{package}.{name}")
    if item.is_module and name in item.members and _defines(item.members[name]):  # a function like its module
        path, item = f"{path}.{name}", item.members[name]
    members = []
    if item.is_module:
        known = public_names(package)
        members = [each for each, member in item.members.items() if _defines(member) and each not in known]
    elif item.is_class:
        members = [each for each, member in item.members.items() if _called(member)]
    yield f"::: {path}"
    yield "    options:"
    yield f"      heading: {package}.{name}"
    yield f"      toc_label: {name}"
    yield f"      members: {members or 'false'}"
    if name == "Experiment":
        yield "      show_signature: false"  # a hundred fields


@functools.cache
def _library() -> griffe.Module:
    import griffe

    return griffe.load("mmdgan", search_paths=[str(PROJECT)], resolve_aliases=True)


def _source(path: str) -> griffe.Object:
    """What griffe knows of a dotted path."""
    item = _library()[path.partition(".")[2]] if "." in path else _library()
    return item.final_target if item.is_alias else item


def _is_face(path: str) -> bool:
    """Whether this is a package, or a module, that says which of its names are public."""
    place = PROJECT.joinpath(*path.split("."))
    files = (place / "__init__.py", place.with_suffix(".py"))
    return any(file.is_file() and "__all__" in file.read_text(encoding="utf-8") for file in files)


def _defines(member: griffe.Object | griffe.Alias) -> bool:
    """Whether a member of a module is a documented function or class of this module."""
    return not (member.is_alias or member.name.startswith("_")) and member.kind.value in ("function", "class")


def _called(member: griffe.Object | griffe.Alias) -> bool:
    """Whether a member of a class is a documented method or property for users."""
    if member.is_alias or member.name in _KERAS or not member.has_docstring:
        return False
    method = member.is_function or "property" in member.labels
    return method and (member.name == "__call__" or not member.name.startswith("_"))


def _first_line(package: str) -> str:
    docstring = _source(package).docstring
    return inspect.cleandoc(docstring.value).partition("\n\n")[0].replace("\n", " ") if docstring else ""
