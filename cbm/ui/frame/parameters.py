"""Query parameters of the URL as typed values: read with validation, written in one way, made into links."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, NoReturn, TypeVar

import streamlit as st

from cbm.core.errors import NotFoundError

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
