"""The image sets of a workspace: a gallery of cards, and the chosen one opened with its pictures, its search and its tables."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from cbm.core.errors import CbmError
from cbm.embeddings.sets import EmbeddingSet
from cbm.study import image_sets
from cbm.study.image_sets import Found, ImageSetCard
from cbm.study.images import PictureTile
from cbm.ui.access import uploads
from cbm.ui.frame import layout, messages, resources
from cbm.ui.frame.formats import counted, plain
from cbm.ui.frame.layout import Headline, linked_pager, pager
from cbm.ui.frame.slots import Slot, set_widget, widget_value
from cbm.ui.frame.state import DataPage, DiscoverPage, short
from cbm.ui.pages.data import search
from cbm.ui.widgets.thumbnails import strip, theme, thumbnail
from cbm.workspace import EmbeddingsArtifact

if TYPE_CHECKING:
    import pandas

ANY_CLASS, ANY_SPLIT = "All classes", "All splits"
PER_PAGE = 24
CARDS = 8
_IN_SENTENCES = 5
"""So many rejected files are listed in sentences; more make a table."""
_UPLOADS = Slot("data_query_turn", 0)
"""How many uploaded pictures were let go; each upload has a widget of its own."""


def gallery(shown: Sequence[ImageSetCard], opened: str) -> None:
    """A card for every set; the title opens it."""
    part = pager(len(shown), CARDS, key=DataPage.key("sets_page"))
    with st.grid(4, min_column_width=145, gap="small", border=True, key=DataPage.key("sets")) as grid:
        for card in shown[part]:
            with grid.cell(), st.container(gap="xsmall"):
                _card(card, card.id == opened)


def _card(card: ImageSetCard, opened: bool) -> None:
    facts = card.facts
    if card.uris:
        st.image(strip(card.uris, theme()), width="stretch", alt=f"Some pictures of {facts.title}")
    else:
        st.caption(":material/hide_image: Vectors without pictures")
    # Not a link: Streamlit leaves the URL as it was where a link leads to the page that shows it.
    st.button(
        f"**{plain(facts.title)}**",
        key=DataPage.key("open", card.id),
        icon=":material/check_circle:" if opened else None,
        type="tertiary",
        on_click=_open,
        args=(card.id,),
        help=f"Open {facts.source or card.id}",
    )
    labels = counted(card.classes, "class", "classes") if card.classes else "no labels"
    backbone = f"{facts.backbone.architecture} · {facts.weights}" if facts.weights else facts.backbone.architecture
    st.caption(f"{counted(facts.count, 'image')} · {labels}  \n{plain(backbone)} · {facts.space}  \n{facts.created[:10]}")


def _open(identifier: str) -> None:
    """Callback: show another set, without the search in the one that is left."""
    DataPage.put(words=None, of_class=None, split=None, page=None, like=None, job=None, embeddings=short(identifier))


def opened(root: str, card: ImageSetCard) -> None:
    """Everything about one set: facts, search and pictures, tables."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(plain(card.facts.title), anchor=False, width="content")
        new_run = DiscoverPage(embeddings=short(card.id), view=DiscoverPage.NEW)
        new_run.link().draw("Discover concepts in it", icon=":material/arrow_forward:")
    layout.headline_row(_headlines(card), key=DataPage.key("facts"))
    _browser(root, card)
    artifact = next(artifact for artifact in resources.artifacts(root, EmbeddingsArtifact) if artifact.id == card.id)
    _tables(resources.embedding_set(root, card.id), artifact)


def _headlines(card: ImageSetCard) -> tuple[Headline, ...]:
    facts = card.facts
    return (
        Headline("Images", f"{facts.count:,}", "Items with an embedding; identical files each count."),
        Headline("Classes", f"{card.classes:,}" if card.classes else "none", "Labels come from folders or from a table."),
        Headline(
            "Backbone",
            facts.backbone.architecture,
            f"The model that made the embeddings, {facts.dim} dimensions, stored as {facts.space}.",
            facts.weights or None,
        ),
        Headline("Rejected", f"{facts.rejected:,}", "Files that could not be used; they are listed below."),
    )


# Search and pictures


@dataclass(frozen=True)
class _Answer:
    """What is shown, and what was asked for."""

    found: Found
    line: str
    uri: str = ""
    """The picture that the others are like."""


