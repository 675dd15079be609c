"""What ablating single concepts would do, for many at once, and what ablating the chosen ones does, measured. No Streamlit in here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int

from cbm.editing.effect import EditEffect, measure_recipe
from cbm.editing.recipe import AblateConcept, GlobalScope, Scope
from cbm.study.study import Study

EVERYWHERE = GlobalScope()


def situation(study: Study) -> tuple[scipy.sparse.csr_matrix, Float[np.ndarray, "classes concepts"], Float[np.ndarray, "images classes"]]:
    """Codes, weights and logits of the model as it is stored. With edits at work the weights are only a guide; what is told is measured."""
    return study.scored.codes, study.model.head.weight, study.scored.apply(study.model.recipe)


def single_fixes(
    codes: scipy.sparse.csr_matrix,
    weight: Float[np.ndarray, "classes concepts"],
    logits: Float[np.ndarray, "images classes"],
    labels: Int[np.ndarray, " images"],
    rows: Int[np.ndarray, " some"],
) -> list[tuple[int, int, float]]:
    """Row, concept and share of the wrong score, for each concept without which the model would be right about an image."""
    fixes = []
    for row in rows.tolist():
        concepts = codes.indices[codes.indptr[row] : codes.indptr[row + 1]]
        contributions = codes.data[codes.indptr[row] : codes.indptr[row + 1], None] * weight[:, concepts].T
        right = (logits[row] - contributions).argmax(axis=1) == labels[row]
        sizes = np.abs(contributions[:, logits[row].argmax()])
        fixes += [(row, int(concepts[i]), float(sizes[i] / max(sizes.sum(), 1e-12))) for i in np.flatnonzero(right & (sizes > 0))]
    return fixes


def without(
    columns: scipy.sparse.csc_matrix,
    weight: Float[np.ndarray, "classes concepts"],
    logits: Float[np.ndarray, "images classes"],
    concept: int,
) -> Float[np.ndarray, "images classes"]:
    start, stop = columns.indptr[concept : concept + 2]
    after = logits.copy()
    after[columns.indices[start:stop]] -= columns.data[start:stop, None] * weight[:, concept]
    return after


def gain(
    columns: scipy.sparse.csc_matrix,
    weight: Float[np.ndarray, "classes concepts"],
    logits: Float[np.ndarray, "images classes"],
    labels: Int[np.ndarray, " images"],
    concept: int,
) -> int:
    """Images that an ablation everywhere corrects, less those that it breaks."""
    start, stop = columns.indptr[concept : concept + 2]
    rows = columns.indices[start:stop]
    after = (logits[rows] - columns.data[start:stop, None] * weight[:, concept]).argmax(axis=1)
    return int((after == labels[rows]).sum()) - int((logits[rows].argmax(axis=1) == labels[rows]).sum())


def group_accuracy(
    logits: Float[np.ndarray, "images classes"], labels: Int[np.ndarray, " images"], groups: Int[np.ndarray, " images"]
) -> Float[np.ndarray, " groups"]:
    """Accuracy of every group; not a number where a group has no image."""
    judged = groups >= 0
    counts = np.bincount(groups[judged])
    right = np.bincount(groups[judged], weights=(logits.argmax(axis=1) == labels)[judged], minlength=len(counts))
    return np.where(counts > 0, right / np.maximum(counts, 1), np.nan)


def measure(study: Study, concepts: Sequence[int], scope: Scope = EVERYWHERE) -> EditEffect:
    """What ablating the concepts does to the held-out images, measured as on every other page."""
    stored = study.model.recipe
    recipe = stored.append(*(AblateConcept(concept, study.name(concept, stored), scope) for concept in concepts))
    return measure_recipe(study.scored, stored, recipe, study.labels, study.groups, study.held_out.groups or None)
