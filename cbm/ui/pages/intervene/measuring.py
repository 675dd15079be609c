"""What edits do to the held-out images, measured once for each state of the edits. Keys are short texts; the arrays stay with the study."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st
from jaxtyping import Int

from cbm.editing.effect import compare_predictions
from cbm.editing.recipe import NameEdit, Recipe
from cbm.study.study import Study
from cbm.study.views import EffectView
from cbm.ui.frame import resources


@dataclass(frozen=True)
class Marginal:
    """What one edit does on top of those before it."""

    corrected: int
    newly_wrong: int
    changed: int
    """Images whose prediction it changes, right or not."""


def state_of(recipe: Recipe) -> str:
    """The edits in force that can change a prediction, as a text: equal texts, equal predictions."""
    return repr([edit for edit in recipe.active if not isinstance(edit, NameEdit)])


def effect(root: str, model: str, recipe: Recipe) -> EffectView | None:
    """The measured effect of a recipe against the model without edits; None where it changes names only."""
    return _effect(root, model, state_of(recipe), recipe)


@st.cache_resource(max_entries=64, show_spinner=False)
def _effect(root: str, model: str, state: str, _recipe: Recipe) -> EffectView | None:
    return resources.study(root, model).effect(_recipe)


def marginals(root: str, model: str, recipe: Recipe) -> tuple[Marginal | None, ...]:
    """For each step that is done: what it adds to those before it. None where it is switched off or changes names only."""
    return _marginals(root, model, repr(recipe.steps[: recipe.position]), recipe)


@st.cache_resource(max_entries=64, show_spinner=False)
def _marginals(root: str, model: str, state: str, _recipe: Recipe) -> tuple[Marginal | None, ...]:
    study = resources.study(root, model)
    found: list[Marginal | None] = []
    done = Recipe()
    for step in _recipe.steps[: _recipe.position]:
        if not step.enabled or isinstance(step.edit, NameEdit):
            found.append(None)
            continue
        before = done
        done = done.append(step.edit)
        found.append(_compare(study, predictions(root, model, before), predictions(root, model, done)))
    return tuple(found)


def predictions(root: str, model: str, recipe: Recipe) -> Int[np.ndarray, " images"]:
    """Predicted class of every held-out image under a recipe; read-only."""
    return _predictions(root, model, state_of(recipe), recipe)


@st.cache_resource(max_entries=128, show_spinner=False)
def _predictions(root: str, model: str, state: str, _recipe: Recipe) -> Int[np.ndarray, " images"]:
    found = resources.study(root, model).scored.apply(_recipe).argmax(axis=1).astype(np.int32)
    found.setflags(write=False)
    return found


def _compare(study: Study, before: np.ndarray, after: np.ndarray) -> Marginal:
    if not (study.labels >= 0).any():
        return Marginal(0, 0, int((before != after).sum()))
    effect = compare_predictions(before, after, study.labels, study.classes)
    return Marginal(len(effect.corrected), len(effect.newly_wrong), len(effect.changed))
