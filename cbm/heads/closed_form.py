"""Heads without training: ridge regression on the labels, or the similarity of the texts of classes and concepts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import numpy as np
from jaxtyping import Float64

from cbm.core.errors import InvalidInputError
from cbm.core.run import Run
from cbm.core.settings import Range
from cbm.heads.part import HeadPart, HeadRows

if TYPE_CHECKING:
    from scipy import sparse

    from cbm.heads.base import LinearHead


@dataclass(frozen=True)
class ClosedFormSettings:
    weights_from: Literal["labels", "texts"] = "labels"
    """labels: ridge regression on the labels of the training rows. texts: the similarity of the text embeddings of a class and a concept,
    without any label; for concepts that have names from a vocabulary."""
    ridge_shares: Annotated[tuple[float, ...], Range(0)] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    """Strengths of the ridge to choose from, as shares of the largest eigenvalue of the centred activations. The one with the least squared
    error on rows left out one by one is taken, which has a closed form too."""


class Spectrum(NamedTuple):
    """Centred activations as `U √d Vᵀ`, without V."""

    basis: Float64[np.ndarray, "rows rank"]
    """U."""
    values: Float64[np.ndarray, " rank"]
    """d, the eigenvalues of XᵀX, all above zero."""
    mean: Float64[np.ndarray, " concepts"]


class LeftOut(NamedTuple):
    """Predictions of each row by the ridge of all others."""

    predictions: Float64[np.ndarray, "rows classes"]
    squared_error: float
    """Mean over rows and classes."""


def fit(rows: HeadRows, settings: ClosedFormSettings, run: Run) -> LinearHead:
    from cbm.heads.base import as_csr, checked_labels

    matrix = as_csr(rows.codes)
    labels = checked_labels(rows.labels, matrix.shape[0], rows.classes)
    return _texts(rows, matrix, labels) if settings.weights_from == "texts" else _ridge(rows.classes, matrix, labels, settings, run)


def _ridge(classes: int, matrix: sparse.csr_matrix, labels: np.ndarray, settings: ClosedFormSettings, run: Run) -> LinearHead:
    """`W = (XᵀX + λI)⁻¹ XᵀY` of centred activations X and one-hot labels Y, times one factor for all classes."""
    from cbm.heads.base import LinearHead
    from cbm.heads.dense_probe import spread_over_classes

    present, compact = np.unique(labels, return_inverse=True)
    targets = np.eye(len(present))[compact]
    found = spectrum(matrix)
    best: tuple[float, LeftOut] | None = None
    for number, share in enumerate(settings.ridge_shares):
        run.check()
        run.report(number, len(settings.ridge_shares), "ridge regression")
        strength = share * float(found.values.max(initial=1e-30))
        left = leave_one_out(found, targets, strength)
        if best is None or left.squared_error < best[1].squared_error:
            best = (strength, left)
    if best is None:
        raise InvalidInputError("The head closed-form has no strength to choose from; give at least one of --ridge-shares, such as 0.01.")
    strength, left = best
    factor = confidence(left.predictions, compact)
    weight, bias = ridge(found, matrix, targets, strength)
    full, full_bias = spread_over_classes(factor * weight, factor * bias, present, classes)
    details = {
        "solver": "ridge",
        "strength": strength,
        "left_out_accuracy": float((left.predictions.argmax(axis=1) == compact).mean()),
        "factor": factor,
        **asdict(settings),
    }
    return LinearHead(full.astype(np.float32), full_bias.astype(np.float32), "dense", details)


def spectrum(matrix: sparse.csr_matrix) -> Spectrum:
    """By the smaller of the two Gram matrices, so that sparse activations never become dense."""
    import scipy.linalg

    matrix = matrix.astype(np.float64)
    mean = np.asarray(matrix.mean(axis=0)).ravel()
    wide = matrix.shape[0] <= matrix.shape[1]
    gram = (matrix @ matrix.T if wide else matrix.T @ matrix).toarray()
    if wide:
        along = matrix @ mean
        gram += mean @ mean - along[:, None] - along[None, :]
    else:
        gram -= matrix.shape[0] * np.outer(mean, mean)
    values, vectors = scipy.linalg.eigh(gram)
    # Centring takes one dimension away, which rounding brings back as a tiny eigenvalue.
    kept = values > 1e-10 * max(float(values.max(initial=0.0)), 1e-300)
    values, vectors = values[kept], vectors[:, kept]
    return Spectrum(vectors if wide else (matrix @ vectors - mean @ vectors) / np.sqrt(values), values, mean)


def leave_one_out(found: Spectrum, targets: Float64[np.ndarray, "rows classes"], strength: float) -> LeftOut:
    """`y - (y - ŷ) / (1 - h)` with the diagonal h of the hat matrix, the bias included: exact, at the cost of one fit."""
    shrunk = found.values / (found.values + strength)
    centred = targets - targets.mean(axis=0)
    fitted = targets.mean(axis=0) + found.basis @ (shrunk[:, None] * (found.basis.T @ centred))
    hat = 1 / len(targets) + np.square(found.basis) @ shrunk
    errors = (targets - fitted) / np.maximum(1 - hat, 1e-9)[:, None]
    return LeftOut(targets - errors, float(np.square(errors).mean()))


def ridge(
    found: Spectrum, matrix: sparse.csr_matrix, targets: Float64[np.ndarray, "rows classes"], strength: float
) -> tuple[Float64[np.ndarray, "classes concepts"], Float64[np.ndarray, " classes"]]:
    """Weights and bias of raw activations; the bias has no penalty."""
    centred = targets - targets.mean(axis=0)
    per_row = found.basis @ ((found.basis.T @ centred) / (found.values + strength)[:, None])
    weight = (matrix.T.astype(np.float64) @ per_row - np.outer(found.mean, per_row.sum(axis=0))).T
    return weight, targets.mean(axis=0) - weight @ found.mean


def confidence(scores: Float64[np.ndarray, "rows classes"], labels: np.ndarray) -> float:
    """The factor from 0.01 to 1,000 with which the soft-max of `scores` has the least cross-entropy. It changes no decision."""
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    own = scores[np.arange(len(labels)), labels]

    def cross_entropy(exponent: float) -> float:
        factor = np.exp(exponent)
        return float((logsumexp(factor * scores, axis=1) - factor * own).mean())

    return float(np.exp(minimize_scalar(cross_entropy, bounds=(np.log(0.01), np.log(1000)), method="bounded").x))


def _texts(rows: HeadRows, matrix: sparse.csr_matrix, labels: np.ndarray) -> LinearHead:
    """`W = U Tᵀ` on activations of deviation 1, where U and T are the centred unit text embeddings of classes and concepts."""
    from cbm.core.arrays import unit_rows
    from cbm.heads.base import LinearHead
    from cbm.heads.scaling import Scaling

    if rows.class_texts is None or rows.concept_texts is None:
        what = "class names" if rows.class_texts is None else "concepts"
        raise InvalidInputError(
            f"There are no text embeddings of the {what}, which weights from texts are made of; name the concepts from a vocabulary of the "
            "same backbone, or give --weights-from labels."
        )
    named = rows.concept_texts.any(axis=1)
    concepts = np.zeros_like(rows.concept_texts)
    concepts[named] = unit_rows(rows.concept_texts[named] - rows.concept_texts[named].mean(axis=0))
    weight = unit_rows(rows.class_texts - rows.class_texts.mean(axis=0)) @ concepts.T
    raw, bias = Scaling.standard(matrix).fold(weight, np.zeros(rows.classes))
    factor = confidence(np.asarray(matrix @ raw.T) + bias, labels)
    details = {"solver": "texts", "concepts_with_text": int(named.sum()), "factor": factor, "weights_from": "texts"}
    return LinearHead((factor * raw).astype(np.float32), (factor * bias).astype(np.float32), "dense", details)


PART = HeadPart(
    "closed-form",
    "No training: ridge regression in closed form, or, without labels, the similarity of the texts of classes and concepts.",
    ClosedFormSettings,
    label="Closed form",
    fit=fit,
    dense=True,
    bound=True,
)
