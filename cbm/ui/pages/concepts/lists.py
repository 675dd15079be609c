"""Concepts as cards and as a table, and what can be done with those that are picked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import streamlit as st
from jaxtyping import Int

from cbm.study.concept_list import ShownConcepts, concept_frame
from cbm.study.concept_search import Candidates, ConceptQuery
from cbm.study.study import Study
from cbm.study.views import ConceptTile
from cbm.ui.frame import empty, navigation
from cbm.ui.frame.text import counted
from cbm.ui.pages.concepts import state
from cbm.ui.widgets.galleries import concept_card

_PER_PAGE = 24
_PER_TABLE_PAGE = 500


@dataclass(frozen=True, eq=False)
class View:
    """What every part of the page works with."""

    root: str
    model: str
    study: Study
    shown: ShownConcepts
    address: Mapping[str, str] = field(default_factory=dict)

    def tile(self, concept: int) -> ConceptTile:
        return self.study.with_pictures([self.shown.tile(self.study, concept)])[0]


@dataclass(frozen=True, eq=False)
class _Selectable:
    """What is listed, to be kept as a selection."""

    model: str
    concepts: Int[np.ndarray, " some"]
    name: str | None


def _nothing(query: ConceptQuery) -> None:
    if query.text:
        empty.nothing_found(f"No concept fits “{query.text}” here.")
    else:
        empty.nothing_found("No concept passes all of these filters.")
    st.button("Show all concepts", key="show_everything", icon=":material/filter_alt_off:", on_click=state.show_everything)


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
    pages = -(-len(concepts) // _PER_PAGE)
    page = result_line(_counted(view, concepts), pages, picking=True, found=_selectable(view, concepts, query))
    here = concepts[(page - 1) * _PER_PAGE : page * _PER_PAGE].tolist()
    if st.session_state[state.PICKING]:
        _picking_bar(view.model, here, view.shown.names, query.pins, view.address)
    found = among.found
    _card_grid(
        [view.tile(concept) for concept in here],
        model=view.model,
        address=view.address,
        because=None if found is None else found.because,
        pinned=query.pins,
    )


def table(view: View, concepts: Int[np.ndarray, " some"], query: ConceptQuery) -> None:
    """A page of the table, and all of it as a file."""
    if not len(concepts):
        _nothing(query)
        return
    pages = -(-len(concepts) // _PER_TABLE_PAGE)
    page = result_line(_counted(view, concepts), pages, found=_selectable(view, concepts, query))
    here = concepts[(page - 1) * _PER_TABLE_PAGE : page * _PER_TABLE_PAGE]
    _concept_table(
        concept_frame(view.study, view.shown, here),
        model=view.model,
        largest=float(view.shown.columns.predictiveness.max(initial=0)),
        key=f"concepts_table-{page}",
    )
    _picking_bar(view.model, here.tolist(), view.shown.names, query.pins, view.address)
    st.download_button(
        f"Download all {counted(len(concepts), 'row')} as CSV",
        lambda: concept_frame(view.study, view.shown, concepts).to_csv(index=False).encode(),
        "concepts.csv",
        "text/csv",
        key="concepts_csv",
        icon=":material/download:",
        on_click="ignore",
    )


def result_line(text: str, pages: int, *, picking: bool | None = None, found: _Selectable | None = None) -> int:
    """What is listed, and which page of it is shown.

    Args:
        picking: whether cards may be picked; None where there are none, or where all can be.
        found: offered to become a selection.
    """
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", gap="small", key="concepts_line"):
        with st.container(horizontal=True, vertical_alignment="center", width="content", gap="medium"):
            st.caption(text, width="content")
            if picking is not None:
                st.toggle("Pick several", key=state.PICKING, persist_state="session")
            if found is not None:
                st.button(
                    f"Select all {len(found.concepts):,}",
                    key="select_found",
                    icon=":material/select:",
                    type="tertiary",
                    on_click=state.select_found,
                    args=(found.model, tuple(found.concepts.tolist()), found.name),
                    help="Keep what is listed as a selection that other pages can use.",
                )
        return state.pager(pages)


def _card_grid(
    tiles: Sequence[ConceptTile], *, model: str, address: Mapping[str, str], because: Callable[[int], str] | None, pinned: Sequence[int]
) -> None:
    """Cards, each with a box to tick where several are being picked, and with the reason where something was searched."""
    picking = bool(st.session_state.get(state.PICKING))
    picked = set(state.picks(model))
    with st.grid(4, min_column_width=145, gap="small", border=True, key="concepts") as grid:
        for tile in tiles:
            with grid.cell():
                concept_card(tile, address=address)
                notes = [because(tile.index)] if because else []
                notes += [":material/keep: pinned"] if tile.index in pinned else []
                if notes:
                    st.caption(" · ".join(notes))
                if picking:
                    key = f"pick-{tile.index}"
                    st.session_state[key] = tile.index in picked
                    st.checkbox("Pick", key=key, on_change=state.tick, args=(model, tile.index, key))


def _picking_bar(model: str, page: Sequence[int], names: Sequence[str], pinned: Sequence[int], address: Mapping[str, str]) -> None:
    """What can be done with the picked concepts together: select, merge, hide, pin."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="concepts_bar"):
        picks = state.picks(model)
        st.button("Pick this page", key="pick_page", type="tertiary", on_click=state.set_picks, args=(model, (*picks, *page)))
        if not picks:
            st.caption("Tick some, then merge, hide, pin or select them together.", width="content")
            return
        shown = [names[concept] for concept in picks]
        st.badge(f"{len(picks)} picked")
        st.button("Make a selection", key="select_picked", icon=":material/select:", on_click=state.select_picked, args=(model,))
        with st.popover("Merge", icon=":material/merge:", disabled=len(picks) < 2, key="merge_menu"):
            st.caption(f"Show {len(picks)} concepts as one. Predictions stay as they are; undo takes it back.")
            st.text_input("Name", key="merge_name", placeholder=shown[0], max_chars=80)
            st.button("Merge into one", key="merge_picked", type="primary", on_click=state.merge_picked, args=(model, shown, "merge_name"))
        st.button("Hide", key="hide_picked", icon=":material/visibility_off:", on_click=state.hide_picked, args=(model, shown))
        if len(picks) == 1:
            st.page_link(navigation.CONCEPT, label="Open", icon=":material/visibility:", query_params={**address, "concept": str(picks[0])})
        everything = all(concept in pinned for concept in picks)
        st.button("Unpin" if everything else "Pin", key="pin_picked", icon=":material/keep:", on_click=state.pin, args=(model,))
        st.button("None", key="drop_picks", icon=":material/close:", type="tertiary", on_click=state.drop_picks, args=(model,))


def _concept_table(frame: pd.DataFrame, *, model: str, largest: float, key: str) -> None:
    """One page of the table; ticked rows are picked."""
    # Streamlit sends what it is given as it is: what nobody sees here stays in the download.
    chosen = st.dataframe(
        frame.drop(columns=["named", "hidden", "stands_for"]).assign(frequency=100 * frame["frequency"]),
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
    state.tick_rows(model, frame["concept"].to_numpy()[chosen["selection"]["rows"]].tolist())
