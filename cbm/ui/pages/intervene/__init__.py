"""Choose an image, see why the model says what it says, change concepts, and see what that does everywhere."""

from __future__ import annotations

import streamlit as st

from cbm.core.errors import NotFoundError
from cbm.editing.recipe import Recipe
from cbm.study.steering import group_of, steering_view
from cbm.study.study import Study
from cbm.ui.access import modes
from cbm.ui.frame import empty, navigation, resources, selections, session
from cbm.ui.frame.cards import page_title, show_error
from cbm.ui.frame.text import counted
from cbm.ui.pages.intervene import effect, steering
from cbm.ui.pages.intervene.suggestions import experiments_panel, suggestions_panel
from cbm.ui.widgets.galleries import picture_chooser

_PER_PAGE = 6
_WRONG, _ALL = "Wrong predictions", "All"
_ANY_CLASS = "Any class"


def show() -> None:
    navigation.require_entry()
    root = modes.workspace_root()
    catalogue = resources.catalogue(root)
    if not catalogue.models:
        empty.no_models("predictions")
        return
    model = session.current_model()
    study = resources.study(root, model)
    recipe = session.recipe(model)
    address = session.link(model, catalogue.default)
    page_title(
        "Intervene",
        "Pick an image the model gets wrong, see which concepts misled it, change them, and see what the change does to every other image.",
    )
    asked, concept = _asked(study)
    row = _image_chooser(study, recipe, model=model, asked=asked)
    view = steering_view(study, row, recipe, steering.chosen_target(), concept)
    left, right = st.columns([10, 29], gap="medium")
    with left:
        steering.verdict(view, study.picture(row, recipe), group=group_of(study, row), address=address)
    with right:
        steering.controls(view)
        steering.steering(view, recipe, model=model, address=address, asked=concept)
        if steering.changed(view):
            steering.difference_panel(view)
    st.subheader("What your edits do", anchor=False, divider="gray")
    left, right = st.columns([26, 13], gap="medium")
    with left:
        _effect(root, model, study, recipe)
    with right:
        effect.edits_panel(recipe, effect.marginals(root, model, recipe), model=model)
        effect.upload_panel(study, recipe, model=model)
        effect.save_panel(recipe, study.model.recipe, root=root, model=model)
    suggestions_panel(study, row, recipe, root=root, model=model)


def _asked(study: Study) -> tuple[int | None, int | None]:
    """The row and the concept that the link names."""
    try:
        item = session.image_in_link()
        row = None if item is None else study.row_of(item)
        concept = session.concept_in_link()
        if concept is not None:
            study.check_concept(concept)
    except NotFoundError as error:
        show_error(str(error))
        return None, None
    return row, concept


def _effect(root: str, model: str, study: Study, recipe: Recipe) -> None:
    if not recipe.position:
        st.caption(f"Nothing has been changed. Apply an edit to see its effect on all {counted(study.images, 'held-out image')}.")
        experiments_panel(root, model)
    elif not study.labelled_images:
        moved = int((effect.predictions(root, model, Recipe()) != effect.predictions(root, model, recipe)).sum())
        st.caption(
            f"Your edits change the prediction of {moved:,} of {counted(study.images, 'held-out image')}. The images have no labels that "
            "the model knows, so there is no telling which of them are right."
        )
    elif (measured := effect.measured(root, model, recipe)) is None:
        st.caption("These edits change names only; every prediction stays.")
    else:
        effect.effect_panel(measured, study.item)


def _image_chooser(study: Study, recipe: Recipe, *, model: str, asked: int | None) -> int:
    """Draw the chooser.

    Args:
        asked: row that the link names.

    Returns:
        The row of the chosen image.
    """
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            kind = st.segmented_control(
                "Held-out images", [_WRONG, _ALL], default=_WRONG, required=True, key="intervene_show", bind="query-params"
            )
            truth = st.selectbox("True class", [_ANY_CLASS, *study.classes], key="intervene_class", width=220, bind="query-params")
            selections.chip(model, "images", "intervene_images")
            rows = study.rows(wrong_only=kind == _WRONG, truth=None if truth == _ANY_CLASS else truth)
            rows = selections.restrict(model, "images", rows)
            page = _page(rows, f"{kind}-{truth}", asked)
        shown = rows[(page - 1) * _PER_PAGE : page * _PER_PAGE]
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
    pages = -(-len(rows) // _PER_PAGE)
    if pages <= 1:
        return 1
    key = f"image_page-{filters}"
    first = rows.index(asked) // _PER_PAGE + 1 if asked in rows else 1
    return int(st.pagination(pages, default=first, key=key, max_visible_pages=5))
