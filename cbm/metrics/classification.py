"""Accuracy and its companions, and how many concepts a linear head uses; each defined once, here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from cbm.core.codes import Codes

STANDARD_NECS = (5, 10, 15, 20, 25, 30)
"""Targets over which ANEC averages (VLG-CBM, section 4)."""


@dataclass(frozen=True)
class GroupAccuracy:
    """Accuracy by group; groups without rows are counted but take no part in the worst."""

    accuracies: Float[np.ndarray, " groups"]
    """Share of right predictions; NaN where a group has no rows."""
    counts: Int[np.ndarray, " groups"]
    worst_group: int
    """Group with the lowest accuracy; the lowest number among equals."""

    @property
    def worst(self) -> float:
        return float(self.accuracies[self.worst_group])

    @property
    def mean(self) -> float:
        """Unweighted mean over the groups that have rows."""
        return float(np.nanmean(self.accuracies))


def accuracy(predictions: Int[np.ndarray, " rows"], labels: Int[np.ndarray, " rows"]) -> float:
    """Share of rows whose prediction is the label; 0 … 1."""
    predictions, labels = _pair(predictions, labels)
    return float(np.mean(predictions == labels))


def confusion_matrix(
    predictions: Int[np.ndarray, " rows"], labels: Int[np.ndarray, " rows"], classes: int
) -> Int[np.ndarray, "classes classes"]:
    """Row counts, true class down and predicted class across; the sum is the number of rows."""
    predictions, labels = _pair(predictions, labels)
    return np.bincount(labels * classes + predictions, minlength=classes * classes).reshape(classes, classes)


def per_class_accuracy(
    predictions: Int[np.ndarray, " rows"], labels: Int[np.ndarray, " rows"], classes: int
) -> Float[np.ndarray, " classes"]:
    """Recall of every class; NaN for a class without rows."""
    return group_accuracy(predictions, labels, labels, classes).accuracies


def group_accuracy(
    predictions: Int[np.ndarray, " rows"],
    labels: Int[np.ndarray, " rows"],
    groups: Int[np.ndarray, " rows"],
    group_count: int | None = None,
) -> GroupAccuracy:
    """Accuracy of every group and of the worst (Sagawa et al. 2020); rows with group -1 belong to none."""
    predictions, labels = _pair(predictions, labels)
    groups = np.asarray(groups)
    grouped = groups >= 0
    if not grouped.any():
        raise ValueError("no row belongs to a group: worst-group accuracy has nothing to measure")
    total = int(groups.max()) + 1 if group_count is None else group_count
    counts = np.bincount(groups[grouped], minlength=total)
    right = np.bincount(groups[grouped], weights=(predictions == labels)[grouped], minlength=total)
    accuracies = np.divide(right, counts, out=np.full(total, np.nan), where=counts > 0)
    return GroupAccuracy(accuracies, counts, int(np.nanargmin(accuracies)))


def number_of_effective_concepts(weight: Float[np.ndarray, "classes concepts"]) -> float:
    """NEC: mean number of non-zero weights per class (VLG-CBM, section 4). Exact zeros: our solvers write them, no threshold is needed."""
    return float(np.count_nonzero(weight) / len(weight))


def number_of_contributing_concepts(weight: Float[np.ndarray, "classes concepts"], codes: Codes, share: float = 0.95) -> float:
    """NCC: mean over images and classes of the fewest concepts whose |activation × weight| reach `share` of their sum (M-CBM).

    At share 1 it counts the non-zero contributions, which is NEC where every concept is active in every image and less where codes
    are sparse. A pair of image and class without any contribution counts 0. Memory: a block of rows × k × classes.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], not {share}")
    classes = len(weight)
    by_concept = np.ascontiguousarray(weight.T)
    rows_per_block = max(1, 4_000_000 // max(1, codes.indices.shape[1] * classes))
    total = 0
    for start in range(0, len(codes), rows_per_block):
        block = codes[start : start + rows_per_block]
        sizes = np.abs(by_concept[block.indices] * block.values[:, :, None])
        sizes = -np.sort(-sizes, axis=1)
        covered = np.cumsum(sizes, axis=1, dtype=np.float64)
        # A relative slack, so that rounding in the running sum never asks for one concept more.
        needed = share * covered[:, -1:, :] * (1 - 1e-9)
        total += int(((covered - sizes < needed) & (sizes > 0)).sum())
    return total / (len(codes) * classes)


def average_accuracy_over_necs(accuracies: Sequence[float | None]) -> float | None:
    """ANEC-avg: mean accuracy over the standard targets; None where one was not reached, as a mean over fewer is another number."""
    reached = [value for value in accuracies if value is not None]
    return float(np.mean(reached)) if reached and len(reached) == len(accuracies) else None


def _pair(predictions: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.shape != labels.shape or predictions.ndim != 1 or not len(labels):
        raise ValueError(f"predictions {predictions.shape} and labels {labels.shape} must be one class number each for the same rows")
    return predictions, labels
