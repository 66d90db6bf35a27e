"""Every colour mode x scaled up, down and not x cut or not, and every EXIF orientation, against references of our own.

The references work on float arrays and use neither Pillow's resampling nor its conversions of modes.
"""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mmdgan.data.preparation import geometry
from mmdgan.data.preparation.geometry import Geometry, declared, load_image, shape_of
from mmdgan.data.sources.base import Item
from tests.helpers.made_sources import encoded

HEIGHT, WIDTH = 20, 28
PALETTE = np.random.default_rng(7).integers(0, 256, (16, 3), dtype=np.uint8)
OPACITIES = np.array([0, 255, 40, 255, 255, 128, 255, 0, 255, 90, 255, 255, 255, 200, 255, 255], np.uint8)


def smooth(seed, channels):
    """uint8 (H, W, channels), with edges and gradients."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [
        np.sin(x * rng.uniform(0.1, 1) + y * rng.uniform(0.1, 1)) * 100 + rng.integers(0, 90) for _ in range(channels)
    ]
    return np.clip(np.stack(waves, -1) + 60, 0, 255).astype(np.uint8)


def cases():
    """{name: (content of a file, its colours (H, W, 3), its opacity (H, W))}."""
    rgb, grey, alpha = smooth(1, 3), smooth(2, 1)[..., 0], smooth(3, 1)[..., 0]
    alpha[:4], alpha[-5:] = 0, 255
    index = smooth(4, 1)[..., 0] // 16
    solid, triple = np.full(grey.shape, 255, np.uint8), np.stack([grey] * 3, -1)
    palette = Image.fromarray(index)
    palette = palette.convert("P") if palette.mode != "P" else palette
    palette.putdata(index.reshape(-1).tolist())
    palette.putpalette(PALETTE.tobytes())
    key = int(grey[10, 10])
    rgb_key = tuple(int(value) for value in rgb[9, 9])
    deep = grey.astype(np.uint16) * 257
    ink = np.concatenate([smooth(5, 3), np.zeros((HEIGHT, WIDTH, 1), np.uint8)], -1)
    bits = grey > 127
    with_alpha = np.concatenate([rgb, alpha[..., None]], -1)
    grey_alpha = np.stack([grey, alpha], -1)
    premultiplied = Image.frombytes("RGBA", (WIDTH, HEIGHT), with_alpha.tobytes())
    return {
        "1": (encoded(Image.fromarray(bits)), np.where(bits[..., None], 255, 0).repeat(3, -1), solid),
        "L": (encoded(Image.fromarray(grey)), triple, solid),
        "L with a key": (
            encoded(Image.fromarray(grey), transparency=key),
            triple,
            np.where(grey == key, 0, 255),
        ),
        "LA": (encoded(Image.fromarray(grey_alpha)), triple, alpha),
        "P": (encoded(palette), PALETTE[index], solid),
        "P with opacities": (
            encoded(palette, transparency=OPACITIES.tobytes()),
            PALETTE[index],
            OPACITIES[index],
        ),
        "P of a GIF": (encoded(palette, "GIF", transparency=5), PALETTE[index], np.where(index == 5, 0, 255)),
        "RGB": (encoded(rgb), rgb, solid),
        "RGB with a key": (
            encoded(Image.fromarray(rgb), transparency=rgb_key),
            rgb,
            np.where((rgb == rgb_key).all(-1), 0, 255),
        ),
        "RGBA": (encoded(premultiplied), rgb, alpha),
        "RGBA of a WebP": (encoded(premultiplied, "WEBP", lossless=True, exact=True), rgb, alpha),
        "CMYK": (encoded(Image.frombytes("CMYK", (WIDTH, HEIGHT), ink.tobytes()), "TIFF"), 255 - ink[..., :3], solid),
        "I;16": (encoded(Image.fromarray(deep)), triple, solid),
        "I;16 of a TIFF": (encoded(Image.fromarray(deep), "TIFF"), triple, solid),
        "I;16 with a key": (
            encoded(Image.fromarray(deep), transparency=key * 257),
            triple,
            np.where(grey == key, 0, 255),
        ),
    }


def weights(before, after):
    """Lanczos with three lobes, stretched where it scales down: float (after, before)."""
    scale = before / after
    stretch = max(scale, 1)
    centres = (np.arange(after) + 0.5) * scale
    distance = (np.arange(before) + 0.5 - centres[:, None]) / stretch
    found = np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)
    return found / found.sum(1, keepdims=True)


def scaled(values, height, width):
    """Rounded and clipped after each of the passes, as 8 bits demand."""
    across = np.clip(np.rint(np.einsum("xw,hwc->hxc", weights(values.shape[1], width), values)), 0, 255)
    return np.clip(np.rint(np.einsum("yh,hxc->yxc", weights(values.shape[0], height), across)), 0, 255)


def reference(colours, opacity, size, crop):
    """What must result, float (H, W, 3), and how far 8 bits may be from it, (H, W, 1)."""
    colours, opacity = colours.astype(float), opacity.astype(float)[..., None]
    allowed = np.ones_like(opacity)
    if size:
        factor = min(WIDTH / size, HEIGHT / size)
        width, height = max(size, int(WIDTH / factor)), max(size, int(HEIGHT / factor))
        weighted = scaled(np.rint(colours * opacity / 255), height, width)
        opacity = scaled(opacity, height, width)
        colours = np.where(opacity > 0, np.clip(weighted * 255 / np.maximum(opacity, 1), 0, 255), 0)
        allowed = np.where(opacity > 0, 2 + 3 * 255 / np.maximum(opacity, 1), 255)
    if crop:
        top, left = (colours.shape[0] - crop) // 2, (colours.shape[1] - crop) // 2
        colours, allowed = (part[top : top + crop, left : left + crop] for part in (colours, allowed))
    return colours, allowed


@pytest.mark.parametrize("name", cases())
def test_every_mode_is_scaled_as_colours(name):
    content, colours, opacity = cases()[name]
    for size in (33, 9, None):
        for crop in (size or 12, None):
            made = Geometry((size, size) if size else None, (crop, crop) if crop else None)
            shape = shape_of(Item("x", encoded=content), made, 3)
            found = load_image(Item("x", encoded=content), made, shape).transpose(1, 2, 0)
            expected, allowed = reference(colours, opacity, size, crop)
            assert found.shape == expected.shape, (size, crop)
            assert (np.abs(found - expected) <= allowed).all(), (size, crop, np.abs(found - expected).max())
            if size is None:
                assert np.array_equal(found, expected)


def test_invisible_colours_do_not_shine_through():
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[..., 0], pixels[:, 8:, 3] = 255, 255
    pixels[:, 8:, :3] = 10, 200, 30
    for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})):
        content = encoded(Image.fromarray(pixels), kind, **options)
        found = load_image(Item("x", encoded=content), Geometry((8, 8)), (3, 8, 8))
        seen = found[:, :, 4:]
        assert np.abs(seen - np.array([10, 200, 30])[:, None, None]).max() <= 6
        assert not found[:, :, :1].any(), kind  # what is fully transparent becomes black


def test_palettes_with_opacity_and_other_colour_spaces():
    """Modes that few files have: PA, La and RGBa go the way of the others; YCbCr is lossy."""
    pixels = np.concatenate([smooth(1, 3), smooth(3, 1)], -1)
    whole = Image.fromarray(pixels)
    for mode in ("PA", "RGBa"):
        plain = geometry._plain(whole.convert(mode))
        assert plain.mode == "RGBA"
        seen = pixels[..., 3] > 128
        assert np.abs(np.asarray(plain).astype(int) - pixels)[seen].mean() < 12
    assert geometry._plain(Image.fromarray(pixels[..., 2:]).convert("La")).mode == "LA"
    content = encoded(Image.fromarray(pixels[..., :3]).convert("YCbCr"), "TIFF")
    found = load_image(Item("x", encoded=content), Geometry((10, 10), (10, 10)), (3, 10, 10)).transpose(1, 2, 0)
    expected, _ = reference(pixels[..., :3], np.full(pixels.shape[:2], 255), 10, 10)
    assert np.abs(found - expected).max() <= 6


def turned(pixels, orientation):
    """What EXIF's number means: the place of the first row and of the first column."""
    first = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: pixels[::-1].swapaxes(0, 1),
        7: pixels[::-1, ::-1].swapaxes(0, 1),
        8: pixels[:, ::-1].swapaxes(0, 1),
    }
    return first[orientation]


