"""`prepare`: what a person asks for becomes one data set, once; contradictions and other data are named."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdgan.core.errors import ConfigError, DataError
from mmdgan.data import info, open_data, sources
from mmdgan.data.catalog import CATALOG
from mmdgan.data.preparation.prepare import prepare
from mmdgan.data.preparation.verify import verify
from mmdgan.data.sources import tfds
from mmdgan.data.sources.base import ImageSource, Item, Part
from tests.helpers import handmade
from tests.helpers.made_sources import content_of, encoded, made_source, picture

LABELS = np.arange(20) * 7 % 10


@pytest.fixture
def root(tmp_path):
    return tmp_path / "Data"


@pytest.fixture
def official(tmp_path):
    """CIFAR-10's official binary folder with 20 images and a test batch of one."""
    folder = handmade.cifar_folder(tmp_path / "official", handmade.images(20), LABELS)
    (folder / "test_batch.bin").write_bytes(b"\3" + handmade.images(1, seed=1).tobytes())
    return folder


@pytest.fixture
def photos(tmp_path):
    """Twelve photographs 20 pixels wide and 24 high, of two kinds."""
    for number in range(12):
        folder = tmp_path / "photos" / ("cats", "dogs")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:02}.png").write_bytes(encoded(picture(number, 24, 20)))
    return tmp_path / "photos"


def run(what, root, **options):
    """Prepares; returns (sidecar, lines of progress)."""
    lines: list[str] = []
    return prepare(what, data_root=root, say=lines.append, **options), lines


def pixels_of(root, sidecar):
    """The images of a data set, read byte by byte: (n, C, H, W)."""
    found = []
    size = int(np.prod(sidecar.shape))
    for shard in sidecar.shards:
        for record in handmade.unframed((root / sidecar.name / shard.file).read_bytes()):
            # The image's length, then the image, wherever the feature stands in the record.
            start = record.index(handmade._varint(size), record.index(b"\n\x01x")) + len(handmade._varint(size))
            found.append(np.frombuffer(record, np.uint8, size, start).reshape(sidecar.shape))
    return np.stack(found)


def test_a_data_set_of_the_catalogue(root, official):
    sidecar, lines = run("cifar10", root, source=official)
    assert np.array_equal(pixels_of(root, sidecar), handmade.images(20))
    assert sidecar.options == {"split": "train", "labels": "source", "resize": None, "crop": None}
    assert sidecar.labels and sidecar.class_names[3] == "cat" and "20 images" in lines[0]
    before = content_of(root)
    for options in ({}, {"source": official}, {"labels": "source"}):
        again, lines = run("cifar10", root, **options)
        assert again == sidecar
        assert lines == [f"cifar10 is in {root}/cifar10 already: 20 images, made from {sidecar.origin}"]
    assert content_of(root) == before
    shutil.rmtree(official)
    assert run("cifar10", root, source=official)[0] == sidecar


def test_another_split_has_another_name(root, official):
    sidecar, _ = run("cifar10", root, source=official, split="test")
    assert (sidecar.name, sidecar.count) == ("cifar10_test", 1)
    assert sidecar.options["split"] == "test" and sidecar.options["data"] == "cifar10"
    assert info("cifar10_test", root).shape == (3, 32, 32)
    assert run("cifar10", root, source=official, split="test", name="other")[0].name == "other"
    assert run("cifar10_test", root)[0] == sidecar


def test_other_sizes_and_no_labels(root, official):
    sidecar, _ = run("cifar10", root, source=official, size=16, labels="none", name="small")
    assert sidecar.shape == (3, 16, 16) and not sidecar.labels and sidecar.class_names == ()
    assert sidecar.options["resize"] == sidecar.options["crop"] == [16, 16] and sidecar.options["labels"] == "none"
    first = Image.fromarray(handmade.images(20)[0].transpose(1, 2, 0)).resize((16, 16), Image.Resampling.LANCZOS)
    assert np.array_equal(pixels_of(root, sidecar)[0], np.asarray(first).transpose(2, 0, 1))


def luma(images):
    """ITU-R 601's grey of images (N, 3, H, W), in the fixed point that imaging libraries use."""
    weighted = np.einsum("nchw,c->nhw", images.astype(np.int64), np.array([19595, 38470, 7471]))
    return ((weighted + 0x8000) >> 16).astype(np.uint8)[:, None]


