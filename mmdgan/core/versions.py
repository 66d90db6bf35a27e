"""The version of mmdgan, and the installed versions that a run's numbers depend on."""

from __future__ import annotations

import platform

VERSION = "0.1.0"
"""The version of mmdgan."""


def versions(*names: str, missing: str = "not installed as a package") -> dict[str, str]:
    """Name -> version of packages, and of Python under the name "python"; `missing` where there is none."""
    from importlib import metadata  # it takes 20 ms, which `--help` need not wait for

    found = {}
    for name in names:
        try:
            found[name] = platform.python_version() if name == "python" else metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = missing
    return found
