"""Packaging: `pip install .`.

The folder `architectures/` becomes `mmdgan.architectures`, and `Results/published` `mmdgan.published`.

The scripts in `experiments/` are not installed: `mmdgan train` does what they do, from any folder.
"""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).resolve().parent
VERSION = re.search(r'VERSION = "(.+)"', (HERE / "mmdgan/core/versions.py").read_text(encoding="utf-8")).group(1)
DOCS = ["latex2mathml", "mkdocs", "mkdocs-material", "mkdocstrings[python]", "ruff"]  # ruff wraps signatures
HUB = ["keras-hub>=0.32; python_version>='3.11'"]  # `--features dinov2|clip|hub:PRESET`
ONNX = ["onnx", "onnxruntime", "tf2onnx>=1.17"]  # `export --format onnx`
VIDEO = ["imageio-ffmpeg"]  # MP4 files of `interpolate`

setup(
    name="mmdgan",
    version=VERSION,
    description="MMD-GANs with repulsive losses and PICO spectral normalisation, in TensorFlow 2 and Keras 3",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords=["GAN", "MMD", "maximum mean discrepancy", "spectral normalization", "TensorFlow", "Keras"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    project_urls={"Paper": "https://arxiv.org/abs/1812.09916"},
    python_requires=">=3.10",
    packages=[*find_packages(include=["mmdgan", "mmdgan.*"]), "mmdgan.architectures", "mmdgan.published"],
    package_dir={"mmdgan.architectures": "architectures", "mmdgan.published": "Results/published"},
    package_data={"mmdgan": ["py.typed", "pretrained/*/*/*"], "mmdgan.published": ["*.csv", "README.md"]},
    install_requires=[
        "absl-py",
        # The checksums of TFRecords.
        "google-crc32c",
        # tensorflow-datasets 4.9.10 imports it without declaring it.
        "importlib_resources",
        "h5py",
        "keras>=3.8",
        "matplotlib",
        "numpy",
        "pillow",
        "protobuf",
        "scikit-learn",
        "scipy",
        "tensorboard",
        "tensorflow>=2.18",
        "tensorflow-datasets",
        "tensorflow-gan>=2.1",
        "threadpoolctl",
    ],
    extras_require={
        "docs": DOCS,
        # TensorFlow 2.21's CUDA wheel is reported not to work; Keras pins 2.20 for its own.
        "gpu": ["tensorflow[and-cuda]>=2.18,<2.21"],
        "hub": HUB,
        "mlflow": ["mlflow-skinny"],  # `--log mlflow`
        "onnx": ONNX,
        "ray": ["ray[tune]"],  # `sweep --engine ray`
        "video": VIDEO,
        "wandb": ["wandb"],  # `--log wandb`
        # scikit-image is a yardstick for MS-SSIM; wandb and mlflow bring Keras callbacks that are tried.
        "test": [
            *("hypothesis", "lmdb", "mypy>=1.15", "pytest", "pytest-xdist", "pyyaml", "ruff", "scikit-image"),
            *("mlflow-skinny", "ray[tune]", "wandb"),
            *DOCS,
            *HUB,
            *ONNX,
            *VIDEO,
        ],
    },
    entry_points={"console_scripts": ["mmdgan = mmdgan.__main__:console"]},
)