def test_grey_images_of_every_source(root, official, photos, tmp_path):
    grey = [picture(number, 24, 20)[:, :, :1] for number in range(6)]
    for number, pixels in enumerate(grey):
        folder = tmp_path / "scans"
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels[:, :, 0]).save(folder / f"{number}.png")
    kept, lines = run(f"folder:{folder}", root, name="kept", channels=1)
    assert kept.shape == (1, 24, 20) and "stored as RGB" not in lines[0]
    assert np.array_equal(pixels_of(root, kept), np.stack(grey).transpose(0, 3, 1, 2))
    colour, lines = run(f"folder:{folder}", root, name="colour")
    assert colour.shape == (3, 24, 20) and "seem to be grey and are stored as RGB: --channels 1" in lines[0]
    assert np.array_equal(pixels_of(root, colour), pixels_of(root, kept).repeat(3, 1))
    assert not verify(root / "kept", lambda line: None).problems
    for name, sidecar, other in (("kept", kept, None), ("kept", kept, 3), ("colour", colour, 1)):
        found = f"have channels {sidecar.shape[0]}, not {other or 3}: move"
        with pytest.raises(DataError, match=found):
            run(f"folder:{folder}", root, name=name, channels=other)
        assert run(f"folder:{folder}", root, name=name, channels=sidecar.shape[0])[0] == sidecar
    assert run(f"folder:{folder}", root, name="colour")[0] == colour

    made, lines = run(f"folder:{photos}", root, name="photos", channels=1)
    wanted = [luma(picture(number, 24, 20).transpose(2, 0, 1)[None]) for number in (*range(0, 12, 2), *range(1, 12, 2))]
    assert (
        made.labels and np.array_equal(pixels_of(root, made), np.concatenate(wanted)) and "--channels" not in lines[0]
    )
    cifar, _ = run("cifar10", root, source=official, channels=1)
    assert np.array_equal(pixels_of(root, cifar), luma(handmade.images(20)))
    assert info("cifar10", root).shape == (1, 32, 32)
    with pytest.raises(DataError, match="have channels 1, not 3"):
        run("cifar10", root, source=official)
    with pytest.raises(ConfigError, match="channels is 2; give 1 for grey images or 3 for RGB"):
        run("cifar10", root, source=official, channels=2)


def test_a_size_lifts_the_catalogue_s_demands_on_the_source(root, tmp_path):
    folders = handmade.class_folders(tmp_path / "large", handmade.images(20, shape=(3, 40, 40)), LABELS)
    with pytest.raises(DataError, match="is 40x40 pixels where 32x32 are expected"):
        run("cifar10", root, source=folders)
    assert run("cifar10", root, source=folders, size=32)[0].shape == (3, 32, 32)


def test_what_was_made_otherwise_is_not_taken_for_it(root, official, tmp_path):
    run("cifar10", root, source=official)
    before = content_of(root)
    other = handmade.cifar_folder(tmp_path / "other", handmade.images(10), LABELS[:10])
    cases = {
        "have resize none, not 16 x 16: move": {"size": 16},
        "have labels source, not none": {"labels": "none"},
        r"were made from CIFAR-10 binary .*official \(5 files, 61,460 bytes\), not from .*other": {"source": other},
        "have split train, not test": {"split": "test", "name": "cifar10", "source": official},
    }
    for message, options in cases.items():
        with pytest.raises(DataError, match=message):
            run("cifar10", root, **options)
    with pytest.raises(DataError, match="not from .*nowhere as it is now"):
        run("cifar10", root, source=tmp_path / "nowhere")
    handmade.cifar_folder(official, handmade.images(15), LABELS[:15])
    with pytest.raises(DataError, match="as it is now: move .*cifar10 aside"):
        run("cifar10", root, source=official)
    assert content_of(root) == before


@pytest.fixture
def faces(tmp_path):
    """CelebA with two images and two attributes."""
    folder = tmp_path / "img_align_celeba"
    folder.mkdir()
    for number in (1, 2):
        Image.fromarray(picture(number, 218, 178)).save(folder / f"00000{number}.png")
    (tmp_path / "list_attr_celeba.txt").write_text("2\nMale Smiling\n000001.jpg 1 -1\n000002.jpg -1 1\n")
    return folder


