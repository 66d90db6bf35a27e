"""The sections on the configuration, the networks and the versions, and on the commands that make the run again."""

from __future__ import annotations

import dataclasses
import functools
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from mmdgan import design
from mmdgan.core.errors import MmdGanError
from mmdgan.core.options import changed_flags
from mmdgan.core.text import command, format_value
from mmdgan.metrics import METRICS
from mmdgan.metrics.features.extractor import METHODS
from mmdgan.report.blocks import Block, Code, Details, Table, Text, missing
from mmdgan.report.facts import RunFacts
from mmdgan.report.reported_run import ReportedRun
from mmdgan.report.scores import Record, identifier
from mmdgan.runs.experiment import Experiment
from mmdgan.training.trackers import addresses

_FIELDS = {field.name: field for field in dataclasses.fields(Experiment)}


def setup(run: ReportedRun) -> Iterator[Block]:
    """Renders the section "Configuration and networks"."""
    changed: list[tuple[str, ...]] = []
    plain: list[tuple[str, ...]] = []
    for name, value in run.facts.experiment.items():
        field = _FIELDS.get(name)
        row = (name, format_value(value), field.metadata["help"] if field else "of another version")
        if name != "restart":
            (plain if field and value == field.default else changed).append(row)
    yield Table(("fact", "value"), _facts(run.facts), numbers=False)
    header = ("field", "value", "what it is")
    for title, rows, screen in (
        (f"Configuration: {len(changed)} fields that are not the default", changed, False),
        (f"{len(plain)} fields as by default", plain, True),
    ):
        yield Details(title, (Table(header, tuple(rows), numbers=False),), screen)
    for title, spec in zip(("Generator", "Critic"), run.facts.networks, strict=True):
        yield Details(f"{title}: {spec.parameters:,} parameters", (Code(design.describe(spec)),))


def commands(run: ReportedRun) -> Iterator[Block]:
    """Renders the section "Commands"."""
    path = run.folder.path
    flags, notes = train_flags(run.facts)
    step = [] if run.step is None else [f"--step={run.step}"]
    lines = [
        f"{command('train')} " + " \\\n    ".join(shlex.quote(flag) for flag in flags),
        command("sample", path, "--count=400", *step),
        command("evaluate", path, *evaluate_flags(run.folder.latest_scores())),
        run.folder.tensorboard,
    ]
    yield Text("To train such a run again, sample from it, score it, and see its curves:")
    yield Code("\n".join(lines))
    yield from map(Text, notes)
    if versions := run.facts.versions:
        yield Text(f"It was begun with {', '.join(f'{name} {version}' for name, version in versions.items())}.")
    else:
        yield missing("versions of the libraries it was begun with.")


def train_flags(facts: RunFacts) -> tuple[list[str], list[str]]:
    """The fewest flags of `train` that make the same experiment, and remarks on them.

    config.json holds resolved values; those that `train` would choose by itself are left out.
    """
    notes = []
    if unknown := sorted(set(facts.experiment) - set(_FIELDS)):
        notes.append(f"Fields of another version, for which there is no flag here: {', '.join(unknown)}.")
    if ":" in facts.experiment["architecture"]:
        notes.append(f"The networks are of the file {facts.experiment['architecture']}.")
    return changed_flags(Experiment(**_fewest(facts.changed()))), notes


def evaluate_flags(records: Sequence[Record]) -> list[str]:
    """The flags of `evaluate` that compute the scores of an evaluation again; for no records those of usual scores."""
    found = {identifier(record) for record in records}
    metrics = [metric for metric in METRICS if metric in found] or ["fid", "is", "kid"]
    flags = [f"--metrics={','.join(metrics)}"]
    if records:
        most = max(records, key=lambda record: record["count"])
        count = most.get("set_count", most["count"])  # some scores are of a part of the images
        flags += [f"--steps={most['step']}", f"--count={count}", f"--seed={most['seed']}"]
        flags += ["--force"] if any("forced:" in (record.get("note") or "") for record in records) else []
        flags += next((_feature_flags(record) for record in records if record.get("features")), [])
        flags += [f"--repeats={most['repeats']}"] if most.get("repeats", 1) > 1 else []
        flags += ["--noema"] if most.get("weights") == "last" else []
        flags += [f"--k={record['k']}" for record in records if record.get("k", 5) != 5][:1]
    return flags


def _feature_flags(record: Record) -> list[str]:
    """The flags that name the features of a record: the label of a file or folder does not say where it is."""
    label = record["features"]
    kind, _, name = label.partition(":")
    source = record.get("feature_source") or name
    words = str(record.get("resize")).partition(" to ")[0]
    resize = [f"--resize={method}" for method, meaning in METHODS.items() if words == meaning]
    if kind == "classifier" and name:
        return ["--features=classifier", f"--classifier_data={name}", *resize]
    if kind == "hub" or kind == "keras" and not source.startswith("keras.applications "):
        label = f"{kind}:{source.removeprefix('keras-hub ')}"
    return [f"--features={label}", *resize]


def _fewest(given: dict[str, Any]) -> dict[str, Any]:
    """The fields without which the resolved experiment would be another one."""
    load = functools.cache(design.load_architecture)

    def resolved(fields: dict[str, Any]) -> Experiment | None:
        try:
            return Experiment(**fields).plan(load).experiment
        except MmdGanError:  # such as networks whose file is elsewhere
            return None

    wanted, kept = resolved(given), given
    for name in given if wanted is not None else ():
        fewer = {other: value for other, value in kept.items() if other != name}
        if resolved(fewer) == wanted:
            kept = fewer
    return kept


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
        *((name, place["address"]) for name, place in addresses(facts.folder.path).items()),
    )
