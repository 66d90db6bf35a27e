"""The imports among the package's own modules, read from the syntax trees: inside functions too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "mmdgan"
FLOORS = (
    ("core",),
    ("design", "losses", "layers", "pictures", "sampling", "tf1"),
    ("data", "networks", "mmd"),
    ("training", "metrics"),
    ("runs",),
    ("report", "sweeps", "export"),
    ("cli",),
)
"""The rooms from the ground up: a room imports from floors below its own, and from itself."""
DOCUMENTED_PATHS = ("mmdgan.errors", "mmdgan.experiment", "mmdgan.flags", "mmdgan.startup")
"""Modules that only name what lives elsewhere, for users: nothing in the package imports them."""


def room(module: str) -> str:
    """The package or module directly in mmdgan/ to which a module belongs."""
    return module.split(".")[1] if "." in module else ""


@cache
def modules() -> dict[str, ast.Module]:
    """Name -> syntax tree of every module."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = ast.parse(file.read_text(encoding="utf-8"))
    return found


@cache
def graph() -> dict[str, dict[str, int]]:
    """Module -> the modules that it imports, with the line; what a face exports counts as its home's."""
    return {name: dict(_targets(name, tree)) for name, tree in modules().items()}


def circles() -> list[list[str]]:
    """Groups of modules that import each other, directly or not (Tarjan's strongly connected components)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for target in graph()[node]:
            if target not in order:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], order[target])
        if low[node] == order[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in graph():
        if node not in order:
            visit(node)
    return found


def longest_chain() -> list[str]:
    """The longest chain of imports, the importing module first; the graph has no circles."""

    @cache
    def chain(node: str) -> tuple[str, ...]:
        return (node, *max((chain(target) for target in graph()[node]), key=len, default=()))

    return list(max((chain(node) for node in graph()), key=len))


def _targets(name: str, tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in _statements(tree, with_typing=False):
        if isinstance(node, ast.Import):
            named = [(alias.name, None) for alias in node.names]
        else:
            named = [(str(node.module), alias.name) for alias in node.names]
        for module, attribute in named:
            if target := _home(module, attribute):
                if target != name:
                    yield target, node.lineno


def _statements(tree: ast.AST, with_typing: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING") or with_typing:
            yield from _statements(node, with_typing)


@cache
def _home(module: str, attribute: str | None) -> str | None:
    """The module of ours that an import needs: a submodule, the home of a name that a face exports, or itself."""
    if attribute is not None and f"{module}.{attribute}" in modules():
        return f"{module}.{attribute}"
    if module not in modules():
        return None
    for node in _statements(modules()[module], with_typing=True):
        if isinstance(node, ast.ImportFrom) and (PACKAGE.parent / module.replace(".", "/")).is_dir():
            for alias in node.names:
                if (alias.asname or alias.name) == attribute:
                    return _home(str(node.module), alias.name)
    return module
