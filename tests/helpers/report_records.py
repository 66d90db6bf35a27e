"""Lines of metrics.jsonl that tests of reports write: of a protocol that no test computes."""

from __future__ import annotations

import json
from pathlib import Path

from mmdgan.runs.folder import RunFolder

PROTOCOL = {
    "features": "classifier",
    "feature_source": "classifier of sample",
    "feature_hash": "abcdef",
    "resize": "none",
    "data": "sample",
    "split": "train",
    "image_shape": [32, 32, 3],
    "seed": 0,
    "repeats": 1,
    "real_hash": "00ff",
}


def score(metric: str, value: float | None, identifier: str = "fid", **changes) -> dict:
    """One record, as `mmdgan.metrics.evaluate_sets` makes them."""
    record = {"metric": metric, "identifier": identifier, "value": value, "spread": None, "spread_of": None}
    record |= {"count": 2000, "count_real": 2000, "seconds": 1.0, **PROTOCOL}
    return {**record, **changes}


def make_run(folder: Path, like: Path, scores: dict[int, list[dict]] | None = None, **changes) -> RunFolder:
    """A run directory without checkpoints: the configuration of another one, changed, with scores by step."""
    folder.mkdir(parents=True)
    config = json.loads((like / "config.json").read_text())
    config["experiment"] |= {"run_name": folder.name, **changes}
    (folder / "config.json").write_text(json.dumps(config))
    run = RunFolder(folder)
    for step, records in (scores or {}).items():
        run.append(step, "train", records)
    return run
