"""What a measurement was made on, in words."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe_machine(threads: int | None = None) -> str:
    """The processor, its cores that this process may use, threads if they are given, and the load."""
    from mmdgan.core.workers import available_cores

    used = "" if threads is None else f", {threads} threads"
    return f"machine: {_processor()}, {available_cores()} cores{used}, load {os.getloadavg()[0]:.1f}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
