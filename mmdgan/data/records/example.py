"""One record of the original's format: an image and its label as a tf.train.Example.

'x' is one bytes feature, the image's uint8 values in (C, H, W) order; 'y', optional, is one int64, its class. The
records hold no shape. TensorFlow is not needed to read or write them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types of protocol buffers
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3  # the fields of a tf.train.Feature
_FOREIGN = "is not a tf.train.Example"

Span = tuple[int, int]  # (first byte, the byte after the last one)


def encode(image: bytes, label: int | None = None) -> bytes:
    """The tf.train.Example of an image and its label: the bytes of TensorFlow's deterministic serialisation."""
    entries = _entry(b"x", _BYTES_LIST, image)
    if label is not None:
        entries += _entry(b"y", _INT64_LIST, _varint(int(label) & 0xFFFFFFFFFFFFFFFF))
    return _field(1, entries)


class Layout:
    """Where image and label stand in one record, and in all others whose bytes around them are the same.

    A record of `overhead` bytes more than its image holds all but the image in its first and last `overhead`
    bytes, wherever the image stands. The methods take these of n records: `heads` and `tails`, uint8 (n, overhead).

    Attributes:
        start: The image's first byte.
        image_bytes: Number of its bytes.
        labelled: Whether there is a label.
    """

    def __init__(self, record: bytes) -> None:
        """Learns the layout from any tf.train.Example with an image, however it was serialised.

        Raises:
            ValueError: The record is something else. The text is the rest of a sentence that begins with the record.
        """
        image, label = _locate(record)
        self.start, self.image_bytes = image[0], image[1] - image[0]
        self.labelled = label is not None
        self._after = len(record) - image[1]
        around = np.frombuffer(record[: image[0]] + record[image[1] :], np.uint8)
        compared = np.full(len(around), 0xFF, np.uint8)
        if label is not None:
            # The highest bits of a varint's bytes say where it ends, the others are free.
            shift = 0 if label[1] <= image[0] else self.image_bytes
            self._label = slice(label[0] - shift, label[1] - shift)
            compared[self._label] = 0x80
        self._compared, self._expected = compared, around & compared

    def matches(self, heads: np.ndarray, tails: np.ndarray) -> np.ndarray:
        """Which records, bool (n,), differ from this layout in nothing but their image and label."""
        return ((self._around(heads, tails) & self._compared) == self._expected).all(axis=1)

    def labels(self, heads: np.ndarray, tails: np.ndarray) -> np.ndarray:
        """The labels, int64 (n,), of records that match."""
        values = np.zeros(len(heads), np.uint64)
        for place, byte in enumerate(self._around(heads, tails)[:, self._label].T):
            values |= (byte & np.uint8(0x7F)).astype(np.uint64) << np.uint64(7 * place)
        return values.view(np.int64)

    def _around(self, heads: np.ndarray, tails: np.ndarray) -> np.ndarray:
        return np.concatenate((heads[:, : self.start], tails[:, tails.shape[1] - self._after :]), axis=1)


def _locate(record: bytes) -> tuple[Span, Span | None]:
    """Where in a tf.train.Example the image's bytes and the label's varint stand; ValueError if they do not."""
    try:
        features = _features(record)
    except (IndexError, ValueError):
        raise ValueError(_FOREIGN) from None
    kind, images = features.get("x", (0, []))
    if kind != _BYTES_LIST or len(images) != 1:
        found = ", ".join(sorted(features)) or "none"
        raise ValueError(f"has no image 'x' of one bytes value (its features: {found})")
    if "y" not in features:
        return images[0], None
    kind, labels = features["y"]
    if kind != _INT64_LIST or len(labels) != 1:
        raise ValueError("has a label 'y' that is not one integer")
    return images[0], labels[0]


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return b"".join((_varint(number << 3 | _BYTES), _varint(len(payload)), payload))


def _entry(name: bytes, kind: int, value: bytes) -> bytes:
    """One feature in the map of an Example."""
    return _field(1, _field(1, name) + _field(2, _field(kind, _field(1, value))))


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(record: bytes, start: int, stop: int) -> tuple[int, int]:
    """The number at `start`, and where it ends."""
    value = 0
    for place in range(10):
        if start + place >= stop:
            break
        byte = record[start + place]
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, start + place + 1
    raise ValueError(_FOREIGN)


def _fields(record: bytes, start: int, stop: int) -> Iterator[tuple[int, int, Span]]:
    """The fields of a message: number, wire type and the span of the value. Groups (proto1) are not read."""
    while start < stop:
        tag, start = _read_varint(record, start, stop)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            end = _read_varint(record, start, stop)[1]
        elif wire == _BYTES:
            length, start = _read_varint(record, start, stop)
            end = start + length
        elif wire in (_FIXED64, _FIXED32):
            end = start + (8 if wire == _FIXED64 else 4)
        else:
            raise ValueError(_FOREIGN)
        if end > stop or not 0 < number < 2**29:
            raise ValueError(_FOREIGN)
        yield number, wire, (start, end)
        start = end


def _features(record: bytes) -> dict[str, tuple[int, list[Span]]]:
    """The features of an Example: their kind (0: empty) and the spans of their values; of equal names the last."""
    features = {}
    for number, wire, span in _fields(record, 0, len(record)):
        if (number, wire) != (1, _BYTES):
            continue
        for number, wire, entry in _fields(record, *span):
            if (number, wire) == (1, _BYTES):
                name, feature = _map_entry(record, entry)
                features[name] = feature
    return features


def _map_entry(record: bytes, span: Span) -> tuple[str, tuple[int, list[Span]]]:
    """The name and the feature; parts of a feature are merged as protocol buffers merge them."""
    name, kind = "", 0
    values: list[Span] = []
    for number, wire, part in _fields(record, *span):
        if (number, wire) == (1, _BYTES):
            name = record[slice(*part)].decode("utf-8")
        elif (number, wire) == (2, _BYTES):
            for found, wire, content in _fields(record, *part):
                if wire == _BYTES and found in (_BYTES_LIST, _FLOAT_LIST, _INT64_LIST):
                    values = values if found == kind else []
                    kind = found
                    values += _values(record, kind, content)
    return name, (kind, values)


def _values(record: bytes, kind: int, span: Span) -> Iterator[Span]:
    """The spans of a list's values; integers may be packed or not."""
    for number, wire, value in _fields(record, *span):
        if number != 1:
            continue
        if kind == _BYTES_LIST and wire == _BYTES or kind == _INT64_LIST and wire == _VARINT:
            yield value
        elif kind == _INT64_LIST and wire == _BYTES:
            start, stop = value
            while start < stop:
                end = _read_varint(record, start, stop)[1]
                yield start, end
                start = end
        elif kind == _FLOAT_LIST and wire == _BYTES and (value[1] - value[0]) % 4:
            raise ValueError(_FOREIGN)
