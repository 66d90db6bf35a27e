"""The house: which room may import which, no circles, chains that one can follow (docs/architecture.md)."""

from __future__ import annotations

from docs.generated import house
from tests.helpers.import_graph import DOCUMENTED_PATHS, FLOORS, PACKAGE, circles, graph, longest_chain, room

FLOOR = {name: number for number, rooms in enumerate(FLOORS, 1) for name in rooms}


def test_every_module_has_a_room():
    outside = ("mmdgan", "mmdgan.__main__", *DOCUMENTED_PATHS)
    assert {room(module) for module in graph() if module not in outside} == set(FLOOR)
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def test_imports_go_down():
    """Inside functions too; rooms on one floor do not know each other."""
    wrong = [
        f"{module}:{line} imports {target}"
        for module, targets in graph().items()
        if room(module) in FLOOR
        for target, line in targets.items()
        if room(module) != room(target) and FLOOR.get(room(target), 99) >= FLOOR[room(module)]
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_imports_in_a_circle():
    assert not circles()


def test_chains_of_imports_are_short():
    assert len(chain := longest_chain()) <= 18, " -> ".join(chain)


def test_the_picture_of_the_house_is_true():
    assert house.FILE.read_text(encoding="utf-8") == house.draw(), "run python docs/generated/house.py"
