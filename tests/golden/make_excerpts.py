"""Makes the files of this folder from the full golden arrays computed by the original.

    python tests/golden/make_excerpts.py FOLDER

README.md beside this file says what is kept and what is rounded.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent.parent))

from tests.helpers import golden_data  # noqa: E402

MOMENT_BITS = {"cifar_hinge": 10}
PROBES = 4
FEATURE_BITS = 10
PENALTIES = {"wasserstein_sum_scores": "wasserstein", "smmd_scale": "scale"}
WHOLE_IMAGES = ("0", "3", "4")  # of raw_image; of the others a block
BLOCK = 96
SLOTS = ("/Adam_0", "/Adam_0_1", "/Adam_1", "/Adam_1_1")


def main(source: Path) -> None:
    """Writes every file of this folder that can be computed."""
    for name in ("spectral_norm.npz", "losses.npz"):
        _write(name, golden_data.pack(np.load(source / name)))
    _write("layers.npz", golden_data.pack(_layers(dict(np.load(source / "layers.npz")))))
    misc = dict(np.load(source / "misc.npz"))
    _write("penalty.npz", golden_data.pack(_penalty(misc)))
    _write("misc.npz", golden_data.pack(_misc(misc)))
    _write("raw_image.npz", _raw_image(misc))
    _tf1_checkpoint(source / "tf1_checkpoint")
    for case in golden_data.TRAJECTORIES:
        _trajectory(case, dict(np.load(source / f"trajectory_{case}.npz")))


def _layers(full: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Shapes, outputs, gradients and updates; the rest is drawn anew, and must be what it was."""
    cases, kept = json.loads(str(full["cases"])), {}
    for case in cases:
        own = {key.removeprefix(f"{case['name']}/"): a for key, a in full.items() if key.startswith(f"{case['name']}/")}
        case["output_shape"] = own["cotangent"].shape
        case["variables"] = [[key.removeprefix("var/"), a.shape] for key, a in own.items() if key.startswith("var/")]
        if np.array_equal(own["out_train"], own["out_eval"]):
            del own["out_eval"]
        for key, array in own.items():
            if key in ("out_train", "out_eval", "grad/input"):
                kept[f"{case['name']}/{key}"] = golden_data.sampled(array)
            elif key.startswith(("grad/", "after_update/")):
                kept[f"{case['name']}/{key}"] = array
    for case, drawn in zip(cases, golden_data.draw_layer_inputs(cases), strict=True):
        _check_drawn(full, f"{case['name']}/var/", drawn.pop("variables"))
        _check_drawn(full, f"{case['name']}/", {key: array for key, array in drawn.items() if array is not None})
    return kept | {"cases": np.array(json.dumps(cases))}


def _check_drawn(full: Mapping[str, np.ndarray], prefix: str, drawn: Mapping[str, np.ndarray]) -> None:
    for name, array in drawn.items():
        if not np.array_equal(full[prefix + name], array):
            raise ValueError(f"{prefix}{name} is not what golden_data draws; store it instead.")


