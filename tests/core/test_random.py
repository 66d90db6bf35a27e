"""Random numbers are a function of the seed and the stream."""

import json
import random as python_random
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmdgan.core import random
from tests.conftest import script_environment


@pytest.mark.parametrize("draw", [random.uniform, random.normal])
def test_numbers_depend_on_seed_and_stream_alone(draw):
    def numbers(seed, which=random.COIN):
        return draw((5,), random.stream(seed, which))

    seed = tf.constant([3, 4])
    np.testing.assert_array_equal(numbers(seed), numbers(tf.cast(seed, tf.int64)))
    np.testing.assert_array_equal(tf.function(numbers)(seed), numbers(seed))
    assert not np.allclose(numbers(seed), numbers(seed + 1))
    assert not np.allclose(numbers(seed), numbers(seed, random.WIDTH))


def test_seeded_blocks_leave_the_callers_numbers_alone():
    def weights(seed):
        with random.seeded(seed):
            return keras.initializers.GlorotUniform()((3, 2)).numpy()

    python_random.seed(1)
    expected = [python_random.random() for _ in range(3)]
    python_random.seed(1)
    found, drawn = [], []
    for _ in range(3):
        drawn.append(weights(5))
        found.append(python_random.random())
    assert found == expected
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.allclose(weights(6), drawn[0])
    keras.utils.set_random_seed(5)
    np.testing.assert_array_equal(keras.initializers.GlorotUniform()((3, 2)), drawn[0])


def test_seeded_blocks_of_several_threads():
    def draws(seed, into):
        with random.seeded(seed):
            for _ in range(20):
                into.append(python_random.random())
                time.sleep(0.001)

    alone, together = [], [[] for _ in range(4)]
    draws(3, alone)
    threads = [threading.Thread(target=draws, args=(3, into)) for into in together]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [alone] * 4


CLUSTERED = """
import tensorflow as tf
from mmdgan.core import random
@tf.function
def draw(seed):
    seed = random.stream(seed, random.COIN)
    return random.normal((4, 3), seed) + random.uniform((4, 3), seed) + tf.cast(
        random.uniform((4, 3), seed, minval=0, maxval=1000, dtype="int32"), tf.float32)
print(draw(tf.constant([1, 2], tf.int64)).numpy().tolist())
"""


@pytest.mark.slow
def test_automatic_clustering_draws_the_same_numbers():
    drawn = []
    for flags in ("", "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit"):
        environment = {**script_environment(), "TF_XLA_FLAGS": flags}
        command = [sys.executable, "-c", CLUSTERED]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=True)
        drawn.append(json.loads(done.stdout))
    np.testing.assert_allclose(*drawn, rtol=1e-6)
