"""Leakage: activations that know more of the class, or of other concepts, than the concepts themselves do.

Mutual information is that of counts, in nats, corrected for the size of the sample, so that chance alone does not read as leakage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from cbm.core.codes import Codes

BINS = 8
"""Values that a continuous activation is cut into."""


@dataclass(frozen=True, eq=False)
class Leakage:
    """Shares of an entropy, 0 (none) … 1."""

    task: Float64[np.ndarray, " known"]
    """CTL of every concept: what its activation says of the class beyond what its truth says, as a share of the class's entropy."""
    between: Float64[np.ndarray, "known known"]
    """ICL: what the activation of the row's concept says of the truth of the column's beyond what its own truth says, as a share of the
    column's entropy; NaN on the diagonal and where the column's concept does not vary."""

    @property
    def mean_task(self) -> float:
        return float(self.task.mean())

    @property
    def mean_between(self) -> float:
        """NaN for a single concept."""
        values = self.between[~np.isnan(self.between)]
        return float(values.mean()) if len(values) else float("nan")


@dataclass(frozen=True)
class PermutedNames:
    """Accuracy of a head whose concepts were exchanged."""

    accuracies: tuple[float, ...]
    """Of each repetition."""

    @property
    def mean(self) -> float:
        return float(np.mean(self.accuracies))

    @property
    def deviation(self) -> float:
        """Standard deviation over the repetitions."""
        return float(np.std(self.accuracies))


def leakage(
    activations: Float[np.ndarray, "rows known"],
    truth: Bool[np.ndarray, "rows known"],
    labels: Int[np.ndarray, " rows"],
    bins: int = BINS,
) -> Leakage:
    """Concepts-task leakage and interconcept leakage of known concepts (CTL, ICL; Parisini et al. 2025, arXiv 2504.14094).

    CTL_j = max(0, I(ĉ_j; y) - I(c_j; y)) / H(y) and ICL_ij = max(0, I(ĉ_i; c_j) - I(c_i; c_j)) / H(c_j), where ĉ are activations and c the
    truth. The paper estimates continuous information by neighbours; here activations are cut into bins of equal counts and the
    Miller-Madow term is subtracted, which needs no tuning.

    Traps: without the correction, an activation with more values than the truth leaks by chance, and the more the fewer the images; an
    activation that is worse than the truth hides leakage, as the difference cannot be negative: read both beside the concept's AUC.

    Raises:
        ValueError: the labels are all the same, so that there is nothing to leak.
    """
    known = truth.shape[1]
    class_entropy = entropy(labels)
    if class_entropy <= 0:
        raise ValueError("all images are of one class: their concepts have nothing to leak")
    cut = [discretise(activations[:, concept], bins) for concept in range(known)]
    bits = truth.astype(np.int64)
    gain = [mutual_information(cut[j], labels) - mutual_information(bits[:, j], labels) for j in range(known)]
    between = np.full((known, known), np.nan)
    for j in range(known):
        own_entropy = entropy(bits[:, j])
        for i in range(known):
            if i != j and own_entropy > 0:
                more = mutual_information(cut[i], bits[:, j]) - mutual_information(bits[:, i], bits[:, j])
                between[i, j] = max(0.0, more) / own_entropy
    return Leakage(np.maximum(0, np.array(gain, np.float64)) / class_entropy, between)


def entropy(values: Int[np.ndarray, " rows"]) -> float:
    """Entropy of counts in nats, without correction.

    >>> round(entropy(np.array([0, 0, 1, 1])), 6)
    0.693147
    """
    return _entropy(np.unique(values, return_counts=True)[1])


def mutual_information(first: Int[np.ndarray, " rows"], second: Int[np.ndarray, " rows"], *, corrected: bool = True) -> float:
    """Mutual information of two columns of whole numbers, 0 and above, in nats.

    Args:
        corrected: subtract the Miller-Madow bias, (cells that occur - rows that occur - columns that occur + 1) / 2n; about 0 for
            independent columns then, sometimes slightly below.
    """
    width = int(second.max()) + 1
    cells = np.bincount(first * width + second, minlength=(int(first.max()) + 1) * width).reshape(-1, width)
    joint, rows, columns = (counts[counts > 0] for counts in (cells.ravel(), cells.sum(axis=1), cells.sum(axis=0)))
    plain = _entropy(rows) + _entropy(columns) - _entropy(joint)
    return plain - ((len(joint) - len(rows) - len(columns) + 1) / (2 * len(first)) if corrected else 0.0)


def discretise(values: Float[np.ndarray, " rows"], bins: int = BINS) -> Int[np.ndarray, " rows"]:
    """Numbers of bins: each value its own where there are few; otherwise zero alone, and bins of equal counts for the rest.

    Zero is apart because sparse activations are zero for most images, so that quantiles of all of them would be one bin.
    """
    distinct, places = np.unique(values, return_inverse=True)
    if len(distinct) <= bins:
        return places.reshape(-1).astype(np.int64)
    silent = values == 0
    edges = np.unique(np.quantile(values[~silent], np.linspace(0, 1, bins - int(silent.any()) + 1)[1:-1]))
    return np.where(silent, 0, 1 + np.searchsorted(edges, values, side="right")).astype(np.int64)


def accuracy_with_permuted_names(
    codes: Codes,
    weight: Float[np.ndarray, "classes concepts"],
    bias: Float[np.ndarray, " classes"],
    labels: Int[np.ndarray, " rows"],
    seeds: Sequence[int] = (0, 1, 2),
) -> PermutedNames:
    """Accuracy when the head takes each concept for another, drawn at random among those that have a weight.

    A head reads names only through its columns, so a model whose accuracy hardly falls does not need the concepts to be what they
    are called: a bias, or how active an image is in all, decides. Chance is the share of the commonest class. Trap: a head that was
    *refitted* on permuted concepts is as accurate as before, which says nothing; here the weights are as they were.
    """
    rows = codes.to_csr()
    used = np.flatnonzero(np.any(weight != 0, axis=0))
    found = []
    for seed in seeds:
        exchanged = weight.copy()
        exchanged[:, used] = weight[:, np.random.default_rng(seed).permutation(used)]
        found.append(float(np.mean(np.argmax(rows @ exchanged.T + bias, axis=1) == labels)))
    return PermutedNames(tuple(found))


def _entropy(counts: Int[np.ndarray, " values"]) -> float:
    shares = counts / counts.sum()
    return float(-np.sum(shares * np.log(shares)))
