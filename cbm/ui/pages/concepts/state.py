"""What a visitor does on the concepts page: filters, picked cards and pins; ids only. Filters and pins stand in the address."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from cbm.editing.recipe import HideConcepts, MergeConcepts
from cbm.study.concept_list import Filter
from cbm.ui.frame import selections, session

SEARCH = "concepts_search"
SORT = "concepts_sort"
CLASS = "concepts_class"
VIEW = "concepts_view"
_PAGE = "concepts_page"
_LISTS = "concepts_lists"
COLOUR = "concepts_colour"
_LEFT = "concepts_left_for"
FILTERS = "concepts_filters"
PICKING = "concepts_picking"
_SHOW_PARAMETER = "concepts_show"
_PINS_PARAMETER = "concepts_pinned"
_PICKS = "concept_picks"
_PINS = "concept_pins"
_ROWS = "concept_rows_ticked"
_MOST_PINS = 48
_BETWEEN = "."


def first_page() -> None:
    """Callback of whatever changes what is listed."""
    # A widget of its own for each list: the page number of one means nothing in another.
    st.session_state[_LISTS] = st.session_state.get(_LISTS, 0) + 1
    session.put(_PAGE, None)


def pager(pages: int) -> int:
    """Draw the page numbers of a list, where it has several; the number stands in the address."""
    if pages <= 1:
        return 1
    asked = session.asked(_PAGE) or "1"
    number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 8 else 1
    key = f"{_PAGE}-{st.session_state.get(_LISTS, 0)}-{pages}"
    return st.pagination(pages, default=min(max(1, number), pages), key=key, on_change=_turn, args=(key,))


def _turn(key: str) -> None:
    number = int(st.session_state[key])
    session.put(_PAGE, number if number > 1 else None)


# Leaving the page and coming back


def leave_for(concept: int) -> None:
    """Before the app itself turns to a concept's page: remember what was looked at.

    On the way Streamlit puts `concepts?concept=17` into the browser's history, where the visitor's way back leads.
    """
    st.session_state[_LEFT] = (concept, tuple(st.query_params.to_dict().items()))


def came_back() -> dict[str, str] | None:
    """Where the address names a concept only because the visitor came back from its page: the address of what was looked at before."""
    concept, address = st.session_state.get(_LEFT, (None, ()))
    if concept is None or session.asked("concept") != str(concept):
        return None
    session.put("concept", None)
    return dict(address)


# Filters


def read_filters() -> None:
    """Before the filters are drawn: on the first run of a visit they are as the address says, later the address follows them."""
    if FILTERS not in st.session_state:
        asked = (session.asked(_SHOW_PARAMETER) or "").split(_BETWEEN)
        st.session_state[FILTERS] = [known for known in Filter if known in asked]
    session.put(_SHOW_PARAMETER, _BETWEEN.join(st.session_state[FILTERS]) or None)


def change_filters() -> None:
    first_page()
    session.put(_SHOW_PARAMETER, _BETWEEN.join(st.session_state[FILTERS]) or None)


def show_everything() -> None:
    """Take the search and all filters back."""
    st.session_state[SEARCH], st.session_state[CLASS], st.session_state[FILTERS] = "", None, []
    change_filters()


# Pins


def pins(model: str) -> tuple[int, ...]:
    """Concepts that the visitor pinned, or that the address has pinned."""
    held = st.session_state.get(_PINS, {})
    if model not in held:
        numbers = (session.asked(_PINS_PARAMETER) or "").split(_BETWEEN)[:_MOST_PINS]
        held = {**held, model: tuple(int(number) for number in numbers if number.isascii() and number.isdigit() and len(number) < 8)}
        st.session_state[_PINS] = held
    session.put(_PINS_PARAMETER, _BETWEEN.join(map(str, held[model])) or None)
    return held[model]


def pin(model: str) -> None:
    """Pin the picked concepts; where all of them are pinned already, take them off instead."""
    held, chosen = pins(model), picks(model)
    if all(concept in held for concept in chosen):
        kept = tuple(concept for concept in held if concept not in chosen)
    else:
        kept = tuple(dict.fromkeys([*held, *chosen]))[:_MOST_PINS]
    st.session_state[_PINS] = {**st.session_state[_PINS], model: kept}
    drop_picks(model)


# Picks


def picks(model: str) -> tuple[int, ...]:
    """Concepts whose cards are ticked, in the order of ticking."""
    return st.session_state.get(_PICKS, {}).get(model, ())


def drop_picks(model: str) -> None:
    set_picks(model, ())


def set_picks(model: str, concepts: Sequence[int]) -> None:
    st.session_state[_PICKS] = {**st.session_state.get(_PICKS, {}), model: tuple(dict.fromkeys(concepts))}


def tick(model: str, concept: int, key: str) -> None:
    """Callback of a card's box."""
    others = tuple(picked for picked in picks(model) if picked != concept)
    set_picks(model, (*others, concept) if st.session_state[key] else others)


def tick_rows(model: str, concepts: Sequence[int]) -> None:
    """After the table was drawn: its ticked rows are the picks; what was picked as cards stays until a row is ticked."""
    if concepts or st.session_state.get(_ROWS):
        set_picks(model, concepts)
    st.session_state[_ROWS] = bool(concepts)


# What may be done with the picked concepts: each is one edit, and one undo


def hide_picked(model: str, names: Sequence[str]) -> None:
    if picks(model):
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        session.add_edit(model, HideConcepts(picks(model), shown))
    drop_picks(model)


def merge(model: str, concepts: Sequence[int], names: Sequence[str], name: str) -> None:
    """Show several concepts as one; nothing for fewer than two."""
    if len(concepts) > 1 and name.strip():
        session.add_edit(model, MergeConcepts(tuple(concepts), tuple(names), name.strip()))
    drop_picks(model)


def merge_picked(model: str, names: Sequence[str], key: str) -> None:
    merge(model, picks(model), names, str(st.session_state.get(key) or "") or names[0])


def select_picked(model: str) -> None:
    selections.select(model, "concepts", picks(model))
    drop_picks(model)
    first_page()


def select_found(model: str, concepts: tuple[int, ...], name: str | None) -> None:
    selections.select(model, "concepts", concepts, name)
    first_page()
