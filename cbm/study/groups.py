"""Accuracy by group of images, and of the worst group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from cbm.metrics.classification import group_accuracy


@dataclass(frozen=True)
class Group:
    """One group of images."""

    index: int
    name: str
    images: int
    """Images of the group that have a label."""
    accuracy: float


@dataclass(frozen=True)
class Groups:
    """Every group that has labelled images.

    >>> found = measure_groups(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]), np.array([0, 0, 1, 1]), ["land", "sea"])
    >>> found.worst
    Group(index=1, name='sea', images=2, accuracy=0.5)
    >>> found.mean
    0.75
    """

    groups: tuple[Group, ...]

    @property
    def worst(self) -> Group:
        """The group of the lowest accuracy (Sagawa et al. 2020); the first among equals."""
        return min(self.groups, key=lambda group: group.accuracy)

    @property
    def mean(self) -> float:
        """Mean accuracy of the groups, each counted once."""
        return float(np.mean([group.accuracy for group in self.groups]))


def measure_groups(
    predicted: Int[np.ndarray, " images"],
    labels: Int[np.ndarray, " images"],
    groups: Int[np.ndarray, " images"] | None,
    names: Sequence[str],
) -> Groups | None:
    """Accuracy by group; None where no image has both a label and a group.

    Args:
        labels: class of each image, −1 where unknown.
        groups: group of each image, −1 where it has none; None where there are no groups.
    """
    judged = None if groups is None else np.where(labels >= 0, groups, -1)
    if judged is None or not (judged >= 0).any():
        return None
    found = group_accuracy(predicted, labels, judged, max(len(names), int(judged.max()) + 1))
    shown = [*names, *(f"group {index}" for index in range(len(names), len(found.counts)))]
    return Groups(
        tuple(
            Group(index, shown[index], int(count), float(accuracy))
            for index, (count, accuracy) in enumerate(zip(found.counts, found.accuracies, strict=True))
            if count
        )
    )
