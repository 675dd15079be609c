"""Accuracy and its companions, and how many concepts a linear head uses; each defined once, here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int

from cbm.core.codes import Codes

STANDARD_NECS = (5, 10, 15, 20, 25, 30)
"""Targets over which ANEC averages (VLG-CBM, section 4)."""
_SLACK = 1e-9
"""Relative, so that rounding in a running sum never asks for one concept more."""
_BLOCK_VALUES = 4_000_000
_SORTED_APART = 8


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
    are sparse. A pair of image and class without any contribution counts 0. Nothing is as large as images × classes × concepts: a
    sparse head is taken class by class, others in blocks of images.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], not {share}")
    if not len(codes):
        return 0.0
    columns = codes.to_csr().tocsc()
    contributions = int(np.diff(columns.indptr) @ np.count_nonzero(weight, axis=0))
    # Sorting them apart costs several times as much for each as sorting the rows of a block.
    apart = contributions * _SORTED_APART < codes.indices.size * len(weight)
    total = _contributing_by_class(weight, columns, share) if apart else _contributing_by_block(weight, codes, share)
    return total / (len(codes) * len(weight))


def _contributing_by_class(weight: Float[np.ndarray, "classes concepts"], columns: scipy.sparse.csc_matrix, share: float) -> int:
    total = 0
    for class_weight in weight:
        used = np.flatnonzero(class_weight)
        part = columns[:, used]
        sizes = np.abs(part.data * np.repeat(class_weight[used], np.diff(part.indptr)))
        order = np.lexsort((-sizes, part.indices))
        rows, sizes = part.indices[order], sizes[order].astype(np.float64)
        if not len(rows):
            continue
        first = np.flatnonzero(np.diff(rows, prepend=-1))
        lengths = np.diff(np.append(first, len(rows)))
        running = np.cumsum(sizes)
        before = np.repeat(running[first] - sizes[first], lengths)
        whole = np.repeat(np.add.reduceat(sizes, first), lengths)
        total += int((running - before - sizes < share * whole * (1 - _SLACK)).sum())
    return total


def _contributing_by_block(weight: Float[np.ndarray, "classes concepts"], codes: Codes, share: float) -> int:
    by_concept = np.ascontiguousarray(weight.T)
    rows_per_block = max(1, _BLOCK_VALUES // max(1, codes.indices.shape[1] * len(weight)))
    total = 0
    for start in range(0, len(codes), rows_per_block):
        block = codes[start : start + rows_per_block]
        sizes = np.abs(by_concept[block.indices] * block.values[:, :, None])
        sizes = -np.sort(-sizes, axis=1)
        covered = np.cumsum(sizes, axis=1, dtype=np.float64)
        needed = share * covered[:, -1:, :] * (1 - _SLACK)
        total += int(((covered - sizes < needed) & (sizes > 0)).sum())
    return total


def concepts_used(weight: Float[np.ndarray, "classes concepts"]) -> int:
    """Different concepts with a weight for any class: what a reader of the model has to know, where NEC counts those of one class."""
    return int(np.any(weight != 0, axis=0).sum())


def concept_efficient_accuracy(accuracy: float, used: int, classes: int, beta: float = 0.25) -> float:
    """CEA: accuracy / (log_k m)^β with m concepts in use and k = ⌈log2 classes⌉ (PS-CBM): accuracy bought with concepts counts less.

    k yes-no concepts could tell the classes apart. Ours: k is at least 2, as the base 1 of two classes has no logarithm, and fewer than k
    concepts count as k, as continuous activations can do with fewer and the figure would pass the accuracy. Trap: m must be the concepts
    in use, not the size of the dictionary, or an unused latent costs as much as a used one.

    Args:
        used: different concepts with a weight, see `concepts_used`.
    """
    least = max(2, math.ceil(math.log2(max(classes, 2))))
    return accuracy / (math.log(max(used, least)) / math.log(least)) ** beta


def completeness(accuracy: float, probe_accuracy: float, chance: float = 0.0) -> float:
    """Accuracy through the concepts as a share of that of a linear probe on the same embeddings of the same images; it may exceed 1.

    Args:
        chance: accuracy without any knowledge; it is subtracted from both (Yeh et al. 2020, definition 3.1). 0 is the plain quotient.

    Raises:
        ValueError: the probe is no better than chance.
    """
    if probe_accuracy <= chance:
        raise ValueError(f"a probe with accuracy {probe_accuracy} is no better than chance ({chance}): completeness has no measure")
    return (accuracy - chance) / (probe_accuracy - chance)


def average_accuracy_over_necs(accuracies: Sequence[float | None]) -> float | None:
    """ANEC-avg: mean accuracy over the standard targets; None where one was not reached, as a mean over fewer is another number."""
    reached = [value for value in accuracies if value is not None]
    return float(np.mean(reached)) if reached and len(reached) == len(accuracies) else None


def _pair(predictions: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.shape != labels.shape or predictions.ndim != 1 or not len(labels):
        raise ValueError(f"predictions {predictions.shape} and labels {labels.shape} must be one class number each for the same rows")
    return predictions, labels
