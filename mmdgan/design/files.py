"""Architectures in files: loaded from a Python file of the user or from the presets in `architectures/`.

A preset is an assignment at the top of a module, with a string after it: a paragraph, then entries "Key: text", which
may go on in indented lines. The keys are those of `ENTRIES`. Pure Python: nothing here imports TensorFlow or NumPy.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.util
import inspect
import itertools
import json
import os
import re
import runpy
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from mmdgan.core.errors import ConfigError, DesignError
from mmdgan.core.files import read_text
from mmdgan.core.text import listed, nearest, shown
from mmdgan.design.architecture import parse_architecture
from mmdgan.design.spec import NetworkSpec

_LOADING = threading.RLock()
"""Held while a file has the process's modules to itself."""

ENTRIES = ("Multiply-adds", "Expected", "Measured", "Classes", "Command", "Source", "Published score")

_ENTRY = re.compile(rf"({'|'.join(ENTRIES)})(?: \(([^)]*)\))?[:,] (.*)")
_TITLE = re.compile(r' "[^"]*",')  # of a paper, between its authors and where it appeared
_FURTHER = re.compile(r"[:;.] |, and |\.$")  # where a source's first words end


def load_architecture(reference: str) -> dict:
    """Read an architecture dictionary from Python source.

    Args:
        reference: "path/file.py:NAME" for a dictionary in a file of one's own, which may import `mmdgan` and
            `architectures` and the modules next to it; "RUN/config.json" for the networks of a run; or "module/NAME"
            for a preset, such as "cifar10/DCGAN", looked for in the presets that come with mmdgan and then in
            ./architectures.

    Raises:
        DesignError: The file or the name does not exist (the message lists those that do), or the file fails.
    """
    return dict(_load(reference, lambda value: isinstance(value, Mapping)))


def load_dictionary(reference: str) -> dict | list:
    """Read an architecture, or a single network: a graph dictionary or a list of layer dictionaries.

    Arguments and errors as `load_architecture`.
    """
    value = _load(reference, _is_dictionary)
    return dict(value) if isinstance(value, Mapping) else list(value)


def preset_folders() -> list[Path]:
    """The folders of presets: that of the installed package or of the checkout, and ./architectures."""
    package = importlib.util.find_spec("mmdgan.architectures")
    checkout = Path(__file__).resolve().parents[2] / "architectures"
    own = [Path(place) for place in package.submodule_search_locations or ()] if package else [checkout]
    return [folder for folder in (*own, Path("architectures")) if folder.is_dir()]


def preset_modules() -> dict[str, Path]:
    """The files of presets by their modules' names, sorted; where two have one name, that of the first folder."""
    files = [path for folder in reversed(preset_folders()) for path in folder.glob("*.py") if path.is_file()]
    return dict(sorted((path.stem, path) for path in files if path.stem != "__init__"))


def architectures_in(path: Path) -> dict[str, dict]:
    """The architectures that a Python file has under public names, including those that it imports.

    Raises:
        DesignError: The file fails.
    """
    keys = {"input", "code", "generator", "discriminator"}
    found = {name: value for name, value in _run(path).items() if isinstance(value, Mapping) and keys <= set(value)}
    return {name: dict(value) for name, value in found.items() if not name.startswith("_")}


def _is_dictionary(value: object) -> bool:
    layers = isinstance(value, (list, tuple)) and value and all(isinstance(layer, Mapping) for layer in value)
    return isinstance(value, Mapping) or bool(layers)


def _load(reference: str, wanted: Callable[[object], bool]) -> Mapping | list | tuple:
    """The value that a reference names, if it is of the wanted kind; error messages list only values of that kind."""
    if not isinstance(reference, str):
        raise DesignError(f"an architecture is named by text such as 'cifar10/DCGAN', not {shown(reference)}.")
    if reference.endswith(".json"):
        return _of_config(reference)
    source, colon, name = reference.rpartition(":")
    if not colon and reference.endswith(".py"):
        source, name = reference, ""
    path = _own_file(reference, Path(source)) if source else None
    if path is None:
        path, name = _preset(reference)
    names = _run(path)
    found = [key for key, value in names.items() if wanted(value) and not key.startswith("_")]
    if name not in found:
        problem = f"there is no dictionary {name!r}" if name else "it names no dictionary"
        choice = f"{path} has {listed(found)}" if found else f"{path} has no dictionaries"
        raise DesignError(f"architecture {reference!r}: {problem}{nearest(name, found)}; {choice}.")
    return names[name]


