"""Random folders of random images: each becomes what Pillow alone makes of it, or is named."""

from __future__ import annotations

import io
import warnings

import numpy as np
from hypothesis import given, settings, strategies as st
from PIL import Image

from mmdgan.data.preparation.convert import convert
from mmdgan.data.preparation.geometry import Geometry
from mmdgan.data.records.reader import read_records
from mmdgan.data.sources import folders
from tests.helpers import handmade_archives as made

FORMS = {
    "png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "jpg": ("L", "RGB", "CMYK"),
    "tif": ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"),
    "webp": ("RGB", "RGBA"),
    "bmp": ("1", "L", "P", "RGB"),
    "gif": ("L", "P"),
}
SIDE = st.integers(1, 20)


@st.composite
def files(draw):
    """(name, content): an image of any mode, rarely cut short, empty or something else."""
    form = draw(st.sampled_from(sorted(FORMS)))
    mode, size, seed = draw(st.sampled_from(FORMS[form])), (draw(SIDE), draw(SIDE)), draw(st.integers(0, 999))
    rng = np.random.default_rng(seed)
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 2**16, size[::-1], np.uint16))
    else:
        image = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), np.uint8)).convert(mode)
    stream = io.BytesIO()
    image.save(stream, {"jpg": "jpeg", "tif": "tiff"}.get(form, form))
    content = stream.getvalue()
    damage = draw(st.sampled_from(["none"] * 8 + ["cut", "empty", "text"]))
    content = {"cut": content[: len(content) // 2], "empty": b"", "text": b"no image"}.get(damage, content)
    folder = draw(st.sampled_from(["", "a/", "b/", "b/c/", "ü d/"]))
    return f"{folder}{draw(st.integers(0, 99))}.{form}", content


def expected(content: bytes) -> np.ndarray | None:
    """uint8 (3, 8, 8) by Pillow alone, after the original's rule; None for what cannot be read."""
    try:
        with warnings.catch_warnings(action="ignore"):
            image = Image.open(io.BytesIO(content))
            image.load()
    except (OSError, SyntaxError):
        return None
    if image.mode.startswith("I"):
        image = Image.fromarray(np.round(np.asarray(image).astype(np.float64) / 257).astype(np.uint8))
    if image.mode in ("1", "P", "CMYK"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    factor = min(image.width / 8, image.height / 8)
    sides = [round(side / factor) if abs(side / factor - 8) < 1e-6 else int(side / factor) for side in image.size]
    image = image.resize(sides, Image.Resampling.LANCZOS)
    left, top = (int((side - 8) / 2) for side in sides)
    return np.asarray(image.crop((left, top, left + 8, top + 8)).convert("RGB")).transpose(2, 0, 1)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.integers(), files(), min_size=1, max_size=8), st.sampled_from(["folder", "zip", "tar"]))
def test_random_folders_convert_or_are_named(tmp_path_factory, made_files, form):
    root = tmp_path_factory.mktemp("random")
    members = dict(made_files.values())
    write = {"folder": made.write_files, "zip": made.write_zip, "tar": made.write_tar}[form]
    wanted = {name: expected(content) for name, content in members.items()}
    order = sorted(members, key=lambda name: name.split("/"))
    right = [wanted[name] for name in order if wanted[name] is not None]
    source = folders.find(write(root / "images", members), made.request(labels="none"))
    assert source.count == len(members)
    if not right:
        return
    sidecar = convert(
        source,
        made.request().info,
        root / "out",
        geometry=Geometry((8, 8), (8, 8)),
        options={},
        skip_broken=True,
        workers=1,
        say=lambda line: None,
    )
    images, labels = read_records([root / "out" / shard.file for shard in sidecar.shards], (3, 8, 8))
    assert labels is None and np.array_equal(images, right)
    skipped = [skipped.name for skipped in sidecar.skipped]
    named = [name for name in order if wanted[name] is None]
    assert all(said.endswith(name) for said, name in zip(skipped, named, strict=True))
