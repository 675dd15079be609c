"""The pages of the app, their addresses, and the one way into them."""

from __future__ import annotations

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from cbm.paths import ASSETS

START = "pages/start.py"
CONCEPTS = "pages/concepts.py"
CONCEPT = "pages/concept.py"
INTERVENE = "pages/intervene.py"
_ENTERED = "entered"


def enter() -> StreamlitPage:
    """Configure the browser's tab and find the page that the address asks for, to be run by the entry."""
    st.session_state[_ENTERED] = True
    # Before st.navigation: without an icon of its own the tab would show the page's, which browsers fetch from another machine.
    st.set_page_config(
        page_title="CBM Studio",
        page_icon=str(ASSETS / "logo-mark.svg"),
        layout="wide",
        initial_sidebar_state=240,
        menu_items={"About": "**CBM Studio**: a classifier that people can read, question and correct. Everything runs on this machine."},
    )
    return st.navigation(
        [
            st.Page(START, title="Start", icon=":material/flag:", default=True, help="What this is, and the demo's result."),
            st.Page(CONCEPTS, title="Concepts", icon=":material/interests:", help="Every concept, with the images that show it."),
            st.Page(CONCEPT, title="Concept", icon=":material/interests:", visibility="hidden", help="One concept's evidence."),
            st.Page(INTERVENE, title="Intervene", icon=":material/tune:", help="Correct a prediction and see what else changes."),
        ]
    )


def require_entry() -> None:
    """First thing on every page: start again through `app.py` where Streamlit runs the page without it.

    Streamlit 1.67 takes a folder named `pages` for the old kind of app until `st.navigation` is first called: a server whose first visit is
    a permalink runs that page alone, without sidebar, model or error handling. One call ends that for the whole server.
    """
    if _ENTERED not in st.session_state:
        enter()
        st.rerun()
