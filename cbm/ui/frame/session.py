"""Former names of `chosen`, `edits` and `state`, until every page uses those."""

from __future__ import annotations

import streamlit as st

from cbm.core.errors import NotFoundError
from cbm.ui.access import modes
from cbm.ui.frame.chosen import current as current_model
from cbm.ui.frame.chosen import show as show_model
from cbm.ui.frame.edits import add as add_edit
from cbm.ui.frame.edits import change as change_recipe
from cbm.ui.frame.edits import recipe, rename, start_from, switch
from cbm.ui.frame.state import MODEL, short

__all__ = ["add_edit", "change_recipe", "current_model", "recipe", "rename", "short", "show_model", "start_from", "switch"]

_CONCEPT = "concept"
_IMAGE = "image"


def link(model: str, default: str, **parameters: object) -> dict[str, str]:
    """Query parameters of a permalink; the default model and absent values are left out."""
    named = modes.address() | ({} if model == default else {MODEL.name: short(model)})
    return named | {name: str(value) for name, value in parameters.items() if value is not None}


def asks_for_concept() -> bool:
    return _CONCEPT in st.query_params


def concept_in_link() -> int | None:
    """The concept that the address asks for.

    Raises:
        NotFoundError: the address names no concept by number.
    """
    text = st.query_params.get(_CONCEPT)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise NotFoundError(f"The link asks for concept {text!r}, but concepts have numbers. Choose one from the list instead.")
    return int(text)


def image_in_link() -> str | None:
    """The item that the address asks for."""
    return st.query_params.get(_IMAGE)


def put_image_in_link(item: str) -> None:
    st.query_params[_IMAGE] = item


def asked(parameter: str) -> str | None:
    """What the address says about `parameter`, for those that no widget is bound to."""
    return st.query_params.get(parameter)


def put(parameter: str, value: object | None) -> None:
    """Write a parameter into the address, or take it out."""
    if value is None:
        st.query_params.pop(parameter, None)
    else:
        st.query_params[parameter] = str(value)
