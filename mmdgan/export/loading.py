"""The code of a model card: how another program loads an exported network and runs it."""

from __future__ import annotations

from mmdgan.design import NetworkSpec


def loading_code(format: str, network: str, spec: NetworkSpec) -> str:
    """Markdown with a block of Python that runs in the folder of the export.

    Args:
        format: "keras", "savedmodel" or "onnx".
        network: "generator" or "critic".
        spec: of the network.
    """
    lines = [*_imports(format, network), "", *_inputs(network, spec), *_CALLS[format](network, spec)]
    if network == "generator":
        lines.append("pixels = np.rint((np.clip(images, -1, 1) + 1) * 127.5).astype(np.uint8)")
    needs = {
        "keras": "Keras 3 (with TensorFlow) loads it; mmdgan is not needed.",
        "savedmodel": "TensorFlow 2 loads it; neither mmdgan nor Keras is needed.",
        "onnx": "Any ONNX runtime loads it; neither mmdgan nor TensorFlow is needed.",
    }[format]
    if (format, network) == ("keras", "critic"):
        needs = "It keeps the layers of mmdgan, which must be installed (`pip install mmdgan`), and can be trained on."
    code = "\n".join(lines)
    return f"{needs}\n\n```python\n{code}\n```\n\n{_meaning(network, spec)}"


def _imports(format: str, network: str) -> list[str]:
    loads = {"keras": ["import keras"], "savedmodel": [], "onnx": ["import onnxruntime"]}[format]
    own = ["import mmdgan  # the layers of the file"] if (format, network) == ("keras", "critic") else []
    later = ["import tensorflow as tf"] if format == "savedmodel" else []
    return sorted([*loads, *own, "import numpy as np", *later], key=lambda line: line.split()[1])


def _inputs(network: str, spec: NetworkSpec) -> list[str]:
    size = ", ".join(map(str, (4, *_last(spec.input_shape))))
    if network == "generator":
        lines = [f'codes = np.random.default_rng(0).standard_normal(({size})).astype("float32")']
    else:
        lines = [f'images = np.random.default_rng(0).uniform(-1, 1, ({size})).astype("float32")']
    if spec.conditional:
        lines.append(f'labels = np.array([0, 1, 0, 1], "int32")  # 0 to {spec.num_class - 1}')
    return lines


def _keras(network: str, spec: NetworkSpec) -> list[str]:
    inputs = _first(network)
    if network == "critic":
        given = f'{{"x": {inputs}, "y": labels[:, None]}}' if spec.conditional else inputs
        return ['critic = keras.saving.load_model("critic.keras")', f"scores = critic({given}).numpy()"]
    given = f"[{inputs}, labels]" if spec.conditional else inputs
    load = 'generator = keras.saving.load_model("generator.keras")'
    return [load, f"images = generator.predict({given}, verbose=0)"]


def _saved_model(network: str, spec: NetworkSpec) -> list[str]:
    given = ", ".join(f"{name}=tf.constant({name})" for name in _names(network, spec))
    result = _result(network)
    return [
        f'loaded = tf.saved_model.load("{network}")',
        f'{result} = loaded.signatures["serving_default"]({given})["{result}"].numpy()',
    ]


def _onnx(network: str, spec: NetworkSpec) -> list[str]:
    given = ", ".join(f'"{name}": {name}' for name in _names(network, spec))
    result = _result(network)
    return [
        f'session = onnxruntime.InferenceSession("{network}.onnx", providers=["CPUExecutionProvider"])',
        f'[{result}] = session.run(["{result}"], {{{given}}})',
    ]


_CALLS = {"keras": _keras, "savedmodel": _saved_model, "onnx": _onnx}


def _meaning(network: str, spec: NetworkSpec) -> str:
    shape, result = (", ".join(map(str, _last(shape))) for shape in (spec.input_shape, spec.output_shape))
    classes = f"; `labels`: int32 (N,), classes 0 to {spec.num_class - 1}" if spec.conditional else ""
    if network == "generator":
        return (
            f"`codes`: float32 (N, {shape}), normal numbers of mean 0 and variance 1{classes}; `images`: float32 "
            f"(N, {result}), height, width, channels, in [-1, 1]. N is free. There is no randomness but that of the "
            "codes."
        )
    images = f"`images`: float32 (N, {shape}), height, width, channels, in [-1, 1]"
    return f"{images}{classes}; `scores`: float32 (N, {result}). N is free."


def _names(network: str, spec: NetworkSpec) -> list[str]:
    return [_first(network), *(["labels"] if spec.conditional else [])]


def _first(network: str) -> str:
    return "codes" if network == "generator" else "images"


def _result(network: str) -> str:
    return "images" if network == "generator" else "scores"


def _last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A (C, H, W) shape as (H, W, C); others as they are."""
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape
