"""What the steering panel needs of one image: its concepts, and what each adds to every class, so that the browser can do the sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, Float64, Int

from cbm.editing.recipe import AblateConcept, ClassScope, Edit, GlobalScope, ImageScope, Recipe, ScaleConcept, Scope, SetConcept
from cbm.editing.scoring import EffectiveHead
from cbm.study.study import Study

MOST_ROWS = 64
"""Sliders of one image; where more concepts are active, those that matter most for the explained class."""
SLIDER_END = 3.0
"""The largest multiplier that a slider offers."""
LARGEST_MULTIPLIER = 1e6
ScopeKind = Literal["image", "class", "everywhere"]


@dataclass(frozen=True)
class SteeringRow:
    """One slider: a concept, or several that were merged."""

    concept: int
    name: str
    members: tuple[int, ...]
    """Concepts that the slider moves: those of the group that are active in the image, or the one that stands for it."""
    strength: float
    """Activation at multiplier 1; for a concept that is silent in the image, what it usually is where it fires."""
    position: float
    """Where the thumb stands: the multiplier under the edits in force, as the explained class sees it."""
    silent: bool


@dataclass(frozen=True, eq=False)
class SteeringView:
    """One image, ready to be steered: at multiplier m, a row adds m · unit[row] to the logits."""

    item: str
    classes: tuple[str, ...]
    target: int
    """The class whose score the rows explain, and that an edit at class scope is about."""
    truth: int | None
    rows: tuple[SteeringRow, ...]
    unit: Float32[np.ndarray, "rows classes"]
    """What each row adds to each logit at multiplier 1, edits of weights in force."""
    before: Float32[np.ndarray, "rows classes"]
    """What each row added without any edit."""
    now: Mapping[int, Float32[np.ndarray, " classes"]]
    """What a row adds now, where that is not position · unit, because edits made it differ between classes."""
    logits: Float32[np.ndarray, " classes"]
    """Under the edits in force."""
    logits_before: Float32[np.ndarray, " classes"]
    """Without any edit."""
    rest: float
    """What concepts without a slider add to the target's logit."""
    bias: float
    more: int
    """Concepts in use without a slider: those that matter least."""
    unused: tuple[tuple[int, str], ...]
    """Active concepts for which no class has a weight: they have no slider, but could be given a weight."""


def steering_view(study: Study, row: int, recipe: Recipe, target: str | None = None, asked: int | None = None) -> SteeringView:
    """The sliders of one held-out image.

    Args:
        target: class whose score is explained; the one that is predicted now when absent.
        asked: a concept that should have a slider, the first, even where it is silent.
    """
    item = study.item(row)
    head = study.scored.head_for(recipe, item)
    codes = study.scored.codes[row]
    logits = np.asarray(head.logits(codes)[0])
    target_index = study.classes.index(target) if target in study.classes else int(logits.argmax())
    groups = _grouped(study, recipe, head, codes.indices.astype(np.int64), codes.data.astype(np.float64), asked)
    # The order must not jump while sliders move: it is by what concepts are worth to the classes in question, not by what is left of it.
    before = study.scored.base_logits[row]
    truth = int(study.labels[row]) if study.labels[row] >= 0 else None
    asking = sorted({target_index, int(before.argmax())} | (set() if truth is None else {truth}))
    worth = np.abs(groups.unit[:, asking]).max(axis=1, initial=0)
    anywhere = np.abs(groups.unit).max(axis=1, initial=0) + np.abs(groups.contributions).max(axis=1, initial=0)
    first = groups.concepts == asked
    order = np.lexsort((-anywhere, -worth, ~first))
    # A slider of a concept that no class uses would move nothing.
    order = order[(anywhere > 0)[order] | first[order]][:MOST_ROWS]
    kept = groups.take(order)
    positions = kept.seen[:, target_index] / kept.strengths
    difference = np.abs(kept.contributions - positions[:, None] * kept.unit).max(axis=1, initial=0)
    uneven = np.flatnonzero(difference > 1e-6 * (1 + np.abs(logits).max()))
    contributions = groups.contributions[:, target_index].sum(), kept.contributions[:, target_index].sum()
    return SteeringView(
        item=item,
        classes=study.classes,
        target=target_index,
        truth=truth,
        rows=tuple(
            SteeringRow(concept, study.name(concept, recipe), members, strength, position, silent)
            for concept, members, strength, position, silent in zip(
                kept.concepts.tolist(), kept.members, kept.strengths.tolist(), positions.tolist(), kept.silent.tolist(), strict=True
            )
        ),
        unit=kept.unit.astype(np.float32),
        before=kept.before.astype(np.float32),
        now={int(place): kept.contributions[place].astype(np.float32) for place in uneven},
        logits=logits,
        logits_before=before,
        rest=float(contributions[0] - contributions[1]),
        bias=float(study.model.head.bias[target_index]),
        more=int((anywhere > 0).sum()) - int((anywhere[order] > 0).sum()),
        unused=tuple((concept, study.name(concept, recipe)) for concept in groups.concepts[(anywhere == 0) & ~first].tolist()),
    )


