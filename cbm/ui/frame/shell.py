"""What surrounds every page: the sidebar with the model and the edits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from cbm.editing.recipe import ActivationEdit, HideConcept, HideConcepts, MergeConcepts, Recipe, RenameConcept, describe
from cbm.ui.access import modes
from cbm.ui.frame import chosen, edits
from cbm.ui.frame.chosen import MODEL_CHOICE
from cbm.ui.frame.formats import counted


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
