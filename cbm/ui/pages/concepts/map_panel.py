"""The map on the concepts page: what it shows, and what follows from what the visitor does on it."""

from __future__ import annotations

import numpy as np
import streamlit as st
from jaxtyping import Bool

from cbm.study.concept_list import ShownConcepts
from cbm.study.concept_map import ConceptMap, name_regions
from cbm.ui.frame import empty, navigation, selections
from cbm.ui.pages.concepts import shared, state
from cbm.ui.pages.concepts.page import View
from cbm.ui.widgets.components.concept_map import COLOURS, MapEvent, MapPoints, concept_map, pack_points, send_points
from cbm.ui.widgets.thumbnails import strip, theme

_OPENED = "concept_map_opened"
_CHANGED = "concept_map_changed"
_WANTED = "concept_map_wanted"
_PICTURES = 4


@st.cache_resource(max_entries=8, show_spinner=False)
def _points(
    root: str,
    model: str,
    renamed: tuple[tuple[int, str], ...],
    absent: tuple[int, ...],
    _shown: ShownConcepts,
    _layout: ConceptMap,
    _classes: tuple[str, ...],
) -> MapPoints:
    columns = _shown.columns
    visible = _shown.standing & ~_shown.hidden
    importance = np.where(visible & _shown.named, columns.frequency, 0)
    return pack_points(
        _layout.positions,
        _shown.names,
        shown=visible,
        named=_shown.named,
        frequency=columns.frequency,
        score=columns.score,
        top_class=columns.fires_for,
        classes=_classes,
        regions=name_regions(_layout.positions, _shown.names, importance),
    )


def map_panel(view: View, kept: Bool[np.ndarray, " concepts"]) -> None:
    """The map of all concepts; those that are not listed are faint."""
    with st.spinner("Laying out the map. The first time takes seconds …"):
        layout = shared.pending_map(view.root, view.model).result()
    if layout is None:
        empty.nothing_found("This model's concepts are no directions of the embedding space, so there is no map of them.")
        return
    shown = view.shown
    absent = tuple(np.flatnonzero(shown.hidden | ~shown.standing).tolist())
    points = _points(view.root, view.model, tuple(sorted(shown.renamed.items())), absent, shown, layout, view.study.classes)
    colour = st.segmented_control(
        "Colour by", list(COLOURS), default="Class", required=True, key=state.COLOUR, bind="query-params", label_visibility="collapsed"
    )
    with st.container(gap=None):
        _canvas(view, points, kept, str(colour))
        send_points(points, key="concept_map_points")
    st.caption(
        "Near points are near directions; larger ones fire on more images. Drag to move, scroll to zoom, click to open a concept. "
        "Draw around concepts with the lasso, or with Shift held down, to select them."
    )


@st.fragment
def _canvas(view: View, points: MapPoints, kept: Bool[np.ndarray, " concepts"], colour: str) -> None:
    opened = st.session_state.pop(_OPENED, None)
    if opened is not None:
        state.leave_for(opened)
        st.switch_page(navigation.CONCEPT, query_params={"concept": str(opened), **view.address})
    if st.session_state.pop(_CHANGED, False):
        st.rerun()
    chosen = selections.current(view.model, "concepts")
    selected = None
    if chosen is not None:
        selected = np.zeros(len(kept), bool)
        selected[[member for member in chosen.members if member < len(kept)]] = True
    wanted = st.session_state.pop(_WANTED, ())
    concept_map(
        points,
        kept=kept,
        selected=selected,
        colour=COLOURS[colour],
        pictures={concept: _strip(view, concept) for concept in wanted},
        label=(
            f"Map of {int(kept.sum()):,} concepts. Arrow keys move, plus and minus zoom, Tab goes through the named concepts, "
            "Enter opens one, Space selects it, Escape lets go."
        ),
        key="concept_map",
        on_event=lambda event: _follow(view.model, event),
    )


def _strip(view: View, concept: int) -> str:
    uris = view.tile(concept).uris[:_PICTURES]
    return strip(uris, theme(), columns=_PICTURES, rows=1, size=64) if uris else ""


def _follow(model: str, event: MapEvent) -> None:
    if event.opened is not None:
        st.session_state[_OPENED] = event.opened
    if event.wanted:
        st.session_state[_WANTED] = event.wanted
    if event.selected:
        selections.select(model, "concepts", event.selected)
        _changed()
    elif event.cleared:
        selections.clear(model, "concepts")
        _changed()


def _changed() -> None:
    st.session_state[_CHANGED] = True
    state.first_page()
