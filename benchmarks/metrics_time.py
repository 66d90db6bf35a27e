"""Seconds and memory of every score with its interval, by the clock and of the processors.

    python benchmarks/metrics_time.py --counts 10000,50000 --features 2048
    python benchmarks/metrics_time.py --counts 10000 --parts prdc,ms_ssim --threads 1

FID's parts are timed apart: the moments of both sets, and the matrix roots, by tensorflow-gan and by a symmetric
eigendecomposition; then tensorflow-gan's whole function, which takes float64 copies of both sets. Features are
random, non-negative and correlated, as an Inception network's are, and mapped from files; images are 32x32 noise in
colour. MS-SSIM takes 1,000 pairs of 2,000 images, sliced Wasserstein at most 8,192, as `evaluate`. Memory is what a
score takes in addition to them: the largest growth of the process's own (anonymous) memory, looked at every few
milliseconds.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from machine import describe_machine

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout needs no installation

BOUND = 30.0
"""Seconds that the matrix part of an FID of 2,048 features may take on two cores."""
RANK = 256
ROWS = 2048
ALL = tuple("moments roots tfgan fid_error fid_infinity is kid cmmd mind nn swd prdc ms_ssim".split())


class Measured(NamedTuple):
    """Seconds by the clock and of the processors, megabytes in addition to the inputs, and what was computed."""

    seconds: float
    cpu_seconds: float
    megabytes: float
    value: object


def main() -> None:
    options = _options()
    from mmdgan.core.errors import MmdGanError

    os.environ["TF_NUM_INTRAOP_THREADS"] = str(options.threads)
    os.environ["OPENBLAS_NUM_THREADS"] = str(options.threads)
    from mmdgan.core.startup import prepare_tensorflow

    try:
        prepare_tensorflow()
        run(options)
    except MmdGanError as error:
        sys.exit(str(error))


def run(options: argparse.Namespace) -> None:
    """Measures and prints."""
    import tensorflow as tf

    print(describe_machine(options.threads))
    print(f"Python {platform.python_version()}, TensorFlow {tf.__version__}; {options.features:,} features\n")
    print("| score | n | seconds | CPU seconds | MB |\n|---|--:|--:|--:|--:|", flush=True)
    roots: dict[str, list[Measured]] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for count in options.counts:
            a, b = (make_features(Path(folder) / f"{name}{count}.npy", count, options.features) for name in "ab")
            for name, task in tasks(a, b, options).items():
                runs = [measure(task) for _ in range(options.repeats)]
                cells = (statistics.median(run[i] for run in runs) for i in range(3))
                print("| {} | {:,} | {:.1f} | {:.1f} | {:,.0f} |".format(name, count, *cells), flush=True)
                if name.startswith("FID, roots"):
                    roots.setdefault(name.removeprefix("FID, roots: "), []).extend(runs)
    print_roots(roots, options.features)
    print(describe_machine(options.threads))


def tasks(a, b, options: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """What is measured of features a and b, (N, F) float32 each, and of N images."""
    import numpy as np
    import tensorflow as tf

    from mmdgan.metrics import Moments
    from mmdgan.metrics.features import tfgan
    from mmdgan.metrics.neighbours import nearest_neighbours
    from mmdgan.metrics.scores.cmmd import clip_mmd
    from mmdgan.metrics.scores.fid import frechet_error, trace_of_root_by_eigenvalues
    from mmdgan.metrics.scores.fid_infinity import frechet_infinity
    from mmdgan.metrics.scores.inception_score import classifier_score_error
    from mmdgan.metrics.scores.kid import kernel_distance_error
    from mmdgan.metrics.scores.mind import monge_distance_error
    from mmdgan.metrics.scores.ms_ssim import ms_ssim_all_pairs, ms_ssim_random_pairs
    from mmdgan.metrics.scores.prdc import prdc_errors
    from mmdgan.metrics.scores.swd import sliced_wasserstein_without

    found: dict[str, Callable[[], object]] = {}
    module = tfgan.load()
    if "moments" in options.parts:
        found["FID, moments of both sets"] = lambda: (Moments.of(a), Moments.of(b))
    if "roots" in options.parts:
        cov_a, cov_b = Moments.of(a).cov, Moments.of(b).cov
        found["FID, roots: tensorflow-gan"] = lambda: float(module.trace_sqrt_product(cov_a, cov_b))
        found["FID, roots: symmetric eigendecomposition"] = lambda: trace_of_root_by_eigenvalues(cov_a, cov_b)
    if "tfgan" in options.parts:
        # It is loaded without TensorFlow Probability, of which this function alone takes the covariance.
        module.tfp = SimpleNamespace(stats=SimpleNamespace(covariance=_biased_covariance))
        distance = module.frechet_classifier_distance_from_activations
        found["FID, tensorflow-gan's whole function"] = lambda: float(
            distance(*(tf.constant(np.asarray(x), tf.float64) for x in (a, b)))
        )
    if "fid_error" in options.parts:
        moments = [Moments.of(a), Moments.of(b)]
        found["FID's interval"] = lambda: frechet_error(moments, [a, b])
    if "fid_infinity" in options.parts:
        found["FID infinity with its interval"] = lambda: frechet_infinity(a, b)
    images = np.random.default_rng(2).integers(0, 256, (2, min(len(a), 8192), 32, 32, 3), np.uint8)
    blocks = [b[start : start + ROWS] for start in range(0, len(b), ROWS)]
    others: dict[str, tuple[str, Callable[[], object]]] = {
        "is": ("IS with its interval", lambda: classifier_score_error(a[:, :10])),
        "kid": ("KID with its interval, blocks of 1,024", lambda: kernel_distance_error(a, b)),
        "cmmd": ("CMMD with its interval", lambda: clip_mmd(a, b)),
        "mind": ("MIND with its interval, 1,000 directions", lambda: monge_distance_error(a, b)),
        "nn": ("near copies, of features", lambda: nearest_neighbours(np.concatenate([a[:1000], b[:1000]]), blocks)),
        "swd": ("sliced Wasserstein with its interval", lambda: sliced_wasserstein_without(*images, seed=0)),
        "prdc": ("precision, recall, density, coverage with their intervals", lambda: prdc_errors(a, b)),
        "ms_ssim": (
            "MS-SSIM, of random pairs and of all pairs of 50 images",
            lambda: (ms_ssim_random_pairs(images[0, :2000]), ms_ssim_all_pairs(images[0, :50])),
        ),
    }
    found |= dict(task for part, task in others.items() if part in options.parts)
    return found


def make_features(path: Path, count: int, size: int):
    """Writes random features and maps them: (count, size) float32, the second file's distribution a little wider."""
    import numpy as np

    wide = path.name.startswith("b")
    mixing = np.random.default_rng(0).normal(size=(min(RANK, size), size)).astype(np.float32)
    mixing *= np.exp(-3 * np.arange(len(mixing), dtype=np.float32) / len(mixing))[:, None]
    random = np.random.default_rng(1 + wide)
    features = np.lib.format.open_memmap(path, "w+", np.float32, (count, size))
    for start in range(0, count, ROWS):
        part = features[start : start + ROWS]
        codes = random.standard_normal((len(part), len(mixing)), np.float32) * np.float32(1 + 0.05 * wide)
        noise = random.standard_normal(part.shape, np.float32)
        part[:] = np.maximum(0.05 * (codes @ mixing) + 0.1 * noise + 0.2, 0)
    del features
    return np.load(path, mmap_mode="r")


