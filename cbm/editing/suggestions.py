"""Edits that would help, each with its measured effect: concepts behind a kind of mistake, and weights that put one image right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse
from jaxtyping import Float64, Int

from cbm.core.codes import Codes
from cbm.core.errors import InvalidInputError, MismatchError
from cbm.editing.effect import compare_predictions
from cbm.editing.recipe import AblateConcept, ClassScope, GlobalScope, Recipe, ScaleConcept, Scope, SetWeight
from cbm.editing.scoring import EffectiveHead, ScoredSet, class_index
from cbm.editing.sweep import Sweep, sweep_concepts
from cbm.metrics.truth import area_under_roc

Kind = Literal["raise", "lower", "both"]


@dataclass(frozen=True)
class ConceptSuggestion:
    """One edit of one concept, with why it is suggested and what it was measured to do."""

    concept: int
    name: str
    edit: AblateConcept | ScaleConcept
    separation: float
    """AUC of the activation for telling the mistakes in focus from right images of the same true classes; 0.5 is chance."""
    push: float
    """Logits that the concept adds, on average over the mistakes, to the wrong class rather than to the true one."""
    fixed: int
    """Mistakes in focus that the edit puts right."""
    corrected: Int[np.ndarray, " corrected"]
    """All held-out rows that become right."""
    newly_wrong: Int[np.ndarray, " newly_wrong"]
    """All held-out rows that become wrong."""

    @property
    def net(self) -> int:
        """Held-out rows gained."""
        return len(self.corrected) - len(self.newly_wrong)


@dataclass(frozen=True)
class ConceptSuggestions:
    """The best edits against one kind of mistake."""

    mistakes: int
    """Held-out rows in focus."""
    suggestions: tuple[ConceptSuggestion, ...]
    """The largest net gain first; empty where no edit of a single concept puts any of them right."""


def suggest_concept_edits(
    held_out: ScoredSet,
    recipe: Recipe,
    labels: Int[np.ndarray, " rows"],
    names: Sequence[str],
    *,
    true_class: int | str | None = None,
    predicted_class: int | str | None = None,
    count: int = 6,
) -> ConceptSuggestions:
    """The single-concept edits that do most against some mistakes, each measured on all held-out rows.

    The mistakes in focus are the wrong rows of `true_class`, those predicted as `predicted_class`, both (a confusion) or all. Tried for
    every concept: ablating and halving it, everywhere or for the class that is predicted most often in their place; raising it by a
    half and doubling it for the true class, where there is one. Ranked by held-out rows gained, then by fewest broken.

    Args:
        held_out: codes scored with the model's head.
        recipe: the edits in force; the suggestions come on top of them.
        labels: class of each row, −1 where unknown.
        names: of all concepts, for the edits to bear.

    Raises:
        InvalidInputError: there is no such mistake.
        NotFoundError: the model has no such class.
        MismatchError: labels and rows differ in number.
    """
    true = None if true_class is None else class_index(held_out.classes, true_class)
    wanted = None if predicted_class is None else class_index(held_out.classes, predicted_class)
    labels = np.asarray(labels)
    if len(labels) != len(held_out):
        raise MismatchError(f"{len(labels)} labels do not fit {len(held_out)} held-out rows.")
    predicted = held_out.predict(recipe)
    focus = np.asarray((labels >= 0) & (predicted != labels))
    if true is not None:
        focus &= labels == true
    if wanted is not None:
        focus &= predicted == wanted
    if not focus.any():
        raise InvalidInputError("The model makes no such mistake on the held-out images; choose another class or pair of classes.")
    taken_for = wanted if wanted is not None else int(np.bincount(predicted[focus]).argmax())
    tries: list[tuple[float, int | None]] = [(factor, where) for where in (None, taken_for) for factor in (0.0, 0.5)]
    tries += [] if true is None else [(1.5, true), (2.0, true)]
    sweeps = [sweep_concepts(held_out, recipe, labels, factor, where, focus) for factor, where in tries]
    separation = _separation(held_out, focus, labels, predicted)
    push = _push(held_out, recipe, focus, labels, predicted)
    suggestions = []
    for concept, best in _ranked(sweeps, separation)[:count]:
        factor, where = tries[best]
        name = names[concept]
        scope: Scope = GlobalScope() if where is None else ClassScope(held_out.classes[where])
        edit = AblateConcept(concept, name, scope) if factor == 0 else ScaleConcept(concept, name, factor, scope)
        after = held_out.predict(recipe.append(edit))
        effect = compare_predictions(predicted, after, labels, held_out.classes)
        fixed = int(focus[effect.corrected].sum())
        suggestions.append(
            ConceptSuggestion(
                concept, name, edit, float(separation[concept]), float(push[concept]), fixed, effect.corrected, effect.newly_wrong
            )
        )
    suggestions.sort(key=lambda entry: (-entry.net, len(entry.newly_wrong), -entry.fixed))
    return ConceptSuggestions(int(focus.sum()), tuple(suggestions))


def _ranked(sweeps: Sequence[Sweep], separation: np.ndarray) -> list[tuple[int, int]]:
    """(concept, which sweep) of the edits that put any mistake in focus right, each concept with its best edit, best first."""
    net = np.stack([np.where(sweep.corrected_in_focus > 0, sweep.net, -(10**9)) for sweep in sweeps])
    best = net.argmax(axis=0)
    gained = net.max(axis=0)
    found = np.flatnonzero(gained > -(10**9))
    broken = np.stack([sweep.newly_wrong for sweep in sweeps])[best, np.arange(len(best))]
    order = np.lexsort((-np.abs(np.nan_to_num(separation, nan=0.5) - 0.5)[found], broken[found], -gained[found]))
    return [(int(concept), int(best[concept])) for concept in found[order]]


def _separation(scored: ScoredSet, focus: np.ndarray, labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """AUC of every concept for mistakes in focus against right rows of the same true classes."""
    peers = (predicted == labels) & np.isin(labels, np.unique(labels[focus]))
    rows = np.flatnonzero(focus | peers)
    codes: scipy.sparse.csr_matrix = scored.codes[rows]
    return np.asarray(area_under_roc(Codes.from_csr(codes), focus[rows, None])[:, 0])


def _push(
    scored: ScoredSet, recipe: Recipe, focus: np.ndarray, labels: np.ndarray, predicted: np.ndarray
) -> Float64[np.ndarray, " concepts"]:
    """Mean over the mistakes of what each concept adds to the predicted class less what it adds to the true one."""
    weight = scored.head_for(recipe).weight
    codes = scored.codes[np.flatnonzero(focus)]
    row_of = np.repeat(np.flatnonzero(focus), np.diff(codes.indptr))
    concepts = codes.indices
    added = codes.data * (weight[concepts, predicted[row_of]] - weight[concepts, labels[row_of]])
    return np.bincount(concepts, weights=added, minlength=weight.shape[0]) / focus.sum()


@dataclass(frozen=True)
class WeightSuggestion:
    """One way to put an image right by the weights of one concept."""

    concept: int
    name: str
    kind: Kind
    """Raise the concept's weight for the true class, lower it for the predicted class, or both by the same amount."""
    delta: float
    """Change of each weight: added for the true class, subtracted for the predicted class. Negative where the activation is."""
    edits: tuple[SetWeight, ...]
    """To be appended to the model's recipe."""
    lead: float
    """By how much the true class leads on the image afterwards; at least the margin."""
    corrected: Int[np.ndarray, " corrected"]
    """Held-out rows that become right."""
    newly_wrong: Int[np.ndarray, " newly_wrong"]
    """Held-out rows that become wrong."""

    @property
    def net(self) -> int:
        """Held-out rows gained."""
        return len(self.corrected) - len(self.newly_wrong)