@dataclass(frozen=True, eq=False)
class _Groups:
    """The shown concepts of one image: merged ones added up."""

    concepts: Int[np.ndarray, " shown"]
    members: tuple[tuple[int, ...], ...]
    strengths: Float64[np.ndarray, " shown"]
    silent: np.ndarray
    seen: Float64[np.ndarray, "shown classes"]
    contributions: Float64[np.ndarray, "shown classes"]
    unit: Float64[np.ndarray, "shown classes"]
    before: Float64[np.ndarray, "shown classes"]

    def take(self, order: np.ndarray) -> _Groups:
        members = tuple(self.members[place] for place in order.tolist())
        return _Groups(
            self.concepts[order],
            members,
            self.strengths[order],
            self.silent[order],
            self.seen[order],
            self.contributions[order],
            self.unit[order],
            self.before[order],
        )


def _grouped(study: Study, recipe: Recipe, head: EffectiveHead, indices: np.ndarray, values: np.ndarray, asked: int | None) -> _Groups:
    standing_for = recipe.decisions().standing_for
    extra = [*head.always_on, *([] if asked is None else [asked])]
    concepts = np.union1d(indices, np.array(extra, dtype=np.int64)).astype(np.int64)
    activations = np.zeros(len(concepts))
    activations[np.searchsorted(concepts, indices)] = values
    firsts, group = np.unique([standing_for.get(concept, concept) for concept in concepts.tolist()], return_inverse=True)

    def added(rows: np.ndarray) -> np.ndarray:
        total = np.zeros((len(firsts), *rows.shape[1:]))
        np.add.at(total, group, rows)
        return total

    silent = added(activations) == 0
    strengths = activations.copy()
    for place in np.flatnonzero(silent[group] & (concepts == firsts[group])).tolist():
        strengths[place] = usual_strength(study, int(concepts[place]))
    for place in np.flatnonzero(added(strengths) == 0).tolist():  # the one that stands for a silent group is not at hand here
        member = int(np.flatnonzero(group == place)[0])
        strengths[member] = usual_strength(study, int(concepts[member]))
    weights = head.weights_of(concepts)
    seen = head.activations_seen(concepts, activations)
    moved = strengths > 0
    members = tuple(tuple(concepts[(group == place) & moved].tolist()) for place in range(len(firsts)))
    return _Groups(
        firsts.astype(np.int64),
        members,
        added(strengths),
        silent,
        added(seen),
        contributions=added(weights * seen),
        unit=added(weights * strengths[:, None]),
        before=added(head.base[concepts] * activations[:, None]),
    )


def usual_strength(study: Study, concept: int) -> float:
    """Mean activation of a concept over the held-out images on which it fires; 1 where it never does."""
    start, stop = study.columns.indptr[concept : concept + 2]
    return float(study.columns.data[start:stop].mean()) if stop > start else 1.0


def group_of(study: Study, row: int) -> str | None:
    """The group that an image belongs to."""
    return None if study.groups is None or study.groups[row] < 0 else study.held_out.groups[study.groups[row]]


def scope_of(kind: ScopeKind, item: str, class_name: str) -> Scope:
    """Where an edit that is made on an image applies."""
    if kind == "image":
        return ImageScope(item)
    return ClassScope(class_name) if kind == "class" else GlobalScope()


def steering_edits(view: SteeringView, changes: Mapping[int, float], scope: Scope) -> tuple[Edit, ...]:
    """The edits that put sliders where they were left.

    Args:
        changes: concept -> multiplier. Concepts without a slider and numbers beyond use are left out: the browser's word is checked.
    """
    rows = {row.concept: row for row in view.rows}
    edits: list[Edit] = []
    for concept, multiplier in changes.items():
        row = rows.get(concept)
        if row is None or not 0 <= multiplier <= LARGEST_MULTIPLIER:
            continue
        for member in row.members:
            if multiplier == 0:
                edits.append(AblateConcept(member, row.name, scope))
            elif row.silent:
                edits.append(SetConcept(member, row.name, round(multiplier * row.strength, 6), scope))
            else:
                edits.append(ScaleConcept(member, row.name, round(multiplier, 6), scope, absolute=True))
    return tuple(edits)
