"""Grids of images, picture files and animations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdgan.core import lazy

if TYPE_CHECKING:  # for checkers and editors; at run time names load on first use
    from mmdgan.pictures.grid import (
        image_grid as image_grid,
        save_png as save_png,
    )

__getattr__, __dir__, __all__ = lazy.attach(__name__)
