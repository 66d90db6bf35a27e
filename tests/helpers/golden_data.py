"""The golden arrays in tests/golden, as NumPy arrays: what the original computed (tests/golden/README.md).

    spectral_norm_cases()   list of dicts, one per operator, in this library's conventions (channels last)
    loss_cases()            list of dicts, one per loss and options
    layer_cases()           list of dicts, one per layer dictionary: outputs, gradients, updates
    penalty_case()          gradient penalties of one critic
    slerp_case(), frechet_case()
    raw_image_cases()       images that were resized and cropped
    tf1_checkpoint()        the variables of a checkpoint, by the original's names;  tf1_probe()  what its networks do
    TRAJECTORIES            names of the trajectories
    trajectory(case)        one of them: several whole training steps, a dict under the original's keys

Nothing here needs TensorFlow. `pack` and `unpack` are the form in which float arrays are stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / "golden"
FLOATS = {"float32": np.dtype("<f4"), "float64": np.dtype("<f8")}

TRAJECTORIES = ("cifar_rep", "cifar_rep_cold", "cifar_rmb", "cifar_hinge", "stl_mmd_g")


def spectral_norm_cases() -> list[dict]:
    """Spectral norms of twelve successive steps, per operator, under the original's keys.

    Returns:
        Dicts with ``name``; ``op`` ("c", "d", "tc", "project", "cd", "dcd", "dck", "cck"); of convolutions also
        ``strides``, ``dilation``, ``padding``, and ``input_shape``, ``output_shape`` (H, W, C); ``kernel``, of dcd, dck
        and cck a pair, with the class tensor of cck as (classes, 1, 1, C), and its parts ``kernel0``, ``kernel1``; the
        vector ``v0`` before the first step, ``v1`` after it and ``v12`` after the last, if any: (1, n),
        (1 or classes, H, W, C), (classes, 1, n) of cd and dcd, (classes, n) of dck; ``sigma`` of the twelve steps,
        (12,) or (12, classes, 1, ...); ``dsigma_dkernel0_at_iter3``, and of pairs ``dsigma_dkernel1_at_iter3``: the
        gradient of the third step's sigma (summed over classes), at the vector before that step.
    """
    arrays = _load("spectral_norm.npz")
    return [_spectral_norm_case(case, arrays) for case in json.loads(str(arrays["cases"]))]


def loss_cases() -> list[dict]:
    """Values and gradients of the losses that draw nothing but a width, which is given (`omega`).

    Returns:
        Dicts with ``name``; ``loss``, the original's name of it; ``options`` for `mmdgan.losses.get`; ``call``, the
        penalty or scale to call it with; ``score_gen``, ``score_data`` (32, d); ``loss_gen``, ``loss_dis``;
        ``gradients``, a dict from ("gen" or "dis", "gen" or "data") to the gradient of that player's loss for those
        scores, (32, d).
    """
    arrays = _load("losses.npz")
    return [_loss_case(case, arrays) for case in json.loads(str(arrays["cases"]))]


def layer_cases() -> list[dict]:
    """Single layers of the original in training and in inference, in their own data format.

    Returns:
        Dicts with ``name``; ``design``, the layer dictionary; ``input_shape``, (C, H, W) or (F,); ``num_class``;
        ``data_format``, in which the arrays are and in which the original ran;
        ``variables``: dict of arrays by the original's names, "net/l/kernel/kernel";
        ``input`` (6, ...), ``label`` (6, 1) or None, ``cotangent`` like the output;
        ``out_train``, ``out_eval``: outputs in training and in inference, from these variables, as `sampled` gives
        them;
        ``gradients``: dict from "input" (`sampled` too) and each trainable variable's name to the gradient of
        sum(out_train * cotangent), the spectral norm's taken at the vector as it was;
        ``after_update``: dict of arrays: the other variables, and clipped scalars, after one training step.
    """
    arrays = _load("layers.npz")
    cases = json.loads(str(arrays["cases"]))
    return [_layer_case(case, drawn, arrays) for case, drawn in zip(cases, draw_layer_inputs(cases), strict=True)]


def sampled(array: np.ndarray) -> np.ndarray:
    """The elements of an output that are kept: every 7th of the flattened array; all of a small one.

    7 divides the size of no last axis, so that all rows, columns and channels are met.
    """
    flat = np.asarray(array).ravel()
    return flat[::7] if flat.size > 512 else flat


def draw_layer_inputs(cases: list[dict]) -> list[dict]:
    """What the layers were given: one sequence of random numbers, `numpy.random.RandomState(1)`.

    Args:
        cases: all of them in order, with ``input_shape`` (batch included), ``output_shape``, ``num_class`` and
            ``variables``, a list of [name, shape].

    Returns:
        Dicts with ``input``, ``label``, ``cotangent``, ``variables`` as `layer_cases` describes them.
    """
    rng = np.random.RandomState(1)

    def variable(name: str, shape: list[int]) -> np.ndarray:
        kind = name.rsplit("/", 1)[-1]
        if kind == "moving_variance":
            return 0.5 + rng.rand(*shape)
        normal = np.asarray(rng.randn(*shape))
        if name.endswith("k_x/kernel"):
            return np.asarray(0.3)
        if kind == "in_rand":
            return normal
        return 0.2 * normal + (kind in ("gamma", "scale"))

    found = []
    for case in cases:
        drawn = {"input": rng.randn(*case["input_shape"]).astype(np.float32), "label": None}
        if case["num_class"]:
            drawn["label"] = rng.randint(0, case["num_class"], size=(case["input_shape"][0], 1))
        drawn["cotangent"] = rng.randn(*case["output_shape"]).astype(np.float32)
        drawn["variables"] = {name: variable(name, shape).astype(np.float32) for name, shape in case["variables"]}
        found.append(drawn)
    return found


def penalty_case() -> dict:
    """Gradient penalties of one critic, as the original's unwired methods compute them (spec D.1).

    Returns:
        ``architecture``; ``variables``: the critic's, channels first; ``real``, ``generated`` (6, 3, 32, 32) and
        ``uniform`` (6, 1, 1, 1): images to interpolate, the real ones' share; ``score_data``, ``score_gen`` (6, 8) in
        inference; ``values``: penalties by kind: "wasserstein", of the summed scores; "fixed_g_gp" and "fixed_t_gp"
        with the released witness; "rep_gp", "rmb_gp"; "scale": 1 / (0.1 J + 1); ``gradients``: of these values for
        the variable "dis/l3/kernel/kernel", by kind.
    """
    arrays = _load("penalty.npz")
    found = {name: arrays[name] for name in ("score_data", "score_gen")} | draw_penalty_inputs()
    found["architecture"] = json.loads(str(arrays["architecture"]))
    found["variables"] = _below(arrays, "variables/")
    found["values"] = {kind: float(value) for kind, value in _below(arrays, "values/").items()}
    found["gradients"] = _below(arrays, "gradients/")
    return found


def draw_penalty_inputs() -> dict[str, np.ndarray]:
    """The images and shares of `penalty_case`, from `numpy.random.RandomState(1)`."""
    rng = np.random.RandomState(1)
    drawn = {"real": rng.uniform(-1, 1, (6, 3, 32, 32)), "generated": np.tanh(rng.randn(6, 3, 32, 32))}
    drawn["uniform"] = rng.rand(6, 1, 1, 1)
    return {name: array.astype(np.float32) for name, array in drawn.items()}


def slerp_case() -> dict:
    """Spherical interpolation: ``p0``, ``p1`` (16,), and ``points``, a dict from t to a point (16,)."""
    arrays = _load("misc.npz")
    points = {float(t): point for t, point in _below(arrays, "slerp/t").items()}
    return {"p0": arrays["slerp/p0"], "p1": arrays["slerp/p1"], "points": points}


def frechet_case() -> dict:
    """Fréchet distance: features ``a``, ``b`` (600, 40) (rounded: README.md) and their distance, ``value``."""
    arrays = _load("misc.npz")
    return {"a": arrays["fid/a"], "b": arrays["fid/b"], "value": float(arrays["fid/value"])}


def raw_image_cases() -> list[dict]:
    """Images that the original's converter resized, cropped and converted (spec G.2).

    Returns:
        Dicts with ``source_png``, the content of a PNG file; ``resize``, ``crop``: (width, height) or None;
        ``shape``, (C, H, W) of the result; ``region``, slices of its rows and columns; ``result``, uint8 (C, h, w):
        the result there, which is all that depends on what was kept of the source.
    """
    arrays = dict(np.load(FOLDER / "raw_image.npz"))
    cases = []
    for name in sorted({key.split("/")[0] for key in arrays}):
        case = _below(arrays, f"{name}/")
        top, bottom, left, right = case["region"].tolist()
        cases.append(
            {
                "source_png": case["source_png"].tobytes(),
                "resize": tuple(case["resize_wh"].tolist()) or None,
                "crop": tuple(case["crop_wh"].tolist()) or None,
                "shape": tuple(case["shape"].tolist()),
                "region": (slice(top, bottom), slice(left, right)),
                "result": case["result"],
            }
        )
    return cases


def tf1_checkpoint() -> dict[str, np.ndarray]:
    """All variables of a checkpoint of the original after 60 steps of the loss rep; Adam's slots are rounded."""
    names = ("critic", "generator", "moments")
    return {key: array for name in names for key, array in _load(f"tf1_checkpoint/{name}.npz").items()}


