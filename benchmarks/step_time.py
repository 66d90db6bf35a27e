"""Seconds per training step, split into its parts, and beside a plain PyTorch step of the same networks.

    python benchmarks/step_time.py --architecture cifar10/DCGAN --batch_size 64 --steps 20 --peer
    python benchmarks/step_time.py --peers        (our step and PyTorch's loops, in float32 and in bfloat16)
    python benchmarks/step_time.py --preset wgan_gp/RESNET_32 --loss wasserstein --peers --tasks ours,usual
    python benchmarks/step_time.py --losses rep,fixed_g        (our step with several losses)
    python benchmarks/step_time.py --preset sngan/RESNET_32 --operations        (each convolution by every algorithm)
    python benchmarks/step_time.py --batch_sizes 64,512,2048 --micro_batch 32 --threads 1        (time and memory)

The parts come from nested graphs of growing content (forward; and the critic's gradient; and the generator's;
the whole step), timed in turn and subtracted round by round. With --peer every round times both libraries, in
changing order, so that noise of the machine hits both. Images are random: their content does not matter.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from machine import describe_machine

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout needs no installation

PARTS = ("forward", "critic backward", "generator backward", "updates")
GOALS = {
    "cifar10/DCGAN": 2.2,
    "stl10/DCGAN": 1.8,
    "celeba/DCGAN": 1.8,
    "sngan/RESNET_32": 1.6,
    "wgan_gp/RESNET_32": 1.6,
}
"""Our float32 step over PyTorch's usual loop."""
GOAL_BF16 = 1.3
"""Our bfloat16 step over our float32 step, on a CPU with AVX512-BF16."""


def main() -> None:
    options = _options()
    from mmdgan.core.errors import MmdGanError

    if options.batch_sizes:
        print(f"{describe_machine(options.threads)}; {options.architecture}, micro_batch {options.micro_batch}")
        print(f"{'batch':>8}{'ms per image':>16}{'peak GB':>10}", flush=True)
        for size in options.batch_sizes.split(","):  # each in a process of its own, whose largest memory counts
            subprocess.run(
                [sys.executable, *sys.argv, "--batch_sizes=", f"--batch_size={size}", "--memory"], check=True
            )
        return
    try:
        run(options)
    except MmdGanError as error:
        sys.exit(str(error))


def run(options: argparse.Namespace) -> None:
    """Build, warm up, measure and print."""
    from mmdgan import design, losses
    from mmdgan.core.startup import prepare_tensorflow

    os.environ["TF_NUM_INTRAOP_THREADS"] = str(options.threads)
    prepare_tensorflow()
    import numpy as np

    architecture = design.load_architecture(options.architecture)
    architecture = design.with_score_size(architecture, losses.score_size(options.loss))
    gen, dis = design.parse_architecture(architecture)
    shape = (options.batch_size, *dis.input_shape)
    real = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    if options.memory:
        step = our_step(options.loss, options.precision, options, real)
        _, processor = measure({"": step}, *rounds(options))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        used = statistics.median(processor[""]) / options.batch_size
        print(f"{options.batch_size:8,}{1e3 * used:16.1f}{peak:10.2f}")
        return
    if options.operations or options.peers or options.losses:
        print_machine(options)
        print(f"{options.architecture}, batch {options.batch_size}")
    if options.operations:
        from operation_times import print_operations

        print_operations((gen, dis), options.batch_size, options.steps)
        return
    if options.losses:
        names = options.losses.split(",")
        tasks = {f"our step, {name}": our_step(name, "float32", options, real) for name in names}
        print_several(*measure(tasks, *rounds(options)))
        return
    if options.peers:
        print_peers(*measure(all_tasks(gen, dis, options, real), *rounds(options)), GOALS.get(options.architecture))
        return
    tasks = our_tasks(architecture, options, real)
    if options.peer:
        tasks |= peer_tasks(gen, dis, options, real)
    print_machine(options)
    print(
        f"{options.architecture}: {gen.parameters + dis.parameters:,} parameters, "
        f"{gen.multiply_adds + dis.multiply_adds:,} multiply-adds per sample; batch {options.batch_size}, "
        f"loss {options.loss}, {options.precision}"
    )
    print_table(measure(tasks, *rounds(options))[0])


def rounds(options: argparse.Namespace) -> tuple[int, int]:
    """How many rounds to warm up, and to measure."""
    return options.warm_up, options.steps


def our_step(loss: str, precision: str, options: argparse.Namespace, real) -> Callable[[], object]:
    """Our whole step with a loss and a precision."""
    import tensorflow as tf

    from mmdgan import design, losses, networks
    from mmdgan.training import GanStep

    architecture = design.load_architecture(options.architecture)
    architecture = design.with_score_size(architecture, losses.score_size(loss))
    builders = networks.build_generator, networks.build_discriminator
    players = [build(architecture, precision=precision, spectral=options.spectral) for build in builders]
    micro_batch = options.micro_batch if options.batch_size > (options.micro_batch or 0) else None
    gan = GanStep(*players, losses.get(loss), 5e-4, 2e-4, micro_batch=micro_batch)
    real = tf.constant(real.transpose(0, 2, 3, 1) if players[1].data_format == "channels_last" else real)
    return lambda: float(gan.step(real)["loss_gen"])