def _of_config(reference: str) -> dict:
    """The architecture in a run's config.json."""
    try:
        return dict(json.loads(read_text(reference))["architecture"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DesignError(
            f"architecture {reference!r} is not a run's config.json that can be read ({type(error).__name__}: {error})."
        ) from error


def _own_file(reference: str, path: Path) -> Path:
    if os.path.isfile(path):
        return path
    files = sorted(file.name for file in path.parent.glob("*.py")) if os.path.isdir(path.parent) else []
    others = f"; {str(path.parent)!r} has {listed(files)}" if files else ""
    raise DesignError(f"architecture {reference!r}: there is no file {str(path)!r}{others}.")


def _preset(reference: str) -> tuple[Path, str]:
    """The file of a preset "module/NAME", and the name in it ("" if `reference` is a module alone)."""
    module, slash, name = reference.rpartition("/")
    if not slash:
        module, name = reference, ""
    known = preset_modules()
    if module in known:
        return known[module], name
    modules = list(known)
    raise DesignError(
        f"architecture {reference!r}: there is no preset module {module!r}{nearest(module, modules)}; there "
        f"are {listed(modules)}, and a file of your own is named as 'path/file.py:NAME'."
    )


def _run(path: Path) -> dict:
    """The names that a Python file defines; it may import modules next to it, as a script may."""
    with open(path, "rb") as stream:
        if stream.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise DesignError(f"the architecture file {path} is UTF-16, which Python does not read: save it as UTF-8.")
    try:
        with _namespace(str(path.parent.resolve())):
            return runpy.run_path(str(path), run_name="architecture")
    except (Exception, SystemExit) as error:
        raise DesignError(
            f"the architecture file {path} fails{_line(error, path)} with {type(error).__name__}: {error}."
        ) from error


@contextlib.contextmanager
def _namespace(folder: str) -> Iterator[None]:
    """Within the block, presets and the modules of a folder are loaded afresh; the process's own come back after it.

    So a file that changes an imported network in place finds the original one each time, another file's helper of the
    same name is not taken for this one's, and edits are seen.
    """
    with _LOADING:
        before = (list(sys.path), sys.dont_write_bytecode)
        importlib.invalidate_caches()
        aside = _take_out(folder)
        # Bytecode is looked up by whole seconds: it would hide an edit within the same one.
        sys.dont_write_bytecode = True
        sys.path.insert(0, folder)
        try:
            _offer_presets()
            yield
        finally:
            sys.path[:], sys.dont_write_bytecode = before
            _take_out(folder)  # what the block has loaded
            vars(sys.modules["mmdgan"]).pop("architectures", None)  # `from mmdgan import architectures` asks here first
            sys.modules.update(aside)


def _take_out(folder: str) -> dict[str, ModuleType]:
    """Removes from `sys.modules`, and returns, what an `import` within the block must not find there.

    These are the presets, and the modules whose names the folder has too; never `mmdgan`, the main script or the
    standard library.
    """

    @functools.cache
    def in_folder(top: str) -> bool:
        spec = PathFinder.find_spec(top, [folder])
        # A folder without __init__.py gives way to an installed package of its name.
        installed = getattr(sys.modules.get(top), "__file__", None)
        return spec is not None and (spec.origin is not None or installed is None)

    def is_apart(name: str) -> bool:
        if f"{name}.".startswith(("architectures.", "mmdgan.architectures.")):
            return True
        top = name.partition(".")[0]
        return top not in ("__main__", "mmdgan") and top not in sys.stdlib_module_names and in_folder(top)

    return {name: sys.modules.pop(name) for name in list(filter(is_apart, list(sys.modules)))}


def _line(error: BaseException, path: Path) -> str:
    """Where in the file an error arose: ' in line N', or nothing if it arose elsewhere."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f" in line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f" in line {lines[-1]}" if lines else ""


def _offer_presets() -> None:
    """Make `import architectures` and `import mmdgan.architectures` work, installed or not, from any folder."""
    start = next((file for folder in preset_folders() if (file := folder / "__init__.py").is_file()), None)
    folders = [str(folder.resolve()) for folder in preset_folders()]
    for name in ("architectures", "mmdgan.architectures"):
        found = importlib.util.find_spec(name)
        # A user's own folder ./architectures has no origin if it has no __init__.py; it must not hide the presets.
        if start is None or (found is not None and found.origin is not None):
            continue
        spec = importlib.util.spec_from_file_location(name, start, submodule_search_locations=folders)
        assert spec is not None and spec.loader is not None  # a file of Python has a loader
        package = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(package)
        sys.modules[name] = package


@dataclass(frozen=True)
class Preset:
    """One preset.

    Attributes:
        name: Its reference for `load_architecture`, such as "cifar10/DCGAN".
        gen: Its generator.
        dis: Its critic.
        classes: Number of classes for which the two are counted; 0 if they are not conditional.
        entries: The entries of the text beneath it, by key, each in one line.
    """

    name: str
    gen: NetworkSpec
    dis: NetworkSpec
    classes: int
    entries: dict[str, str]

    @property
    def source(self) -> str:
        """The first words of its source, without titles of papers, or nothing."""
        return _FURTHER.split(_TITLE.sub("", self.entries.get("Source", "")))[0]


def presets(families: Iterable[str] = (), num_class: int = 0) -> list[Preset]:
    """The presets that come with mmdgan, and those in ./architectures, sorted by module and in the order of each.

    Args:
        families: Names of modules, such as "sngan"; all if there are none.
        num_class: Number of classes of conditional presets; 0: what the text of each says, or 10 without such an entry.

    Raises:
        ConfigError: There is no such module, or no preset in it.
        DesignError: A module fails, or a preset has a mistake.
    """
    modules = preset_modules()
    for family in families:
        if family not in modules:
            raise ConfigError(
                f"there is no module of presets {family!r}{nearest(family, list(modules))}; there are "
                f"{listed(modules)}."
            )
    chosen = [family for family in modules if not families or family in families]
    found = {family: _presets_in(family, modules[family], num_class) for family in chosen}
    if empty := [family for family in families if not found[family]]:
        raise ConfigError(f"the modules {listed(empty)} have only parts that presets of other modules are made of.")
    return list(itertools.chain.from_iterable(found.values()))


def _presets_in(family: str, path: Path, num_class: int) -> list[Preset]:
    dictionaries, texts = architectures_in(path), documentation(path)
    found = []
    for name, text in texts.items():
        if name in dictionaries:
            entries = _entries(text)
            classes = num_class or int(entries.get("Classes", "10").replace(",", ""))
            gen, dis, classes = _parsed(f"{family}/{name}", dictionaries[name], classes)
            found.append(Preset(f"{family}/{name}", gen, dis, classes, entries))
    return found


def documentation(path: Path) -> dict[str, str]:
    """The strings beneath the assignments to public names at the top of a Python file; "" where there is none."""
    body = ast.parse(path.read_bytes()).body
    texts = {}
    for statement, after in zip(body, [*body[1:], None], strict=True):
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        if isinstance(target, ast.Name) and not target.id.startswith("_"):
            value = after.value if isinstance(after, ast.Expr) else None
            text = value.value if isinstance(value, ast.Constant) else ""
            texts[target.id] = inspect.cleandoc(text) if isinstance(text, str) else ""
    return texts


def _entries(text: str) -> dict[str, str]:
    """The entries of a text by key; the protocol in brackets after a key comes first in what it says."""
    lines = re.sub(r"\n[ \t]+", " ", text).splitlines()
    matches = [match for line in lines if (match := _ENTRY.fullmatch(line))]
    return {key: f"{protocol}: {said}" if protocol else said for key, protocol, said in (m.groups() for m in matches)}


def _parsed(name: str, architecture: dict, classes: int) -> tuple[NetworkSpec, NetworkSpec, int]:
    """Both networks, and the number of classes that they depend on."""
    try:
        gen, dis = parse_architecture(architecture, classes)
    except DesignError as error:
        raise DesignError(f"preset {name}: {error}") from None
    return gen, dis, classes if gen.conditional or dis.conditional else 0
