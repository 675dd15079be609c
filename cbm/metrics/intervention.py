"""What becomes of predictions when concepts are corrected or set by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Float64, Int
from scipy.special import softmax

from cbm.core.codes import Codes

Order = Literal["random", "uncertainty", "importance"]
ORDERS: tuple[Order, ...] = get_args(Order)
_BLOCK_VALUES = 4_000_000


@dataclass(frozen=True, eq=False)
class InterventionCurve:
    """Accuracy after so many concepts of every image were corrected."""

    corrected: Int[np.ndarray, " steps"]
    """From 0 to all."""
    accuracies: Float64[np.ndarray, " steps"]

    @property
    def area(self) -> float:
        """Mean height of the curve, 0 … 1: the area under it over the share of concepts that were corrected (trapezoids)."""
        return (
            float(np.trapezoid(self.accuracies, self.corrected / self.corrected[-1])) if self.corrected[-1] else float(self.accuracies[0])
        )

    @property
    def gain(self) -> float:
        """Accuracy with all concepts corrected, less that with none."""
        return float(self.accuracies[-1] - self.accuracies[0])


def intervention_curve(
    activations: Float[np.ndarray, "rows known"],
    corrections: Float[np.ndarray, "rows known"],
    weight: Float[np.ndarray, "classes known"],
    rest: Float[np.ndarray, "rows classes"],
    labels: Int[np.ndarray, " rows"],
    order: Float[np.ndarray, "rows known"],
) -> InterventionCurve:
    """Correct the concepts of every image one after another, and count right predictions after each (Koh et al. 2020, section 6).

    Args:
        activations: of the concepts whose truth is known.
        corrections: what replaces them, see `values_of_truth`.
        rest: logits without the known concepts: the bias, and the contributions of all other concepts.
        order: concepts of an image are corrected from the greatest of these to the least, see `intervention_order`.
    """
    rows, known = activations.shape
    ranked = np.argsort(-order, axis=1, kind="stable")
    by_concept = np.ascontiguousarray(weight.T, np.float64)
    change = corrections.astype(np.float64) - activations
    right = np.zeros(known + 1)
    block = max(1, _BLOCK_VALUES // max(1, len(weight)))
    for start in range(0, rows, block):
        here = slice(start, start + block)
        logits = activations[here].astype(np.float64) @ by_concept + rest[here]
        right[0] += np.count_nonzero(logits.argmax(axis=1) == labels[here])
        for step in range(known):
            concept = ranked[here, step]
            logits += np.take_along_axis(change[here], concept[:, None], axis=1) * by_concept[concept]
            right[step + 1] += np.count_nonzero(logits.argmax(axis=1) == labels[here])
    return InterventionCurve(np.arange(known + 1), right / rows)


def intervention_order(
    kind: Order,
    activations: Float[np.ndarray, "rows known"],
    weight: Float[np.ndarray, "classes known"],
    probabilities: Float[np.ndarray, "rows known"] | None = None,
    seed: int = 0,
) -> Float64[np.ndarray, "rows known"]:
    """How early each concept of each image is corrected, greatest first.

    `random`: each image its own order. `uncertainty`: the probability of presence nearest to one half first (UCP). `importance`: the
    largest contribution to the logits first, Σ over classes of |weight × activation| (CCTP). The last two are those of Shin et al. 2023
    ("A closer look at the intervention procedure of concept bottleneck models", section 3). None of them looks at the truth.

    Trap: importance never begins with a concept that is wrongly silent, whose contribution is zero.

    Args:
        probabilities: of presence; only `uncertainty` needs them.
    """
    if kind == "random":
        return np.random.default_rng(seed).random(activations.shape)
    if kind == "importance":
        return np.abs(activations).astype(np.float64) * np.abs(weight).astype(np.float64).sum(axis=0)
    if probabilities is None:
        raise ValueError("the order by uncertainty needs the probability that each concept is present")
    return -np.abs(probabilities.astype(np.float64) - 0.5)


def values_of_truth(
    activations: Float[np.ndarray, "rows known"], truth: Bool[np.ndarray, "rows known"], low: float = 5, high: float = 95
) -> Float64[np.ndarray, "rows known"]:
    """The activation that says present, or absent: the 95th and the 5th percentile of each concept (Koh et al. 2020, appendix).

    Trap: percentiles of test images are close to cheating where there are few; take those of training images where you have them. A
    sparse concept that is active on fewer than one image in twenty would never be present by that percentile: its own greatest
    activation is used then.
    """
    absent, present = np.percentile(activations, (low, high), axis=0)
    present = np.where(present > absent, present, activations.max(axis=0))
    return np.where(truth, present, absent).astype(np.float64)


def causal_concept_effect(
    codes: Codes,
    weight: Float[np.ndarray, "classes concepts"],
    bias: Float[np.ndarray, " classes"],
    concept: int,
    on: float,
    off: float = 0.0,
) -> Float64[np.ndarray, " classes"]:
    """Mean change of each class's probability when a concept is set to `on` instead of `off` in every image (CaCE; Goyal et al. 2019).

    CaCE = E[y | do(c = on)] - E[y | do(c = off)], -1 … 1; the effects sum to 0 over classes. It is what the *model* does, and says nothing
    of what would become of the image, nor of concepts that go along with this one.
    """
    total = np.zeros(len(weight))
    block = max(1, _BLOCK_VALUES // max(1, len(weight)))
    own = weight[:, concept].astype(np.float64)
    for start in range(0, len(codes), block):
        rows = codes[start : start + block].to_csr().astype(np.float64)
        present = rows[:, [concept]].toarray()
        without = rows @ weight.T.astype(np.float64) + bias - present * own
        total += (softmax(without + on * own, axis=1) - softmax(without + off * own, axis=1)).sum(axis=0)
    return total / max(1, len(codes))
