"""Recipes applied to linear heads: folding edits into weights, and scoring many stored codes again within an interaction.

Activation edits are affine, z -> factor · z + offset, and so is their composition. A weight edit replaces W. So every recipe without image
scope turns a linear head into another linear head, W'[k, c] · factor[k, c] with bias b[c] + Σ_k W'[k, c] · offset[k, c], exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse
from jaxtyping import Float, Float32, Float64, Int

from cbm.core.codes import Codes
from cbm.core.errors import InvalidInputError, MismatchError, NotFoundError
from cbm.editing.recipe import (
    AblateConcept,
    AblateConcepts,
    ActivationEdit,
    ClassScope,
    GlobalScope,
    ImageScope,
    NameEdit,
    Recipe,
    ScaleConcept,
    ScaleWeight,
    SetConcept,
    SetWeight,
    WeightEdit,
    ZeroWeight,
    concepts_of,
)

if TYPE_CHECKING:
    from cbm.heads.base import LinearHead

KEPT_RECIPES = 4
"""Logits of so many recipes stay in memory beside a scored set (20 MB each at 50,000 rows and 100 classes)."""


@dataclass(frozen=True)
class ActivationMap:
    """What activation edits make of one concept: factor · z + offset, as each class sees it."""

    factor: Float64[np.ndarray, " classes"]
    offset: Float64[np.ndarray, " classes"]


@dataclass(frozen=True)
class EffectiveHead:
    """A linear head with edits folded in, and what each edit did, so that contributions can be told apart."""

    weight: Float64[np.ndarray, "concepts classes"]
    bias: Float64[np.ndarray, " classes"]
    maps: Mapping[int, ActivationMap]
    """Concepts whose activation was edited."""
    edited_weights: Mapping[int, Float64[np.ndarray, " classes"]]
    """Concepts of which some weight was edited: their weights after the edits, before activation edits are folded in."""
    activation_maps: Mapping[int, tuple[float, float]]
    """(factor, offset) of the edits at global scope alone: the activation itself, as opposed to how single classes see it."""
    base: Float64[np.ndarray, "concepts classes"]
    """Weights before any edit."""

    @property
    def touched(self) -> Int[np.ndarray, " some"]:
        """Concepts whose column of `weight` may differ from `base`, in order."""
        return np.array(sorted(self.maps.keys() | self.edited_weights.keys()), dtype=np.int64)

    @property
    def always_on(self) -> tuple[int, ...]:
        """Concepts that count even where they are not active, because they were set to a value."""
        return tuple(sorted(concept for concept, entry in self.maps.items() if entry.offset.any()))

    def logits(self, codes: scipy.sparse.csr_matrix) -> Float32[np.ndarray, "batch classes"]:
        """Class logits of codes [batch, concepts] in float64, rounded once at the end."""
        return np.asarray(codes.astype(np.float64) @ self.weight + self.bias, dtype=np.float32)

    def weights_of(self, concepts: Int[np.ndarray, " some"]) -> Float64[np.ndarray, "some classes"]:
        """Weights after weight edits, without the activation edits."""
        weights = self.base[concepts]
        for row, concept in enumerate(concepts.tolist()):
            if concept in self.edited_weights:
                weights[row] = self.edited_weights[concept]
        return weights

    def activations_seen(
        self, concepts: Int[np.ndarray, " some"], activations: Float[np.ndarray, " some"]
    ) -> Float64[np.ndarray, "some classes"]:
        """Activations of some concepts after the edits, as each class sees them."""
        seen = np.repeat(np.asarray(activations, np.float64)[:, None], len(self.bias), axis=1)
        for row, concept in enumerate(concepts.tolist()):
            if concept in self.maps:
                seen[row] = self.maps[concept].factor * seen[row] + self.maps[concept].offset
        return seen

    def activations_seen_by(self, class_index: int, concept: int, activations: Float[np.ndarray, " rows"]) -> Float64[np.ndarray, " rows"]:
        """One concept's activations in many rows after the edits, as one class sees them."""
        entry = self.maps.get(concept)
        seen = np.asarray(activations, np.float64)
        return seen.copy() if entry is None else entry.factor[class_index] * seen + entry.offset[class_index]

    def contributions_of(
        self, concepts: Int[np.ndarray, " some"], activations: Float[np.ndarray, " some"]
    ) -> Float64[np.ndarray, "some classes"]:
        """activation × weight of single activations, edits in force; of one image or of several."""
        return self.weights_of(concepts) * self.activations_seen(concepts, activations)


