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

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent.parent))

from tests import golden_data  # noqa: E402

SPECTRAL_OPS = ("c", "d", "tc", "project")
LOSSES = ("logistic", "hinge", "wasserstein", "fixed_g", "mmd_g", "fixed_t", "mmd_t", "mgb", "rep", "rep_mmd_g")
LOSSES += ("rep_gp", "rep_ds", "rmb", "rep_b", "rep_mmd_b", "rmb_gp", "rmb_ds")
MOMENT_BITS = {"cifar_hinge": 10}
PROBES = 4
SLOTS = ("/Adam_0", "/Adam_0_1", "/Adam_1", "/Adam_1_1")


def main(source: Path) -> None:
    """Writes every file of this folder that can be computed."""
    _write("spectral_norm.npz", golden_data.pack(_spectral_norm(np.load(source / "spectral_norm.npz"))))
    _write("losses.npz", golden_data.pack(_losses(np.load(source / "losses.npz"))))
    for case in golden_data.TRAJECTORIES:
        _trajectory(case, dict(np.load(source / f"trajectory_{case}.npz")))


def _spectral_norm(full: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    cases = [case for case in json.loads(str(full["cases"])) if case["op"] in SPECTRAL_OPS]
    return _of_cases(full, cases)


def _losses(full: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    cases = [case for case in json.loads(str(full["cases"])) if case["loss_type"] in LOSSES]
    scores = {name: full[name] for name in full if name.startswith("scores_")}
    return scores | _of_cases(full, cases)


def _of_cases(full: Mapping[str, np.ndarray], cases: list[dict]) -> dict[str, np.ndarray]:
    names = {case["name"] for case in cases}
    kept = {key: full[key] for key in full if key.split("/")[0] in names}
    return kept | {"cases": np.array(json.dumps(cases))}


def _trajectory(case: str, full: dict[str, np.ndarray]) -> None:
    folder = FOLDER / f"trajectory_{case}"
    folder.mkdir(exist_ok=True)
    before = {key: full[key] for key in full if key.startswith("before/")}
    moments = {key: a for key, a in before.items() if key.endswith(SLOTS)}
    weights = {key: a for key, a in before.items() if key not in moments}
    critic = {key: a for key, a in weights.items() if key.startswith("before/dis/")}
    others = {key: a for key, a in weights.items() if key not in critic}
    batches = {
        "images_uint8_nhwc": golden_data.image_differences(full["images_uint8_nhwc"]),
        "codes": full["codes"],
    }
    _write(f"{folder.name}/critic.npz", golden_data.pack(critic))
    _write(f"{folder.name}/generator.npz", golden_data.pack(others))
    _write(f"{folder.name}/moments.npz", golden_data.pack(moments, MOMENT_BITS.get(case, 7)))
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
