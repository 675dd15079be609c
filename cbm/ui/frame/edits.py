"""A visitor's edits: an immutable recipe for each model, in their own session. What visitors share is only read."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from cbm.editing.recipe import Edit, Recipe, RenameConcept
from cbm.ui.access import quotas
from cbm.ui.access.limits import LimitError
from cbm.ui.frame.slots import PerModel

_RECIPES = PerModel("recipes", Recipe())


def recipe(model: str) -> Recipe:
    """The visitor's edits of one model."""
    return _RECIPES.get(model)


def start_from(model: str, stored: Recipe) -> None:
    """Let a visitor's edits start from those that the model was stored with, unless they have begun already."""
    if not _RECIPES.has(model):
        _RECIPES.put(model, stored)


def change(model: str, changed: Callable[[Recipe], Recipe]) -> None:
    """Replace the visitor's recipe by `changed(recipe)`."""
    _RECIPES.put(model, changed(recipe(model)))


def add(model: str, *edits: Edit) -> None:
    change(model, lambda current: current.append(*edits))


def undo(model: str) -> None:
    change(model, Recipe.undo)


def redo(model: str) -> None:
    change(model, Recipe.redo)


def switch(model: str, index: int, enabled: bool) -> None:
    """Switch one edit on or off; nothing where it is so already, because Streamlit may call back twice for one change."""
    if recipe(model).steps[index].enabled != enabled:
        change(model, lambda current: current.toggle(index))


def rename(model: str, concept: int, shown: str, wanted: str) -> None:
    """Rename a concept that is `shown` under a name; nothing where it has the wanted name already (see `switch`)."""
    wanted = wanted.strip()
    try:
        quotas.check_text(wanted, "The name")
    except LimitError as error:
        st.toast(str(error), icon=":material/error:")
        return
    current = recipe(model).decisions().names.get(concept, shown)
    if wanted and wanted != current:
        add(model, RenameConcept(concept, current, wanted))
