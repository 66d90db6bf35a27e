"""Seconds per training step of presets, each in a process of its own, on random images.

    python benchmarks/preset_times.py sngan wgan_gp
    python benchmarks/preset_times.py sagan/RESNET_64_QUARTER --precision bf16 --steps 5

The first step, which compiles, does not count; the median of the others is printed. The texts of the presets in
architectures/ have such numbers. Conditional networks train with the hinge loss, others with rep_b.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import describe_machine

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout needs no installation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="modules of presets, or presets")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3, help="steps to measure")
    parser.add_argument("--precision", default="float32", choices=("float32", "bf16", "fp16"))
    parser.add_argument("--one", action="store_true", help="measure the one preset in this process")
    options = parser.parse_args()
    if options.one:
        print(measure(options.names[0], options.batch_size, options.steps, options.precision))
        return
    from mmdgan.design.files import presets

    families = dict.fromkeys(name.partition("/")[0] for name in options.names)
    found = [one.name for one in presets(families) if {one.name, one.name.partition("/")[0]} & set(options.names)]
    print(f"{describe_machine()}\nbatch {options.batch_size}, {options.precision}, {options.steps} steps", flush=True)
    for name in found:
        words = [f"--{key}={getattr(options, key)}" for key in ("batch_size", "steps", "precision")]
        done = subprocess.run([sys.executable, __file__, name, "--one", *words], capture_output=True, text=True)
        said = done.stdout if done.returncode == 0 else f"failed: {(done.stderr.strip().splitlines() or [''])[-1]}\n"
        print(f"{name:<32}{said}", end="", flush=True)


def measure(name: str, batch_size: int, steps: int, precision: str) -> str:
    """Trains a preset for some steps; the median of their seconds, and the process's peak memory."""
    from mmdgan import design, losses
    from mmdgan.core.startup import prepare_tensorflow
    from mmdgan.design.files import presets

    prepare_tensorflow()
    import numpy as np

    import mmdgan

    [preset] = [one for one in presets([name.partition("/")[0]]) if one.name == name]
    loss = "hinge" if preset.classes else "rep_b"
    architecture = mmdgan.load_architecture(name)
    if not preset.classes:  # label projections have one score
        architecture = design.with_score_size(architecture, losses.score_size(loss))
    networks = [
        build(architecture, preset.classes, precision=precision)
        for build in (mmdgan.build_generator, mmdgan.build_discriminator)
    ]
    gan = mmdgan.training.GanStep(*networks, loss, 2e-4, 2e-4)
    shape = preset.dis.input_shape
    if len(shape) == 3 and networks[1].data_format == "channels_last":
        shape = (*shape[1:], shape[0])
    rng = np.random.default_rng(0)
    real = rng.uniform(-1, 1, (batch_size, *shape)).astype(np.float32)
    labels = rng.integers(0, preset.classes, (batch_size, 1)) if preset.classes else None
    seconds = []
    for _ in range(steps + 1):
        began = time.perf_counter()
        float(gan.step(real, labels=labels)["loss_gen"])
        seconds.append(time.perf_counter() - began)
    import resource

    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return f"{statistics.median(seconds[1:]):8.3f} s a step, {memory:5.1f} GiB"


if __name__ == "__main__":
    main()
