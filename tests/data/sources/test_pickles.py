"""The reader of pickles: equal to Python's own where it answers, and harmless where it does not."""

from __future__ import annotations

import collections
import datetime
import gzip
import os
import pickle
import struct
import time

import numpy as np
import pytest

from mmdgan.core.errors import DataError
from mmdgan.data.sources import pickles
from mmdgan.data.sources.imagenet import read_mapping
from tests.helpers import handmade, handmade_binaries as made


def equal(a, b) -> bool:
    """Whether two values are of the same types and content, at any depth."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


PLAIN = {
    "text": "Grüße",
    b"bytes": b"\x00\xff" * 200,
    "empty": [b"", "", (), [], {}, None],
    "numbers": [0, 255, 256, 65536, -1, 2**31, -(2**40), 2**2000, 0.5, True, False],
    "nested": {"a": [(1, 2), (1, 2, 3), (1, 2, 3, 4), ({"b": [b"c"]},)]},
    7: "seven",
}
ARRAYS = [
    np.arange(12, dtype=np.uint8).reshape(3, 4),
    np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    np.arange(5, dtype=">i4"),
    np.zeros((0, 3), np.float32),
    np.array(True),
]


@pytest.mark.parametrize("protocol", range(6))
def test_what_python_writes(protocol):
    def read(value):
        return pickles.loads(pickle.dumps(value, protocol), "x")

    assert equal(read(PLAIN), PLAIN)
    shared = [1]
    assert equal(read([shared, shared, {"c": shared}]), [shared, shared, {"c": shared}])
    if protocol >= 2:  # before, arrays' types are called by way of copyreg, which nobody needs
        assert equal(read({"arrays": ARRAYS, "again": ARRAYS[0]}), {"arrays": ARRAYS, "again": ARRAYS[0]})
        assert equal(read(ARRAYS[0]), ARRAYS[0])


def test_what_python_2_wrote():
    pictures, labels = handmade.images(300), np.arange(300) % 10
    content = made.python2_batch(pictures, labels)
    batch = pickles.loads(content, "x")
    assert equal(batch, pickle.loads(content, encoding="bytes"))
    assert np.array_equal(batch[b"data"].reshape(pictures.shape), pictures) and batch[b"labels"] == labels.tolist()
    meta = pickles.loads(made.python2_names(), "x")
    assert equal(meta, pickle.loads(made.python2_names(), encoding="bytes"))
    assert meta[b"label_names"] == [name.encode() for name in made.CLASSES]
    for module in (b"numpy._core.multiarray", b"numpy.core.multiarray"):  # NumPy 2 moved it
        moved = pickles.loads(content.replace(b"numpy.core.multiarray", module), "x")
        assert np.array_equal(moved[b"data"], batch[b"data"])


class Calls:
    """Pickles as a call of any function."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


def test_what_is_refused(tmp_path):
    hole = tmp_path / "hole"
    structured = np.zeros(2, [("a", "u1"), ("b", "f4")])
    for value, message in (
        (Calls(os.system, f"touch {hole}"), "asks for (posix|nt).system, which no data set needs"),
        (Calls(eval, f"open({str(hole)!r}, 'w')"), "asks for (builtins|__builtin__).eval"),
        (Calls(getattr, b"", "join"), "asks for (builtins|__builtin__).getattr"),
        (Calls(np.fromfile, str(hole)), "asks for numpy.*fromfile"),
        (Calls(np.load, str(hole)), "asks for numpy.*load"),
        (collections.OrderedDict(a=1), "asks for collections.OrderedDict"),
        (datetime.date(2020, 1, 1), "asks for datetime.date"),
        ({1, 2}, "asks for (builtins|__builtin__).set|holds the opcode EMPTY_SET"),
        (np.uint8(3), "asks for numpy.*scalar"),
        (np.ma.masked_array([1]), "asks for numpy"),
        (np.array([1, "a"], object), "holds an array of type O8, which is not a number"),
        (np.array(["a"]), "holds an array of type U1, which is not a number"),
        (np.array([0], "M8[s]"), "holds an array of type M8, which is not a number"),
        (structured, "holds an array of type V5, which is not a number"),
        ({(1, 2): 3}, "has a key of type tuple"),
        ([np.dtype("u1")], "holds an unfinished array"),
        ([np.ndarray], "holds an unfinished array"),
        (1 + 2j, "asks for (builtins|__builtin__).complex"),
    ):
        for protocol in (2, 4, 5):
            with pytest.raises(DataError, match=f"batch_1 (is damaged.*)?({message})"):
                pickles.loads(pickle.dumps(value, protocol), "batch_1")
    assert not hole.exists()


