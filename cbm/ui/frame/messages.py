"""How the app speaks to its visitor: errors, refusals and notes, each in one way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import streamlit as st

from cbm.core.errors import CbmError
from cbm.ui.frame.slots import Slot

T = TypeVar("T")
R = TypeVar("R")
_TOP = "page"


def error(message: str, *, hint: str | None = None) -> None:
    """A mistake that a user can mend: what was wrong, and what to do next."""
    # Messages repeat what a URL says, which whoever made the link chose: it must make no links and no pictures.
    st.error(message.replace("[", "\\["), icon=":material/error:")
    if hint:
        st.caption(hint)


def note(message: str, *, icon: str = ":material/info:") -> None:
    """One quiet line of Markdown that explains what is or is not shown."""
    st.caption(f"{icon} {message}")


def readable(entries: Iterable[T], read: Callable[[T], R]) -> list[R]:
    """Each entry as `read` gives it; a damaged one is reported and does not hide the others."""
    found = []
    for entry in entries:
        try:
            found.append(read(entry))
        except CbmError as problem:
            error(str(problem))
    return found


def refuse(message: str, *, at: str = _TOP) -> None:
    """From a callback: show an error once in the next run, where the page calls `show_refusal(at=…)`; above the page by default."""
    _refusal(at).put(message)


@contextlib.contextmanager
def refusals(*, at: str = _TOP) -> Iterator[None]:
    """Around the body of a callback, which has no place of its own on the page: what the visitor can mend is shown by `show_refusal`."""
    try:
        yield
    except CbmError as problem:
        refuse(str(problem), at=at)


def show_refusal(*, at: str = _TOP) -> None:
    """Why the last callback did not do what was asked; once."""
    message = _refusal(at).take()
    if message:
        error(message)


def _refusal(at: str) -> Slot[str]:
    return Slot(f"refused_{at}", "")
