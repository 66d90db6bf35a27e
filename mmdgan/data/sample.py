"""The embedded data set `sample`: tinted digits over photographs, made on the spot, deterministic and offline.

The 1,797 handwritten digits that scikit-learn ships (8x8, from the UCI set of Alpaydin and Kaynak, 1998) are
enlarged to 24x24, placed anywhere inside a 32x32 picture, tinted in a random light colour and laid over a
patch of scikit-learn's two sample photographs dimmed to 35%, in the manner of MNIST-M (Ganin et al. 2016).
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np

from mmdgan.core.shuffling import uniform
from mmdgan.data.dataset import ImageData

SIZE = 32
DIGIT_SIZE = 24
VARIANTS = 6
DIM = 0.35
_SEED = 20190521


def make_sample() -> ImageData:
    """Makes the set: every digit six times, each time with another place, tint and background.

    Returns:
        10,782 images (N, 3, 32, 32) of 10 classes; image i shows the digit `groups[i]` = i // 6 of scikit-learn's set.
    """
    pictures, labels, photographs = digits_and_photographs()
    ink = np.minimum(1.0, 1.25 * enlarge(pictures / 16.0, DIGIT_SIZE))
    variants = [_draw(ink, photographs, variant) for variant in range(VARIANTS)]
    images = np.stack(variants, axis=1).reshape(-1, 3, SIZE, SIZE)
    return ImageData(
        name="sample",
        images=images,
        labels=np.repeat(labels, VARIANTS),
        class_names=tuple("0123456789"),
        num_class=10,
        source="scikit-learn's digits over its sample photographs",
        groups=np.repeat(np.arange(len(ink)), VARIANTS),
    )


def digits_and_photographs() -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """What scikit-learn's `load_digits` and `load_sample_images` return, from its files: its import takes a second.

    Returns:
        Digits (1797, 8, 8) of 0 to 16, their labels, and two photographs (427, 640, 3) uint8.
    """
    from PIL import Image

    folder = Path(str(importlib.metadata.distribution("scikit-learn").locate_file("sklearn/datasets")))
    rows = np.loadtxt(folder / "data" / "digits.csv.gz", delimiter=",")
    photographs = [np.asarray(Image.open(path)) for path in sorted(folder.glob("images/*.jpg"))]
    return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(np.int64), photographs


def enlarge(pictures: np.ndarray, size: int) -> np.ndarray:
    """Enlarges square pictures (N, n, n) bilinearly to float32 (N, size, size): centres aligned, edges repeated."""
    side = pictures.shape[-1]
    position = np.clip((np.arange(size) + 0.5) * side / size - 0.5, 0, side - 1)
    weight = np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(side))).astype(np.float32)
    return weight @ pictures.astype(np.float32) @ weight.T


def _draw(ink: np.ndarray, photographs: list[np.ndarray], variant: int) -> np.ndarray:
    """One picture per digit: ink (N, 24, 24) in [0, 1] and photographs (h, w, 3) to uint8 (N, 3, 32, 32)."""
    count = len(ink)
    draws = uniform(count * 8, _SEED, variant).reshape(8, count)
    room = SIZE - DIGIT_SIZE + 1
    tops, lefts = (draws[:2] * room).astype(int)
    tints = 0.5 + 0.5 * draws[2:5].T
    tints *= 255.0 / tints.max(axis=1, keepdims=True)
    pictures = np.empty((count, SIZE, SIZE, 3), np.float32)
    alpha = np.zeros((count, SIZE, SIZE, 1), np.float32)
    for i in range(count):
        photograph = photographs[int(draws[5, i] * len(photographs))]
        y = int(draws[6, i] * (photograph.shape[0] - SIZE + 1))
        x = int(draws[7, i] * (photograph.shape[1] - SIZE + 1))
        pictures[i] = photograph[y : y + SIZE, x : x + SIZE]
        alpha[i, tops[i] : tops[i] + DIGIT_SIZE, lefts[i] : lefts[i] + DIGIT_SIZE, 0] = ink[i]
    blended = (1.0 - alpha) * (DIM * pictures) + alpha * tints[:, None, None, :].astype(np.float32)
    return np.rint(blended).astype(np.uint8).transpose(0, 3, 1, 2)
