"""The former path of `ImageData`, for code written for version 0.1."""

from mmdgan.data.dataset import ImageData as ImageData
