"""Sets of images: the same images whichever way they are asked for, and one sentence for what is none."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from mmdgan import sampling
from mmdgan.core.errors import DataError
from mmdgan.data import ImageData, Pipeline
from mmdgan.metrics import sets
from mmdgan.metrics.comparison import FolderSet, open_images
from mmdgan.metrics.sets import ArraySet, DataSet, GeneratedSet

pytestmark = pytest.mark.filterwarnings("error::DeprecationWarning:mmdgan")


def _images(count=23, side=8, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), dtype=np.uint8)


def _data(images, labels=True):
    numbers = np.arange(len(images)) % 3 if labels else None
    names = ("a", "b", "c") if labels else ()
    return ImageData("stripes", images.transpose(0, 3, 1, 2).copy(), numbers, names, len(names))


def _folder(path, images, classes=("",), suffix="png"):
    for index, image in enumerate(images):
        folder = path / classes[index % len(classes)]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(folder / f"{index:04}.{suffix}")
    return path


def _all(images, size=5):
    return np.concatenate(list(images.batches(size)))


def _check(images, expected):
    """All that a set promises, for the images that it should hold."""
    assert images.count == len(expected) and images.shape == expected.shape[1:]
    for size in (1, 7, 100):
        parts = list(images.batches(size))
        assert [len(part) for part in parts[:-1]] == [size] * (len(parts) - 1) and parts[0].dtype == np.uint8
        np.testing.assert_array_equal(np.concatenate(parts), expected)
    places = np.array([3, 0, 3, len(expected) - 1])
    np.testing.assert_array_equal(images.take(places), expected[places])
    np.testing.assert_array_equal(_all(images.first(4)), expected[:4])
    some = images.chosen(np.array([5, 2, 4])).chosen(np.array([2, 0]))
    np.testing.assert_array_equal(_all(some), expected[[4, 5]])
    if images.labels is not None:
        assert images.labels.dtype == np.int64 and images.labels.shape == (len(expected),)
        np.testing.assert_array_equal(some.labels, images.labels[[4, 5]])
    prints = [images.fingerprint(), images.first(4).fingerprint(), some.fingerprint()]
    prints.append(images.chosen(np.array([4, 2])).fingerprint())
    assert len(set(prints)) == 4 and all(len(text) == 64 for text in prints)
    assert images.first(len(expected)).count == images.count and images.fingerprint() == prints[0]
    with pytest.raises(DataError, match=f"{len(expected) + 1} images of .* are wanted; it holds {len(expected)}"):
        images.first(len(expected) + 1)


def test_arrays():
    images = _images()
    _check(ArraySet(images, np.arange(23)[:, None]), images)
    _check(ArraySet(images), images)
    other = images.copy()
    other[-1, -1, -1, -1] ^= 1
    prints = [
        ArraySet(images),
        ArraySet(other),
        ArraySet(images, np.zeros(23, int)),
        ArraySet(images, np.ones(23, int)),
    ]
    prints += [ArraySet(images.reshape(23, 4, 16, 3)), ArraySet(images[:-1])]
    assert len({part.fingerprint() for part in prints}) == 6
    assert ArraySet(images).first(9).fingerprint() == ArraySet(images[:9]).fingerprint()


def test_batches_smaller_and_larger_than_a_block(monkeypatch):
    monkeypatch.setattr(sets, "BLOCK_BYTES", 192 * 4)
    _check(ArraySet(_images()), _images())


@pytest.mark.parametrize(
    "images, reason",
    [
        (_images().astype(np.float32), r"float32 .* become uint8 by rint"),
        (_images().transpose(0, 3, 1, 2), r"\(23, 3, 8, 8\) where .* transpose them by \(0, 2, 3, 1\)"),
        (_images()[..., 0], r"add the axis of channels"),
        (_images()[:0], r"at least one of them"),
        (_images(channels=4), r"\(23, 8, 8, 4\) where uint8 images \(N, H, W, 1 or 3\) are expected\."),
    ],
)
def test_arrays_of_another_form_are_refused_with_what_mends_them(images, reason):
    with pytest.raises(DataError, match=reason):
        ArraySet(images, name="mine")
    with pytest.raises(DataError, match=r"labels of mine are int64 \(22,\) where 23 images"):
        ArraySet(_images(), np.zeros(22, int), name="mine")


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
def test_folders_of_classes(tmp_path, suffix):
    images = _images()
    path = _folder(tmp_path / "pictures", images, ("cat", "ant"), suffix)
    (path / "cat" / "notes.txt").write_text("no picture")
    order = [*range(1, 23, 2), *range(0, 23, 2)]  # ant, then cat
    found = FolderSet(path)
    if suffix == "webp":  # not lossless: what Pillow itself decodes
        files = sorted(path.rglob("*.webp"))
        _check(found, np.stack([np.asarray(Image.open(file)) for file in files]))
    else:
        _check(found, images[order])
    assert found.class_names == ("ant", "cat") and found.labels.tolist() == [0] * 11 + [1] * 12


def test_plain_folders_archives_and_their_fingerprints(tmp_path):
    images = _images()
    path = _folder(tmp_path / "samples", images)
    found = FolderSet(path)
    assert found.labels is None and found.class_names == () and found.name == "samples"
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        for file in sorted(path.iterdir()):
            archive.write(file, f"inner/{file.name}")
    packed = FolderSet(tmp_path / "packed.zip")
    _check(packed, images)
    assert packed.fingerprint() == found.fingerprint()
    (path / "0022.png").rename(path / "zzzz.png")
    assert FolderSet(path).fingerprint() == found.fingerprint()
    (path / "zzzz.png").rename(path / "0000a.png")
    assert FolderSet(path).fingerprint() != found.fingerprint()


def test_grey_folders_stay_grey_unless_one_is_in_colours(tmp_path):
    grey = _images(channels=1)
    path = _folder(tmp_path / "grey", grey)
    _check(FolderSet(path), grey)
    Image.fromarray(np.repeat(grey[0], 3, -1)).save(path / "0001.png")
    found = FolderSet(path)
    assert found.shape == (8, 8, 3)
    np.testing.assert_array_equal(found.take(np.array([5]))[0], np.repeat(grey[5], 3, -1))


def test_folders_that_cannot_be_scored(tmp_path):
    path = _folder(tmp_path / "mixed", _images(5))
    Image.fromarray(_images(1, 9)[0]).save(path / "0003.png")
    with pytest.raises(DataError, match=r"0003.png is 9x9 pixels where those before it are 8x8: .*--size SIZE"):
        FolderSet(path)
    (path / "0003.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"0003.png cannot be read as an image of PNG.*; remove it"):
        FolderSet(path)
    (path / "0003.png").unlink()
    found = FolderSet(path)
    content = (path / "0002.png").read_bytes()
    (path / "0002.png").write_bytes(content[:-20] + bytes(20))
    with pytest.raises(DataError, match=r"0002.png has changed since it was listed"):
        _all(found)
    with pytest.raises(DataError, match=r"0002.png is (truncated|damaged).*; remove it"):
        _all(FolderSet(path))
    with pytest.raises(DataError, match="holds no pictures"):
        FolderSet(tmp_path / "nothing")
    parts = _folder(tmp_path / "parts", _images(6), ("train", "test"))
    with pytest.raises(DataError, match="holds the parts test, train of a data set: name the folder of one"):
        FolderSet(parts)


@pytest.fixture(autouse=True)
def nothing(tmp_path):
    (tmp_path / "nothing").mkdir()


@pytest.mark.parametrize("labels", [True, False])
def test_data_sets_are_the_pipelines_real_images(labels):
    images = _images(60)
    data = _data(images, labels)
    found = DataSet(data, 40, seed=3)
    _check(found, Pipeline(data, 1).real_images(40, 3))
    assert found.class_names == data.class_names and (found.labels is None) == (not labels)
    np.testing.assert_array_equal(images[found.indices], _all(found))
    _check(DataSet(data, seed=None), images)
    assert sorted(DataSet(data).indices) == [*range(60)]
    prints = {
        DataSet(data, 40, 3).fingerprint(),
        DataSet(data, 40, 4).fingerprint(),
        DataSet(data, 41, 3).fingerprint(),
    }
    other = _data(_images(60, seed=1), labels)
    assert len(prints | {DataSet(other, 40, 3).fingerprint()}) == 4
    with pytest.raises(DataError, match="61 images of stripes are wanted; it holds 60"):
        DataSet(data, 61)


def test_stored_data_sets(tmp_path):
    from mmdgan.data import open_data
    from mmdgan.data.preparation.prepare import prepare

    source = _folder(tmp_path / "pictures", _images(30), ("a", "b"))
    prepare(f"folder:{source}", name="mine", size=8, data_root=tmp_path / "Data", say=lambda text: None)
    memory, stream = (open_data("mine", data_root=tmp_path / "Data", cache=cache) for cache in ("memory", "stream"))
    assert stream.mode == "stream"
    _check(DataSet(stream, 20, 5), Pipeline(memory, 1).real_images(20, 5))
    np.testing.assert_array_equal(DataSet(stream, 20, 5).labels, DataSet(memory, 20, 5).labels)
    assert DataSet(stream, 20, 5).fingerprint() == DataSet(memory, 20, 5).fingerprint()
    opened = open_images("mine", data_root=tmp_path / "Data", count=20, seed=5, say=lambda text: None)
    np.testing.assert_array_equal(_all(opened), _all(DataSet(memory, 20, 5)))


def test_generated_images_are_those_that_are_scored(tiny_architecture, monkeypatch):
    from mmdgan import build_generator
    from mmdgan.design import load_architecture

    generator = build_generator(load_architecture(tiny_architecture))
    expected = sampling.generate(generator, sampling.score_codes(23, 8, 7))
    monkeypatch.setattr(sets, "_GENERATE_BATCH", 6)
    found = GeneratedSet(generator, 23, 7)
    _check(found, expected)
    assert found.labels is None
    again = GeneratedSet(generator, 23, codes=sampling.score_codes(23, 8, 7))
    assert again.fingerprint() == found.fingerprint() != GeneratedSet(generator, 23, 8).fingerprint()
    assert found.first(9).fingerprint() == GeneratedSet(generator, 9, 7).fingerprint()
    before, weight = found.fingerprint(), generator.trainable_variables[0]
    weight.assign(weight + 1e-2)
    assert found.fingerprint() != before
    with pytest.raises(DataError, match=r"codes are \(23, 9\); the generator takes \(23, 8\)"):
        GeneratedSet(generator, 23, codes=np.zeros((23, 9), np.float32))


def test_conditional_generators_get_labels(tiny_architecture):
    from mmdgan import build_generator
    from mmdgan.design import load_architecture

    architecture = load_architecture(tiny_architecture.replace(":TINY", ":CONDITIONAL"))
    generator = build_generator(architecture, num_class=3)
    scale = next(weight for weight in generator.trainable_variables if weight.path.endswith("scale"))
    scale.assign([[[[1.0] * 6]], [[[2.0] * 6]], [[[3.0] * 6]]])
    codes, labels = sampling.score_codes(9, 8, 1), sampling.score_labels(9, 3, 1)
    found = GeneratedSet(generator, 9, 1)
    _check(found, sampling.generate(generator, codes, labels))
    np.testing.assert_array_equal(found.labels, labels[:, 0])
    one = GeneratedSet(generator, 9, 1, labels=np.full(9, 2))
    _check(one, sampling.generate(generator, codes, np.full((9, 1), 2)))
    assert one.fingerprint() != found.fingerprint()
    with pytest.raises(DataError, match="labels of generated are"):
        GeneratedSet(generator, 9, labels=np.zeros(8, int))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("key", ["images", "arr_0"])
def test_npz_files(tmp_path, save, key):
    images, labels = _images(), np.arange(23)
    save(tmp_path / "mine.npz", **{"codes": np.zeros(3), key: images, "labels": labels})
    found = open_images(tmp_path / "mine.npz", seed=2)
    np.testing.assert_array_equal(_all(found), images[found.labels])
    assert sorted(found.labels) == [*range(23)] and found.labels.tolist() != [*range(23)]
    assert isinstance(found._whole._images, np.memmap)
    few = open_images(tmp_path / "mine.npz", seed=2, count=5)
    np.testing.assert_array_equal(few.labels, found.labels[:5])
    assert open_images(tmp_path / "mine.npz", seed=3).labels.tolist() != found.labels.tolist()


@pytest.mark.parametrize("name", ["A.NPZ", "b.Npz", "images", "c.zip"])
def test_arrays_are_known_by_their_content(tmp_path, name):
    images = _images()
    with (tmp_path / name).open("wb") as file:
        np.savez(file, images=np.asfortranarray(images), class_names=["x", "y"], labels=np.arange(23)[:, None] % 2)
    found = open_images(tmp_path / name)
    assert found.class_names == ("x", "y") and sorted(found.labels) == [0] * 12 + [1] * 11
    assert sorted(map(bytes, _all(found))) == sorted(map(bytes, images))


def test_a_single_array_is_a_set(tmp_path):
    np.save(tmp_path / "a.npy", _images())
    np.save(tmp_path / "b.npy", _images()[..., 0])
    (tmp_path / "c.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:500])
    assert sorted(map(bytes, _all(open_images(tmp_path / "a.npy")))) == sorted(map(bytes, _images()))
    with pytest.raises(DataError, match="b.npy holds .* add the axis of channels"):
        open_images(tmp_path / "b.npy")
    with pytest.raises(DataError, match="c.npy cannot be read"):
        open_images(tmp_path / "c.npy")


NUMBERS = np.arange(23) % 3
LABELS = {
    "one-hot": (np.eye(3, dtype=np.float32)[NUMBERS], ()),
    "one-hot bool": (np.eye(3, dtype=bool)[NUMBERS], ()),
    "floats": (NUMBERS.astype(np.float64)[:, None], ()),
    "texts": (np.array(["ant", "bee", "cat"])[NUMBERS], ("ant", "bee", "cat")),
    "bytes": (np.array([b"ant", b"bee", b"cat"])[NUMBERS], ("ant", "bee", "cat")),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_in_other_forms_are_read(tmp_path, kind):
    labels, names = LABELS[kind]
    np.savez(tmp_path / "mine.npz", images=_images(), labels=labels)
    found = open_images(tmp_path / "mine.npz", seed=2)
    np.savez(tmp_path / "numbers.npz", images=_images(), labels=NUMBERS)
    np.testing.assert_array_equal(found.labels, open_images(tmp_path / "numbers.npz", seed=2).labels)
    assert found.class_names == names


@pytest.mark.parametrize(
    "labels",
    [
        np.random.default_rng(0).random((23, 3)),
        np.full(23, 0.5),
        np.full(23, np.nan),
        np.arange(22),
        np.array([None] * 23),
        np.ones((23, 3)),
        np.array(3),
    ],
)
def test_labels_of_no_use_are_left_out_aloud(tmp_path, labels):
    np.savez(tmp_path / "mine.npz", images=_images(), labels=labels)
    said = []
    assert open_images(tmp_path / "mine.npz", say=said.append).labels is None
    assert len(said) == 1 and said[0].endswith(": they are left out.")


@pytest.mark.parametrize(
    "pixels, to_bytes",
    [
        (_images() / 127.5 - 1, lambda x: np.rint((x + 1) * 127.5).astype("uint8")),
        ((_images() / 255).astype(np.float32), lambda x: np.rint(x * 255).astype("uint8")),
        (_images().astype(np.float32), lambda x: np.rint(x).astype("uint8")),
        (_images().astype(np.int64), lambda x: x.astype("uint8")),
        (_images().astype(np.uint16) * 257, lambda x: (x // 257).astype("uint8")),
        (_images() > 128, lambda images: images.astype("uint8") * 255),
        ((_images() / 255).transpose(0, 3, 1, 2), None),
    ],
)
def test_the_way_to_bytes_is_that_of_the_values(pixels, to_bytes):
    with pytest.raises(DataError) as refused:
        ArraySet(pixels, name="mine")
    words = str(refused.value)
    if to_bytes is None:
        assert "transpose them by (0, 2, 3, 1); values in [0, 1] become uint8" in words
        return
    said = words.partition(" by ")[2].rstrip(".")
    found = eval(said, {"rint": np.rint, "x": pixels, "images": pixels})  # what a user would type
    np.testing.assert_array_equal(found, to_bytes(pixels))
    assert pixels.dtype == bool or (found == _images()).all()


@pytest.mark.parametrize(
    "least, most, words",
    [
        (-3.0, 3.0, r"lie in \[-3, 3\]"),
        (0.0, 1.02, r"lie in \[0, 1.02\]"),
        (-1.1, 1.0, r"lie in \[-1.1, 1\]"),
        (0, np.inf, "infinities or NaN"),
        (np.nan, 1, "infinities or NaN"),
    ],
)
def test_values_of_no_usual_range_are_named(least, most, words):
    pixels = np.full((2, 8, 8, 3), 0.5)
    pixels[0, 0, 0, 0], pixels[1, 0, 0, 0] = least, most
    with pytest.raises(DataError, match=words):
        ArraySet(pixels)


def test_what_is_no_set_of_images_is_one_sentence(tmp_path):
    np.savez(tmp_path / "none.npz", codes=np.zeros(3))
    np.savez(tmp_path / "objects.npz", images=np.array([None, 1]))
    np.savez(tmp_path / "float.npz", images=np.zeros((2, 8, 8, 3)))
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "some.txt").write_text("text")
    whole = tmp_path / "whole.npz"
    np.savez_compressed(whole, images=_images())
    (tmp_path / "half.npz").write_bytes(whole.read_bytes()[:1000])
    content = bytearray(whole.read_bytes())
    content[2000] ^= 255
    (tmp_path / "damaged.npz").write_bytes(content)
    for name, reason in (
        ("none.npz", "none.npz holds codes and no images: .* under the key images, arr_0, x or x_train"),
        ("objects.npz", "objects.npz cannot be read .* Python objects"),
        ("float.npz", r"float.npz holds float64 \(2, 8, 8, 3\) where .* rint"),
        ("text.npz", "text.npz cannot be read as a .npz file"),
        ("half.npz", "half.npz cannot be read as a .npz file"),
        ("damaged.npz", "damaged.npz cannot be read as a .npz file"),
        ("gone.npz", "no folder or file .*gone.npz: name a folder of pictures, a .npz file or a data set"),
        ("gone", "no folder or file .*gone:"),
        ("some.txt", "some.txt is neither a folder of pictures nor an archive of one nor a .npz"),
        ("nothing", "nothing holds no pictures"),
    ):
        with pytest.raises(DataError, match=reason):
            open_images(tmp_path / name, data_root=tmp_path)
    with pytest.raises(DataError, match="no data set named 'cifr10' .did you mean cifar10"):
        open_images("cifr10", data_root=tmp_path)
    with pytest.raises(DataError, match="24 images of .*whole.npz are wanted; it holds 23"):
        open_images(whole, count=24)


def test_a_folder_named_like_a_data_set_is_taken_aloud(tmp_path, monkeypatch):
    _folder(tmp_path / "cifar10", _images(5))
    monkeypatch.chdir(tmp_path)
    said = []
    assert open_images("cifar10", data_root=tmp_path / "Data", say=said.append).count == 5
    assert said == ["The images are those of the folder cifar10, not of the data set of that name."]
    assert open_images("sample", count=7, say=said.append).shape == (32, 32, 3)