def measure(task: Callable[[], object]) -> Measured:
    """Runs a task once."""
    _return_memory()
    before, most, over = _own_memory(), [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.005):
            most[0] = max(most[0], _own_memory() - before)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    start, cpu = time.perf_counter(), time.process_time()
    value = task()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    over.set()
    watcher.join()
    return Measured(seconds, cpu, most[0] / 1e6, value)


def print_roots(roots: dict[str, list[Measured]], features: int) -> None:
    """Prints the matrix part with its bound, and the difference of both ways."""
    if not roots:
        return
    from mmdgan.metrics.scores.fid import frechet_method

    print(f"\nFID's matrix part (bound: {BOUND:.0f} s for 2,048 features on two cores):")
    for name, runs in roots.items():
        seconds = [run.seconds for run in runs]
        verdict = "within" if max(seconds) <= BOUND else "beyond"
        print(f"- {name}: {min(seconds):.1f} to {max(seconds):.1f} s, {verdict} the bound")
    theirs, ours = ([run.value for run in runs] for runs in roots.values())
    apart = max(abs(x - y) / abs(x) for x, y in zip(theirs, ours, strict=True))
    print(f"- largest relative difference of both: {apart:.1e}")
    print(f"- frechet_distance of {features:,} features takes: {frechet_method(features)}")


def _return_memory() -> None:
    """Gives what earlier tasks have freed back to the system, so that it does not hide what the next one takes."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)


def _own_memory() -> int:
    """Bytes of anonymous memory in use; mapped files are not among them. 0 where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")), 0)


def _options() -> argparse.Namespace:
    from mmdgan.core.workers import available_cores

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", default="10000,50000", help="numbers of images a set")
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--parts", default=",".join(ALL), help=f"any of {', '.join(ALL)}")
    parser.add_argument("--repeats", type=int, default=1, help="of each measurement; the median is printed")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--folder", help="where to put the features (0.8 GB for 50,000 images)")
    options = parser.parse_args()
    try:
        options.counts = [int(count) for count in options.counts.split(",")]
    except ValueError:
        parser.error(f"--counts takes numbers such as 10000,50000, not {options.counts}")
    options.parts = options.parts.split(",")
    if unknown := set(options.parts) - set(ALL):
        parser.error(f"--parts takes any of {', '.join(ALL)}, not {', '.join(sorted(unknown))}")
    return options


def _biased_covariance(x):
    import numpy as np
    import tensorflow as tf

    return tf.constant(np.cov(x.numpy(), rowvar=False, bias=True))


if __name__ == "__main__":
    main()
