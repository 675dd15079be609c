"""The sparse multinomial problem that the NEC path solves, and its certificate of optimality.

Objective, over standardised activations x = (z - μ) / σ of n rows, weights V [classes, concepts] and an unpenalised bias b:

    P(V, b) = mean cross-entropy(x · Vᵀ + b) + λ (α ‖V‖₁ + (1 - α)/2 ‖V‖²)                      (GLM-SAGA; VLG-CBM, section 4)

Standardising keeps the codes sparse: z / σ has the zeros of z, and the centring is one number per class, -V · (μ/σ), beside the bias.
The same number lets a head fold back to raw activations exactly: weight = V / σ, bias = b - V · (μ/σ).

Certificate. With residuals R = softmax - onehot and any s in [0, 1], s·R is feasible for the dual problem, whose value is
mean entropy(onehot + s R) - Σ max(|s Xᵀ R / n| - λα, 0)² / (2 λ (1 - α)). Primal minus dual bounds the distance to the optimum from
above, so the gap, relative to P, is the stopping rule: it knows nothing of steps. The bias has no penalty, so the dual asks that the
residuals of a class sum to zero; what is left of that sum is charged at |b| ≤ 2 max|b| + 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse

from cbm.heads.scaling import Scaling

DENSE_ABOVE = 0.3
"""Share of activations that are not zero from which concepts count as dense."""


@dataclass(frozen=True)
class Penalty:
    """Elastic net of strength `strength` (λ) with L1 share `l1_share` (α); .99 is GLM-SAGA's value."""

    strength: float
    l1_share: float = 0.99

    @property
    def l1(self) -> float:
        return self.strength * self.l1_share

    @property
    def l2(self) -> float:
        return self.strength * (1 - self.l1_share)


def precision_for(tolerance: float) -> type[np.floating]:
    """float32 for relative gaps down to 1e-4, which it can certify at half the memory and time; float64 below."""
    return np.float32 if tolerance >= 1e-4 else np.float64


@dataclass(frozen=True)
class State:
    """Class-major predictions at some weights: what gradients, objective and certificate are made from."""

    residual: torch.Tensor
    """[classes, rows]: softmax - onehot."""
    loss: float
    """Mean cross-entropy, nats."""
    entropy_without_label: torch.Tensor
    """[rows]: Σ over the other classes of p log p."""
    label_log_probability: torch.Tensor
    """[rows]"""