@st.fragment
def _browser(root: str, card: ImageSetCard) -> None:
    """Search box, filters and pictures; a fragment, so that a search draws nothing else again."""
    problem = search.why_not(root, card.id)
    state = DataPage.read()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        picture = _search(problem, state)
        allowed = _filters(root, card, state)
    if problem is not None:
        messages.note(plain(problem))
    with st.container(key=DataPage.key("results")):
        try:
            answer = _answer(root, card, allowed, picture, state)
        except CbmError as error:
            messages.error(str(error))
            return
        found = answer.found
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            _result_line(answer)
            part = linked_pager(len(found.rows), PER_PAGE, number=DataPage.parameters()["page"])
        if not len(found.rows):
            st.info("Nothing fits: choose another class or split, or clear the search.", icon=":material/search_off:")
            return
        embeddings = resources.embedding_set(root, card.id)
        _pictures(image_sets.picture_tiles(embeddings, Found(found.rows[part], found.scores[part])))


def _search(problem: str | None, state: DataPage) -> uploads.Upload | None:
    """Two of the three ways to search (the third is at every picture); returns the picture to search by, if one was uploaded."""
    key = DataPage.key("search")
    set_widget(key, state.words or "")
    st.text_input(
        "Search by words",
        key=key,
        type="search",
        placeholder="a red circle on the beach" if problem is None else "needs the backbone's weights",
        on_change=lambda: _start_search(words=str(widget_value(key)).strip()),
        disabled=problem is not None,
        width=300,
    )
    with st.popover("Search by picture", icon=":material/image_search:", disabled=problem is not None):
        uploaded = st.file_uploader(
            "Images like this one",
            type=uploads.PICTURE_TYPES,
            key=DataPage.key("query_picture", _UPLOADS.get()),
            on_change=lambda: _start_search(keep_picture=True),
        )
        st.caption("It stays in memory and is not stored.")
    return uploaded


def _start_search(*, words: str | None = None, like: int | None = None, keep_picture: bool = False) -> None:
    """Callback: one search at a time, the last one asked for, from its first page on."""
    DataPage.put(page=None, words=words, like=like)
    if not keep_picture:
        _UPLOADS.put(_UPLOADS.get() + 1)


def _filters(root: str, card: ImageSetCard, state: DataPage) -> np.ndarray | None:
    """The rows that may be shown; None where all may."""
    chosen_class = chosen_split = None
    if card.sizes:
        names = [name for name, _ in card.sizes]
        chosen_class = state.of_class if state.of_class in names else None
        key = DataPage.key("class")
        set_widget(key, chosen_class or ANY_CLASS)
        st.selectbox("Class", [ANY_CLASS, *names], key=key, on_change=_filter, args=("of_class", key), width=240)
    if card.splits:
        chosen_split = state.split if state.split in card.splits else None
        key = DataPage.key("split")
        set_widget(key, chosen_split or ANY_SPLIT)
        st.segmented_control("Split", [ANY_SPLIT, *card.splits], required=True, key=key, on_change=_filter, args=("split", key))
    if chosen_class is None and chosen_split is None:
        return None
    return image_sets.rows_of(resources.embedding_set(root, card.id), chosen_class, chosen_split)


def _filter(field: str, key: str) -> None:
    """Callback: show a class or a split, from its first page on."""
    wanted = widget_value(key)
    DataPage.put(**{field: None if wanted in (None, ANY_CLASS, ANY_SPLIT) else wanted}, page=None)


def _answer(root: str, card: ImageSetCard, allowed: np.ndarray | None, picture: uploads.Upload | None, state: DataPage) -> _Answer:
    """What is asked for: by a picture, by an item, by words, or nothing but the set itself.

    Raises:
        CbmError: it cannot be answered; the message says why.
    """
    words = (state.words or "").strip()
    if picture is not None:
        digest = hashlib.sha256(picture.getvalue()).hexdigest()
        found = search.by_image(root, card.id, uploads.read_single(picture), digest, allowed)
        return _Answer(found, f"Nearest to {picture.name}")
    if DataPage.parameters()["like"].is_asked():
        row = -1 if state.like is None else state.like
        found = search.by_item(root, card.id, row, allowed)
        item = resources.embedding_set(root, card.id).items.iloc[row]
        return _Answer(found, f"Nearest to {image_sets.short_name(str(item['item']))}", str(item["uri"]))
    if words and search.why_not(root, card.id) is None:
        return _Answer(search.by_text(root, card.id, words, allowed), f"Nearest to “{words}”")
    rows = search.browsing_order(root, card.id) if allowed is None else allowed
    return _Answer(Found(rows), f"{counted(len(rows), 'image')}{'' if allowed is None else ' fit the choice'}")


