"""The model card of an exported network: Markdown with the header that Hugging Face reads.

All numbers are from the run's own files: config.json, metrics.jsonl, and the checkpoint's step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mmdgan import design
from mmdgan.core.options import fields_with
from mmdgan.export.formats import FORMATS
from mmdgan.losses import registry as losses
from mmdgan.metrics.records import format_value, legend, versions
from mmdgan.runs.experiment import AIDS, IDENTITY, Experiment

if TYPE_CHECKING:
    from mmdgan.runs.folder import RunFolder

_PAPER = "https://arxiv.org/abs/1812.09916"

_CARD = """\
---
{header}
---

# {title}

{introduction}

## Loading it

{loading}

## Data

{data}

## Network

{numbers} Shapes are (C, H, W):

```text
{layers}
```

## Training

{training}

## Scores

{scores}

## Intended use and limits

{limits}

## Licence

The code of mmdgan is under the Apache License 2.0. Choose a licence for these weights when you \
publish them: put it here and into the header. It must respect the licence of the images (`{name}`, see Data).

## Citation

```bibtex
@inproceedings{{wang2019improving,
  title = {{Improving {{MMD-GAN}} Training with Repulsive Loss Function}},
  author = {{Wang, Wei and Sun, Yuan and Halgamuge, Saman}},
  booktitle = {{International Conference on Learning Representations}},
  year = {{2019}},
  url = {{{paper}}}
}}
```

*Written by `python -m mmdgan export --format {format}` ({versions}).{measured}*
"""

_OWN_LINES = ("data", "num_class", "loss", "score_size", "batch_size", "seed")
"""Fields of a run's identity that have lines of their own on the card."""

_PROTOCOL = "feature_source feature_hash resize data split seed repeats versions".split()


def model_card(
    folder: RunFolder,
    step: int,
    format: str = "keras",
    network: str = "generator",
    difference: float | None = None,
    ema: bool | None = None,
) -> str:
    """Returns the model card of one network of a run.

    Args:
        folder: The run.
        step: Step of the exported checkpoint.
        format: "keras", "savedmodel" or "onnx".
        network: "generator" or "critic".
        difference: Largest difference between the outputs of the exported network and the run's, if it was measured.
        ema: Whether the scores are those of the averaged weights; None: if the run has them.

    Returns:
        Markdown, for a README.md next to the model.
    """
    config = folder.read_config()
    e = config["experiment"]
    specs = design.parse_architecture(config["architecture"], e.get("num_class", 0))
    spec = specs[0] if network == "generator" else specs[1]
    last = ema is False and folder.has_average()
    records = [r for r in folder.records() if r["step"] == step and (r.get("weights") == "last") == last]
    newest = {record["metric"]: record for record in records}.values()
    measured = ""
    if difference is not None:
        measured = f" Four outputs of it equal those of the run's own network, in float32, {closeness(difference)}."
    return _CARD.format(
        header=_header(e, format, network),
        title=f"{network.capitalize()} of {e['data']}, loss {e['loss']}, step {step:,}",
        introduction=_introduction(e, step, specs[1].input_shape, network, folder.path.name),
        loading=_loading(format, network, spec),
        data=_data(config, folder.class_names()),
        numbers=f"{spec.parameters:,} trained numbers, {spec.multiply_adds:,} multiply-adds per sample.",
        layers=design.describe(spec),
        training=_training(config, step),
        scores=_scores(newest, step, " --noema" if last else "") if network == "generator" else _NO_SCORES,
        limits=_limits(e, network, newest),
        name=e["data"],
        paper=_PAPER,
        format=format,
        versions=_short(versions()),
        measured=measured,
    )


def closeness(difference: float) -> str:
    """How near numbers are to one another: "exactly", or such as "within 2e-07"."""
    return f"within {difference:.0e}" if difference else "exactly"


_NO_SCORES = "A critic has no scores of its own; those of its run are in the run's metrics.jsonl."


