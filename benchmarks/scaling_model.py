"""What a training step on many GPUs should cost: a model of its messages, for stated bandwidths and latencies.

    python benchmarks/scaling_model.py --architecture cifar10/DCGAN --images 64

Every number of the machine is an assumption, given by a flag. `scaling_measured.py` measures them for two processes and
compares a step of both with the model; the last column enlarges what several devices cost by the error found there
(`MEASURED_ERROR`). docs/distributed.md explains the terms.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout needs no installation

FLOAT = 4  # bytes
NORM_PASSES = 8
"""Passes over its images by which a batch norm across replicas, forward and back, exceeds TensorFlow's fused one."""
MEASURED_ERROR = 1.34
"""What being two processes cost, as measured, over the model's: the larger one of two medians (docs/distributed.md)."""


@dataclass(frozen=True)
class Message:
    """One all-reduce of a step: of what, how many bytes each replica holds of it, and in how many tensors."""

    what: str
    size: int
    tensors: int = 1


@dataclass(frozen=True)
class Machine:
    """GPUs in nodes: rates in bytes (or operations) per second, times in seconds.

    Attributes:
        tensor: Seconds for each of several tensors that are packed into one message, and unpacked.
        spread: Standard deviation of the replicas' times as a share of them; all wait for the slowest one.
        sharing: How many times slower a replica computes next to others, such as two on one physical core.
    """

    per_node: int = 8
    within: float = 100e9
    between: float = 12.5e9
    launch: float = 50e-6
    hop: float = 5e-6
    operations: float = 10e12
    memory: float = 1e12
    tensor: float = 5e-6
    spread: float = 0.02
    sharing: float = 1.0


def step_messages(generator, critic, batch_size: int, replicas: int, shared_backward: bool) -> list[Message]:
    """The all-reduces of one training step, in their order.

    Args:
        generator, critic: `mmdgan.design.NetworkSpec`s.
        batch_size: B, of all replicas together.
        replicas: R.
        shared_backward: whether one backward pass serves both players (`Loss.shares_backward`).
    """
    if replicas == 1:
        return []
    norms = [Message("batch norm", replicas * 2 * part.output_shape[0] * FLOAT) for part in _norms(generator, critic)]
    scores = Message("scores", 2 * batch_size * critic.output_shape[0] * FLOAT)
    passes = 1 if shared_backward else 2
    gradients = [Message("gradients", sum(sizes) * FLOAT, len(sizes)) for sizes in map(sizes_of, (critic, generator))]
    # Backward: each pass sums the scores' gradients; the generator's sums those of batch statistics as well.
    return [*norms, scores, *[scores] * passes, *norms, *gradients]


def sizes_of(network) -> list[int]:
    """Floats of each of a network's trained variables."""
    parts = [part for layer in network.layers for part in layer.parts]
    return [math.prod(shape) for part in parts for shape in part.variables.values()]


def _norms(*networks) -> list:
    """The batch norms among the networks' parts."""
    parts = [part for network in networks for layer in network.layers for part in layer.parts]
    return [part for part in parts if part.op in ("bn", "cbn")]


