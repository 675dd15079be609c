"""Every concept of the chosen model: cards, map, table. A link with `?concept=17` leads on to that concept's own page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import streamlit as st

from cbm.study.concept_list import FILTER_LABELS, FILTERS_EXPLAINED, Filter, Sort, shown_concepts
from cbm.study.concept_search import ConceptQuery, candidates, listed
from cbm.ui.frame import messages, selections
from cbm.ui.frame.chosen import open_chosen
from cbm.ui.frame.layout import page_title
from cbm.ui.frame.links import in_url
from cbm.ui.frame.state import ConceptPage, ConceptsPage, Link
from cbm.ui.pages.concepts import concept_map, lists, meaning, picks

_VIEWS = ("Cards", "Map", "Table", "Merges")
_FILTERS = ConceptsPage.FILTERS


def show() -> None:
    _lead_on()
    chosen = open_chosen("concepts")
    model, study = chosen.model, chosen.study
    shown = shown_concepts(study, chosen.recipe)
    selected = selections.current(model, "concepts")
    view = lists.View(chosen.root, model, study, shown, selections.in_link(model))
    page_title(
        "Concepts",
        "What the model sees: each concept is a direction discovered in the embeddings, shown by the images with the strongest activation.",
    )
    text, sort, of_class, kind = _search_bar(study.class_names)
    related, excuse = meaning.related(view, text, st.empty())
    near = concept_map.near_duplicates(chosen.root, model, wait=kind == "Merges")
    narrowed = selected.members if selected is not None and selections.narrowed(model, "concepts") else None
    _read_filters()
    query = ConceptQuery(text, sort, of_class, frozenset(map(Filter, _FILTERS.get())), picks.pins(model), narrowed)
    among = candidates(study, shown, query, related=related, near=near)
    _filter_pills(among.counts(query.filters), unknown=near is None and concept_map.directions_of(study.model) is not None)
    if excuse:
        messages.note(excuse)
    selections.chip(model, "concepts", "concepts")
    if kind == "Map":
        # The map shows where the selection lies among the rest, so it is not narrowed to it.
        on_map = candidates(study, shown, replace(query, members=None), related=related, near=near)
        concept_map.map_panel(view, on_map.kept(query.filters))
    if kind == "Merges":
        meaning.merges(view, among.kept(query.filters))
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
            on_change=picks.first_page,
        )
        sort = st.selectbox("Sort by", list(Sort), key=ConceptsPage.key("sort"), width=145, bind="query-params", on_change=picks.first_page)
        of_class = st.selectbox(
            "Used by class",
            list(classes),
            index=None,
            key=ConceptsPage.key("class"),
            placeholder="Any",
            width=145,
            bind="query-params",
            on_change=picks.first_page,
        )
        view = st.segmented_control(
            "View",
            _VIEWS,
            default="Cards",
            required=True,
            key=ConceptsPage.key("view"),
            bind="query-params",
            on_change=picks.first_page,
        )
    return text or "", sort or Sort.PREDICTIVENESS, of_class, str(view)


def _filter_pills(counts: Mapping[Filter, int], unknown: bool) -> frozenset[Filter]:
    """The filters, each with the number of concepts that it would leave."""
    still = {Filter.DUPLICATE} if unknown else set()
    chosen = st.pills(
        "Show only",
        [one for one in Filter if counts[one] or one in _FILTERS.get() or one is not Filter.PINNED],
        selection_mode="multi",
        key=_FILTERS.key,
        format_func=lambda one: f"{FILTER_LABELS[one]} {counts[one]:,}{' …' if one in still else ''}",
        on_change=lists.change_filters,
        help=FILTERS_EXPLAINED,
    )
    return frozenset(chosen or ())


def _read_filters() -> None:
    """Before the filters are drawn: on the first run of a visit they are as the URL says, later the URL follows them."""
    if not _FILTERS.is_set():
        _FILTERS.put(list(ConceptsPage.read().shown))
    ConceptsPage.put(shown=tuple(_FILTERS.get()))
