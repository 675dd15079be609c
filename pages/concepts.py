"""Every concept of the chosen model: cards, map, table. An address with `?concept=17` leads on to that concept's own page."""

from dataclasses import replace

import streamlit as st

from cbm.study.concept_list import shown_concepts
from cbm.ui.access import modes
from cbm.ui.frame import empty, navigation, resources, selections, session
from cbm.ui.frame.cards import page_title
from cbm.ui.pages.concepts import page, panels, shared, state
from cbm.ui.pages.concepts.map_panel import map_panel
from cbm.ui.pages.concepts.view import Asked, candidates, listed

navigation.require_entry()

if session.asks_for_concept():
    before = state.came_back()
    if before is not None:
        st.switch_page(navigation.CONCEPTS, query_params=before)
    st.switch_page(navigation.CONCEPT, query_params=st.query_params.to_dict())

root = modes.workspace_root()
catalogue = resources.catalogue(root)
if not catalogue.models:
    empty.no_models("concepts")
    st.stop()
model = session.current_model()
study = resources.study(root, model)
shown = shown_concepts(study, session.recipe(model))
chosen = selections.current(model, "concepts")
view = page.View(root, model, study, shown, session.link(model, catalogue.default) | selections.address(model))

page_title(
    "Concepts",
    "What the model sees: each concept is a direction discovered in the embeddings, shown by the images that have most of it.",
)
text, sort, of_class, kind = panels.search_bar(study.classes)
waiting = st.empty()
related, excuse = page.related(view, text, waiting)
near = shared.near_duplicates(root, model, wait=kind == "Merges")
narrowed = chosen.members if chosen is not None and selections.narrowed(model, "concepts") else None
state.read_filters()
asked = Asked(text, sort, of_class, frozenset(st.session_state[state.FILTERS]), state.pins(model), narrowed)
among = candidates(study, shown, asked, related=related, near=near)
panels.filter_pills(among.counts(asked.filters), unknown=near is None and shared.has_directions(study))
if excuse:
    st.caption(f":material/info: {excuse}")
selections.chip(model, "concepts", "concepts")
concepts = listed(shown, asked, among)

if kind == "Map":
    # The map shows where the selection lies among the rest, so it is not narrowed to it.
    on_map = candidates(study, shown, replace(asked, members=None), related=related, near=near)
    map_panel(view, on_map.kept(asked.filters))
if kind == "Merges":
    page.merges(view, among.kept(asked.filters))
elif kind == "Table":
    page.table(view, concepts, asked)
else:
    page.cards(view, concepts, asked, among)
