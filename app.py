"""The app's entry: page configuration, navigation, sidebar."""

import streamlit as st

from cbm.core.errors import CbmError
from cbm.core.paths import ASSETS
from cbm.ui.access import modes
from cbm.ui.frame import chosen, edits, messages, resources, shell

page = shell.enter()
st.logo(str(ASSETS / "logo.svg"), size="large", icon_image=str(ASSETS / "logo-mark.svg"))
try:
    catalogue = resources.catalogue(modes.workspace_root())
    modes.put_address()
    resources.take_up_jobs(modes.workspace_root())
    if catalogue.models:
        model = chosen.choose(list(catalogue.models), catalogue.default)
        edits.start_from(model, resources.study(modes.workspace_root(), model).model.recipe)
        with st.sidebar:
            shell.model_selector(catalogue.models, model)
            shell.edit_history(model, edits.recipe(model))
    with st.sidebar:
        shell.mode_notice()
    messages.show_refusal()
    page.run()
except CbmError as error:
    messages.error(str(error))
