"""The model card of an exported network: Markdown with the header that Hugging Face reads.

All numbers are from the run's own files: config.json, metrics.jsonl, and the checkpoint's step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmdgan import design
from mmdgan.core.options import fields_with
from mmdgan.export.loading import loading_code
from mmdgan.export.sources import SOURCES
from mmdgan.runs.experiment import AIDS, IDENTITY, Experiment

if TYPE_CHECKING:
    from mmdgan.runs.folder import RunFolder

PAPER = "https://arxiv.org/abs/1812.09916"

_CITATION = f"""```bibtex
@inproceedings{{wang2019improving,
  title = {{Improving {{MMD-GAN}} Training with Repulsive Loss Function}},
  author = {{Wang, Wei and Sun, Yuan and Halgamuge, Saman}},
  booktitle = {{International Conference on Learning Representations}},
  year = {{2019}},
  url = {{{PAPER}}}
}}
```"""

_LIBRARIES = {"keras": "keras", "savedmodel": "tensorflow", "onnx": "onnx"}
_SAID = ("data", "num_class", "loss", "score_size", "batch_size", "seed")
"""Fields of a run's identity that have lines of their own on the card."""

_PROTOCOL = "feature_source feature_hash resize data split seed repeats versions".split()


def model_card(
    folder: RunFolder, step: int, format: str = "keras", network: str = "generator", difference: float | None = None
) -> str:
    """The model card of one network of a run.

    Args:
        folder: of the run.
        step: of the exported checkpoint.
        format: "keras", "savedmodel" or "onnx".
        network: "generator" or "critic".
        difference: the largest one between the exported network's outputs and the run's, if it was measured.

    Returns:
        Markdown, for README.md beside the model.
    """
    config = folder.read_config()
    experiment = config["experiment"]
    specs = design.parse_architecture(config["architecture"], experiment.get("num_class", 0))
    spec = specs[0] if network == "generator" else specs[1]
    records = [record for record in folder.records() if record.get("step") == step]
    sections = [
        _header(experiment, format, network),
        _introduction(experiment, step, specs[1].input_shape, network, folder.path.name),
        "## Loading it\n\n" + loading_code(format, network, spec),
        "## Data\n\n" + _data(config),
        "## Network\n\n" + _network(spec),
        "## Training\n\n" + _training(config, step),
        "## Scores\n\n" + (_scores(_newest(records), step) if network == "generator" else _NO_SCORES),
        "## Intended use and limits\n\n" + _limits(experiment, network, _newest(records)),
        "## Licence\n\n" + _licence(experiment),
        "## Citation\n\n" + _CITATION,
        _origin(format, difference),
    ]
    return "\n\n".join(sections) + "\n"


_NO_SCORES = "A critic has no scores of its own; those of its run are in the run's metrics.jsonl."


def _header(experiment: Mapping, format: str, network: str) -> str:
    """The YAML header; texts are written as JSON, which YAML contains."""
    tags = ["gan", "mmd-gan", "image-generation" if network == "generator" else "critic"]
    lines = [
        "license: other",
        "license_name: to-be-chosen  # by whoever publishes these weights: see the section Licence",
        f"library_name: {_LIBRARIES[format]}",
        f"tags: {json.dumps(tags)}",
    ]
    if experiment["data"] in SOURCES and experiment["data"] != "sample":
        lines.append(f"datasets: {json.dumps([experiment['data']])}")
    if network == "generator" and experiment.get("num_class", 0) < 2:
        lines.append("pipeline_tag: unconditional-image-generation")
    return "\n".join(["---", *lines, "---"])


def _introduction(experiment: Mapping, step: int, image: Sequence[int], network: str, run: str) -> str:
    channels, height, width = image
    kind = {1: "grey", 3: "RGB"}.get(channels, f"{channels}-channel")
    data, loss = experiment["data"], experiment["loss"]
    title = f"# {network.capitalize()} of {data}, loss {loss}, step {step:,}"
    origin = (
        f"trained as a GAN on `{data}` with the loss `{loss}` by mmdgan (a library after [Improving MMD-GAN Training "
        f"with Repulsive Loss Function]({PAPER})); it is the {network} of the run `{run}` after {step:,} steps."
    )
    if network == "critic":
        return f"{title}\n\nA network that gives scores to {width}x{height} {kind} images, {origin}"
    classes = f" of {experiment['num_class']} classes" if experiment.get("num_class", 0) >= 2 else ""
    columns = " Each column shows one class." if classes else ""
    picture = f"![32 images that it generates](samples.png)\n\n32 images from random codes, not selected.{columns}"
    return f"{title}\n\nA network that makes {width}x{height} {kind} images{classes}, {origin}\n\n{picture}"


def _data(config: Mapping) -> str:
    experiment, facts = config["experiment"], config.get("data", {})
    name = experiment["data"]
    source = SOURCES.get(name)
    lines = [f"- Name: `{name}`" + (f", {source.title}" if source else "")]
    if facts:
        lines += [
            f"- Images: {facts['count']:,}, all of them used for training",
            f"- Read from: {_without_folders(facts['source'])}",
            f"- Fingerprint: `{facts['fingerprint']}`",
        ]
    if experiment.get("num_class", 0) >= 2:
        lines.append(f"- Classes: {experiment['num_class']}")
    unknown = "not known to mmdgan: it is that of the images this data set was made from"
    lines.append(f"- Licence of the images: {source.licence if source else unknown}")
    return "\n".join(lines)


