"""Which held-out image to look at: filters, a page of pictures, and the one that the address names."""

from __future__ import annotations

import streamlit as st

from cbm.editing.recipe import Recipe
from cbm.study.study import Study
from cbm.ui.frame import empty, selections, session
from cbm.ui.frame.text import counted
from cbm.ui.widgets.galleries import picture_chooser

PER_PAGE = 6
WRONG, ALL = "Wrong predictions", "All"
ANY_CLASS = "Any class"


def image_chooser(study: Study, recipe: Recipe, *, model: str, asked: int | None) -> int:
    """Draw the chooser.

    Args:
        asked: row that the address names.

    Returns:
        The row of the chosen image.
    """
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            kind = st.segmented_control(
                "Held-out images", [WRONG, ALL], default=WRONG, required=True, key="intervene_show", bind="query-params"
            )
            truth = st.selectbox("True class", [ANY_CLASS, *study.classes], key="intervene_class", width=220, bind="query-params")
            selections.chip(model, "images", "intervene_images")
            rows = study.rows(wrong_only=kind == WRONG, truth=None if truth == ANY_CLASS else truth)
            rows = selections.restrict(model, "images", rows)
            page = _page(rows, f"{kind}-{truth}", asked)
        shown = rows[(page - 1) * PER_PAGE : page * PER_PAGE]
        row = asked if asked is not None else shown[0] if shown else 0
        if not shown:
            empty.nothing_found("No held-out image fits. The model gets them all right, or has seen none of this class.")
            return row
        st.caption(
            f"{counted(len(rows), 'image')} of {study.images:,}. The button shows what the model says now; the mark, whether that is right."
        )
        picture_chooser(
            study.pictures(shown, recipe),
            chosen=row,
            on_choose=lambda chosen: session.put_image_in_link(study.item(chosen)),
            key="choose",
        )
    return row


def _page(rows: list[int], filters: str, asked: int | None) -> int:
    """The page of pictures; at first the one that shows the asked image."""
    pages = -(-len(rows) // PER_PAGE)
    if pages <= 1:
        return 1
    key = f"image_page-{filters}"
    first = rows.index(asked) // PER_PAGE + 1 if asked in rows else 1
    return int(st.pagination(pages, default=first, key=key, max_visible_pages=5))
