"""5,000 random dictionaries, right and broken: each is a network or a DesignError, and never anything else."""

from __future__ import annotations

import json
import math
from collections import Counter

from mmdgan.core.errors import DesignError
from mmdgan.design import (
    NetworkSpec,
    describe,
    parse_architecture,
    parse_network,
    receptive_fields,
    with_gain,
    with_score_size,
)
from mmdgan.design.keys import ACTIVATIONS, KEYS, OPERATIONS, SCALINGS
from tests.helpers.design_helpers import TINY, changed
from tests.helpers.random_networks import CHANNELS, FEATURES, SIDE, mutant, small_network


def attempt_each(make, attempt, count=2500) -> None:
    """Calls `attempt` with the network of each seed; an error says which seed it was."""
    for seed in range(count):
        try:
            attempt(*make(seed))
        except Exception as error:
            raise AssertionError(f"{make.__name__}({seed})") from error


def check(spec: NetworkSpec) -> None:
    """What holds for every network: a description, counts that add up, and a config that gives it again."""
    assert len(describe(spec).splitlines()) >= len(spec.layers) + 4
    assert len(receptive_fields(spec)) == len(spec.layers)
    again = json.loads(json.dumps(spec.config, allow_nan=False))
    assert parse_network(again, spec.input_shape, spec.name, spec.num_class) == spec
    for layer in spec.layers:
        counts = [math.prod(shape) for part in layer.parts for shape in part.variables.values()]
        assert layer.parameters == sum(counts) >= 0 and layer.multiply_adds >= 0
        assert math.prod(layer.op_shape) == math.prod(layer.output_shape)
        assert len({part.slot for part in layer.parts}) == len(layer.parts)
        assert all(type(size) is int and size > 0 for part in layer.parts for size in part.output_shape)


def test_right_dictionaries_parse_and_use_the_whole_language():
    seen: Counter = Counter()

    def attempt(layers, shape, num_class):
        spec = parse_network(layers, shape, num_class=num_class)
        check(spec)
        for layer in spec.layers:
            sizes = layer.output_shape
            assert max(sizes[1:], default=1) <= SIDE and sizes[0] <= (CHANNELS if len(sizes) == 3 else FEATURES)
            seen.update([layer.type, f"op {layer.op}", f"bias {layer.bias}", layer.act, f"norm {layer.act_nm}"])
            seen.update([layer.scale[0] if layer.scale else "", f"w_nm {layer.w_nm}", type(layer.kernel)])
        seen.update(f"how {route.how}" for route in spec.routes)
        seen.update(["several outputs" if len(spec.outputs) > 1 else "one output", f"{spec.conditional}"])

    attempt_each(small_network, attempt)
    for_types = [text.strip("'") for text in _accepted("type")]
    expected = [*ACTIVATIONS, *SCALINGS, *for_types, *(f"op {name}" for name in OPERATIONS)]
    expected += [f"bias {bias}" for bias in ("b", "cb", "bcb", None, False)]
    expected += [f"norm {norm}" for norm in ("bn", "cbn", "lrn", None)]
    expected += ["how concat", "how sum", "how split", "several outputs", "True", tuple, int]
    assert len(for_types) == 10 and [what for what in expected if seen[what] < 20] == []


def test_broken_dictionaries_are_networks_or_design_errors():
    outcomes: Counter = Counter()

    def attempt(layers, shape, num_class):
        try:
            spec = parse_network(layers, shape, num_class=num_class)
        except DesignError as error:
            assert str(error).endswith(".") and "\n" not in str(error) and len(str(error)) < 900
            outcomes["refused"] += 1
            return
        check(spec)
        outcomes["noted" if any(layer.notes for layer in spec.layers) else "accepted"] += 1

    attempt_each(mutant, attempt)
    assert outcomes["refused"] > 1000 and outcomes["accepted"] + outcomes["noted"] > 100


def test_broken_architectures_are_networks_or_design_errors():
    def attempt(critic, shape, junk):
        for call in (
            lambda: parse_architecture(changed(discriminator=critic), junk),
            lambda: parse_architecture(changed(generator=critic)),
            lambda: parse_architecture({**TINY, "input": [shape], "code": junk}),
            lambda: parse_architecture(critic),
            lambda: with_score_size(changed(discriminator=critic), 3),
            lambda: with_gain(changed(discriminator=critic), 3),
            lambda: with_score_size(TINY, junk),
            lambda: with_gain(critic, junk),
        ):
            try:
                call()
            except DesignError as error:
                assert str(error).endswith(".") and len(str(error)) < 900

    attempt_each(mutant, attempt, count=300)


def _accepted(key: str) -> list[str]:
    """What the error of a wrong value lists."""
    try:
        KEYS[key].check(float("nan"))
    except ValueError as error:
        return str(error).split("is not one of ")[1].split(", ")
    raise AssertionError("NaN was accepted")
