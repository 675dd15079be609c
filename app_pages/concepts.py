"""Every concept of the chosen model; with `?concept=17` in the address, one of them."""

import streamlit as st

from cbm.errors import NotFoundError
from cbm.ui import empty, resources, session
from cbm.ui.cards import page_title, show_error
from cbm.ui.concept_page import concept_page
from cbm.ui.galleries import concept_grid
from cbm.ui.text import counted

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

catalogue = resources.catalogue(resources.workspace_root())
if not catalogue.models:
    empty.no_models("concepts")
    st.stop()
model = session.current_model()
study = resources.study(resources.workspace_root(), model)
recipe = session.recipe(model)
address = session.link(model, catalogue.default)

try:
    asked = session.concept_in_link()
    detail = None if asked is None else study.concept(asked, recipe)
    session.show_concept_in_address(asked)
except NotFoundError as error:
    show_error(str(error))
    st.page_link("app_pages/concepts.py", label="All concepts", icon=":material/arrow_back:", query_params=address)
    st.stop()

if detail is not None:
    concept_page(detail, model=model, address=address)
    st.stop()

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
