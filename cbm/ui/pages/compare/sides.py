"""Which two models are compared: what the link asks for, sound defaults, and the selectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from cbm.core.errors import CorruptArtifactError, NotFoundError
from cbm.editing.recipe import Recipe
from cbm.study.study import Study
from cbm.ui.frame import cache, chosen, edits, resources
from cbm.ui.frame.slots import Slot
from cbm.ui.frame.state import ComparePage, fits, short
from cbm.workspace import ModelArtifact
from cbm.workspace.workspace import Workspace

_FIRST, _OTHER = Slot(ComparePage.key("first"), ""), Slot(ComparePage.key("other"), "")
STORED, UNEDITED = ComparePage.STORED, ComparePage.UNEDITED
"""In the place of a second model: the first as it is stored, or without any edit."""


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two."""

    letter: str
    model: str
    title: str
    study: Study
    recipe: Recipe


@dataclass(frozen=True)
class Choice:
    """What is compared."""

    first: str
    """A model's id."""
    other: str
    """A model's id, `STORED` or `UNEDITED`."""
    instead: bool = False
    """Whether `first` is not the chosen model, because that one has nothing to be compared with."""


@cache.remember()
def _tested_on(root: str, model: str) -> str | None:
    """Id of the embedding set that a model was tested on; None where it does not say."""
    try:
        artifact = Workspace(root).get(model, ModelArtifact)
    except (CorruptArtifactError, NotFoundError):
        return None
    # An edited model keeps the images of the one that it was made from, wherever the edit was measured.
    before = None if artifact.edited_from is None else _tested_on(root, artifact.edited_from)
    rows = artifact.test or artifact.measured_on
    return before or (None if rows is None else rows.embeddings)


def partners(root: str, model: str, models: Sequence[str]) -> list[str]:
    """The other models that were tested on the same embedding set."""
    own = _tested_on(root, model)
    return [other for other in models if own is not None and other != model and _tested_on(root, other) == own]


def choose(root: str, models: Mapping[str, str], model: str, asked: str | None, *, edited: bool, stored_edits: bool) -> Choice | None:
    """The pair to compare; None where the workspace has nothing to compare.

    Args:
        asked: what the link says about the other side.
        edited: whether the visitor's edits of `model` differ from those it is stored with.
        stored_edits: whether `model` is stored with edits that change predictions.

    Raises:
        NotFoundError: the link asks for a model that is not here.
    """
    if asked is not None:
        return Choice(model, _named(asked, list(models)))
    if edited:
        return Choice(model, STORED)
    near = partners(root, model, list(models))
    if near:
        return Choice(model, near[0])
    if stored_edits:
        return Choice(model, UNEDITED)
    for first in models:
        others = partners(root, first, list(models))
        if others:
            return Choice(first, others[0], instead=True)
    return None


def offered(root: str, models: Sequence[str], choice: Choice) -> list[str]:
    """What the first model can be compared with, those that share its test images first."""
    near = partners(root, choice.first, models)
    return [*near, STORED, UNEDITED, *(model for model in models if model != choice.first and model not in near)]


def _named(asked: str, models: Sequence[str]) -> str:
    if asked in (STORED, UNEDITED):
        return asked
    fitting = [model for model in models if fits(model, asked)]
    if len(fitting) != 1:
        raise NotFoundError(f"The link asks to compare with {asked!r}, which is not in this workspace. Choose a model below.")
    return fitting[0]


def open_sides(root: str, models: Mapping[str, str], choice: Choice) -> tuple[Side, Side]:
    """Both models with their held-out images, each under its recipe: the visitor's, or the one it was stored with."""
    first = resources.study(root, choice.first)
    edits.start_from(choice.first, first.model.recipe)
    own = edits.recipe(choice.first)
    title = models[choice.first]
    if choice.other in (STORED, UNEDITED):
        recipe = first.model.recipe if choice.other == STORED else Recipe()
        suffix = "as stored" if choice.other == STORED else "without edits"
        left = f"{title}, your edits" if choice.other == STORED or own != first.model.recipe else title
        return Side("A", choice.first, left, first, own), Side("B", choice.first, f"{title}, {suffix}", first, recipe)
    second = resources.study(root, choice.other)
    edits.start_from(choice.other, second.model.recipe)
    return (
        Side("A", choice.first, title + _mark(choice.first, first), first, own),
        Side("B", choice.other, models[choice.other] + _mark(choice.other, second), second, edits.recipe(choice.other)),
    )


def _mark(model: str, study: Study) -> str:
    return ", your edits" if is_edited(model, study) else ""


def is_edited(model: str, study: Study) -> bool:
    """Whether the visitor's edits make the model predict by another recipe than the stored one."""
    own = edits.recipe(model)
    return own != study.model.recipe and (own.changes_predictions or study.model.recipe.changes_predictions)


def selectors(models: Mapping[str, str], choice: Choice, offered: list[str]) -> None:
    """Which two models; `offered` are the second ones that share images with the first, STORED and UNEDITED among them."""
    _FIRST.put(choice.first)
    _OTHER.put(choice.other)
    words = {STORED: "The same model as stored", UNEDITED: "The same model without edits"}
    left, middle, right = st.columns([10, 3, 10], vertical_alignment="bottom")
    left.selectbox("Model A", list(models), key=_FIRST.key, format_func=lambda model: models[model], on_change=_take_first)
    middle.button(
        "Swap",
        key=ComparePage.key("swap"),
        icon=":material/swap_horiz:",
        help="Swap A and B",
        width="stretch",
        disabled=choice.other in words,
        on_click=_swap,
        args=(choice,),
    )
    right.selectbox(
        "Model B",
        offered,
        key=_OTHER.key,
        format_func=lambda model: words.get(model) or models[model],
        on_change=_take_other,
        args=(choice.first,),
        help="Models that were tested on images of A, and A itself without your edits.",
    )


def _take_first() -> None:
    chosen.show(_FIRST.get())


def _take_other(first: str) -> None:
    # The pair on screen may not begin with the chosen model; from now on it does.
    other = _OTHER.get()
    chosen.show(first)
    ComparePage.put(other=other if other in (STORED, UNEDITED) else short(other))


def _swap(choice: Choice) -> None:
    chosen.show(choice.other)
    ComparePage.put(other=short(choice.first))