def class_index(classes: Sequence[str], target: int | str) -> int:
    """Index of a class given by name or index.

    Raises:
        NotFoundError: there is no such class.
    """
    if isinstance(target, str):
        if target not in classes:
            raise NotFoundError(f"The model has no class {target!r}; its classes: {', '.join(classes[:20])}.")
        return list(classes).index(target)
    if not 0 <= target < len(classes):
        raise NotFoundError(f"The model has no class {target}; its {len(classes)} classes count from 0.")
    return int(target)


def fold_recipe(head: LinearHead, classes: Sequence[str], recipe: Recipe, item: str | None = None) -> EffectiveHead:
    """The head that a recipe amounts to: for all images, or, with `item`, for that image (edits at image scope included).

    Raises:
        InvalidInputError: the recipe speaks of a concept or class that the head does not have.
    """
    base = np.ascontiguousarray(head.weight.T, dtype=np.float64)
    return _fold(base, head.bias.astype(np.float64), classes, recipe, item)


def _fold(
    base: Float64[np.ndarray, "concepts classes"],
    bias: Float64[np.ndarray, " classes"],
    classes: Sequence[str],
    recipe: Recipe,
    item: str | None,
) -> EffectiveHead:
    recipe.check(len(base), classes)
    maps: dict[int, ActivationMap] = {}
    activation_maps: dict[int, tuple[float, float]] = {}
    edited_weights: dict[int, np.ndarray] = {}
    for edit in recipe.active:
        if isinstance(edit, WeightEdit):
            weights = edited_weights.setdefault(edit.concept, base[edit.concept].copy())
            _edit_weight(edit, weights, classes.index(edit.class_name))
        elif isinstance(edit, ActivationEdit) and not (isinstance(edit.scope, ImageScope) and edit.scope.item != item):
            where = classes.index(edit.scope.class_name) if isinstance(edit.scope, ClassScope) else slice(None)
            for concept in concepts_of(edit):
                entry = maps.setdefault(concept, ActivationMap(np.ones(len(bias)), np.zeros(len(bias))))
                entry.factor[where], entry.offset[where] = _edit_map(edit, entry.factor[where], entry.offset[where])
                if isinstance(edit.scope, GlobalScope):
                    factor, offset = _edit_map(edit, *activation_maps.get(concept, (1.0, 0.0)))
                    activation_maps[concept] = (float(factor), float(offset))
    weight, bias = base, bias.copy()
    if maps or edited_weights:
        weight = base.copy()
        for concept, weights in edited_weights.items():
            weight[concept] = weights
        for concept in sorted(maps):
            bias += weight[concept] * maps[concept].offset
            weight[concept] *= maps[concept].factor
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise InvalidInputError("The recipe's factors multiply to an unusably large number; undo some of its scalings.")
    return EffectiveHead(weight, bias, maps, edited_weights, activation_maps, base)


def _edit_map(edit: ActivationEdit, factor, offset):  # type: ignore[no-untyped-def]  # floats and arrays alike
    match edit:
        case AblateConcept() | AblateConcepts():
            return np.zeros_like(factor), np.zeros_like(offset)
        case SetConcept():
            return np.zeros_like(factor), np.full_like(offset, edit.value)
        case ScaleConcept(absolute=True):
            return np.full_like(factor, edit.factor), np.zeros_like(offset)
        case ScaleConcept():
            with np.errstate(over="ignore"):  # found and refused once everything is folded
                return factor * edit.factor, offset * edit.factor


def _edit_weight(edit: WeightEdit, weights: Float64[np.ndarray, " classes"], column: int) -> None:
    match edit:
        case SetWeight():
            weights[column] = edit.value
        case ScaleWeight():
            weights[column] *= edit.factor
        case ZeroWeight():
            weights[column] = 0.0


