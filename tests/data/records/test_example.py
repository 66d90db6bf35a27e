"""One record's bytes: against TensorFlow's own Example, records made byte by byte, and known checksums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from mmdgan.data.records.example import Layout, encode
from mmdgan.data.records.framing import FRAME, HEAD, framed, head, masked_crc, masked_crcs
from tests.helpers import handmade

LABELS = [None, 0, 1, 127, 128, 300, 2**31, 2**63 - 1, -1, -128, -(2**63)]


def tensorflow_example(image: bytes, label: int | None):
    import tensorflow as tf

    example = tf.train.Example()
    example.features.feature["x"].bytes_list.value.append(image)
    if label is not None:
        example.features.feature["y"].int64_list.value.append(label)
    return example


def decode(record: bytes) -> tuple[bytes, int | None]:
    """The image and the label of a record, by its own layout."""
    layout, row = Layout(record), np.frombuffer(record, np.uint8)[None]
    around = len(record) - layout.image_bytes
    heads, tails = row[:, :around], row[:, layout.image_bytes :]
    assert layout.matches(heads, tails).all()
    label = int(layout.labels(heads, tails)[0]) if layout.labelled else None
    return record[layout.start : layout.start + layout.image_bytes], label


@pytest.mark.parametrize("data", [b"", b"123456789", bytes(range(256)) * 13])
def test_checksums(data):
    assert masked_crc(data) == handmade.masked_crc32c(data)
    assert framed(data) == handmade.framed(data) == head(len(data)) + data + framed(data)[HEAD - FRAME :]


def test_the_check_value_of_crc32c():
    # RFC 3720 and the catalogue of CRCs give 0xE3069283 for "123456789"; the mask is the TFRecord format's.
    crc = 0xE3069283
    assert masked_crc(b"123456789") == ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) % 2**32


def test_many_checksums_at_once():
    rows = np.random.default_rng(0).integers(0, 256, (50, 90), np.uint8)[:, 7:-3]
    assert masked_crcs(rows, 50).tolist() == [handmade.masked_crc32c(row.tobytes()) for row in rows]


@pytest.mark.parametrize("size", [0, 1, 100, 127, 128, 3072, 16384, 2**21 + 1])
def test_encoding_is_tensorflow_s(size):
    image = np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()
    for label in LABELS if size < 4000 else (None, 9, 200):
        expected = tensorflow_example(image, label).SerializeToString(deterministic=True)
        assert encode(image, label) == expected
        assert decode(expected) == (image, label)


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field, shorter than 128 bytes."""
    return bytes([number << 3 | 2, len(payload)]) + payload


X = handmade.feature("x", b"image")
Y = handmade.feature("y", 300)


def unusual_examples() -> dict[str, bytes]:
    """Serialisations that nobody writes and every reader of protocol buffers takes."""
    y = b"\xac\x02"  # 300
    return {
        "y first": field(1, Y + X),
        "unknown features": field(1, handmade.feature("a", b"1") + X + handmade.feature("z", 5) + Y),
        "not packed": field(1, X + field(1, field(1, b"y") + field(2, field(3, b"\x08" + y)))),
        "value before key": field(1, X + field(1, field(2, field(3, field(1, y))) + field(1, b"y"))),
        "two maps": field(1, X) + field(1, Y),
        "replaced": field(1, handmade.feature("x", b"first") + Y + X),
        "another kind before": field(
            1, X + field(1, field(1, b"y") + field(2, field(1, field(1, b"text")) + field(3, field(1, y))))
        ),
        "in two pieces": field(
            1, X + field(1, field(1, b"y") + field(2, field(3, b"")) + field(2, field(3, field(1, y))))
        ),
        "unknown fields": b"\x78\x05" + field(1, b"\x7d1234" + X + Y) + b"\x79" + bytes(8) + field(9, b"more"),
        "a long varint": field(1, X + field(1, field(1, b"y") + field(2, field(3, field(1, b"\xac\x82\x80\x00"))))),
        "empty floats": field(1, X + Y + field(1, field(1, b"f") + field(2, field(2, field(1, bytes(8)))))),
    }


@pytest.mark.parametrize("what", unusual_examples())
def test_any_serialisation_is_read(what):
    import tensorflow as tf

    record = unusual_examples()[what]
    parsed = tf.train.Example.FromString(record).features.feature
    assert (parsed["x"].bytes_list.value[:], parsed["y"].int64_list.value[:]) == ([b"image"], [300])
    assert decode(record) == (b"image", 300)


