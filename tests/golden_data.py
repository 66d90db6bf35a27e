"""The golden arrays in tests/golden, as NumPy arrays: what the original computed (tests/golden/README.md).

    spectral_norm_cases()   list of dicts, one per operator, in this library's conventions (channels last)
    loss_cases()            list of dicts, one per loss and options
    TRAJECTORIES            names of the trajectories
    trajectory(case)        one of them: several whole training steps, a dict under the original's keys

Nothing here needs TensorFlow. `pack` and `unpack` are the form in which float arrays are stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "golden"
FLOATS = {"float32": np.dtype("<f4"), "float64": np.dtype("<f8")}

TRAJECTORIES = ("cifar_rep", "cifar_rep_cold", "cifar_rmb", "cifar_hinge", "stl_mmd_g")


def spectral_norm_cases() -> list[dict]:
    """Spectral norms of twelve successive steps, per operator, under the original's keys.

    Returns:
        Dicts with ``name``; ``op`` ("c", "d", "tc", "project"); of convolutions also ``strides``, ``dilation``,
        ``padding``, and ``input_shape``, ``output_shape`` (H, W, C); ``kernel0``; the vector ``v0`` before the first
        step, ``v1`` after it and ``v12`` after the last, (1, n) or (1, H, W, C), if any; ``sigma`` (12,);
        ``dsigma_dkernel0_at_iter3``: the gradient of the third step's sigma, at the vector before that step.
    """
    arrays = _load("spectral_norm.npz")
    return [_spectral_norm_case(case, arrays) for case in json.loads(str(arrays["cases"]))]


def loss_cases() -> list[dict]:
    """Values and gradients of the losses.

    Returns:
        Dicts with ``name``; ``loss``, a loss name; ``options`` for `mmdgan.losses.get`; ``call``, the penalty or scale
        to call it with; ``score_gen``, ``score_data`` (32, d); ``loss_gen``, ``loss_dis``; ``gradients``, a dict from
        ("gen" or "dis", "gen" or "data") to the gradient of that player's loss for those scores, (32, d).
    """
    arrays = _load("losses.npz")
    return [_loss_case(case, arrays) for case in json.loads(str(arrays["cases"]))]


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
            image = key.startswith("v") and array.ndim == 4
            found[key] = array.transpose(0, 2, 3, 1) if image else array
    return found


def _loss_case(case: dict, arrays: Mapping[str, np.ndarray]) -> dict:
    name, options = case["name"], dict(case["kwargs"])
    wide = name.endswith("_wide")
    columns = slice(0, 1) if case["one_dim"] else slice(None)
    return {
        "name": name,
        # The penalty or scale is passed to the call, so the names that ask for one are not needed.
        "loss": case["loss_type"].removesuffix("_gp").removesuffix("_ds"),
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
