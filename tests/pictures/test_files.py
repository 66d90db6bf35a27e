"""mmdgan.pictures.files: what is written part by part is what NumPy and Pillow read as a whole."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mmdgan.core.errors import ConfigError
from mmdgan.pictures.files import check_image_target, save_batches


def _images(count: int = 10, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 4, 6, channels), dtype=np.uint8)


def _batches(images: np.ndarray, size: int = 4):
    for start in range(0, len(images), size):
        yield start, images[start : start + size]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("labels", [None, np.arange(10, dtype=np.int32)[:, None]])
def test_npz_is_numpys(tmp_path, channels, labels):
    images = _images(channels=channels)
    path = save_batches(tmp_path / "new" / "a.npz", _batches(images), 10, labels)
    with np.load(path) as made:
        assert set(made) == ({"images"} if labels is None else {"images", "labels"})
        assert made["images"].dtype == np.uint8 and made["images"].flags.c_contiguous
        np.testing.assert_array_equal(made["images"], images)
        if labels is not None:
            np.testing.assert_array_equal(made["labels"], np.arange(10))
    assert [file.name for file in path.parent.iterdir()] == ["a.npz"]


def test_npz_takes_images_in_any_layout(tmp_path):
    images = _images()
    turned = ((start, np.asfortranarray(part)) for start, part in _batches(images))
    np.testing.assert_array_equal(np.load(save_batches(tmp_path / "a.npz", turned, 10))["images"], images)


def test_folder_is_filled_batch_by_batch(tmp_path):
    images, there = _images(), []

    def batches():
        for start, part in _batches(images):
            there.append(len(list(tmp_path.glob("all/*"))))
            yield start, part

    save_batches(tmp_path / "all", batches(), 10)
    assert there == [0, 4, 8]
    files = sorted((tmp_path / "all").iterdir())
    assert [file.name for file in files] == [f"{index:06d}.png" for index in range(10)]
    np.testing.assert_array_equal(np.stack([np.array(Image.open(file)) for file in files]), images)


def test_an_interrupted_npz_leaves_nothing(tmp_path):
    def batches():
        yield 0, _images()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_batches(tmp_path / "a.npz", batches(), 20)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file/a.npz", "file/a"])
def test_places_that_cannot_be_written_to(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=f"{name} cannot be written .*; name another place"):
        save_batches(tmp_path / name, _batches(_images()), 10)


def test_a_folder_with_other_files_is_refused(tmp_path):
    for count in (None, 3):
        check_image_target(tmp_path, count)
        check_image_target(tmp_path / "none", count)
        check_image_target(tmp_path / "a.npz", count)
        check_image_target(None, count)
        with pytest.raises(ConfigError, match="a.jpg would be a folder"):
            check_image_target(tmp_path / "a.jpg", count)
    save_batches(tmp_path, _batches(_images(3)), 3)
    check_image_target(tmp_path, 3)  # all are written anew
    with pytest.raises(ConfigError, match="holds other files, such as 000002.png"):
        check_image_target(tmp_path, 2)


def test_images_of_classes_get_a_folder_each(tmp_path):
    images = _images(12)
    labels = np.array([10, 2, 10, 2, 2, 7, 7, 10, 2, 7, 7, 7])[:, None]
    save_batches(tmp_path, _batches(images), 12, labels)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["02", "07", "10"]
    for index, label in enumerate(labels[:, 0]):
        with Image.open(tmp_path / f"{label:02d}" / f"{index:06d}.png") as image:
            np.testing.assert_array_equal(np.asarray(image), images[index])
    assert len(list(tmp_path.rglob("*.png"))) == 12
    check_image_target(tmp_path, 12, labels)  # all are written anew
    with pytest.raises(ConfigError, match="holds other files, such as 02"):
        check_image_target(tmp_path, 12)
    labels[0] = 7
    with pytest.raises(ConfigError, match="holds other files, such as 10/000000.png"):
        check_image_target(tmp_path, 12, labels)


def test_images_of_one_class_need_no_folder_of_their_own(tmp_path):
    save_batches(tmp_path, _batches(_images(3)), 3, np.full((3, 1), 7))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["000000.png", "000001.png", "000002.png"]


@pytest.mark.parametrize("ending", "tar h5 tfrecords avif pt jsonl JPG 7z webm".split())
def test_names_of_other_files_are_no_folders(tmp_path, ending):
    with pytest.raises(ConfigError, match=f"samples.{ending} would be a folder"):
        check_image_target(tmp_path / f"samples.{ending}")
    (tmp_path / f"samples.{ending}").mkdir()
    check_image_target(tmp_path / f"samples.{ending}")


@pytest.mark.parametrize("name", ["samples", "truncation_0.5", "mine.v2", "1.2.3", "a.b c", "of.my run"])
def test_names_of_folders(tmp_path, name):
    check_image_target(tmp_path / name)


def test_names_of_classes_are_kept(tmp_path):
    labels, names = np.array([1, 0, 2, 1])[:, None], ("10", "2", "sea lion")
    images = _images(4)
    made = np.load(save_batches(tmp_path / "a.npz", _batches(images), 4, labels, names))
    assert made["class_names"].tolist() == [*names] and made["labels"].tolist() == [1, 0, 2, 1]
    save_batches(tmp_path / "a", _batches(images), 4, labels, names)
    files = sorted(str(file.relative_to(tmp_path / "a")) for file in (tmp_path / "a").rglob("*.png"))
    assert files == ["10/000001.png", "2/000000.png", "2/000003.png", "sea lion/000002.png"]
    check_image_target(tmp_path / "a", 4, labels, names)
    for number, unfit in enumerate([("a/b", "c", "d"), ("a", "A", "b"), ("..", "a", "b"), ("a", "b")]):
        save_batches(tmp_path / str(number), _batches(images), 4, labels, unfit)
        assert sorted(folder.name for folder in (tmp_path / str(number)).iterdir()) == ["0", "1", "2"]
