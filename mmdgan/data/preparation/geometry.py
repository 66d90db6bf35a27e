"""Decodes, resizes, crops and converts one image of a source to the shape of its data set.

The geometry is the original's, bit for bit: resize with Lanczos, then centre crop. One rule holds for all:

1. The image is turned as its EXIF orientation says.
2. It becomes grey or RGB of 8 bits, with its transparency: palettes, CMYK and YCbCr are converted, 16 bits scaled.
3. It is resized, its colours weighted by their opacity (premultiplied), so that invisible colours do not shine through.
4. Transparency is dropped: each pixel keeps its colour. What is fully transparent in a resized image becomes black.

An image that is broken or of another shape is an error: nothing is guessed, padded or cut short.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from mmdgan.data.sources.base import Item

# Pillow tries them in this order, and imports its other plugins only for what is neither of the first two.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM", "TIFF")
_MORE = ("AVIF", "JPEG2000", "DIB", "QOI", "ICO", "TGA")  # of those, the ones that the installed Pillow has
MAX_PIXELS = 2**26  # of an image as declared, and once it is resized: 256 MiB as Pillow holds it
_ROUNDING = 1e-6  # of a pixel: much more than the quotients below lose in double precision
_GREY = ("L", "LA", "La", "1")
_ORIENTATION = 0x0112  # EXIF's tag
# Without one of these, a PNG has no orientation; Pillow decodes the whole picture to find that out.
_PNG_METADATA = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNK = 12  # bytes of a chunk around its data: length, type, checksum


class BrokenImage(Exception):
    """An image that cannot be used; `reason` is the rest of a sentence that begins with the image's name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Geometry:
    """How images are resized and cropped; sizes are (width, height)."""

    # the size that an image is scaled down (or up) to cover, keeping its proportions; None to keep its size
    resize: tuple[int, int] | None = None
    crop: tuple[int, int] | None = None  # the size of the centre that is then cut out; None for all

    @property
    def keeps(self) -> bool:
        """Whether images stay as they are."""
        return self.resize is None and self.crop is None

    def scaled(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size of an image once it is resized.

        With factor = min(W / w, H / h), the original scales (W, H) to (int(W / factor), int(H / factor)). Where that
        quotient is a whole number except for rounding, int() loses a pixel: 100 pixels to 88 make 87. The original
        then crops beyond the picture, which adds a black column. Here such a side is as long as the crop; wherever
        the original crops inside the picture, the sizes are the same.
        """
        if self.resize is None:
            return size
        factor = min(side / wanted for side, wanted in zip(size, self.resize, strict=True))
        sides = [int(side / factor) for side in size]
        for i, least in enumerate(self.crop or ()):
            if sides[i] < least <= size[i] / factor + _ROUNDING:
                sides[i] = least
        return sides[0], sides[1]

    def apply(self, image: Image.Image) -> Image.Image:
        """Resizes and crops one image; its mode stays.

        Raises:
            BrokenImage: The image would become larger than `MAX_PIXELS`, or is smaller than the crop.
        """
        from PIL import Image

        if self.resize is not None:
            scaled = self.scaled(image.size)
            if scaled[0] * scaled[1] > MAX_PIXELS:
                raise BrokenImage(f"is {_pixels(image.size)}, too long a shape to be resized to {_by(self.resize)}")
            image = image.resize(scaled, Image.Resampling.LANCZOS)
        if self.crop is not None:
            if image.width < self.crop[0] or image.height < self.crop[1]:
                raise BrokenImage(f"is {self._size_now(image)}, less than the {_by(self.crop)} to cut out")
            left, top = int((image.width - self.crop[0]) / 2), int((image.height - self.crop[1]) / 2)
            image = image.crop((left, top, left + self.crop[0], top + self.crop[1]))
        return image

    def _size_now(self, image: Image.Image) -> str:
        return _pixels(image.size) + (" after resizing" if self.resize else "")


def load_image(
    item: Item, geometry: Geometry, shape: tuple[int, int, int], size: tuple[int, int] | None = None
) -> np.ndarray:
    """Makes one image of a data set from an item of its source.

    Every colour mode becomes RGB, or grey for C = 1, by the rule above. Of a file with several pictures the first is
    taken.

    Args:
        item: Pixels, or the content of a file of one of the `FORMATS`.
        geometry: How it is resized and cropped.
        shape: (C, H, W) that must result; C is 1 or 3.
        size: (width, height) that it must have before; None for any size.

    Returns:
        uint8 (C, H, W).

    Raises:
        BrokenImage: The item is broken or has another size.
    """
    import numpy as np

    channels, height, width = shape
    pixels = None if item.fault else item.pixels
    if pixels is not None and geometry.keeps and pixels.shape == (height, width, channels):
        if size in (None, (width, height)) and pixels.dtype == np.uint8:
            return np.ascontiguousarray(pixels.transpose(2, 0, 1))
    image = geometry.apply(_opened(item, size))
    if image.size != (width, height):
        if geometry.keeps:
            remedy = "resize the images, here with --size"
        else:
            remedy = "cut all to one size, here with --size and --crop=center"
        raise BrokenImage(f"is {geometry._size_now(image)} where {width}x{height} are expected: {remedy}")
    return _array(image, channels)


def shape_of(item: Item, geometry: Geometry, channels: int) -> tuple[int, int, int]:
    """The shape (C, H, W) that `load_image` can make of an item; BrokenImage if it is broken."""
    image = geometry.apply(_opened(item, None))
    return channels, image.height, image.width


def is_grey(item: Item) -> bool:
    """Whether an item is an image in a grey colour mode; False for a broken one."""
    try:
        image = _opened(item, None)
    except BrokenImage:
        return False
    return image.mode in _GREY


def declared(content: bytes) -> tuple[tuple[int, int], bool]:
    """What a file says of its image: its size (width, height) as it is to be seen, and whether it is grey.

    Raises:
        BrokenImage: It is not an image of one of the `FORMATS`. A sound start does not mean that the rest is.
    """
    try:
        with _quiet(), _identified(content) as image:
            turned = _orientation(image, content) >= 5
            return image.size[:: -1 if turned else 1], image.mode in _GREY or image.mode.startswith("I")
    except Exception as error:  # what Pillow raises for damaged files is not confined to any list
        raise BrokenImage(f"cannot be read as an image of {', '.join(FORMATS + _MORE)}") from error


def _opened(item: Item, size: tuple[int, int] | None) -> Image.Image:
    """The decoded image; its declared size is checked first."""
    if item.fault:
        raise BrokenImage(item.fault)
    if item.pixels is not None:
        return _from_pixels(item.pixels, size)
    if not item.encoded:
        raise BrokenImage("is empty")
    if item.encoded.startswith(_PNG_SIGNATURE):
        _check_png(item.encoded)
    from PIL import UnidentifiedImageError

    try:
        return _decoded(item.encoded, size)
    except BrokenImage:
        raise
    except UnidentifiedImageError:
        raise BrokenImage(f"cannot be read as an image: it is none of {', '.join(FORMATS + _MORE)}") from None
    except Exception as error:  # Pillow raises errors of any type for damaged files
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BrokenImage(f"cannot be read as an image ({reason})") from error


def _decoded(content: bytes, size: tuple[int, int] | None) -> Image.Image:
    with _quiet(), _identified(content) as image:
        _check_size(image.size, None)
        image.load()
        _check_tiff(image)
        image = _upright(image, content)
        _check_size(image.size, size)
        return _plain(image)


def _identified(content: bytes) -> Image.Image:
    """The image of a file, not yet decoded; Pillow's error if it is of no format that is read."""
    import io

    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        Image.init()
        return Image.open(io.BytesIO(content), formats=[name for name in _MORE if name in Image.OPEN])


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences Pillow's warnings, of metadata, transparency and sizes (our own limit is lower)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _from_pixels(pixels: np.ndarray, size: tuple[int, int] | None) -> Image.Image:
    import numpy as np
    from PIL import Image

    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or 0 in pixels.shape:
        raise BrokenImage(f"holds {pixels.dtype} values {pixels.shape} where uint8 pixels (H, W, 1 or 3) are expected")
    _check_size((pixels.shape[1], pixels.shape[0]), size)
    return Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))


