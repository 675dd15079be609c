"""After a naming rule: each name at most once, a threshold below which a latent stays unnamed, and counts of names that name too much."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Int32

from cbm.names.rules import Naming


def with_threshold(naming: Naming, threshold: float | None) -> Naming:
    """The naming in which latents whose name scores below `threshold` stay unnamed (`None`: all are named)."""
    return replace(naming, threshold=threshold)


def assign_unique(naming: Naming) -> Naming:
    """The naming in which no name serves two latents: the best score comes first; a latent whose candidates are all taken has none.

    Names are chosen among each latent's candidates only.
    """
    return replace(naming, chosen=_greedy(naming), unique="greedy")


def hub_counts(naming: Naming) -> dict[int, int]:
    """Names that more than one latent has, as index into the vocabulary -> number of latents, the most frequent first."""
    index, count = np.unique(naming.names[naming.named], return_counts=True)
    order = np.lexsort((index, -count))
    return {int(index[i]): int(count[i]) for i in order if count[i] > 1}


def _greedy(naming: Naming) -> Int32[np.ndarray, " latents"]:
    latents, candidates = naming.candidates.shape
    chosen = np.full(latents, -1, np.int32)
    taken: set[int] = set()
    for flat in np.argsort(-naming.scores, axis=None, kind="stable"):
        latent, position = divmod(int(flat), candidates)
        name = int(naming.candidates[latent, position])
        if chosen[latent] < 0 and name not in taken and np.isfinite(naming.scores[latent, position]):
            chosen[latent] = position
            taken.add(name)
    return chosen