def message_seconds(message: Message, replicas: int, machine: Machine) -> float:
    """A hierarchical ring: within each node, then between the nodes, each as 2 (n - 1) / n of the bytes."""
    local = min(replicas, machine.per_node)
    nodes = max(1, replicas // machine.per_node)
    seconds = 2 * (local - 1) / local * message.size / machine.within
    seconds += 2 * (nodes - 1) / nodes * message.size / machine.between
    seconds += machine.launch + 2 * math.log2(replicas) * machine.hop
    if message.tensors > 1:  # read and written once before the message, and once after it
        seconds += message.tensors * machine.tensor + 4 * message.size / machine.memory
    return seconds


def wait_seconds(seconds: float, replicas: int, machine: Machine) -> float:
    """What the slowest of the replicas takes longer than the mean one, whose time is given (Blom's approximation)."""
    return machine.spread * seconds * NormalDist().inv_cdf((replicas - 0.375) / (replicas + 0.25))


def norm_seconds(generator, critic, images: int, machine: Machine) -> float:
    """What batch norm across replicas takes longer on each than TensorFlow's fused one on a single device."""
    numbers = sum(math.prod(part.output_shape) for part in _norms(generator, critic))
    return NORM_PASSES * numbers * images * FLOAT / machine.memory


def loss_seconds(batch_size: int, score_size: int, machine: Machine) -> float:
    """The MMD of all scores, which every replica computes: three matrices (B, B), some 12 passes over each.

    Losses with one score per image judge each by itself, in no time.
    """
    if score_size == 1:
        return 0.0
    operations = 3 * 3 * 2 * batch_size**2 * score_size
    return operations / machine.operations + 3 * 12 * batch_size**2 * FLOAT / machine.memory


def compute_seconds(generator, critic, images: int, machine: Machine) -> float:
    """Both networks on one replica: forward and backward thrice the forward; the critic sees twice as many images."""
    return 2 * 3 * (generator.multiply_adds + 2 * critic.multiply_adds) * images / machine.operations


def table(generator, critic, images: int, replicas: Sequence[int], machine: Machine, shared_backward: bool) -> str:
    """One line per number of replicas, with `images` on each: times in milliseconds, and the efficiency."""
    lines = [
        "replicas   batch   networks   loss   messages (number, MB)   wait         step   efficiency   measured error"
    ]
    alone = None
    for count in replicas:
        batch = images * count
        messages = step_messages(generator, critic, batch, count, shared_backward)
        networks = compute_seconds(generator, critic, images, machine)
        if count > 1:
            networks = networks * machine.sharing + norm_seconds(generator, critic, images, machine)
        loss = loss_seconds(batch, critic.output_shape[0], machine)
        sent = sum(message_seconds(message, count, machine) for message in messages)
        wait = wait_seconds(networks + loss, count, machine)
        step = networks + loss + sent + wait
        alone = step if alone is None else alone
        with_error = step if count == 1 else alone + MEASURED_ERROR * (step - alone)
        size = sum(message.size for message in messages) / 1e6
        lines.append(
            f"{count:8}   {batch:5}   {1e3 * networks:8.2f}   {1e3 * loss:4.2f}   {1e3 * sent:8.2f} "
            f"({len(messages):2}, {size:5.1f})   {1e3 * wait:4.2f}   {1e3 * step:10.2f}   {alone / step:10.0%}   "
            f"{alone / with_error:17.0%}"
        )
    return "\n".join(lines)


def load(architecture: str, loss: str):
    """The networks' specifications with the loss's score size, and whether one backward pass serves both players."""
    from mmdgan import design, losses

    dictionary = design.with_score_size(design.load_architecture(architecture), losses.score_size(loss))
    return *design.parse_architecture(dictionary), losses.get(loss).shares_backward


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="cifar10/DCGAN")
    parser.add_argument("--loss", default="rep")
    parser.add_argument("--images", type=int, default=64, help="per replica")
    parser.add_argument("--replicas", default="1,2,4,8,16,32,64")
    parser.add_argument("--per_node", type=int, default=Machine.per_node, help="GPUs of a node")
    for name, unit in (("within", "bytes/s within a node"), ("between", "bytes/s between nodes")):
        parser.add_argument(f"--{name}", type=float, default=getattr(Machine, name), help=unit)
    parser.add_argument("--launch", type=float, default=Machine.launch, help="seconds per message")
    parser.add_argument("--hop", type=float, default=Machine.hop, help="seconds per hop of a message")
    parser.add_argument("--operations", type=float, default=Machine.operations, help="reached per second by one GPU")
    parser.add_argument("--memory", type=float, default=Machine.memory, help="bytes/s of one GPU's memory")
    parser.add_argument("--tensor", type=float, default=Machine.tensor, help="seconds per tensor packed in a message")
    parser.add_argument("--spread", type=float, default=Machine.spread, help="of the replicas' times, as a share")
    parser.add_argument("--sharing", type=float, default=Machine.sharing, help="slower next to others, times")
    options = vars(parser.parse_args())
    architecture, loss, images = options.pop("architecture"), options.pop("loss"), options.pop("images")
    replicas = [int(count) for count in options.pop("replicas").split(",")]
    generator, critic, shared = load(architecture, loss)
    print(f"{architecture}, {loss}: assumed: {Machine(**options)}; measured error {MEASURED_ERROR}")
    print(table(generator, critic, images, replicas, Machine(**options), shared))


if __name__ == "__main__":
    main()