def all_tasks(gen, dis, options: argparse.Namespace, real) -> dict[str, Callable[[], object]]:
    """Our step and PyTorch's usual and simultaneous loops, each in float32 and in bfloat16."""
    import torch
    from torch_peer import Peer, SimultaneousPeer

    from mmdgan import losses

    torch.set_num_threads(options.threads)
    images = torch.from_numpy(real).float() / 127.5 - 1
    networks = gen, dis, losses.canonical_name(options.loss)
    tasks: dict[str, Callable[[], object]] = {}
    for precision in options.precisions.split(","):
        more = {"tuned": options.peer_tuned, "bfloat16": precision == "bf16", "spectral": options.spectral}

        def usual(more=more):
            peer = Peer(*networks, **more)
            return lambda: (peer.critic_step(images), peer.generator_step(images))

        def simultaneous(more=more):
            peer = SimultaneousPeer(*networks, **more)
            return lambda: peer.step(images)

        makers = {
            "ours": lambda precision=precision: our_step(options.loss, precision, options, real),
            "PyTorch usual": usual,
            "PyTorch simultaneous": simultaneous,
        }
        for name, make in makers.items():
            if any(word in f"{name} {precision}" for word in options.tasks.split(",")):
                tasks[f"{name} {precision}"] = make()
    return tasks


def print_several(seconds: Seconds, processor: Seconds) -> None:
    """Each task's median and quartiles, its share of the first one's time, and the processor's time."""
    first = next(iter(seconds.values()))
    print(f"\n{'seconds':34}{'median':>9}{'quartiles':>18}{'of the first':>14}{'processor':>11}")
    for name, values in seconds.items():
        low, median, high = _quartiles(values)
        share = statistics.median(a / b for a, b in zip(values, first, strict=True))
        print(f"{name:34}{median:9.4f}{low:9.4f}{high:9.4f}{share:14.3f}{statistics.median(processor[name]):11.4f}")


def print_peers(seconds: Seconds, processor: Seconds, goal: float | None) -> None:
    """The times, and the speeds that are goals: theirs divided by ours, within a round.

    The last column is the ratio of the processor's times, which other programs on the machine disturb less.
    """
    print_several(seconds, processor)
    print(f"largest memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    pairs = [
        ("ours float32", "PyTorch usual float32", goal),
        ("ours float32", "PyTorch simultaneous float32", None),
        ("ours bf16", "ours float32", GOAL_BF16),
        ("ours bf16", "PyTorch usual float32", None),
        ("ours bf16", "PyTorch usual bf16", None),
        ("ours bf16", "PyTorch simultaneous bf16", None),
    ]
    print(f"\n{'our speed over theirs':48}{'median':>9}{'quartiles':>18}{'goal':>7}{'processor':>11}")
    for ours, theirs, wanted in pairs:
        if not seconds.keys() >= {ours, theirs}:
            continue
        low, median, high = _quartiles([a / b for a, b in zip(seconds[theirs], seconds[ours], strict=True)])
        used = statistics.median(a / b for a, b in zip(processor[theirs], processor[ours], strict=True))
        print(f"{f'{ours} / {theirs}':48}{median:9.2f}{low:9.2f}{high:9.2f}{wanted or '':>7}{used:11.2f}")


def our_tasks(architecture: dict, options: argparse.Namespace, real) -> dict[str, Callable[[], object]]:
    """Our step, and the graphs that hold its first one, two and three parts."""
    import tensorflow as tf

    from mmdgan import losses, networks
    from mmdgan.layers import scope
    from mmdgan.training import GanStep

    build = {"precision": options.precision, "spectral": options.spectral}
    generator = networks.build_generator(architecture, **build)
    critic = networks.build_discriminator(architecture, **build)
    gan = GanStep(generator, critic, losses.get(options.loss), 5e-4, 2e-4)
    if critic.data_format == "channels_last":
        real = real.transpose(0, 2, 3, 1)
    real = tf.constant(real)

    def graph(last: int) -> Callable[[], object]:
        @tf.function(autograph=False)
        def parts():
            with scope.frozen_state():
                forward = gan._forward(real, None, None, None)
                values = [forward.losses.gen, forward.losses.dis, [value for _, value in forward.updates]]
                if last == 1:
                    weights = [variable.value for variable in critic.trainable_variables]
                    values += forward.tape.gradient(forward.losses.dis, weights)
                if last == 2:
                    values += gan._gradients(forward)
            return values

        return lambda: float(parts()[0])

    return {
        PARTS[0]: graph(0),
        PARTS[1]: graph(1),
        PARTS[2]: graph(2),
        "step": lambda: float(gan.step(real)["loss_gen"]),
    }


