"""One of two worker processes: trains, and leaves what it found in a file. Run by test_multi_worker.

python -m tests.helpers.worker_program OUT.npz ADDRESS,ADDRESS INDEX
"""

from __future__ import annotations

import sys

import numpy as np


def main(out: str, addresses: str, index: int) -> None:
    from mmdgan.core.startup import prepare_tensorflow

    def start():
        from mmdgan.training.distribution import make_strategy

        return make_strategy("multi_worker", workers=addresses.split(","), worker_index=index)

    strategy = prepare_tensorflow(first=start)
    from mmdgan.training.distribution import Replicas
    from tests.helpers import replicas

    found = {}
    for loss in ("rep", "wasserstein"):
        gan = replicas.small_gan(loss, strategy)
        own = slice(4 * index, 4 * index + 4)
        losses, moved = replicas.moves(gan, replicas.images(8)[own])
        found |= {f"{loss}/losses/{name}": value for name, value in losses.items()}
        found |= {f"{loss}/moved/{name}": value for name, value in moved.items()}
    for name, options in replicas.WAYS.items():
        gan = replicas.small_gan("rep", strategy, **options)
        batches = np.stack([replicas.images(8, step)[own] for step in range(2)])
        found[f"way/{name}"] = gan.steps(batches)["loss_dis"].numpy()
        found |= {f"way/{name}/{key}": value for key, value in replicas.values(gan).items()}
    gan = replicas.small_gan("rand_g_mix", strategy, lr=1e-3, optimizer="adam", mix_threshold=0.0)
    for step in range(50):
        gan.step(replicas.images(8, step)[own])
    found |= {f"state/{name}": value for name, value in replicas.values(gan).items()}
    inspected = gan.inspect(replicas.images(8)[own])
    found |= {f"inspected/{tag}": value for tag, value in inspected["scalars"].items()}
    together = Replicas(strategy)
    found["agreed"] = together.agree(index, 5 - index)
    rate = gan.loss_state["probability"]
    gan.iterations.assign(100 + index)
    rate.assign(0.25 + index)
    together.broadcast([gan.iterations, rate])
    found["broadcast"] = [gan.iterations.numpy(), rate.numpy()]
    np.savez(out, **{name: np.asarray(value) for name, value in found.items()})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
