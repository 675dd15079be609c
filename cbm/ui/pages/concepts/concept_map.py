"""The map of the concepts: made in the background and kept in the workspace; what a visitor opens or selects on it."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import streamlit as st
from jaxtyping import Bool

from cbm.model.concept_model import ConceptModel
from cbm.study.concept_list import ShownConcepts
from cbm.study.concept_map import ConceptMap, name_regions, stored_map
from cbm.ui.access import modes
from cbm.ui.frame import cache, resources, selections
from cbm.ui.frame.layout import nothing_found
from cbm.ui.frame.slots import Slot
from cbm.ui.frame.state import ConceptsPage
from cbm.ui.pages.concepts import picks
from cbm.ui.pages.concepts.lists import View, leave_for
from cbm.ui.widgets.components.concept_map import COLOURS, MapEvent, MapPoints, concept_map, pack_points, send_points
from cbm.ui.widgets.thumbnails import strip, theme

_NEARLY_EQUAL = 0.9
"""Cosine from which two directions count as nearly the same."""
_OPENED = Slot[int | None]("concept_map_opened", None)
_CHANGED = Slot("concept_map_changed", False)
_WANTED = Slot[tuple[int, ...]]("concept_map_wanted", ())
_PICTURES = 4
_background = ThreadPoolExecutor(1, thread_name_prefix="concept-map")


def directions_of(model: ConceptModel) -> np.ndarray | None:
    """One direction for each concept, where the bottleneck has such a thing."""
    return model.bottleneck.directions if model.bottleneck.abilities.directions else None


@cache.remember()
def pending_map(root: str, model: str) -> Future[ConceptMap | None]:
    """The map of a model's concepts, stored in the workspace; made in the background at the first question. None: it has no directions."""
    directions = directions_of(resources.study(root, model).model)
    return _background.submit(stored_map, Path(root) / "cache" / "maps", directions, keep=modes.may_write())


def near_duplicates(root: str, model: str, *, wait: bool = False) -> Bool[np.ndarray, " concepts"] | None:
    """Concepts with a nearly equal direction beside them; None while the map is being made, or where there is none."""
    pending = pending_map(root, model)
    if not (wait or pending.done()):
        return None
    found = pending.result()
    return None if found is None else np.asarray((found.similarities[:, :1] >= _NEARLY_EQUAL).any(axis=1))


@cache.remember()
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
    with st.spinner("Laying out the map. The first time takes a few seconds …"):
        layout = pending_map(view.root, view.model).result()
    if layout is None:
        nothing_found("This model's concepts are not directions in the embedding space, so they cannot be mapped.")
        return
    shown = view.shown
    absent = tuple(np.flatnonzero(shown.hidden | ~shown.standing).tolist())
    points = _points(view.root, view.model, tuple(sorted(shown.renamed.items())), absent, shown, layout, view.study.class_names)
    colour = st.segmented_control(
        "Colour by",
        list(COLOURS),
        default="Class",
        required=True,
        key=ConceptsPage.key("colour"),
        bind="query-params",
        label_visibility="collapsed",
    )
    with st.container(gap=None):
        _canvas(view, points, kept, str(colour))
        send_points(points, key="concept_map_points")
    st.caption(
        "Nearby points have similar directions; larger points fire on more images. Drag to move, scroll to zoom, click to open a concept. "
        "Draw around concepts with the lasso, or with Shift held down, to select them."
    )


@st.fragment
def _canvas(view: View, points: MapPoints, kept: Bool[np.ndarray, " concepts"], colour: str) -> None:
    opened = _OPENED.take()
    if opened is not None:
        leave_for(view, opened)
    if _CHANGED.take():
        st.rerun()
    chosen = selections.current(view.model, "concepts")
    selected = None
    if chosen is not None:
        selected = np.zeros(len(kept), bool)
        selected[[member for member in chosen.members if member < len(kept)]] = True
    wanted = _WANTED.take()
    concept_map(
        points,
        kept=kept,
        selected=selected,
        colour=COLOURS[colour],
        pictures={concept: _strip(view, concept) for concept in wanted},
        label=(
            f"Map of {int(kept.sum()):,} concepts. Arrow keys move, plus and minus zoom, Tab goes through the named concepts, "
            "Enter opens one, Space selects it, Escape clears the selection."
        ),
        key="concept_map",
        on_event=lambda event: _follow(view.model, event),
    )


def _strip(view: View, concept: int) -> str:
    uris = view.tile(concept).uris[:_PICTURES]
    return strip(uris, theme(), columns=_PICTURES, rows=1, size=64) if uris else ""


def _follow(model: str, event: MapEvent) -> None:
    if event.opened is not None:
        _OPENED.put(event.opened)
    if event.wanted:
        _WANTED.put(tuple(event.wanted))
    if event.selected:
        selections.select(model, "concepts", event.selected)
        _changed()
    elif event.cleared:
        selections.clear(model, "concepts")
        _changed()


def _changed() -> None:
    _CHANGED.put(True)
    picks.first_page()
