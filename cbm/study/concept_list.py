"""All concepts of a model as columns: what they look like under a visitor's recipe, which fit a search and the filters, and in which order.

Everything is vectorised over concepts, so that 8192 of them cost a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import scipy.sparse
from jaxtyping import Bool, Float32, Int

from cbm.editing.recipe import Decisions, Recipe
from cbm.names.names import same_name_key
from cbm.study.concept_view import ConceptSummary
from cbm.study.study import Study

DENSE = 0.10
"""Share of the images from which a concept counts as dense: too common to separate images."""


class Sort(StrEnum):
    PREDICTIVENESS = "Predictiveness"
    FREQUENCY = "Frequency"
    NAME_SCORE = "Name score"
    NAME = "Name"


class Filter(StrEnum):
    """What the list can be narrowed to; several narrow it further."""

    IN_USE = "in-use"
    UNNAMED = "unnamed"
    DUPLICATE = "duplicate"
    DENSE = "dense"
    DEAD = "dead"
    HIDDEN = "hidden"
    PINNED = "pinned"


FILTER_LABELS: Mapping[Filter, str] = {
    Filter.IN_USE: "In use",
    Filter.UNNAMED: "No good name",
    Filter.DUPLICATE: "Duplicate",
    Filter.DENSE: "Dense",
    Filter.DEAD: "Dead",
    Filter.HIDDEN: "Hidden",
    Filter.PINNED: "Pinned",
}
FILTERS_EXPLAINED = (
    "In use: some class has a weight for it. No good name: no candidate fits well enough. Duplicate: another concept has the same name, or "
    f"nearly the same direction. Dense: active on over {DENSE:.0%} of the images. Dead: active on none."
)


@dataclass(frozen=True, eq=False)
class ConceptColumns:
    """One entry for each concept, in the dictionary's order."""

    names: tuple[str, ...]
    named: Bool[np.ndarray, " concepts"]
    frequency: Float32[np.ndarray, " concepts"]
    score: Float32[np.ndarray, " concepts"]
    predictiveness: Float32[np.ndarray, " concepts"]
    top_class: Int[np.ndarray, " concepts"]
    """Class whose logit the concept raises most; −1 where it raises none."""
    used: Bool[np.ndarray, " concepts"]
    """Some class has a weight for it."""
    fires_for: Int[np.ndarray, " concepts"]
    """Class on whose images the concept is active most, by the sum of activations; −1 where it is silent on all that have a class."""
    folded: tuple[str, ...]
    spelling: Int[np.ndarray, " concepts"]
    """A number for each way of writing a name that counts as the same."""
    spellings: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.names)


_columns: WeakKeyDictionary[Study, ConceptColumns] = WeakKeyDictionary()


def concept_columns(study: Study) -> ConceptColumns:
    """The columns of a study, computed once."""
    found = _columns.get(study)
    if found is None:
        tiles = study.unedited_concepts
        of_class = {name: index for index, name in enumerate(study.class_names)}
        keys = [same_name_key(tile.name) for tile in tiles]
        spellings = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        found = _columns[study] = ConceptColumns(
            names=tuple(tile.name for tile in tiles),
            named=np.array([tile.named for tile in tiles], bool),
            frequency=np.array([tile.frequency for tile in tiles], np.float32),
            score=np.array([tile.name_score for tile in tiles], np.float32),
            predictiveness=np.array([tile.predictiveness for tile in tiles], np.float32),
            top_class=np.array([-1 if tile.top_class is None else of_class[tile.top_class] for tile in tiles]),
            used=np.array([tile.used for tile in tiles], bool),
            fires_for=_fires_for(study),
            folded=tuple(tile.name.casefold() for tile in tiles),
            spelling=np.array([spellings[key] for key in keys]),
            spellings=spellings,
        )
    return found


def _fires_for(study: Study) -> Int[np.ndarray, " concepts"]:
    known = np.flatnonzero(study.labels >= 0)
    member = scipy.sparse.csr_matrix((np.ones(len(known)), (study.labels[known], known)), shape=(len(study.class_names), study.image_count))
    sums = np.asarray((member @ abs(study.columns)).todense())
    return np.where(sums.max(axis=0, initial=0) > 0, sums.argmax(axis=0) if len(sums) else 0, -1)


@dataclass(frozen=True, eq=False)
class ShownConcepts:
    """The concepts as a visitor decided to see them."""

    columns: ConceptColumns
    names: Sequence[str]
    named: Bool[np.ndarray, " concepts"]
    hidden: Bool[np.ndarray, " concepts"]
    standing: Bool[np.ndarray, " concepts"]
    """False for those that another represents since a merge."""
    renamed: Mapping[int, str]
    """Concept -> its new name, where that differs."""
    decisions: Decisions

    def tile(self, study: Study, concept: int) -> ConceptSummary:
        """One of them as a card shows it, without pictures."""
        return study.summary(concept, self.decisions)


def shown_concepts(study: Study, recipe: Recipe) -> ShownConcepts:
    """All concepts under a recipe."""
    decisions = recipe.decisions()
    columns = _with_merged(concept_columns(study), study, decisions)
    names, named = list(columns.names), columns.named.copy()
    renamed = {concept: name for concept, name in decisions.names.items() if name != columns.names[concept]}
    for concept, name in renamed.items():
        names[concept], named[concept] = name, True
    hidden = np.zeros(len(columns), bool)
    hidden[list(decisions.hidden)] = True
    standing = np.ones(len(columns), bool)
    standing[[member for member, first in decisions.standing_for.items() if member != first]] = False
    return ShownConcepts(columns, names, named, hidden, standing, renamed, decisions)