def tf1_probe() -> dict:
    """What the networks of `tf1_checkpoint` do in inference mode.

    Returns:
        ``architecture``; ``codes`` (4, 128) and ``generated_nchw`` made of them; ``images_uint8_nhwc`` (4, 32, 32, 3)
        and their ``scores`` (4, 16).
    """
    arrays = _load("tf1_checkpoint/probe.npz")
    arrays["images_uint8_nhwc"] = images_from_differences(arrays["images_uint8_nhwc"])
    return arrays | {"architecture": json.loads(str(arrays["architecture"]))}


def trajectory(case: str) -> dict[str, np.ndarray | str]:
    """Whole training steps of the original, float32 unless said otherwise.

    Args:
        case: one of `TRAJECTORIES`.

    Returns:
        Under the original's variable names (channels-first spectral vectors):
        ``before/<name>``: every variable, optimiser slots (rounded: README.md) and global_step (int32) included;
        ``images_uint8_nhwc`` (steps, B, H, W, 3) and ``codes`` (steps, B, 128): what each step was fed;
        ``losses_gen_dis`` (steps, 2);
        ``grad_step1/<name>``: (L2 norm, sum), float64, of the first step's gradients;
        ``after_norm_sum/<name>``: (L2 norm, sum), float64, of the variables at the end;
        ``after_every_16th/<name>``: elements 0, 16, 32, ... of the flattened variables at the end (cifar_rep only);
        ``probe/codes``, ``probe/images_uint8_nhwc``: 4 samples, ``probe/generated_eval_nchw``,
        ``probe/scores_eval``: what the networks make of them before, in inference mode, and
        ``probe/generated_after_nchw``, ``probe/scores_after``: after the last step;
        ``config``: JSON: architecture, loss_type, learning rates and so on.
    """
    arrays: dict[str, np.ndarray | str] = {}
    for path in sorted((FOLDER / f"trajectory_{case}").glob("*.npz")):
        arrays |= unpack(np.load(path))
    arrays["images_uint8_nhwc"] = images_from_differences(arrays["images_uint8_nhwc"])
    arrays["config"] = str(arrays["config"])
    return arrays


