"""Concepts that separate the wrong images from the right ones, and what editing them would do, measured for every concept at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float32, Int

from cbm.core.codes import Codes
from cbm.core.errors import InvalidInputError, MismatchError
from cbm.editing.effect import compare_predictions
from cbm.editing.recipe import AblateConcept, ClassScope, GlobalScope, Recipe, ScaleConcept, Scope
from cbm.editing.scoring import ScoredSet
from cbm.metrics.truth import area_under_roc
from cbm.model.concept_model import ConceptModel

_CHUNK = 4_000_000
"""Logits that are worked out at a time."""
_DIGITS = 9
"""Logits are compared to so many decimals: taking a contribution away leaves rounding where nothing should be left."""


@dataclass(frozen=True)
class Sweep:
    """What one kind of edit does, concept by concept, when it is the only one made."""

    corrected: Int[np.ndarray, " concepts"]
    newly_wrong: Int[np.ndarray, " concepts"]
    corrected_in_focus: Int[np.ndarray, " concepts"]
    """Corrected rows among those that are in focus."""

    @property
    def net(self) -> Int[np.ndarray, " concepts"]:
        return self.corrected - self.newly_wrong


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
    corrected: Int[np.ndarray, " rows"]
    """All held-out rows that become right."""
    newly_wrong: Int[np.ndarray, " rows"]
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


def sweep_concepts(
    scored: ScoredSet,
    recipe: Recipe,
    labels: Int[np.ndarray, " rows"],
    factor: float = 0.0,
    class_index: int | None = None,
    focus: Bool[np.ndarray, " rows"] | None = None,
) -> Sweep:
    """What scaling each single concept by `factor` on top of a recipe does to the labelled rows: 0 ablates.

    Exact, and sparse: only rows in which a concept is active and classes for which it has a weight can change.

    Args:
        class_index: only the logit of this class sees the change; None stands for all classes.

    Raises:
        MismatchError: labels and rows differ in number.
    """
    if len(labels) != len(scored):
        raise MismatchError(f"{len(labels)} labels do not fit {len(scored)} held-out rows.")
    logits = scored.apply(recipe)
    contributions = _Contributions(scored, recipe)
    right = (labels >= 0) & (logits.argmax(axis=1) == labels)
    in_focus = np.zeros(len(labels), bool) if focus is None else focus
    counts = np.zeros((3, scored.codes.shape[1]), dtype=np.int64)
    for rows, concepts, added in contributions.chunks(class_index):
        keep = labels[rows] >= 0
        rows, concepts, added = rows[keep], concepts[keep], added[keep]
        after = logits[rows].astype(np.float64)
        where = slice(None) if class_index is None else [class_index]
        after[:, where] += (factor - 1) * added
        right_after = np.round(after, _DIGITS).astype(np.float32).argmax(axis=1) == labels[rows]
        corrected = right_after & ~right[rows]
        for place, changed in enumerate((corrected, right[rows] & ~right_after, corrected & in_focus[rows])):
            counts[place] += np.bincount(concepts[changed], minlength=counts.shape[1])
    return Sweep(*counts)


class _Contributions:
    """activation × weight of every stored activation, under a recipe, in chunks."""

    def __init__(self, scored: ScoredSet, recipe: Recipe) -> None:
        self.codes, self.classes = scored.codes, len(scored.classes)
        self.head = scored.head_for(recipe)
        self.rows = np.repeat(np.arange(len(scored)), np.diff(scored.codes.indptr))
        # Rows that the recipe names follow a head of their own, and concepts that were set to a value count in every row.
        self.item_heads = {item: scored.head_for(recipe, item) for item in recipe.image_items()}
        self.rows_of = {item: [row for row, name in enumerate(scored.items or ()) if name == item] for item in self.item_heads}

    def chunks(self, class_index: int | None):  # type: ignore[no-untyped-def]  # rows [n], concepts [n], added [n, classes or 1]
        columns = slice(None) if class_index is None else slice(class_index, class_index + 1)
        weight = self.head.weight[:, columns]
        special = np.zeros(self.codes.shape[0], bool)
        special[[row for rows in self.rows_of.values() for row in rows]] = True
        constant = np.zeros(self.codes.shape[1], bool)
        constant[list(self.head.always_on)] = True
        concepts = self.codes.indices
        used = np.asarray(weight.any(axis=1))[concepts] & ~special[self.rows] & ~constant[concepts]
        entries = np.flatnonzero(used)
        size = max(1, _CHUNK // self.classes)
        for start in range(0, len(entries), size):
            part = entries[start : start + size]
            yield self.rows[part], concepts[part], self.codes.data[part, None].astype(np.float64) * weight[concepts[part]]
        plain = np.flatnonzero(~special)
        for concept in np.flatnonzero(constant).tolist():
            yield plain, np.full(len(plain), concept), self._seen(self.head, concept, plain)[:, columns]
        for item, head in self.item_heads.items():
            for row in self.rows_of[item]:
                active = np.union1d(self.codes[row].indices, head.always_on).astype(np.int64)
                added = np.concatenate([self._seen(head, concept, [row]) for concept in active.tolist()]) if len(active) else None
                if added is not None:
                    yield np.full(len(active), row), active, added[:, columns]

    def _seen(self, head, concept: int, rows: Sequence[int] | np.ndarray) -> np.ndarray:  # type: ignore[no-untyped-def]  # an EffectiveHead
        activations = self.codes[rows][:, [concept]].toarray().astype(np.float64)
        weights = head.weights_of(np.array([concept]))
        entry = head.maps.get(concept)
        return (activations if entry is None else entry.factor * activations + entry.offset) * weights


def suggest_concept_edits(
    model: ConceptModel,
    held_out: ScoredSet,
    labels: Int[np.ndarray, " rows"],
    *,
    true_class: int | str | None = None,
    predicted_class: int | str | None = None,
    count: int = 6,
) -> ConceptSuggestions:
    """The single-concept edits that do most against some mistakes, each measured on all held-out rows.

    The mistakes in focus are the wrong rows of `true_class`, those taken for `predicted_class`, both (a confusion) or all. Tried for
    every concept: ablating and halving it, everywhere or for the class that the mistakes are taken for most; raising it by a half and
    doubling it for the true class, where there is one. Ranked by held-out rows gained, then by fewest broken.

    Args:
        model: its recipe is in effect; the suggestions come on top of it.
        held_out: codes scored with this model's head.
        labels: class of each row, −1 where unknown.

    Raises:
        InvalidInputError: there is no such mistake.
        NotFoundError: the model has no such class.
        MismatchError: labels and rows differ in number.
    """
    true = None if true_class is None else model.class_index(true_class)
    wanted = None if predicted_class is None else model.class_index(predicted_class)
    labels = np.asarray(labels)
    if len(labels) != len(held_out):
        raise MismatchError(f"{len(labels)} labels do not fit {len(held_out)} held-out rows.")
    predicted = held_out.apply(model.recipe).argmax(axis=1)
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
    sweeps = [sweep_concepts(held_out, model.recipe, labels, factor, where, focus) for factor, where in tries]
    separation = _separation(held_out, focus, labels, predicted)
    push = _push(held_out, model.recipe, focus, labels, predicted)
    before = held_out.apply(model.recipe).argmax(axis=1)
    suggestions = []
    for concept, best in _ranked(sweeps, separation)[:count]:
        factor, where = tries[best]
        name = model.names[concept]
        scope: Scope = GlobalScope() if where is None else ClassScope(model.classes[where])
        edit = AblateConcept(concept, name, scope) if factor == 0 else ScaleConcept(concept, name, factor, scope)
        after = held_out.apply(model.recipe.append(edit)).argmax(axis=1)
        effect = compare_predictions(before, after, labels, model.classes)
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
) -> Float32[np.ndarray, " concepts"]:
    """Mean over the mistakes of what each concept adds to the predicted class less what it adds to the true one."""
    weight = scored.head_for(recipe).weight
    codes = scored.codes[np.flatnonzero(focus)]
    row_of = np.repeat(np.flatnonzero(focus), np.diff(codes.indptr))
    concepts = codes.indices
    added = codes.data * (weight[concepts, predicted[row_of]] - weight[concepts, labels[row_of]])
    return np.bincount(concepts, weights=added, minlength=weight.shape[0]) / focus.sum()
