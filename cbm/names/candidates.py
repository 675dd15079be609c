"""Keeping the best few names of every latent while scores come by in chunks of names."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Float32

from cbm.core.arrays import unit_rows

NAMES_AT_A_TIME = 1024
"""Scores of one chunk: 8192 latents × 1024 names × 4 bytes = 32 MB."""


class BestCandidates:
    """The best few names of every latent among the chunks of scores seen so far."""

    def __init__(self, latents: int, candidates: int) -> None:
        self.indices = np.zeros((latents, 0), np.int32)
        self.scores = np.zeros((latents, 0), np.float32)
        self._keep = candidates

    def add(self, scores: Float32[np.ndarray, "latents names"], first: int) -> None:
        """Consider the scores of the names `first`, `first + 1`, …; of equal scores the earlier name wins."""
        found = np.broadcast_to(np.arange(first, first + scores.shape[1], dtype=np.int32), scores.shape)
        if scores.shape[1] > self._keep:
            part = np.sort(np.argpartition(-scores, self._keep - 1, axis=1)[:, : self._keep], axis=1)
            found, scores = np.take_along_axis(found, part, axis=1), np.take_along_axis(scores, part, axis=1)
        indices = np.concatenate([self.indices, found], axis=1)
        scores = np.concatenate([self.scores, scores], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self._keep]
        self.indices, self.scores = np.take_along_axis(indices, order, axis=1), np.take_along_axis(scores, order, axis=1)


def name_chunks(names: int) -> Iterator[slice]:
    """Slices that cover `names` names, `NAMES_AT_A_TIME` at a time."""
    for start in range(0, names, NAMES_AT_A_TIME):
        yield slice(start, min(start + NAMES_AT_A_TIME, names))


def centred_rows(matrix: Float[np.ndarray, "rows dim"], mean: Float[np.ndarray, " dim"]) -> Float32[np.ndarray, "rows dim"]:
    """Rows minus a mean, brought to length 1: what distinguishes each from its modality."""
    return unit_rows(np.asarray(matrix, np.float32) - np.asarray(mean, np.float32))


def best_by_product(queries: Float32[np.ndarray, "latents dim"], keys: Float32[np.ndarray, "names dim"], candidates: int) -> BestCandidates:
    """The names whose keys have the largest inner products with each latent's query."""
    best = BestCandidates(len(queries), candidates)
    for chunk in name_chunks(len(keys)):
        best.add(queries @ keys[chunk].T, chunk.start)
    return best
