"""One image: what the model says, which concepts it sees, and where. `?image=` in the address says which, `?concept=` what is lit."""

import streamlit as st

from cbm.core.errors import NotFoundError
from cbm.study.judgement import judge
from cbm.ui.access import modes
from cbm.ui.frame import empty, navigation, resources, session
from cbm.ui.frame.cards import page_title, show_error
from cbm.ui.pages.image import panels
from cbm.ui.pages.image.chooser import choose_image
from cbm.ui.pages.image.panels import Scene
from cbm.ui.pages.image.picture import picture

navigation.require_entry()

root = modes.workspace_root()
catalogue = resources.catalogue(root)
if not catalogue.models:
    empty.no_models("predictions")
    st.stop()
model = session.current_model()
study = resources.study(root, model)
recipe = session.recipe(model)

page_title("Image", "One image: what the model says, which concepts it sees, and where it sees them.")
try:
    asked = session.image_in_link()
    row = None if asked is None else study.row_of(asked)
except NotFoundError as error:
    show_error(str(error))
    row = None
subject = choose_image(study, model, recipe, root, row)
if subject is None:
    st.stop()

judgement = judge(study, subject, recipe, panels.chosen_target())
try:
    text = session.asked("concept")
    concept = None if text == "none" else session.concept_in_link()
    if concept is not None:
        study.check_concept(concept)
except NotFoundError as error:
    show_error(str(error))
    text, concept = None, None
if text is None and judgement.parts:
    concept = judgement.parts[0].concept
scene = Scene(root, model, study, recipe, subject, judgement, concept, session.link(model, catalogue.default))

left, right = st.columns([11, 17], gap="large")
with right:
    panels.verdict(scene)
    panels.concepts(scene)
    panels.counterfactual(scene)
panels.nearest(scene)
# Last, because it may have to load the backbone: what the model says does not wait for it.
with left:
    picture(scene)