def refused() -> dict[str, tuple[bytes, str]]:
    x, two = field(1, b"x"), field(1, b"1") + field(1, b"2")
    return {
        "empty": (b"", r"has no image 'x' of one bytes value \(its features: none\)"),
        "others": (field(1, Y + handmade.feature("image", b"")), r"\(its features: image, y\)"),
        "x is a number": (field(1, handmade.feature("x", 3)), "has no image 'x'"),
        "two images": (field(1, field(1, x + field(2, field(1, two)))), "has no image 'x'"),
        "y is bytes": (field(1, X + handmade.feature("y", b"cat")), "has a label 'y' that is not one integer"),
        "two labels": (
            field(1, X + field(1, field(1, b"y") + field(2, field(3, field(1, b"\1\2"))))),
            "has a label 'y'",
        ),
        "y is empty": (field(1, X + field(1, field(1, b"y"))), "has a label 'y'"),
        "noise": (b"\xff" * 30, "is not a tf.train.Example"),
        "cut": (field(1, X + Y)[:-1], "is not a tf.train.Example"),
        "a huge length": (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "is not a tf.train.Example"),
        "field 0": (b"\x02\x00", "is not a tf.train.Example"),
        "a name that is no text": (field(1, X + field(1, field(1, b"\xff"))), "is not a tf.train.Example"),
        "an endless varint": (b"\x08" + b"\x80" * 11 + b"\0", "is not a tf.train.Example"),
        "half a float": (
            field(1, X + field(1, field(1, b"f") + field(2, field(2, field(1, b"12345"))))),
            "is not a tf.train.Example",
        ),
    }


@pytest.mark.parametrize("what", refused())
def test_what_is_refused(what):
    record, message = refused()[what]
    with pytest.raises(ValueError, match=f"^{message}|{message}"):
        decode(record)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.data())
def test_a_changed_example_is_read_as_tensorflow_reads_it(data):
    """Whatever bytes change, the result is TensorFlow's or a refusal."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    record = bytearray(data.draw(st.sampled_from([*unusual_examples().values(), field(1, X + Y)])))
    for _ in range(data.draw(st.integers(1, 3))):
        record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
    try:
        image, label = decode(bytes(record))
    except ValueError:
        return
    try:
        features = tf.train.Example.FromString(bytes(record)).features.feature
    except DecodeError:
        pytest.fail(f"TensorFlow refuses {bytes(record)!r}")
    assert [image] == features["x"].bytes_list.value[:]
    assert ([] if label is None else [label]) == (features["y"].int64_list.value[:] if "y" in features else [])


@pytest.mark.parametrize("label", [5, 300, -7, None])
@pytest.mark.parametrize("order", ["xy", "yx"])
def test_a_layout_reads_what_decode_reads(label, order):
    """Fifty records with the label's varint of one length, and one that differs outside image and label."""
    random = np.random.default_rng(3)
    size = {5: 128, 300: 2**14 - 128, -7: 2**62, None: 1}[label]
    base = {5: 0, 300: 128, -7: -(2**62), None: 0}[label]
    images = random.integers(0, 256, (50, 40), np.uint8)
    labels = (base + random.integers(0, size, 50)).tolist()
    records = []
    for image, value in zip(images, labels, strict=True):
        entries = {"x": handmade.feature("x", image.tobytes()), "y": b"" if label is None else integer(value)}
        records.append(field(1, b"".join(entries[name] for name in order)))
    layout = Layout(records[0])
    rows = np.frombuffer(b"".join(records), np.uint8).reshape(50, -1)
    around = rows.shape[1] - 40
    heads, tails = rows[:, :around], rows[:, rows.shape[1] - around :]
    assert layout.matches(heads, tails).all() and layout.labelled == (label is not None)
    assert np.array_equal(rows[:, layout.start : layout.start + layout.image_bytes], images)
    if label is not None:
        assert layout.labels(heads, tails).tolist() == labels
    for position in {*range(around), *range(rows.shape[1] - around, rows.shape[1])}:
        changed = rows.copy()
        changed[7, position] ^= 0x80  # in a label's varint, this changes its length
        image = layout.start <= position < layout.start + 40
        fits = layout.matches(changed[:, :around], changed[:, changed.shape[1] - around :])
        assert fits.tolist() == [image or i != 7 for i in range(50)]


def integer(value: int) -> bytes:
    """The feature 'y' as TensorFlow writes it, without the map around it."""
    record = tensorflow_example(b"", value).SerializeToString(deterministic=True)
    return record[record.index(b"\x0a\x01y") - 2 :]
