"""Confusions between classes, by class and by pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int

from cbm.core.errors import InvalidInputError
from cbm.metrics.classification import confusion_matrix


@dataclass(frozen=True)
class ClassRow:
    """One class in figures."""

    index: int
    name: str
    images: int
    """Images of the class."""
    right: int
    confused_with: int | None
    """The class that most of its images are wrongly predicted as; None where all are right."""
    confused: int
    """How many."""
    false_alarms: int
    """Images of other classes that are predicted as this one."""

    @property
    def accuracy(self) -> float | None:
        """Share of its images that are right; None without images."""
        return self.right / self.images if self.images else None

    @property
    def precision(self) -> float | None:
        """Precision: the share of the images predicted as this class that belong to it; None where none is."""
        said = self.right + self.false_alarms
        return self.right / said if said else None


@dataclass(frozen=True, eq=False)
class Confusions:
    """Counts of (true class, predicted class).

    >>> found = count_confusions(np.array([0, 1, 1, 2]), np.array([0, 0, 1, -1]), ("cat", "dog", "bird"))
    >>> found.matrix.tolist(), found.accuracy
    ([[1, 1, 0], [0, 1, 0], [0, 0, 0]], 0.6666666666666666)
    >>> found.named_pairs()
    [('cat', 'dog', 1)]
    """

    classes: tuple[str, ...]
    matrix: Int[np.ndarray, "classes classes"]
    """True class down, predicted class across."""

    @property
    def images(self) -> int:
        """Images that have a label."""
        return int(self.matrix.sum())

    @property
    def accuracy(self) -> float | None:
        """Share of right predictions; None without images."""
        return float(np.trace(self.matrix) / self.images) if self.images else None

    @property
    def per_class(self) -> Float64[np.ndarray, " classes"]:
        """Recall of every class; NaN for a class without images."""
        counts = self.matrix.sum(axis=1)
        return np.divide(np.diag(self.matrix), counts, out=np.full(len(counts), np.nan), where=counts > 0)

    @cached_property
    def rows(self) -> tuple[ClassRow, ...]:
        """Every class in figures, in the model's order."""
        support, said, right = self.matrix.sum(axis=1), self.matrix.sum(axis=0), np.diagonal(self.matrix)
        wrong = self.matrix - np.diag(right)
        rival = wrong.argmax(axis=1)
        return tuple(
            ClassRow(
                index,
                name,
                int(support[index]),
                int(right[index]),
                int(rival[index]) if wrong[index, rival[index]] else None,
                int(wrong[index, rival[index]]),
                int(said[index] - right[index]),
            )
            for index, name in enumerate(self.classes)
        )

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

    def named_pairs(self, count: int | None = None) -> list[tuple[str, str, int]]:
        """`pairs`, by the names of the classes."""
        return [(self.classes[truth], self.classes[predicted], images) for truth, predicted, images in self.pairs(count)]

    def most_confused(self, count: int) -> list[int]:
        """About `count` classes that take part in the most frequent confusions, such that each pair is there whole."""
        found: dict[int, None] = {}
        for truth, predicted, _ in self.pairs():
            if len(found | {truth: None, predicted: None}) > count:
                break
            found |= {truth: None, predicted: None}
        return sorted(found)


def count_confusions(predicted: Int[np.ndarray, " images"], labels: Int[np.ndarray, " images"], classes: Sequence[str]) -> Confusions:
    """Count the images that have a label; all counts are zero where none has.

    Args:
        labels: class of each image, −1 where unknown.

    Raises:
        InvalidInputError: a label is not a class.
    """
    labels = np.asarray(labels)
    if labels.max(initial=-1) >= len(classes):
        raise InvalidInputError(f"Label {labels.max()} is not a class; the model's {len(classes)} classes count from 0.")
    labelled = labels >= 0
    shape = (len(classes), len(classes))
    matrix = confusion_matrix(predicted[labelled], labels[labelled], len(classes)) if labelled.any() else np.zeros(shape, np.int64)
    matrix.setflags(write=False)
    return Confusions(tuple(classes), matrix)


def similar_beside(matrix: Int[np.ndarray, "classes classes"]) -> list[int]:
    """An order of the classes that puts those that are confused with each other side by side.

    >>> similar_beside(np.array([[8, 0, 2], [0, 10, 0], [3, 0, 7]]))
    [1, 0, 2]
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(matrix) < 3:
        return list(range(len(matrix)))
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    distance = 1.0 - np.minimum(1.0, share + share.T)
    np.fill_diagonal(distance, 0.0)
    return leaves_list(linkage(squareform(distance, checks=False), "average")).tolist()
