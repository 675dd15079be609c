"""Page numbers below or beside a long list; one page's part of the list comes back as a slice."""

from __future__ import annotations

import streamlit as st

from cbm.ui.frame.parameters import Parameter
from cbm.ui.frame.slots import widget_value

_MOST_SHOWN = 5


def pager(count: int, per_page: int, *, key: str, start: int = 0) -> slice:
    """Draw the page numbers of a list, where it has several pages.

    Args:
        key: of the widget. Let it name what is listed ("image_page-Wrong-cat"): the page number of one list means nothing in another.
        start: position of the item whose page is shown first.
    """
    pages = -(-count // per_page)
    if pages <= 1:
        return slice(0, per_page)
    first = min(max(0, start) // per_page + 1, pages)
    return _part(int(st.pagination(pages, default=first, key=key, max_visible_pages=_MOST_SHOWN)), per_page)


def linked_pager(count: int, per_page: int, *, number: Parameter[int]) -> slice:
    """`pager` whose page number is part of the URL, so that links, reloading and the browser's way back keep it.

    What changes the list takes the parameter out of the URL.
    """
    pages = -(-count // per_page)
    if pages <= 1:
        return slice(0, per_page)
    shown = min(max(1, number.read()), pages)
    # Streamlit's pager warns where it has a default and is set as well, so each page has a pager of its own.
    key = f"{number.name}-{shown}"
    return _part(int(st.pagination(pages, default=shown, key=key, on_change=_turn, args=(number, key))), per_page)


def _part(page: int, per_page: int) -> slice:
    return slice((page - 1) * per_page, page * per_page)


def _turn(number: Parameter[int], key: str) -> None:
    number.put(int(widget_value(key) or 1))
