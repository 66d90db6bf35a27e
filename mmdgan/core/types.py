"""Names for the types of tensors in signatures, for which TensorFlow and Keras bring none that a checker can use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

TensorLike: TypeAlias = Any
"""What `tf.convert_to_tensor` takes: a tensor, a variable, a NumPy array, a number, or nested sequences of numbers."""

StaticShape: TypeAlias = Sequence[Any]
"""Sizes of a tensor's axes: int, or None where a size is unknown before the run."""
