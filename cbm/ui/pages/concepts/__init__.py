"""Every concept of the chosen model: cards, map, table, suggested merges. A link with `?concept=17` leads on to that concept's own page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

import numpy as np
import streamlit as st
from jaxtyping import Bool
from streamlit.delta_generator import DeltaGenerator

from cbm.core.errors import MissingWeightsError
from cbm.model.concept_model import ConceptModel
from cbm.names.meaning import ALIKE, LikelyDuplicates, NameMeanings, embed_names, shared_encoder
from cbm.study.concept_list import FILTER_LABELS, FILTERS_EXPLAINED, Filter, ShownConcepts, Sort, concept_columns, shown_concepts
from cbm.study.concept_map import ConceptMap, name_regions, stored_map
from cbm.study.concept_search import ConceptQuery, candidates, listed, merge_suggestions, with_own_names
from cbm.ui.access import modes
from cbm.ui.frame import cache, layout, messages, resources, selections
from cbm.ui.frame.chosen import open_chosen
from cbm.ui.frame.formats import counted, percent, plain
from cbm.ui.frame.layout import page_title
from cbm.ui.frame.links import in_url
from cbm.ui.frame.slots import Slot
from cbm.ui.frame.state import ConceptPage, ConceptsPage, Link
from cbm.ui.pages.concepts import lists
from cbm.ui.pages.concepts.lists import View
from cbm.ui.widgets.components.concept_map import COLOURS, MapEvent, MapPoints, concept_map, pack_points, send_points
from cbm.ui.widgets.galleries import concept_picture
from cbm.ui.widgets.thumbnails import strip, theme

_VIEWS = ("Cards", "Map", "Table", "Merges")
_FILTERS = ConceptsPage.FILTERS


def show() -> None:
    _lead_on()
    chosen = open_chosen("concepts")
    model, study = chosen.model, chosen.study
    shown = shown_concepts(study, chosen.recipe)
    selected = selections.current(model, "concepts")
    view = View(chosen.root, model, study, shown, selections.in_link(model))
    page_title(
        "Concepts",
        "What the model sees: each concept is a direction discovered in the embeddings, shown by the images with the strongest activation.",
    )
    text, sort, of_class, kind = _search_bar(study.class_names)
    related, excuse = _related(view, text, st.empty())
    near = near_duplicates(chosen.root, model, wait=kind == "Merges")
    narrowed = selected.members if selected is not None and selections.narrowed(model, "concepts") else None
    _read_filters()
    query = ConceptQuery(text, sort, of_class, frozenset(map(Filter, _FILTERS.get())), lists.pins(model), narrowed)
    among = candidates(study, shown, query, related=related, near=near)
    _filter_pills(among.counts(query.filters), unknown=near is None and directions_of(study.model) is not None)
    if excuse:
        messages.note(excuse)
    selections.chip(model, "concepts", "concepts")
    if kind == "Map":
        # The map shows where the selection lies among the rest, so it is not narrowed to it.
        on_map = candidates(study, shown, replace(query, members=None), related=related, near=near)
        _map_panel(view, on_map.kept(query.filters))
    if kind == "Merges":
        _merges(view, among.kept(query.filters))
    elif kind == "Table":
        lists.table(view, listed(shown, query, among), query)
    else:
        lists.cards(view, listed(shown, query, among), query, among)


def _lead_on() -> None:
    """A concept in the URL: back to what was looked at where the visitor comes from its page, on to its page otherwise."""
    concept = ConceptPage.parameters()["concept"]
    if concept.is_asked():
        lists.come_back()
        Link(ConceptPage.SCRIPT, in_url()).open()


def _search_bar(classes: Sequence[str]) -> tuple[str, Sort, str | None, str]:
    """What was typed, the order, the class, and the view."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Search by meaning, name or class",
            key=ConceptsPage.key("search"),
            type="search",
            placeholder="vehicle, stripes, …",
            live="300ms",
            width=240,
            bind="query-params",
            on_change=lists.first_page,
        )
        sort = st.selectbox("Sort by", list(Sort), key=ConceptsPage.key("sort"), width=145, bind="query-params", on_change=lists.first_page)
        of_class = st.selectbox(
            "Used by class",
            list(classes),
            index=None,
            key=ConceptsPage.key("class"),
            placeholder="Any",
            width=145,
            bind="query-params",
            on_change=lists.first_page,
        )
        view = st.segmented_control(
            "View",
            _VIEWS,
            default="Cards",
            required=True,
            key=ConceptsPage.key("view"),
            bind="query-params",
            on_change=lists.first_page,
        )
    return text or "", sort or Sort.PREDICTIVENESS, of_class, str(view)


