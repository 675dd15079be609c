"""One class: the concepts that make it, its typical and atypical images, and where it goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from cbm.editing.contributions import Contributions, contributions
from cbm.editing.recipe import Recipe
from cbm.study.concept_view import ConceptSummary
from cbm.study.confusions import ClassRow, Confusions
from cbm.study.images import JudgedImage
from cbm.study.study import Study

CONCEPTS = 8
RIVALS = 3


@dataclass(frozen=True)
class ClassConcept:
    """What one concept does to a class."""

    index: int
    name: str
    weight: float
    """Logits per unit of activation, edits in force."""
    contribution: float
    """Mean over the class's own held-out images, in logits; over all held-out images where it has none."""
    frequency: float
    """Share of those images that have the concept."""


@dataclass(frozen=True)
class Flow:
    """What a concept adds to a class on the images of the class in question, in logits."""

    concept: str
    target: str
    value: float


@dataclass(frozen=True)
class ClassView:
    """Everything about one class."""

    row: ClassRow
    bias: float
    concepts: tuple[ClassConcept, ...]
    """Every concept with a weight, largest mean contribution by size first."""
    flows: tuple[Flow, ...]
    """The first concepts' contributions to the class and to those it is confused with; only what supports a class."""
    typical: tuple[JudgedImage, ...]
    """Right predictions, the surest first."""
    atypical: tuple[JudgedImage, ...]
    """Right predictions, the least sure first."""
    missed: tuple[JudgedImage, ...]
    """Its images that are predicted as other classes."""
    alarms: tuple[JudgedImage, ...]
    """Images of other classes that are predicted as this one."""
    missed_count: int
    alarm_count: int


def class_view(study: Study, target: int | str, recipe: Recipe | None = None, pictures: int = 12) -> ClassView:
    """Everything about one class under a recipe (the model's own when absent).

    Raises:
        NotFoundError: the model has no such class.
    """
    recipe = study.model.recipe if recipe is None else recipe
    index = study.model.class_index(target)
    confusions = study.confusions(recipe)
    logits = study.logits(recipe)
    predicted = study.predicted(recipe)
    own = np.flatnonzero(study.labels == index)
    means = _means(study, recipe, index, own)
    concepts = _concepts(study, recipe, means, index)
    missed = own[predicted[own] != index]
    alarms = np.flatnonzero((predicted == index) & (study.labels != index) & (study.labels >= 0))
    margin = _margin(logits, index)
    right = own[predicted[own] == index]
    by_margin = right[np.argsort(-margin[right], kind="stable")]
    # No image is typical and atypical at once: with few images each side gets half.
    half = min(pictures, max(1, len(by_margin) // 2)) if len(by_margin) > 1 else len(by_margin)
    false_alarms = alarms[np.argsort(-margin[alarms])][:pictures].tolist()
    return ClassView(
        row=confusions.rows[index],
        bias=float(study.model.head.bias[index]),
        concepts=concepts,
        flows=_flows(study, means, concepts[:CONCEPTS], _rivals(confusions, index)),
        typical=_by_margin(study, recipe, by_margin[:half], margin),
        atypical=_by_margin(study, recipe, by_margin[half:][::-1][:pictures], margin),
        missed=tuple(study.pictures(missed[np.argsort(margin[missed])][:pictures].tolist(), recipe)),
        alarms=tuple(study.pictures(false_alarms, recipe, [study.class_names[study.labels[row]] for row in false_alarms])),
        missed_count=len(missed),
        alarm_count=len(alarms),
    )


def concepts_with_pictures(study: Study, concepts: Sequence[ClassConcept], recipe: Recipe | None = None) -> list[ConceptSummary]:
    """The concepts of a class, each with the images on which it is strongest."""
    known = {concept.index: concept for concept in study.concepts(recipe)}
    return study.with_pictures([known[entry.index] for entry in concepts if entry.index in known])


def _margin(logits: Float[np.ndarray, "images classes"], index: int) -> Float[np.ndarray, " images"]:
    """By how much the class leads the best other class, in logits."""
    return logits[:, index] - np.delete(logits, index, axis=1).max(axis=1, initial=-np.inf)


def _by_margin(study: Study, recipe: Recipe, rows: Int[np.ndarray, " some"], margin: np.ndarray) -> tuple[JudgedImage, ...]:
    judged = study.pictures(rows.tolist(), recipe, [f"by {margin[row]:.1f}" for row in rows])
    return tuple(replace(image, correct=None) for image in judged)


@dataclass(frozen=True, eq=False)
class _Means:
    """What the concepts of a class do on average over some images."""

    contributions: Contributions
    frequency: Float[np.ndarray, " concepts"]
    """Share of those images that have each concept."""
    weight: Float[np.ndarray, "concepts classes"]
    """With all edits folded in."""


def _means(study: Study, recipe: Recipe, index: int, own: Int[np.ndarray, " images"]) -> _Means:
    """Over the class's own images; over all where it has none."""
    codes = study.scored.codes[own] if len(own) else study.scored.codes
    count = max(1, codes.shape[0])
    head, decisions = study.scored.head_for(recipe), recipe.decisions()
    used = study.edited(recipe).class_weights(index).concepts.tolist()
    members = {member for concept in used for member in decisions.groups.get(decisions.standing_for.get(concept, concept), (concept,))}
    concepts = np.array(sorted(members), dtype=np.int64)
    activations = np.asarray(codes.sum(axis=0)).ravel()[concepts] / count
    frequency = np.bincount(codes.indices, minlength=codes.shape[1]) / count
    return _Means(contributions(head, concepts, activations, decisions), frequency, head.weight)


def _concepts(study: Study, recipe: Recipe, means: _Means, index: int) -> tuple[ClassConcept, ...]:
    hidden = recipe.decisions().hidden
    shown = means.contributions
    entries = [
        ClassConcept(
            concept,
            study.name(concept, recipe),
            float(means.weight[list(members), index].sum()),
            float(shown.contributions[place, index]),
            float(means.frequency[list(members)].max()),
        )
        for place, (concept, members) in enumerate(zip(shown.concepts.tolist(), shown.members, strict=True))
        if concept not in hidden
    ]
    entries = [entry for entry in entries if entry.weight or entry.contribution]
    return tuple(sorted(entries, key=lambda entry: (-abs(entry.contribution), -abs(entry.weight))))


def _rivals(confusions: Confusions, index: int) -> list[int]:
    """The class itself and those with which it is confused most, in either direction."""
    both = confusions.matrix[index] + confusions.matrix[:, index]
    return [index, *[int(rival) for rival in np.argsort(-both, kind="stable") if rival != index and both[rival]][:RIVALS]]


def _flows(study: Study, means: _Means, concepts: Sequence[ClassConcept], targets: Sequence[int]) -> tuple[Flow, ...]:
    place = {concept: place for place, concept in enumerate(means.contributions.concepts.tolist())}
    values = means.contributions.contributions
    return tuple(
        Flow(entry.name, study.class_names[target], float(values[place[entry.index], target]))
        for entry in concepts
        for target in targets
        if values[place[entry.index], target] > 0
    )