def peer_tasks(gen, dis, options: argparse.Namespace, real) -> dict[str, Callable[[], object]]:
    """The two halves of the PyTorch step."""
    import torch
    from torch_peer import Peer

    from mmdgan import losses

    torch.set_num_threads(options.threads)
    loss = losses.canonical_name(options.loss)
    peer = Peer(gen, dis, loss, tuned=options.peer_tuned, spectral=options.spectral)
    images = torch.from_numpy(real).float() / 127.5 - 1
    return {
        "peer critic": lambda: peer.critic_step(images),
        "peer generator": lambda: peer.generator_step(images),
    }


Seconds = dict[str, list[float]]


def measure(tasks: dict[str, Callable[[], object]], warm_up: int, steps: int) -> tuple[Seconds, Seconds]:
    """Seconds of each task in each of `steps` rounds; the round's first task changes from round to round.

    Returns:
        Elapsed seconds by task, and the processor's seconds for this process (all threads together).
    """
    names = list(tasks)
    seconds: Seconds = {name: [] for name in names}
    processor: Seconds = {name: [] for name in names}
    for task in tasks.values():
        for _ in range(warm_up):
            task()
    gc.disable()
    for index in range(steps):
        first = index % len(names)
        for name in names[first:] + names[:first]:
            start, used = time.perf_counter(), time.process_time()
            tasks[name]()
            seconds[name].append(time.perf_counter() - start)
            processor[name].append(time.process_time() - used)
    gc.enable()
    return seconds, processor


def print_table(seconds: dict[str, list[float]]) -> None:
    """Median and quartiles of the parts, of the step, of the peer and of their ratio."""
    graphs = [seconds[name] for name in (*PARTS[:-1], "step")]
    rows = {PARTS[0]: graphs[0]}
    for part, less, more in zip(PARTS[1:], graphs, graphs[1:], strict=False):
        rows[part] = [b - a for a, b in zip(less, more, strict=True)]
    rows["our step"] = seconds["step"]
    if "peer critic" in seconds:
        critic, generator = seconds["peer critic"], seconds["peer generator"]
        rows |= {"PyTorch critic step": critic, "PyTorch generator step": generator}
        rows["PyTorch step"] = [a + b for a, b in zip(critic, generator, strict=True)]
    print(f"\n{'seconds':24}{'median':>9}{'quartiles':>18}")
    for name, values in rows.items():
        low, median, high = _quartiles(values)
        print(f"{name:24}{median:9.4f}{low:9.4f}{high:9.4f}")
    if "PyTorch step" in rows:
        ratio = statistics.median(rows["our step"]) / statistics.median(rows["PyTorch step"])
        pairs = [a / b for a, b in zip(rows["our step"], rows["PyTorch step"], strict=True)]
        low, median, high = _quartiles(pairs)
        print(f"\nratio of the medians, ours / PyTorch: {ratio:.3f}")
        print(f"ratio within a round: median {median:.3f}, quartiles {low:.3f} {high:.3f}")


def print_machine(options: argparse.Namespace) -> None:
    """What the numbers depend on."""
    import keras
    import tensorflow as tf

    versions = {"Python": platform.python_version(), "TensorFlow": tf.__version__, "Keras": keras.__version__}
    if options.peer or options.peers:
        import torch

        torch.set_num_threads(options.threads)
        tuned = ", channels_last and fused Adam" if options.peer_tuned else ""
        versions["PyTorch"] = f"{torch.__version__} ({torch.get_num_threads()} threads{tuned})"
    print(describe_machine(options.threads))
    print(", ".join(f"{name} {version}" for name, version in versions.items()))


def _quartiles(values: list[float]) -> list[float]:
    return statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3


def _options() -> argparse.Namespace:
    from mmdgan.core.workers import available_cores

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--preset", "--architecture", dest="architecture", default="cifar10/DCGAN", help="or file.py:NAME"
    )
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20, help="rounds to measure")
    parser.add_argument("--warm_up", type=int, default=3, help="rounds before them")
    parser.add_argument("--precision", default="float32", choices=("float32", "bf16", "fp16"))
    parser.add_argument("--loss", default="rep_b")
    parser.add_argument("--micro_batch", type=int, help="of the steps; a batch that is not larger takes the plain step")
    parser.add_argument("--batch_sizes", help="time per image and peak memory of our step with these batches")
    parser.add_argument("--memory", action="store_true", help="of one batch")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--peer", action="store_true", help="also a plain PyTorch step")
    parser.add_argument("--peers", action="store_true", help="our step and PyTorch's loops, float32 and bfloat16")
    parser.add_argument("--tasks", default="ours,PyTorch", help="of --peers: those whose names hold one of these words")
    parser.add_argument("--spectral", default="pico", choices=("pico", "pim"), help="of both libraries' networks")
    parser.add_argument("--precisions", default="float32,bf16", help="of --peers: float32, or both")
    parser.add_argument("--losses", help="our step with these losses, separated by commas")
    parser.add_argument("--operations", action="store_true", help="each layer's forward and gradients, alone")
    parser.add_argument("--peer_tuned", action="store_true", help="a peer with channels_last and fused Adam")
    options = parser.parse_args()
    if options.peer and options.precision != "float32":
        parser.error("--peer compares float32 only")
    return options


if __name__ == "__main__":
    main()
