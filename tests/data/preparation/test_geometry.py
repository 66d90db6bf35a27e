"""One image: the original's geometry bit for bit, every colour mode, and the name of whatever is wrong."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mmdgan.data.preparation import geometry as geometry_module
from mmdgan.data.preparation.geometry import BrokenImage, Geometry, is_grey, load_image, shape_of
from mmdgan.data.sources.base import Item
from tests.helpers import golden_data
from tests.helpers.made_sources import encoded, picture

AS_IS = Geometry()
RGB = (3, 8, 8)


def load(content, shape=RGB, geometry=AS_IS, size=None):
    """The image of a file's content, of pixels (H, W, C) or of a Pillow image saved as PNG."""
    if isinstance(content, Image.Image):
        content = encoded(content)
    item = Item("x", encoded=content) if isinstance(content, bytes) else Item("x", pixels=content)
    return load_image(item, geometry, shape, size)


def reason(content, *arguments, **options):
    with pytest.raises(BrokenImage) as caught:
        load(content, *arguments, **options)
    assert "\n" not in caught.value.reason
    return caught.value.reason


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("form", ["pixels", "file"])
def test_the_original_s_images(number, form):
    case = golden_data.raw_image_cases()[number]
    pixels = np.asarray(Image.open(io.BytesIO(case["source_png"])))
    source = case["source_png"] if form == "file" else pixels
    geometry = Geometry(case["resize"], case["crop"])
    found = load(source, case["shape"], geometry)
    rows, columns = case["region"]
    assert found.dtype == np.uint8 and found.flags.c_contiguous and case["result"].size >= 3 * 18 * 18
    assert np.array_equal(found[:, rows, columns], case["result"])
    assert shape_of(Item("x", pixels=pixels), geometry, 3) == case["shape"]


def test_sizes_are_the_original_s_wherever_it_cuts_inside_the_picture():
    """Every size up to 300 by 300 against the rule of spec G.2, for crops that are met and that are missed."""
    missed = 0
    sides = np.arange(1, 301)
    for resize, crop in (((72, 88), (64, 64)), ((64, 64), (64, 64)), ((100, 100), (100, 100)), ((88, 88), None)):
        for width in sides[::7].tolist():
            for height in sides.tolist():
                factor = min(width / resize[0], height / resize[1])
                original = int(width / factor), int(height / factor)
                found = Geometry(resize, crop).scaled((width, height))
                if crop is None or (original[0] >= crop[0] and original[1] >= crop[1]):
                    assert found == original
                else:
                    missed += 1
                    assert found == tuple(max(pair) for pair in zip(original, crop, strict=True))
                    assert max(found[0] - original[0], found[1] - original[1]) == 1
    assert missed > 20


def test_no_black_column_where_rounding_loses_a_pixel():
    white, square = np.full((100, 100, 3), 255, np.uint8), Geometry((88, 88), (88, 88))
    assert int(100 / (100 / 88)) == 87
    assert np.array_equal(load(white, (3, 88, 88), square), np.full((3, 88, 88), 255))
    assert Geometry((88, 88)).scaled((100, 100)) == (87, 87)


def test_pixels_that_stay_as_they_are():
    pixels = picture(1)
    assert np.array_equal(load(pixels), pixels.transpose(2, 0, 1))
    assert np.array_equal(load(pixels[:, ::-1]), pixels[:, ::-1].transpose(2, 0, 1))
    assert np.array_equal(load(pixels[:, :, :1], (1, 8, 8)), pixels[:, :, :1].transpose(2, 0, 1))
    assert np.array_equal(load(pixels[:, :, :1]), np.stack([pixels[:, :, 0]] * 3))
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(load(pixels, (1, 8, 8))[0] - luma).max() < 1


def test_lossless_formats_give_the_pixels():
    pixels = picture(2)
    for kind, options in (("PNG", {}), ("BMP", {}), ("PPM", {}), ("TIFF", {}), ("WEBP", {"lossless": True})):
        assert np.array_equal(load(encoded(pixels, kind, **options)), pixels.transpose(2, 0, 1)), kind


