"""What the concepts' names mean: search by meaning, and merges of concepts that mean the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
import streamlit as st
from jaxtyping import Bool
from streamlit.delta_generator import DeltaGenerator

from cbm.core.errors import MissingWeightsError
from cbm.names.meaning import ALIKE, LikelyDuplicates, NameMeanings, embed_names, shared_encoder
from cbm.study.concept_list import concept_columns
from cbm.study.concept_search import merge_suggestions, with_own_names
from cbm.ui.access import modes
from cbm.ui.frame import cache, messages, resources
from cbm.ui.frame.formats import counted, percent, plain
from cbm.ui.frame.layout import nothing_found
from cbm.ui.frame.state import ConceptsPage
from cbm.ui.pages.concepts import concept_map, picks
from cbm.ui.pages.concepts.lists import View, result_line
from cbm.ui.widgets.galleries import concept_picture

_GROUPS_PER_PAGE = 8


def related(view: View, text: str, slot: DeltaGenerator) -> tuple[Mapping[str, float], str | None]:
    """Names near in meaning to what was typed, and an excuse where meanings cannot be had; the first time takes seconds, and says so."""
    if not text.strip():
        return {}, None
    try:
        if not _ready(view):
            note = "Embedding the names for search by meaning. Only the first search has to wait."
            with slot.container():
                bar = st.progress(0.0, text=note)
                _meanings(view, lambda share: bar.progress(share, text=note))
                found = _related_names(view, text)
            slot.empty()
            return found, None
        return _related_names(view, text), None
    except MissingWeightsError as error:
        slot.empty()
        return {}, str(error)


def _related_names(view: View, text: str) -> dict[str, float]:
    """Names near to `text` in meaning, with their closeness."""
    known = with_own_names(_meanings(view), view.shown)
    return dict(known.related(text, shared_encoder)) if known.names else {}


@dataclass(eq=False)
class _Held:
    lock: Lock = field(default_factory=Lock)
    known: NameMeanings | None = None


@cache.remember()
def _held(root: str, model: str) -> _Held:
    return _Held()


def _ready(view: View) -> bool:
    """Whether a search by meaning answers at once."""
    return _held(view.root, view.model).known is not None and shared_encoder.loaded


def _meanings(view: View, progress: Callable[[float], object] | None = None) -> NameMeanings:
    """The meanings of a model's concept names, embedded once and kept in the workspace.

    Raises:
        MissingWeightsError: the sentence encoder is not installed.
    """
    held = _held(view.root, view.model)
    with held.lock:
        if held.known is None:
            columns = concept_columns(resources.study(view.root, view.model))
            names = [name for name, named in zip(columns.names, columns.named, strict=True) if named]
            held.known = embed_names(names, folder=Path(view.root) / "cache" / "names", keep=modes.may_write(), progress=progress)
        return held.known


def merges(view: View, kept: Bool[np.ndarray, " concepts"]) -> None:
    """Suggested merges, best first."""
    st.caption(
        "Concepts that seem to be one: their directions are close and their names mean nearly the same. "
        "A merge changes what is shown, never a prediction."
    )
    least = st.slider(
        "Minimum similarity",
        0.5,
        0.95,
        ALIKE,
        0.05,
        key=ConceptsPage.key("alike"),
        bind="query-params",
        on_change=picks.first_page,
        width=320,
    )
    with st.spinner("Comparing directions and names. The first time takes a few seconds …"):
        layout = concept_map.pending_map(view.root, view.model).result()
        try:
            meanings = with_own_names(_meanings(view), view.shown)
        except MissingWeightsError as error:
            messages.note(str(error))
            return
    groups = () if layout is None else merge_suggestions(view.shown, kept, layout, meanings, least)
    if not groups:
        nothing_found("No two concepts are that similar.")
        return
    part = result_line(counted(len(groups), "suggested merge"), len(groups), _GROUPS_PER_PAGE)
    _suggested_merges(view, groups[part])


def _suggested_merges(view: View, groups: Sequence[LikelyDuplicates]) -> None:
    """Groups of concepts that seem to be one, each with a button that makes them one."""
    for group in groups:
        members = [view.tile(concept) for concept in group.concepts]
        with st.container(border=True, key=ConceptsPage.key("merge", group.concepts[0])):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{plain(members[0].name)}** and {counted(len(members) - 1, 'other')}", width="stretch")
                st.badge(f"agreement {group.agreement:.2f}", color="gray")
                st.button(
                    f"Merge into “{plain(members[0].name)}”",
                    key=ConceptsPage.key("merge_group", group.concepts[0]),
                    icon=":material/merge:",
                    on_click=picks.merge,
                    args=(view.model, group.concepts, tuple(member.name for member in members), members[0].name),
                )
            with st.grid(
                min(6, max(4, len(members))), min_column_width=120, gap="small", key=ConceptsPage.key("members", group.concepts[0])
            ) as grid:
                for member in members[:6]:
                    with grid.cell():
                        concept_picture(member.uris, member.name, view.page(member.index), rows=1, label=plain(member.name))
                        st.caption(f"on {percent(member.frequency)} of images")
