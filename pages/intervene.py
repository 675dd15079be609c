"""Choose an image, see why the model says what it says, change concepts, and see what that does everywhere."""

import streamlit as st

from cbm.core.errors import NotFoundError
from cbm.editing.recipe import Recipe
from cbm.study.steering import group_of, steering_view
from cbm.ui.access import modes
from cbm.ui.frame import empty, navigation, resources, session
from cbm.ui.frame.cards import page_title, show_error
from cbm.ui.frame.text import counted
from cbm.ui.pages.intervene import difference, effect_panel, keeping, measuring, panels
from cbm.ui.pages.intervene.chooser import image_chooser
from cbm.ui.pages.intervene.examples import experiments_panel
from cbm.ui.pages.intervene.suggesting import suggestions_panel

navigation.require_entry()

root = modes.workspace_root()
catalogue = resources.catalogue(root)
if not catalogue.models:
    empty.no_models("predictions")
    st.stop()
model = session.current_model()
study = resources.study(root, model)
recipe = session.recipe(model)
address = session.link(model, catalogue.default)

page_title(
    "Intervene",
    "Pick an image the model gets wrong, see which concepts misled it, change them, and see what the change does to every other image.",
)

try:
    asked = session.image_in_link()
    asked_row = None if asked is None else study.row_of(asked)
    concept = session.concept_in_link()
    if concept is not None:
        study.check_concept(concept)
except NotFoundError as error:
    show_error(str(error))
    asked_row, concept = None, None

row = image_chooser(study, recipe, model=model, asked=asked_row)
view = steering_view(study, row, recipe, panels.chosen_target(), concept)
left, right = st.columns([10, 29], gap="medium")
with left:
    panels.verdict(view, study.picture(row, recipe), group=group_of(study, row), address=address)
with right:
    panels.controls(view)
    panels.steering(view, recipe, model=model, address=address, asked=concept)
    if difference.changed(view):
        difference.difference_panel(view)

st.subheader("What your edits do", anchor=False, divider="gray")
left, right = st.columns([26, 13], gap="medium")
with left:
    effect = measuring.effect(root, model, recipe)
    if not recipe.position:
        st.caption(f"Nothing has been changed. Apply an edit, and its effect on all {counted(study.images, 'held-out image')} stands here.")
        experiments_panel(root, model)
    elif not study.labelled_images:
        moved = int((measuring.predictions(root, model, Recipe()) != measuring.predictions(root, model, recipe)).sum())
        st.caption(
            f"Your edits change the prediction of {moved:,} of {counted(study.images, 'held-out image')}. The images have no labels that "
            "the model knows, so nothing says which of them are right."
        )
    elif effect is None:
        st.caption("These edits change names only; every prediction stays.")
    else:
        effect_panel.effect_panel(effect, study.item)
with right:
    effect_panel.edits_panel(recipe, measuring.marginals(root, model, recipe), model=model)
    keeping.upload_panel(study, recipe, model=model)
    keeping.save_panel(recipe, study.model.recipe, root=root, model=model)

suggestions_panel(study, row, recipe, root=root, model=model)
