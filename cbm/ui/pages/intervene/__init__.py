"""Choose an image, see why the model says what it says, change concepts, and see what that does everywhere."""

from __future__ import annotations

import streamlit as st

from cbm.core.errors import NotFoundError
from cbm.editing.recipe import Recipe
from cbm.study.steering import steering_view
from cbm.study.study import Study
from cbm.ui.frame import layout, messages, selections
from cbm.ui.frame.chosen import Chosen, open_chosen
from cbm.ui.frame.formats import counted
from cbm.ui.frame.layout import page_title, pager
from cbm.ui.frame.state import IntervenePage
from cbm.ui.pages.intervene import effect, steering
from cbm.ui.pages.intervene.suggestions import experiments_panel, suggestions_panel
from cbm.ui.widgets.galleries import picture_chooser

_PER_PAGE = 6
_WRONG, _ALL = "Wrong predictions", "All"
_ANY_CLASS = "Any class"


def show() -> None:
    chosen = open_chosen("predictions")
    study, recipe = chosen.study, chosen.recipe
    page_title(
        "Intervene",
        "Pick an image the model gets wrong, see which concepts misled it, change them, and see how every other image is affected.",
    )
    asked, concept = _asked(study)
    row = _image_chooser(chosen, asked)
    view = steering_view(study, row, recipe, steering.chosen_target(), concept)
    left, right = st.columns([10, 29], gap="medium")
    with left:
        steering.verdict(view, study.picture(row, recipe), group=study.group_of(row))
    with right:
        steering.controls(view)
        steering.steering(view, recipe, model=chosen.model, asked=concept)
        if steering.changed(view):
            steering.difference_panel(view)
    st.subheader("What your edits do", anchor=False, divider="gray")
    left, right = st.columns([26, 13], gap="medium")
    with left:
        _effect(chosen)
    with right:
        effect.edits_panel(recipe, effect.marginals(chosen.root, chosen.model, recipe), model=chosen.model)
        effect.upload_panel(study, recipe, model=chosen.model)
        effect.save_panel(chosen)
    suggestions_panel(chosen, row)


def _asked(study: Study) -> tuple[int | None, int | None]:
    """The row and the concept that the link names."""
    state = IntervenePage.read()
    try:
        if state.problems:
            raise NotFoundError(state.problems[0])
        row = None if state.image is None else study.row_of(state.image)
        if state.concept is not None:
            study.check_concept(state.concept)
    except NotFoundError as error:
        messages.error(str(error))
        return None, None
    return row, state.concept


def _effect(chosen: Chosen) -> None:
    root, model, study, recipe = chosen.root, chosen.model, chosen.study, chosen.recipe
    if not recipe.position:
        st.caption(f"Nothing has been changed. Apply an edit to see its effect on all {counted(study.image_count, 'held-out image')}.")
        experiments_panel(root, model)
    elif not study.labelled_images:
        moved = int((effect.predictions(root, model, Recipe()) != effect.predictions(root, model, recipe)).sum())
        st.caption(
            f"Your edits change the prediction of {moved:,} of {counted(study.image_count, 'held-out image')}. The images have no labels "
            "that the model knows, so there is no telling which of them are right."
        )
    elif (measured := effect.measured(root, model, recipe)) is None:
        st.caption("These edits only change names; no prediction changes.")
    else:
        effect.effect_panel(measured, study, recipe)


def _image_chooser(chosen: Chosen, asked: int | None) -> int:
    """Draw the chooser, and return the row of the chosen image.

    Args:
        asked: row that the link names.
    """
    study = chosen.study
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            kind = st.segmented_control(
                "Held-out images", [_WRONG, _ALL], default=_WRONG, required=True, key=IntervenePage.key("show"), bind="query-params"
            )
            truth = st.selectbox(
                "True class", [_ANY_CLASS, *study.class_names], key=IntervenePage.key("class"), width=220, bind="query-params"
            )
            selections.chip(chosen.model, "images", IntervenePage.key("images"))
            rows = study.rows(wrong_only=kind == _WRONG, truth=None if truth == _ANY_CLASS else truth)
            rows = selections.restrict(chosen.model, "images", rows)
            # At first the page that has the asked image.
            start = rows.index(asked) if asked in rows else 0
            shown = rows[pager(len(rows), _PER_PAGE, key=IntervenePage.key("image_page", kind, truth), start=start)]
        row = asked if asked is not None else shown[0] if shown else 0
        if not shown:
            layout.nothing_found("No held-out image fits. The model gets them all right, or there are none of this class.")
            return row
        st.caption(
            f"{counted(len(rows), 'image')} of {study.image_count:,}. "
            "The button shows the current prediction; the mark shows whether it is right."
        )
        picture_chooser(
            study.pictures(shown, chosen.recipe),
            chosen=row,
            on_choose=lambda taken: IntervenePage.put(image=study.item(taken)),
            key=IntervenePage.key("choose"),
        )
    return row