def _with_merged(columns: ConceptColumns, study: Study, decisions: Decisions) -> ConceptColumns:
    if not decisions.groups:
        return columns
    frequency, predictiveness, used = columns.frequency.copy(), columns.predictiveness.copy(), columns.used.copy()
    for first in decisions.groups:
        merged = study.summary(first, decisions)
        frequency[first], predictiveness[first], used[first] = merged.frequency, merged.predictiveness, merged.used
    return replace(columns, frequency=frequency, predictiveness=predictiveness, used=used)


def filter_masks(
    shown: ShownConcepts, *, near: Bool[np.ndarray, " concepts"] | None = None, pins: Iterable[int] = ()
) -> dict[Filter, Bool[np.ndarray, " concepts"]]:
    """Which concepts each filter keeps.

    Args:
        near: those with a nearly equal direction beside them; unknown yet when absent.
        pins: concepts that the visitor pinned.
    """
    columns = shown.columns
    pinned = np.zeros(len(columns), bool)
    pinned[[concept for concept in pins if concept < len(columns)]] = True
    doubled = _same_spelling(shown)
    return {
        Filter.IN_USE: columns.used,
        Filter.UNNAMED: ~shown.named,
        Filter.DUPLICATE: doubled if near is None else doubled | near,
        Filter.DENSE: columns.frequency > DENSE,
        Filter.DEAD: columns.frequency == 0,
        Filter.HIDDEN: shown.hidden,
        Filter.PINNED: pinned,
    }


def _same_spelling(shown: ShownConcepts) -> Bool[np.ndarray, " concepts"]:
    columns, spelling = shown.columns, shown.columns.spelling
    if shown.renamed:
        spelling = spelling.copy()
        known = dict(columns.spellings)
        for concept, name in shown.renamed.items():
            spelling[concept] = known.setdefault(same_name_key(name), len(known))
    counts = np.bincount(spelling[shown.standing], minlength=spelling.max(initial=0) + 1)
    return shown.named & (counts[spelling] > 1)


# Search

_BY_NAME, _BY_CLASS, _BY_MEANING = 1, 2, 3


@dataclass(frozen=True, eq=False)
class Found:
    """Which concepts fit what was typed, and why."""

    reason: Int[np.ndarray, " concepts"]
    """0 where it does not fit; else by name, by class, by meaning, best first."""
    closeness: Float32[np.ndarray, " concepts"]
    """Cosine of the meanings."""

    @property
    def fits(self) -> Bool[np.ndarray, " concepts"]:
        return self.reason > 0

    def because(self, concept: int) -> str:
        """Why a concept was found, for its card."""
        reason = int(self.reason[concept])
        return {_BY_NAME: "found by name", _BY_CLASS: "found by class"}.get(reason, f"found by meaning · {self.closeness[concept]:.2f}")


def find(shown: ShownConcepts, text: str, classes: Sequence[str], related: Mapping[str, float] | None = None) -> Found | None:
    """Search names and classes by their letters, and names by their meaning; None where nothing was typed.

    Args:
        related: name -> closeness of its meaning to the text, for those close enough; none when absent.
    """
    wanted = text.casefold().strip()
    if not wanted:
        return None
    columns = shown.columns
    by_name = np.fromiter((wanted in name for name in columns.folded), bool, len(columns))
    for concept, name in shown.renamed.items():
        by_name[concept] |= wanted in name.casefold()
    of_class = np.array([*(wanted in name.casefold() for name in classes), False])
    by_class = of_class[columns.top_class]
    closeness = np.zeros(len(columns), np.float32)
    if related:
        closeness = np.fromiter((related.get(name, 0.0) for name in shown.names), np.float32, len(columns))
        closeness[~shown.named] = 0
    reason = np.select([by_name, by_class, closeness > 0], [_BY_NAME, _BY_CLASS, _BY_MEANING], 0)
    return Found(reason, closeness)


def arrange(
    shown: ShownConcepts,
    kept: Bool[np.ndarray, " concepts"],
    sort: Sort,
    found: Found | None = None,
    pinned: Bool[np.ndarray, " concepts"] | None = None,
) -> Int[np.ndarray, " some"]:
    """The kept concepts in order: pinned ones first, then by how they were found, then as asked."""
    chosen = np.flatnonzero(kept)
    columns = shown.columns
    if sort is Sort.NAME:
        folded = [shown.names[concept].casefold() for concept in chosen.tolist()]
        key = np.argsort(np.argsort(np.array(folded, dtype=object), kind="stable"), kind="stable").astype(float)
    elif sort is Sort.NAME_SCORE:
        key = -np.where(columns.named[chosen], columns.score[chosen], -np.inf)
    else:
        key = -(columns.predictiveness if sort is Sort.PREDICTIVENESS else columns.frequency)[chosen].astype(float)
    keys = [key]
    if found is not None:
        reason = found.reason[chosen]
        keys += [np.where(reason == _BY_MEANING, -found.closeness[chosen], 0), reason]
    if pinned is not None:
        keys.append(~pinned[chosen])
    return chosen[np.lexsort(keys)]


def concept_frame(study: Study, shown: ShownConcepts, concepts: Int[np.ndarray, " some"]) -> pd.DataFrame:
    """The concepts as a table, for the eye or a file."""
    columns = shown.columns
    classes = np.array([*study.class_names, ""], dtype=object)
    return pd.DataFrame(
        {
            "concept": concepts,
            "name": [shown.names[concept] for concept in concepts.tolist()],
            "named": shown.named[concepts],
            "frequency": columns.frequency[concepts],
            "predictiveness": columns.predictiveness[concepts],
            "name_score": np.where(columns.named[concepts], columns.score[concepts], np.nan),
            "top_class": classes[columns.top_class[concepts]],
            "hidden": shown.hidden[concepts],
            "represents": [len(shown.decisions.groups.get(int(concept), (0,))) for concept in concepts],
        }
    )
