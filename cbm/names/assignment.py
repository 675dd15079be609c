"""After a naming rule: each name at most once, a threshold below which a latent stays unnamed, and counts of names that name too much."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Int32

from cbm.core.errors import InvalidInputError
from cbm.names.rules import Naming

UniqueMethod: TypeAlias = Literal["greedy", "hungarian"]
UNIQUE_METHODS: tuple[UniqueMethod, ...] = get_args(UniqueMethod)


def with_threshold(naming: Naming, threshold: float | None) -> Naming:
    """The naming in which latents whose name scores below `threshold` stay unnamed (`None`: all are named)."""
    return replace(naming, threshold=threshold)


def assign_unique(naming: Naming, method: UniqueMethod = "greedy") -> Naming:
    """The naming in which no name serves two latents; a latent whose candidates are all taken stays unnamed.

    Names are chosen among each latent's candidates only. `greedy` serves the best score first; `hungarian` serves as many latents as it can
    and, of all ways to do so, takes the one with the largest sum of scores.

    Raises:
        InvalidInputError: unknown method.
    """
    if method == "greedy":
        return replace(naming, chosen=_greedy(naming), unique=method)
    if method == "hungarian":
        return replace(naming, chosen=_hungarian(naming), unique=method)
    raise InvalidInputError(f"Unknown way to make names unique {method!r}; ways are {', '.join(UNIQUE_METHODS)}.")


def hub_counts(naming: Naming) -> dict[int, int]:
    """Names that more than one latent bears, as index into the vocabulary -> number of latents, the most frequent first."""
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


def _hungarian(naming: Naming) -> Int32[np.ndarray, " latents"]:
    """Linear sum assignment on the sparse graph of candidates, where each latent may also stay unnamed at a cost above all names."""
    import scipy.sparse
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    latents, candidates = naming.candidates.shape
    finite = np.isfinite(naming.scores)
    names, column = np.unique(naming.candidates, return_inverse=True)
    best, worst = (float(naming.scores[finite].max()), float(naming.scores[finite].min())) if finite.any() else (0.0, 0.0)
    costs = best - np.where(finite, naming.scores, worst).astype(np.float64) + 1.0
    row = np.repeat(np.arange(latents), candidates)
    keep = finite.ravel()
    # One spare column for each latent: dearer than any gain from rearranging all others, so that it is used only when no name is left.
    spare_cost = (best - worst + 1.0) * (latents + 1)
    graph = scipy.sparse.csr_matrix(
        (
            np.concatenate([costs.ravel()[keep], np.full(latents, spare_cost)]),
            (np.concatenate([row[keep], np.arange(latents)]), np.concatenate([column.ravel()[keep], len(names) + np.arange(latents)])),
        ),
        shape=(latents, len(names) + latents),
    )
    matched_rows, matched_columns = min_weight_full_bipartite_matching(graph)
    chosen = np.full(latents, -1, np.int32)
    for latent, match in zip(matched_rows, matched_columns, strict=True):
        if match < len(names):
            chosen[latent] = np.flatnonzero(naming.candidates[latent] == names[match])[0]
    return chosen