def _filter_pills(counts: Mapping[Filter, int], unknown: bool) -> None:
    """The filters, each with the number of concepts that it would leave."""
    still = {Filter.DUPLICATE} if unknown else set()
    st.pills(
        "Show only",
        [one for one in Filter if counts[one] or one in _FILTERS.get() or one is not Filter.PINNED],
        selection_mode="multi",
        key=_FILTERS.key,
        format_func=lambda one: f"{FILTER_LABELS[one]} {counts[one]:,}{' …' if one in still else ''}",
        on_change=lists.change_filters,
        help=FILTERS_EXPLAINED,
    )


def _read_filters() -> None:
    """Before the filters are drawn: on the first run of a visit they are as the URL says, later the URL follows them."""
    if not _FILTERS.is_set():
        _FILTERS.put(list(ConceptsPage.read().shown))
    ConceptsPage.put(shown=tuple(_FILTERS.get()))


# The map

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
    _mapped: ConceptMap,
    _classes: tuple[str, ...],
) -> MapPoints:
    columns = _shown.columns
    visible = _shown.standing & ~_shown.hidden
    importance = np.where(visible & _shown.named, columns.frequency, 0)
    return pack_points(
        _mapped.positions,
        _shown.names,
        shown=visible,
        named=_shown.named,
        frequency=columns.frequency,
        score=columns.score,
        top_class=columns.fires_for,
        classes=_classes,
        regions=name_regions(_mapped.positions, _shown.names, importance),
    )


def _map_panel(view: View, kept: Bool[np.ndarray, " concepts"]) -> None:
    """The map of all concepts; those that are not listed are faint."""
    with st.spinner("Laying out the map. The first time takes a few seconds …"):
        mapped = pending_map(view.root, view.model).result()
    if mapped is None:
        layout.nothing_found("This model's concepts are not directions in the embedding space, so they cannot be mapped.")
        return
    shown = view.shown
    absent = tuple(np.flatnonzero(shown.hidden | ~shown.standing).tolist())
    points = _points(view.root, view.model, tuple(sorted(shown.renamed.items())), absent, shown, mapped, view.study.class_names)
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
        lists.leave_for(view, opened)
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
    lists.first_page()


# What names mean: search by meaning, and suggested merges

_GROUPS_PER_PAGE = 8


def _related(view: View, text: str, slot: DeltaGenerator) -> tuple[Mapping[str, float], str | None]:
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


def _merges(view: View, kept: Bool[np.ndarray, " concepts"]) -> None:
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
        on_change=lists.first_page,
        width=320,
    )
    with st.spinner("Comparing directions and names. The first time takes a few seconds …"):
        mapped = pending_map(view.root, view.model).result()
        try:
            meanings = with_own_names(_meanings(view), view.shown)
        except MissingWeightsError as error:
            messages.note(str(error))
            return
    groups = () if mapped is None else merge_suggestions(view.shown, kept, mapped, meanings, least)
    if not groups:
        layout.nothing_found("No two concepts are that similar.")
        return
    part = lists.result_line(counted(len(groups), "suggested merge"), len(groups), _GROUPS_PER_PAGE)
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
                    on_click=lists.merge,
                    args=(view.model, group.concepts, tuple(member.name for member in members), members[0].name),
                )
            with st.grid(
                min(6, max(4, len(members))), min_column_width=120, gap="small", key=ConceptsPage.key("members", group.concepts[0])
            ) as grid:
                for member in members[:6]:
                    with grid.cell():
                        concept_picture(member.uris, member.name, view.page(member.index), rows=1, label=plain(member.name))
                        st.caption(f"on {percent(member.frequency)} of images")
