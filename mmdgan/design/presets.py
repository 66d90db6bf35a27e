"""The presets: what each dictionary of `architectures/` is, from its networks and from the text beneath it.

A preset is an assignment at the top of a module, with a string after it: a paragraph, then entries "Key: text", which
may go on in indented lines. The keys are those of `ENTRIES`. Pure Python: nothing here imports TensorFlow or NumPy.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mmdgan.core.errors import ConfigError, DesignError
from mmdgan.core.text import listed, nearest
from mmdgan.design.architecture import parse_architecture
from mmdgan.design.files import architectures_in, preset_modules
from mmdgan.design.spec import NetworkSpec

ENTRIES = ("Multiply-adds", "Expected", "Measured", "Classes", "Command", "Source", "Published score")

_ENTRY = re.compile(rf"({'|'.join(ENTRIES)})(?: \(([^)]*)\))?[:,] (.*)")
_TITLE = re.compile(r' "[^"]*",')  # of a paper, between its authors and where it appeared
_FURTHER = re.compile(r"[:;.] |, and |\.$")  # where a source's first words end


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
        ConfigError: There is no such module.
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
    return [preset for family in chosen for preset in _presets_in(family, modules[family], num_class)]


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
