"""The pages of the app, their addresses, and the one way into them."""

from __future__ import annotations

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from cbm.core.errors import CbmError
from cbm.core.paths import ASSETS
from cbm.ui.access import modes
from cbm.ui.frame import messages, state
from cbm.ui.frame.slots import Slot

START = state.StartPage.SCRIPT
DATA = state.DataPage.SCRIPT
DISCOVER = state.DiscoverPage.SCRIPT
CLASSIFY = state.ClassifyPage.SCRIPT
CONCEPTS = state.ConceptsPage.SCRIPT
CONCEPT = state.ConceptPage.SCRIPT
IMAGE = state.ImagePage.SCRIPT
INTERVENE = state.IntervenePage.SCRIPT
COMPARE = state.ComparePage.SCRIPT
EXPORT = state.ExportPage.SCRIPT
JOBS = state.JobsPage.SCRIPT
_ENTERED = Slot("entered", False)


def enter() -> StreamlitPage:
    """Configure the browser's tab and find the page that the URL asks for, to be run by the entry."""
    _ENTERED.put(True)
    # Before st.navigation: without an icon of its own the tab would show the page's, which browsers fetch from another machine.
    st.set_page_config(
        page_title="CBM Studio",
        page_icon=str(ASSETS / "logo-mark.svg"),
        layout="wide",
        initial_sidebar_state=240,
        menu_items={"About": "**CBM Studio**: a classifier that people can read, question and correct. It runs entirely on this machine."},
    )
    try:
        return st.navigation(_pages(modes.may_write()))
    except CbmError as error:
        # Wrongly started. A navigation there must be, or Streamlit would list the folder of pages by itself.
        st.navigation(_pages(writing=True), position="hidden")
        messages.error(str(error))
        st.stop()


def _pages(writing: bool) -> dict[str, list[StreamlitPage]]:
    """The pages by group; those that write are absent where nothing may be written."""
    explore = [
        st.Page(CONCEPTS, title="Concepts", icon=":material/interests:", help="Every concept, as a list and as a map."),
        st.Page(CONCEPT, title="Concept", icon=":material/interests:", visibility="hidden", help="One concept's evidence."),
        st.Page(IMAGE, title="Image", icon=":material/image:", help="One image: what the model sees in it, and where."),
        st.Page(INTERVENE, title="Intervene", icon=":material/tune:", help="Correct a prediction and see what else changes."),
        st.Page(COMPARE, title="Compare", icon=":material/compare_arrows:", help="Two concept models on the same images."),
    ]
    classify = st.Page(CLASSIFY, title="Classify", icon=":material/category:", help="Train heads, and see how good each class is.")
    export = st.Page(EXPORT, title="Export", icon=":material/deployed_code:", help="Export the model.")
    start = st.Page(START, title="Start", icon=":material/flag:", default=True, help="What this is, and the demo's result.")
    if not writing:
        return {"": [start], "Explore": [*explore[:3], classify], "Correct": explore[3:], "Keep": [export]}
    build = [
        st.Page(DATA, title="Data", icon=":material/photo_library:", help="Bring images or vectors, encode them, search them."),
        st.Page(DISCOVER, title="Discover", icon=":material/travel_explore:", help="Find concepts in embeddings and name them."),
        classify,
    ]
    jobs = st.Page(JOBS, title="Jobs", icon=":material/pending_actions:", help="All long work: progress, log, cancel, retry.")
    return {"": [start], "Build": build, "Explore": explore[:3], "Correct": explore[3:], "Keep": [export, jobs]}


def require_entry() -> None:
    """First thing on every page: start again through `app.py` where Streamlit runs the page without it.

    Streamlit 1.67 takes a folder named `pages` for the old kind of app until `st.navigation` is first called: a server whose first visit is
    a permalink runs that page alone, without sidebar, model or error handling. One call ends that for the whole server.
    """
    if not _ENTERED.get():
        enter()
        st.rerun()
