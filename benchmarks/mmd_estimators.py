"""Seconds, stated and actual errors of the estimators of `mmdgan.mmd` between two normals of 64 dimensions.

    python benchmarks/mmd_estimators.py --counts 1000,10000,100000,1000000

Both sets have as many rows, float32; the second one's mean is shifted by 0.02 in every dimension. The squared MMD of
two normals is known in closed form. The method "exact" is left out where it would take minutes.
"""

from __future__ import annotations

import argparse
import math
import resource
import sys
import time
from pathlib import Path

import numpy as np
from machine import describe_machine

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout needs no installation

DIMENSIONS, SHIFT, SIGMA = 64, 0.02, 11.3
MOST_EXACT = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="1000,10000,100000,1000000", help="rows of each set")
    parser.add_argument("--features", type=int, default=256, help="random frequencies of the method fourier")
    parser.add_argument("--block_size", type=int, default=500, help="rows of the method blocks")
    options = parser.parse_args()
    from mmdgan import mmd

    plain = (SIGMA**2 / (SIGMA**2 + 2)) ** (DIMENSIONS / 2)
    exact = 2 * plain * (1 - math.exp(-DIMENSIONS * SHIFT**2 / (2 * (SIGMA**2 + 2))))
    print(describe_machine())
    print(f"squared MMD: {exact:.3g}")
    print(f"{'rows':>9} {'method':8} {'seconds':>8} {'estimate':>10} {'stated error':>12} {'actual error':>12}")
    mmd.estimate(*np.random.default_rng(0).standard_normal((2, 9, DIMENSIONS)))  # imports are not timed
    for count in map(int, options.counts.split(",")):
        rng = np.random.default_rng(count)
        x, y = (rng.standard_normal((count, DIMENSIONS), np.float32) for _ in range(2))
        y += np.float32(SHIFT)
        for method in ("exact", "blocks", "linear", "fourier"):
            if method == "exact" and count > MOST_EXACT:
                continue
            start = time.perf_counter()
            found = mmd.estimate(
                x, y, method, sigma=SIGMA, block_size=min(options.block_size, count // 4), features=options.features
            )
            seconds = time.perf_counter() - start
            error = abs(found.value - exact)
            print(
                f"{count:9,} {method:8} {seconds:8.2f} {found.value:10.2e} {found.error:12.1e} {error:12.1e}",
                flush=True,
            )
    print(f"Peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:,.0f} MB.")


if __name__ == "__main__":
    main()
