"""The catalogue: what each data set is, the names that are prepared, and unknown ones."""

from __future__ import annotations

import json
import re

import pytest

from mmdgan import data
from mmdgan.core.errors import DataError
from mmdgan.data.catalog import CATALOG, unfinished


def sidecar(root, name: str, **changes) -> None:
    """A sidecar by itself, as of a prepared data set."""
    content = {
        "format": 2,
        "count": 7,
        "name": name,
        "shape": [1, 5, 6],
        "labels": True,
        "class_names": ["a", "b"],
        "origin": {"kind": "images", "path": "/somewhere"},
        "shards": [{"file": "x.tfrecords", "count": 7}],
        "options": {"split": "train"},
    }
    (root / name).mkdir(parents=True)
    (root / name / f"{name}.json").write_text(json.dumps({**content, **changes}))


@pytest.mark.parametrize(
    "name, shape, count, num_class",  # as the original converts them
    [
        ("cifar10", (3, 32, 32), 50_000, 10),
        ("stl10", (3, 48, 48), 100_000, 0),
        ("celeba", (3, 64, 64), 9 * 22_511, 0),
        ("lsun", (3, 64, 64), 61 * 49_722, 0),
        ("imagenet", (3, 128, 128), 1_281_167, 1000),
        ("mnist", (1, 28, 28), 60_000, 10),
        ("fashion_mnist", (1, 28, 28), 60_000, 10),
    ],
)
def test_the_data_sets_of_the_paper_and_two_more(name, shape, count, num_class, tmp_path):
    info = data.info(name, tmp_path)
    assert (info.name, info.shape, info.count, info.num_class) == (name, shape, count, num_class)
    assert len(info.class_names) in (0, num_class) and info.homepage.startswith("http")
    width, height = info.crop or info.resize or info.size
    assert (height, width) == shape[1:]


def test_names(tmp_path):
    known = ["celeba", "cifar10", "fashion_mnist", "imagenet", "lsun", "mnist", "sample", "stl10"]
    assert data.names(tmp_path / "missing") == known == sorted(CATALOG)
    sidecar(tmp_path, "mine")
    (tmp_path / "mine/notes.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    assert data.names(tmp_path) == sorted([*known, "mine"])


def test_a_sidecar_corrects_the_catalogue(tmp_path):
    sidecar(tmp_path, "mine")
    mine = data.info("mine", tmp_path)
    assert (mine.shape, mine.count, mine.num_class, mine.class_names) == ((1, 5, 6), 7, 2, ("a", "b"))
    sidecar(tmp_path, "cifar10", labels=False, class_names=[])
    cifar = data.info("cifar10", tmp_path)
    assert (cifar.shape, cifar.count, cifar.num_class, cifar.class_names) == ((1, 5, 6), 7, 0, ())
    assert cifar.homepage == CATALOG["cifar10"].homepage
    sidecar(tmp_path, "sample")
    assert data.info("sample", tmp_path) == CATALOG["sample"]


def test_unknown_names_get_the_nearest(tmp_path):
    with pytest.raises(DataError, match="no data set named 'cifar' .did you mean cifar10"):
        data.info("cifar", tmp_path)
    with pytest.raises(DataError, match="The names are celeba, cifar10, .*, stl10; your own images become one by"):
        data.open_data("photographs", data_root=tmp_path)
    sidecar(tmp_path, "flowers")
    with pytest.raises(DataError, match="did you mean flowers"):
        data.info("flower", tmp_path)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = data.nothing


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../mine/mine", "a\0b", "x" * 300, "\udcff"])
def test_names_that_are_no_folder(tmp_path, name):
    sidecar(tmp_path, "mine")
    with pytest.raises(DataError, match=re.escape(f"no data set named {name!r}")):
        data.info(name, tmp_path / "mine")


@pytest.mark.parametrize("name", ["folder:/some/where", "tfds:cifar10"])
def test_sources_must_be_prepared_first(tmp_path, name):
    with pytest.raises(DataError, match=f"must be converted .* prepare {name} --name NAME --size SIZE"):
        data.open_data(name, data_root=tmp_path)


def test_unfinished_conversions(tmp_path):
    (tmp_path / "mine/.partial").mkdir(parents=True)
    assert unfinished("mine", tmp_path) and not unfinished("other", tmp_path)
    with pytest.raises(DataError, match="mine in .*mine is not finished: run the command that prepared it again"):
        data.info("mine", tmp_path)
    (tmp_path / "mine/.partial").rename(tmp_path / "moved")
    sidecar(tmp_path, "done")
    (tmp_path / "moved").rename(tmp_path / "done/.partial")
    assert not unfinished("done", tmp_path) and data.info("done", tmp_path).count == 7


def test_asking_for_a_shape_loads_neither_numpy_nor_tensorflow(run_script):
    code = (
        "import sys; from mmdgan import data; print(data.info('cifar10').shape, data.names()[0]); "
        "print({'numpy', 'tensorflow', 'PIL'} & set(sys.modules))"
    )
    done = run_script("-c", code)
    assert done.stdout.split("\n")[:2] == ["(3, 32, 32) celeba", "set()"], done.stderr


def test_public_names_load_on_first_use():
    assert set(data.__all__) == set(dir(data))
    for name in data.__all__:
        assert getattr(data, name) is not None