def pack(arrays: Mapping[str, np.ndarray], mantissa_bits: int = 23) -> dict[str, np.ndarray]:
    """Arranges arrays for a compressed .npz: all those of one float type as one sequence, byte by byte.

    The bytes of one significance lie together, the highest first, and those that are zero throughout at the end are
    left out: deflate makes a sixth less of weights so, and of rounded moments a half.

    Args:
        arrays: any arrays by name; integers and strings are kept as they are.
        mantissa_bits: to how many of its 23 bits a float32's mantissa is rounded.
    """
    arrays = {name: np.asarray(a) for name, a in arrays.items()}
    packed = {name: a for name, a in arrays.items() if a.dtype not in FLOATS.values()}
    for key, dtype in FLOATS.items():
        floats = {name: a for name, a in arrays.items() if a.dtype == dtype}
        if floats:
            flat = np.concatenate([a.ravel() for a in floats.values()])
            flat = round_mantissa(flat, mantissa_bits) if dtype == np.float32 else flat
            planes = flat.view(np.uint8).reshape(-1, dtype.itemsize).T[::-1]
            packed[f"_{key}"] = planes[: 1 + max(np.flatnonzero(planes.any(axis=1)), default=0)]
            packed[f"_{key}_index"] = np.array(json.dumps([[name, a.shape] for name, a in floats.items()]))
    return packed