class SparseProblem:
    """Standardised sparse activations in columns, with their labels; read-only once built."""

    def __init__(self, matrix: sparse.csr_matrix, labels: np.ndarray, classes: int, dtype: type[np.floating] = np.float32) -> None:
        self.rows, self.concepts = matrix.shape
        self.classes = classes
        self.labels = torch.from_numpy(np.ascontiguousarray(labels, dtype=np.int64))
        self.dtype = dtype
        columns = sparse.csc_matrix(matrix, dtype=np.float64)
        scaling = Scaling.standard(columns)
        self.inverse_deviation = scaling.factor
        """1/σ, and 0 for a concept that never varies."""
        self.shift = scaling.shift
        """μ/σ."""
        columns.data *= np.repeat(self.inverse_deviation, np.diff(columns.indptr))
        self.columns = sparse.csc_matrix((columns.data.astype(self.dtype), columns.indices, columns.indptr), shape=columns.shape)
        self.full = torch.from_numpy(self.columns.toarray()) if self.columns.nnz > DENSE_ABOVE * self.rows * self.concepts else None
        """[rows, concepts], where so few activations are zero that dense products are faster than gathers."""
        self.label_share = np.bincount(labels, minlength=classes) / self.rows

    def evaluate(self, logits: torch.Tensor) -> State:
        """Residuals and loss at `logits` [classes, rows]."""
        rows = torch.arange(self.rows)
        log_probability = logits - torch.logsumexp(logits, dim=0)
        label_log_probability = log_probability[self.labels, rows]
        probability = log_probability.exp()
        log_probability.mul_(probability)
        label_probability = probability[self.labels, rows]
        entropy = log_probability.sum(dim=0) - label_probability * label_log_probability
        probability[self.labels, rows] = torch.expm1(label_log_probability)
        loss = -float(label_log_probability.double().mean())
        return State(probability, loss, entropy, label_log_probability)

    def loss(self, logits: torch.Tensor) -> float:
        """Mean cross-entropy at `logits` [classes, rows]."""
        picked = logits[self.labels, torch.arange(self.rows)]
        return float((torch.logsumexp(logits, dim=0) - picked).double().mean())

    def full_gradient(self, residual: torch.Tensor) -> np.ndarray:
        """Gradient of the loss for every weight, [classes, concepts] float64, through one transposed gather over the stored columns."""
        mean_residual = residual.double().mean(dim=1).numpy()
        if self.full is not None:
            return (residual @ self.full).numpy().astype(np.float64) / self.rows - np.outer(mean_residual, self.shift)
        gathered = F.embedding_bag(
            torch.from_numpy(self.columns.indices.astype(np.int64)),
            residual.T.contiguous(),
            torch.from_numpy(self.columns.indptr[:-1].astype(np.int64)),
            per_sample_weights=torch.from_numpy(self.columns.data),
            mode="sum",
        )
        return gathered.numpy().T / self.rows - np.outer(mean_residual, self.shift)

    def smallest_strength_without_weights(self, l1_share: float) -> float:
        """λ_max: from here up the optimum has no weight at all, only the bias log(class share)."""
        return float(np.abs(self.full_gradient(self.evaluate(self.bias_logits(self.best_bias())).residual)).max() / l1_share)

    def best_bias(self) -> np.ndarray:
        """Optimal bias while all weights are zero; a class without rows gets the share of half a row, which keeps it finite."""
        return np.log(np.maximum(self.label_share, 0.5 / self.rows))

    def fold(self, weights: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights [classes, concepts] and bias of standardised activations, as those of raw ones: the logits are the same."""
        return weights * self.inverse_deviation, bias - weights @ self.shift

    def bias_logits(self, bias: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.repeat(bias.astype(self.dtype)[:, None], self.rows, axis=1))


class PairSystem:
    """The problem restricted to some (class, concept) pairs: a sparse block-diagonal matrix of one column per pair over class-major logits.

    Few pairs carry weight at a readable NEC, so a product with it costs a few per cent of one with all concepts for all classes.
    """

    def __init__(self, problem: SparseProblem, pairs: np.ndarray) -> None:
        self.problem = problem
        self.pairs = pairs
        """Flat positions class · concepts + concept, ascending, so that a class' logits stay in cache."""
        columns = problem.columns
        self.class_of = pairs // problem.concepts
        concept = pairs % problem.concepts
        self.shift = problem.shift[concept]
        counts = np.diff(columns.indptr)[concept]
        starts = np.concatenate([[0], np.cumsum(counts)])
        source = np.arange(starts[-1]) + np.repeat(columns.indptr[concept] - starts[:-1], counts)
        large = problem.rows * problem.classes >= 2**31 or starts[-1] >= 2**31
        index_type: type[np.signedinteger] = np.int64 if large else np.int32
        positions = (columns.indices[source] + np.repeat(self.class_of * problem.rows, counts)).astype(index_type)
        shape = (problem.rows * problem.classes, len(pairs))
        self.matrix = sparse.csc_matrix((np.asarray(columns.data[source]), positions, starts.astype(index_type)), shape=shape)
        self.transposed = self.matrix.T

    def logits(self, weights: np.ndarray, bias: np.ndarray) -> torch.Tensor:
        """[classes, rows] logits of standardised activations."""
        problem = self.problem
        offset = bias - np.bincount(self.class_of, weights=weights * self.shift, minlength=problem.classes)
        logits = (self.matrix @ weights.astype(problem.dtype)).reshape(problem.classes, problem.rows)
        logits += offset.astype(problem.dtype)[:, None]
        return torch.from_numpy(logits)

    def gradient(self, residual: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Gradient of the loss for the pairs' weights and for the bias, float64."""
        mean_residual = residual.mean(dim=1, dtype=torch.float64).numpy()
        product = self.transposed @ residual.numpy().ravel()
        return product.astype(np.float64) / self.problem.rows - self.shift * mean_residual[self.class_of], mean_residual

    def curvature(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """Diagonal of the loss' Hessian for the pairs' weights and for the bias."""
        problem = self.problem
        probability = state.residual.clone()
        probability[problem.labels, torch.arange(problem.rows)] += 1
        spread = probability * (1 - probability)
        mean_spread = spread.mean(dim=1, dtype=torch.float64).numpy()
        flat = spread.numpy().ravel()
        first = (self.transposed @ flat).astype(np.float64) / problem.rows
        squared = sparse.csr_matrix((self.transposed.data**2, self.transposed.indices, self.transposed.indptr), shape=self.transposed.shape)
        second = (squared @ flat).astype(np.float64) / problem.rows
        return second - 2 * self.shift * first + self.shift**2 * mean_spread[self.class_of], mean_spread


def duality_gap(
    state: State, weights: np.ndarray, bias: np.ndarray, gradient: np.ndarray, bias_gradient: np.ndarray, penalty: Penalty
) -> float:
    """Bound on (objective - optimum) / objective, from weights and loss gradient of all pairs of the (restricted or full) problem.

    The best of a few dual scalings s is taken, between none and the one that brings every gradient within λα.
    """
    primal = objective(state.loss, weights, penalty)
    largest = float(np.abs(gradient).max(initial=0.0))
    excess = np.abs(gradient[np.abs(gradient) > penalty.l1])
    feasible = min(1.0, penalty.l1 / largest) if largest > 0 else 1.0
    bias_charge = float(np.abs(bias_gradient).sum()) * (2 * float(np.abs(bias).max()) + 1)
    return float(max(0.0, min(primal - value for value in _dual_values(state, excess, feasible, bias_charge, penalty)) / primal))


def _dual_values(state: State, excess: np.ndarray, feasible: float, bias_charge: float, penalty: Penalty) -> Iterator[float]:
    entropy = state.entropy_without_label.double()
    label_probability = state.label_log_probability.double().exp()
    for scaling in np.unique(np.concatenate([[1.0, feasible], 1 - (1 - feasible) * np.array([0.1, 0.3, 0.6])])):
        over = np.maximum(scaling * excess - penalty.l1, 0) if scaling > feasible else np.zeros(1)
        if penalty.l2 == 0 and over.any():
            continue
        label_share = scaling * label_probability + (1 - scaling)
        spread = -scaling * entropy - scaling * np.log(scaling) * (1 - label_probability) - torch.special.xlogy(label_share, label_share)
        quadratic = float((over**2).sum()) / (2 * penalty.l2) if over.any() else 0.0
        yield float(spread.mean()) - quadratic - scaling * bias_charge


def objective(loss: float, weights: np.ndarray, penalty: Penalty) -> float:
    """P of the module's docstring: mean cross-entropy plus the elastic net."""
    return loss + penalty.l1 * float(np.abs(weights).sum()) + 0.5 * penalty.l2 * float((weights**2).sum())
