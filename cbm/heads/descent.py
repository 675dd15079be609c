"""Adam for heads whose objective has no solver of its own, on activations that stay sparse where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64
from scipy import sparse

from cbm.core.codes import Codes
from cbm.core.run import Run
from cbm.heads.problem import DENSE_ABOVE
from cbm.heads.scaling import Scaling


class Activations:
    """Scaled activations of some rows, to be multiplied with weights."""

    def __init__(self, matrix: sparse.csr_matrix, scaling: Scaling) -> None:
        self.rows = matrix.shape[0]
        scaled = sparse.csr_matrix(matrix.multiply(scaling.factor), dtype=np.float32)
        self._shift = torch.from_numpy(scaling.shift.astype(np.float32))
        self._full: torch.Tensor | None = None
        if matrix.nnz > DENSE_ABOVE * matrix.shape[0] * matrix.shape[1]:
            self._full = torch.from_numpy(scaled.toarray()) - self._shift
            return
        codes = Codes.from_csr(scaled)
        self._indices, self._values = torch.from_numpy(codes.indices), torch.from_numpy(codes.values)

    def logits(self, weight: Float32[torch.Tensor, "concepts classes"], rows: torch.Tensor | None = None) -> torch.Tensor:
        """`x · weight` of these rows, or of all: [rows, classes]."""
        if self._full is not None:
            return (self._full if rows is None else self._full[rows]) @ weight
        indices, values = (self._indices, self._values) if rows is None else (self._indices[rows], self._values[rows])
        return F.embedding_bag(indices, weight, per_sample_weights=values, mode="sum") - self._shift @ weight


@dataclass(frozen=True)
class Descent:
    """How long and how fast."""

    learning_rate: float
    epochs: int
    batch_size: int
    patience: int | None = None
    """Epochs without a better `watch` after which to stop; None: never."""


def descend(
    parameters: Sequence[torch.Tensor],
    loss: Callable[[Int64[torch.Tensor, " batch"]], torch.Tensor],
    rows: int,
    how: Descent,
    run: Run,
    message: str,
    watch: Callable[[], float] | None = None,
    after: Callable[[int], None] | None = None,
) -> int:
    """Minimise `loss(rows of a batch)` over `parameters`, in place; the order of the rows comes from `run.seed`.

    Args:
        watch: a figure that falls while the parameters get better, asked for after every epoch; they end as they were at its lowest.
        after: called with the number of every epoch once it is done.

    Returns:
        The epochs after which the parameters are as they end.
    """
    generator = torch.Generator().manual_seed(run.seed)
    optimiser = torch.optim.Adam(list(parameters), lr=how.learning_rate)
    best, best_epoch, kept = float("inf"), how.epochs, None
    for epoch in range(1, how.epochs + 1):
        run.check()
        total = 0.0
        for batch in torch.randperm(rows, generator=generator).split(how.batch_size):
            value = loss(batch)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            total += float(value.detach()) * len(batch)
        run.report(epoch, how.epochs, message, loss=total / rows)
        if after is not None:
            after(epoch)
        if watch is None:
            continue
        with torch.no_grad():
            seen = watch()
        if seen < best:
            best, best_epoch, kept = seen, epoch, [parameter.detach().clone() for parameter in parameters]
        elif how.patience is not None and epoch - best_epoch >= how.patience:
            break
    if kept is not None:
        with torch.no_grad():
            for parameter, value in zip(parameters, kept, strict=True):
                parameter.copy_(value)
    return best_epoch