def array_state(shape=(2,), code="u1", order="|", content=b"ab", fortran=False):
    """The opcodes of an array whose parts need not fit."""

    def parts(*values):
        return b"(" + b"".join(pickle.dumps(value, 2)[2:-1] for value in values) + b"t"

    dtype = b"cnumpy\ndtype\n" + parts(code, False, True) + b"R" + parts(3, order, None, None, None, -1, -1, 0) + b"b"
    data = b"U" + bytes([len(content)]) + content if isinstance(content, bytes) else pickle.dumps(content, 2)[2:-1]
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    flag = b"\x88" if fortran else b"\x89"
    return b"\x80\x02" + empty + b"(K\x01" + pickle.dumps(shape, 2)[2:-1] + dtype + flag + data + b"tb."


def test_arrays_that_lie():
    assert pickles.loads(array_state(), "x").tolist() == [97, 98]
    assert pickles.loads(array_state((2, 1), fortran=True), "x").tolist() == [[97], [98]]
    assert pickles.loads(array_state((1,), "u2", ">"), "x").tolist() == [97 * 256 + 98]
    for state in (
        array_state((3,)),
        array_state((1,)),
        array_state((2**62, 2**62)),
        array_state((-1, -2)),
        array_state((2.0,)),
        array_state([2]),
        array_state(None),
        array_state((1,) * 70 + (2,)),
        array_state(code="u3"),
        array_state(code="O8"),
        array_state(code=["u1"]),
        array_state(order="S"),
        array_state(order=None),
        array_state(content="ab"),
        array_state(content=[1, 2]),
    ):
        with pytest.raises(DataError, match="^x (holds|is damaged)"):
            pickles.loads(state, "x")


def hostile():
    """Pickles that hurt an unpickler which trusts them."""
    nested = b")" + b"\x85" * 150_000
    return {
        "a key that is nested many times": b"\x80\x02}" + nested + b"K\x01s.",
        "a name that is nested": b"\x80\x04" + nested + b"\x8c\x01x\x93.",
        "a call of what is nested": b"\x80\x04" + nested + b")R.",
        "a type that is nested": b"\x80\x02cnumpy\ndtype\n" + nested + b"\x85R.",
        "an encoding that is nested": b"\x80\x02c_codecs\nencode\nX\1\0\0\0a" + nested + b"\x86R.",
        "a memo of four thousand million places": b"\x80\x02]r\xff\xff\xff\xff.",  # refused where it is not a dict
        "a string of 4 GB": b"\x80\x02T" + struct.pack("<I", 2**32 - 1) + b"x.",
        "bytes of 2**63": b"\x80\x04\x8e" + struct.pack("<Q", 2**63) + b"x.",
        "a frame of 2**63": b"\x80\x04\x95" + struct.pack("<Q", 2**63 - 1) + b"N.",
        "one text encoded again and again": b"\x80\x02c_codecs\nencode\nq\x00X\0\0\x10\0"
        + b"a" * 2**20
        + b"q\x01X\x06\0\0\0latin1\x86q\x02("
        + b"h\x00h\x02R" * 100_000
        + b"t.",
        "millions of opcodes": b"\x80\x02" + b"N)" * 200_000 + b"N.",
        "lists without end": b"\x80\x02(" + b"]" * 400_000 + b"l.",
        "an integer of a million digits": b"L" + b"9" * 1_000_000 + b"L\n.",
    }


