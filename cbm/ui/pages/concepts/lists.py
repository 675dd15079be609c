"""Concepts as cards and as a table, the ones that a visitor picks and pins, and what can be done with those."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import pandas as pd
import streamlit as st
from jaxtyping import Int

from cbm.editing.recipe import HideConcepts, MergeConcepts
from cbm.study.concept_list import ShownConcepts, concept_frame
from cbm.study.concept_search import Candidates, ConceptQuery
from cbm.study.concept_view import ConceptSummary
from cbm.study.study import Study
from cbm.ui.frame import edits, layout, selections
from cbm.ui.frame.formats import counted
from cbm.ui.frame.layout import linked_pager
from cbm.ui.frame.links import in_url
from cbm.ui.frame.slots import Slot, chosen_rows, set_widget, widget_value
from cbm.ui.frame.state import ConceptPage, ConceptsPage, Link
from cbm.ui.widgets.galleries import concept_card

PICKING = Slot(ConceptsPage.key("picking"), False)
"""Whether cards can be ticked."""
_TICKED_ROWS = Slot(ConceptsPage.key("rows_ticked"), False)
_MOST_PINS = 48


def first_page() -> None:
    """Callback of whatever changes what is listed."""
    ConceptsPage.put(page=None)


# Pins


def pins(model: str) -> tuple[int, ...]:
    """Concepts that the visitor pinned, or that the link has pinned; the URL then names them."""
    if not ConceptsPage.PINS.has(model):
        ConceptsPage.PINS.put(model, ConceptsPage.read().pinned)
    held = ConceptsPage.PINS.get(model)
    ConceptsPage.put(pinned=held)
    return held


def pin(model: str) -> None:
    """Pin the picked concepts; where all of them are pinned already, take them off instead."""
    held, chosen = pins(model), picks(model)
    if all(concept in held for concept in chosen):
        kept = tuple(concept for concept in held if concept not in chosen)
    else:
        kept = tuple(dict.fromkeys([*held, *chosen]))[:_MOST_PINS]
    ConceptsPage.PINS.put(model, kept)
    drop_picks(model)


# Picks


def picks(model: str) -> tuple[int, ...]:
    """Concepts whose cards are ticked, in the order of ticking."""
    return ConceptsPage.PICKS.get(model)


def drop_picks(model: str) -> None:
    set_picks(model, ())


def set_picks(model: str, concepts: Sequence[int]) -> None:
    ConceptsPage.PICKS.put(model, tuple(dict.fromkeys(concepts)))


def tick(model: str, concept: int, key: str) -> None:
    """Callback of a card's box."""
    others = tuple(picked for picked in picks(model) if picked != concept)
    set_picks(model, (*others, concept) if widget_value(key) else others)


def tick_rows(model: str, concepts: Sequence[int]) -> None:
    """After the table was drawn: its ticked rows are the picks; what was picked as cards stays until a row is ticked."""
    if concepts or _TICKED_ROWS.get():
        set_picks(model, concepts)
    _TICKED_ROWS.put(bool(concepts))


# What may be done with the picked concepts: each is one edit, and one undo


def hide_picked(model: str, names: Sequence[str]) -> None:
    if picks(model):
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        edits.add(model, HideConcepts(picks(model), shown))
    drop_picks(model)


def merge(model: str, concepts: Sequence[int], names: Sequence[str], name: str) -> None:
    """Show several concepts as one; nothing for fewer than two."""
    if len(concepts) > 1 and name.strip():
        edits.add(model, MergeConcepts(tuple(concepts), tuple(names), name.strip()))
    drop_picks(model)


def merge_picked(model: str, names: Sequence[str], key: str) -> None:
    merge(model, picks(model), names, str(widget_value(key) or "") or names[0])


def select_picked(model: str) -> None:
    selections.select(model, "concepts", picks(model))
    drop_picks(model)
    first_page()


def select_found(model: str, concepts: tuple[int, ...], name: str | None) -> None:
    selections.select(model, "concepts", concepts, name)
    first_page()


# Cards and the table

_PER_PAGE = 24
_PER_TABLE_PAGE = 500
_LEFT = Slot[tuple[int | None, tuple[tuple[str, str], ...]]](ConceptsPage.key("left_for"), (None, ()))
"""The concept for whose page this one was left, and what its URL was."""


