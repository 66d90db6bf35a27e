"""Classes made of yes-or-no attributes: k attributes, such as those of CelebA, make 2^k classes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from mmdgan.core.errors import DataError
from mmdgan.core.text import nearest

DEFAULT = ("Male",)
MAX_ATTRIBUTES = 8  # which make 256 classes


def chosen_attributes(attributes: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The attributes that make the classes, spelled as in the table.

    Args:
        attributes: As the user wrote them, in any case, with spaces or underscores; empty for `DEFAULT`.
        known: All attributes of the table.

    Raises:
        DataError: One is unknown (the nearest known one is named), or named twice; or there are too many.
    """
    spelled = {_plain(name): name for name in known}
    chosen = []
    for name in attributes or DEFAULT:
        if _plain(name) not in spelled:
            raise DataError(
                f"CelebA has no attribute {name!r}{nearest(_plain(name), known)}; it has {', '.join(known)}."
            )
        chosen.append(spelled[_plain(name)])
    if len(set(chosen)) < len(chosen) or len(chosen) > MAX_ATTRIBUTES:
        raise DataError(
            f"The attributes {', '.join(chosen)} cannot make classes: name at most {MAX_ATTRIBUTES}, each once."
        )
    return tuple(chosen)


def class_names(attributes: Sequence[str]) -> tuple[str, ...]:
    """The 2^k classes of k attributes, such as "not Male" and "Male", in the order of `attribute_class`."""
    pairs = ((f"not {name}", name) for name in attributes)
    return tuple(", ".join(names) for names in itertools.product(*pairs))


def attribute_class(values: Sequence[bool]) -> int:
    """The class of an image with these values: a binary number whose first digit is the first attribute."""
    number = 0
    for value in values:
        number = 2 * number + bool(value)
    return number


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_")
