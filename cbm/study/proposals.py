"""Edits to propose, each with its measured effect: weights that put one image right, and concepts behind a kind of mistake."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int

from cbm.editing.concept_suggestions import suggest_concept_edits
from cbm.editing.recipe import Edit, Recipe
from cbm.editing.weight_suggestions import suggest_weight_edits
from cbm.study.study import Study

_MOST_PAIRS = 40


@dataclass(frozen=True)
class ConfusedPair:
    """One class taken for another."""

    truth: str
    said: str
    count: int
    """Held-out images."""


@dataclass(frozen=True)
class Proposal:
    """Edits, and what they were measured to do to the held-out images."""

    edits: tuple[Edit, ...]
    corrected: int
    newly_wrong: int

    @property
    def net(self) -> int:
        return self.corrected - self.newly_wrong


@dataclass(frozen=True)
class WeightProposal(Proposal):
    """Puts one image right."""

    truth: str
    lead: float
    """Logits by which the true class leads on the image afterwards."""


@dataclass(frozen=True)
class ConceptProposal(Proposal):
    """Against one class being taken for another."""

    mistakes: int
    """Held-out images of that kind."""
    fixed: int
    """Those of them that the edit puts right."""
    push: float
    """Logits that the concept adds to the wrong class rather than to the true one, on average over the mistakes."""
    separation: float
    """AUC of the activation for telling the mistakes from right images; NaN where it cannot be measured."""


def confused_pairs(study: Study, predicted: Int[np.ndarray, " images"]) -> list[ConfusedPair]:
    """The commonest pairs of true and predicted class, by number of images."""
    wrong = np.flatnonzero((study.labels >= 0) & (predicted != study.labels))
    if not len(wrong):
        return []
    pairs, counts = np.unique(np.stack([study.labels[wrong], predicted[wrong]]), axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_MOST_PAIRS]
    return [ConfusedPair(study.classes[pairs[0, place]], study.classes[pairs[1, place]], int(counts[place])) for place in order.tolist()]


def weight_proposals(study: Study, row: int, recipe: Recipe) -> tuple[WeightProposal, ...]:
    """Weight edits that put one image right; none for an image without a label.

    Raises:
        CbmError: the image is right already.
    """
    truth = study.labels[row]
    if truth < 0:
        return ()
    model = study.model.with_recipe(recipe)
    found = suggest_weight_edits(model, study.scored.codes[row], int(truth), study.scored, study.labels, item=study.item(row))
    return tuple(
        WeightProposal(
            tuple(replace(edit, name=study.name(entry.concept, recipe)) for edit in entry.edits),
            len(entry.corrected),
            len(entry.newly_wrong),
            study.classes[truth],
            entry.lead,
        )
        for entry in found
    )


def concept_proposals(study: Study, truth: str, said: str, recipe: Recipe, count: int = 12) -> tuple[ConceptProposal, ...]:
    """Concept edits against one class being taken for another.

    Raises:
        CbmError: there is no such mistake.
    """
    model = study.model.with_recipe(recipe)
    found = suggest_concept_edits(model, study.scored, study.labels, true_class=truth, predicted_class=said, count=count)
    return tuple(
        ConceptProposal(
            (replace(entry.edit, name=study.name(entry.concept, recipe)),),
            len(entry.corrected),
            len(entry.newly_wrong),
            found.mistakes,
            entry.fixed,
            entry.push,
            entry.separation,
        )
        for entry in found.suggestions
    )
