"""What a URL says: query parameters as typed values, links made of them, and selections as a compressed set of bits."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NoReturn, TypeAlias, TypeVar

import numpy as np
import streamlit as st

from cbm.core.errors import InvalidInputError, NotFoundError

T = TypeVar("T")

_BETWEEN = "."
"""Separates the values of a list."""
_MOST_DIGITS = 8


@dataclass(frozen=True)
class Parameter(Generic[T]):
    """One query parameter."""

    name: str
    default: T
    parse: Callable[[str], T]
    """Raises ValueError for a value that is passed over, NotFoundError for one that the visitor should hear about."""
    of_model: bool = False
    """Whether it means nothing beside another model."""

    def read(self) -> T:
        """The URL's value; the default where there is none or no usable one.

        Raises:
            NotFoundError: the value names something that cannot be; the message says so.
        """
        text = st.query_params.get(self.name)
        if text is None:
            return self.default
        try:
            return self.parse(text)
        except ValueError:
            return self.default

    def put(self, value: T | None) -> None:
        """Write a value into the URL, or take it out where it is the default. Not for parameters that a widget is bound to."""
        text = self.text(value)
        if text is None:
            st.query_params.pop(self.name, None)
        elif st.query_params.get(self.name) != text:
            st.query_params[self.name] = text

    def is_asked(self) -> bool:
        """Whether the URL has it, with whatever value."""
        return self.name in st.query_params

    def text(self, value: object) -> str | None:
        """A value as the URL has it; None where it is left out."""
        if value in (None, "", ()) or value == self.default:
            return None
        if isinstance(value, bool):
            return "true" if value else "false"
        return _BETWEEN.join(map(str, value)) if isinstance(value, tuple) else str(value)


def take_out(names: Iterable[str]) -> None:
    """Remove query parameters, whatever they say. Not for those that a widget is bound to."""
    for name in names:
        st.query_params.pop(name, None)


def in_url() -> dict[str, str]:
    """All query parameters, as they are."""
    return st.query_params.to_dict()


@dataclass(frozen=True)
class Link:
    """A page and the query parameters that make it show one thing."""

    page: str
    parameters: dict[str, str]

    def draw(self, label: str, **options: Any) -> None:
        """Draw it; `options` are those of `st.page_link`."""
        st.page_link(self.page, label=label, query_params=self.parameters, **options)

    def open(self) -> NoReturn:
        """Go there at once."""
        st.switch_page(self.page, query_params=self.parameters)


# Fields of a page's dataclass


def text(name: str, *, of_model: bool = False) -> Any:
    """A field that is any text, or None."""
    return _declared(Parameter(name, None, lambda value: value or None, of_model))


def number(name: str, *, default: int | None = None, what: str | None = None, none: str | None = None, of_model: bool = False) -> Any:
    """A field that is a whole number from 0 on.

    Args:
        what: what has that number ("concept"); a value that is not a number is then reported instead of passed over.
        none: a word that says "none at all", where that is something else than to say nothing.
    """

    def parse(value: str) -> int | str:
        if none is not None and value == none:
            return none
        if value.isascii() and value.isdigit() and (what is not None or len(value) <= _MOST_DIGITS):
            return int(value)
        if what is not None:
            raise NotFoundError(f"The link asks for {what} {value!r}, but {what}s have numbers. Choose one from the list instead.")
        raise ValueError(value)

    return _declared(Parameter(name, default, parse, of_model))


def numbers(name: str, *, most: int, of_model: bool = False) -> Any:
    """A field that is a tuple of whole numbers, at most so many; others are passed over."""

    def parse(value: str) -> tuple[int, ...]:
        parts = value.split(_BETWEEN)[:most]
        return tuple(int(part) for part in parts if part.isascii() and part.isdigit() and len(part) <= _MOST_DIGITS)

    return _declared(Parameter(name, (), parse, of_model))


def choice(name: str, options: Collection[str], *, default: str | None = None) -> Any:
    """A field that is one of `options`; the default is left out of links."""

    def parse(value: str) -> str:
        if value not in options:
            raise ValueError(value)
        return value

    return _declared(Parameter(name, default, parse))


def choices(name: str, options: Collection[str]) -> Any:
    """A field that is a tuple of some of `options`, in their order."""

    def parse(value: str) -> tuple[str, ...]:
        asked = value.split(_BETWEEN)
        return tuple(option for option in options if option in asked)

    return _declared(Parameter(name, (), parse))


def flag(name: str) -> Any:
    """A field that is true or false, as a bound toggle writes it."""
    return _declared(Parameter(name, False, lambda value: value == "true"))


def _declared(parameter: Parameter[Any]) -> Any:
    return field(default=parameter.default, metadata={"parameter": parameter})


Kind: TypeAlias = Literal["concepts", "images"]

LONGEST_NAME = 60
"""Characters of a selection's name."""
LARGEST_MEMBER = 2_000_000
"""Ids from here on are refused: a URL must not make the server reserve memory at will."""
LONGEST_LINK = 8_000
"""Characters of one selection in a URL; browsers and proxies cut longer ones. Larger selections stay in the session."""
_LETTERS: dict[Kind, str] = {"concepts": "c", "images": "i"}


