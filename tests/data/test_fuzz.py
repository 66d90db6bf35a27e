"""Made folders and archives of pictures through `prepare` and `evaluate`'s reading: every pixel and label compared.

The reference is what the pictures were made of, scaled by floats in NumPy; of lossy files, what Pillow decodes.
MMDGAN_FUZZ=2000 tries 2,000 cases.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from mmdgan.core.errors import DataError
from mmdgan.data.open import open_data
from mmdgan.data.preparation.prepare import prepare
from mmdgan.metrics.comparison import FolderSet

CASES = int(os.environ.get("MMDGAN_FUZZ", "100"))
BUNCH = 20
MODES = "1 L LA L-key P P-opacity gif film RGB RGBA RGB-key I;16 CMYK YCbCr jpeg jpeg-grey jpeg-cmyk F".split()
ODDS = [0.99 / (len(MODES) - 1)] * (len(MODES) - 1) + [0.01]  # a picture of the last kind is refused
ENDINGS = {
    "PNG": ".png .PNG .dat .jpg _".split(),
    "TIFF": ".tif .TIFF .png _".split(),
    "JPEG": ".jpg .jpeg .jfif .jpe .JPG .png _".split(),
    "BMP": [".bmp", ".dib"],
    "WEBP": [".webp", ".png"],
    "GIF": ".gif .GIF .png _".split(),
}
NAMES = ["a", "b c", "ünï", "[x]", "c*", "50%", "猫", "d?", "e'f", "-g", "{h}", "i.j"]
TRAIN, TEST = ("train", "Training", "train_set", "images_train"), ("test", "Testing", "TEST", "test_images")
JUNK = {
    "Thumbs.db": b"\xd0\xcf\x11\xe0",
    "notes.txt": b"none",
    ".DS_Store": b"\0",
    "@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg": "picture",
    "__MACOSX/._a.png": b"\0\5\x16\7",
    ".thumbnails/a.png": "picture",
}


def turned(values, orientation):
    """The picture (H, W, ...) as EXIF's orientation 1 .. 8 says it is to be seen (Exif 2.32, 4.6.4 A)."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    rows, columns = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}[
        orientation
    ]
    return values[::rows, ::columns]


def picture(rng, mode, height, width):
    """(content, format, colours (H, W, 3), opacity (H, W), grey) of a file; no colours if it is to be refused."""
    rgb = rng.integers(0, 256, (height, width, 3), np.uint8)
    grey, alpha = rgb[..., 0], rng.choice(np.array([0, 255, 255, 90], np.uint8), (height, width))
    triple, solid, options, form = np.stack([grey] * 3, -1), np.full((height, width), 255), {}, "PNG"
    colours, opacity, is_grey = triple, solid, True
    if mode == "1":
        image, colours = Image.fromarray(grey > 127), np.where(triple > 127, 255, 0)
    elif mode == "L":
        image, form = Image.fromarray(grey), rng.choice(["PNG", "TIFF", "BMP"])
    elif mode == "LA":
        image, opacity = Image.fromarray(np.stack([grey, alpha], -1)), alpha
    elif mode == "L-key":
        image, opacity = Image.fromarray(grey), np.where(grey == grey[0, 0], 0, 255)
        options["transparency"] = int(grey[0, 0])
    elif mode in ("P", "P-opacity", "gif", "film"):
        palette, opacities = rng.integers(0, 256, (256, 3), np.uint8), rng.integers(0, 256, 256, np.uint8)
        image = Image.frombytes("P", (width, height), grey.tobytes())
        image.putpalette(palette.tobytes())
        colours, is_grey = palette[grey], False
        if mode == "P-opacity":
            options["transparency"], opacity = opacities.tobytes(), opacities[grey]
        if mode in ("gif", "film"):
            form = "GIF"
            if rng.random() < 0.5:
                options["transparency"], opacity = int(grey[0, 0]), np.where(grey == grey[0, 0], 0, 255)
        if mode == "film":  # of which the first picture is taken
            options |= {"save_all": True, "append_images": [image.rotate(180)], "loop": 0}
    elif mode in ("RGB", "RGB-key"):
        image, colours, is_grey = Image.fromarray(rgb), rgb, False
        if mode == "RGB-key":
            options["transparency"] = tuple(map(int, rgb[0, 0]))
            opacity = np.where((rgb == rgb[0, 0]).all(-1), 0, 255)
        else:
            form = rng.choice(["PNG", "TIFF", "BMP", "WEBP"])
            options = {"lossless": True} if form == "WEBP" else {}
    elif mode == "RGBA":
        image, colours, opacity, is_grey = Image.fromarray(np.dstack([rgb, alpha])), rgb, alpha, False
        form = rng.choice(["PNG", "WEBP"])
        options = {"lossless": True, "exact": True} if form == "WEBP" else {}
    elif mode == "I;16":
        deep = rng.integers(0, 65536, (height, width)).astype(np.uint16)
        image, form = Image.fromarray(deep), rng.choice(["PNG", "TIFF"])
        colours = np.stack([np.floor(deep / 257 + 0.5)] * 3, -1).astype(int)
    elif mode == "CMYK":
        ink = rng.integers(0, 256, (height, width, 3), np.uint8)
        image = Image.frombytes("CMYK", (width, height), np.dstack([ink, np.zeros_like(grey)]).tobytes())
        colours, form, is_grey = 255 - ink.astype(int), "TIFF", False
    elif mode == "F":
        image, form, colours = Image.fromarray(grey.astype(np.float32)), "TIFF", None
    else:  # lossy: what Pillow decodes
        kind = {"jpeg": "RGB", "jpeg-grey": "L", "jpeg-cmyk": "CMYK", "YCbCr": "YCbCr"}[mode]
        image, form, is_grey = Image.fromarray(rgb).convert(kind), "JPEG", kind == "L"
    orientation = int(rng.integers(1, 9)) if form in ("PNG", "JPEG", "WEBP") and rng.random() < 0.4 else 1
    if orientation > 1:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    stream = io.BytesIO()
    image.save(stream, str(form), **options)
    if form == "JPEG":
        colours = np.asarray(Image.open(io.BytesIO(stream.getvalue())).convert("RGB"))
    if colours is not None:
        colours, opacity = turned(colours, orientation), turned(opacity, orientation)
    return stream.getvalue(), str(form), colours, opacity, is_grey