def modes():
    """Images in many modes with the RGB values they stand for."""
    rgb = picture(3)
    grey = rgb[:, :, 0]
    triple = np.stack([grey] * 3, -1)
    alpha = picture(4)[:, :, :1]
    palette = Image.fromarray(grey % 4).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    colours = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90], [100, 110, 120]], np.uint8)
    bits = Image.fromarray(grey > 127)
    return {
        "L": (Image.fromarray(grey), triple),
        "LA": (Image.fromarray(np.concatenate([grey[:, :, None], alpha], -1)), triple),
        "RGBA": (Image.fromarray(np.concatenate([rgb, alpha], -1)), rgb),
        "P": (palette, colours[grey % 4]),
        "1": (bits, np.where(triple > 127, 255, 0)),
        "I;16": (Image.fromarray(grey.astype(np.uint16) * 257), triple),
    }


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "I;16"])
def test_colour_modes(mode):
    image, expected = modes()[mode]
    assert image.mode == mode
    assert np.array_equal(load(image), expected.transpose(2, 0, 1))
    if mode in ("L", "LA", "1", "I;16"):
        assert np.array_equal(load(image, (1, 8, 8)), expected[None, :, :, 0])


def test_transparency_of_a_palette_is_dropped_without_a_word(recwarn):
    image, expected = modes()["P"]
    assert np.array_equal(load(encoded(image, transparency=b"\0\x80")), expected.transpose(2, 0, 1))
    assert not recwarn.list


def test_cmyk():
    ink = np.concatenate([picture(5), np.zeros((8, 8, 1), np.uint8)], -1)
    image = Image.frombytes("CMYK", (8, 8), ink.tobytes())
    assert np.array_equal(load(encoded(image, "TIFF")), 255 - ink[:, :, :3].transpose(2, 0, 1))
    error = load(encoded(image, "JPEG", quality=100)).astype(int) - (255 - ink[:, :, :3].transpose(2, 0, 1))
    assert np.abs(error).max() < 12
    luma = (255 - ink[:, :, :3]) @ np.array([0.299, 0.587, 0.114])
    assert np.abs(load(encoded(image, "TIFF"), (1, 8, 8))[0] - luma).max() < 1


def test_sixteen_bits_are_scaled_and_rounded():
    values = np.random.default_rng(0).integers(0, 2**16, (8, 8), np.uint16)
    values[0, :4] = 0, 128, 129, 65535
    expected = np.rint(values / 257).astype(np.uint8)
    for kind in ("PNG", "TIFF"):
        assert np.array_equal(load(encoded(Image.fromarray(values), kind), (1, 8, 8))[0], expected)
    pgm = b"P5 8 8 65535\n" + values.astype(">u2").tobytes()
    assert np.array_equal(load(pgm, (1, 8, 8))[0], expected)
    resized = load(Image.fromarray(values), (1, 4, 4), Geometry((4, 4)))
    assert np.array_equal(resized[0], np.asarray(Image.fromarray(expected).resize((4, 4), Image.Resampling.LANCZOS)))


def test_values_without_a_known_range_are_named():
    numbers = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    assert "floating-point" in reason(encoded(Image.fromarray(numbers), "TIFF"))
    for kind in ((16, 1, 1), (12, 1, 1), (16, 2, 1), (16, 1, 0), (32, 1, 1), (32, 2, 1)):
        bits, sign, white = kind  # 1 for unsigned, 1 for black as 0
        tags = {256: 8, 257: 8, 258: bits, 259: 1, 262: white, 273: 200, 277: 1, 278: 8, 279: 8 * bits, 339: sign}
        entries = b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in tags.items())
        content = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries
        content = content.ljust(200, b"\0") + bytes(range(8 * bits % 256)).ljust(8 * bits, b"\1")
        if kind == (16, 1, 1):
            assert load(content, (1, 8, 8)).any()
        else:
            assert "is a grey TIFF of other than 8 or 16 bits" in reason(content, (1, 8, 8)), kind


def test_sizes_that_do_not_fit_are_named():
    pixels = picture(6, 10, 8)
    assert reason(pixels).startswith("is 8x10 pixels where 8x8 are expected: ")
    assert "--size" in reason(pixels)
    assert reason(pixels, size=(8, 9)) == "is 8x10 pixels where 8x9 are expected"
    assert reason(encoded(pixels), size=(8, 9)) == "is 8x10 pixels where 8x9 are expected"
    assert reason(pixels, (3, 4, 4), Geometry((4, 4))).startswith("is 4x5 pixels after resizing where 4x4 are expected")
    assert "--crop=center" in reason(pixels, (3, 4, 4), Geometry((4, 4)))
    assert reason(pixels, (3, 9, 9), Geometry(None, (9, 9))) == "is 8x10 pixels, less than the 9x9 to cut out"
    assert np.array_equal(load(pixels, (3, 8, 8), Geometry(None, (8, 8))), pixels[1:9].transpose(2, 0, 1))


