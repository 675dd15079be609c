"""Recipes from files, and the edited model as a model of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from cbm.core.errors import CbmError, MismatchError
from cbm.editing.recipe import Recipe
from cbm.study.recipes import missing_items, read_recipe
from cbm.study.study import Study
from cbm.ui.access import modes
from cbm.ui.frame import navigation, resources, session
from cbm.ui.frame.cards import show_error
from cbm.ui.frame.text import counted
from cbm.ui.widgets import job_panel

_UPLOADS = "recipe_uploads"
"""How many recipes were taken: part of the uploader's key, so that it is empty again afterwards."""


def upload_panel(study: Study, recipe: Recipe, *, model: str) -> None:
    """Take edits from a recipe file."""
    with st.popover("Upload a recipe", icon=":material/upload:", width="stretch", key="upload_recipe"):
        st.markdown("A recipe is the JSON file that **Download recipe** writes: the edits in their order, to be replayed on this model.")
        file = st.file_uploader("Recipe file", type="json", key=f"recipe_file-{st.session_state.get(_UPLOADS, 0)}")
        if file is None:
            return
        try:
            modes.check_upload(file.name, file.size)
            read = _read(file, study)
        except CbmError as error:
            show_error(str(error))
            return
        if read is not None:
            _offer(read, study, recipe, model)


def _read(file: UploadedFile, study: Study) -> Recipe | None:
    data = file.getvalue()
    try:
        return read_recipe(data, study)
    except MismatchError as error:
        show_error(str(error))
        if st.toggle("Apply it by the concepts' names instead", key="recipe_by_name"):
            return read_recipe(data, study, by_name=True)
        return None


def _offer(read: Recipe, study: Study, recipe: Recipe, model: str) -> None:
    st.markdown(f":material/check: A recipe of {counted(len(read), 'edit')} that fits this model.")
    missing = missing_items(read, study)
    if missing:
        st.caption(f"{counted(len(missing), 'image')} that it names, {missing[0]} for one, are not among the held-out images here.")
    with st.container(horizontal=True):
        st.button(
            "Replace my edits" if len(recipe) else "Apply",
            key="recipe_replace",
            type="primary",
            on_click=_take,
            args=(model, read, False),
        )
        if len(recipe):
            st.button("Add after mine", key="recipe_add", on_click=_take, args=(model, read, True))


def _take(model: str, read: Recipe, add: bool) -> None:
    session.change_recipe(model, lambda current: current.append(*read.active) if add else read)
    st.session_state[_UPLOADS] = st.session_state.get(_UPLOADS, 0) + 1


def save_panel(recipe: Recipe, stored: Recipe, *, root: str, model: str) -> None:
    """Keep the edits as a new model of the workspace, measured again; absent where nothing may be written."""
    if not modes.may_write():
        st.caption(":material/lock: This is a demo: edits stay in this browser tab. Download the recipe to keep them.")
        return
    st.button(
        "Save as new model",
        key="save_model",
        icon=":material/save:",
        width="stretch",
        disabled=recipe == stored,
        on_click=_save,
        args=(model, recipe),
        help="A model of its own beside this one, with these edits in force. It is listed on every page and can be exported.",
    )
    _saving(root)


def _save(model: str, recipe: Recipe) -> None:
    parameters: Mapping[str, object] = {"model": model, "recipe": json.loads(recipe.to_json()), "replace": True}
    try:
        job_panel.submit("edit", parameters, title=f"Save the model with {counted(len(recipe.active), 'edit')}")
    except CbmError as error:
        st.session_state["save_refused"] = str(error)


def _saving(root: str) -> None:
    refused = st.session_state.pop("save_refused", None)
    if refused:
        show_error(refused)
    asked = session.asked(job_panel.PARAMETER)
    job = job_panel.latest(root, ("edit",)) if asked else None
    if job is None or job.id != asked:
        return
    job = job_panel.watch(job.id, key="save_job")
    if job.state == "done" and job.result:
        saved = str(job.result["model"])
        if saved in resources.catalogue(root).models:
            st.page_link(
                navigation.INTERVENE,
                label="Open the saved model",
                icon=":material/arrow_forward:",
                query_params={"model": session.short(saved)},
            )