@dataclass(frozen=True, eq=False)
class View:
    """What every part of the page works with."""

    root: str
    model: str
    study: Study
    shown: ShownConcepts
    selection: str | None = None
    """What links take along."""

    def page(self, concept: int) -> ConceptPage:
        return ConceptPage(concept, selection=self.selection)

    def tile(self, concept: int) -> ConceptSummary:
        return self.study.with_pictures([self.shown.tile(self.study, concept)])[0]


@dataclass(frozen=True, eq=False)
class _Selectable:
    """What is listed, to be kept as a selection."""

    model: str
    concepts: Int[np.ndarray, " some"]
    name: str | None


# Leaving the page and coming back


def leave_for(view: View, concept: int) -> NoReturn:
    """Turn to a concept's page, and remember what was looked at.

    On the way Streamlit puts `concepts?concept=17` into the browser's history, where the visitor's way back leads.
    """
    _LEFT.put((concept, tuple(in_url().items())))
    view.page(concept).link().open()


def come_back() -> None:
    """Where the URL names a concept only because the visitor came back from its page: show what was looked at before."""
    concept, before = _LEFT.get()
    if concept is not None and ConceptPage.read().concept == concept:
        Link(ConceptsPage.SCRIPT, dict(before)).open()


def change_filters() -> None:
    first_page()
    ConceptsPage.put(shown=tuple(ConceptsPage.FILTERS.get()))


def _show_everything() -> None:
    """Take the search and all filters back."""
    set_widget(ConceptsPage.key("search"), "")
    set_widget(ConceptsPage.key("class"), None)
    ConceptsPage.FILTERS.put([])
    change_filters()


# Cards and the table


def _nothing(query: ConceptQuery) -> None:
    if query.text:
        layout.nothing_found(f"No concept fits “{query.text}” here.")
    else:
        layout.nothing_found("No concept passes all of these filters.")
    st.button("Show all concepts", key=ConceptsPage.key("show_everything"), icon=":material/filter_alt_off:", on_click=_show_everything)


def _counted(view: View, concepts: Int[np.ndarray, " some"]) -> str:
    return f"{counted(len(concepts), 'concept')} of {int(view.shown.standing.sum()):,}"


def _selectable(view: View, concepts: Int[np.ndarray, " some"], query: ConceptQuery) -> _Selectable | None:
    """What is listed, where that is less than everything and not the selection itself."""
    if len(concepts) == int(view.shown.standing.sum()) or (query.members is not None and len(concepts) == len(query.members)):
        return None
    return _Selectable(view.model, concepts, query.text.strip() or query.of_class)


def cards(view: View, concepts: Int[np.ndarray, " some"], query: ConceptQuery, among: Candidates) -> None:
    """A page of cards."""
    if not len(concepts):
        _nothing(query)
        return
    part = result_line(_counted(view, concepts), len(concepts), _PER_PAGE, picking=True, found=_selectable(view, concepts, query))
    here = concepts[part].tolist()
    if PICKING.get():
        _picking_bar(view, here, query.pins)
    _card_grid(view, here, because=None if among.found is None else among.found.because, pinned=query.pins)


def table(view: View, concepts: Int[np.ndarray, " some"], query: ConceptQuery) -> None:
    """A page of the table, and all of it as a file."""
    if not len(concepts):
        _nothing(query)
        return
    part = result_line(_counted(view, concepts), len(concepts), _PER_TABLE_PAGE, found=_selectable(view, concepts, query))
    here = concepts[part]
    _concept_table(
        concept_frame(view.study, view.shown, here),
        model=view.model,
        largest=float(view.shown.columns.predictiveness.max(initial=0)),
        key=ConceptsPage.key("table", part.start // _PER_TABLE_PAGE + 1),
    )
    _picking_bar(view, here.tolist(), query.pins)
    st.download_button(
        f"Download all {counted(len(concepts), 'row')} as CSV",
        lambda: concept_frame(view.study, view.shown, concepts).to_csv(index=False).encode(),
        "concepts.csv",
        "text/csv",
        key=ConceptsPage.key("csv"),
        icon=":material/download:",
        on_click="ignore",
    )


def result_line(text: str, count: int, per_page: int, *, picking: bool = False, found: _Selectable | None = None) -> slice:
    """What is listed, and which page of it is shown.

    Args:
        picking: whether there is a switch for picking cards.
        found: offered to become a selection.
    """
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", gap="small", key=ConceptsPage.key("line")
    ):
        with st.container(horizontal=True, vertical_alignment="center", width="content", gap="medium"):
            st.caption(text, width="content")
            if picking:
                st.toggle("Pick several", key=PICKING.key, persist_state="session")
            if found is not None:
                st.button(
                    f"Select all {len(found.concepts):,}",
                    key=ConceptsPage.key("select_found"),
                    icon=":material/select:",
                    type="tertiary",
                    on_click=select_found,
                    args=(found.model, tuple(found.concepts.tolist()), found.name),
                    help="Save the listed concepts as a selection for other pages.",
                )
        return linked_pager(count, per_page, number=ConceptsPage.parameters()["page"])


