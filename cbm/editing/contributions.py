"""What the concepts of an image add to every class, as a person is shown them: merged concepts as one, edits in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int

from cbm.editing.recipe import Decisions
from cbm.editing.scoring import EffectiveHead


@dataclass(frozen=True, eq=False)
class Contributions:
    """The shown concepts of one image (or of the mean of several) with their share in every class logit.

    bias + Σ contributions = logit for each class, where the bias is the head's own.
    """

    concepts: Int[np.ndarray, " shown"]
    """In order; of merged concepts the one that represents all."""
    members: tuple[tuple[int, ...], ...]
    """What was merged into each, itself first."""
    activations: Float64[np.ndarray, "shown classes"]
    """After the edits, as each class sees them."""
    activations_before: Float64[np.ndarray, " shown"]
    """As the bottleneck computed them."""
    contributions: Float64[np.ndarray, "shown classes"]
    """activation × weight, after the edits."""
    contributions_before: Float64[np.ndarray, "shown classes"]
    """Without any edit."""

    def __len__(self) -> int:
        return len(self.concepts)

    def take(self, places: Int[np.ndarray, " some"]) -> Contributions:
        """Some of them, in the order given."""
        return Contributions(
            self.concepts[places],
            tuple(self.members[place] for place in places.tolist()),
            self.activations[places],
            self.activations_before[places],
            self.contributions[places],
            self.contributions_before[places],
        )


def contributions(
    head: EffectiveHead,
    concepts: Int[np.ndarray, " active"],
    activations: Float[np.ndarray, " active"],
    decisions: Decisions,
    also: Sequence[int] = (),
) -> Contributions:
    """The contributions of one image's active concepts to every class.

    They are linear in the activations, so the mean activations of several images give the mean contributions.

    >>> from cbm.editing.recipe import MergeConcepts, Recipe
    >>> from cbm.editing.scoring import fold_recipe
    >>> from cbm.heads.base import LinearHead
    >>> head = LinearHead(np.array([[1, 2, 0], [0, 1, 3]], np.float32), np.zeros(2, np.float32), "dense")
    >>> merged = Recipe.of(MergeConcepts((0, 1), ("sea", "ocean"), "sea"))
    >>> found = contributions(fold_recipe(head, ("beach", "harbour"), merged), np.arange(3), np.array([2.0, 1, 1]), merged.decisions())
    >>> found.members, found.contributions.tolist()
    (((0, 1), (2,)), [[4.0, 1.0], [0.0, 3.0]])

    Args:
        head: with the edits that concern the image; concepts that it sets to a value are there even where they are not active.
        concepts: indices of the active concepts, each once.
        activations: before any edit.
        decisions: which concepts are shown as one.
        also: concepts to list though they are not active.
    """
    everything = np.union1d(concepts, np.array([*head.always_on, *also], dtype=np.int64)).astype(np.int64)
    before = np.zeros(len(everything))
    before[np.searchsorted(everything, concepts)] = activations
    seen = head.activations_seen(everything, before)
    standing_for = decisions.standing_for
    shown = np.array([standing_for.get(concept, concept) for concept in everything.tolist()], dtype=np.int64)
    firsts, group = np.unique(shown, return_inverse=True)

    def added(rows: np.ndarray) -> np.ndarray:
        total = np.zeros((len(firsts), *rows.shape[1:]))
        np.add.at(total, group, rows)
        return total

    return Contributions(
        firsts,
        tuple(decisions.groups.get(concept, (concept,)) for concept in firsts.tolist()),
        added(seen),
        added(before),
        added(head.contributions_of(everything, before)),
        added(head.base[everything] * before[:, None]),
    )