def _penalty(misc: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    drawn = golden_data.draw_penalty_inputs()
    names = {"real": "images_real_nchw", "generated": "images_gen_nchw", "uniform": "uniform"}
    _check_drawn(misc, "penalty/", {names[name]: array for name, array in drawn.items()})
    kept = {"score_data": misc["penalty/scores_real"], "score_gen": misc["penalty/scores_gen"]}
    kept["architecture"] = misc["penalty/architecture"]
    for key, array in misc.items():
        if key.startswith("penalty/var/"):
            kept[key.replace("penalty/var/", "variables/")] = array
        elif key.startswith(("penalty/value/", "penalty/grad_dis/")):
            place = "values" if "/value/" in key else "gradients"
            kind = key.rsplit("/", 1)[-1]
            kept[f"{place}/{PENALTIES.get(kind, kind)}"] = array
    return kept


def _misc(misc: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    kept = {key: array for key, array in misc.items() if key.startswith("slerp/")}
    features = {key: golden_data.round_mantissa(misc[key], FEATURE_BITS) for key in ("fid/a", "fid/b")}
    return kept | features | {"fid/value": misc["fid/value"]}


def _raw_image(misc: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Images as PNG with what became of them; of large ones a block, and what depends on nothing else."""
    kept = {}
    for case in sorted({key.split("/")[1] for key in misc if key.startswith("raw_image/")}):
        source, result = misc[f"raw_image/{case}/source_hwc"], misc[f"raw_image/{case}/NCHW"]
        height, width = result.shape[1:]
        region = [0, height, 0, width]
        if case not in WHOLE_IMAGES:
            top, left = ((side - BLOCK) // 2 for side in source.shape[:2])
            block = np.zeros_like(source)
            block[top : top + BLOCK, left : left + BLOCK] = source[top : top + BLOCK, left : left + BLOCK]
            source = block
            # Lanczos reaches three pixels of the result, and the resize keeps the centre where it is.
            factor = min(side / wanted for side, wanted in zip(source.shape[1::-1], (width, height), strict=True))
            half = int(BLOCK / factor / 2) - 4
            region = [height // 2 - half, height // 2 + half, width // 2 - half, width // 2 + half]
            result = result[:, region[0] : region[1], region[2] : region[3]]
        buffer = io.BytesIO()
        Image.fromarray(source).save(buffer, "PNG", optimize=True)
        kept[f"{case}/source_png"] = np.frombuffer(buffer.getvalue(), np.uint8)
        kept[f"{case}/result"] = np.ascontiguousarray(result)
        kept[f"{case}/region"] = np.array(region)
        kept[f"{case}/shape"] = np.array([3, height, width])
        for name in ("resize_wh", "crop_wh"):
            kept[f"{case}/{name}"] = misc[f"raw_image/{case}/{name}"].astype(np.int64)
    return kept


def _tf1_checkpoint(source: Path) -> None:
    import tensorflow as tf

    folder = FOLDER / "tf1_checkpoint"
    folder.mkdir(exist_ok=True)
    reader = tf.train.load_checkpoint(str(source / "cifar.ckpt-60"))
    full = {name: np.asarray(reader.get_tensor(name)) for name in sorted(reader.get_variable_to_shape_map())}
    probe = np.load(source / "probe.npz")
    kept = {"architecture": probe["architecture"], "codes": probe["codes"][:PROBES]}
    kept["generated_nchw"], kept["scores"] = probe["generated_eval_nchw"][:PROBES], probe["scores_eval"][:PROBES]
    images = np.rint((probe["images_nchw"][:PROBES].transpose(0, 2, 3, 1) + 1) * 127.5).astype(np.uint8)
    kept["images_uint8_nhwc"] = golden_data.image_differences(images)
    _write_state(folder, full, 4)
    _write(f"{folder.name}/probe.npz", golden_data.pack(kept))


def _write_state(folder: Path, full: Mapping[str, np.ndarray], moment_bits: int) -> None:
    """Writes all variables of a training state: the critic's, the others, and the rounded moments of Adam."""
    moments = {key: a for key, a in full.items() if key.endswith(SLOTS)}
    weights = {key: a for key, a in full.items() if key not in moments}
    critic = {key: a for key, a in weights.items() if key.startswith(("dis/", "before/dis/"))}
    others = {key: a for key, a in weights.items() if key not in critic}
    _write(f"{folder.name}/critic.npz", golden_data.pack(critic))
    _write(f"{folder.name}/generator.npz", golden_data.pack(others))
    _write(f"{folder.name}/moments.npz", golden_data.pack(moments, moment_bits))


def _trajectory(case: str, full: dict[str, np.ndarray]) -> None:
    folder = FOLDER / f"trajectory_{case}"
    folder.mkdir(exist_ok=True)
    batches = {
        "images_uint8_nhwc": golden_data.image_differences(full["images_uint8_nhwc"]),
        "codes": full["codes"],
    }
    before = {key: full[key] for key in full if key.startswith("before/")}
    _write_state(folder, before, MOMENT_BITS.get(case, 7))
    _write(f"{folder.name}/batches.npz", golden_data.pack(batches))
    _write(f"{folder.name}/expected.npz", golden_data.pack(_expected(full)))


def _expected(full: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    expected = {"config": full["config"], "losses_gen_dis": full["losses_gen_dis"]}
    for key, array in full.items():
        if key.startswith("probe/"):
            expected[key] = array[:PROBES]
        elif key.startswith(("grad_step1/", "after_norm_sum/")):
            expected[key] = array
        elif key.startswith("after/"):
            name = key.removeprefix("after/")
            exact = np.asarray(array, np.float64)
            expected[f"after_norm_sum/{name}"] = np.array([np.linalg.norm(exact), exact.sum()])
            expected[f"after_every_16th/{name}"] = array.ravel()[::16]
    return expected


def _write(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an .npz without time stamps, so that equal arrays make equal files."""
    path = FOLDER / name
    with zipfile.ZipFile(path, "w") as archive:
        for key, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asarray(array, order="C"), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{key}.npy")
            archive.writestr(entry, buffer.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    print(f"{path.stat().st_size:8d} bytes  {name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