def weights(before, after):
    """Lanczos with three lobes, stretched where it scales down: float (after, before)."""
    scale = before / after
    distance = (np.arange(before) + 0.5 - ((np.arange(after) + 0.5) * scale)[:, None]) / max(scale, 1)
    found = np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)
    return found / found.sum(1, keepdims=True)


def scaled(values, height, width, passes):
    """Rounded and clipped after each of the two passes; which comes first depends on Pillow's version."""
    for axis in passes:
        matrix = weights(values.shape[axis], (height, width)[axis])
        values = np.clip(np.rint(np.moveaxis(np.tensordot(matrix, values, (1, axis)), 0, axis)), 0, 255)
    return values


def expected(colours, opacity, size, crop, channels, passes):
    """What must result, float (H, W, C), and how far 8 bits may be from it."""
    colours, opacity = colours.astype(float), opacity.astype(float)[..., None]
    allowed = np.zeros_like(opacity)
    (before_h, before_w), factor = colours.shape[:2], 0.0
    if size:
        factor = min(before_w / size, before_h / size)
        width, height = (
            max(int(side / factor), size) if crop or side / factor >= size else int(side / factor)
            for side in (before_w, before_h)
        )
        if (height, width) != (before_h, before_w):
            weighted = scaled(np.rint(colours * opacity / 255), height, width, passes)
            opacity = scaled(opacity, height, width, passes)
            colours = np.where(opacity > 0, np.clip(weighted * 255 / np.maximum(opacity, 1), 0, 255), 0)
            allowed = np.where(opacity > 0, 2 + 3 * 255 / np.maximum(opacity, 1), 255)
        if crop:
            top, left = (height - size) // 2, (width - size) // 2
            colours, allowed = (part[top : top + size, left : left + size] for part in (colours, allowed))
    if channels == 1:
        colours = colours @ np.array([[0.299], [0.587], [0.114]])
        allowed = allowed + 0.51
    return colours, allowed


