"""One class: the concepts that make it, its typical and atypical images, and where it goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from cbm.editing.recipe import Recipe
from cbm.study.classes import ClassReport, ClassRow
from cbm.study.study import Study
from cbm.study.views import ConceptTile, PictureTile

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
class ClassDetail:
    """The page of one class."""

    row: ClassRow
    bias: float
    concepts: tuple[ClassConcept, ...]
    """Every concept with a weight, largest mean contribution by size first."""
    flows: tuple[Flow, ...]
    """The first concepts' contributions to the class and to those it is confused with; only what speaks for a class."""
    typical: tuple[PictureTile, ...]
    """Right predictions, the surest first."""
    atypical: tuple[PictureTile, ...]
    """Right predictions, the least sure first."""
    missed: tuple[PictureTile, ...]
    """Its images that are taken for other classes."""
    alarms: tuple[PictureTile, ...]
    """Images of other classes that are taken for it."""
    missed_count: int
    alarm_count: int


def class_detail(study: Study, recipe: Recipe, report: ClassReport, index: int, pictures: int = 12) -> ClassDetail:
    """Everything about one class under a recipe."""
    logits = study.scored.apply(recipe)
    predicted = logits.argmax(axis=1)
    own = np.flatnonzero(study.labels == index)
    head = study.model.with_recipe(recipe).effective_head
    concepts = _concepts(study, recipe, head.weight[:, index], own)
    missed = own[predicted[own] != index]
    alarms = np.flatnonzero((predicted == index) & (study.labels != index) & (study.labels >= 0))
    margin = _margin(logits, index)
    right = own[predicted[own] == index]
    by_margin = right[np.argsort(-margin[right], kind="stable")]
    # The same image never stands on both sides: with few images each side gets half.
    half = min(pictures, max(1, len(by_margin) // 2)) if len(by_margin) > 1 else len(by_margin)
    return ClassDetail(
        row=report.rows[index],
        bias=float(head.bias[index]),
        concepts=concepts,
        flows=_flows(study, recipe, head.weight, concepts[:CONCEPTS], own, _rivals(report, index)),
        typical=_tiles(study, recipe, by_margin[:half], margin),
        atypical=_tiles(study, recipe, by_margin[half:][::-1][:pictures], margin),
        missed=tuple(study.pictures(missed[np.argsort(margin[missed])][:pictures].tolist(), recipe)),
        alarms=tuple(
            replace(tile, title=str(study.classes[study.labels[tile.row]]))
            for tile in study.pictures(alarms[np.argsort(-margin[alarms])][:pictures].tolist(), recipe)
        ),
        missed_count=len(missed),
        alarm_count=len(alarms),
    )


def tiles_of(study: Study, recipe: Recipe, concepts: Sequence[ClassConcept]) -> list[ConceptTile]:
    """The concepts as cards, with the pictures on which each is strongest."""
    known = {tile.index: tile for tile in study.concept_tiles(recipe)}
    return study.with_pictures([known[entry.index] for entry in concepts if entry.index in known])


def _margin(logits: Float[np.ndarray, "images classes"], index: int) -> Float[np.ndarray, " images"]:
    """By how much the class leads the best other class, in logits."""
    return logits[:, index] - np.delete(logits, index, axis=1).max(axis=1, initial=-np.inf)


def _tiles(study: Study, recipe: Recipe, rows: Int[np.ndarray, " some"], margin: np.ndarray) -> tuple[PictureTile, ...]:
    return tuple(replace(tile, title=f"by {margin[tile.row]:.1f}", correct=None) for tile in study.pictures(rows.tolist(), recipe))


def _concepts(study: Study, recipe: Recipe, weight: Float[np.ndarray, " concepts"], own: np.ndarray) -> tuple[ClassConcept, ...]:
    activations, frequency = _means(study, own)
    decisions = recipe.decisions()
    standing_for = decisions.standing_for
    used = np.flatnonzero(weight)
    together: dict[int, list[int]] = {}
    for concept in used.tolist():
        together.setdefault(standing_for.get(concept, concept), []).append(concept)
    entries = [
        ClassConcept(
            shown,
            study.name(shown, recipe),
            float(weight[members].sum()),
            float((weight[members] * activations[members]).sum()),
            float(frequency[members].max()),
        )
        for shown, members in together.items()
        if shown not in decisions.hidden
    ]
    return tuple(sorted(entries, key=lambda entry: (-abs(entry.contribution), -abs(entry.weight))))


def _means(study: Study, own: np.ndarray) -> tuple[Float[np.ndarray, " concepts"], Float[np.ndarray, " concepts"]]:
    """Mean activation of every concept, and the share of images that have it, on some images (on all where none is given)."""
    codes = study.scored.codes[own] if len(own) else study.scored.codes
    count = max(1, codes.shape[0])
    return np.asarray(codes.sum(axis=0)).ravel() / count, np.bincount(codes.indices, minlength=codes.shape[1]) / count


def _rivals(report: ClassReport, index: int) -> list[int]:
    """The class itself and those with which it is confused most, in either direction."""
    both = report.matrix[index] + report.matrix[:, index]
    return [index, *[int(rival) for rival in np.argsort(-both, kind="stable") if rival != index and both[rival]][:RIVALS]]


def _flows(
    study: Study,
    recipe: Recipe,
    weight: Float[np.ndarray, "concepts classes"],
    concepts: Sequence[ClassConcept],
    own: np.ndarray,
    targets: list[int],
) -> tuple[Flow, ...]:
    activations, _ = _means(study, own)
    groups = recipe.decisions().groups
    flows = []
    for entry in concepts:
        members = list(groups.get(entry.index, (entry.index,)))
        for target in targets:
            value = float((weight[members, target] * activations[members]).sum())
            if value > 0:
                flows.append(Flow(entry.name, study.classes[target], value))
    return tuple(flows)
