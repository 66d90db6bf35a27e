"""The catalogue of data sets: the form that each has once it is converted, and where it comes from.

A data set that was prepared from the user's own images is described by the sidecar in its folder.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mmdgan.core.errors import DataError
from mmdgan.core.files import is_name
from mmdgan.core.text import command, nearest
from mmdgan.data.sidecar import Sidecar, read_sidecar, sidecar_path


@dataclass(frozen=True)
class DataInfo:
    """What is known of a data set before it is read.

    Attributes:
        name: Its name, which is its folder's too.
        shape: (C, H, W) of one image once it is converted.
        num_class: Number of classes; 0 without labels.
        count: Number of training images; None if unknown.
        class_names: One name per class; empty if they come from the source.
        size: (width, height) that each image of the source must have; None for any size.
        resize: (width, height) to which the conversion scales images, as `Geometry` does; None for no resizing.
        crop: (width, height) of the centre that is then cut out; None for all.
        tfds: Its name in TensorFlow Datasets; empty if it is not fetched from there.
        tfds_splits: Pairs of our and their names of splits, where they differ.
        legacy: The original's files below the data folder, as patterns, the labelled ones first.
        homepage: Where it is explained, and offered to people.
        address: Where a program can download it.
    """

    name: str
    shape: tuple[int, int, int]
    num_class: int = 0
    count: int | None = None
    class_names: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    resize: tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    tfds: str = ""
    tfds_splits: tuple[tuple[str, str], ...] = ()
    legacy: tuple[str, ...] = ()
    homepage: str = ""
    address: str = ""


_CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"
_FASHION_CLASSES = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"

CATALOG = {
    info.name: info
    for info in (
        DataInfo(
            name="cifar10",
            shape=(3, 32, 32),
            num_class=10,
            count=50_000,
            class_names=tuple(_CIFAR10_CLASSES.split()),
            size=(32, 32),
            tfds="cifar10",
            legacy=("cifar_NCHW/cifar_xy.tfrecords", "cifar_NCHW/cifar.tfrecords"),
            homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
            address="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        ),
        DataInfo(
            name="stl10",
            shape=(3, 48, 48),
            count=100_000,
            size=(96, 96),
            resize=(48, 48),
            tfds="stl10",
            tfds_splits=(("train", "unlabelled"), ("labelled", "train")),
            legacy=("stl_NCHW/stl.tfrecords",),
            homepage="https://cs.stanford.edu/~acoates/stl10/",
            address="http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
        ),
        DataInfo(
            name="celeba",
            shape=(3, 64, 64),
            count=202_599,
            size=(178, 218),
            resize=(72, 88),
            crop=(64, 64),
            tfds="celeb_a",
            # The original trains on all images, which TensorFlow Datasets divides.
            tfds_splits=(("train", "train+validation+test"),),
            legacy=("celebA_NCHW/celebA_*.tfrecords",),
            homepage="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        ),
        DataInfo(
            name="lsun",
            shape=(3, 64, 64),
            count=3_033_042,
            resize=(64, 64),
            crop=(64, 64),
            tfds="lsun/bedroom",
            legacy=("lsun_NCHW/lsun_*.tfrecords",),
            homepage="https://www.yf.io/p/lsun",
            address="http://dl.yf.io/lsun/scenes/bedroom_train_lmdb.zip",
        ),
        DataInfo(
            name="imagenet",
            shape=(3, 128, 128),
            num_class=1000,
            count=1_281_167,
            resize=(128, 128),
            crop=(128, 128),
            tfds="imagenet2012",
            legacy=("imagenet_NCHW/imagenet_*.tfrecords",),
            homepage="https://www.image-net.org/download.php",
        ),
        DataInfo(
            name="mnist",
            shape=(1, 28, 28),
            num_class=10,
            count=60_000,
            class_names=tuple("0123456789"),
            size=(28, 28),
            tfds="mnist",
            homepage="http://yann.lecun.com/exdb/mnist/",
            address="https://storage.googleapis.com/cvdf-datasets/mnist/train-images-idx3-ubyte.gz",
        ),
        DataInfo(
            name="fashion_mnist",
            shape=(1, 28, 28),
            num_class=10,
            count=60_000,
            class_names=tuple(_FASHION_CLASSES.split(",")),
            size=(28, 28),
            tfds="fashion_mnist",
            homepage="https://github.com/zalandoresearch/fashion-mnist",
            address="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz",
        ),
        DataInfo(
            name="sample",
            shape=(3, 32, 32),
            num_class=10,
            count=10_782,
            class_names=tuple("0123456789"),
            homepage="https://scikit-learn.org/stable/datasets/toy_dataset.html",
        ),
    )
}


def names(data_root: str | Path = "Data") -> list[str]:
    """The names of all data sets: those of the catalogue, and those that were prepared below the data folder."""
    prepared = {path.stem for path in Path(data_root).glob("*/*.json") if path.stem == path.parent.name}
    return sorted(CATALOG.keys() | prepared)


def info(name: str, data_root: str | Path = "Data") -> DataInfo:
    """What is known of a data set without reading an image.

    Args:
        name: A name of the catalogue, or of a data set that was prepared below the data folder.
        data_root: The folder of the data sets.

    Returns:
        Its entry in the catalogue, with the shape, classes and number of images of the converted records, if any.

    Raises:
        DataError: The name is unknown; the nearest known one is named.
    """
    name = str(name)
    if ":" in name:
        raise DataError(
            f"{name} must be converted before it can be used: "
            f"{command('prepare', name, '--name', 'NAME', '--size', 'SIZE')}, then --data NAME."
        )
    sidecar = read_sidecar(Path(data_root) / name, name) if is_name(name) and name != "sample" else None
    if sidecar is not None:
        return _described(sidecar)
    if name not in CATALOG:
        if unfinished(name, data_root):
            raise DataError(
                f"The data set {name} in {Path(data_root) / name} is not finished: run the command that prepared it "
                "again; it continues where it stopped."
            )
        known = names(data_root)
        raise DataError(
            f"There is no data set named {name!r}{nearest(name, known)}. The names are {', '.join(known)}; your own "
            f"images become one by {command('prepare', 'folder:PATH', '--name', 'NAME', '--size', 'SIZE')}."
        )
    return CATALOG[name]


def unfinished(name: str, data_root: str | Path = "Data") -> bool:
    """Whether a conversion of this data set was interrupted or is running."""
    folder = Path(data_root) / name
    return is_name(name) and (folder / ".partial").is_dir() and not sidecar_path(folder, name).is_file()


def loose_records(entry: DataInfo, data_root: str | Path) -> list[Path]:
    """Records without a sidecar, such as the original's, in the data set's folder or at their old place.

    Returns:
        The files in the order of their images; empty if there are none. Those of an unfinished conversion do not count.
    """
    root = Path(data_root)
    files = [] if unfinished(entry.name, root) else sorted((root / entry.name).glob("[!.]*.tfrecords"))
    for pattern in entry.legacy:
        files = files or sorted(root.glob(pattern))
    return files


def _described(sidecar: Sidecar) -> DataInfo:
    entry = CATALOG.get(sidecar.name) or DataInfo(sidecar.name, sidecar.shape)
    names = sidecar.class_names
    return replace(entry, shape=sidecar.shape, count=sidecar.count, class_names=names, num_class=len(names))