def test_classes_that_were_made_otherwise_are_not_taken_for_them(root, faces, tmp_path, monkeypatch):
    sidecar = run("celeba", root, source=faces, labels="source")[0]
    assert sidecar.class_names == ("not Male", "Male")
    for options in ({"attributes": "Male"}, {"labels": "source"}, {}):
        assert run("celeba", root, source=faces, **options)[0] == sidecar
    with pytest.raises(DataError, match="have attributes Male, not Smiling: move"):
        run("celeba", root, source=faces, attributes="Smiling")
    run("celeba", root, source=faces, attributes="Smiling", name="smiling")
    with pytest.raises(DataError, match="have attributes Smiling, not Male: move"):
        run("celeba", root, source=faces, labels="source", name="smiling")

    photos = tmp_path / "val"
    photos.mkdir()
    for number in (1, 2):
        Image.fromarray(picture(number, 128, 128)).save(photos / f"ILSVRC2012_val_{number}.png")
    (tmp_path / "map.txt").write_text("ILSVRC2012_val_1.JPEG n00000001\nILSVRC2012_val_2.JPEG n00000002\n")
    monkeypatch.setitem(CATALOG, "imagenet", dataclasses.replace(CATALOG["imagenet"], num_class=2))
    options = {"source": photos, "split": "validation"}
    assert not run("imagenet", root, **options)[0].labels
    with pytest.raises(DataError, match="have mapping none, not .*map.txt: move"):
        run("imagenet", root, mapping=tmp_path / "map.txt", **options)


def test_a_set_of_one_s_own_is_not_taken_for_one_of_the_catalogue(root, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "1.png").write_bytes(encoded(picture(1, 32, 32)))
    run(f"folder:{folder}", root, name="mine")
    with pytest.raises(DataError, match="have data mine, not cifar10"):
        run("cifar10", root, name="mine")


def test_a_folder_of_any_name_and_its_classes_are_known_again(root, photos):
    folder = photos.rename(photos.with_name("my\u00a0photos\u3000"))  # spaces that are not printable
    sidecar = run(f"folder:{folder}", root, name="mine")[0]
    assert run(f"folder:{folder}", root, name="mine")[0] == sidecar
    assert open_data("mine", data_root=root, source=folder).count == 12
    (folder / "cats").rename(folder / "birds")
    with pytest.raises(DataError, match="as it is now"):
        run(f"folder:{folder}", root, name="mine")
    assert run(f"folder:{folder}", root, name="all", labels="none")[0] == run(f"folder:{folder}", root, name="all")[0]


def test_one_s_own_images(root, photos):
    sidecar, _ = run(f"folder:{photos}", root, name="mine", size=16)
    assert sidecar.shape == (3, 16, 16) and sidecar.class_names == ("cats", "dogs") and sidecar.count == 12
    for found, number in zip(pixels_of(root, sidecar), [*range(0, 12, 2), *range(1, 12, 2)], strict=True):
        scaled = Image.fromarray(picture(number, 24, 20)).resize((16, 19), Image.Resampling.LANCZOS)
        assert np.array_equal(found, np.asarray(scaled)[1:17].transpose(2, 0, 1))
    assert info("mine", root).num_class == 2
    assert run("mine", root)[0] == sidecar == run(f"folder:{photos}", root, name="mine", size=16)[0]
    with pytest.raises(DataError, match="have crop 16 x 16, not none"):
        run(f"folder:{photos}", root, name="mine", size=16, crop="none")


