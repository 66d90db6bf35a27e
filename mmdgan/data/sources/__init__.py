"""Where images come from before they are records: one module per form of source, which registers itself."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from pathlib import Path

from mmdgan.core.errors import DataError
from mmdgan.data.sources.base import FORMS, Form, ImageSource, Request


def find(path: str | Path, request: Request) -> ImageSource:
    """Recognises the source of a data set by its content.

    Args:
        path: A file or a folder.
        request: The data set that it should be, and how it is to be made.

    Returns:
        The source; only names, sizes and labels were read.

    Raises:
        DataError: The path does not exist, holds nothing that is known, or something known that is broken.
    """
    path, name = Path(path).expanduser(), request.info.name
    try:
        if not path.exists():
            raise DataError(f"The source {path} of {name} does not exist.")
        for form in _forms(name):
            source = form.find(path, request)
            if source is not None:
                return source
    except OSError as error:
        raise DataError(f"The source {path} of {name} cannot be read ({error.strerror or error}).") from error
    raise DataError(f"The source {path} holds nothing that is recognised as {name}, which is {recognised(name)}.")


def recognised(name: str) -> str:
    """What can be the source of a data set, in words."""
    return "; or ".join(form.words for form in _forms(name))


def _forms(name: str) -> list[Form]:
    """The forms of a data set's sources in the order in which they are tried."""
    _load()
    forms = sorted(FORMS, key=lambda form: form.find.__module__)  # whichever was imported first
    official = [form for form in forms if name in form.names]
    return sorted(official, key=lambda form: form.own) or [form for form in forms if form.own]


@functools.cache
def _load() -> None:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
