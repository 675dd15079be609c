"""Whether a class has one latent, several (splitting), or gives some of its images to narrower latents (absorption)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64

from cbm.core.arrays import unit_rows
from cbm.core.codes import Codes

SPLIT_GAIN = 0.03
"""Gain of F1 from which one more latent counts as needed for the class."""
MOST_LATENTS = 10
FULL_COSINE, FULL_SHARE = 0.025, 0.4
"""Least cosine of the strongest latent with the class direction, and least share of the image's projection that it has."""
PARTIAL_COSINE, PARTIAL_LATENTS = 0.1, 3
_RIDGE = 1e-6


@dataclass(frozen=True, eq=False)
class Splitting:
    """The latents that it takes to recognise a class."""

    latents: Int64[np.ndarray, " main"]
    """Main latents, the most telling first; one where the class is not split, none where no latent is active on it."""
    f1: Float64[np.ndarray, " tried"]
    """Best F1 with one latent, with two, and so on; the last did not gain enough, unless all were tried."""

    @property
    def split(self) -> bool:
        return len(self.latents) > 1


@dataclass(frozen=True)
class Absorption:
    """Images of a class that its direction recognises, and what becomes of them."""

    images: int
    """Images of the class with a positive projection on its direction."""
    absorbed: int
    """Those on which every main latent is silent and another has most of the projection."""
    partial: float
    """Mean share of the projection that at most three other latents have, over those images; 0 where the main latents have all of it."""

    @property
    def rate(self) -> float:
        """Full absorption; NaN where the direction recognises no image."""
        return self.absorbed / self.images if self.images else float("nan")


def splitting(codes: Codes, members: Bool[np.ndarray, " rows"], most: int = MOST_LATENTS, gain: float = SPLIT_GAIN) -> Splitting:
    """Feature splitting by sparse probing (SAEBench; Karvonen et al. 2025, arXiv 2503.09532, after Chanin et al. 2024, arXiv 2409.14507).

    Latents are ranked by the difference of their means inside and outside the class; they are added while the probe's F1 gains more
    than `gain`. Ours: the probe is a least-squares one whose threshold is the best for F1, where SAEBench fits a logistic one on
    balanced samples; it has a closed form and does not depend on how rare the class is.

    Raises:
        ValueError: the class has all images, or none.
    """
    if members.all() or not members.any():
        raise ValueError("a class with all images, or none, cannot be probed")
    rows = codes.to_csr().astype(np.float64)
    difference = (
        np.asarray(rows[np.flatnonzero(members)].mean(axis=0)).ravel() - np.asarray(rows[np.flatnonzero(~members)].mean(axis=0)).ravel()
    )
    ranked = np.argsort(-difference, kind="stable")[:most]
    ranked = ranked[difference[ranked] > 0]
    activations = rows[:, ranked].toarray()
    found: list[float] = []
    for count in range(1, len(ranked) + 1):
        found.append(_best_f1(_least_squares(activations[:, :count], members), members))
        if count > 1 and found[-1] - found[-2] <= gain:
            return Splitting(ranked[: count - 1].astype(np.int64), np.array(found))
    return Splitting(ranked.astype(np.int64), np.array(found, np.float64))


def absorption(
    codes: Codes,
    centred: Float[np.ndarray, "rows dim"],
    directions: Float[np.ndarray, "concepts dim"],
    probe: Float[np.ndarray, " dim"],
    members: Bool[np.ndarray, " rows"],
    main: Int[np.ndarray, " main"],
) -> Absorption:
    """Absorption of a class by latents that are not its own (SAEBench, as above).

    An image of the class that the probe recognises is absorbed when its main latents are all silent and the latent with the largest
    projection z (d · p) has a cosine of at least 0.025 with the probe and at least 0.4 of the image's projection x · p. The partial share
    is that of at most three other latents with a cosine of at least 0.1, beside that of the main latents.

    Args:
        centred: embeddings less the mean that the dictionary subtracts: what its codes describe.
        directions: of the latents, see `Bottleneck.directions`.
        probe: direction of the class, such as the weights of a logistic regression on `centred`.
        main: latents of the class, see `splitting`.
    """
    direction = unit_rows(probe[None, :])[0].astype(np.float64)
    cosines = unit_rows(directions).astype(np.float64) @ direction
    projection = centred.astype(np.float64) @ direction
    recognised = np.flatnonzero(members & (projection > 0))
    if not len(recognised):
        return Absorption(0, 0, float("nan"))
    chosen = codes[recognised]
    parts = chosen.values * (directions.astype(np.float64) @ direction)[chosen.indices]
    own = np.isin(chosen.indices, main) & (chosen.values != 0)
    strongest = np.where(own, -np.inf, parts).argmax(axis=1)[:, None]
    other = np.take_along_axis(parts, strongest, axis=1)[:, 0]
    alike = cosines[np.take_along_axis(chosen.indices, strongest, axis=1)[:, 0]] >= FULL_COSINE
    enough = alike & (other >= FULL_SHARE * projection[recognised])
    absorbed = ~own.any(axis=1) & enough
    candidates = np.where(~own & (cosines[chosen.indices] >= PARTIAL_COSINE), np.maximum(parts, 0), 0)
    taken = -np.sort(-candidates, axis=1)[:, :PARTIAL_LATENTS].sum(axis=1)
    kept = np.where(own, np.maximum(parts, 0), 0).sum(axis=1)
    both = taken + kept
    shares = np.divide(taken, both, out=np.zeros_like(both), where=both > 0)
    return Absorption(len(recognised), int(absorbed.sum()), float(shares.mean()))


def _least_squares(activations: Float64[np.ndarray, "rows count"], members: Bool[np.ndarray, " rows"]) -> Float64[np.ndarray, " rows"]:
    centred = activations - activations.mean(axis=0)
    gram = centred.T @ centred
    gram[np.diag_indices_from(gram)] += _RIDGE * np.trace(gram) / len(gram)
    scores: Float64[np.ndarray, " rows"] = centred @ np.linalg.solve(gram, centred.T @ members.astype(np.float64))
    return scores


def _best_f1(scores: Float64[np.ndarray, " rows"], members: Bool[np.ndarray, " rows"]) -> float:
    """F1 at the threshold that suits it best; equal scores fall on one side."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last_of_tie = np.append(ranked[1:] != ranked[:-1], True)
    right = np.cumsum(members[order])[last_of_tie]
    said = np.flatnonzero(last_of_tie) + 1
    return float(np.max(2 * right / (said + members.sum())))