def _header(e: Mapping, format: str, network: str) -> str:
    """The YAML header; texts are written as JSON, which YAML contains."""
    tags = ["gan", "mmd-gan", "image-generation" if network == "generator" else "critic"]
    lines = [
        "license: other",
        "license_name: to-be-chosen  # by the publisher of these weights: see the section Licence",
        f"library_name: {FORMATS[format].library}",
        f"tags: {json.dumps(tags)}",
    ]
    if e["data"] in DATASETS and e["data"] != "sample":
        lines.append(f"datasets: {json.dumps([e['data']])}")
    if network == "generator" and e.get("num_class", 0) < 2:
        lines.append("pipeline_tag: unconditional-image-generation")
    return "\n".join(lines)


def _introduction(e: Mapping, step: int, image: Sequence[int], network: str, run: str) -> str:
    channels, height, width = image
    size = f"{width}x{height} {({1: 'grey', 3: 'RGB'}).get(channels, f'{channels}-channel')}"
    origin = (
        f"trained as a GAN on `{e['data']}` with the loss `{e['loss']}` by mmdgan (a library after [Improving MMD-GAN "
        f"Training with Repulsive Loss Function]({_PAPER})); it is the {network} of the run `{run}` after {step:,} "
        "steps."
    )
    if network == "critic":
        return f"A network that gives scores to {size} images, {origin}"
    conditional = e.get("num_class", 0) >= 2
    classes = f" of {e['num_class']} classes" if conditional else ""
    columns = " Each column shows one class." if conditional else ""
    picture = f"![32 images that it generates](samples.png)\n\n32 images from random codes, not selected.{columns}"
    return f"A network that makes {size} images{classes}, {origin}\n\n{picture}"


def _loading(format: str, network: str, spec: design.NetworkSpec) -> str:
    """How to load the network: Python that runs in the folder of the export, and what its inputs and outputs are."""
    generator = network == "generator"
    x, result = ("codes", "images") if generator else ("images", "scores")
    names = [x, "labels"] if spec.conditional else [x]
    if (format, network) == ("keras", "critic"):
        needs = "It keeps the layers of mmdgan, which must be installed (`pip install mmdgan`), and can be trained on."
        imports = ["import keras", "import mmdgan  # the layers of the file", "import numpy as np"]
        given = '{"x": images, "y": labels[:, None]}' if spec.conditional else "images"
        calls = ['critic = keras.saving.load_model("critic.keras")', f"scores = critic({given}).numpy()"]
    elif format == "keras":
        needs = "Keras 3 (with TensorFlow) loads it; mmdgan is not needed."
        imports = ["import keras", "import numpy as np"]
        given = "[codes, labels]" if spec.conditional else "codes"
        calls = ['generator = keras.saving.load_model("generator.keras")']
        calls += [f"images = generator.predict({given}, verbose=0)"]
    elif format == "savedmodel":
        needs = "TensorFlow 2 loads it; neither mmdgan nor Keras is needed."
        imports = ["import numpy as np", "import tensorflow as tf"]
        given = ", ".join(f"{name}=tf.constant({name})" for name in names)
        calls = [f'loaded = tf.saved_model.load("{network}")']
        calls += [f'{result} = loaded.signatures["serving_default"]({given})["{result}"].numpy()']
    else:
        needs = "Any ONNX runtime loads it; neither mmdgan nor TensorFlow is needed."
        imports = ["import numpy as np", "import onnxruntime"]
        given = ", ".join(f'"{name}": {name}' for name in names)
        calls = [f'session = onnxruntime.InferenceSession("{network}.onnx", providers=["CPUExecutionProvider"])']
        calls += [f'[{result}] = session.run(["{result}"], {{{given}}})']
    shape, outputs = (", ".join(map(str, _channels_last(shape))) for shape in (spec.input_shape, spec.output_shape))
    draw = f"standard_normal((4, {shape}))" if generator else f"uniform(-1, 1, (4, {shape}))"
    code = [*imports, "", f'{x} = np.random.default_rng(0).{draw}.astype("float32")']
    code += [f'labels = np.array([0, 1, 0, 1], "int32")  # 0 to {spec.num_class - 1}'] if spec.conditional else []
    code += calls
    code += ["pixels = np.rint((np.clip(images, -1, 1) + 1) * 127.5).astype(np.uint8)"] if generator else []
    kinds = {
        "codes": f"float32 (N, {shape}), normal numbers of mean 0 and variance 1",
        "images": f"float32 (N, {outputs if generator else shape}), height, width, channels, in [-1, 1]",
        "labels": f"int32 (N,), classes 0 to {spec.num_class - 1}",
        "scores": f"float32 (N, {outputs})",
    }
    meaning = "; ".join(f"`{name}`: {kinds[name]}" for name in (*names, result)) + ". N is free."
    meaning += " The codes are the only randomness." if generator else ""
    return "\n".join([f"{needs}\n\n```python", *code, f"```\n\n{meaning}"])