def _result_line(answer: _Answer) -> None:
    with st.container(horizontal=True, vertical_alignment="center", width="content"):
        if answer.uri:
            st.image(thumbnail(answer.uri), width=56, alt="The picture that the others are like")
        st.markdown(f"**{plain(answer.line)}**", width="content")
        if answer.found.scores:
            st.caption("by cosine similarity of the embeddings", width="content")
            st.button("Clear search", key=DataPage.key("clear"), icon=":material/close:", type="tertiary", on_click=_start_search)
        else:
            st.caption("Click a name to find similar images.", width="content")


def _pictures(tiles: Sequence[PictureTile]) -> None:
    with st.grid("auto", min_column_width=118, gap="small", key=DataPage.key("pictures")) as grid:
        for tile in tiles:
            with grid.cell(), st.container(gap="xxsmall"):
                if tile.uri:
                    st.image(thumbnail(tile.uri), width="stretch", alt=tile.alt)
                else:
                    st.caption(f":material/hide_image: {plain(tile.alt.partition(', class ')[0])}")
                st.button(
                    plain(tile.title),
                    key=DataPage.key("like", tile.row),
                    icon=":material/image_search:",
                    type="tertiary",
                    on_click=_start_search,
                    kwargs={"like": int(tile.row)},
                    help=f"Find images like {tile.alt}",
                )


# Tables


def _tables(embeddings: EmbeddingSet, artifact: EmbeddingsArtifact) -> None:
    """Classes, known concepts and rejected files; those that there are."""
    with st.grid(2, min_column_width=300, gap="medium", key=DataPage.key("tables")) as grid:
        with grid.cell():
            st.markdown("##### Classes", anchors=False)
            _classes(embeddings)
        with grid.cell():
            st.markdown("##### Known concepts", anchors=False)
            _known_concepts(image_sets.known_concepts(embeddings))
        with grid.cell():
            st.markdown("##### Rejected files", anchors=False)
            _rejected(image_sets.rejected_files(artifact), artifact.id)


def _classes(embeddings: EmbeddingSet) -> None:
    if not embeddings.labelled.any():
        st.caption(
            "No labels: discovery and search work without them. To train a classifier, put the images of each class into a folder "
            "of its own, or name a `label` column in a table."
        )
        return
    table = image_sets.class_counts(embeddings)
    st.dataframe(table, hide_index=True, key=DataPage.key("classes"), height=min(38 + 35 * len(table), 320))


def _known_concepts(concepts: pandas.DataFrame) -> None:
    if not len(concepts):
        st.caption("None: a table with a true / false column for each concept lets the app check what discovery finds.")
        return
    st.dataframe(
        concepts,
        hide_index=True,
        key=DataPage.key("concepts"),
        height=320,
        column_config={"Share": st.column_config.ProgressColumn("Share of images", format="%.1f %%", min_value=0, max_value=100)},
    )


def _rejected(rejected: pandas.DataFrame, identifier: str) -> None:
    if not len(rejected):
        st.caption("None: every file could be used.")
        return
    file_list(list(zip(rejected["File"], rejected["Reason"], strict=True)), key=DataPage.key("rejected"))
    st.download_button(
        "Download as CSV",
        rejected.to_csv(index=False).encode(),
        f"rejected-{identifier}.csv",
        "text/csv",
        key=DataPage.key("rejected_csv"),
        icon=":material/download:",
        on_click="ignore",
    )


def file_list(files: Sequence[tuple[str, str]], *, key: str) -> None:
    """Files with reasons: in full sentences where they are few, else as a table."""
    if len(files) <= _IN_SENTENCES:
        st.markdown("\n".join(f"- **{plain(name)}**: {plain(reason)}" for name, reason in files))
        return
    st.dataframe({"File": [name for name, _ in files], "Reason": [reason for _, reason in files]}, hide_index=True, key=key, height=320)