def test_without_a_size_or_a_crop_the_first_image_gives_the_shape(root, photos):
    sidecar, _ = run(f"folder:{photos}", root, name="whole")
    assert sidecar.shape == (3, 24, 20)
    assert np.array_equal(pixels_of(root, sidecar)[0], picture(0, 24, 20).transpose(2, 0, 1))
    assert run(f"folder:{photos}", root, name="scaled", size=10, crop="none")[0].shape == (3, 12, 10)
    (photos / "dogs" / "99.png").write_bytes(encoded(picture(99, 20, 20)))
    with pytest.raises(DataError, match="99.png is 20x20 pixels where 20x24 are expected: .*--size.*--skip_broken"):
        run(f"folder:{photos}", root, name="mixed")
    skipping, _ = run(f"folder:{photos}", root, name="mixed", skip_broken=True)
    assert skipping.count == 12 and [Path(skipped.name).name for skipped in skipping.skipped] == ["99.png"]
    (photos / "cats" / "00.png").write_bytes(b"torn")
    with pytest.raises(DataError, match="00.png cannot be read as an image.*--skip_broken"):
        run(f"folder:{photos}", root, name="torn")
    torn, _ = run(f"folder:{photos}", root, name="torn", skip_broken=True)
    assert torn.shape == (3, 24, 20) and len(torn.skipped) == 2


@dataclasses.dataclass(frozen=True)
class Encoded(Part):
    """Images as TensorFlow Datasets has them: encoded."""

    images: tuple[bytes, ...]

    def __len__(self):
        return len(self.images)

    def items(self):
        for number, image in enumerate(self.images):
            yield Item(f"image {number}", encoded=image)

    def state(self):
        return str(hash(self.images))


@pytest.fixture
def fetched(monkeypatch):
    """TensorFlow Datasets gives these images, if there are any; the list gets what it was asked for."""
    asked = []

    def fetch(entry, request, progress, *, download=True):
        asked.append((entry.tfds, request.split, request.labels, download))
        if not fetch.images:
            raise DataError("no network")
        source = made_source(1).origin
        return ImageSource(
            dataclasses.replace(source, path=f"{entry.tfds}/1.0.0"),
            len(fetch.images),
            lambda start, stop: Encoded(tuple(fetch.images[start:stop])),
            channels=fetch.channels,
        )

    fetch.images, fetch.asked, fetch.channels = [], asked, 0
    monkeypatch.setattr(tfds, "fetch", fetch)
    return fetch


def test_tensorflow_datasets(root, fetched):
    fetched.images = [encoded(picture(number)[:, :, :1][:, :, 0]) for number in range(5)]
    sidecar, _ = run("tfds:some/grey:1.0.0", root, split="train[:50%]", download=True)
    assert sidecar.name == "some_grey_1.0.0_train_50" and sidecar.shape == (1, 8, 8)
    assert fetched.asked == [("some/grey:1.0.0", "train[:50%]", "auto", True)]
    fetched.images[2] = encoded(picture(2))
    assert run("tfds:colour", root, labels="none")[0].shape == (3, 8, 8)
    assert run("tfds:colour", root)[0].name == "colour"
    assert fetched.asked[1:] == [("colour", "train", "none", False)]
    for other in ("other", "col", "colour/config", "colour:2.0.0"):
        with pytest.raises(DataError, match=f"were made from made colour/1.0.0 .*, not from {other} as it is now"):
            run(f"tfds:{other}", root, name="colour", labels="none")
    for same in ("colour:1.0.0", "colour:1.*.*", "Colour"):
        run(f"tfds:{same}", root, name="colour")


def test_grey_images_of_tensorflow_datasets_stay_grey_at_any_size(root, fetched):
    fetched.images = [encoded(picture(number, 24, 20)[:, :, 0]) for number in range(5)]
    for crop, shape in (("center", (1, 8, 8)), ("none", (1, 9, 8))):
        sidecar, _ = run("tfds:grey", root, name=f"grey_{crop}", size=8, crop=crop)
        assert sidecar.shape == shape
    scaled = np.asarray(Image.fromarray(picture(0, 24, 20)[:, :, 0]).resize((8, 9), Image.Resampling.LANCZOS))
    assert np.array_equal(pixels_of(root, sidecar)[0, 0], scaled)
    fetched.channels = 3
    assert run("tfds:grey_files", root, size=8)[0].shape == (3, 8, 8)
    fetched.channels = 0
    fetched.images[1] = encoded(picture(1, 24, 20))
    assert run("tfds:colour", root, size=8)[0].shape == (3, 8, 8)


def test_names_of_tensorflow_datasets_in_either_spelling(root, fetched):
    fetched.images = [encoded(picture(0))]
    assert run("tfds:OxfordFlowers102", root)[0].name == "oxford_flowers102"
    assert fetched.asked[0][0] == "oxford_flowers102"
    assert run("tfds:oxford_flowers102", root)[0] == run("tfds:OxfordFlowers102", root)[0]
    with pytest.raises(
        ConfigError, match="fashion_mnist is the name .*: give another --name, or prepare fashion_mnist"
    ):
        run("tfds:FashionMNIST", root)
    assert len(fetched.asked) == 1