def _channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


def _data(config: Mapping, class_names: Sequence[str]) -> str:
    e, facts = config["experiment"], config.get("data", {})
    known = DATASETS.get(e["data"])
    lines = [f"- Name: `{e['data']}`" + (f", {known.title}" if known else "")]
    if facts:
        lines += [
            f"- Images: {facts['count']:,}, all of them used for training",
            f"- Read from: {_without_folders(facts['source'])}",
            f"- Fingerprint: `{facts['fingerprint']}`",
        ]
    if e.get("num_class", 0) >= 2:
        named = ", ".join(f"{number} = {name}" for number, name in enumerate(class_names))
        lines.append(f"- Classes: {e['num_class']}" + (f": {named}" if named else ""))
    unknown = "not known to mmdgan: it is that of the images this data set was made from"
    lines.append(f"- Licence of the images: {known.licence if known else unknown}")
    return "\n".join(lines)


def _training(config: Mapping, step: int) -> str:
    e, aids = config["experiment"], fields_with(Experiment, group=AIDS)
    settings = {
        name: _without_folders(value) if isinstance(value, str) else value
        for name, default in IDENTITY.items()
        if name not in _OWN_LINES
        and (value := e.get(name)) is not None
        and value is not False
        and value != []
        and not (name in aids and value == default)
    }
    lines = [
        f"Loss `{e['loss']}`: {losses.names().get(e['loss'], 'a loss that this version of mmdgan does not know')}",
        f"{step:,} steps of {e['batch_size']} real images each, of {e['max_step']:,} planned",
        f"Seed: {e['seed']}",
        f"Settings: {_short(settings)}",
        f"Architecture: `{_without_folders(e['architecture'])}`",
        f"Versions in training: {_short(config.get('versions', {})) or 'not recorded'}",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _scores(records: Collection[Mapping], step: int, flag: str) -> str:
    if not records:
        return (
            f"Step {step:,} was not scored. `python -m mmdgan evaluate RUN --steps={step}{flag}` does it; export "
            "again, and the scores are here."
        )
    groups: dict[str, list[Mapping]] = {}
    for record in records:
        groups.setdefault(_protocol(record), []).append(record)
    parts = []
    for protocol, members in groups.items():
        rows = [
            f"| {record['metric']} | {format_value(record)} | {_images(record)} | {record.get('note') or ''} |"
            for record in members
        ]
        parts.append("\n".join(["| score | value | images | note |", "|---|---|---|---|", *rows]))
        parts += [f"{sign}: {text}." for sign, text in legend(members).items()]
        parts.append(protocol)
    parts.append(
        "Scores can only be compared with those of the same protocol. FID, IS and KID are so called only if they were "
        "computed with the Inception graph of 2015; a name in brackets is that of other features."
    )
    return "\n\n".join(parts)


def _images(record: Mapping) -> str:
    real = record.get("count_real")
    return f"{record['count']:,}" + (f" against {real:,}" if real else "")


def _protocol(record: Mapping) -> str:
    found = {name: record[name] for name in _PROTOCOL if record.get(name) not in (None, "")}
    if "feature_source" in found:
        found["feature_source"] = _without_folders(str(found["feature_source"]))
    texts = [f"{name.replace('_', ' ')}: {_short(value)}" for name, value in found.items()]
    return f"Protocol: {'; '.join(texts) or 'not recorded'}."


def _limits(e: Mapping, network: str, records: Collection[Mapping]) -> str:
    if network == "generator":
        lines = [
            "It is meant for research on generative models: to look at, to compare with, to build upon.",
            f"Its images are like those of `{e['data']}` and nothing else; they are not evidence of "
            "anything, and repeat the choices and biases of the data.",
            _memorised(records),
        ]
    else:
        lines = [
            "It was trained to tell this run's generated images from real ones, and is meant for research on that.",
            "It does not detect generated images of another origin, and does not measure the quality of images.",
        ]
    if (known := DATASETS.get(e["data"])) and known.limits:
        lines.append(known.limits)
    return "\n".join(f"- {line}" for line in lines)


def _memorised(records: Collection[Mapping]) -> str:
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


def _without_folders(text: str) -> str:
    """A text whose absolute paths have lost their folders, which are private."""
    return re.sub(r"(?<!\S)(?:~|/)(?:[^\s/]*/)*(?=[^\s/])", "", text)


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_short(part)}" for name, part in value.items())
    if isinstance(value, (list, tuple)):
        return ",".join(_short(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


class Dataset(NamedTuple):
    """What a model card says of a data set of the catalogue.

    Attributes:
        title: Title with authors and year.
        licence: Licence of the images, in the words of Data/ReadMe.md.
        limits: What is peculiar to networks trained on it; empty for nothing.
    """

    title: str
    licence: str
    limits: str = ""


_WEB = "The images were collected from the web, without asking those whom they show."

DATASETS = {
    "sample": Dataset(
        "handwritten digits over dim photographs, made by mmdgan from scikit-learn's toy data sets",
        "the digits are the test set of *Optical Recognition of Handwritten Digits* (Alpaydin and Kaynak 1998, UCI "
        "Machine Learning Repository, CC BY 4.0). The photographs, `china.jpg` and `flower.jpg`, are under CC BY 2.0",
        "It is a toy data set for trying things out.",
    ),
    "cifar10": Dataset(
        "CIFAR-10 (Krizhevsky 2009)",
        "the authors state none and ask to cite *Learning Multiple Layers of Features from Tiny Images* (Krizhevsky "
        "2009). The images were collected from the web.",
    ),
    "stl10": Dataset(
        "STL-10, unlabelled images (Coates, Ng and Lee 2011)",
        "the authors state none and ask to cite *An Analysis of Single Layer Networks in Unsupervised Feature "
        "Learning* (AISTATS 2011). The images come from ImageNet, whose terms hold for them.",
        _WEB,
    ),
    "celeba": Dataset(
        "CelebA (Liu, Luo, Wang and Tang 2015)",
        "for non-commercial research only; the images may not be published or passed on",
        "It shows faces of celebrities, who were not asked, and most of whom are young, light-skinned and made up: "
        "generated faces share this bias and may resemble real people. Do not use them to identify anybody, to pass "
        "for a real person, or to judge people by their looks.",
    ),
    "lsun": Dataset(
        "LSUN, bedrooms (Yu et al. 2015)",
        "the authors state none for the images, which were collected from the web, and ask to cite *LSUN: "
        "Construction of a Large-scale Image Dataset using Deep Learning with Humans in the Loop* (arXiv 1506.03365).",
    ),
    "imagenet": Dataset(
        "ImageNet (Russakovsky et al. 2015)",
        "for non-commercial research and education, under the terms that one accepts when registering.",
        f"{_WEB} Some classes show people.",
    ),
    "mnist": Dataset("MNIST (LeCun, Cortes and Burges)", "CC BY-SA 3.0"),
    "fashion_mnist": Dataset("Fashion-MNIST (Xiao, Rasul and Vollgraf 2017)", "the MIT licence"),
}