@pytest.mark.parametrize("name", hostile())
def test_hostile_pickles(name, monkeypatch):
    monkeypatch.setattr(pickles, "OPCODES", 300_000)
    start = time.process_time()
    try:
        pickles.loads(hostile()[name], "mine")
    except DataError as error:
        assert str(error).startswith("mine ") and len(str(error)) < 400
    else:
        assert "memo" in name or "frame" in name  # harmless here
    assert time.process_time() - start < 20


def test_length_is_limited(monkeypatch):
    monkeypatch.setattr(pickles, "LIMIT", 100)
    with pytest.raises(DataError, match="x is a pickle of more than 100 bytes"):
        pickles.loads(pickle.dumps("a" * 100), "x")


def test_truncated_and_flipped_pickles():
    content = made.python2_batch(handmade.images(2), [1, 2])
    lengths = [*range(60), *range(len(content) - 200, len(content)), *range(60, len(content), 97)]
    for length in lengths:
        with pytest.raises(DataError, match="^x is damaged or not a pickle"):
            pickles.loads(content[:length], "x")
    random, answered = np.random.default_rng(0), 0
    for source in (content, pickle.dumps({"a": ARRAYS, "b": PLAIN}, 4), made.python2_names()):
        head = min(400, len(source))
        for _ in range(1000):
            broken = bytearray(source)
            broken[random.integers(head)] = random.integers(256)
            try:
                pickles.loads(bytes(broken), "x")
                answered += 1
            except DataError as error:
                assert str(error).startswith("x ") and len(str(error)) < 400
    assert 100 < answered < 2900


def test_mappings(tmp_path):
    file, pairs = tmp_path / "maps.pklz", [("a.JPEG", "n01"), ("b.JPEG", "n02")]
    for value in (
        dict(pairs),
        {key.encode(): label.encode() for key, label in pairs},
        pairs,
        [list(pair) for pair in pairs],
        (["n01", "n02"], pairs),  # as MXNet's imagenet_val_maps.pklz
        ({"n01": 0}, [*pairs, pairs[0]]),
    ):
        for pack in (gzip.compress, bytes):
            file.write_bytes(pack(pickle.dumps(value, 2)))
            assert dict(pickles.load_pairs(file)) == dict(pairs)
    file.write_bytes(b"(dp0\nS'a.JPEG'\np1\nS'n01'\np2\ns.")  # Python 2, protocol 0
    assert pickles.load_pairs(file) == [("a.JPEG", "n01")]


def test_faulty_mappings_are_named(tmp_path):
    file = tmp_path / "maps.pklz"
    for value, message in (
        ({"a": 1}, "holds a value of type int where a text is expected"),
        ([("a", "n01", "x")], "holds neither a dict nor a list of pairs"),
        ("a n01", "holds neither a dict nor a list of pairs"),
        (3, "holds neither a dict nor a list of pairs"),
        (Calls(os.system, "true"), "asks for (posix|nt).system"),
    ):
        file.write_bytes(gzip.compress(pickle.dumps(value, 2)))
        with pytest.raises(DataError, match=f"maps.pklz {message}"):
            pickles.load_pairs(file)
    file.write_bytes(gzip.compress(pickle.dumps([("a", "n01"), ("a", "n02")], 2)))
    with pytest.raises(DataError, match="Entry 2 of .*maps.pklz gives a a second class, n02"):
        read_mapping(file, [])
    file.write_bytes(gzip.compress(pickle.dumps({"a": "n01"}, 2))[:-3])
    with pytest.raises(DataError, match="maps.pklz is damaged or truncated"):
        pickles.load_pairs(file)
    with pytest.raises(DataError, match="missing cannot be read"):
        pickles.load_pairs(tmp_path / "missing")
