"""How concepts relate to each other: which fire together, and which point the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cbm.editing.recipe import Decisions
from cbm.study.evidence import Firing
from cbm.study.study import Study

DUPLICATE = 0.9
"""Directions with a larger cosine are as good as the same."""
_FEWEST_TOGETHER = 3
"""Concepts that share fewer images than this are not said to fire together: it may be chance."""


@dataclass(frozen=True)
class Companion:
    """A concept that fires on the same images."""

    concept: int
    together: int
    """Images on which both fire."""
    jaccard: float
    """Images on which both fire, as a share of those on which either does; 0 to 1."""
    lift: float
    """How many times as often they fire together as they would by chance."""


@dataclass(frozen=True)
class Neighbour:
    """A concept whose direction points a similar way."""

    concept: int
    cosine: float

    @property
    def duplicate(self) -> bool:
        return self.cosine >= DUPLICATE


def co_firing(study: Study, fired: Firing, decisions: Decisions, count: int) -> tuple[Companion, ...]:
    """The concepts that share most of their images with this one, by Jaccard index, from sparse codes alone."""
    if not len(fired.rows):
        return ()
    together = np.bincount(study.scored.codes[fired.rows].indices, minlength=study.concept_count)
    alone = np.diff(study.columns.indptr)
    either = len(fired.rows) + alone - together
    jaccard = together / np.maximum(either, 1)
    lift = together * study.image_count / np.maximum(len(fired.rows) * alone, 1)
    jaccard[left_out(fired, decisions)] = -1.0
    jaccard[together < _FEWEST_TOGETHER] = -1.0
    order = np.argsort(-jaccard, kind="stable")[:count]
    return tuple(
        Companion(int(concept), int(together[concept]), float(jaccard[concept]), float(lift[concept]))
        for concept in order
        if jaccard[concept] > 0
    )


def nearest_directions(study: Study, fired: Firing, decisions: Decisions, count: int) -> tuple[Neighbour, ...]:
    """The concepts whose decoder directions have the largest cosine with this one's first member; empty without a dictionary."""
    if not study.model.bottleneck.abilities.directions:
        return ()
    directions = study.model.bottleneck.directions
    cosine = directions @ directions[fired.members[0]]
    cosine[left_out(fired, decisions)] = -np.inf
    cosine[np.diff(study.columns.indptr) == 0] = -np.inf
    order = np.argsort(-cosine, kind="stable")[:count]
    return tuple(Neighbour(int(concept), float(cosine[concept])) for concept in order if np.isfinite(cosine[concept]))


def left_out(fired: Firing, decisions: Decisions) -> Sequence[int]:
    """The concept itself, what is hidden, and what another concept represents."""
    merged = (member for member, first in decisions.standing_for.items() if member != first)
    return sorted({*fired.members, *decisions.hidden, *merged})


def merge_candidates(names: Sequence[str], wanted: str, left_out: Sequence[int], count: int) -> tuple[int, ...]:
    """Concepts whose name holds what was typed, those that begin with it first; a number finds its concept.

    >>> merge_candidates(("sky", "deep sea", "sea", "seal"), "sea", left_out=(3,), count=2)
    (2, 1)
    """
    key = wanted.strip().casefold()
    if not key:
        return ()
    skipped = set(left_out)
    found = [index for index, name in enumerate(names) if key in name.casefold() and index not in skipped]
    found.sort(key=lambda index: (not names[index].casefold().startswith(key), len(names[index]), index))
    if key.isascii() and key.isdigit() and int(key) < len(names) and int(key) not in skipped:
        found = [int(key), *(index for index in found if index != int(key))]
    return tuple(found[:count])