def _network(spec: design.NetworkSpec) -> str:
    table = design.describe(spec)
    return (
        f"{spec.parameters:,} trained numbers, {spec.multiply_adds:,} multiply-adds per sample. Shapes are "
        f"(C, H, W):\n\n```text\n{table}\n```"
    )


def _training(config: Mapping, step: int) -> str:
    from mmdgan.losses import registry

    experiment = config["experiment"]
    try:
        meaning = registry.names()[experiment["loss"]]
    except KeyError:
        meaning = "a loss that this version of mmdgan does not know"
    aids = fields_with(Experiment, group=AIDS)
    settings = {
        name: _without_folders(value) if isinstance(value, str) else value
        for name, default in IDENTITY.items()
        if name not in _SAID
        and (value := experiment.get(name)) not in (None, False, [])
        and not (name in aids and value == default)
    }
    return "\n".join(
        [
            f"- Loss `{experiment['loss']}`: {meaning}",
            f"- {step:,} steps of {experiment['batch_size']} real images each, of {experiment['max_step']:,} planned",
            f"- Seed: {experiment['seed']}",
            f"- Settings: {', '.join(f'{name} {_short(value)}' for name, value in settings.items())}",
            f"- Architecture: `{_without_folders(experiment['architecture'])}`",
            f"- Versions in training: {_short(config.get('versions', {})) or 'not recorded'}",
        ]
    )


def _newest(records: Sequence[Mapping]) -> list[Mapping]:
    """The newest record of each score."""
    return list({record["metric"]: record for record in records}.values())


def _scores(records: Sequence[Mapping], step: int) -> str:
    if not records:
        return (
            f"Step {step:,} was not scored. `python -m mmdgan evaluate RUN --steps={step}` does it; export again, and "
            "the scores are here."
        )
    from mmdgan.metrics.records import format_value

    groups: dict[str, list[Mapping]] = {}
    for record in records:
        groups.setdefault(_protocol(record), []).append(record)
    parts = []
    for protocol, members in groups.items():
        rows = [
            f"| {record['metric']} | {format_value(record)} | {_images(record)} | {record.get('note') or ''} |"
            for record in members
        ]
        spreads = sorted({record["spread_of"] for record in members if record.get("spread_of")})
        explained = f"\n\n±: {'; '.join(spreads)}." if spreads else ""
        table = "\n".join(["| score | value | images | note |", "|---|---|---|---|", *rows])
        parts.append(f"{table}{explained}\n\n{protocol}")
    comparable = (
        "Scores can only be compared with those of the same protocol. FID, IS and KID are so called only if they were "
        "computed with the Inception graph of 2015; a name in brackets is that of other features."
    )
    return "\n\n".join([*parts, comparable])


def _images(record: Mapping) -> str:
    real = record.get("count_real")
    return f"{record['count']:,}" + (f" against {real:,}" if real else "")


def _protocol(record: Mapping) -> str:
    found = {name: record[name] for name in _PROTOCOL if record.get(name) not in (None, "")}
    if "feature_source" in found:
        found["feature_source"] = _without_folders(str(found["feature_source"]))
    texts = [f"{name.replace('_', ' ')}: {_short(value)}" for name, value in found.items()]
    return f"Protocol: {'; '.join(texts)}." if texts else "Protocol: not recorded."


def _limits(experiment: Mapping, network: str, records: Sequence[Mapping]) -> str:
    source = SOURCES.get(experiment["data"])
    if network == "generator":
        lines = [
            "It is meant for research on generative models: to look at, to compare with, to build upon.",
            f"Its images are like those of `{experiment['data']}` and nothing else; they are no evidence of anything, "
            "and repeat the choices and biases of whoever collected the data.",
            _memorised(records),
        ]
    else:
        lines = [
            "It was trained to tell this run's generated images from real ones, and is meant for research on that.",
            "It is no detector of generated images of another origin, nor a measure of an image's quality.",
        ]
    if source and source.limits:
        lines.append(source.limits)
    return "\n".join(f"- {line}" for line in lines)


def _memorised(records: Sequence[Mapping]) -> str:
    near = [record for record in records if record.get("identifier") == "nn"]
    if not near:
        return (
            "Whether it repeats training images was not checked (`python -m mmdgan evaluate RUN --metrics=nn` does it)."
        )
    found = "; ".join(
        f"{record['metric']} {record['value']:.4g} of {record['count']:,} images"
        + (f" ({record['note']})" if record.get("note") else "")
        for record in near
        if record["value"] is not None
    )
    return (
        "Checked for repeated training images: share of images nearer to a training image than 99% of training images "
        f"are to another one: {found}."
    )


def _licence(experiment: Mapping) -> str:
    return (
        "The code of mmdgan is under the Apache License 2.0. The licence of these weights is for the person to choose "
        "who publishes them: put it here and into the header. It must respect the licence of the images "
        f"(`{experiment['data']}`, see Data)."
    )


def _origin(format: str, difference: float | None) -> str:
    from mmdgan.metrics.records import versions

    measured = ""
    if difference is not None:
        measured = f" Four outputs of it equal those of the run's own network, in float32, {closeness(difference)}."
    return f"*Written by `python -m mmdgan export --format {format}` ({_short(versions())}).{measured}*"


def closeness(difference: float) -> str:
    """How near numbers are to one another: "exactly", or such as "within 2e-07"."""
    return f"within {difference:.0e}" if difference else "exactly"


def _without_folders(text: str) -> str:
    """A text whose absolute paths have lost their folders, which are nobody's business but the owner's."""
    return re.sub(r"(?<!\S)(?:~|/)(?:[^\s/]*/)*(?=[^\s/])", "", text)


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    if isinstance(value, (list, tuple)):
        return ",".join(_short(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
