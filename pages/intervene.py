"""Choose an image, see why the model says what it says, change concepts, and see what that does everywhere."""

import streamlit as st

from cbm.errors import NotFoundError
from cbm.ui import access, empty, navigation, resources, session
from cbm.ui.cards import page_title, show_error
from cbm.ui.galleries import picture_chooser
from cbm.ui.intervene import panels
from cbm.ui.text import counted

navigation.require_entry()

PER_PAGE = 6
ANY_CLASS = "Any class"

catalogue = resources.catalogue(access.workspace_root())
if not catalogue.models:
    empty.no_models("predictions")
    st.stop()
model = session.current_model()
study = resources.study(access.workspace_root(), model)
recipe = session.recipe(model)

page_title(
    "Intervene",
    "Pick an image the model gets wrong, see which concepts misled it, change them, and see what the change does to every other image.",
)

try:
    asked = session.image_in_link()
    row = None if asked is None else study.row_of(asked)
    concept = session.concept_in_link()
    if concept is not None:
        study.check_concept(concept)
except NotFoundError as error:
    show_error(str(error))
    row, concept = None, None

with st.container(border=True):
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control(
            "Held-out images", ["Wrong predictions", "All"], default="Wrong predictions", required=True, key="image_filter"
        )
        truth = st.selectbox("True class", [ANY_CLASS, *study.classes], key="image_class", width=220)
        rows = study.rows(wrong_only=kind == "Wrong predictions", truth=None if truth == ANY_CLASS else truth)
        pages = -(-len(rows) // PER_PAGE)
        page = st.pagination(pages, key=f"image_page-{kind}-{truth}", max_visible_pages=5) if pages > 1 else 1
    shown = rows[(page - 1) * PER_PAGE : page * PER_PAGE]
    row = row if row is not None else shown[0] if shown else 0
    if shown:
        st.caption(
            f"{counted(len(rows), 'image')} of {study.images:,}. The button shows what the model says now; the mark, whether that is right."
        )
        picture_chooser(
            study.pictures(shown, recipe),
            chosen=row,
            on_choose=lambda chosen: session.put_image_in_link(study.item(chosen)),
            key="choose",
        )
    else:
        empty.nothing_found("No held-out image fits. The model gets them all right, or has seen none of this class.")

view = study.prediction(row, recipe, target=panels.chosen_target())
panels.prediction_panel(
    view, model=model, classes=study.classes, asked_concept=None if concept is None else (concept, study.name(concept, recipe))
)
effect = study.effect(recipe)
panels.effect_panel(effect, recipe, model=model, images=study.images)