def test_nothing_to_be_had_is_one_sentence(root, fetched):
    with pytest.raises(DataError) as caught:
        run("cifar10", root)
    ways = [f"{root}/cifar10", "cifar_NCHW/cifar.tfrecords", "no network", "--source PATH", "cifar-10-binary.tar.gz"]
    assert all(way in str(caught.value) for way in [*ways, "--download", "--data sample"])
    assert "\n" not in str(caught.value) and not root.exists()
    with pytest.raises(DataError, match="connect to the network"):
        run("cifar10", root, download=True)
    with pytest.raises(DataError, match=r"could not fetch my_set \(no network\): let it be downloaded with --download"):
        run("tfds:my_set", root)


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        ("folder:x", {}, "give --name, such as --name=x"),
        ("folder:x", {"name": "cifar10"}, "cifar10 is the name of a data set of the catalogue"),
        ("folder:x", {"name": "a/b"}, "name is 'a/b'; .* letters, digits"),
        ("cifar10", {"name": ".."}, "name is '..'"),
        ("folder:x", {"name": "a", "source": "y"}, "leave --source out"),
        ("folder:x", {"name": "a", "download": True}, "leave --download out"),
        ("folder:", {"name": "a"}, "give a name, folder:PATH or tfds:NAME"),
        ("zip:x", {"name": "a"}, "there is no data zip:x"),
        (":cifar10", {}, "there is no data :cifar10"),
        ("cifar10", {"source": "x", "download": True}, "give --source or --download"),
        ("cifar10", {"checksum": True}, "name these with --source"),
        ("cifar10", {"size": 0}, "size is 0"),
        ("cifar10", {"size": 32.0}, "size is 32.0; it takes a whole number"),
        ("cifar10", {"size": (32, 32)}, r"size is \(32, 32\); it takes a whole number"),
        ("cifar10", {"crop": "none"}, "crop is none without a size"),
        ("cifar10", {"crop": "left"}, "crop is left; the valid values are center, none"),
        ("cifar10", {"labels": "some"}, "labels is some; the valid values are auto, none"),
        ("cifar10", {"attributes": "Male"}, "attributes make classes of celeba, not of cifar10"),
        ("cifar10", {"mapping": "x"}, "a mapping gives the classes of imagenet, not of cifar10"),
        ("cifar10", {"workers": 0}, "workers is 0"),
        ("cifar10", {"split": " "}, "split is empty"),
        ("folder:x", {"name": "a" * 191}, "name has 191 characters; give at most 190"),
        ("celeba", {"labels": "none", "attributes": ("Male",)}, "leave one of them out"),
    ],
)
def test_contradictions(root, what, options, message):
    with pytest.raises(ConfigError, match=message):
        run(what, root, **options)


