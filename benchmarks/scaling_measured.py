"""The messages of a training step between two processes of this machine: measured, and as `scaling_model.py` has them.

    python benchmarks/scaling_measured.py --architecture sample/DCGAN_SMALL --batch_size 64 --rounds 15

Two workers of one thread each. In turn, both time a step of their own (half of the batch, no messages, at the same
time, so that the machine's load is the same), a step together, and all-reduces of several sizes, whose line gives
latency and bandwidth. What a step together takes longer should be the sum of its messages.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import describe_machine
from scaling_model import FLOAT, load, step_messages

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout needs no installation

SIZES = (1, 2**16, 2**20)  # floats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="sample/DCGAN_SMALL")
    parser.add_argument("--loss", default="rep")
    parser.add_argument("--batch_size", type=int, default=64, help="of both workers together")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--workers", help="for the processes that this program starts")
    parser.add_argument("--index", type=int)
    options = parser.parse_args()
    if options.workers:
        work(options)
        return
    sockets = [socket.socket() for _ in range(2)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    workers = ",".join(f"127.0.0.1:{one.getsockname()[1]}" for one in sockets)
    for one in sockets:
        one.close()
    command = [sys.executable, *sys.argv, f"--workers={workers}"]
    processes = [subprocess.Popen([*command, f"--index={index}"]) for index in range(2)]
    sys.exit(max(process.wait() for process in processes))


def work(options: argparse.Namespace) -> None:
    """One of the two workers; the first one prints."""
    os.environ["TF_NUM_INTRAOP_THREADS"] = "1"
    from mmdgan.startup import prepare_tensorflow

    def begin():
        from mmdgan.training.distribution import Replicas, make_strategy

        options_ = {"workers": options.workers.split(","), "worker_index": options.index}
        return Replicas(make_strategy("multi_worker", **options_))

    replicas = prepare_tensorflow(first=begin)
    tasks = {"alone": step_of(options, None), "together": step_of(options, replicas)}
    tasks |= {size: all_reduce_of(size, replicas) for size in SIZES}
    for task in tasks.values():
        task()
    times = {name: [] for name in tasks}
    for _ in range(options.rounds):
        for name, task in tasks.items():
            replicas.agree(0)
            started = time.perf_counter()
            task()
            times[name].append(time.perf_counter() - started)
    if replicas.is_chief:
        report(options, times)
    replicas.agree(0)


def step_of(options: argparse.Namespace, replicas):
    """A training step: of this worker alone, or of both."""
    import numpy as np

    from mmdgan import design, losses, networks
    from mmdgan.training import GanStep

    architecture = design.load_architecture(options.architecture)
    architecture = design.with_score_size(architecture, losses.score_size(options.loss))
    if replicas is None:
        pair = networks.build_generator(architecture), networks.build_discriminator(architecture)
        gan = GanStep(*pair, options.loss, 5e-4, 2e-4)
    else:
        with replicas.scope():
            pair = networks.build_generator(architecture), networks.build_discriminator(architecture)
            gan = GanStep(*pair, options.loss, 5e-4, 2e-4)
    channels, height, width = gan.discriminator.spec.input_shape
    real = np.random.default_rng(0).integers(0, 256, (options.batch_size // 2, height, width, channels), dtype=np.uint8)
    return lambda: float(gan.step(real)["loss_gen"])


def all_reduce_of(size: int, replicas):
    """A sum over both workers of so many floats."""
    import tensorflow as tf

    def reduce(values):
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)

    values = tf.random.stateless_normal((size,), (0, 0))
    function = tf.function(lambda x: replicas.run(reduce, x), autograph=False)
    return lambda: float(function(values)[0])


def report(options: argparse.Namespace, times: dict) -> None:
    """Prints medians, the line through those of the all-reduces, and what the model makes of it."""
    middle = {name: statistics.median(values) for name, values in times.items()}
    small, large = middle[SIZES[0]], middle[SIZES[-1]]
    bandwidth = (SIZES[-1] - SIZES[0]) * FLOAT / max(large - small, 1e-9)
    generator, critic, shared = load(options.architecture, options.loss)
    messages = step_messages(generator, critic, options.batch_size, 2, shared)
    size = sum(message.size for message in messages)
    predicted = len(messages) * small + size / bandwidth
    differences = [together - alone for together, alone in zip(times["together"], times["alone"], strict=True)]
    print(describe_machine(1))
    for count in SIZES:
        print(f"all-reduce of {count * FLOAT / 1e6:8.3f} MB   {1e3 * middle[count]:8.2f} ms")
    print(f"latency {1e3 * small:.2f} ms, bandwidth {bandwidth / 1e6:.0f} MB/s")
    print(f"step of {options.batch_size // 2} images alone       {1e3 * middle['alone']:8.1f} ms")
    print(f"step of both together        {1e3 * middle['together']:8.1f} ms")
    print(f"difference, median of pairs  {1e3 * statistics.median(differences):8.1f} ms")
    print(f"model: {len(messages)} messages, {size / 1e6:.2f} MB  {1e3 * predicted:8.1f} ms")


if __name__ == "__main__":
    main()
