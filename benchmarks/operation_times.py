"""The time of each convolution of a step: forward, input gradient, kernel gradient, beside a large matrix product.

The operations are counted as a plain convolution's, borders included, so that a way that needs fewer of them shows a
rate above the matrix product's. In a step, forward pass and kernel gradient share what this table counts twice: the
transforms of images and kernels.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

OPERATIONS = ("forward", "input gradient", "kernel gradient")


def print_operations(networks, batch: int, rounds: int) -> None:
    """Measures and prints the table.

    Args:
        networks: resolved `NetworkSpec`s.
        batch: images.
        rounds: of which the median counts.
    """
    tasks: dict[tuple, Callable[[], object]] = {("matrix product 2048", "", ""): _matrix_product()}
    work, ways = {("matrix product 2048", "", ""): 2 * 2048**3 / 1e9}, {}
    for network in networks:
        for layer in network.layers:
            if layer.op not in ("c", "tc"):
                continue
            functions, operations, ways[layer.name] = _layer(layer, batch)
            for direct in (False, True) if ways[layer.name] != "direct" else (True,):
                for name, function in zip(OPERATIONS, functions(direct), strict=True):
                    key = (f"{network.name}/{layer.name}", name, "direct" if direct else ways[layer.name])
                    tasks[key], work[key] = function, operations
    times: dict[tuple, list[tuple[float, float]]] = {key: [] for key in tasks}
    for index in range(rounds + 2):
        for key, task in tasks.items():
            start, used = time.perf_counter(), time.process_time()
            task()
            if index >= 2:
                times[key].append((time.perf_counter() - start, time.process_time() - used))
    head = f"{'layer':22}{'operation':17}{'way':10}{'GFLOP':>7}{'ms':>8}{'GFLOP/s':>9}"
    print(f"\n{head}{'processor ms':>14}{'GFLOP per processor second':>28}")
    for key, values in times.items():
        elapsed, used = (statistics.median(column) for column in zip(*values, strict=True))
        rates = work[key] / elapsed, work[key] / used
        print(
            f"{key[0]:22}{key[1]:17}{key[2]:10}{work[key]:7.2f}{1e3 * elapsed:8.2f}{rates[0]:9.0f}"
            f"{1e3 * used:14.2f}{rates[1]:28.0f}"
        )


def _layer(spec, batch: int) -> tuple[Callable, float, str]:
    """A function from "directly?" to the three operations; their GFLOP; and the way that is chosen for them."""
    import tensorflow as tf

    from mmdgan.layers import convolution, convolution as algorithms

    kernel = tf.random.normal(spec.part("kernel").variables["kernel"], stddev=0.05)
    part = spec.part("kernel")
    images = [tf.random.normal((batch, *shape[1:], shape[0])) for shape in (part.input_shape, part.output_shape)]
    large, small = images if spec.op == "c" else images[::-1]
    options = (part.strides, part.dilation, part.padding)
    way = algorithms.choose("float32", tuple(small.shape[:3]), tuple(kernel.shape), *options)
    down = ("down", lambda: convolution.convolve(large, kernel, *options, "NHWC"))
    up = ("up", lambda: convolution.convolve_transposed(small, kernel, tuple(large.shape), *options, "NHWC"))

    def kernel_gradient():
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            y = convolution.convolve(large, kernel, *options, "NHWC")
        return tape.gradient(y, kernel, small)

    def functions(direct: bool):
        order = (down, up) if spec.op == "c" else (up, down)
        return [_timed(function, direct) for function in (*(f for _, f in order), kernel_gradient)]

    size = kernel.shape.num_elements() * batch * small.shape[1] * small.shape[2]
    return functions, 2 * size / 1e9, way


def _timed(function: Callable, direct: bool) -> Callable[[], object]:
    """The function as a graph, of whose result one number is fetched."""
    import tensorflow as tf

    from mmdgan.layers import convolution as algorithms

    choose = algorithms.choose
    graph = tf.function(lambda: tf.reshape(function(), (-1,))[0], autograph=False)
    try:
        if direct:
            algorithms.choose = lambda *_: algorithms.DIRECT
        graph.get_concrete_function()
    finally:
        algorithms.choose = choose
    return lambda: graph().numpy()


def _matrix_product() -> Callable[[], object]:
    import tensorflow as tf

    a = tf.random.normal((2048, 2048))
    graph = tf.function(lambda: tf.matmul(a, a)[0, 0])
    return lambda: graph().numpy()