def stored(rng, files, place):
    """Writes the files as a folder, zip, tar or compressed tar, whatever its ending says; (path, kind)."""
    kind = str(rng.choice(["folder", "folder", "zip", "tar", "tar.gz"]))
    if kind == "folder":
        for name, content in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
        return place, kind
    path = place.with_name(f"{place.name}.{rng.choice(['zip', 'tar', 'tgz', 'dat', kind])}")
    if kind == "zip":
        with zipfile.ZipFile(path, "w", int(rng.choice([0, 8]))) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        form = int(rng.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w", format=form) as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path, kind


def layout(rng, count):
    """(folder of each picture, "" for those of the test split; label of each or None; names of the classes)."""
    kind = str(rng.choice(["flat", "classes", "split", "split of classes", "table"]))
    names = [str(name) for name in rng.permutation(NAMES)]
    if kind in ("flat", "table"):
        return kind, [""] * count, [None] * count, ()
    classes = names[: int(rng.integers(2, 4))] if "classes" in kind else [""]
    order = sorted(classes)
    of_class = [order[k % len(order)] for k in range(count)]
    before = f"{rng.choice(TRAIN)}/" if "split" in kind else ""
    folders = [before + (f"{name}/" if name else "") for name in of_class]
    labels = [order.index(name) for name in of_class] if len(order) > 1 else [None] * count
    return kind, folders, labels, tuple(order) if len(order) > 1 else ()


def one_case(seed, place):
    rng = np.random.default_rng(seed)
    size = [None, 7, 30][rng.integers(3)]
    crop = bool(rng.integers(2)) if size else True
    channels = int(rng.choice([3, 3, 1]))
    alike = size is None or not crop
    count, side = int(rng.integers(4, 8)), (int(rng.integers(8, 20)), int(rng.integers(8, 20)))
    kind, folders, labels, classes = layout(rng, count)
    side = (side[0], side[0]) if alike else side  # orientations swap the sides
    files, made = {}, {}
    for number in range(count):
        height, width = side if alike else rng.integers(5, 24, 2)
        mode = str(rng.choice(MODES, p=ODDS))
        content, form, *facts = picture(rng, mode, int(height), int(width))
        name = f"{folders[number]}{rng.choice(NAMES)}{number}{rng.choice(ENDINGS[form])}".rstrip("_")
        files[name], made[name] = content, (*facts, labels[number], mode)
    if kind == "table":
        given = {name: int(rng.integers(0, 3)) for name in files}
        made = {name: (*facts[:3], given[name], facts[-1]) for name, facts in made.items()}
        classes = tuple(map(str, range(max(given.values()) + 1)))
        files["dataset.json"] = json.dumps({"labels": [[*pair] for pair in given.items()]}).encode()
    top = sorted({name.split("/")[0] + "/" for name in made if "/" in name} | {""})
    for name, content in JUNK.items():
        if rng.random() < 0.3:
            where = str(rng.choice(top))
            files[where + name] = picture(rng, "RGB", 9, 9)[0] if content == "picture" else content
    if kind.startswith("split"):
        other = str(rng.choice(TEST))
        files[f"{other}/{classes[0] + '/' if classes else ''}other.png"] = picture(rng, "RGB", 9, 9)[0]
        if len(classes) > 1:
            files[f"{other}/{classes[1]}/other.png"] = picture(rng, "RGB", 9, 9)[0]
    names = list(files)
    files = {names[index]: files[names[index]] for index in rng.permutation(len(names))}
    path, container = stored(rng, files, place / "pictures")
    order = sorted(made, key=lambda name: name.replace("/", "\0"))
    options = {"name": "mine", "data_root": place / "Data", "size": size, "crop": "center" if crop else "none"}
    refused = "unpack it first" if container == "tar.gz" else "floating-point values"
    if container == "tar.gz" or any(made[name][0] is None for name in order):
        with pytest.raises(DataError, match=refused):
            prepare(f"folder:{path}", workers=1, channels=channels, say=lambda line: None, **options)
        return
    sidecar = prepare(f"folder:{path}", workers=1, channels=channels, say=lambda line: None, **options)
    data = open_data("mine", data_root=place / "Data", cache="memory", say=lambda line: None)
    assert data.count == count and sidecar.class_names == classes, (data.count, count, sidecar.class_names, classes)
    assert (data.labels is None) == (not classes)
    if classes:
        assert data.labels.tolist() == [made[name][3] for name in order]
    for index, name in enumerate(order):
        compare(data.images[index].transpose(1, 2, 0), made[name], size, crop, channels, name)
    if alike and not kind.startswith("split"):
        pictures = FolderSet(path, say=lambda line: None)
        grey = all(made[name][2] for name in order)
        assert pictures.shape == (*side, 1 if grey else 3) and pictures.count == count
        assert (pictures.labels is None) == (not classes)
        for name, found in zip(order, pictures.take(np.arange(count)), strict=True):
            compare(found, made[name], None, True, pictures.shape[2], name)


def compare(found, facts, size, crop, channels, name):
    colours, opacity, _, _, mode = facts
    beyond = []
    for passes in ((1, 0), (0, 1)):
        wanted, allowed = expected(colours, opacity, size, crop, channels, passes)
        assert found.shape == wanted.shape, (name, mode, found.shape, wanted.shape)
        beyond.append((np.abs(found - wanted) - allowed).max())
    assert min(beyond) <= 0, (name, mode, beyond)


@pytest.mark.parametrize("first", range(0, CASES, BUNCH))
def test_made_folders(first, tmp_path):
    for seed in range(first, min(first + BUNCH, CASES)):
        place = tmp_path / str(seed)
        place.mkdir()
        try:
            one_case(seed, place)
        except Exception as error:
            raise AssertionError(f"case {seed}: {type(error).__name__}: {error}") from error
        shutil.rmtree(place)
