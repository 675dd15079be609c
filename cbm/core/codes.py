"""Sparse concept activations: what every bottleneck returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from jaxtyping import Float32, Int32


@dataclass(frozen=True)
class Codes:
    """Activations of `batch` embeddings on `size` concepts, at most `k` of them non-zero in a row.

    Rows with fewer than `k` non-zero activations are padded with index 0 and value 0.0, so that sums and gathers need no mask.
    """

    indices: Int32[np.ndarray, "batch k"]
    values: Float32[np.ndarray, "batch k"]
    size: int
    """Number of concepts, that is, columns of the dense matrix that these codes represent."""

    def __post_init__(self) -> None:
        if self.indices.shape != self.values.shape or self.indices.ndim != 2:
            raise ValueError(f"indices {self.indices.shape} and values {self.values.shape} must have one shape [batch, k]")
        if self.indices.dtype != np.int32 or self.values.dtype != np.float32:
            raise ValueError(f"indices must be int32 and values float32, not {self.indices.dtype} and {self.values.dtype}")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, rows: slice | np.ndarray | Sequence[int]) -> Codes:
        return Codes(self.indices[rows], self.values[rows], self.size)

    def to_csr(self) -> scipy.sparse.csr_matrix:
        """Compressed rows [batch, size] float32, without the padding."""
        active = self.values != 0
        starts = np.concatenate([[0], np.cumsum(active.sum(axis=1))])
        matrix = scipy.sparse.csr_matrix(
            (self.values[active], self.indices[active], starts), shape=(len(self), self.size), dtype=np.float32
        )
        matrix.sort_indices()
        return matrix

    def to_dense(self) -> Float32[np.ndarray, "batch size"]:
        """Dense [batch, size]; for tests and single rows only."""
        return self.to_csr().toarray()

    @classmethod
    def from_csr(cls, matrix: scipy.sparse.csr_matrix) -> Codes:
        matrix = scipy.sparse.csr_matrix(matrix)
        counts = np.diff(matrix.indptr)
        width = max(1, int(counts.max(initial=0)))
        occupied = np.arange(width)[None, :] < counts[:, None]
        indices = np.zeros(occupied.shape, np.int32)
        values = np.zeros(occupied.shape, np.float32)
        indices[occupied] = matrix.indices
        values[occupied] = matrix.data
        return cls(indices, values, matrix.shape[1])

    @classmethod
    def concatenate(cls, parts: Sequence[Codes]) -> Codes:
        """Stack codes of the same concepts by rows, padding to the widest."""
        size = parts[0].size
        width = max(part.indices.shape[1] for part in parts)
        indices = np.zeros((sum(map(len, parts)), width), np.int32)
        values = np.zeros(indices.shape, np.float32)
        start = 0
        for part in parts:
            if part.size != size:
                raise ValueError(f"codes over {part.size} and {size} concepts cannot be stacked")
            stop = start + len(part)
            indices[start:stop, : part.indices.shape[1]] = part.indices
            values[start:stop, : part.values.shape[1]] = part.values
            start = stop
        return cls(indices, values, size)
