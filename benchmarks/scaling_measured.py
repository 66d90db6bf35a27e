"""The messages of a training step between two processes of this machine: measured, and as `scaling_model.py` has them.

    python benchmarks/scaling_measured.py --architecture sample/DCGAN_SMALL --batch_size 64 --rounds 15

Two workers of one thread each. In turn, both time a step of their own (half of the batch, no messages, at the same
time, so that the machine's load is the same), a step together, and all-reduces of several sizes, whose line gives
latency and bandwidth, also of the networks' gradients in one message, which gives the cost of packing tensors. A step
together should take the time of the slower of the two alone, and that of its messages (`scaling_model.py`).
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
from scaling_model import FLOAT, Machine, load, sizes_of, step_messages, wait_seconds

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout needs no installation

SIZES = (1, 2**16, 2**20)  # floats
IN_A_ROW = 8  # all-reduces of one graph: those of a step are not called one by one either


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
    from mmdgan.core.startup import prepare_tensorflow

    def begin():
        from mmdgan.training.distribution import Replicas, make_strategy

        options_ = {"workers": options.workers.split(","), "worker_index": options.index}
        return Replicas(make_strategy("multi_worker", **options_))

    replicas = prepare_tensorflow(first=begin)
    tasks = {"alone": step_of(options, None), "together": step_of(options, replicas)}
    tasks |= {size: all_reduce_of([size], replicas) for size in SIZES}
    generator, critic, _ = load(options.architecture, options.loss)
    tasks["gradients"] = all_reduce_of(sizes_of(generator) + sizes_of(critic), replicas)
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


def all_reduce_of(sizes: list[int], replicas):
    """Sums over both workers of arrays of so many floats in one message, one message after the other."""
    import tensorflow as tf

    def reduce(values):
        values = [tf.identity(value) for value in values]
        for _ in range(IN_A_ROW):
            values = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, values)
        return values

    values = [tf.random.stateless_normal((size,), (0, 0)) for size in sizes]
    function = tf.function(lambda x: replicas.run(reduce, x), autograph=False)
    return lambda: float(function(values)[0][0])


def report(options: argparse.Namespace, times: dict) -> None:
    """Prints all times twice: medians, and the shortest ones, which other programs disturbed least."""
    generator, critic, shared = load(options.architecture, options.loss)
    messages = step_messages(generator, critic, options.batch_size, 2, shared)
    size = sum(message.size for message in messages)
    print(describe_machine(1))
    told = f"{options.batch_size} images; {len(messages)} messages, {size / 1e6:.2f} MB"
    print(f"{options.architecture}, {options.loss}: {told}")
    print(f"{'':34}{'median':>10}{'shortest':>10}")
    found = [{name: choose(values) for name, values in times.items()} for choose in (statistics.median, min)]
    rows = {f"all-reduce of {n * FLOAT / 1e6:.3f} MB": [times[n] / IN_A_ROW for times in found] for n in SIZES}
    rows["step of half the batch, alone"] = [times["alone"] for times in found]
    rows["step of both together"] = [times["together"] for times in found]
    rows["difference"] = [times["together"] - times["alone"] for times in found]
    sizes = sizes_of(generator) + sizes_of(critic)
    packed = [times["gradients"] / IN_A_ROW - _predicted(times, 1, sum(sizes) * FLOAT) for times in found]
    rows[f"packing {len(sizes)} tensors of {sum(sizes) * FLOAT / 1e6:.1f} MB"] = packed
    rows["messages, by the model"] = [_predicted(times, len(messages), size) for times in found]
    wait = [wait_seconds(1.0, 2, Machine(spread=statistics.stdev(times["alone"]))), 0.0]
    rows["waiting for the slower one"] = wait
    rows["difference, by the model"] = list(map(sum, zip(rows["messages, by the model"], packed, wait, strict=True)))
    for name, seconds in rows.items():
        print(f"{name:34}" + "".join(f"{1e3 * value:7.2f} ms" for value in seconds))
    errors = zip(rows["difference"], rows["difference, by the model"], strict=True)
    print("measured difference over the model's: " + ", ".join(f"{measured / model:.2f}" for measured, model in errors))


def _predicted(times: dict, count: int, size: int) -> float:
    """Seconds of a number of messages of so many bytes together, by the line through the smallest and largest one."""
    small, large = times[SIZES[0]] / IN_A_ROW, times[SIZES[-1]] / IN_A_ROW
    return count * small + size * (large - small) / ((SIZES[-1] - SIZES[0]) * FLOAT)


if __name__ == "__main__":
    main()