def test_faults_of_the_source_and_empty_items():
    with pytest.raises(BrokenImage, match="^is torn$"):
        load_image(Item("x", pixels=picture(0), fault="is torn"), AS_IS, RGB)
    with pytest.raises(BrokenImage, match="^is empty$"):
        load_image(Item("x"), AS_IS, RGB)
    assert reason(b"") == "is empty"
    for wrong in (picture(0)[:, :, :2], picture(0).astype(np.float32), picture(0)[:0]):
        assert "uint8 pixels" in reason(wrong)


def test_other_formats_are_not_opened():
    for content in (b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", encoded(picture(0), "PCX")):
        text = reason(content)
        assert text.startswith("cannot be read as an image: it is none of PNG, JPEG") and "0x" not in text


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP"])
def test_a_truncated_file_is_named_or_whole(kind):
    """No length of a file gives another image than the whole one."""
    pixels = np.asarray(Image.fromarray(picture(7)).resize((24, 24)))
    content = encoded(pixels, kind)
    whole, named = load(content, (3, 24, 24)), 0
    for length in range(len(content)):
        try:
            assert np.array_equal(load(content[:length], (3, 24, 24)), whole), length
        except BrokenImage:
            named += 1
    assert named > 0.8 * len(content)


def test_every_flipped_bit_of_a_png_is_named():
    content = encoded(Image.fromarray(picture(8)), pnginfo=_comment())
    assert b"tEXt" in content and np.array_equal(load(content), picture(8).transpose(2, 0, 1))
    for bit in range(8 * len(content)):
        broken = bytearray(content)
        broken[bit // 8] ^= 1 << bit % 8
        assert reason(bytes(broken))


def _comment():
    from PIL.PngImagePlugin import PngInfo

    comment = PngInfo()
    comment.add_text("comment", "skipped by Pillow")
    return comment


def test_damaged_files_never_raise_anything_else():
    """A thousand random damages of files of every format: an image of the right shape, or a name."""
    rng = np.random.default_rng(0)
    contents = [encoded(picture(9), kind) for kind in ("JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")]
    named = 0
    for number in range(1000):
        broken = bytearray(contents[number % len(contents)])
        for _ in range(rng.integers(1, 4)):
            broken[rng.integers(len(broken))] = rng.integers(256)
        try:
            assert load(bytes(broken)).shape == RGB
        except BrokenImage as error:
            assert "\n" not in error.reason and "0x" not in error.reason
            named += 1
    assert named > 100


def png_that_claims(width, height):
    """A PNG of a few bytes with sound checksums that declares a huge picture."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def test_bombs_are_named_without_being_unpacked():
    for side in (9_000, 10_000, 60_000):  # beyond our limit; where Pillow warns; where it raises
        text = reason(png_that_claims(side, side))
        assert f"{side}x{side} pixels" in text or f"{side**2} pixels" in text
    assert "claims to be 9000x9000 pixels" in reason(png_that_claims(9_000, 9_000))
    strip = np.zeros((1, 60_000, 3), np.uint8)
    assert "too long a shape" in reason(strip, (3, 64, 64), Geometry((64, 64), (64, 64)))
    assert shape_of(Item("x", pixels=strip[:, :1000]), Geometry((64, 64), (64, 64)), 3) == (3, 64, 64)


def test_metadata_does_not_talk(recwarn):
    exif = b"Exif\0\0II*\0\xff\xff\xff\xff"
    load(encoded(picture(0), "JPEG", exif=exif))
    assert not recwarn.list


def test_grey_is_what_has_no_colours():
    images = modes()
    grey = {mode for mode, (image, _) in images.items() if is_grey(Item("x", encoded=encoded(image)))}
    assert grey == {"L", "LA", "1", "I;16"}
    assert is_grey(Item("x", pixels=picture(0)[:, :, :1])) and not is_grey(Item("x", fault="is torn"))


def test_the_module_needs_neither_numpy_nor_pillow(run_script):
    code = f"import sys, {geometry_module.__name__}; print({{'numpy', 'PIL', 'tensorflow'}} & set(sys.modules))"
    assert run_script("-c", code).stdout == "set()\n"
