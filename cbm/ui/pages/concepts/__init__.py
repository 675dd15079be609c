"""Every concept of the chosen model: cards, map, table. A link with `?concept=17` leads on to that concept's own page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import streamlit as st

from cbm.study.concept_list import FILTER_LABELS, FILTERS_EXPLAINED, Filter, Sort, shown_concepts
from cbm.study.concept_search import ConceptQuery, candidates, listed
from cbm.ui.access import modes
from cbm.ui.frame import empty, navigation, resources, selections, session
from cbm.ui.frame.cards import page_title
from cbm.ui.pages.concepts import lists, meaning, state
from cbm.ui.pages.concepts import map as concepts_map

_VIEWS = ("Cards", "Map", "Table", "Merges")


def show() -> None:
    navigation.require_entry()
    _lead_on()
    root = modes.workspace_root()
    catalogue = resources.catalogue(root)
    if not catalogue.models:
        empty.no_models("concepts")
        return
    model = session.current_model()
    study = resources.study(root, model)
    shown = shown_concepts(study, session.recipe(model))
    chosen = selections.current(model, "concepts")
    view = lists.View(root, model, study, shown, session.link(model, catalogue.default) | selections.address(model))
    page_title(
        "Concepts",
        "What the model sees: each concept is a direction discovered in the embeddings, shown by the images that have most of it.",
    )
    text, sort, of_class, kind = _search_bar(study.classes)
    related, excuse = meaning.related(view, text, st.empty())
    near = concepts_map.near_duplicates(root, model, wait=kind == "Merges")
    narrowed = chosen.members if chosen is not None and selections.narrowed(model, "concepts") else None
    state.read_filters()
    query = ConceptQuery(text, sort, of_class, frozenset(st.session_state[state.FILTERS]), state.pins(model), narrowed)
    among = candidates(study, shown, query, related=related, near=near)
    _filter_pills(among.counts(query.filters), unknown=near is None and concepts_map.directions_of(study.model) is not None)
    if excuse:
        st.caption(f":material/info: {excuse}")
    selections.chip(model, "concepts", "concepts")
    if kind == "Map":
        # The map shows where the selection lies among the rest, so it is not narrowed to it.
        on_map = candidates(study, shown, replace(query, members=None), related=related, near=near)
        concepts_map.map_panel(view, on_map.kept(query.filters))
    if kind == "Merges":
        meaning.merges(view, among.kept(query.filters))
    elif kind == "Table":
        lists.table(view, listed(shown, query, among), query)
    else:
        lists.cards(view, listed(shown, query, among), query, among)


def _lead_on() -> None:
    """A concept in the address: back to what was looked at where the visitor comes from its page, on to its page otherwise."""
    if session.asks_for_concept():
        before = state.came_back()
        if before is not None:
            st.switch_page(navigation.CONCEPTS, query_params=before)
        st.switch_page(navigation.CONCEPT, query_params=st.query_params.to_dict())


def _search_bar(classes: Sequence[str]) -> tuple[str, Sort, str | None, str]:
    """What was typed, the order, the class, and the view."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Search by meaning, name or class",
            key=state.SEARCH,
            type="search",
            placeholder="vehicle, stripes, …",
            live="300ms",
            width=240,
            bind="query-params",
            on_change=state.first_page,
        )
        sort = st.selectbox("Sort by", list(Sort), key=state.SORT, width=145, bind="query-params", on_change=state.first_page)
        of_class = st.selectbox(
            "Used by class",
            list(classes),
            index=None,
            key=state.CLASS,
            placeholder="Any",
            width=145,
            bind="query-params",
            on_change=state.first_page,
        )
        view = st.segmented_control(
            "View",
            _VIEWS,
            default="Cards",
            required=True,
            key=state.VIEW,
            bind="query-params",
            on_change=state.first_page,
        )
    return text or "", sort or Sort.PREDICTIVENESS, of_class, str(view)


def _filter_pills(counts: Mapping[Filter, int], unknown: bool) -> frozenset[Filter]:
    """The filters, each with the number of concepts that it would leave."""
    still = {Filter.DUPLICATE} if unknown else set()
    chosen = st.pills(
        "Show only",
        [one for one in Filter if counts[one] or one in st.session_state[state.FILTERS] or one is not Filter.PINNED],
        selection_mode="multi",
        key=state.FILTERS,
        format_func=lambda one: f"{FILTER_LABELS[one]} {counts[one]:,}{' …' if one in still else ''}",
        on_change=state.change_filters,
        help=FILTERS_EXPLAINED,
    )
    return frozenset(chosen or ())