def test_names_and_places_that_are_not(root, tmp_path):
    with pytest.raises(DataError, match=r"There is no data set named 'cifr10' \(did you mean cifar10\?\)"):
        run("cifr10", root)
    with pytest.raises(DataError, match="sample is made on the spot"):
        run("sample", root)
    with pytest.raises(DataError, match="The source .*nowhere of cifar10 does not exist"):
        run("cifar10", root, source=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty"):
        run("cifar10", root, source=tmp_path / "empty")
    assert not root.exists()


def test_the_catalogue_s_geometry(root, tmp_path):
    """CelebA as the original makes it: 178x218 to 72x88, then the middle of 64x64."""
    entry = info("celeba", "nowhere")
    image = Image.fromarray(picture(0, 218, 178))
    folder = tmp_path / "img_align_celeba"
    folder.mkdir()
    image.save(folder / "000001.png")
    found = sources.find  # the whole way, but for the number of images that CelebA must have
    part = Encoded((encoded(image),))
    with pytest.MonkeyPatch.context() as patch:
        origin = made_source(1).origin
        patch.setattr(sources, "find", lambda path, request: ImageSource(origin, 1, lambda start, stop: part))
        sidecar, _ = run("celeba", root, source=folder)
    assert sources.find is found and sidecar.shape == entry.shape
    scaled = np.asarray(image.resize((72, 88), Image.Resampling.LANCZOS))
    assert np.array_equal(pixels_of(root, sidecar)[0], scaled[12:76, 4:68].transpose(2, 0, 1))


def test_checksums_are_compared_first(root, official, monkeypatch):
    from mmdgan.data.sources import checksums

    asked = []
    monkeypatch.setattr(checksums, "check", lambda path, name, say: asked.append((path, name)))
    run("cifar10", root, source=official, checksum=True)
    assert asked == [(official, "cifar10")]
    run("cifar10", root, source=official, checksum=True)
    assert len(asked) == 2, "a data set that is there was not compared"


def test_the_longest_name(root, photos):
    name = "a" * 190
    assert run(f"folder:{photos}", root, name=name)[0] == run(name, root)[0] == info_of(root, name)
    with pytest.raises(DataError, match="There is no data set named"):
        run("a" * 300, root)


def info_of(root, name):
    """The sidecar of a data set."""
    from mmdgan.data.sidecar import read_sidecar

    return read_sidecar(root / name, name)


def test_the_name_of_a_data_set_that_is_there_takes_nothing_else(root, photos):
    run(f"folder:{photos}", root, name="mine", size=16)
    for option, value in {"size": 8, "source": photos, "split": "test", "attributes": ["Male"], "name": "b"}.items():
        with pytest.raises(ConfigError, match=f"mine is a data set .* already; leave --{option} out|not of mine"):
            run("mine", root, **{option: value})
    run("mine", root, workers=1, attributes=[])


@pytest.mark.parametrize("what", ["cifar10", "folder"])
def test_a_data_set_that_has_lost_a_file_is_not_said_to_be_there(root, official, photos, what):
    options = {"source": official} if what == "cifar10" else {"name": "mine"}
    what = what if what == "cifar10" else f"folder:{photos}"
    sidecar, _ = run(what, root, **options)
    file = root / sidecar.name / sidecar.shards[0].file
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"{file.name} has [0-9,]+ bytes where [0-9,]+ are expected: move .* aside"):
        run(what, root, **options)
    file.unlink()
    with pytest.raises(DataError, match=f"{file.name} is missing: move .*{sidecar.name} aside"):
        run(sidecar.name, root)


def test_requests_reach_the_source(root, monkeypatch, tmp_path):
    seen = []

    def find(path, request):
        seen.append((path, request))
        raise DataError("enough")

    monkeypatch.setattr(sources, "find", find)
    options = {"split": "validation", "mapping": str(tmp_path / "map.txt"), "labels": "folders"}
    with pytest.raises(DataError, match="enough"):
        run("imagenet", root, source="place", **options)
    assert seen[0][0] == "place" and seen[0][1].info == info("imagenet", "nowhere")
    wanted = {"split": "validation", "labels": "source", "attributes": (), "mapping": tmp_path / "map.txt"}
    assert wanted.items() <= vars(seen[0][1]).items() and seen[0][1].name == "imagenet_validation"
    with pytest.raises(DataError, match="enough"):
        run("celeba", root, source="place", attributes=["Male", "Smiling"])
    assert (seen[1][1].labels, seen[1][1].attributes) == ("source", ("Male", "Smiling"))


def test_leftovers_of_a_killed_conversion_go(root, official):
    run("cifar10", root, source=official)
    (root / "cifar10" / ".partial").mkdir()
    (root / "cifar10" / ".partial" / "cifar10-00000-of-00001.tfrecords.json").write_text("{}")
    run("cifar10", root)
    assert sorted(content_of(root / "cifar10")) == ["cifar10-00000-of-00001.tfrecords", "cifar10.json"]
    assert not (root / "cifar10" / ".partial").exists()
    (root / "cifar10" / ".partial" / "mine").mkdir(parents=True)
    for name in ("notes.txt", "mine/photo.png", "cifar10-00000-of-00001.tfrecords.part"):
        (root / "cifar10" / ".partial" / name).write_text("precious")
    run("cifar10", root)
    assert sorted(content_of(root / "cifar10" / ".partial")) == ["mine/photo.png", "notes.txt"]
