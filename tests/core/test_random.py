"""Random numbers are a function of the seed and the stream."""

import numpy as np
import pytest
import tensorflow as tf

from mmdgan.core import random


@pytest.mark.parametrize("draw", [random.uniform, random.normal])
def test_numbers_depend_on_seed_and_stream_alone(draw):
    def numbers(seed, which=random.COIN):
        return draw((5,), random.stream(seed, which))

    seed = tf.constant([3, 4])
    np.testing.assert_array_equal(numbers(seed), numbers(tf.cast(seed, tf.int64)))
    np.testing.assert_array_equal(tf.function(numbers)(seed), numbers(seed))
    assert not np.allclose(numbers(seed), numbers(seed + 1))
    assert not np.allclose(numbers(seed), numbers(seed, random.WIDTH))
