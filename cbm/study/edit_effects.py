"""What each edit of a recipe does to the held-out images, on top of those before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from cbm.editing.effect import compare_predictions
from cbm.editing.recipe import NameEdit, Recipe
from cbm.study.study import Study


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


def predictions(study: Study, recipe: Recipe) -> Int[np.ndarray, " images"]:
    """Predicted class of every held-out image; read-only."""
    found = study.scored.apply(recipe).argmax(axis=1).astype(np.int32)
    found.setflags(write=False)
    return found


def marginals(
    study: Study, recipe: Recipe, predict: Callable[[Recipe], Int[np.ndarray, " images"]] | None = None
) -> tuple[Marginal | None, ...]:
    """For each step that is done: what it adds to those before it. None where it is switched off or changes names only.

    Args:
        predict: `predictions` with a memory, where there is one.
    """
    predict = predict or (lambda state: predictions(study, state))
    found: list[Marginal | None] = []
    done = Recipe()
    for step in recipe.steps[: recipe.position]:
        if not step.enabled or isinstance(step.edit, NameEdit):
            found.append(None)
            continue
        before, done = done, done.append(step.edit)
        found.append(_compare(study, predict(before), predict(done)))
    return tuple(found)


def _compare(study: Study, before: Int[np.ndarray, " images"], after: Int[np.ndarray, " images"]) -> Marginal:
    if not study.labelled_images:
        return Marginal(0, 0, int((before != after).sum()))
    effect = compare_predictions(before, after, study.labels, study.classes)
    return Marginal(len(effect.corrected), len(effect.newly_wrong), len(effect.changed))
