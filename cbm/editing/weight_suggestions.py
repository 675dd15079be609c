"""The weight-edit calculator: the smallest change of a weight that puts one image right, and what else it changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int

from cbm.core.errors import InvalidInputError, MismatchError
from cbm.editing.recipe import SetWeight
from cbm.editing.scoring import EffectiveHead, ScoredSet, fold_recipe
from cbm.model.concept_model import CodesLike, ConceptModel

Kind = Literal["raise", "lower", "both"]


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
    corrected: Int[np.ndarray, " rows"]
    """Held-out rows that become right."""
    newly_wrong: Int[np.ndarray, " rows"]
    """Held-out rows that become wrong."""

    @property
    def net(self) -> int:
        """Held-out rows gained."""
        return len(self.corrected) - len(self.newly_wrong)


def suggest_weight_edits(
    model: ConceptModel,
    image: CodesLike,
    true_class: int | str,
    held_out: ScoredSet,
    labels: Int[np.ndarray, " rows"],
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
        image: unedited activations of the image, one row.
        held_out: codes scored with this model's head; its recipe is the model's.
        labels: class of each held-out row, −1 where unknown.

    Raises:
        InvalidInputError: the image is predicted right already.
        MismatchError: labels and held-out rows differ in number.
    """
    if len(labels) != len(held_out):
        raise MismatchError(f"{len(labels)} labels do not fit {len(held_out)} held-out rows.")
    if margin <= 0:
        raise InvalidInputError(f"The margin is {margin}; it is by how much the true class should lead, above 0.")
    explanation = model.explain_codes(image, item)
    true, predicted = model.class_index(true_class), explanation.predicted
    if predicted == true:
        raise InvalidInputError(f"The image is predicted {model.classes[true]} already; there is nothing to put right.")
    head = model.effective_head if item is None else fold_recipe(model.head, model.classes, model.recipe, item)
    concepts = np.array(sorted({member for entry in explanation.contributions for member in entry.members}), dtype=np.int64)
    row = image.to_dense()[0] if hasattr(image, "to_dense") else image.toarray()[0]
    seen = head.activations_seen(concepts, row[concepts])
    others = _HeldOut(model, held_out, np.asarray(labels))
    suggestions = []
    for place, concept in enumerate(concepts.tolist()):
        for kind in ("raise", "lower", "both"):
            delta = smallest_delta(explanation.logits.astype(np.float64), seen[place], true, predicted, kind, margin)
            if delta is not None:
                suggestions.append(others.suggestion(concept, kind, delta, true, predicted, explanation.logits, seen[place], head))
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

    def __init__(self, model: ConceptModel, scored: ScoredSet, labels: np.ndarray) -> None:
        self.model, self.scored, self.labels = model, scored, labels
        self.logits = scored.apply(model.recipe)
        self.right = self.logits.argmax(axis=1) == labels
        self.item_heads = {item: fold_recipe(model.head, model.classes, model.recipe, item) for item in model.recipe.image_items()}

    def seen(self, concept: int, class_index: int) -> Float64[np.ndarray, " rows"]:
        """A concept's activation in every row, as one class sees it under the recipe."""
        unedited = self.scored.activations(concept).astype(np.float64)
        seen = _seen(self.model.effective_head, concept, class_index, unedited)
        for row, item in enumerate(self.scored.items or ()) if self.item_heads else ():
            if item in self.item_heads:
                seen[row] = _seen(self.item_heads[item], concept, class_index, unedited[row])
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
        name = self.model.names[concept]
        edits = tuple(SetWeight(concept, name, self.model.classes[column], float(weights[column] + change)) for column, change in changes)
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


def _seen(head: EffectiveHead, concept: int, class_index: int, activations):  # type: ignore[no-untyped-def]  # one value or an array
    entry = head.maps.get(concept)
    return activations if entry is None else entry.factor[class_index] * activations + entry.offset[class_index]
