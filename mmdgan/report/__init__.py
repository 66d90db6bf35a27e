"""What is known of runs, put together: a page of one run, a table of several, the authors' scores beside them.

write_report("Results/cifar10/sngan_rep_b_5e-04_2e-04_k1.68_0.0_-1.0")
print(compare_runs(["Results/cifar10"]).text)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for checkers and editors; at run time names load on first use
    from mmdgan.report.collect import collect as collect
    from mmdgan.report.compare import compare_runs as compare_runs
    from mmdgan.report.html import write_report as write_report
    from mmdgan.report.published import find as find

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