class ScoredSet:
    """Stored codes with their unedited logits, ready to be scored again under one recipe after another.

    `apply` computes only what a recipe can change: the rows in which an edited concept is active (found through a column index) and the
    classes whose weights changed. Those are computed from the codes, not added up from differences, so that every recipe gives the same
    bits as `ConceptModel.predict_codes`, and taking an edit back gives the former logits exactly.

    Args:
        items: name of each row, where edits at image scope should find theirs.

    Raises:
        MismatchError: codes, head, classes and items do not fit each other.
    """

    def __init__(
        self, codes: Codes | scipy.sparse.csr_matrix, head: LinearHead, classes: Sequence[str], items: Sequence[str] | None = None
    ) -> None:
        rows = codes.to_csr() if isinstance(codes, Codes) else scipy.sparse.csr_matrix(codes)
        if rows.shape[1] != head.size:
            raise MismatchError(f"Codes over {rows.shape[1]} concepts do not fit a head over {head.size}; use the model's own dictionary.")
        if len(classes) != len(head.bias):
            raise MismatchError(f"{len(classes)} class names do not fit a head of {len(head.bias)} classes.")
        if items is not None and len(items) != rows.shape[0]:
            raise MismatchError(f"{len(items)} items do not fit {rows.shape[0]} rows of codes.")
        self.codes = rows
        self.classes = tuple(classes)
        self.items = None if items is None else tuple(items)
        self._base = np.ascontiguousarray(head.weight.T, dtype=np.float64)
        self._bias = head.bias.astype(np.float64)
        self._codes64 = rows.astype(np.float64)
        # Sums before the bias is added: a change of the bias alone then costs one addition a row and still gives the bits of a full pass.
        self._sums: Float64[np.ndarray, "rows classes"] = self._codes64 @ self._base
        self.base_logits: Float32[np.ndarray, "rows classes"] = np.add(self._sums, self._bias).astype(np.float32)
        self.base_logits.setflags(write=False)
        self._apply = lru_cache(maxsize=KEPT_RECIPES)(self._apply_uncached)

    def __len__(self) -> int:
        return self.codes.shape[0]

    @cached_property
    def _columns(self) -> scipy.sparse.csc_matrix:
        return self.codes.tocsc()

    @cached_property
    def _rows_of_item(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for row, item in enumerate(self.items or ()):
            found.setdefault(item, []).append(row)
        return found

    def rows_of_item(self, item: str) -> list[int]:
        """The rows of an item; empty where there is none of that name."""
        return self._rows_of_item.get(item, [])

    def active_rows(self, concepts: Sequence[int] | Int[np.ndarray, " some"]) -> Int[np.ndarray, " rows"]:
        """Rows in which any of the concepts is active, in order."""
        columns = self._columns
        parts = [columns.indices[columns.indptr[concept] : columns.indptr[concept + 1]] for concept in concepts]
        active = np.zeros(len(self), bool)
        for part in parts:
            active[part] = True
        return np.flatnonzero(active)

    def activations(self, concept: int) -> Float32[np.ndarray, " rows"]:
        """One concept's activation in every row."""
        start, stop = self._columns.indptr[concept : concept + 2]
        found = np.zeros(len(self), np.float32)
        found[self._columns.indices[start:stop]] = self._columns.data[start:stop]
        return found

    def apply(self, recipe: Recipe) -> Float32[np.ndarray, "rows classes"]:
        """Logits under a recipe: read-only, and kept for the last few recipes, because a page asks for the same ones again.

        Raises:
            InvalidInputError: the recipe speaks of a concept or class that the model does not have.
        """
        recipe.check(len(self._base), self.classes)
        return self._apply(Recipe.of(*(edit for edit in recipe.active if not isinstance(edit, NameEdit))))

    def predict(self, recipe: Recipe) -> Int[np.ndarray, " rows"]:
        """Predicted class of every row under a recipe; the lower one among equals."""
        return self.apply(recipe).argmax(axis=1)

    def head_for(self, recipe: Recipe, item: str | None = None) -> EffectiveHead:
        """`fold_recipe` for these weights, without converting them again; edits at image scope are those of `item`."""
        return _fold(self._base, self._bias, self.classes, recipe, item)

    def _apply_uncached(self, recipe: Recipe) -> Float32[np.ndarray, "rows classes"]:
        if not recipe.active:
            return self.base_logits
        logits = self.base_logits.copy()
        effective = _fold(self._base, self._bias, self.classes, recipe, None)
        touched = effective.touched
        new_bias = effective.bias != self._bias
        changed = np.flatnonzero(new_bias | (effective.weight[touched] != self._base[touched]).any(axis=0))
        if new_bias.all():
            np.add(self._sums, effective.bias, out=logits, casting="same_kind")  # in float64, rounded once
        elif new_bias.any():
            columns = np.flatnonzero(new_bias)
            logits[:, columns] = self._sums[:, columns] + effective.bias[columns]
        if len(changed):
            rows = self.active_rows(touched)
            if len(changed) == logits.shape[1]:
                logits[rows] = self._score(rows, effective.weight, effective.bias)
            else:
                weight = np.ascontiguousarray(effective.weight[:, changed])
                logits[np.ix_(rows, changed)] = self._score(rows, weight, effective.bias[changed])
        for item in recipe.image_items():
            rows = np.array(self.rows_of_item(item), dtype=np.int64)
            if len(rows):
                effective = _fold(self._base, self._bias, self.classes, recipe, item)
                logits[rows] = self._score(rows, effective.weight, effective.bias)
        logits.setflags(write=False)
        return logits

    def _score(self, rows: Int[np.ndarray, " some"], weight: np.ndarray, bias: np.ndarray) -> Float32[np.ndarray, "some classes"]:
        return np.asarray(self._codes64[rows] @ weight + bias, dtype=np.float32)
