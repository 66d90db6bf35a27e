"""How the layers of a network are linked: from `links` and `outputs` to execution order, routes and joined shapes.

A link is {"from": [names], "to": [names], "how": None | "split" | "concat" | "sum"}; the name 'input' is the
network's input. As many sources as targets: pairwise. One source, several targets: each gets the whole of it, or
with 'split' an equal slice of its channels. Several sources, one target: 'concat' along the channels or 'sum'.
Source: spec A.8. Each layer gets its input exactly once.
"""

from __future__ import annotations

import graphlib
import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmdgan.core.text import listed, nearest, shown
from mmdgan.design.keys import Place, check_keys
from mmdgan.design.spec import Route, Shape

INPUT = "input"
HOWS = (None, "split", "concat", "sum")


@dataclass(frozen=True)
class Wiring:
    """The graph of a network.

    Attributes:
        order: Indices of the written layers in execution order.
        routes: The route of each layer in that order; sources are positions in it.
        outputs: Positions in that order.
    """

    order: tuple[int, ...]
    routes: tuple[Route, ...]
    outputs: tuple[int, ...]


def wire(place: Place, names: Sequence[str], links: object, outputs: object) -> Wiring:
    """Reads the links between layers of those names.

    Args:
        place: The network, for errors.
        names: Names of the layers as written, all different.
        links: list of links; None: a chain.
        outputs: list of names; None: the one layer that feeds no other.

    Raises:
        DesignError: Names the link, or the layer that is not fed, fed twice, unused or part of a circle.
    """
    if links is None:
        routes = [Route((index - 1,)) for index in range(len(names))]
    else:
        routes = _routes(place, names, links)
    order = _execution_order(place, names, routes)
    position = {-1: -1} | {index: place_in_order for place_in_order, index in enumerate(order)}
    moved = tuple(
        Route(tuple(position[source] for source in route.sources), route.how, route.piece, route.pieces)
        for route in (routes[index] for index in order)
    )
    ends = _outputs(place, names, routes, outputs)
    return Wiring(tuple(order), moved, tuple(position[index] for index in ends))


def joined(place: Place, route: Route, shapes: Sequence[Shape], names: Sequence[str]) -> Shape:
    """The shape that a layer gets from its sources, of these shapes and names.

    Raises:
        DesignError: Shapes that cannot be joined, or channels that cannot be split evenly.
    """
    first = shapes[0]
    if route.how == "split":
        if first[0] % route.pieces:
            raise place.error(
                None,
                f"the {first[0]} channels of {names[0]!r} {first} cannot be split evenly among {route.pieces} layers",
            )
        return (first[0] // route.pieces, *first[1:])
    if route.how is None:
        return first
    texts = ", ".join(f"{name!r} {shape}" for name, shape in zip(names, shapes, strict=True))
    if route.how == "sum" and any(shape != first for shape in shapes):
        raise place.error(None, f"its inputs {texts} cannot be summed; their shapes must be equal")
    if any(shape[1:] != first[1:] for shape in shapes):
        raise place.error(None, f"its inputs {texts} cannot be concatenated; only their channels may differ")
    return first if route.how == "sum" else (sum(shape[0] for shape in shapes), *first[1:])


def _routes(place: Place, names: Sequence[str], links: object) -> list[Route]:
    """The route of each layer as written; sources are written indices."""
    if INPUT in names:
        raise place.error("links", f"{INPUT!r} is the network's input, so no layer may have that name")
    if not isinstance(links, (list, tuple)):
        raise place.error("links", f"must be a list of links, not {shown(links)}")
    index_of = {INPUT: -1} | {name: index for index, name in enumerate(names)}
    routes: dict[int, Route] = {}
    for number, link in enumerate(links):
        at = Place(f"{place.network}, links[{number}]")
        check_keys(at, link, ("from", "to", "how"))
        sources = _indices(at, "from", link.get("from"), index_of)
        targets = _indices(at, "to", link.get("to"), {name: index_of[name] for name in names})
        for target, route in zip(targets, _link_routes(at, sources, len(targets), link.get("how")), strict=True):
            if target in routes:
                raise at.error("to", f"layer {names[target]!r} gets its input more than once; join it in one link")
            routes[target] = route
    missing = [name for index, name in enumerate(names) if index not in routes]
    if missing:
        raise place.error("links", f"no link leads to layer {missing[0]!r}; link it, from {INPUT!r} or another layer")
    return [routes[index] for index in range(len(names))]


def _link_routes(at: Place, sources: list[int], targets: int, how: object) -> list[Route]:
    if how is not None and (not isinstance(how, str) or how not in HOWS):
        raise at.error("how", f"{shown(how)} is not one of {listed(HOWS)}{nearest(how, HOWS[1:])}")
    count = len(sources)
    if count > 1 and targets == 1:
        if how not in ("concat", "sum"):
            raise at.error("how", f"must say 'concat' or 'sum' for {count} sources of one layer, not {how!r}")
        return [Route(tuple(sources), how)]
    if count == 1 and targets > 1 and how in (None, "split"):
        if how is None:
            return [Route((sources[0],))] * targets
        return [Route((sources[0],), how, piece, targets) for piece in range(targets)]
    if count != targets:
        raise at.error("how", f"{how!r} cannot link {count} sources to {targets} layers; write several links")
    if how is not None:
        raise at.error("how", f"must be None to link {count} to {targets}, not {how!r}")
    return [Route((source,)) for source in sources]


def _indices(at: Place, key: str, written: object, index_of: Mapping[str, int]) -> list[int]:
    if not isinstance(written, (list, tuple)) or not written:
        raise at.error(key, f"must be a non-empty list of names, not {shown(written)}")
    for name in written:
        if not isinstance(name, str) or name not in index_of:
            known = listed(list(index_of)[:10]) + (", ..." if len(index_of) > 10 else "")
            raise at.error(key, f"there is no layer {shown(name)}{nearest(name, index_of)}; there are {known}")
    return [index_of[name] for name in written]


def _execution_order(place: Place, names: Sequence[str], routes: Sequence[Route]) -> list[int]:
    """Every source before its user, else as written."""
    written = {index: [source for source in route.sources if source >= 0] for index, route in enumerate(routes)}
    sorter = graphlib.TopologicalSorter(written)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        circle = " -> ".join(repr(names[index]) for index in error.args[1])
        raise place.error("links", f"the layers {circle} are linked in a circle; cut it") from None
    ready: list[int] = []
    order: list[int] = []
    while sorter.is_active():
        for index in sorter.get_ready():
            heapq.heappush(ready, index)
        order.append(heapq.heappop(ready))
        sorter.done(order[-1])
    return order


def _outputs(place: Place, names: Sequence[str], routes: Sequence[Route], outputs: object) -> list[int]:
    used = {source for route in routes for source in route.sources}
    ends = [index for index in range(len(names)) if index not in used]
    if outputs is None:
        if len(ends) > 1:
            loose = listed(names[index] for index in ends)
            raise place.error("outputs", f"the layers {loose} feed no other; name those whose output is wanted")
        return ends
    found = _indices(place, "outputs", outputs, {name: index for index, name in enumerate(names)})
    if len(set(found)) < len(found):
        raise place.error("outputs", f"names a layer more than once: {shown(outputs)}")
    idle = [names[index] for index in ends if index not in found]
    if idle:
        raise place.error("outputs", f"layer {idle[0]!r} feeds no other and is not an output; use it or leave it out")
    return found
