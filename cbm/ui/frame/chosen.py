"""The chosen model: which one the URL and the sidebar say, and all that a page needs to know about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from cbm.core.errors import NotFoundError
from cbm.editing.recipe import Recipe
from cbm.jobs import Job
from cbm.study.study import Study
from cbm.ui.access import modes, visitors
from cbm.ui.frame import edits, layout, resources
from cbm.ui.frame.links import take_out
from cbm.ui.frame.resources import Catalogue
from cbm.ui.frame.slots import Slot
from cbm.ui.frame.state import CHOSEN_MODEL, DEFAULT_MODEL, MODEL, fits, of_model, short

MODEL_CHOICE = Slot("model_choice", "")
"""The model selector."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """The model that a page is about, beside its held-out images, and the visitor's edits of it."""

    root: str
    """The visitor's workspace."""
    model: str
    study: Study
    recipe: Recipe
    catalogue: Catalogue

    @property
    def title(self) -> str:
        return self.catalogue.models[self.model]


def open_chosen(things: str) -> Chosen:
    """What a page about a model begins with. In a workspace without one it says so ("No concepts yet") and ends the run."""
    root = modes.workspace_root()
    catalogue = resources.catalogue(root)
    if not catalogue.models:
        layout.no_models(things)
        st.stop()
    model = current()
    return Chosen(root, model, resources.study(root, model), edits.recipe(model), catalogue)


def current() -> str:
    """Id of the model that the sidebar shows."""
    return CHOSEN_MODEL.get()


def choose(models: Sequence[str], default: str) -> str:
    """The model that the URL asks for, else the one chosen before, else `default`; the URL then names it unless it is the default.

    Raises:
        NotFoundError: the URL names no model of this workspace.
    """
    DEFAULT_MODEL.put(default)
    asked = MODEL.read()
    if asked is not None:
        fitting = [model for model in models if fits(model, asked)]
        if len(fitting) != 1:
            MODEL.put(None)
            raise NotFoundError(f"The link asks for model {asked!r}, which is not in this workspace. Reload to see the default model.")
        CHOSEN_MODEL.put(fitting[0])
    model = current() if current() in models else default
    CHOSEN_MODEL.put(model)
    if model != default:
        MODEL.put(short(model))
    return model


def take_choice() -> None:
    """Callback of the model selector: the numbers of concepts and images belong to the model that was left."""
    CHOSEN_MODEL.put(MODEL_CHOICE.get())
    # Not `visit.clear_url`: widgets are bound to other parameters, and those are about the page, not the model.
    take_out(of_model())


def show(model: str) -> None:
    """Let another model be the chosen one from the next run on: one that has just been made, say."""
    CHOSEN_MODEL.put(model)
    visitors.clear_url()
    modes.put_address()
    MODEL.put(short(model))


def show_made(job: Job, toast: str) -> None:
    """Choose the model that a job has made, say so, and draw the page again."""
    model = (job.result or {}).get("model")
    if isinstance(model, str):
        show(model)
        st.toast(toast, icon=":material/check_circle:")
        st.rerun()
