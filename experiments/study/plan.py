"""The plan of a study, kept in its folder, so that a later call goes on with the same study or is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdgan.core.errors import ConfigError
from mmdgan.core.files import write_json


def keep_plan(path: Path, plan: Mapping[str, Any], flag: str, check: bool = True) -> dict[str, Any]:
    """Keeps the plan of a study in a file, or compares it with the plan that is there.

    Args:
        path: The file.
        plan: Option -> value; all calls that go on with the study must have the same.
        flag: The flag that names another folder.
        check: Whether to write the file, and to refuse another plan.

    Returns:
        What the file holds: the plan under "plan", and what else was kept.

    Raises:
        ConfigError: The file holds another plan, or is of version 0.1.
    """
    plan = json.loads(json.dumps(plan))
    kept: dict[str, Any] = {"plan": plan}
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        there = kept["plan"]
        if check and {"calibration", "scores"} & set(kept):
            raise ConfigError(f"{path} is of a study of version 0.1, which cannot be continued; give another {flag}.")
        differing = [f"{n} ({there.get(n)} there, {v} now)" for n, v in plan.items() if there.get(n) != v]
        if check and differing:
            raise ConfigError(f"{path} holds a study with other settings: {', '.join(differing)}; give another {flag}.")
    elif check:
        write_json(path, kept)
    return kept
