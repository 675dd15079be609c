"""Whether two dictionaries, learned from other seeds or data, hold the same concepts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.optimize
from jaxtyping import Bool, Float, Float64, Int64

from cbm.core.arrays import unit_rows
from cbm.core.codes import Codes

SAME_ABOVE = 0.7
"""Cosine of two directions above which they count as one concept (Fel et al. 2025, arXiv 2502.12892, and others)."""
ASSIGNED_AT_MOST = 4096
"""Concepts alive up to which the best assignment is solved: its time grows with their cube, its memory with their square."""
_BLOCK_ROWS = 1024


@dataclass(frozen=True, eq=False)
class DictionaryMatch:
    """Each concept of the first dictionary beside its nearest in the second; all that is said is about concepts that are alive."""

    first: Int64[np.ndarray, " alive"]
    """Numbers of the first dictionary's concepts that are alive."""
    nearest: Int64[np.ndarray, " alive"]
    """For each, the number of the nearest concept of the second."""
    cosines: Float64[np.ndarray, " alive"]
    """With the nearest."""
    mutual: Bool[np.ndarray, " alive"]
    """Whether each is also the nearest of its nearest."""
    weights: Float64[np.ndarray, " alive"]
    """Share of each in the energy; they sum to 1."""
    assigned_cosine: float | None
    """Mean cosine under the best one-to-one assignment (Hungarian method), over the smaller dictionary; None above `ASSIGNED_AT_MOST`."""

    @property
    def mean_max_cosine(self) -> float:
        return float(self.cosines.mean())

    @property
    def share_found(self) -> float:
        """Share of concepts with a cosine above 0.7 to some concept of the other."""
        return float((self.cosines > SAME_ABOVE).mean())

    @property
    def share_mutual(self) -> float:
        """The same, where each is the other's nearest: two concepts cannot be found in one."""
        return float((self.mutual & (self.cosines > SAME_ABOVE)).mean())

    @property
    def weighted_cosine(self) -> float:
        """Mean cosine with the nearest, weighted by energy."""
        return float(self.weights @ self.cosines)

    @property
    def weighted_share_found(self) -> float:
        """Share of the energy that lies in concepts with a cosine above 0.7."""
        return float(self.weights @ (self.cosines > SAME_ABOVE))


def match_dictionaries(
    first: Float[np.ndarray, "concepts dim"],
    second: Float[np.ndarray, "others dim"],
    first_energy: Float[np.ndarray, " concepts"] | None = None,
    second_energy: Float[np.ndarray, " others"] | None = None,
    *,
    assign: bool = True,
) -> DictionaryMatch:
    """Compare the directions of two dictionaries.

    Source: stability of Fel et al. 2025 (arXiv 2502.12892), s = max over permutations of the mean cosine, and the share of concepts that
    two seeds have in common (Paulo and Belrose 2025, arXiv 2501.16615). Traps: vary the initial values *and* the order of the data, or
    the figures flatter; dead concepts keep directions that mean nothing, so they must not be matched; a duplicate is found
    twice by `share_found`, not by `share_mutual` nor by the assignment; a random unit vector's nearest of n in few dimensions is not far.

    Args:
        first, second: directions of the concepts, of any length.
        first_energy, second_energy: mean of z² of each concept, see `energy`; 0 is dead. All alive and of one weight when absent.
        assign: whether to solve the assignment.

    Raises:
        ValueError: one of the dictionaries has no concept alive.
    """
    alive, others = _alive(len(first), first_energy), _alive(len(second), second_energy)
    here, there = unit_rows(first[alive]), unit_rows(second[others])
    nearest, cosines = _nearest(here, there)
    back, _ = _nearest(there, here)
    weights = np.ones(len(alive)) if first_energy is None else np.asarray(first_energy, np.float64)[alive]
    solvable = assign and max(len(here), len(there)) <= ASSIGNED_AT_MOST
    return DictionaryMatch(
        first=alive,
        nearest=others[nearest],
        cosines=cosines,
        mutual=back[nearest] == np.arange(len(alive)),
        weights=weights / weights.sum(),
        assigned_cosine=_assigned_cosine(here, there) if solvable else None,
    )


def energy(codes: Codes) -> Float64[np.ndarray, " concepts"]:
    """Mean of z² of every concept over the images; 0 where it never fires."""
    squares = np.square(codes.values, dtype=np.float64).ravel()
    return np.bincount(codes.indices.ravel(), weights=squares, minlength=codes.size) / max(1, len(codes))


def activation_correlations(first: Codes, second: Codes, match: DictionaryMatch) -> Float64[np.ndarray, " alive"]:
    """Correlation of the activations of each concept and its match on the same images; NaN where one of them does not vary.

    Directions can agree although the concepts fire on other images, so both belong side by side.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} codes are not of the same images")
    ours = first.to_csr().astype(np.float64).tocsc()[:, match.first]
    theirs = second.to_csr().astype(np.float64).tocsc()[:, match.nearest]
    images = len(first)
    means = [np.asarray(codes.mean(axis=0)).ravel() for codes in (ours, theirs)]
    variances = [np.asarray(codes.power(2).mean(axis=0)).ravel() - mean**2 for codes, mean in zip((ours, theirs), means, strict=True)]
    covariance = np.asarray(ours.multiply(theirs).sum(axis=0)).ravel() / images - means[0] * means[1]
    varying = (variances[0] > 1e-15) & (variances[1] > 1e-15)
    scale = np.sqrt(np.where(varying, variances[0] * variances[1], 1))
    return np.where(varying, covariance / scale, np.nan)


def _alive(count: int, energies: np.ndarray | None) -> Int64[np.ndarray, " alive"]:
    alive = np.arange(count) if energies is None else np.flatnonzero(np.asarray(energies) > 0)
    if not len(alive):
        raise ValueError("no concept is alive: there is nothing to match")
    return alive.astype(np.int64)


def _nearest(
    here: Float[np.ndarray, "alive dim"], there: Float[np.ndarray, "others dim"]
) -> tuple[Int64[np.ndarray, " alive"], Float64[np.ndarray, " alive"]]:
    found, cosines = np.empty(len(here), np.int64), np.empty(len(here))
    for start in range(0, len(here), _BLOCK_ROWS):
        block = here[start : start + _BLOCK_ROWS] @ there.T
        best = block.argmax(axis=1)
        found[start : start + _BLOCK_ROWS] = best
        cosines[start : start + _BLOCK_ROWS] = block[np.arange(len(block)), best]
    return found, cosines


def _assigned_cosine(here: Float[np.ndarray, "alive dim"], there: Float[np.ndarray, "others dim"]) -> float:
    cosines = here @ there.T
    rows, columns = scipy.optimize.linear_sum_assignment(cosines, maximize=True)
    return float(cosines[rows, columns].mean(dtype=np.float64))
