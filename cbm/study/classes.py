"""How good the model is class by class, and which images it takes for which: from a study and a recipe to plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from cbm.core.errors import NotFoundError
from cbm.editing.recipe import NameEdit, Recipe
from cbm.metrics.classification import confusion_matrix
from cbm.study.study import Study
from cbm.ui.widgets.figures.nec import NecSeries, NecStand, NecView, levels_of, path_of


@dataclass(frozen=True)
class ClassRow:
    """One class of the table."""

    index: int
    name: str
    images: int
    """Held-out images of the class."""
    right: int
    confused_with: int | None
    """The class that most of its images are wrongly taken for; None where all are right."""
    confused: int
    """How many."""
    false_alarms: int
    """Images of other classes that are taken for this one."""

    @property
    def accuracy(self) -> float | None:
        """Share of its images that are right; None without images."""
        return self.right / self.images if self.images else None

    @property
    def precision(self) -> float | None:
        """Share of the images taken for it that are of it; None where none is."""
        said = self.right + self.false_alarms
        return self.right / said if said else None


@dataclass(frozen=True, eq=False)
class ClassReport:
    """Every class of a model under a recipe, on its labelled held-out images."""

    classes: tuple[str, ...]
    matrix: Int[np.ndarray, "classes classes"]
    """True class down, predicted class across."""
    rows: tuple[ClassRow, ...]

    @property
    def images(self) -> int:
        return int(self.matrix.sum())

    @property
    def accuracy(self) -> float | None:
        return float(np.trace(self.matrix) / self.images) if self.images else None

    @property
    def worst(self) -> ClassRow | None:
        """The class with the lowest accuracy."""
        return min((row for row in self.rows if row.images), key=lambda row: (row.right / row.images, -row.images), default=None)

    def pairs(self, count: int | None = None) -> list[tuple[int, int, int]]:
        """(true, predicted, images) of the confusions, the most frequent first."""
        wrong = self.matrix * ~np.eye(len(self.classes), dtype=bool)
        truth, predicted = np.nonzero(wrong)
        order = np.argsort(-wrong[truth, predicted], kind="stable")[:count]
        return [(int(truth[i]), int(predicted[i]), int(wrong[truth[i], predicted[i]])) for i in order]

    def most_confused(self, count: int) -> list[int]:
        """About `count` classes that take part in the most frequent confusions, such that each pair is there whole."""
        found: dict[int, None] = {}
        for truth, predicted, _ in self.pairs():
            if len(found | {truth: None, predicted: None}) > count:
                break
            found |= {truth: None, predicted: None}
        return sorted(found)


def class_report(study: Study, recipe: Recipe, only: Int[np.ndarray, " rows"] | None = None) -> ClassReport:
    """What the model makes of every class under the recipe; all zero where no image has a label.

    Args:
        only: rows to count, such as a visitor's selection; all held-out images when absent.
    """
    labelled = study.labels >= 0
    if only is not None:
        labelled &= np.isin(np.arange(study.images), only)
    predicted = study.scored.apply(recipe).argmax(axis=1)
    count = len(study.classes)
    matrix = (
        confusion_matrix(predicted[labelled], study.labels[labelled], count) if labelled.any() else np.zeros((count, count), dtype=np.int64)
    )
    matrix.setflags(write=False)
    support, said = matrix.sum(axis=1), matrix.sum(axis=0)
    right = np.diagonal(matrix)
    wrong = matrix - np.diag(right)
    rival = wrong.argmax(axis=1)
    rows = tuple(
        ClassRow(
            index,
            name,
            int(support[index]),
            int(right[index]),
            int(rival[index]) if wrong[index, rival[index]] else None,
            int(wrong[index, rival[index]]),
            int(said[index] - right[index]),
        )
        for index, name in enumerate(study.classes)
    )
    return ClassReport(study.classes, matrix, rows)


def similar_beside(matrix: Int[np.ndarray, "classes classes"]) -> list[int]:
    """An order of the classes in which those that are taken for each other stand beside each other."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(matrix) < 3:
        return list(range(len(matrix)))
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    distance = 1.0 - np.minimum(1.0, share + share.T)
    np.fill_diagonal(distance, 0.0)
    return leaves_list(linkage(squareform(distance, checks=False), "average")).tolist()


def cell_rows(study: Study, recipe: Recipe, truth: int, predicted: int) -> list[int]:
    """The images of one class that are taken for another (or for itself), the surest predictions first."""
    logits = study.scored.apply(recipe)
    rows = np.flatnonzero((study.labels == truth) & (logits.argmax(axis=1) == predicted))
    rest = logits[rows]
    margin = rest[:, predicted] - np.delete(rest, predicted, axis=1).max(axis=1, initial=-np.inf)
    return rows[np.argsort(-margin, kind="stable")].tolist()


def class_index(study: Study, name: str) -> int:
    """The class called `name`.

    Raises:
        NotFoundError: the model has no such class.
    """
    if name not in study.classes:
        known = ", ".join(study.classes[:8])
        raise NotFoundError(f"This model has no class {name!r}. Its {len(study.classes)} classes begin with {known}. Choose one below.")
    return study.classes.index(name)


def changes_predictions(recipe: Recipe) -> bool:
    return any(not isinstance(edit, NameEdit) for edit in recipe.active)


def nec_view(metrics: Mapping[str, Any], nec: float, accuracy: float | None, *, edited: bool) -> NecView:
    """The recorded path and baselines of a model, with a ring where it stands.

    Args:
        accuracy: as it is now, the visitor's edits in force; None where it cannot be measured.
    """
    series = [NecSeries("named concepts", path_of(metrics.get("nec_path")))]
    series.append(NecSeries("random directions", path_of(metrics.get("random_concepts")), "random"))
    stands = () if accuracy is None else (NecStand("this model with your edits" if edited else "this model", nec, accuracy),)
    kept = tuple(entry for entry in series if entry.points)
    last = max((entry.points[-1][0] for entry in kept), default=nec)
    # A dense head uses every concept: its ring would stand far off the path, so the level alone tells its accuracy.
    return NecView(kept, levels_of(metrics), stands if nec <= last * 1.5 else ())


def worst_group(study: Study, recipe: Recipe) -> tuple[str, float] | None:
    """Name and accuracy of the group that fares worst under the recipe; None without groups."""
    from cbm.metrics.classification import group_accuracy

    groups = None if study.groups is None else np.where(study.labels >= 0, study.groups, -1)
    if groups is None or not (groups >= 0).any():
        return None
    measured = group_accuracy(study.scored.apply(recipe).argmax(axis=1), study.labels, groups)
    return study.held_out.groups[measured.worst_group], measured.worst