def _check_size(found: tuple[int, int], expected: tuple[int, int] | None) -> None:
    if expected is not None and found != tuple(expected):
        raise BrokenImage(f"is {_pixels(found)} where {_by(expected)} are expected")
    if found[0] * found[1] > MAX_PIXELS:
        raise BrokenImage(f"claims to be {_pixels(found)}, more than the {MAX_PIXELS:,} that are read")


def _orientation(image: Image.Image, content: bytes) -> int:
    """EXIF's orientation, 1 to 8; 1 if there is none, one that cannot be read, or one that Pillow heeds itself."""
    if image.format == "TIFF" or image.format == "PNG" and not any(name in content for name in _PNG_METADATA):
        return 1
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged metadata say nothing about the picture
        return 1
    return found if found in range(1, 9) else 1


def _upright(image: Image.Image, content: bytes) -> Image.Image:
    """The image as it is to be seen; Pillow turns TIFF files itself."""
    from PIL.Image import Transpose

    turns = (
        None,
        Transpose.FLIP_LEFT_RIGHT,
        Transpose.ROTATE_180,
        Transpose.FLIP_TOP_BOTTOM,
        Transpose.TRANSPOSE,
        Transpose.ROTATE_270,
        Transpose.TRANSVERSE,
        Transpose.ROTATE_90,
    )
    turn = turns[_orientation(image, content) - 1]
    return image if turn is None else image.transpose(turn)


