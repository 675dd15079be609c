"""What changing each single concept would do to held-out images, measured exactly for every concept at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int

from cbm.core.errors import MismatchError
from cbm.editing.recipe import Recipe
from cbm.editing.scoring import ScoredSet

_CHUNK = 4_000_000
"""Logits that are worked out at a time."""
_DIGITS = 9
"""Logits are compared to so many decimals: taking a contribution away leaves rounding where nothing should be left."""


@dataclass(frozen=True)
class Sweep:
    """What one kind of edit does, concept by concept, when it is the only one made."""

    corrected: Int[np.ndarray, " concepts"]
    newly_wrong: Int[np.ndarray, " concepts"]
    corrected_in_focus: Int[np.ndarray, " concepts"]
    """Corrected rows among those that are in focus."""
    net_by_group: Int[np.ndarray, "concepts groups"]
    """Corrected less newly wrong rows of every group; no columns without groups."""

    @property
    def net(self) -> Int[np.ndarray, " concepts"]:
        return self.corrected - self.newly_wrong


def sweep_concepts(
    scored: ScoredSet,
    recipe: Recipe,
    labels: Int[np.ndarray, " rows"],
    factor: float = 0.0,
    class_index: int | None = None,
    focus: Bool[np.ndarray, " rows"] | None = None,
    groups: Int[np.ndarray, " rows"] | None = None,
    only: Sequence[int] | None = None,
) -> Sweep:
    """What scaling each single concept by `factor` on top of a recipe does to the labelled rows: 0 ablates.

    Exact, and sparse: only rows in which a concept is active and classes for which it has a weight can change.

    Args:
        class_index: only the logit of this class sees the change; None means all classes.
        focus: rows whose corrections are counted apart.
        groups: group of each row, −1 where it has none.
        only: concepts to try; all when absent. The others count zero.

    Raises:
        MismatchError: labels and rows differ in number.
    """
    if len(labels) != len(scored):
        raise MismatchError(f"{len(labels)} labels do not fit {len(scored)} held-out rows.")
    logits = scored.apply(recipe)
    size = scored.codes.shape[1]
    right = (labels >= 0) & (logits.argmax(axis=1) == labels)
    in_focus = np.zeros(len(labels), bool) if focus is None else focus
    counts = np.zeros((3, size), dtype=np.int64)
    group_count = 0 if groups is None else int(groups.max(initial=-1)) + 1
    by_group = np.zeros(size * group_count, dtype=np.int64)
    tried = np.ones(size, bool) if only is None else np.isin(np.arange(size), list(only))
    where = slice(None) if class_index is None else slice(class_index, class_index + 1)
    for rows, concepts, added in _chunks(scored, recipe, labels >= 0, tried, where):
        after = logits[rows].astype(np.float64)
        after[:, where] += (factor - 1) * added
        right_after = np.round(after, _DIGITS).astype(np.float32).argmax(axis=1) == labels[rows]
        corrected, broken = right_after & ~right[rows], right[rows] & ~right_after
        for place, changed in enumerate((corrected, broken, corrected & in_focus[rows])):
            counts[place] += np.bincount(concepts[changed], minlength=size)
        if groups is not None:
            for changed, sign in ((corrected & (groups[rows] >= 0), 1), (broken & (groups[rows] >= 0), -1)):
                cells = concepts[changed] * group_count + groups[rows[changed]]
                by_group += sign * np.bincount(cells, minlength=len(by_group))
    corrected_all, broken_all, in_focus_all = counts
    return Sweep(corrected_all, broken_all, in_focus_all, by_group.reshape(size, group_count))


class _Chunk(NamedTuple):
    """Some of the activations, with activation × weight of each."""

    rows: Int[np.ndarray, " some"]
    concepts: Int[np.ndarray, " some"]
    added: Float64[np.ndarray, "some classes"]


def _chunks(
    scored: ScoredSet, recipe: Recipe, counted: Bool[np.ndarray, " rows"], tried: Bool[np.ndarray, " concepts"], classes: slice
) -> Iterator[_Chunk]:
    """Every activation that can matter to the classes, under a recipe, in chunks of bounded size."""
    codes, head = scored.codes, scored.head_for(recipe)
    weight = head.weight[:, classes]
    row_of = np.repeat(np.arange(len(scored)), np.diff(codes.indptr))
    # Rows that the recipe names follow a head of their own, and concepts that were set to a value count in every row.
    items = {item: np.array(scored.rows_of_item(item), dtype=np.int64) for item in recipe.image_items()}
    plain = counted.copy()
    for named in items.values():
        plain[named] = False
    constant = np.isin(np.arange(codes.shape[1]), head.always_on)
    used = weight.any(axis=1) & tried & ~constant
    entries = np.flatnonzero(used[codes.indices] & plain[row_of])
    size = max(1, _CHUNK // len(scored.classes))
    for start in range(0, len(entries), size):
        part = entries[start : start + size]
        concepts = codes.indices[part]
        yield _Chunk(row_of[part], concepts, codes.data[part, None].astype(np.float64) * weight[concepts])
    rows = np.flatnonzero(plain)
    for concept in np.flatnonzero(constant & tried).tolist():
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            several = np.full(len(some), concept)
            yield _Chunk(some, several, head.contributions_of(several, scored.activations(concept)[some])[:, classes])
    for item, named in items.items():
        own = scored.head_for(recipe, item)
        for row in named[counted[named]].tolist():
            active = np.union1d(codes[row].indices, own.always_on).astype(np.int64)
            active = active[tried[active]]
            values = codes[row][:, active].toarray().ravel()
            yield _Chunk(np.full(len(active), row), active, own.contributions_of(active, values)[:, classes])
