"""Gated mask-and-refit: one gate for each concept, for all classes together; those that close are left out, and the rest is refitted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from jaxtyping import Float

from cbm.core.errors import InvalidInputError
from cbm.core.run import Run
from cbm.core.settings import Range
from cbm.heads.part import HeadPart, HeadRows

if TYPE_CHECKING:
    from scipy import sparse

    from cbm.heads.base import LinearHead

_NARROWEST = 1e-3
"""A gate never closes altogether, or its concept could not come back."""


@dataclass(frozen=True)
class GatedSettings:
    """`cross-entropy + l1 · mean over classes Σ |W| + gate_penalty · Σ o` on logits `(o · x) · Wᵀ + b`, a gate o of 0 to 1 per concept."""

    gate_penalties: Annotated[tuple[float, ...], Range(0)] = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
    """Cost of an open gate: those to choose from. The largest is taken that loses no more than `loss` on held-out training rows."""
    loss: Annotated[float, Range(0, 1)] = 0.01
    """Accuracy, as a share of the held-out rows, that may be lost against the best of them for having fewer concepts."""
    most_concepts: Annotated[int | None, Range(1)] = None
    """Keep at most so many concepts in total, those with the widest open gates; no limit when absent."""
    l1: Annotated[float, Range(0)] = 1e-3
    """Weight of the absolute weights. Without it, weights would grow while gates close."""
    gate_step: Annotated[float, Range(0)] = 0.03
    """Adam's learning rate."""
    gate_passes: Annotated[int, Range(2)] = 300
    """Passes over the training rows; gates stay open during the first half."""
    gate_rows: Annotated[int, Range(1)] = 2048
    """Training rows in each step of Adam."""
    gate_held_out: Annotated[float, Range(0, 0.9)] = 0.2
    """Share of the training rows on which the gate penalty is chosen."""


class Gates(NamedTuple):
    """What the first stage learned, on activations of deviation 1."""

    open: Float[np.ndarray, " concepts"]
    """0 to 1."""
    weight: Float[np.ndarray, "classes concepts"]
    """As the logits see it: the gate times W."""
    bias: Float[np.ndarray, " classes"]


def fit(rows: HeadRows, settings: GatedSettings, run: Run) -> LinearHead:
    """Choose the gate penalty on held-out rows, gate on all rows, keep what is open more than half, and refit a dense head on that."""
    from cbm.heads.base import LinearHead, as_csr, checked_labels

    matrix = as_csr(rows.codes)
    labels = checked_labels(rows.labels, matrix.shape[0], rows.classes)
    penalty, accuracies = choose_penalty(matrix, labels, rows.classes, settings, run)
    gates = learn_gates(matrix, labels, rows.classes, penalty, settings, run)
    kept = survivors(gates.open, settings.most_concepts)
    refitted = refit(matrix, labels, rows.classes, kept, run)
    weight = np.zeros((rows.classes, matrix.shape[1]), np.float32)
    weight[:, kept] = refitted.weight
    details = {
        "solver": "gated",
        "gate_penalty": penalty,
        "held_out_accuracies": accuracies,
        "concepts": len(kept),
        "refit": dict(refitted.details),
        **asdict(settings),
        "seed": run.seed,
    }
    return LinearHead(weight, refitted.bias, "dense", details)


def choose_penalty(
    matrix: sparse.csr_matrix, labels: np.ndarray, classes: int, settings: GatedSettings, run: Run
) -> tuple[float, dict[str, float]]:
    """The gate penalty, and the held-out accuracy of each; there is no choice without held-out rows, and the smallest is taken."""
    from cbm.core.codes import Codes
    from cbm.heads.base import stratified_split
    from cbm.metrics.classification import accuracy

    penalties = sorted(set(settings.gate_penalties))
    if not penalties:
        raise InvalidInputError("The head gated has no gate penalty to choose from; give at least one, such as 0.0001.")
    kept, held = stratified_split(labels, settings.gate_held_out, run.seed)
    if len(penalties) == 1 or not len(held):
        return penalties[0], {}
    found = {}
    for penalty in penalties:
        gates = learn_gates(matrix[kept], labels[kept], classes, penalty, settings, run)
        chosen = survivors(gates.open, settings.most_concepts)
        refitted = refit(matrix[kept], labels[kept], classes, chosen, run)
        found[penalty] = accuracy(refitted.predict(Codes.from_csr(matrix[held][:, chosen])), labels[held])
    least = max(found.values()) - settings.loss
    return max(penalty for penalty, reached in found.items() if reached >= least), {f"{penalty:g}": found[penalty] for penalty in penalties}


def learn_gates(matrix: sparse.csr_matrix, labels: np.ndarray, classes: int, penalty: float, settings: GatedSettings, run: Run) -> Gates:
    """The first stage, over the product P of gate and W.

    Adam on gates and weights together needs thousands of passes to trade one for the other. For a given product, the best gate has a closed
    form, which is put in after every pass of the second half.
    """
    import torch
    import torch.nn.functional as F

    from cbm.heads.descent import Activations, Descent, descend
    from cbm.heads.scaling import Scaling

    activations = Activations(matrix, Scaling.standard(matrix))
    targets = torch.from_numpy(labels)
    opened = np.ones(matrix.shape[1])
    price = torch.full((matrix.shape[1], 1), settings.l1 / classes)
    product = torch.zeros(matrix.shape[1], classes, requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(activations.logits(product, batch) + bias, targets[batch]) + (price * product.abs()).sum()

    def adjust(passed: int) -> None:
        if 2 * passed >= settings.gate_passes:
            opened[:] = best_gates(np.abs(product.detach().numpy()).mean(axis=1), settings.l1, penalty)
            price[:, 0] = torch.from_numpy(settings.l1 / classes / opened)

    how = Descent(settings.gate_step, settings.gate_passes, settings.gate_rows)
    descend([product, bias], loss, len(labels), how, run, f"gates at {penalty:g}", after=adjust)
    return Gates(opened, product.detach().numpy().T, bias.detach().numpy())


def best_gates(worth: Float[np.ndarray, " concepts"], l1: float, penalty: float) -> Float[np.ndarray, " concepts"]:
    """The gate o that makes `l1 · M / o + penalty · o` least, √(l1 · M / penalty), for each concept's mean |P| over the classes, M."""
    return np.clip(np.sqrt(l1 * worth.astype(np.float64) / max(penalty, 1e-30)), _NARROWEST, 1)


def survivors(open_: np.ndarray, most: int | None) -> np.ndarray:
    """Concepts whose gate is open more than half, ascending; at most so many, and always at least the one that is open widest."""
    order = np.argsort(-open_, kind="stable")
    count = max(1, int((open_ > 0.5).sum()))
    return np.sort(order[: count if most is None else min(count, most)])


def refit(matrix: sparse.csr_matrix, labels: np.ndarray, classes: int, kept: np.ndarray, run: Run) -> LinearHead:
    """The dense head on some concepts: logistic regression solved to convergence, its strength chosen on held-out rows."""
    from cbm.heads.dense_probe import ConvergedProbeConfig, fit_dense_probe

    return fit_dense_probe(matrix[:, kept], labels, classes, ConvergedProbeConfig(seed=run.seed), cancelled=run.cancelled)


PART = HeadPart(
    "gated",
    "Few concepts in total: a gate for each concept, shared by all classes, closes where the concept is worth less than it costs; a dense "
    "head is fitted on what is left.",
    GatedSettings,
    label="Gated",
    fit=fit,
    dense=True,
    bound=True,
)
