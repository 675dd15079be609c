"""How alike the images are on which a concept is active, in time linear in the number of images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from cbm.core.arrays import unit_rows
from cbm.core.codes import Codes

CHUNK_ROWS = 4096
"""Images that are taken at a time, so that no copy of all embeddings in float64 is made."""
_CROWDED = 0.2
_NOTHING = 1e-12
"""A sum over pairs that is smaller than this share of the sum over images is rounding: only one image is active."""


@dataclass(frozen=True)
class Monosemanticity:
    """Scores of all concepts on one set of images."""

    scores: Float64[np.ndarray, " concepts"]
    """-1 … 1; NaN for a concept that is active on fewer than two images, or equally on all of them."""
    random: float
    """Mean cosine of all pairs of images: what a concept scores that is active at random. NaN for fewer than two images."""

    @property
    def measured(self) -> int:
        """Concepts that have a score."""
        return int(np.count_nonzero(~np.isnan(self.scores)))

    def quantile(self, share: float) -> float:
        """Score below which this share of the concepts lies; NaN where no concept has one."""
        return float(np.nanquantile(self.scores, share)) if self.measured else float("nan")


class MonosemanticityAccumulators:
    """Sums over images from which the scores follow; images may come in any number of batches."""

    def __init__(self, concepts: int, dim: int) -> None:
        self.images = 0
        self.least = np.full(concepts, np.inf)
        self.greatest = np.full(concepts, -np.inf)
        self.activation = np.zeros(concepts)
        self.weighted = np.zeros((concepts, dim))
        """Σ z e of each concept."""
        self.squares = np.zeros(concepts)
        self.square_lengths = np.zeros(concepts)
        """Σ z² ‖e‖²; ‖e‖ is 1, or 0 for an embedding without a direction."""
        self.lengths = np.zeros(concepts)
        """Σ z ‖e‖²."""
        self.total = np.zeros(dim)
        self.length = 0.0

    def add(self, codes: Codes, embeddings: Float[np.ndarray, "rows dim"]) -> None:
        """Count a batch: codes of images and any embeddings of the same images, of any length."""
        if len(codes) != len(embeddings):
            raise ValueError(f"{len(codes)} codes and {len(embeddings)} embeddings are not of the same images")
        for start in range(0, len(codes), CHUNK_ROWS):
            self._add(codes[start : start + CHUNK_ROWS], unit_rows(embeddings[start : start + CHUNK_ROWS]).astype(np.float64))

    def _add(self, codes: Codes, directions: Float64[np.ndarray, "rows dim"]) -> None:
        by_concept = codes.to_csr().astype(np.float64).T.tocsr()
        lengths = np.square(directions).sum(axis=1)
        self.images += len(codes)
        # Zeros that are not stored take part in the least and the greatest.
        self.least = np.minimum(self.least, by_concept.min(axis=1).toarray().ravel())
        self.greatest = np.maximum(self.greatest, by_concept.max(axis=1).toarray().ravel())
        self.activation += np.asarray(by_concept.sum(axis=1)).ravel()
        # Where most concepts are active on most images, dense products are faster.
        crowded = by_concept.nnz > _CROWDED * by_concept.shape[0] * by_concept.shape[1]
        self.weighted += (by_concept.toarray() if crowded else by_concept) @ directions
        self.lengths += by_concept @ lengths
        squared = by_concept.power(2)
        self.squares += np.asarray(squared.sum(axis=1)).ravel()
        self.square_lengths += squared @ lengths
        self.total += directions.sum(axis=0)
        self.length += float(lengths.sum())

    def result(self) -> Monosemanticity:
        """Divide once, at the end."""
        span = self.greatest - self.least
        active = np.isfinite(span) & (span > 0)
        scale = np.divide(1.0, span, out=np.zeros_like(span), where=active)
        shift = np.where(active, -np.where(active, self.least, 0) * scale, 0)
        # r = scale · z + shift, so every sum over r follows from sums over z; no unstored zero has to be filled in.
        relevance = scale * self.activation + shift * self.images
        squares = scale**2 * self.squares + 2 * scale * shift * self.activation + shift**2 * self.images
        own = scale**2 * self.square_lengths + 2 * scale * shift * self.lengths + shift**2 * self.length
        vectors = scale[:, None] * self.weighted + shift[:, None] * self.total
        pairs = np.square(relevance) - squares
        measurable = active & (pairs > _NOTHING * np.maximum(squares, 1))
        scores = np.full(len(span), np.nan)
        np.divide(np.square(vectors).sum(axis=1) - own, pairs, out=scores, where=measurable)
        everything = float(self.images * (self.images - 1))
        random = (float(np.square(self.total).sum()) - self.length) / everything if everything > 0 else float("nan")
        return Monosemanticity(scores, random)


def monosemanticity(codes: Codes, embeddings: Float[np.ndarray, "rows dim"]) -> Monosemanticity:
    """Mean cosine of pairs of images, each weighted by how active the concept is on both (MS; Pach et al. 2025, arXiv 2504.02821).

    MS = Σ_{i<j} r_i r_j cos(e_i, e_j) / Σ_{i<j} r_i r_j, where r is the activation of the concept, scaled so that its least is 0 and its
    greatest 1. The published code loops over pairs; (‖Σ r e‖² - Σ r²) / ((Σ r)² - Σ r²) is the same and linear in images, and sparse codes
    times dense embeddings are all it takes.

    Traps: a concept that is active everywhere scores the mean cosine of the set, which is far from 0 for CLIP: read a score beside
    `random`. Embeddings of the backbone that the concepts were learned from flatter them; use another's where there are any. Wider and
    sparser dictionaries have a better best and a worse worst concept: compare quantiles, not the best.

    Args:
        embeddings: of the same images, of any encoder; only their directions count.
    """
    sums = MonosemanticityAccumulators(codes.size, embeddings.shape[1])
    sums.add(codes, embeddings)
    return sums.result()