def _check_tiff(image: Any) -> None:
    """Refuses the grey TIFFs of which Pillow gives the bare numbers: it neither scales them nor inverts white as 0."""
    if image.format == "TIFF" and image.mode.startswith("I"):
        bits, signs, white = (image.tag_v2.get(tag) for tag in (258, 339, 262))
        if bits != (16,) or signs not in (None, (1,)) or white != 1:
            raise BrokenImage(
                "is a grey TIFF of other than 8 or 16 bits, with a sign, or with white as 0: save it with 8 or 16 bits"
            )


def _plain(image: Image.Image) -> Image.Image:
    """An image in the mode L or RGB, or LA or RGBA if it has transparency, so that resizing works with colours."""
    image = _eight_bits(image)
    mode = ("L" if image.mode in _GREY else "RGB") + ("A" if image.has_transparency_data else "")
    try:
        return image if image.mode == mode else image.convert(mode)
    except ValueError:
        raise BrokenImage(f"has the colour mode {image.mode}, which does not convert to RGB: save it as RGB") from None


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scales 16-bit grey to 8 bits, rounding to nearest; Pillow clips it or takes the high byte."""
    if image.mode == "F":
        raise BrokenImage("holds floating-point values, whose range is not known: save it with 8 or 16 bits")
    if not image.mode.startswith("I"):
        return image
    import numpy as np
    from PIL import Image

    values = np.asarray(image).astype(np.int64)
    grey = ((values * 255 + 0x7FFF) // 0xFFFF).astype(np.uint8)
    if "transparency" not in image.info:
        return Image.fromarray(grey)
    opacity = np.where(values == image.info["transparency"], 0, 255).astype(np.uint8)
    return Image.fromarray(np.stack([grey, opacity], -1))


def _array(image: Image.Image, channels: int) -> np.ndarray:
    import numpy as np

    if channels == 1:
        return np.asarray(image.convert("L"))[None]
    return np.ascontiguousarray(np.asarray(image.convert("RGB")).transpose(2, 0, 1))


def _check_png(content: bytes) -> None:
    """Verifies the checksum of every chunk: Pillow skips chunks that it does not need."""
    position, kind = len(_PNG_SIGNATURE), b""
    while kind != b"IEND":
        if position + _PNG_CHUNK > len(content):
            raise BrokenImage("is truncated: the PNG has no end")
        length, kind = struct.unpack_from(">I4s", content, position)
        end = position + 8 + length
        if end + 4 > len(content):
            raise BrokenImage("is truncated or damaged: a chunk of the PNG goes beyond its end")
        if zlib.crc32(memoryview(content)[position + 4 : end]) != struct.unpack_from(">I", content, end)[0]:
            raise BrokenImage(f"is damaged: the checksum of the PNG's chunk at byte {position} is wrong")
        position = end + 4


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _pixels(size: tuple[int, int]) -> str:
    return f"{_by(size)} pixels"