def with_orientation(image, kind, orientation):
    tag = Image.Exif()
    tag[0x0112] = orientation
    options = {"tiffinfo": {274: orientation}} if kind == "TIFF" else {"exif": tag}
    if kind == "WEBP":
        options |= {"lossless": True}
    return encoded(image, kind, **options)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(kind, orientation):
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :16], pixels[:8, 16:], pixels[8:, :16] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    for image in (Image.fromarray(pixels), Image.fromarray(pixels[..., 0])):
        content = with_orientation(image, kind, orientation)
        right = turned(pixels if image.mode == "RGB" else np.stack([pixels[..., 0]] * 3, -1), orientation)
        height, width = right.shape[:2]
        assert declared(content) == ((width, height), image.mode == "L" and kind != "WEBP")
        assert shape_of(Item("x", encoded=content), Geometry(), 3) == (3, height, width)
        found = load_image(Item("x", encoded=content), Geometry(), (3, height, width), (width, height))
        error = np.abs(found.transpose(1, 2, 0).astype(int) - right)
        assert error.max() == 0 if kind != "JPEG" else error.mean() < 25


def test_orientations_that_mean_nothing_are_none():
    pixels = np.zeros((16, 24, 3), np.uint8)
    for number in (0, 9, 60000):
        content = with_orientation(Image.fromarray(pixels), "JPEG", number)
        assert load_image(Item("x", encoded=content), Geometry(), (3, 16, 24)).shape == (3, 16, 24)
        assert declared(content)[0] == (24, 16)


def test_the_declared_size_is_that_of_the_decoded_image():
    for content, colours, _ in cases().values():
        (width, height), _ = declared(content)
        assert (height, width) == colours.shape[:2]
        with Image.open(io.BytesIO(content)) as image:
            assert image.size == (width, height)
