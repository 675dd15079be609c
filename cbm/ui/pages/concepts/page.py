"""The parts of the concepts page, wired to the session and to what is shared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import streamlit as st
from jaxtyping import Bool, Int
from streamlit.delta_generator import DeltaGenerator

from cbm.core.errors import MissingWeightsError
from cbm.names.meaning import ALIKE
from cbm.study.concept_list import ShownConcepts, concept_frame
from cbm.study.study import Study
from cbm.study.views import ConceptTile
from cbm.ui.frame import empty
from cbm.ui.frame.text import counted
from cbm.ui.pages.concepts import panels, shared, state
from cbm.ui.pages.concepts.view import Asked, Candidates, merge_suggestions


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


def related(view: View, text: str, slot: DeltaGenerator) -> tuple[Mapping[str, float], str | None]:
    """Names near in meaning to what was typed, and an excuse where meanings cannot be had; the first time takes seconds, and says so."""
    if not text.strip():
        return {}, None
    try:
        if not shared.meanings_ready(view.root, view.model):
            note = "Reading the names, to search by meaning. Only the first search has to wait."
            with slot.container():
                bar = st.progress(0.0, text=note)
                shared.meanings(view.root, view.model, lambda share: bar.progress(share, text=note))
                found = shared.related_names(view.root, view.model, view.shown, text)
            slot.empty()
            return found, None
        return shared.related_names(view.root, view.model, view.shown, text), None
    except MissingWeightsError as error:
        slot.empty()
        return {}, str(error)


def _nothing(asked: Asked) -> None:
    if asked.text:
        empty.nothing_found(f"No concept fits “{asked.text}” here.")
    else:
        empty.nothing_found("No concept passes all of these filters.")
    st.button("Show all concepts", key="show_everything", icon=":material/filter_alt_off:", on_click=state.show_everything)


def _counted(view: View, concepts: Int[np.ndarray, " some"]) -> str:
    return f"{counted(len(concepts), 'concept')} of {int(view.shown.standing.sum()):,}"


def _selectable(view: View, concepts: Int[np.ndarray, " some"], asked: Asked) -> panels.Selectable | None:
    """What is listed, where that is less than everything and not the selection itself."""
    if len(concepts) == int(view.shown.standing.sum()) or (asked.members is not None and len(concepts) == len(asked.members)):
        return None
    return panels.Selectable(view.model, concepts, asked.text.strip() or asked.of_class)


def cards(view: View, concepts: Int[np.ndarray, " some"], asked: Asked, among: Candidates) -> None:
    """A page of cards."""
    if not len(concepts):
        _nothing(asked)
        return
    pages = -(-len(concepts) // panels.PER_PAGE)
    page = panels.result_line(_counted(view, concepts), pages, picking=True, found=_selectable(view, concepts, asked))
    here = concepts[(page - 1) * panels.PER_PAGE : page * panels.PER_PAGE].tolist()
    if st.session_state[state.PICKING]:
        panels.picking_bar(view.model, here, view.shown.names, asked.pins, view.address)
    found = among.found
    panels.card_grid(
        [view.tile(concept) for concept in here],
        model=view.model,
        address=view.address,
        because=None if found is None else found.because,
        pinned=asked.pins,
    )


def table(view: View, concepts: Int[np.ndarray, " some"], asked: Asked) -> None:
    """A page of the table, and all of it as a file."""
    if not len(concepts):
        _nothing(asked)
        return
    pages = -(-len(concepts) // panels.PER_TABLE_PAGE)
    page = panels.result_line(_counted(view, concepts), pages, found=_selectable(view, concepts, asked))
    here = concepts[(page - 1) * panels.PER_TABLE_PAGE : page * panels.PER_TABLE_PAGE]
    panels.concept_table(
        concept_frame(view.study, view.shown, here),
        model=view.model,
        largest=float(view.shown.columns.predictiveness.max(initial=0)),
        key=f"concepts_table-{page}",
    )
    panels.picking_bar(view.model, here.tolist(), view.shown.names, asked.pins, view.address)
    st.download_button(
        f"Download all {counted(len(concepts), 'row')} as CSV",
        lambda: concept_frame(view.study, view.shown, concepts).to_csv(index=False).encode(),
        "concepts.csv",
        "text/csv",
        key="concepts_csv",
        icon=":material/download:",
        on_click="ignore",
    )


def merges(view: View, kept: Bool[np.ndarray, " concepts"]) -> None:
    """Suggested merges, best first."""
    st.caption(
        "Concepts that seem to be one: their directions are near each other and their names mean nearly the same. "
        "A merge changes what is shown, never a prediction."
    )
    least = st.slider(
        "How alike they must be", 0.5, 0.95, ALIKE, 0.05, key="concepts_alike", bind="query-params", on_change=state.first_page, width=320
    )
    with st.spinner("Comparing directions and names. The first time takes seconds …"):
        layout = shared.pending_map(view.root, view.model).result()
        try:
            meanings = shared.with_own_names(shared.meanings(view.root, view.model), view.shown)
        except MissingWeightsError as error:
            st.caption(f":material/info: {error}")
            return
    groups = () if layout is None else merge_suggestions(view.shown, kept, layout, meanings, least)
    if not groups:
        empty.nothing_found("No two concepts are so much alike.")
        return
    pages = -(-len(groups) // panels.GROUPS_PER_PAGE)
    page = panels.result_line(counted(len(groups), "suggested merge"), pages)
    panels.suggested_merges(
        groups[(page - 1) * panels.GROUPS_PER_PAGE : page * panels.GROUPS_PER_PAGE], view.tile, model=view.model, address=view.address
    )
