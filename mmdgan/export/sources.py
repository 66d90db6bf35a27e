"""What a model card says of the catalogue's data sets: where they are from, their licences, whom they show."""

from __future__ import annotations

from typing import NamedTuple


class Source(NamedTuple):
    """A data set as a model card names it.

    Attributes:
        title: with authors and year.
        licence: of the images, in the words of Data/ReadMe.md.
        limits: what is peculiar to networks trained on it; empty for nothing.
    """

    title: str
    licence: str
    limits: str = ""


_WEB = "The images were collected from the web, without asking those whom they show."

SOURCES = {
    "sample": Source(
        "handwritten digits over dim photographs, made by mmdgan from scikit-learn's toy data sets",
        "the digits are the test set of *Optical Recognition of Handwritten Digits* (Alpaydin and Kaynak 1998, UCI "
        "Machine Learning Repository, CC BY 4.0). The photographs, `china.jpg` and `flower.jpg`, are under CC BY 2.0",
        "It is a toy data set for trying things out.",
    ),
    "cifar10": Source(
        "CIFAR-10 (Krizhevsky 2009)",
        "the authors state none and ask to cite *Learning Multiple Layers of Features from Tiny Images* (Krizhevsky "
        "2009). The images were collected from the web.",
    ),
    "stl10": Source(
        "STL-10, unlabelled images (Coates, Ng and Lee 2011)",
        "the authors state none and ask to cite *An Analysis of Single Layer Networks in Unsupervised Feature "
        "Learning* (AISTATS 2011). The images come from ImageNet, whose terms hold for them.",
        _WEB,
    ),
    "celeba": Source(
        "CelebA (Liu, Luo, Wang and Tang 2015)",
        "for non-commercial research only; the images may not be published or passed on",
        "It shows faces of celebrities, who were not asked, and most of whom are young, light-skinned and made up: "
        "generated faces share this bias and may resemble real people. Do not use them to identify anybody, to pass "
        "for a real person, or to judge people by their looks.",
    ),
    "lsun": Source(
        "LSUN, bedrooms (Yu et al. 2015)",
        "the authors state none for the images, which were collected from the web, and ask to cite *LSUN: "
        "Construction of a Large-scale Image Dataset using Deep Learning with Humans in the Loop* (arXiv 1506.03365).",
    ),
    "imagenet": Source(
        "ImageNet (Russakovsky et al. 2015)",
        "for non-commercial research and education, under the terms that one accepts when registering.",
        f"{_WEB} Some classes show people.",
    ),
    "mnist": Source("MNIST (LeCun, Cortes and Burges)", "CC BY-SA 3.0"),
    "fashion_mnist": Source("Fashion-MNIST (Xiao, Rasul and Vollgraf 2017)", "the MIT licence"),
}
