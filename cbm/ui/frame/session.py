"""The one place that names session state and query parameters. It keeps ids and recipes, never arrays.

A visitor's edits are an immutable recipe in their own session, so that two visitors never see each other's; the cached library objects
that they share are only read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from cbm.core.errors import NotFoundError
from cbm.editing.recipe import Edit, Recipe, RenameConcept
from cbm.ui.access import modes
from cbm.ui.frame import addresses

MODEL_CHOICE = "model_choice"
"""Key of the model selector."""
_MODEL = "model"
_CONCEPT = "concept"
_IMAGE = "image"
_RECIPES = "recipes"
_OF_A_MODEL = (_MODEL, _CONCEPT, _IMAGE, "class", "concepts", "other", "selection")
"""Parameters that mean nothing beside another model."""


def short(model: str) -> str:
    """What stands for a model in an address: the first eight digits of its id."""
    return model.partition("-")[2][:8]


def chosen_model(models: Sequence[str], default: str) -> str:
    """The model that the address asks for, else the one chosen before, else `default`; the address then names it unless it is the default.

    Raises:
        NotFoundError: the address names no model of this workspace.
    """
    asked = st.query_params.get(_MODEL)
    if asked is not None:
        fitting = [model for model in models if model.startswith(asked) or model.partition("-")[2].startswith(asked)]
        if len(fitting) != 1:
            del st.query_params[_MODEL]
            raise NotFoundError(f"The address asks for model {asked!r}, which is not in this workspace. Reload to see the default model.")
        st.session_state[_MODEL] = fitting[0]
    kept = str(st.session_state.get(_MODEL))
    model = kept if kept in models else default
    st.session_state[_MODEL] = model
    if model != default:
        st.query_params[_MODEL] = short(model)
    return model


def current_model() -> str:
    """The model that the sidebar shows."""
    return str(st.session_state[_MODEL])


def choose_model() -> None:
    """Callback of the model selector: concept and image numbers belong to the model that was left."""
    st.session_state[_MODEL] = st.session_state[MODEL_CHOICE]
    # Not `clear()`: it refuses where a widget is bound to a parameter, and those speak of the page, not of the model.
    for parameter in _OF_A_MODEL:
        st.query_params.pop(parameter, None)


def show_model(model: str) -> None:
    """Let another model be the chosen one from the next run on: one that has just been made, say."""
    st.session_state[_MODEL] = model
    addresses.clear()
    modes.put_address()
    st.query_params[_MODEL] = short(model)


def link(model: str, default: str, **parameters: object) -> dict[str, str]:
    """Query parameters of a permalink; the default model and absent values are left out."""
    named = modes.address() | ({} if model == default else {_MODEL: short(model)})
    return named | {name: str(value) for name, value in parameters.items() if value is not None}


def recipe(model: str) -> Recipe:
    """The visitor's edits of one model."""
    return st.session_state.get(_RECIPES, {}).get(model, Recipe())


def start_from(model: str, stored: Recipe) -> None:
    """Let a visitor's edits go on from those that the model was stored with, unless they have begun already."""
    if model not in st.session_state.get(_RECIPES, {}):
        change_recipe(model, lambda _: stored)


def change_recipe(model: str, change: Callable[[Recipe], Recipe]) -> None:
    """Put `change(recipe)` in the place of the visitor's recipe."""
    st.session_state[_RECIPES] = {**st.session_state.get(_RECIPES, {}), model: change(recipe(model))}


def add_edit(model: str, *edits: Edit) -> None:
    change_recipe(model, lambda current: current.append(*edits))


def undo(model: str) -> None:
    change_recipe(model, Recipe.undo)


def redo(model: str) -> None:
    change_recipe(model, Recipe.redo)


def switch(model: str, index: int, enabled: bool) -> None:
    """Switch one edit on or off; nothing where it is so already, because Streamlit may call back twice for one change."""
    if recipe(model).steps[index].enabled != enabled:
        change_recipe(model, lambda current: current.toggle(index))


def rename(model: str, concept: int, shown: str, wanted: str) -> None:
    """Rename a concept that is `shown` under a name; nothing where it bears the wanted name already (see `switch`)."""
    wanted = wanted.strip()
    try:
        modes.check_text(wanted, "The name")
    except modes.LimitError as error:
        st.toast(str(error), icon=":material/error:")
        return
    current = recipe(model).decisions().names.get(concept, shown)
    if wanted and wanted != current:
        add_edit(model, RenameConcept(concept, current, wanted))


def asks_for_concept() -> bool:
    return _CONCEPT in st.query_params


def concept_in_link() -> int | None:
    """The concept that the address asks for.

    Raises:
        NotFoundError: the address names no concept by number.
    """
    text = st.query_params.get(_CONCEPT)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise NotFoundError(f"The address asks for concept {text!r}, but concepts have numbers. Choose one from the list instead.")
    return int(text)


def image_in_link() -> str | None:
    """The item that the address asks for."""
    return st.query_params.get(_IMAGE)


def put_image_in_link(item: str) -> None:
    st.query_params[_IMAGE] = item


def asked(parameter: str) -> str | None:
    """What the address says about `parameter`, for those that no widget is bound to."""
    return st.query_params.get(parameter)


def put(parameter: str, value: object | None) -> None:
    """Write a parameter into the address, or take it out."""
    if value is None:
        st.query_params.pop(parameter, None)
    else:
        st.query_params[parameter] = str(value)
