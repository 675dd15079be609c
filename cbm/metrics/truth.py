"""How well discovered concepts agree with known ones: the metrics that only a known-answer world, or a table of known concepts, allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int

from cbm.core.codes import Codes

DISCOVERED_ABOVE = 0.9
"""A known concept counts as discovered when its best latent separates it with an area under the ROC curve above this."""


@dataclass(frozen=True)
class TruthMatch:
    """The best latent of every known concept."""

    concepts: tuple[str, ...]
    latents: Int[np.ndarray, " known"]
    auc: Float[np.ndarray, " known"]

    @property
    def discovered(self) -> Bool[np.ndarray, " known"]:
        return self.auc > DISCOVERED_ABOVE

    @property
    def concepts_discovered(self) -> float:
        """Fraction of the known concepts whose best latent has an AUC above 0.9."""
        return float(self.discovered.mean())


def area_under_roc(codes: Codes, truth: Bool[np.ndarray, "batch known"]) -> Float[np.ndarray, "latents known"]:
    """AUC of every latent as a score for every known concept (Mann-Whitney U, ties counted half), without densifying the codes.

    A concept that no image, or every image, carries has no AUC: its column is NaN.
    """
    n_images = len(codes)
    if truth.shape[0] != n_images:
        raise ValueError(f"{n_images} codes and {truth.shape[0]} rows of truth")
    columns = codes.to_csr().tocsc()
    ranks = _midranks_of_stored_values(columns)
    stored = np.diff(columns.indptr)
    negatives = np.bincount(_column_of_each(columns)[columns.data < 0], minlength=codes.size)
    zeros = n_images - stored
    rank_of_zero = negatives + (zeros + 1) / 2

    present = truth.astype(np.float64)
    positives = present.sum(axis=0)
    shape = columns.shape
    rank_sum = scipy.sparse.csc_matrix((ranks, columns.indices, columns.indptr), shape=shape).T @ present
    stored_positives = scipy.sparse.csc_matrix((np.ones_like(ranks), columns.indices, columns.indptr), shape=shape).T @ present
    rank_sum += rank_of_zero[:, None] * (positives[None, :] - stored_positives)
    pairs = positives * (n_images - positives)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(pairs > 0, (rank_sum - positives * (positives + 1) / 2) / pairs, np.nan)


def match_known_concepts(codes: Codes, truth: Bool[np.ndarray, "batch known"], names: Sequence[str]) -> TruthMatch:
    """The latent that best separates each known concept; concepts that never vary in these images are left out."""
    auc = area_under_roc(codes, truth)
    varying = ~np.isnan(auc).any(axis=0)
    auc = auc[:, varying]
    best = auc.argmax(axis=0)
    return TruthMatch(
        concepts=tuple(name for name, keep in zip(names, varying, strict=True) if keep),
        latents=best,
        auc=auc[best, np.arange(auc.shape[1])],
    )


def names_right(match: TruthMatch, latent_names: Sequence[str], accepted: Sequence[Sequence[str]]) -> float:
    """Fraction of the discovered concepts whose best latent has one of the words accepted for that concept.

    Args:
        latent_names: the top-1 name of every latent.
        accepted: the words that name each of `match.concepts`.
    """
    right = [
        latent_names[latent].casefold() in {word.casefold() for word in words}
        for latent, words, discovered in zip(match.latents, accepted, match.discovered, strict=True)
        if discovered
    ]
    return float(np.mean(right)) if right else 0.0


def peak_inside(
    heat_maps: Float[np.ndarray, "images rows columns"], masks: Bool[np.ndarray, "images height width"]
) -> Bool[np.ndarray, " images"]:
    """Whether the centre of each heat-map's hottest cell lies in the mask: the pointing game (Zhang et al. 2018, Excitation Backprop)."""
    n_images, rows, columns = heat_maps.shape
    height, width = masks.shape[1:]
    row, column = np.unravel_index(heat_maps.reshape(n_images, -1).argmax(axis=1), (rows, columns))
    y = ((row + 0.5) * height / rows).astype(int)
    x = ((column + 0.5) * width / columns).astype(int)
    return masks[np.arange(n_images), y, x]


def _column_of_each(columns: scipy.sparse.csc_matrix) -> Int[np.ndarray, " stored"]:
    return np.repeat(np.arange(columns.shape[1]), np.diff(columns.indptr))


def _midranks_of_stored_values(columns: scipy.sparse.csc_matrix) -> Float[np.ndarray, " stored"]:
    """Rank (from 1, ties averaged) of every stored value among all values of its column, the unstored zeros included."""
    column = _column_of_each(columns)
    order = np.lexsort((columns.data, column))
    sorted_column, sorted_value = column[order], columns.data[order]
    position = np.arange(len(order)) - columns.indptr[sorted_column]
    new_tie = np.ones(len(order), bool)
    new_tie[1:] = (sorted_column[1:] != sorted_column[:-1]) | (sorted_value[1:] != sorted_value[:-1])
    tie = np.cumsum(new_tie) - 1
    mean_position = np.bincount(tie, weights=position) / np.maximum(np.bincount(tie), 1) if len(order) else position
    ranks = np.empty(len(order))
    ranks[order] = mean_position[tie] + 1 if len(order) else position
    zeros = columns.shape[0] - np.diff(columns.indptr)
    return ranks + np.where(columns.data > 0, zeros[column], 0)
