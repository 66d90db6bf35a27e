"""The time of each convolution of a step with both its gradients, by every algorithm, next to a large matrix product.

Operations are counted as a plain convolution's, borders included, so that an algorithm that needs fewer of them shows a
rate above the matrix product's.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

DTYPES = ("float32", "bfloat16")


def print_operations(networks, batch: int, rounds: int) -> None:
    """Measures and prints the table, and rows for `mmdgan.layers.convolution.MEASURED`.

    Args:
        networks: Resolved `NetworkSpec`s.
        batch: Number of images.
        rounds: Number of rounds, of which the median counts.
    """
    from mmdgan.layers import convolution

    print(f"\n{'dtype, kernel, strides, side, channels':40}{'way':10}{'GFLOP':>7}{'processor ms':>14}{'GFLOP/s':>9}")
    product = _median({"": _matrix_product()}, rounds)[""]
    print(
        f"{'matrix product 2048, float32':50}{2 * 2048**3 / 1e9:7.2f}{product:14.1f}{2 * 2.048**3 / product * 1e3:9.0f}"
    )
    rows = {}
    for (dtype, size, strides, side, few), (shape, kernel) in _sizes(networks, batch).items():
        ways = {
            way: _differentiated(way, dtype, shape, kernel, strides)
            for way in (convolution.DIRECT, convolution.WINOGRAD, convolution.PATCHES)
        }
        times = rows[dtype, size, strides, side, few] = _median(ways, rounds)
        work = 3 * 2 * kernel[0] * kernel[1] * kernel[2] * kernel[3] * shape[0] * (side**2) / 1e9
        for way, used in times.items():
            label = f"{dtype}, {size}x{size}, {strides}, {side}, {few}"
            print(f"{label:40}{way:10}{work:7.2f}{used:14.1f}{work / used * 1e3:9.0f}")
    known = sorted(convolution.cpu_features() & {"amx_bf16", "avx512_bf16", "avx512f", "avx2"})
    print(f"\nfor MEASURED, of a CPU with {', '.join(known) or 'none of the instruction sets that matter'}:")
    for key, times in rows.items():
        cells = ", ".join(f'"{way}": {used:.1f}' for way, used in times.items())
        print(f'        ("{key[0]}", {", ".join(map(str, key[1:]))}): {{{cells}}},')


def _sizes(networks, batch: int) -> dict[tuple, tuple[tuple, tuple]]:
    """The distinct convolutions that have several algorithms: (shape of the images, shape of the kernel)."""
    found = {}
    for network in networks:
        for part in (part for layer in network.layers for part in layer.parts if part.op in ("c", "tc")):
            large, small = (part.input_shape, part.output_shape)[:: 1 if part.op == "c" else -1]
            kernel = (part.kernel, part.kernel, large[0], small[0])
            few = min(kernel[2:])
            if (part.kernel, part.strides) in ((3, 1), (4, 2)) and few >= 64 and large[1] == large[2]:
                for dtype in DTYPES:
                    found[dtype, part.kernel, part.strides, small[1], few] = ((batch, *large[1:], large[0]), kernel)
    return found


def _differentiated(way: str, dtype: str, shape: tuple, kernel_shape: tuple, strides: int) -> Callable[[], Any]:
    """A convolution and its gradients by one algorithm, of which one number is fetched."""
    import tensorflow as tf

    from mmdgan.layers import convolution

    x, kernel = (tf.cast(tf.random.normal(s), dtype) for s in (shape, kernel_shape))

    @tf.function(autograph=False)
    def compute(x, kernel):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = convolution.convolve(x, kernel, strides, 1, "SAME", "NHWC")
        return [value[0, 0, 0, 0] for value in (y, *tape.gradient(y, [x, kernel], y))]

    choose = convolution.choose
    try:
        convolution.choose = lambda *_: way
        compute.get_concrete_function(x, kernel)
    finally:
        convolution.choose = choose
    return lambda: compute(x, kernel)[0].numpy()


def _median(tasks: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Milliseconds of the processor for each task, in turns."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for index in range(rounds + 1):
        for name, task in tasks.items():
            used = time.process_time()
            task()
            if index:
                times[name].append(time.process_time() - used)
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def _matrix_product() -> Callable[[], Any]:
    import tensorflow as tf

    a = tf.random.normal((2048, 2048))
    graph = tf.function(lambda: tf.matmul(a, a)[0, 0])
    return lambda: graph().numpy()
