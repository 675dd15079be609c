"""One concept: `?concept=17` in the address says which."""

import streamlit as st

from cbm.errors import NotFoundError
from cbm.ui import access, empty, navigation, resources, session
from cbm.ui.cards import show_error
from cbm.ui.concept.page import concept_page

navigation.require_entry()

catalogue = resources.catalogue(access.workspace_root())
if not catalogue.models:
    empty.no_models("concepts")
    st.stop()
model = session.current_model()
study = resources.study(access.workspace_root(), model)
address = session.link(model, catalogue.default)

try:
    asked = session.concept_in_link()
    if asked is None:
        st.switch_page(navigation.CONCEPTS, query_params=address)
    detail = study.concept(asked, session.recipe(model))
except NotFoundError as error:
    show_error(str(error))
    st.page_link(navigation.CONCEPTS, label="All concepts", icon=":material/arrow_back:", query_params=address)
    st.stop()
concept_page(detail, model=model, address=address)
