"""How good the chosen model is: against its baselines, class by class, confusion by confusion; and the form that trains another."""

import numpy as np
import streamlit as st

from cbm.core.errors import NotFoundError
from cbm.study import classes
from cbm.study.class_detail import class_detail
from cbm.ui.access import modes
from cbm.ui.frame import navigation, resources, selections, session
from cbm.ui.frame.cards import page_title, show_error
from cbm.ui.pages.classify import panels, training
from cbm.ui.pages.classify.class_page import class_page

navigation.require_entry()

root = modes.workspace_root()
catalogue = resources.catalogue(root)
if not catalogue.models:
    page_title("Classify", "Train a classifier that uses only a few concepts per class, and see where it is right and wrong.")
    training.first_panel()
    st.stop()
model = session.current_model()
study = resources.study(root, model)
recipe = session.recipe(model)
address = session.link(model, catalogue.default)
report = classes.class_report(study, recipe)

asked = session.asked("class")
if asked is not None:
    try:
        index = classes.class_index(study, asked)
        class_page(study, recipe, class_detail(study, recipe, report, index), address=address)
        st.stop()
    except NotFoundError as error:
        show_error(str(error))

page_title("Classify", "How good the classifier is with only a few concepts per class, and where it is right and wrong.")
selections.chip(model, "images", key="classify_images")
shown = classes.class_report(study, recipe, selections.restrict(model, "images", np.arange(study.images)))
panels.headline_panel(study, shown, recipe, study.metrics)
left, right = st.columns(2, gap="medium")
with left:
    panels.accuracy_panel(study, report, recipe, study.metrics)
with right:
    panels.class_table(shown, narrowed=selections.narrowed(model, "images"))
st.fragment(panels.confusion_panel)(study, shown, recipe, model=model, address=address)
training.panel(study.model.method.get("concepts"), model if training.has_names(study.model.recipe) else None)