@dataclass(frozen=True)
class Selection:
    """A named set of concepts or images of one model."""

    name: str
    kind: Kind
    members: tuple[int, ...]
    """Ids, ascending and distinct."""

    @classmethod
    def of(cls, kind: Kind, members: object, name: str | None = None) -> Selection:
        """A selection of any iterable of ids, in any order.

        Raises:
            InvalidInputError: an id is negative or beyond `LARGEST_MEMBER`.
        """
        ids = np.unique(np.fromiter(members, dtype=np.int64))  # type: ignore[call-overload]
        if len(ids) and not (ids[0] >= 0 and ids[-1] < LARGEST_MEMBER):
            raise InvalidInputError(
                f"A selection of {kind} has the id {ids[-1] if ids[0] >= 0 else ids[0]}, which cannot be. Select again."
            )
        return cls(tidy_name(name), kind, tuple(ids.tolist()))

    def __len__(self) -> int:
        return len(self.members)


def tidy_name(name: str | None) -> str:
    """A name without line breaks and control characters, not too long; "Selection" where nothing is left of it."""
    printable = "".join(character if character.isprintable() else " " for character in name or "")
    return " ".join(printable.split())[:LONGEST_NAME] or "Selection"


def encode_selection(selection: Selection, *, narrowed: bool = True) -> str | None:
    """A selection as letters, digits, "-" and "_"; None where it would be too long for a URL.

    The first letter says the kind, in upper case where the visitor keeps the selection but looks at everything.
    """
    name = selection.name.encode()
    bits = np.zeros(selection.members[-1] + 1 if selection.members else 0, bool)
    bits[list(selection.members)] = True
    packed = zlib.compress(bytes([len(name)]) + name + np.packbits(bits, bitorder="little").tobytes(), 9)
    letter = _LETTERS[selection.kind]
    text = (letter if narrowed else letter.upper()) + base64.urlsafe_b64encode(packed).decode().rstrip("=")
    return text if len(text) <= LONGEST_LINK else None


def decode_selection(text: str) -> tuple[Selection, bool]:
    """The selection that `encode_selection` wrote, and whether it narrows what is shown.

    Raises:
        InvalidInputError: the text was cut or changed; nothing of it is used.
    """
    kind = next((kind for kind, letter in _LETTERS.items() if text[:1].lower() == letter), None)
    broken = InvalidInputError("The selection in this link cannot be read: the link was cut off or changed. Ask for the full link.")
    if kind is None or len(text) > LONGEST_LINK or not text.isascii():
        raise broken
    try:
        packed = base64.b64decode(text[1:] + "=" * (-len(text[1:]) % 4), altchars=b"-_", validate=True)
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed, LARGEST_MEMBER // 8 + 256)
        if not unpacker.eof or unpacker.unused_data or not data or len(data) < 1 + data[0]:
            raise broken
        name = data[1 : 1 + data[0]].decode()
    except (binascii.Error, zlib.error, ValueError) as error:
        raise broken from error
    members = np.flatnonzero(np.unpackbits(np.frombuffer(data[1 + data[0] :], np.uint8), bitorder="little"))
    if not len(members) or members[-1] >= LARGEST_MEMBER:
        raise broken
    return Selection(tidy_name(name), kind, tuple(members.tolist())), text[0].islower()
