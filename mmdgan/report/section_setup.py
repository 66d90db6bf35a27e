"""The page's configuration, networks and versions, and the commands that make the run again."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from mmdgan import design
from mmdgan.core.errors import MmdGanError
from mmdgan.core.text import format_value
from mmdgan.report.blocks import Block, Code, Details, Pile, Table, Text
from mmdgan.report.facts import RunFacts
from mmdgan.report.subject import Subject
from mmdgan.runs.experiment import Experiment


def setup(subject: Subject) -> tuple[Block, ...]:
    """The section."""
    facts = subject.facts
    default = {field.name: field.default for field in dataclasses.fields(Experiment)}
    helps = {field.name: field.metadata["help"] for field in dataclasses.fields(Experiment)}
    rows = {
        name: (name, format_value(value), helps.get(name, "of another version"))
        for name, value in facts.experiment.items()
        if name != "restart"
    }
    plain = tuple(row for name, row in rows.items() if facts.experiment[name] == default.get(name, ...))
    changed = tuple(row for row in rows.values() if row not in plain)
    header = ("field", "value", "what it is")
    generator, critic = facts.networks
    blocks: list[Block] = [
        Table(("fact", "value"), _facts(facts), numbers=False),
        Details(
            f"Configuration: {len(changed)} fields that are not the default", (Table(header, changed, numbers=False),)
        ),
        Details(f"{len(plain)} fields as by default", (Table(header, plain, numbers=False),), screen=True),
        Details(f"Generator: {generator.parameters:,} parameters", (Code(design.describe(generator)),)),
        Details(f"Critic: {critic.parameters:,} parameters", (Code(design.describe(critic)),)),
    ]
    return tuple(blocks)


def commands(subject: Subject) -> tuple[Block, ...]:
    """The section."""
    pile, run = Pile(), shlex.quote(str(subject.folder.path))
    flags, notes = train_flags(subject.facts)
    pile.add(Text("To train such a run again, sample from it, score it, and see its curves:"))
    step = "" if subject.step is None else f" --step={subject.step}"
    pile.add(
        Code(
            "\n".join(
                [
                    "python -m mmdgan train " + " \\\n    ".join(shlex.quote(flag) for flag in flags),
                    f"python -m mmdgan sample {run} --count=400{step}",
                    f"python -m mmdgan evaluate {run} {' '.join(evaluate_flags(subject.folder.latest_scores()))}",
                    f"tensorboard --logdir {shlex.quote(str(subject.folder.logs))}",
                ]
            )
        )
    )
    for note in notes:
        pile.add(Text(note))
    versions = subject.facts.versions
    if versions:
        listed = ", ".join(f"{name} {version}" for name, version in versions.items())
        pile.add(Text(f"It was begun with {listed}."))
    else:
        pile.missing("versions of the libraries it was begun with.")
    return tuple(pile.blocks)


def train_flags(facts: RunFacts) -> tuple[list[str], list[str]]:
    """The flags of `train` that make the same experiment, as few as say it, and remarks on them.

    config.json holds resolved values; those that would be the same if they were left open are left out.
    """
    given, notes = facts.changed(), []
    unknown = sorted(set(facts.experiment) - {field.name for field in dataclasses.fields(Experiment)})
    if unknown:
        notes.append(f"Fields of another version, for which there is no flag here: {', '.join(unknown)}.")
    if ":" in facts.experiment["architecture"]:
        notes.append(f"The networks are of the file {facts.experiment['architecture']}.")
    return [f"--{name}={format_value(value)}" for name, value in _fewest(given).items()], notes


def evaluate_flags(newest: list[dict[str, Any]]) -> list[str]:
    """The flags of `evaluate` that compute the newest evaluation's scores again.

    Args:
        newest: its lines; of none, flags for the usual scores.
    """
    from mmdgan.metrics import METRICS
    from mmdgan.report.protocol import identifier

    found = {identifier(record) for record in newest}
    metrics = [metric for metric in METRICS if metric in found] or ["fid", "is", "kid"]
    flags = [f"--metrics={','.join(metrics)}"]
    if newest:
        of_features = next((record for record in newest if record.get("features")), {})
        most = max(newest, key=lambda record: record["count"])
        flags += [f"--steps={most['step']}", f"--count={most['count']}", f"--seed={most['seed']}"]
        flags += [f"--features={of_features['features']}"] if of_features else []
        flags += [f"--repeats={most['repeats']}"] if most.get("repeats", 1) > 1 else []
    return flags


def _fewest(given: dict[str, Any]) -> dict[str, Any]:
    """The fields without which the resolved experiment would be another one."""
    try:
        wanted = Experiment(**given).resolved()
        kept = dict(given)
        for name in given:
            fewer = {other: value for other, value in kept.items() if other != name}
            if _resolves_to(fewer, wanted):
                kept = fewer
        return kept
    except MmdGanError:
        return given  # such as networks whose file is elsewhere: then all of them are said


def _resolves_to(fields: dict[str, Any], wanted: Experiment) -> bool:
    try:
        return Experiment(**fields).resolved() == wanted
    except MmdGanError:
        return False


def _facts(facts: RunFacts) -> tuple[tuple[str, str], ...]:
    generator, critic = facts.networks
    e, data = facts.experiment, facts.data
    loss = f"{e['loss']}" + (f", weights {format_value(tuple(e['rep_weights']))}" if e.get("rep_weights") else "")
    return (
        ("images", f"{e['data']}: {data.get('count', 0):,} of {'{} x {} x {}'.format(*facts.image_shape)} (H x W x C)"),
        ("from", f"{data.get('source', 'not recorded')}; fingerprint {data.get('fingerprint', 'not recorded')}"),
        ("loss", loss),
        ("learning rates", f"critic {e['lr_dis']:g}, generator {e['lr_gen']:g}; {e['optimizer']}"),
        ("networks", f"{generator.parameters:,} parameters in the generator, {critic.parameters:,} in the critic"),
        ("spectral norm", f"{e['spectral'].upper()}, gain K = {facts.gain:.3g}; {facts.score_size} outputs"),
        ("seed", str(e["seed"])),
    )
