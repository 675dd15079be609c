"""What pages are laid out with: title, headline figures, page numbers of a long list, and the card where there is nothing yet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import streamlit as st

from cbm.ui.frame.links import Parameter
from cbm.ui.frame.slots import widget_value
from cbm.ui.frame.state import StartPage


@dataclass(frozen=True)
class Headline:
    """One figure of a page's first row."""

    label: str
    value: str
    help: str
    delta: str | None = None
    """A change, with its sign first, or a comparison in words."""


def headline_row(headlines: Sequence[Headline], *, key: str) -> None:
    with st.grid(max(1, len(headlines)), min_column_width=150, gap="small", key=key) as grid:
        for headline in headlines:
            change = (headline.delta or "").startswith(("+", "-")) and not (headline.delta or "").startswith("+0.0")
            grid.metric(
                headline.label,
                headline.value,
                headline.delta,
                help=headline.help,
                border=True,
                height="stretch",
                delta_color="normal" if change else "off",
                delta_arrow="auto" if change else "off",
            )


def page_title(title: str, sentence: str) -> None:
    st.title(title, anchor=False)
    st.markdown(sentence)


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


@contextlib.contextmanager
def empty_card(title: str, why: str, *, icon: str, key: str | None = None) -> Iterator[None]:
    """A card with a heading and one sentence or two; what is drawn inside the `with` block, links and buttons, says what to do.

    Args:
        icon: a Material symbol (":material/category:").
    """
    with st.container(border=True, horizontal_alignment="center", key=key):
        st.markdown(f"## {icon}", text_alignment="center", anchors=False)
        st.subheader(title, anchor=False, text_alignment="center", width="stretch")
        st.markdown(why, text_alignment="center")
        with st.container(horizontal=True, horizontal_alignment="center"):
            yield


def no_models(things: str) -> None:
    """A page that needs a model, in a workspace without one."""
    why = (
        "This workspace has no concept model. Build the demo on the start page (a few minutes, nothing is downloaded), "
        "or train one of your own with `cbm embed`, `discover`, `name` and `train`."
    )
    with empty_card(f"No {things} yet", why, icon=":material/deployed_code:"):
        StartPage().link().draw("Go to start", icon=":material/arrow_forward:")


def nothing_found(sentence: str, *, hint: str = "Try a shorter word, or show all concepts.") -> None:
    """A search or a filter that leaves nothing."""
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(f":material/search_off: {sentence}", text_alignment="center")
        if hint:
            st.caption(hint, text_alignment="center")
