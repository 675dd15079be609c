"""What an edit does to held-out data: accuracy before and after, what it corrects and what it breaks, by class and by group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from cbm.core.errors import InvalidInputError, MismatchError
from cbm.editing.recipe import NameEdit, Recipe
from cbm.editing.scoring import ScoredSet


@dataclass(frozen=True)
class PartEffect:
    """One class or group before and after."""

    name: str
    count: int
    right_before: int
    right_after: int

    @property
    def before(self) -> float:
        return self.right_before / self.count

    @property
    def after(self) -> float:
        return self.right_after / self.count


@dataclass(frozen=True)
class EditEffect:
    """Predictions before and after an edit, counted over the rows that have a label."""

    count: int
    """Labelled rows."""
    right_before: int
    corrected: Int[np.ndarray, " corrected"]
    """Rows that were wrong and are right now, in the numbering of the rows that were given."""
    newly_wrong: Int[np.ndarray, " newly_wrong"]
    """Rows that were right and are wrong now."""
    changed: Int[np.ndarray, " changed"]
    """Rows whose prediction changed, labelled or not, right or not."""
    per_class: tuple[PartEffect, ...]
    """By true class; classes without rows are left out."""
    per_group: tuple[PartEffect, ...]
    """By group; empty where there are no groups, groups without rows are left out."""

    @property
    def accuracy_before(self) -> float:
        return self.right_before / self.count

    @property
    def accuracy_after(self) -> float:
        return (self.right_before + len(self.corrected) - len(self.newly_wrong)) / self.count

    @property
    def worst_before(self) -> PartEffect | None:
        """The group of the lowest accuracy before; None without groups."""
        return min(self.per_group, key=lambda part: part.before, default=None)

    @property
    def worst_after(self) -> PartEffect | None:
        """The group of the lowest accuracy after, which may be another one; None without groups."""
        return min(self.per_group, key=lambda part: part.after, default=None)

    @property
    def worst_group_before(self) -> float | None:
        """Worst-group accuracy before (Sagawa et al. 2020)."""
        return None if self.worst_before is None else self.worst_before.before

    @property
    def worst_group_after(self) -> float | None:
        """Worst-group accuracy after."""
        return None if self.worst_after is None else self.worst_after.after

    @property
    def moved(self) -> tuple[PartEffect, ...]:
        """The groups and classes whose accuracy changed, the largest change first."""
        moved = [part for part in (*self.per_group, *self.per_class) if part.right_before != part.right_after]
        return tuple(sorted(moved, key=lambda part: -abs(part.after - part.before)))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready figures; rows as counts."""
        return {
            "count": self.count,
            "accuracy_before": self.accuracy_before,
            "accuracy_after": self.accuracy_after,
            "corrected": len(self.corrected),
            "newly_wrong": len(self.newly_wrong),
            "changed": len(self.changed),
            "worst_group_before": self.worst_group_before,
            "worst_group_after": self.worst_group_after,
            "per_class": {part.name: [part.before, part.after] for part in self.per_class},
            "per_group": {part.name: [part.before, part.after] for part in self.per_group},
        }


def measure_recipe(
    scored: ScoredSet,
    before: Recipe,
    after: Recipe,
    labels: Int[np.ndarray, " rows"],
    groups: Int[np.ndarray, " rows"] | None = None,
    group_names: Sequence[str] | None = None,
) -> EditEffect:
    """Compare two recipes of one model on held-out images: fast enough for an interaction.

    Args:
        labels: class of each row, −1 where unknown.
        groups: group of each row, −1 where it has none.

    Raises:
        InvalidInputError: no row has a label, or a label is not a class.
        MismatchError: labels or groups do not fit the rows.
    """
    return compare_predictions(scored.predict(before), scored.predict(after), labels, scored.classes, groups, group_names)


@dataclass(frozen=True)
class MarginalEffect:
    """What one edit does on top of those before it."""

    corrected: int
    newly_wrong: int
    changed: int
    """Rows whose prediction it changes, right or not."""


def marginal_effects(
    recipe: Recipe, labels: Int[np.ndarray, " rows"], predict: Callable[[Recipe], Int[np.ndarray, " rows"]]
) -> tuple[MarginalEffect | None, ...]:
    """For each step of a recipe that is done: what it adds to those before it. None where it is switched off or changes names only.

    Args:
        predict: predicted class of every row under a recipe.
    """
    found: list[MarginalEffect | None] = []
    done = Recipe()
    before = predict(done)
    for step in recipe.steps[: recipe.position]:
        if not step.enabled or isinstance(step.edit, NameEdit):
            found.append(None)
            continue
        done = done.append(step.edit)
        after = predict(done)
        right_before, right_after = (labels >= 0) & (before == labels), (labels >= 0) & (after == labels)
        counts = (right_after & ~right_before, right_before & ~right_after, before != after)
        found.append(MarginalEffect(*(int(rows.sum()) for rows in counts)))
        before = after
    return tuple(found)


def compare_predictions(
    before: Int[np.ndarray, " rows"],
    after: Int[np.ndarray, " rows"],
    labels: Int[np.ndarray, " rows"],
    classes: Sequence[str],
    groups: Int[np.ndarray, " rows"] | None = None,
    group_names: Sequence[str] | None = None,
) -> EditEffect:
    """The effect, from predicted classes of the same rows; see `measure_recipe`."""
    labels = np.asarray(labels)
    groups = np.full(len(labels), -1) if groups is None else np.asarray(groups)
    if not before.shape == after.shape == labels.shape == groups.shape:
        raise MismatchError(
            f"{len(before)} and {len(after)} predictions, {len(labels)} labels and {len(groups)} groups are not about the same rows."
        )
    labelled = labels >= 0
    if not labelled.any():
        raise InvalidInputError("No row has a label: an edit's effect cannot be measured. Use a labelled embedding set.")
    if labels.max() >= len(classes):
        raise InvalidInputError(f"Label {labels.max()} is not a class; the model's {len(classes)} classes count from 0.")
    group_count = max(int(groups.max(initial=-1)) + 1, len(group_names or ()))
    shown_groups = list(group_names or ()) + [f"group {index}" for index in range(len(group_names or ()), group_count)]
    right_before, right_after = labelled & (before == labels), labelled & (after == labels)
    return EditEffect(
        count=int(labelled.sum()),
        right_before=int(right_before.sum()),
        corrected=np.flatnonzero(right_after & ~right_before),
        newly_wrong=np.flatnonzero(right_before & ~right_after),
        changed=np.flatnonzero(before != after),
        per_class=_parts(labels, labelled, right_before, right_after, classes),
        per_group=_parts(groups, labelled, right_before, right_after, shown_groups),
    )


def _parts(
    part_of: np.ndarray, counted: np.ndarray, right_before: np.ndarray, right_after: np.ndarray, names: Sequence[str]
) -> tuple[PartEffect, ...]:
    def count(rows: np.ndarray) -> list[int]:
        return np.bincount(part_of[rows & (part_of >= 0)], minlength=len(names)).tolist()

    columns = zip(names, count(counted), count(right_before), count(right_after), strict=True)
    return tuple(PartEffect(name, total, first, second) for name, total, first, second in columns if total)
