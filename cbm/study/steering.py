"""What the steering panel needs of one image: its concepts, and what each adds to every class, so that the browser can do the sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy.sparse
from jaxtyping import Float32, Float64

from cbm.core.arrays import softmax
from cbm.editing.contributions import Contributions, contributions
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
    """Concepts that the slider moves: those of the group that are active in the image, or the one that represents it."""
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

    @property
    def predicted(self) -> str:
        return self.classes[int(self.logits.argmax())]

    @property
    def predicted_before(self) -> str:
        return self.classes[int(self.logits_before.argmax())]

    @property
    def probabilities(self) -> Float32[np.ndarray, " classes"]:
        """Under the edits in force."""
        return softmax(self.logits[None])[0]

    @property
    def probabilities_before(self) -> Float32[np.ndarray, " classes"]:
        """Without any edit."""
        return softmax(self.logits_before[None])[0]


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
    target_index = study.class_names.index(target) if target in study.class_names else int(logits.argmax())
    also = () if asked is None else (asked,)
    shown = contributions(head, codes.indices.astype(np.int64), codes.data, recipe.decisions(), also)
    sliders = _sliders(study, head, shown, codes, recipe)
    # The order must not jump while sliders move: it is by what concepts are worth to the classes in question, not by what is left of it.
    before = study.scored.base_logits[row]
    truth = int(study.labels[row]) if study.labels[row] >= 0 else None
    asking = sorted({target_index, int(before.argmax())} | (set() if truth is None else {truth}))
    worth = np.abs(sliders.unit[:, asking]).max(axis=1, initial=0)
    anywhere = np.abs(sliders.unit).max(axis=1, initial=0) + np.abs(shown.contributions).max(axis=1, initial=0)
    first = shown.concepts == asked
    order = np.lexsort((-anywhere, -worth, ~first))
    # A slider of a concept that no class uses would move nothing.
    order = order[(anywhere > 0)[order] | first[order]][:MOST_ROWS]
    kept = shown.take(order)
    unit, strengths = sliders.unit[order], sliders.strengths[order]
    positions = kept.activations[:, target_index] / strengths
    difference = np.abs(kept.contributions - positions[:, None] * unit).max(axis=1, initial=0)
    uneven = np.flatnonzero(difference > 1e-6 * (1 + np.abs(logits).max()))
    return SteeringView(
        item=item,
        classes=study.class_names,
        target=target_index,
        truth=truth,
        rows=tuple(
            SteeringRow(
                int(shown.concepts[place]),
                study.name(int(shown.concepts[place]), recipe),
                sliders.members[place],
                float(sliders.strengths[place]),
                float(position),
                bool(shown.activations_before[place] == 0),
            )
            for place, position in zip(order.tolist(), positions, strict=True)
        ),
        unit=unit.astype(np.float32),
        before=kept.contributions_before.astype(np.float32),
        now={int(place): kept.contributions[place].astype(np.float32) for place in uneven},
        logits=logits,
        logits_before=before,
        rest=float(shown.contributions[:, target_index].sum() - kept.contributions[:, target_index].sum()),
        bias=float(study.model.head.bias[target_index]),
        more=int((anywhere > 0).sum()) - int((anywhere[order] > 0).sum()),
        unused=tuple((concept, study.name(concept, recipe)) for concept in shown.concepts[(anywhere == 0) & ~first].tolist()),
    )


@dataclass(frozen=True, eq=False)
class _Sliders:
    """What a slider of every shown concept would move."""

    members: tuple[tuple[int, ...], ...]
    """Those that have a strength."""
    strengths: Float64[np.ndarray, " shown"]
    unit: Float64[np.ndarray, "shown classes"]


def _sliders(study: Study, head: EffectiveHead, shown: Contributions, codes: scipy.sparse.csr_matrix, recipe: Recipe) -> _Sliders:
    strength = dict(zip(codes.indices.tolist(), codes.data.astype(float).tolist(), strict=True))
    for place in np.flatnonzero(shown.activations_before == 0).tolist():
        first = int(shown.concepts[place])
        strength[first] = usual_strength(study, first)
    concepts = np.array(sorted(strength), dtype=np.int64)
    # At multiplier 1 every concept has its own strength, whatever edits of activations are in force.
    unedited = replace(head, maps={})
    moved = contributions(unedited, concepts, np.array([strength[concept] for concept in concepts.tolist()]), recipe.decisions())
    members = tuple(tuple(member for member in sorted(group) if strength.get(member)) for group in moved.members)
    return _Sliders(members, moved.activations_before, moved.contributions)


def usual_strength(study: Study, concept: int) -> float:
    """Mean activation of a concept over the held-out images on which it fires; 1 where it never does."""
    start, stop = study.columns.indptr[concept : concept + 2]
    return float(study.columns.data[start:stop].mean()) if stop > start else 1.0


def scope_of(kind: ScopeKind, item: str, class_name: str) -> Scope:
    """Where an edit that is made on an image applies.

    >>> scope_of("class", "gulls/7.jpg", "beach")
    ClassScope(class_name='beach')
    """
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
