"""Classes of two sets: paired by name, numbers by value, and by number where one side has no names."""

import numpy as np
import pytest

from mmdgan.metrics.context import pair_classes

TEXT_ORDER = ("0", "1", "10", "11", "2", "3")

CASES = {
    "equal names": ([0, 2, 1], ("a", "b", "c"), ("a", "b", "c"), [0, 2, 1], False),
    "another order": ([0, 2, 1], ("a", "b", "c"), ("c", "a", "b"), [1, 0, 2], False),
    "no partner": ([0, 1], ("a", "x"), ("b", "a"), [1, -1], False),
    "numbers by value": ([0, 1, 2], ("0", "1", "2"), ("02", "01", "00"), [2, 1, 0], False),
    "numbers in the order of texts": ([2, 4], TEXT_ORDER, ("00", "01", "02", "10"), [3, 2], False),
    "names are numbers, labels have none": ([2, 3, 4], TEXT_ORDER, (), [10, 11, 2], True),
    "labels have none, names are numbers": ([2, 10, 7], (), TEXT_ORDER, [4, 2, -1], True),
    "words on one side": ([1, 0, 5], (), ("cat", "dog"), [1, 0, -1], True),
    "words on the other side": ([1, 0], ("cat", "dog"), (), [1, 0], True),
    "words and numbers": ([0, 1], ("cat", "dog"), ("1", "0"), [1, 0], True),
    "numbers and words": ([0, 1], ("1", "00"), ("cat", "dog"), [1, 0], True),
    "one value twice is a text": ([0, 1], ("1", "01"), ("01", "1", "2"), [1, 0], False),
    "some are words": ([0, 1], ("1", "cat"), ("cat", "1"), [1, 0], False),
    "neither has names": ([4, 0], (), (), [4, 0], False),
    "a label without a name": ([0, 3], ("b", "a"), ("a", "b"), [1, -1], False),
    "digits of another script": ([0, 1], ("٢", "1"), ("1", "2"), [1, 0], False),
}


@pytest.mark.parametrize("case", CASES)
def test_classes_are_paired(case):
    labels, names, others, expected, by_number = CASES[case]
    paired, told = pair_classes(np.array(labels, np.int64), names, others)
    assert paired.tolist() == expected and told == by_number
