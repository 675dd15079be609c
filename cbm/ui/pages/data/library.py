"""The image sets of a workspace: a gallery of cards, and the chosen one opened with its pictures, its search and its tables."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from cbm.core.errors import CbmError
from cbm.study import image_sets
from cbm.study.image_sets import Found, ImageSetCard
from cbm.study.views import Headline, PictureTile
from cbm.ui.access import modes, uploads
from cbm.ui.frame import cards, navigation, resources, session
from cbm.ui.frame.text import counted, plain
from cbm.ui.pages.data import searching, tables
from cbm.ui.pages.discover import address as discover_address
from cbm.ui.widgets import job_panel
from cbm.ui.widgets.thumbnails import strip, theme, thumbnail
from cbm.workspace.workspace import Artifact

SET = "embeddings"
"""Query parameter: the opened set."""
LIKE = "like"
"""Query parameter: the row whose neighbours are shown."""
WORDS, CLASS, SPLIT, PAGE = "data_search", "data_class", "data_split", "data_page"
"""Keys of the search box and the filters, and query parameters."""
_UPLOAD = "data_query_picture"
_TURN = "data_query_turn"
ANY_CLASS, ANY_SPLIT = "All classes", "All splits"
PER_PAGE = 24
CARDS = 8


def set_gallery(shown: Sequence[ImageSetCard], opened: str) -> None:
    """A card for every set; the title opens it."""
    pages = -(-len(shown) // CARDS)
    page = st.pagination(pages, key="data_sets_page") if pages > 1 else 1
    with st.grid(4, min_column_width=145, gap="small", border=True, key="data_sets") as grid:
        for card in shown[(page - 1) * CARDS : page * CARDS]:
            with grid.cell(), st.container(gap="xsmall"):
                _card(card, card.id == opened)


def _card(card: ImageSetCard, opened: bool) -> None:
    if card.uris:
        st.image(strip(card.uris, theme()), width="stretch", alt=f"Some pictures of {card.facts.title}")
    else:
        st.caption(":material/hide_image: Vectors without pictures")
    # Not a link: Streamlit leaves the address as it was where a link leads to the page that it stands on.
    st.button(
        f"**{plain(card.facts.title)}**",
        key=f"data_open-{card.id}",
        icon=":material/check_circle:" if opened else None,
        type="tertiary",
        on_click=_open,
        args=(session.short(card.id),),
        help=f"Open {card.facts.source or card.id}",
    )
    labels = f"{card.classes:,} {'class' if card.classes == 1 else 'classes'}" if card.classes else "no labels"
    facts = card.facts
    backbone = f"{facts.backbone.architecture} · {facts.weights}" if facts.weights else facts.backbone.architecture
    st.caption(f"{counted(facts.count, 'image')} · {labels}  \n{plain(backbone)} · {facts.space}  \n{facts.created[:10]}")


def _open(address: str) -> None:
    """Callback: show another set, without the search in the one that is left."""
    for parameter in (WORDS, CLASS, SPLIT, PAGE, LIKE, job_panel.PARAMETER):
        session.put(parameter, None)
    session.put(SET, address)


def opened_set(root: str, card: ImageSetCard, artifact: Artifact) -> None:
    """Everything about one set: facts, search and pictures, tables."""
    embeddings = resources.embedding_set(root, card.id)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(plain(card.facts.title), anchor=False, width="content")
        st.page_link(
            navigation.DISCOVER,
            label="Discover concepts in it",
            icon=":material/arrow_forward:",
            query_params={**modes.address(), SET: session.short(card.id), discover_address.VIEW: discover_address.NEW},
        )
    cards.headline_row(_headlines(card), key="data_facts")
    _browser(root, card)
    tables.set_tables(embeddings, artifact)


def _headlines(card: ImageSetCard) -> tuple[Headline, ...]:
    facts = card.facts
    return (
        Headline("Images", f"{facts.count:,}", "Items with an embedding; identical files count each."),
        Headline("Classes", f"{card.classes:,}" if card.classes else "none", "Labels come from folders or from a table."),
        Headline(
            "Backbone",
            facts.backbone.architecture,
            f"The model that made the embeddings, {facts.dim} numbers an image, kept as {facts.space}.",
            facts.weights or None,
        ),
        Headline("Rejected", f"{facts.rejected:,}", "Files that could not be used; their list stands below."),
    )


@st.fragment
def _browser(root: str, card: ImageSetCard) -> None:
    """Search box, filters and pictures; a fragment, so that a search draws nothing else anew."""
    problem = searching.why_not(root, card.id)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        picture = _search(problem)
        allowed = _filters(root, card)
    if problem is not None:
        st.caption(f":material/info: {plain(problem)}")
    with st.container(key="data_results"):
        try:
            answer = _answer(root, card, allowed, picture)
        except CbmError as error:
            cards.show_error(str(error))
            return
        found = answer.found
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            _result_line(answer)
            page = _page(-(-len(found.rows) // PER_PAGE))
        if not len(found.rows):
            st.info("Nothing fits: choose another class or split, or clear the search.", icon=":material/search_off:")
            return
        part = slice((page - 1) * PER_PAGE, page * PER_PAGE)
        embeddings = resources.embedding_set(root, card.id)
        _pictures(image_sets.picture_tiles(embeddings, Found(found.rows[part], found.scores[part])))


def _search(problem: str | None) -> uploads.Upload | None:
    """Two of the three ways to search (the third is at every picture); returns the picture to search by, if one was uploaded."""
    st.session_state[WORDS] = session.asked(WORDS) or ""
    st.text_input(
        "Search by words",
        key=WORDS,
        type="search",
        placeholder="a red circle on the beach" if problem is None else "needs the backbone's weights",
        on_change=_search_words,
        disabled=problem is not None,
        width=300,
    )
    with st.popover("Search by picture", icon=":material/image_search:", disabled=problem is not None):
        uploaded = st.file_uploader(
            "Images like this one",
            type=["jpg", "jpeg", "png", "webp", "avif", "gif", "bmp", "tif", "tiff"],
            key=f"{_UPLOAD}-{st.session_state.get(_TURN, 0)}",
            on_change=_forget_others,
            args=(_UPLOAD,),
        )
        st.caption("It is looked at in memory and not kept.")
    return uploaded


def _search_words() -> None:
    _forget_others(WORDS)
    session.put(WORDS, st.session_state[WORDS].strip() or None)


def _forget_others(asked: str) -> None:
    """Callback: one search at a time, the last one asked for, from its first page on."""
    session.put(PAGE, None)
    if asked != WORDS:
        session.put(WORDS, None)
    if asked != LIKE:
        session.put(LIKE, None)
    if asked != _UPLOAD:
        st.session_state[_TURN] = st.session_state.get(_TURN, 0) + 1


def _like(row: int) -> None:
    _forget_others(LIKE)
    session.put(LIKE, row)


def _clear() -> None:
    _forget_others("")


def _filters(root: str, card: ImageSetCard) -> np.ndarray | None:
    """The rows that may be shown; None where all may."""
    chosen_class = chosen_split = None
    if card.sizes:
        chosen_class = _restored(CLASS, [name for name, _ in card.sizes], ANY_CLASS)
        st.selectbox(
            "Class", [ANY_CLASS, *(name for name, _ in card.sizes)], key=CLASS, on_change=_filter, args=(CLASS, ANY_CLASS), width=240
        )
    if card.splits:
        chosen_split = _restored(SPLIT, card.splits, ANY_SPLIT)
        st.segmented_control("Split", [ANY_SPLIT, *card.splits], required=True, key=SPLIT, on_change=_filter, args=(SPLIT, ANY_SPLIT))
    if chosen_class is None and chosen_split is None:
        return None
    return image_sets.rows_of(resources.embedding_set(root, card.id), chosen_class, chosen_split)


def _restored(key: str, options: Sequence[str], otherwise: str) -> str | None:
    """What the address says about a filter, put into its widget; None where it asks for nothing that there is."""
    asked = session.asked(key)
    st.session_state[key] = asked if asked in options else otherwise
    return asked if asked in options else None


def _filter(key: str, otherwise: str) -> None:
    chosen = st.session_state[key]
    session.put(key, None if chosen in (None, otherwise) else chosen)
    session.put(PAGE, None)


def _page(pages: int) -> int:
    """Which page of the pictures is shown; part of the address."""
    if pages <= 1:
        return 1
    asked = session.asked(PAGE) or ""
    page = min(max(1, int(asked)), pages) if asked.isascii() and asked.isdigit() else 1
    # Streamlit's pager warns where it has a default and is set as well, so each page has a pager of its own.
    key = f"{PAGE}-{page}"
    return int(st.pagination(pages, default=page, key=key, on_change=_turn, args=(key,)))


def _turn(key: str) -> None:
    page = int(st.session_state[key])
    session.put(PAGE, page if page > 1 else None)


@dataclass(frozen=True)
class _Answer:
    """What is shown, and what was asked for."""

    found: Found
    line: str
    uri: str = ""
    """The picture that the others are like."""


def _answer(root: str, card: ImageSetCard, allowed: np.ndarray | None, picture: uploads.Upload | None) -> _Answer:
    """What is asked for: by a picture, by an item, by words, or nothing but the set itself.

    Raises:
        CbmError: it cannot be answered; the message says why.
    """
    words, like = (session.asked(WORDS) or "").strip(), session.asked(LIKE)
    if picture is not None:
        digest = hashlib.sha256(picture.getvalue()).hexdigest()
        found = searching.by_image(root, card.id, uploads.read_single(picture), digest, allowed)
        return _Answer(found, f"Nearest to {picture.name}")
    if like is not None:
        row = int(like) if like.isascii() and like.isdigit() else -1
        found = searching.by_item(root, card.id, row, allowed)
        item = resources.embedding_set(root, card.id).items.iloc[row]
        return _Answer(found, f"Nearest to {image_sets.short_name(str(item['item']))}", str(item["uri"]))
    if words and searching.why_not(root, card.id) is None:
        return _Answer(searching.by_text(root, card.id, words, allowed), f"Nearest to “{words}”")
    rows = searching.browsing_order(root, card.id) if allowed is None else allowed
    return _Answer(Found(rows), f"{counted(len(rows), 'image')}{'' if allowed is None else ' fit the choice'}")


def _result_line(answer: _Answer) -> None:
    with st.container(horizontal=True, vertical_alignment="center", width="content"):
        if answer.uri:
            st.image(thumbnail(answer.uri), width=56, alt="The picture that the others are like")
        st.markdown(f"**{plain(answer.line)}**", width="content")
        if answer.found.scores:
            st.caption("by the cosine of the embeddings", width="content")
            st.button("Clear search", key="data_clear", icon=":material/close:", type="tertiary", on_click=_clear)
        else:
            st.caption("A click on a name finds the images like it.", width="content")


def _pictures(tiles: Sequence[PictureTile]) -> None:
    with st.grid("auto", min_column_width=118, gap="small", key="data_pictures") as grid:
        for tile in tiles:
            with grid.cell(), st.container(gap="xxsmall"):
                if tile.uri:
                    st.image(thumbnail(tile.uri), width="stretch", alt=tile.alt)
                else:
                    st.caption(f":material/hide_image: {plain(tile.alt.partition(', class ')[0])}")
                st.button(
                    plain(tile.title),
                    key=f"data_like-{tile.row}",
                    icon=":material/image_search:",
                    type="tertiary",
                    on_click=_like,
                    args=(tile.row,),
                    help=f"Find images like {tile.alt}",
                )
