"""What surrounds every page: the pages and the one way into them, and the sidebar with the model and the edits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from cbm.core.errors import CbmError
from cbm.core.paths import ASSETS
from cbm.editing.recipe import ActivationEdit, HideConcept, HideConcepts, MergeConcepts, Recipe, RenameConcept, describe
from cbm.ui.access import modes
from cbm.ui.frame import chosen, edits, messages
from cbm.ui.frame.chosen import MODEL_CHOICE
from cbm.ui.frame.formats import counted
from cbm.ui.frame.slots import Slot
from cbm.ui.frame.state import (
    ClassifyPage,
    ComparePage,
    ConceptPage,
    ConceptsPage,
    DataPage,
    DiscoverPage,
    ExportPage,
    ImagePage,
    IntervenePage,
    JobsPage,
    StartPage,
)

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
        st.Page(ConceptsPage.SCRIPT, title="Concepts", icon=":material/interests:", help="Every concept, as a list and as a map."),
        st.Page(ConceptPage.SCRIPT, title="Concept", icon=":material/interests:", visibility="hidden", help="One concept's evidence."),
        st.Page(ImagePage.SCRIPT, title="Image", icon=":material/image:", help="One image: what the model sees in it, and where."),
        st.Page(IntervenePage.SCRIPT, title="Intervene", icon=":material/tune:", help="Correct a prediction and see what else changes."),
        st.Page(ComparePage.SCRIPT, title="Compare", icon=":material/compare_arrows:", help="Two concept models on the same images."),
    ]
    classify = st.Page(
        ClassifyPage.SCRIPT, title="Classify", icon=":material/category:", help="Train heads, and see how good each class is."
    )
    export = st.Page(ExportPage.SCRIPT, title="Export", icon=":material/deployed_code:", help="Export the model.")
    start = st.Page(StartPage.SCRIPT, title="Start", icon=":material/flag:", default=True, help="What this is, and the demo's result.")
    if not writing:
        return {"": [start], "Explore": [*explore[:3], classify], "Correct": explore[3:], "Keep": [export]}
    build = [
        st.Page(DataPage.SCRIPT, title="Data", icon=":material/photo_library:", help="Bring images or vectors, encode them, search them."),
        st.Page(DiscoverPage.SCRIPT, title="Discover", icon=":material/travel_explore:", help="Find concepts in embeddings and name them."),
        classify,
    ]
    jobs = st.Page(JobsPage.SCRIPT, title="Jobs", icon=":material/pending_actions:", help="All long work: progress, log, cancel, retry.")
    return {"": [start], "Build": build, "Explore": explore[:3], "Correct": explore[3:], "Keep": [export, jobs]}


def require_entry() -> None:
    """First thing on every page: start again through `app.py` where Streamlit runs the page without it.

    Streamlit 1.67 takes a folder named `pages` for the old kind of app until `st.navigation` is first called: a server whose first visit is
    a permalink runs that page alone, without sidebar, model or error handling. One call ends that for the whole server.
    """
    if not _ENTERED.get():
        enter()
        st.rerun()


@dataclass(frozen=True)
class EditLine:
    """One edit of the recipe as a person reads it."""

    position: int
    text: str
    icon: str
    enabled: bool
    measured: bool
    """False for renames and hides, which change no prediction."""


def model_selector(titles: Mapping[str, str], model: str) -> None:
    """Choose among the workspace's models; silent where there is only one to choose."""
    models = list(titles)
    MODEL_CHOICE.put(model)
    st.selectbox(
        "Concept model",
        models,
        key=MODEL_CHOICE.key,
        format_func=lambda model: titles[model],
        on_change=chosen.take_choice,
        help="Every concept model of the workspace. Your edits are kept separately for each.",
    )


def edit_lines(recipe: Recipe) -> Sequence[EditLine]:
    """The recipe as a person reads it, oldest edit first; undone edits are left out."""
    icons = {
        RenameConcept: ":material/edit:",
        HideConcept: ":material/visibility_off:",
        HideConcepts: ":material/visibility_off:",
        MergeConcepts: ":material/merge:",
    }
    lines = []
    for position, step in enumerate(recipe.steps[: recipe.position]):
        icon = icons.get(type(step.edit), ":material/tune:" if isinstance(step.edit, ActivationEdit) else ":material/linear_scale:")
        lines.append(EditLine(position, describe(step.edit), icon, step.enabled, type(step.edit) not in icons))
    return lines


def edit_history(model: str, recipe: Recipe) -> None:
    """Undo, redo and the number of edits, on every page."""
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.button(
            "Undo",
            key="undo",
            icon=":material/undo:",
            disabled=not recipe.can_undo,
            on_click=edits.undo,
            args=(model,),
            shortcut="Mod+Z",
            width="stretch",
        )
        st.button(
            "Redo",
            key="redo",
            icon=":material/redo:",
            disabled=not recipe.can_redo,
            on_click=edits.redo,
            args=(model,),
            shortcut="Mod+Shift+Z",
            width="stretch",
        )
    if len(recipe):
        st.download_button(
            "Download recipe",
            recipe.to_json(),
            "recipe.json",
            "application/json",
            key="download_recipe",
            icon=":material/download:",
            on_click="ignore",
            width="stretch",
            help="The edits as a JSON file that `cbm edit --recipe` replays.",
        )
    active = len(recipe.active)
    st.caption(f"{counted(active, 'edit')} in force" if active else "No edits yet. They stay in this browser tab until you download them.")


def mode_notice() -> None:
    """What a visitor of a hosted app or of a demo should know: that nothing can be written, or what is kept and for how long."""
    mode = modes.mode()
    if mode is modes.Mode.DEMO:
        st.badge("Demo, read only", icon=":material/visibility:", color="gray", help=_DEMO_NOTICE)
    elif mode is modes.Mode.HOSTED:
        with st.popover("Your data", icon=":material/shield_person:", width="stretch", key="your_data"):
            st.markdown(_kept_notice())
            if modes.owns_workspace():
                st.button("Delete my data", key="delete_my_data", icon=":material/delete_forever:", on_click=modes.delete_my_data)


_DEMO_NOTICE = (
    "You can try every edit: it stays in this browser tab. A picture that you upload stays in memory and is never stored. "
    "To work with your own images, install CBM Studio."
)


def _kept_notice() -> str:
    bounds = modes.limits()
    days = "" if bounds.keep_days is None else f" until {bounds.keep_days:g} days after your last visit"
    if modes.owns_workspace():
        return (
            f"Your uploads and models are stored on this server{days}, then deleted. The URL of this page is the key to them: "
            "keep it to come back, and share it only with people who may see and change everything."
        )
    return (
        "Nothing of yours is kept so far: edits live in this browser tab. Once you upload images, they and what is made from them are kept "
        f"on this server{days}, in a workspace that can only be reached through its URL."
    )
