"""Edits to propose, each with its measured effect: weights that put one image right, and concepts behind a kind of mistake."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cbm.editing.recipe import Edit, Recipe
from cbm.editing.suggestions import suggest_concept_edits, suggest_weight_edits
from cbm.study.study import Study


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
    """Against one class being predicted as another."""

    mistakes: int
    """Held-out images of that kind."""
    fixed: int
    """Those of them that the edit puts right."""
    push: float
    """Logits that the concept adds to the wrong class rather than to the true one, on average over the mistakes."""
    separation: float
    """AUC of the activation for telling the mistakes from right images; NaN where it cannot be measured."""


def weight_proposals(study: Study, row: int, recipe: Recipe) -> tuple[WeightProposal, ...]:
    """Weight edits that put one image right; none for an image without a label.

    Raises:
        CbmError: the image is right already.
    """
    truth = study.labels[row]
    if truth < 0:
        return ()
    found = suggest_weight_edits(
        study.scored, recipe, study.labels, study.concept_names, study.scored.codes[row], int(truth), item=study.item(row)
    )
    return tuple(
        WeightProposal(
            tuple(replace(edit, name=study.name(entry.concept, recipe)) for edit in entry.edits),
            len(entry.corrected),
            len(entry.newly_wrong),
            study.class_names[truth],
            entry.lead,
        )
        for entry in found
    )


def concept_proposals(study: Study, truth: str, said: str, recipe: Recipe, count: int = 12) -> tuple[ConceptProposal, ...]:
    """Concept edits against one class being predicted as another.

    Raises:
        CbmError: there is no such mistake.
    """
    found = suggest_concept_edits(
        study.scored, recipe, study.labels, study.concept_names, true_class=truth, predicted_class=said, count=count
    )
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
