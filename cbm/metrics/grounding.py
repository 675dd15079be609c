"""Whether a model's reasons agree with the concepts that its images have, where a table says which those are.

All of it is about known concepts: of a model with discovered concepts, take those that match (`cbm.metrics.truth.match_known_concepts`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Float64, Int


@dataclass(frozen=True, eq=False)
class GlobalGrounding:
    """Per known concept, -1 … 1; NaN where one of the two rows that are compared is all zeros."""

    weights: Float64[np.ndarray, " known"]
    """CGIM1: weights per class against how often images of each class have the concept."""
    activations: Float64[np.ndarray, " known"]
    """CGIM2: mean activation on the rightly predicted images of each class, against the same."""
    contributions: Float64[np.ndarray, " known"]
    """CGIM3: weight × mean activation, against the same."""

    @property
    def means(self) -> tuple[float, float, float]:
        """CGIM1, CGIM2 and CGIM3 over the concepts that have them."""
        return _mean(self.weights), _mean(self.activations), _mean(self.contributions)


def global_grounding(
    activations: Float[np.ndarray, "rows known"],
    weight: Float[np.ndarray, "classes known"],
    truth: Bool[np.ndarray, "rows known"],
    labels: Int[np.ndarray, " rows"],
    predicted: Int[np.ndarray, " rows"],
) -> GlobalGrounding:
    """Concept global importance metrics (CGIM1-3; arXiv 2501.19271): cosines, over classes, of importance and presence.

    With V [known, classes] the share of a class's images that have a concept, θ the weights and Ū the mean activation on the rightly
    predicted images of a class, they are cos(θ_j, V_j), cos(Ū_j, V_j) and cos((θ ∘ Ū)_j, V_j) of every concept j.

    Traps: V is never negative and the cosine is not centred, so that a constant row scores high; a sparse head has few non-zero weights per
    concept, which lowers the first where several classes share a concept; a class without images, or for the last two without a right
    prediction, is left out of the cosine.
    """
    classes = len(weight)
    share, counts = _class_means(truth.astype(np.float64), labels, classes)
    right = predicted == labels
    mean_activation, right_counts = _class_means(activations[right].astype(np.float64), labels[right], classes)
    seen, recognised = counts > 0, (counts > 0) & (right_counts > 0)
    theta = weight.astype(np.float64)
    return GlobalGrounding(
        weights=_column_cosines(theta[seen], share[seen]),
        activations=_column_cosines(mean_activation[recognised], share[recognised]),
        contributions=_column_cosines((theta * mean_activation)[recognised], share[recognised]),
    )


def concept_existence(
    activations: Float[np.ndarray, "rows known"],
    weight: Float[np.ndarray, "classes known"],
    truth: Bool[np.ndarray, "rows known"],
    predicted: Int[np.ndarray, " rows"],
    top: int = 3,
) -> float:
    """CEM_l: share of the `top` concepts that support a prediction most which the image really has (arXiv 2501.19271).

    Concepts are ranked by weight × activation for the predicted class. Only positive contributions support it, so an image with fewer
    of them counts with those it has; one with none does not count. NaN where that leaves no image.

    Trap: read it beside `truth.mean()`, which is what concepts picked at random score.
    """
    contributions = activations * weight[predicted]
    top = min(top, contributions.shape[1])
    order = np.argsort(-contributions, axis=1, kind="stable")[:, :top]
    supports = np.take_along_axis(contributions, order, axis=1) > 0
    counts = supports.sum(axis=1)
    present = (np.take_along_axis(truth, order, axis=1) & supports).sum(axis=1)
    return float(np.mean(present[counts > 0] / counts[counts > 0])) if counts.any() else float("nan")


def _class_means(
    values: Float64[np.ndarray, "rows known"], labels: Int[np.ndarray, " rows"], classes: int
) -> tuple[Float64[np.ndarray, "classes known"], Int[np.ndarray, " classes"]]:
    """Mean row of every class (zeros where it has none), with the number of its rows; label -1 is of no class."""
    rows = np.flatnonzero(labels >= 0)
    members = scipy.sparse.csr_matrix((np.ones(len(rows)), (labels[rows], rows)), shape=(classes, len(labels)))
    counts = np.bincount(labels[rows], minlength=classes)
    return np.asarray(members @ values) / np.maximum(counts, 1)[:, None], counts


def _column_cosines(first: Float64[np.ndarray, "classes known"], second: Float64[np.ndarray, "classes known"]) -> np.ndarray:
    lengths = np.linalg.norm(first, axis=0) * np.linalg.norm(second, axis=0)
    return np.divide((first * second).sum(axis=0), lengths, out=np.full(len(lengths), np.nan), where=lengths > 0)


def _mean(values: Float64[np.ndarray, " known"]) -> float:
    measured = values[~np.isnan(values)]
    return float(measured.mean()) if len(measured) else float("nan")
