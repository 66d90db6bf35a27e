"""The maximum mean discrepancy as a tool: two-sample tests, estimators for large sets, the witness function.

    result = mmdgan.mmd.two_sample_test(x, y)       # result.p_value, result.statistic, result.interval
    found = mmdgan.mmd.estimate(x, y, "blocks")     # found.value, found.error, found.interval

Rows are samples: x is (M, d), y is (N, d), NumPy arrays or tensors of any number type. Numbers come back as floats and
NumPy arrays, the witness function of tensors as a tensor. Kernels are those of `mmdgan.losses.mmd2`, and "energy".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdgan.core import lazy

if TYPE_CHECKING:  # for checkers and editors; at run time names load on first use
    from mmdgan.mmd.estimators import (
        Estimate as Estimate,
        Extremes as Extremes,
        estimate as estimate,
        median_distance as median_distance,
        witness as witness,
        witness_extremes as witness_extremes,
    )
    from mmdgan.mmd.two_sample import (
        TestResult as TestResult,
        permutation_test as permutation_test,
        two_sample_test as two_sample_test,
    )

__getattr__, __dir__, __all__ = lazy.attach(__name__)
