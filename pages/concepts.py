"""Every concept of the chosen model. An address with `?concept=17` leads on to that concept's own page."""

import streamlit as st

from cbm.ui import access, empty, navigation, resources, session
from cbm.ui.cards import page_title
from cbm.ui.galleries import concept_grid
from cbm.ui.text import counted

navigation.require_entry()

PER_PAGE = 24
SORTS = {
    "Predictiveness": lambda tile: -tile.predictiveness,
    "Frequency": lambda tile: -tile.frequency,
    "Name score": lambda tile: (not tile.named, -tile.name_score),
    "Name": lambda tile: tile.name.casefold(),
}
SHOW = {
    "All": lambda tile: not tile.hidden,
    "In use": lambda tile: not tile.hidden and tile.top_class is not None,
    "No good name": lambda tile: not tile.hidden and not tile.named,
    "Hidden": lambda tile: tile.hidden,
}

if session.asks_for_concept():
    st.switch_page(navigation.CONCEPT, query_params=st.query_params.to_dict())

catalogue = resources.catalogue(access.workspace_root())
if not catalogue.models:
    empty.no_models("concepts")
    st.stop()
model = session.current_model()
study = resources.study(access.workspace_root(), model)
recipe = session.recipe(model)
address = session.link(model, catalogue.default)

page_title(
    "Concepts",
    "What the model sees: each concept is a direction discovered in the embeddings, shown by the images that have most of it.",
)
with st.container(horizontal=True, vertical_alignment="bottom"):
    search = st.text_input(
        "Search by name or class", key="concept_search", type="search", placeholder="red, stripes, …", live=True, width=260
    )
    sort = st.selectbox("Sort by", list(SORTS), key="concept_sort", width=170, persist_state="session")
    show = st.segmented_control("Show", list(SHOW), default="All", required=True, key="concept_show", persist_state="session")

everything = study.concept_tiles(recipe)
wanted = (search or "").casefold().strip()
tiles = [
    tile
    for tile in everything
    if SHOW[show](tile)
    and (wanted in tile.name.casefold() or any(wanted in name.casefold() for name in (tile.top_class or "", tile.renamed_from or "")))
]
tiles.sort(key=SORTS[sort])
if not tiles:
    empty.nothing_found(f"No concept fits {search!r}." if wanted else f"No concepts under “{show}”.")
    st.stop()
pages = -(-len(tiles) // PER_PAGE)
caption, pager = st.columns([1, 1], vertical_alignment="center")
caption.caption(f"{counted(len(tiles), 'concept')} of {len(everything):,}")
with pager.container(horizontal=True, horizontal_alignment="right"):
    page = st.pagination(pages, key=f"concept_page-{sort}-{show}-{wanted}") if pages > 1 else 1
concept_grid(study.with_pictures(tiles[(page - 1) * PER_PAGE : page * PER_PAGE]), key="concepts", address=address)
