"""TensorFlow Datasets as a source: `tensorflow-datasets` downloads a data set into its own folder, once.

That library tries a download for minutes when there is no network; so the address is tried first, for some
seconds.
"""

from __future__ import annotations

import http.client
import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import numpy as np

from mmdgan.data.sidecar import Origin
from mmdgan.data.sources.base import BLOCK, Blocks, ImageSource
from mmdgan.errors import DataError

PATIENCE = 8.0  # seconds to wait for a first answer from the download's address


def fetch(name: str, address: str, progress: Callable[[str], object]) -> ImageSource:
    """Gets the training split of a labelled image data set, from its own cache or by download.

    Args:
        name: as `tfds.builder` takes it.
        address: where it is downloaded from when the builder does not say.
        progress: takes lines of text.

    Returns:
        the source.

    Raises:
        DataError: the library or the network is missing, or the download failed; the reason as a part of a
            sentence.
    """
    try:
        import tensorflow_datasets as tfds

        builder = tfds.builder(name)
        if not builder.is_prepared():
            address = next(iter(builder.url_infos or ()), address)
            progress(f"TensorFlow Datasets has no {name} in {builder.data_dir} yet; trying {address}")
            reason = unreachable(address)
            if reason:
                raise DataError(f"{address} cannot be reached ({reason})")
            builder.download_and_prepare()
    except ImportError as error:
        missing = getattr(error, "name", None) or error
        raise DataError(f"the Python package {missing} is missing") from error
    except DataError:
        raise
    except Exception as error:  # whatever a builder, a server or a disk raises ends in the same sentence
        logging.getLogger(__name__).debug("TFDS failed", exc_info=True)
        raise DataError(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'failed'}") from error
    return from_builder(builder)


def from_builder(builder: Any) -> ImageSource:
    """A prepared builder's split `train` as a source; its features are `image` and, for labels, `label`."""
    import tensorflow_datasets as tfds

    names = builder.info.features["label"].names if "label" in builder.info.features else []

    def blocks() -> Blocks:
        config = tfds.ReadConfig(interleave_cycle_length=1)  # in the order of the files
        examples = builder.as_dataset(split="train", batch_size=BLOCK, read_config=config)
        for batch in tfds.as_numpy(examples):
            yield batch["image"].transpose(0, 3, 1, 2), batch["label"].astype(np.int64) if names else None

    return ImageSource(
        origin=Origin("TensorFlow Datasets", builder.info.full_name),
        count=builder.info.splits["train"].num_examples,
        class_names=tuple(names),
        blocks=blocks,
    )


def unreachable(address: str, seconds: float = PATIENCE) -> str | None:
    """Why an address does not answer within some seconds, or None when it does.

    Looking a name up cannot be given a time limit, so it happens in a thread that is left behind if it hangs.
    """
    answer: list[str | None] = []

    def knock() -> None:
        request = urllib.request.Request(address, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=seconds).close()
            answer.append(None)
        except urllib.error.HTTPError:
            answer.append(None)
        except (OSError, ValueError, http.client.HTTPException) as error:
            answer.append(str(getattr(error, "reason", error)))

    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(seconds)
    return answer[0] if answer else f"no answer within {seconds:g} seconds"
