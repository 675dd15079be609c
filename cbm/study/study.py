"""A concept model beside its held-out images: what every page asks about, answered in plain values. No Streamlit in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse
from jaxtyping import Int

from cbm.core.arrays import softmax
from cbm.core.errors import NotFoundError
from cbm.editing.effect import measure_recipe
from cbm.editing.recipe import NameEdit, Recipe
from cbm.embeddings.sets import EmbeddingSet
from cbm.metrics import classification
from cbm.model.concept_model import ConceptModel
from cbm.study.views import Bar, ConceptTile, EffectView, PictureTile, PredictionView

_BARS = 9
_PROBABILITIES = 5
_EFFECT_PICTURES = 24


@dataclass(frozen=True, eq=False)
class Study:
    """One concept model on one held-out embedding set. Shared by all visitors and never changed: recipes come in as arguments."""

    model: ConceptModel
    held_out: EmbeddingSet
    training_images: int | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """What the workspace records about the model."""

    # Images

    @property
    def classes(self) -> tuple[str, ...]:
        return self.model.classes

    @property
    def concepts(self) -> int:
        return self.model.head.size

    @property
    def images(self) -> int:
        return len(self.items)

    @cached_property
    def items(self) -> tuple[str, ...]:
        return tuple(self.held_out.items["item"].astype(str))

    @cached_property
    def uris(self) -> tuple[str, ...]:
        return tuple(self.held_out.items["uri"].astype(str))

    @cached_property
    def labels(self) -> Int[np.ndarray, " images"]:
        """Class of every image as the model counts classes; −1 where it has no label, or one that the model does not know."""
        known = {name: index for index, name in enumerate(self.model.classes)}
        translate = np.array([*(known.get(name, -1) for name in self.held_out.classes), -1], dtype=np.int64)
        return translate[self.held_out.items["label"].to_numpy(dtype=np.int64)]

    @cached_property
    def groups(self) -> Int[np.ndarray, " images"] | None:
        groups = self.held_out.items["group"].to_numpy(dtype=np.int64)
        return groups if len(self.held_out.groups) and (groups >= 0).any() else None

    @cached_property
    def scored(self) -> Any:
        """Held-out activations with their logits, for re-scoring under a visitor's recipe."""
        return self.model.scored(self.model.encode(np.asarray(self.held_out.embeddings)), self.items)

    @cached_property
    def columns(self) -> scipy.sparse.csc_matrix:
        """Held-out activations [images, concepts] by concept."""
        return self.scored.codes.tocsc()

    @cached_property
    def _predicted_before(self) -> Int[np.ndarray, " images"]:
        """Without any edit."""
        return self.scored.base_logits.argmax(axis=1)

    @cached_property
    def _predicted_as_stored(self) -> Int[np.ndarray, " images"]:
        """With the edits that the model was stored with, and no others."""
        return self.scored.apply(self.model.recipe).argmax(axis=1)

    @property
    def labelled_images(self) -> int:
        return int((self.labels >= 0).sum())

    @cached_property
    def accuracy(self) -> float | None:
        """Accuracy of the model as it is stored, on the labelled held-out images; 0 to 1, None without any."""
        if not self.labelled_images:
            return None
        return classification.accuracy(self._predicted_as_stored[self.labels >= 0], self.labels[self.labels >= 0])

    @cached_property
    def worst_group(self) -> tuple[str, float] | None:
        """Name and accuracy of the group that fares worst, as the model is stored; None without groups."""
        groups = None if self.groups is None else np.where(self.labels >= 0, self.groups, -1)
        if groups is None or not (groups >= 0).any():
            return None
        right = classification.group_accuracy(self._predicted_as_stored, self.labels, groups)
        return self.held_out.groups[right.worst_group], right.worst

    @cached_property
    def concepts_used(self) -> int:
        return int((self.model.head.weight != 0).any(axis=0).sum())

    @property
    def nec(self) -> float:
        return self.model.head.nec

    def warm(self) -> None:
        """Compute what every page needs, so that the first visitor's click does not wait for it."""
        _ = self.tiles, self._predicted_before, self._predicted_as_stored

    def item(self, row: int) -> str:
        return self.items[row]

    @cached_property
    def _row_of_item(self) -> dict[str, int]:
        return {item: row for row, item in reversed(list(enumerate(self.items)))}

    def row_of(self, item: str) -> int:
        """The row of an item.

        Raises:
            NotFoundError: no held-out image is called so.
        """
        row = self._row_of_item.get(item)
        if row is None:
            raise NotFoundError(f"No held-out image is called {item!r}. Choose one of those shown.")
        return row

    def rows(self, *, wrong_only: bool = False, truth: str | None = None) -> list[int]:
        """Rows of the images to choose from; "wrong" means before any edit, so that a corrected image stays in the list."""
        wanted = np.ones(self.images, bool)
        if wrong_only:
            wanted &= (self.labels >= 0) & (self._predicted_before != self.labels)
        if truth is not None:
            wanted &= self.labels == self.model.class_index(truth)
        return np.flatnonzero(wanted).tolist()

    def _class_of(self, row: int) -> str | None:
        return None if self.labels[row] < 0 else self.classes[self.labels[row]]

    def picture(self, row: int, recipe: Recipe) -> PictureTile:
        """An image with what the model says about it under the recipe."""
        return self._picture(row, int(self.scored.apply(recipe)[row].argmax()))

    def pictures(self, rows: Sequence[int], recipe: Recipe) -> list[PictureTile]:
        predicted = self.scored.apply(recipe)[list(rows)].argmax(axis=1)
        return [self._picture(row, int(label)) for row, label in zip(rows, predicted, strict=True)]

    def _picture(self, row: int, predicted: int) -> PictureTile:
        truth, says = self._class_of(row), self.classes[predicted]
        correct = None if truth is None else truth == says
        verdict = f"taken for {says}" if truth is None else f"{truth}, taken for {says}"
        return PictureTile(row, self.uris[row], says, f"Image {self.items[row]}: {verdict}", correct)

    # Concepts

    def check_concept(self, concept: int) -> None:
        """Make sure that there is such a concept.

        Raises:
            NotFoundError: there is not.
        """
        if not 0 <= concept < self.concepts:
            raise NotFoundError(
                f"There is no concept {concept}: this model's {self.concepts:,} concepts count from 0. Choose one from the list."
            )

    def name(self, concept: int, recipe: Recipe) -> str:
        """A name that tells the concept from others of the same name: "red", or "red #12" where several concepts are called red."""
        return recipe.decisions().names.get(concept, self.concept_names[concept])

    @cached_property
    def concept_names(self) -> list[str]:
        """Names before any edit, told apart where several concepts are called the same."""
        return self.model.concepts.labels

    @cached_property
    def tiles(self) -> tuple[ConceptTile, ...]:
        """Every concept as it was named, without decisions and pictures."""
        table = self.model.concepts
        head = self.model.head.weight
        counts = np.diff(self.columns.indptr)
        mean_size = np.asarray(abs(self.columns).sum(axis=0)).ravel() / max(1, self.images)
        predictiveness = mean_size * np.abs(head).mean(axis=0)
        strongest = head.argmax(axis=0)
        used, raises = np.any(head != 0, axis=0).tolist(), np.any(head > 0, axis=0).tolist()
        named = table.named
        scores = table.frame["score"].to_numpy()
        return tuple(
            ConceptTile(
                index=index,
                name=name,
                named=bool(named[index]),
                frequency=float(counts[index] / max(1, self.images)),
                name_score=float(scores[index]),
                predictiveness=float(predictiveness[index]),
                top_class=self.classes[strongest[index]] if raises[index] else None,
                uris=(),
                used=used[index],
            )
            for index, name in enumerate(table.names)
        )

    def concept_tiles(self, recipe: Recipe) -> list[ConceptTile]:
        """Every concept as the visitor decided to see it, without pictures; of merged ones, the one that stands for all."""
        decisions = recipe.decisions()
        standing_for = decisions.standing_for
        tiles = list(self.tiles)
        for index in decisions.names.keys() | decisions.hidden:
            tile = tiles[index]
            name = decisions.names.get(index, tile.name)
            tiles[index] = replace(tile, name=name, hidden=index in decisions.hidden, renamed_from=tile.name if name != tile.name else None)
        return [tile for tile in tiles if standing_for.get(tile.index, tile.index) == tile.index]

    def with_pictures(self, tiles: Sequence[ConceptTile], count: int = 6) -> list[ConceptTile]:
        """The tiles with the addresses of the images on which each concept is strongest."""
        return [replace(tile, uris=tuple(self.uris[row] for row in self._strongest_rows(tile.index, count))) for tile in tiles]

    def _column(self, concept: int) -> tuple[np.ndarray, np.ndarray]:
        start, stop = self.columns.indptr[concept : concept + 2]
        return self.columns.indices[start:stop], self.columns.data[start:stop]

    def _strongest_rows(self, concept: int, count: int) -> list[int]:
        rows, values = self._column(concept)
        return rows[np.argsort(-values, kind="stable")[:count]].tolist()

    # Predictions

    def prediction(self, row: int, recipe: Recipe, target: str | None = None) -> PredictionView:
        """One image's prediction, with the contributions to the class `target` (the one that is predicted now when absent)."""
        item = self.items[row]
        target = target if target in self.classes else None
        edited = self.model.with_recipe(recipe)
        explanation = edited.explain_codes(self.scored.codes[row], item, target)
        entries = [entry for entry in explanation.contributions if not entry.hidden]
        telling = [entry for entry in entries if entry.contribution != 0 or entry.activation != entry.activation_before][:_BARS]
        before = softmax(self.scored.base_logits[row : row + 1])[0]
        after = explanation.probabilities
        truth = self._class_of(row)
        named = {name for name in (truth, explanation.predicted_class, self.classes[before.argmax()], explanation.target_class) if name}
        ranked = np.argsort(-after, kind="stable")
        listed = [index for index in ranked if self.classes[index] in named]
        listed += [index for index in ranked if index not in listed][: max(0, min(_PROBABILITIES, len(self.classes)) - len(listed))]
        bars = tuple(
            Bar(
                entry.concept,
                self.name(entry.concept, recipe),
                entry.contribution,
                entry.activation,
                abs(entry.share),
                edited=entry.activation != entry.activation_before,
            )
            for entry in telling
        )
        return PredictionView(
            row=row,
            item=item,
            uri=self.uris[row],
            truth=truth,
            group=None if self.groups is None or self.groups[row] < 0 else self.held_out.groups[self.groups[row]],
            predicted_before=self.classes[int(before.argmax())],
            predicted_after=explanation.predicted_class,
            probabilities=tuple(
                (self.classes[index], float(before[index]), float(after[index])) for index in sorted(listed, key=lambda i: -after[i])
            ),
            target=explanation.target_class,
            bars=bars,
            rest=explanation.logit - explanation.bias - sum(bar.value for bar in bars),
            bias=explanation.bias,
            logit=explanation.logit,
            active=tuple(
                (entry.concept, self.name(entry.concept, recipe))
                for entry in [*telling, *(entry for entry in entries if entry not in telling)]
            ),
        )

    def effect(self, recipe: Recipe) -> EffectView | None:
        """What the recipe does to the held-out images, against the model without edits.

        None where it changes names only, or where no image has a label.
        """
        if not self.labelled_images or all(isinstance(edit, NameEdit) for edit in recipe.active):
            return None
        effect = measure_recipe(self.scored, Recipe(), recipe, self.labels, self.groups, self.held_out.groups or None)
        after = self.scored.apply(recipe).argmax(axis=1)

        def tiles(rows: np.ndarray) -> tuple[PictureTile, ...]:
            pictures = [self._picture(row, int(after[row])) for row in rows[:_EFFECT_PICTURES].tolist()]
            return tuple(tile if tile.correct else replace(tile, title=f"{self._class_of(tile.row)} → {tile.title}") for tile in pictures)

        moved = [part for part in (*effect.per_group, *effect.per_class) if part.right_before != part.right_after]
        return EffectView(
            images=effect.count,
            accuracy_before=effect.accuracy_before,
            accuracy_after=effect.accuracy_after,
            worst_group_before=effect.worst_group_before,
            worst_group_after=effect.worst_group_after,
            worst_group=None if effect.worst_after is None else effect.worst_after.name,
            corrected_count=len(effect.corrected),
            newly_wrong_count=len(effect.newly_wrong),
            corrected=tiles(effect.corrected),
            newly_wrong=tiles(effect.newly_wrong),
            moved=tuple((part.name, part.before, part.after) for part in sorted(moved, key=lambda part: -abs(part.after - part.before))),
        )
