"""Why a linear head decided as it did: contributions, counterfactual ablations, the weights of a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int

from cbm.editing.contributions import Contributions
from cbm.editing.scoring import EffectiveHead


@dataclass(frozen=True)
class Contribution:
    """What one shown concept adds to the logit of one class, for one image."""

    concept: int
    name: str
    activation: float
    """As the class sees it: after the edits."""
    activation_before: float
    """As the bottleneck computed it."""
    weight: float
    """After the weight edits; for a merged concept, the mean of its members' weights, weighted by activation."""
    contribution: float
    """activation × weight."""
    share: float
    """contribution / Σ |contributions|: signed, the class score's share that is due to this concept; −1 … 1."""
    members: tuple[int, ...]
    """The concepts that were merged into this one, itself first; one entry where nothing was merged."""
    hidden: bool

    @property
    def edited(self) -> bool:
        """Whether an edit that is in force changes the activation."""
        return self.activation != self.activation_before


@dataclass(frozen=True)
class Explanation:
    """One image's prediction and where the logit of one class (`target`) comes from: bias + Σ contributions = logit, to 1e-5."""

    item: str | None
    classes: tuple[str, ...]
    logits: Float32[np.ndarray, " classes"]
    probabilities: Float32[np.ndarray, " classes"]
    predicted: int
    target: int
    bias: float
    contributions: tuple[Contribution, ...]
    """Every concept that is active, before or after the edits; the largest |contribution| first. Hidden ones are among them."""

    @property
    def predicted_class(self) -> str:
        return self.classes[self.predicted]

    @property
    def target_class(self) -> str:
        return self.classes[self.target]

    @property
    def logit(self) -> float:
        return float(self.logits[self.target])

    @property
    def total(self) -> float:
        """bias + Σ contributions."""
        return self.bias + sum(entry.contribution for entry in self.contributions)

    def top(self, count: int = 10) -> tuple[Contribution, ...]:
        """The largest contributions that are not hidden."""
        return tuple(entry for entry in self.contributions if not entry.hidden)[:count]

    def rest(self, count: int = 10) -> float:
        """Sum of the contributions that `top(count)` leaves out."""
        return self.total - self.bias - sum(entry.contribution for entry in self.top(count))


@dataclass(frozen=True)
class Counterfactual:
    """The fewest concepts whose ablation changes an image's prediction."""

    possible: bool
    """False where the prediction stays whatever is ablated; the other fields then describe no change."""
    concepts: tuple[int, ...]
    """Shown concepts, the one with the largest effect first."""
    names: tuple[str, ...]
    members: tuple[int, ...]
    """All concepts to ablate: those of `concepts`, with everything that was merged into them."""
    predicted: int
    """Class before."""
    rival: int
    """Class after."""
    logits: Float32[np.ndarray, " classes"]
    """Logits after the ablations."""


@dataclass(frozen=True)
class ClassWeights:
    """What a class is made of: its non-zero weights, with the edits in effect."""

    class_name: str
    bias: float
    concepts: Int[np.ndarray, " nonzero"]
    """By weight, the largest first."""
    names: tuple[str, ...]
    weights: Float64[np.ndarray, " nonzero"]
    hidden: frozenset[int]

    def top(self, count: int = 10) -> list[tuple[int, str, float]]:
        """(concept, name, weight) of the largest positive weights that are not hidden."""
        return self._listed(range(len(self.concepts)), count, 1)

    def bottom(self, count: int = 10) -> list[tuple[int, str, float]]:
        """(concept, name, weight) of the most negative weights that are not hidden, the most negative first."""
        return self._listed(range(len(self.concepts) - 1, -1, -1), count, -1)

    def _listed(self, order: Sequence[int], count: int, sign: int) -> list[tuple[int, str, float]]:
        entries = [(int(self.concepts[row]), self.names[row], float(self.weights[row])) for row in order]
        return [entry for entry in entries if entry[2] * sign > 0 and entry[0] not in self.hidden][:count]


def list_contributions(
    shown: Contributions, weights: EffectiveHead, target: int, names: Sequence[str], hidden: frozenset[int]
) -> tuple[Contribution, ...]:
    """The contributions to one class, the largest first."""
    contributions = shown.contributions[:, target]
    activations = shown.activations[:, target]
    # A concept of its own shows its weight even when it is ablated; a group has no single weight, so its mean is taken from what it adds.
    single = weights.weights_of(shown.concepts)[:, target]
    means = np.divide(contributions, activations, out=np.zeros_like(contributions), where=activations != 0)
    total = np.abs(contributions).sum()
    entries = []
    for row in np.argsort(-np.abs(contributions), kind="stable").tolist():
        concept, members = int(shown.concepts[row]), shown.members[row]
        entries.append(
            Contribution(
                concept=concept,
                name=names[concept],
                activation=float(activations[row]),
                activation_before=float(shown.activations_before[row]),
                weight=float(single[row] if len(members) == 1 else means[row]),
                contribution=float(contributions[row]),
                share=float(contributions[row] / total) if total > 0 else 0.0,
                members=members,
                hidden=concept in hidden,
            )
        )
    return tuple(entries)


def smallest_ablation(
    logits: Float[np.ndarray, " classes"], contributions: Float[np.ndarray, "shown classes"]
) -> Int[np.ndarray, " removed"] | None:
    """Rows of `contributions` whose removal changes the arg-max of `logits` with the fewest rows; None where no removal does.

    The result is exactly minimal. Removing a set S lowers the lead of the predicted class p over a rival r by Σ_{k in S} (u_kp − u_kr),
    so for one rival no set of n rows does more than the n largest of these terms, which are taken in turn until the lead is lost.
    If some set of n rows changes the prediction, the new class is a rival whose lead is lost, so that rival's own set has at most n rows.
    And a set that costs p its lead over any rival changes the prediction, whichever class comes out. Among equally small sets the one that
    leaves p farthest behind is returned.
    """
    predicted = int(np.argmax(logits))
    effects = contributions[:, [predicted]] - contributions
    order = np.argsort(-effects, axis=0, kind="stable")
    gained = np.cumsum(np.maximum(np.take_along_axis(effects, order, axis=0), 0.0), axis=0)
    lead = logits[predicted] - logits
    # Equal logits go to the class of the lower index, so such a rival wins already at a tie. Ties are common where heads are sparse and
    # biases zero (nothing is left of either class), and rounding in the running sum must not decide them.
    wins_ties = np.arange(len(logits)) < predicted
    slack = 1e-12 * (1 + np.abs(logits).max() + np.abs(contributions).sum(axis=0).max(initial=0))
    lost = np.where(wins_ties, gained >= lead - slack, gained > lead + slack)
    lost[:, predicted] = False
    sizes = np.where(lost.any(axis=0), lost.argmax(axis=0) + 1, len(contributions) + 1)
    size = int(sizes.min(initial=len(contributions) + 1))
    if size > len(contributions):
        return None
    behind = np.where(sizes == size, gained[size - 1] - lead, -np.inf)
    return order[:size, int(np.argmax(behind))]
