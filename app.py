"""The app's entry: page configuration, navigation, sidebar."""

import streamlit as st

from cbm.core.errors import CbmError
from cbm.core.paths import ASSETS
from cbm.ui.access import modes
from cbm.ui.frame import job_workers, navigation, resources, session, shell
from cbm.ui.frame.cards import show_error
from cbm.ui.widgets import job_panel

page = navigation.enter()
st.logo(str(ASSETS / "logo.svg"), size="large", icon_image=str(ASSETS / "logo-mark.svg"))
try:
    catalogue = resources.catalogue(modes.workspace_root())
    modes.put_address()
    job_workers.take_up(modes.workspace_root())
    if catalogue.models:
        chosen = session.chosen_model(list(catalogue.models), catalogue.default)
        with st.sidebar:
            shell.model_selector(catalogue.models, chosen)
            session.start_from(chosen, resources.study(modes.workspace_root(), chosen).model.recipe)
            shell.edit_history(chosen, session.recipe(chosen))
    with st.sidebar:
        shell.mode_notice()
    job_panel.show_refusal()
    page.run()
except CbmError as error:
    show_error(str(error))
