"""What is known of runs, put together: a page of one run, a table of several, the authors' scores beside them.

write_report("Results/cifar10/sngan_rep_b_5e-04_2e-04_k1.68_0.0_-1.0")
print(compare_runs(["Results/cifar10"]).text)
"""

from __future__ import annotations

from typing import Any

_HOMES = {
    "write_report": "html",
    "collect": "collect",
    "compare_runs": "compare",
    "find": "published",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    # The command line imports this package for its help, which must not wait for NumPy.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
