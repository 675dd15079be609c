"""Grids of pictures and of concepts, and the badges that say whether the model is right: never by colour alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import streamlit as st

from cbm.study.concept_view import ConceptSummary
from cbm.study.images import PictureTile
from cbm.study.study import Study
from cbm.ui.frame import selections
from cbm.ui.frame.formats import counted, percent, plain
from cbm.ui.frame.state import ConceptPage, IntervenePage, Link
from cbm.ui.widgets.thumbnails import framed, strip, theme, thumbnail

_MARKS = {True: "✓ ", False: "✗ ", None: ""}


def tile_picture(tile: PictureTile) -> str:
    """The thumbnail of an image, framed where it is known whether the model gets it right."""
    return thumbnail(tile.uri) if tile.correct is None else framed(tile.uri, tile.correct)


def picture_grid(
    tiles: Sequence[PictureTile],
    *,
    key: str,
    width: int = 104,
    columns: int | Literal["auto"] = "auto",
    draw: Callable[[PictureTile], str] = tile_picture,
    link: Callable[[PictureTile], Link] | None = None,
) -> None:
    """Thumbnails with their titles; ✓ or ✗ in the title and at the border of those that the model gets right or wrong.

    Args:
        width: least width of a picture in pixels.
        columns: at most so many beside each other.
        draw: data URL of a tile's picture.
        link: where the first line of a tile's title leads.
    """
    with st.grid(columns, min_column_width=width, gap="small", key=key) as grid:
        for tile in tiles:
            with grid.cell():
                st.image(draw(tile), width="stretch", alt=tile.alt)
                line, _, rest = tile.title.partition("\n")
                line = f"{_MARKS[tile.correct]}{plain(line)}"
                if link is None:
                    st.caption(f"{line}  \n{plain(rest)}" if rest else line)
                    continue
                link(tile).draw(line, help=tile.alt)
                if rest:
                    st.caption(plain(rest))


def picture_chooser(
    tiles: Sequence[PictureTile], *, chosen: int | None, on_choose: Callable[[int], None], key: str, quiet: bool = False
) -> None:
    """Thumbnails with a button each; the chosen one is drawn as such.

    Args:
        quiet: buttons without a frame, for pictures that are there to be looked at first.
    """
    with st.grid("auto", min_column_width=112, gap="small", key=key) as grid:
        for tile in tiles:
            with grid.cell():
                st.image(thumbnail(tile.uri), width="stretch", alt=tile.alt)
                st.button(
                    f"{_MARKS[tile.correct]}{plain(tile.title)}",
                    key=f"{key}-{tile.row}",
                    type="primary" if tile.row == chosen else "tertiary" if quiet else "secondary",
                    width="stretch",
                    on_click=on_choose,
                    args=(tile.row,),
                    help=f"{tile.alt}. Look at this image" if quiet else tile.alt,
                )


def correction_links(study: Study, tiles: Sequence[PictureTile], *, key: str, label: str | None = None) -> None:
    """Thumbnails that lead to the intervene page.

    Args:
        label: of each link; None for the tile's own title.
    """
    with st.grid("auto", min_column_width=92, gap="small", key=key) as grid:
        for tile in tiles:
            with grid.cell():
                st.image(thumbnail(tile.uri), width="stretch", alt=tile.alt)
                link = IntervenePage(study.item(tile.row)).link()
                icon = ":material/tune:" if label else None
                link.draw(label or plain(tile.title), icon=icon, help=f"{tile.alt}. See why, and correct it.")


def selection_button(model: str, rows: Sequence[int], name: str, *, key: str) -> None:
    """Makes some images the selection. The whole page runs again, since every panel follows it."""
    if st.button(
        "Select these",
        key=key,
        icon=":material/select:",
        type="tertiary",
        help="Make them the selection of images, for every panel and page of this model.",
    ):
        selections.select(model, "images", rows, name)
        st.toast(
            f"{counted(len(rows), 'image')} selected. “All images” at the top of the page shows everything again.", icon=":material/select:"
        )
        st.rerun()


def concept_facts(tile: ConceptSummary) -> str:
    """Two lines of Markdown on a concept: how often it fires and how well its name fits; which class it supports."""
    facts = f"on {percent(tile.frequency)} of images" + (f" · score {tile.name_score:.2f}" if tile.named else "")
    if tile.top_class is not None:
        return f"{facts}  \nfor {plain(tile.top_class)}"
    return f"{facts}  \n{'only opposes classes' if tile.used else 'used by no class'}"


def concept_picture(
    uris: Sequence[str],
    name: str,
    page: ConceptPage,
    *,
    rows: int = 2,
    label: str | None = None,
    icon: str | None = None,
    model: str | None = None,
) -> None:
    """The images on which a concept is strongest, in rows of three, and its name as a link to its page.

    Args:
        label: Markdown in the place of the name in bold.
        model: whose concept it is, where that is not the chosen one.
    """
    st.image(strip(tuple(uris[: 3 * rows]), theme(), rows=rows), width="stretch", alt=f"Images on which “{name}” is strongest")
    page.link(model).draw(label or f"**{plain(name)}**", icon=icon, help=f"Open concept {page.concept}")


def concept_card(tile: ConceptSummary, *, selection: str | None = None) -> None:
    """One concept: strongest images, and its name as a link to its page.

    Args:
        selection: what the link takes along.
    """
    concept_picture(
        tile.uris,
        tile.name,
        ConceptPage(tile.index, selection=selection),
        label=None if tile.named or tile.renamed_from else f":gray[*{plain(tile.name)}*]",
        icon=":material/visibility_off:" if tile.hidden else ":material/edit:" if tile.renamed_from else None,
    )
    st.caption(concept_facts(tile))


def concept_grid(tiles: Sequence[ConceptSummary], *, key: str, columns: int = 4) -> None:
    """Cards of concepts; two beside each other on a telephone."""
    with st.grid(columns, min_column_width=145, gap="small", border=True, key=key) as grid:
        for tile in tiles:
            with grid.cell():
                concept_card(tile)


def verdict_badges(correct: bool | None, *, changed: bool) -> None:
    """Badges beside a predicted class.

    Args:
        correct: None where the image has no label that the model knows.
        changed: whether the edits in force change the prediction.
    """
    if correct is not None:
        st.badge(
            "right" if correct else "wrong",
            icon=":material/check:" if correct else ":material/close:",
            color="green" if correct else "orange",
        )
    if changed:
        st.badge("changed by your edits", icon=":material/edit:", color="violet")