def _card_grid(view: View, concepts: Sequence[int], *, because: Callable[[int], str] | None, pinned: Sequence[int]) -> None:
    """Cards, each with a box to tick where several are being picked, and with the reason where something was searched."""
    picking, picked = PICKING.get(), set(picks(view.model))
    with st.grid(4, min_column_width=145, gap="small", border=True, key=ConceptsPage.key("cards")) as grid:
        for tile in map(view.tile, concepts):
            with grid.cell():
                concept_card(tile, selection=view.selection)
                notes = [because(tile.index)] if because else []
                notes += [":material/keep: pinned"] if tile.index in pinned else []
                if notes:
                    st.caption(" · ".join(notes))
                if picking:
                    key = ConceptsPage.key("pick", tile.index)
                    set_widget(key, tile.index in picked)
                    st.checkbox("Pick", key=key, on_change=tick, args=(view.model, tile.index, key))


def _picking_bar(view: View, page: Sequence[int], pinned: Sequence[int]) -> None:
    """What can be done with the picked concepts together: select, merge, hide, pin."""
    model, key = view.model, ConceptsPage.key
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=key("bar")):
        chosen = picks(model)
        st.button("Pick this page", key=key("pick_page"), type="tertiary", on_click=set_picks, args=(model, (*chosen, *page)))
        if not chosen:
            st.caption("Tick some, then merge, hide, pin or select them together.", width="content")
            return
        shown = [view.shown.names[concept] for concept in chosen]
        st.badge(f"{len(chosen)} picked")
        st.button("Make a selection", key=key("select_picked"), icon=":material/select:", on_click=select_picked, args=(model,))
        with st.popover("Merge", icon=":material/merge:", disabled=len(chosen) < 2, key=key("merge_menu")):
            st.caption(f"Show {len(chosen)} concepts as one. Predictions do not change; undo reverts it.")
            name = key("merge_name")
            st.text_input("Name", key=name, placeholder=shown[0], max_chars=80)
            st.button("Merge into one", key=key("merge_picked"), type="primary", on_click=merge_picked, args=(model, shown, name))
        st.button("Hide", key=key("hide_picked"), icon=":material/visibility_off:", on_click=hide_picked, args=(model, shown))
        if len(chosen) == 1:
            view.page(chosen[0]).link().draw("Open", icon=":material/visibility:")
        everything = all(concept in pinned for concept in chosen)
        st.button("Unpin" if everything else "Pin", key=key("pin_picked"), icon=":material/keep:", on_click=pin, args=(model,))
        st.button("None", key=key("drop_picks"), icon=":material/close:", type="tertiary", on_click=drop_picks, args=(model,))


def _concept_table(frame: pd.DataFrame, *, model: str, largest: float, key: str) -> None:
    """One page of the table; ticked rows are picked."""
    # Streamlit sends what it is given as it is: what nobody sees here stays in the download.
    st.dataframe(
        frame.drop(columns=["named", "hidden", "represents"]).assign(frequency=100 * frame["frequency"]),
        key=key,
        hide_index=True,
        height=560,
        on_select="rerun",
        selection_mode="multi-row",
        alt=f"Table of {len(frame)} concepts with frequency, predictiveness, name score and class",
        column_config={
            "concept": st.column_config.NumberColumn("No.", width="small"),
            "name": st.column_config.TextColumn("Name", width="medium"),
            "frequency": st.column_config.ProgressColumn(
                "Frequency",
                format="%.2f %%",
                min_value=0.0,
                max_value=100 * float(frame["frequency"].max() or 1),
                help="Share of the images.",
            ),
            "predictiveness": st.column_config.ProgressColumn(
                "Predictiveness", format="%.4f", min_value=0.0, max_value=largest or 1.0, help="Mean |contribution|, in logits."
            ),
            "name_score": st.column_config.NumberColumn("Name score", format="%.2f"),
            "top_class": st.column_config.TextColumn("Supports"),
        },
    )
    tick_rows(model, frame["concept"].to_numpy()[chosen_rows(key)].tolist())
