"""Numbers as sentences have them."""

from __future__ import annotations


def percent(share: float) -> str:
    """A share as a percentage; two digits below one percent, where they carry the information.

    >>> percent(0.875), percent(0.0042)
    ('87.5%', '0.42%')
    """
    return f"{share:.2%}" if 0 < share < 0.01 else f"{share:.1%}"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A number and its noun; nouns that take more than an "s" bring their plural.

    >>> counted(1, "edit"), counted(1204, "image")
    ('1 edit', '1,204 images')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {plural or noun + 's'}"
