"""From a query to the concepts that answer it: search, filters, selection, order, and suggested merges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int

from cbm.names.meaning import LikelyDuplicates, NameMeanings, embed_names, likely_duplicates
from cbm.study.concept_list import Filter, Found, ShownConcepts, Sort, arrange, filter_masks, find
from cbm.study.concept_map import ConceptMap
from cbm.study.study import Study


@dataclass(frozen=True)
class ConceptQuery:
    """What the list is narrowed by."""

    text: str = ""
    sort: Sort = Sort.PREDICTIVENESS
    of_class: str | None = None
    filters: frozenset[Filter] = frozenset()
    pins: tuple[int, ...] = ()
    members: tuple[int, ...] | None = None
    """The selection, where it narrows the list."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """The concepts that fit all but the filters, with what each filter would leave of them."""

    fits: Bool[np.ndarray, " concepts"]
    masks: Mapping[Filter, Bool[np.ndarray, " concepts"]]
    found: Found | None

    def counts(self, filters: frozenset[Filter]) -> dict[Filter, int]:
        """For each filter, how many concepts there would be with it beside the others."""
        return {one: int(self.kept(filters | {one}).sum()) for one in Filter}

    def kept(self, filters: frozenset[Filter]) -> Bool[np.ndarray, " concepts"]:
        """Those that all the filters keep; hidden ones only where they are asked for."""
        kept = self.fits if Filter.HIDDEN in filters else self.fits & ~self.masks[Filter.HIDDEN]
        for one in filters:
            kept = kept & self.masks[one]
        return kept


def candidates(
    study: Study,
    shown: ShownConcepts,
    query: ConceptQuery,
    *,
    related: Mapping[str, float] | None = None,
    near: Bool[np.ndarray, " concepts"] | None = None,
) -> Candidates:
    """What the search, the class and the selection leave.

    Args:
        related: names near in meaning to what was typed.
        near: concepts with a nearly equal direction beside them.
    """
    fits = shown.standing.copy()
    found = find(shown, query.text, study.class_names, related)
    if found is not None:
        fits &= found.fits
    if query.of_class is not None:
        fits &= study.model.head.weight[study.model.class_index(query.of_class)] != 0
    if query.members is not None:
        chosen = np.zeros(len(fits), bool)
        chosen[[member for member in query.members if member < len(fits)]] = True
        fits &= chosen
    return Candidates(fits, filter_masks(shown, near=near, pins=query.pins), found)


def listed(shown: ShownConcepts, query: ConceptQuery, among: Candidates) -> Int[np.ndarray, " some"]:
    """The concepts to list, in order."""
    return arrange(shown, among.kept(query.filters), query.sort, among.found, among.masks[Filter.PINNED] if query.pins else None)


def merge_suggestions(
    shown: ShownConcepts, kept: Bool[np.ndarray, " concepts"], layout: ConceptMap, meanings: NameMeanings, least: float
) -> tuple[LikelyDuplicates, ...]:
    """Groups among the kept concepts that seem to be one; the most frequent of a group represents it."""
    alive = np.flatnonzero(kept & shown.named & (shown.columns.frequency > 0))
    order = alive[np.argsort(-shown.columns.frequency[alive], kind="stable")]
    return likely_duplicates(shown.names, layout.neighbours, layout.similarities, meanings, order, least=least)


def with_own_names(known: NameMeanings, shown: ShownConcepts) -> NameMeanings:
    """The meanings of a model's names, and of the names that the recipe gives."""
    fresh = tuple(sorted({name for name in shown.renamed.values() if name not in known.rows}))
    if not fresh:
        return known
    own = _own_names(fresh)
    return NameMeanings(
        (*known.names, *own.names),
        np.concatenate([known.vectors.reshape(len(known.names), -1), own.vectors]) if known.names else own.vectors,
    )


@lru_cache(maxsize=32)
def _own_names(names: tuple[str, ...]) -> NameMeanings:
    return embed_names(names)
