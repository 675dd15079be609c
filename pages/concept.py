"""One concept: `?concept=17` in the address says which."""

import streamlit as st

from cbm.core.errors import NotFoundError
from cbm.study.concept_detail import concept_detail
from cbm.ui.access import modes
from cbm.ui.frame import empty, navigation, resources, selections, session
from cbm.ui.frame.cards import show_error
from cbm.ui.pages.concept.page import concept_page
from cbm.ui.pages.concept.panels import Scene

navigation.require_entry()

root = modes.workspace_root()
catalogue = resources.catalogue(root)
if not catalogue.models:
    empty.no_models("concepts")
    st.stop()
model = session.current_model()
study = resources.study(root, model)
recipe = session.recipe(model)
address = session.link(model, catalogue.default)

try:
    asked = session.concept_in_link()
    if asked is None:
        st.switch_page(navigation.CONCEPTS, query_params=address)
    detail = concept_detail(study, asked, recipe)
except NotFoundError as error:
    show_error(str(error))
    st.page_link(navigation.CONCEPTS, label="All concepts", icon=":material/arrow_back:", query_params=address)
    st.stop()
images = selections.current(model, "images") if selections.narrowed(model, "images") else None
concept_page(Scene(root, model, study, recipe, detail, address, None if images is None else images.members))