def suggest_weight_edits(
    held_out: ScoredSet,
    recipe: Recipe,
    labels: Int[np.ndarray, " rows"],
    names: Sequence[str],
    image: Codes | scipy.sparse.csr_matrix,
    true_class: int | str,
    *,
    item: str | None = None,
    margin: float = 0.2,
    count: int = 10,
) -> tuple[WeightSuggestion, ...]:
    """The best ways to have one wrongly predicted image predicted right by editing the weights of one concept.

    For each concept that is active in the image and each kind of edit, the smallest change after which the true class leads every other
    class by `margin` (Label-free CBM's weight-editing notebook, whose margin is 0.2, extended to all rivals), with what it does to
    held-out data. Ranked by held-out rows gained, then by fewest broken, then by the smallest change.

    Args:
        held_out: codes scored with the model's head.
        recipe: the edits in force; the suggestions come on top of them.
        labels: class of each held-out row, −1 where unknown.
        names: of all concepts, for the edits to bear.
        image: unedited activations of the image, one row.
        item: name of the image, for edits in force that concern it alone.

    Raises:
        InvalidInputError: the image is predicted right already.
        MismatchError: labels and held-out rows differ in number.
    """
    if len(labels) != len(held_out):
        raise MismatchError(f"{len(labels)} labels do not fit {len(held_out)} held-out rows.")
    if margin <= 0:
        raise InvalidInputError(f"The margin is {margin}; it is by how much the true class should lead, above 0.")
    row = image.to_csr() if isinstance(image, Codes) else scipy.sparse.csr_matrix(image)
    head = held_out.head_for(recipe, item)
    logits = head.logits(row)[0]
    true, predicted = class_index(held_out.classes, true_class), int(logits.argmax())
    if predicted == true:
        raise InvalidInputError(f"The image is predicted {held_out.classes[true]} already; there is nothing to put right.")
    concepts = np.union1d(row.indices, np.array(head.always_on, dtype=np.int64)).astype(np.int64)
    seen = head.activations_seen(concepts, row[:, concepts].toarray().ravel())
    others = _HeldOut(held_out, recipe, np.asarray(labels), names)
    suggestions = []
    for place, concept in enumerate(concepts.tolist()):
        for kind in ("raise", "lower", "both"):
            delta = smallest_delta(logits.astype(np.float64), seen[place], true, predicted, kind, margin)
            if delta is not None:
                suggestions.append(others.suggestion(concept, kind, delta, true, predicted, logits, seen[place], head))
    suggestions.sort(key=lambda entry: (-entry.net, len(entry.newly_wrong), abs(entry.delta) * len(entry.edits)))
    return tuple(suggestions[:count])


