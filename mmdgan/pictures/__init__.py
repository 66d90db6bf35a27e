"""Grids of images, picture files and animations.

    mmdgan.pictures.save_png("grid.png", mmdgan.pictures.image_grid(images, columns=8))

Images are uint8 (N, H, W, C).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdgan.core import lazy

if TYPE_CHECKING:  # for checkers and editors; at run time names load on first use
    from mmdgan.pictures.files import (
        gif_bytes as gif_bytes,
        save_batches as save_batches,
        save_gif as save_gif,
        save_mp4 as save_mp4,
    )
    from mmdgan.pictures.grid import (
        enlarge as enlarge,
        image_grid as image_grid,
        png_bytes as png_bytes,
        save_folder as save_folder,
        save_png as save_png,
    )

__getattr__, __dir__, __all__ = lazy.attach(__name__)
