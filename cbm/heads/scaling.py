"""How activations are scaled before a head is fitted, and how its weights are folded back to raw activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float, Float64
from scipy import sparse


@dataclass(frozen=True)
class Scaling:
    """x = z · factor - shift, for each concept. Codes stay sparse: z · factor has the zeros of z, and the shift is one number per class."""

    factor: Float64[np.ndarray, " concepts"]
    shift: Float64[np.ndarray, " concepts"]

    @classmethod
    def standard(cls, matrix: sparse.csr_matrix | sparse.csc_matrix) -> Self:
        """Mean 0 and deviation 1: factor 1/σ and shift μ/σ.

        Both are 0 for a concept that never varies: it can tell no two rows apart, so its weight stays zero.
        """
        columns = sparse.csc_matrix(matrix, dtype=np.float64)
        mean = np.asarray(columns.sum(axis=0)).ravel() / columns.shape[0]
        variance = np.asarray(columns.multiply(columns).sum(axis=0)).ravel() / columns.shape[0] - mean**2
        alive = variance > 1e-12 * np.maximum(mean**2, np.finfo(np.float32).tiny)
        factor = np.where(alive, 1 / np.sqrt(np.where(alive, variance, 1)), 0.0)
        return cls(factor, mean * factor)

    @classmethod
    def common(cls, matrix: sparse.csr_matrix, norm: float) -> Self:
        """One factor for all concepts, by which the rows have this root-mean-square norm; no shift."""
        mean_square = float(np.square(matrix.data, dtype=np.float64).sum()) / max(1, matrix.shape[0])
        return cls(np.full(matrix.shape[1], norm / np.sqrt(max(mean_square, 1e-30))), np.zeros(matrix.shape[1]))

    def fold(
        self, weights: Float[np.ndarray, "classes concepts"], bias: Float[np.ndarray, " classes"]
    ) -> tuple[Float64[np.ndarray, "classes concepts"], Float64[np.ndarray, " classes"]]:
        """Weights and bias of scaled activations as those of raw ones: the logits are the same."""
        weights = np.asarray(weights, np.float64)
        return weights * self.factor, bias - weights @ self.shift