def unpack(packed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays that `pack` was given."""
    arrays = {name: packed[name] for name in packed if not name.startswith("_")}
    for key, dtype in FLOATS.items():
        if f"_{key}" not in packed:
            continue
        kept = packed[f"_{key}"]
        planes = np.zeros((dtype.itemsize, kept.shape[1]), np.uint8)
        planes[: len(kept)] = kept
        flat = np.ascontiguousarray(planes[::-1].T).view(dtype).ravel()
        start = 0
        for name, shape in json.loads(str(packed[f"_{key}_index"])):
            size = int(np.prod(shape))
            arrays[name] = flat[start : start + size].reshape(shape)
            start += size
    return arrays


def round_mantissa(array: np.ndarray, bits: int) -> np.ndarray:
    """Rounds float32 numbers to `bits` mantissa bits: a relative error of at most 2^-(bits + 1)."""
    drop = 23 - bits
    if drop == 0:
        return array
    as_integers = array.astype(np.float32).view(np.uint32).astype(np.uint64)
    return (((as_integers + (1 << (drop - 1))) >> drop) << drop).astype(np.uint32).view(np.float32)


def image_differences(images: np.ndarray) -> np.ndarray:
    """Pixels (..., W, 3) less their left neighbours, then less the colour before: smaller once compressed."""
    differences = np.diff(images, axis=-2, prepend=np.zeros_like(images[..., :1, :]))
    return np.diff(differences, axis=-1, prepend=np.zeros_like(differences[..., :1]))


def images_from_differences(differences: np.ndarray) -> np.ndarray:
    """The inverse of `image_differences`."""
    return differences.cumsum(axis=-1, dtype=np.uint8).cumsum(axis=-2, dtype=np.uint8)


def _load(name: str) -> dict[str, np.ndarray]:
    return unpack(np.load(FOLDER / name))


def _below(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}


def _layer_case(case: dict, drawn: dict, arrays: Mapping[str, np.ndarray]) -> dict:
    shape = case["input_shape"][1:]
    if len(shape) == 3 and case["data_format"] == "channels_last":
        shape = [shape[2], *shape[:2]]
    name = case["name"]
    return {
        **{key: case[key] for key in ("name", "design", "num_class", "data_format")},
        **drawn,
        "input_shape": tuple(shape),
        "out_train": arrays[f"{name}/out_train"],
        # Stored once where training and inference do the same.
        "out_eval": arrays.get(f"{name}/out_eval", arrays[f"{name}/out_train"]),
        "gradients": _below(arrays, f"{name}/grad/"),
        "after_update": _below(arrays, f"{name}/after_update/"),
    }


def _spectral_norm_case(case: dict, arrays: Mapping[str, np.ndarray]) -> dict:
    prefix = f"{case['name']}/"
    found = {key: value for key, value in case.items() if key != "kernel"}
    for key in ("input_shape", "output_shape"):
        if key in found:
            _, channels, height, width = found[key]
            found[key] = (height, width, channels)
    for key, array in arrays.items():
        if key.startswith(prefix):
            key = key.removeprefix(prefix)
            channels_first = array.ndim == 4 and (key.startswith("v") or "kernel1" in key)
            found[key] = array.transpose(0, 2, 3, 1) if channels_first else array
    found["kernel"] = (found["kernel0"], found["kernel1"]) if "kernel1" in found else found["kernel0"]
    return found


def _loss_case(case: dict, arrays: Mapping[str, np.ndarray]) -> dict:
    name, options = case["name"], dict(case["kwargs"])
    wide = name.endswith("_wide")
    columns = slice(0, 1) if case["one_dim"] else slice(None)
    return {
        "name": name,
        "loss": case["loss_type"],
        "call": {key: options.pop(key) for key in ("dis_penalty", "dis_scale") if key in options},
        "options": options,
        "score_gen": arrays["scores_gen_wide" if wide else "scores_gen"][:, columns],
        "score_data": arrays["scores_data_tight" if wide else "scores_data"][:, columns],
        "loss_gen": float(arrays[f"{name}/loss_gen"]),
        "loss_dis": float(arrays[f"{name}/loss_dis"]),
        "gradients": {
            (player, scores): arrays[f"{name}/d{player}_dscores_{scores}"]
            for player in ("gen", "dis")
            for scores in ("gen", "data")
        },
    }