def smallest_delta(
    logits: Float64[np.ndarray, " classes"], seen: Float64[np.ndarray, " classes"], true: int, predicted: int, kind: Kind, margin: float
) -> float | None:
    """The smallest change of a concept's weights after which `true` leads all classes by `margin`; None where this kind cannot do it.

    Args:
        logits: of the image.
        seen: the concept's activation in the image, as each class sees it.
    """
    gaps = logits - logits[true] + margin
    gaps[true] = -np.inf
    to_predicted = gaps[predicted]
    gaps[predicted] = -np.inf
    to_others = max(float(gaps.max()), 0.0)
    gain, loss = float(seen[true]), float(seen[predicted])
    if kind == "raise":
        return max(to_predicted, to_others) / gain if gain else None
    if kind == "lower":
        return to_predicted / loss if loss and to_others == 0 else None
    if gain * loss <= 0:
        return None
    size = max(to_predicted / (abs(gain) + abs(loss)), to_others / abs(gain))
    return float(np.copysign(size, gain))


class _HeldOut:
    """Held-out rows under the model's recipe, ready to try changes of single weights."""

    def __init__(self, scored: ScoredSet, recipe: Recipe, labels: np.ndarray, names: Sequence[str]) -> None:
        self.scored, self.labels, self.names = scored, labels, names
        self.logits = scored.apply(recipe)
        self.right = self.logits.argmax(axis=1) == labels
        self.head = scored.head_for(recipe)
        self.item_heads = {item: scored.head_for(recipe, item) for item in recipe.image_items()}

    def seen(self, concept: int, class_index: int) -> Float64[np.ndarray, " rows"]:
        """A concept's activation in every row, as one class sees it under the recipe."""
        unedited = self.scored.activations(concept)
        seen = self.head.activations_seen_by(class_index, concept, unedited)
        for item, head in self.item_heads.items():
            rows = self.scored.rows_of_item(item)
            seen[rows] = head.activations_seen_by(class_index, concept, unedited[rows])
        return seen

    def suggestion(
        self,
        concept: int,
        kind: Kind,
        delta: float,
        true: int,
        predicted: int,
        image_logits: np.ndarray,
        image_seen: np.ndarray,
        head: EffectiveHead,
    ) -> WeightSuggestion:
        changes = [(true, delta)] * (kind != "lower") + [(predicted, -delta)] * (kind != "raise")
        weights = head.weights_of(np.array([concept]))[0]
        name = self.names[concept]
        edits = tuple(SetWeight(concept, name, self.scored.classes[column], float(weights[column] + change)) for column, change in changes)
        after_image = image_logits.astype(np.float64)
        added = {column: self.seen(concept, column) * change for column, change in changes}
        rows = np.flatnonzero(np.any([values != 0 for values in added.values()], axis=0))
        after = self.logits[rows].astype(np.float64)
        for column, change in changes:
            after_image[column] += image_seen[column] * change
            after[:, column] += added[column][rows]
        lead = after_image[true] - np.delete(after_image, true).max()
        corrected, newly_wrong = self._compare(rows, after)
        return WeightSuggestion(concept, name, kind, float(delta), edits, float(lead), corrected, newly_wrong)

    def _compare(self, rows: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        labelled = self.labels[rows] >= 0
        right_after = labelled & (after.argmax(axis=1) == self.labels[rows])
        right_before = labelled & self.right[rows]
        return rows[right_after & ~right_before], rows[right_before & ~right_after]
