"""Non-negative lasso for many rows at once: every row's few atoms, and by how much at most its objective exceeds the minimum."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse
from jaxtyping import Float, Float64, Int, Int64

if TYPE_CHECKING:
    import torch

_BLOCK = 128
"""Rows solved together: their Gram matrices (4 MB at 64 atoms a row) stay near the cache."""
_SHARED_GRAM_ATOMS = 4096
"""Up to so many atoms, the Gram matrix of all of them (134 MB) is computed once and read from."""
_GRADIENT_STEPS = 16
"""Accelerated steps between two exact minimisations over the atoms in use."""
_SWEEPS = 4
"""Exact minimisations before the whole dictionary is looked at again: a working set that lacks atoms is not worth solving exactly."""
_RIDGE = 1e-12
"""Makes the system of two equal atoms solvable: they share the weight."""


@dataclass(frozen=True)
class SolverConfig:
    """When a row is done, and how many atoms are looked at first."""

    tolerance: float = 1e-8
    """Largest relative duality gap."""
    working_set: int = 16
    """Atoms that a row starts with, those most correlated with it; as many join in each round that finds them needed."""
    rounds: int = 200
    """Working sets tried at most; a row that has not converged by then says so by its gap."""


@dataclass(frozen=True)
class Decomposition:
    """Weights of atoms in rows, with their certificate."""

    weights: scipy.sparse.csr_matrix
    """[rows, atoms], float64, no negative entry."""
    gap: Float64[np.ndarray, " rows"]
    """Duality gap divided by the objective of zero weights, ½‖z‖²: the objective exceeds its minimum by no more than that share."""


class NonNegativeLasso:
    """Minimises ½‖z − wD‖² + λ Σw over w ≥ 0 for each row z, with the atoms D as rows.

    Exact working sets: a row is solved over its most correlated atoms, then the optimality condition (no atom outside has a correlation
    with the residual above λ) is checked over the whole dictionary, and atoms that violate it join. Within a working set, accelerated
    projected gradient (Beck and Teboulle 2009, restarted as in O'Donoghue and Candès 2015) finds which atoms are in use, and their
    weights are then solved for exactly, as in Moré and Toraldo 1991. Every row follows its own course: its weights do not depend on the
    rows beside it. Computed in float64.

    Args:
        atoms: rows of any length; unit rows in all uses here.
        penalty: λ, above 0. In units of the objective above; ‖z − wD‖² + l Σw has l = 2λ.
    """

    def __init__(self, atoms: Float[np.ndarray, "atoms dim"], penalty: float, config: SolverConfig | None = None) -> None:
        import torch

        if penalty <= 0:
            raise ValueError(f"the penalty must be above 0, not {penalty}")
        self._atoms = torch.from_numpy(np.array(atoms, np.float64))
        self.penalty = float(penalty)
        self.config = config or SolverConfig()

    def solve(self, targets: Float[np.ndarray, "rows dim"], candidates: Int[np.ndarray, "rows some"] | None = None) -> Decomposition:
        """
        Args:
            candidates: the atoms that each row may use, all different; all atoms when absent.
        """
        import torch

        count = len(self._atoms)
        weights, gaps = [], []
        for start in range(0, len(targets), _BLOCK):
            rows = torch.from_numpy(np.array(targets[start : start + _BLOCK], np.float64))
            allowed = None if candidates is None else np.asarray(candidates[start : start + _BLOCK], np.int64)
            with torch.no_grad():
                dense, gap = self._solve_block(rows, None if allowed is None else torch.from_numpy(allowed))
            gaps.append(gap.numpy())
            weights.append(_compressed(dense.numpy(), allowed, count))
        if not weights:
            return Decomposition(scipy.sparse.csr_matrix((0, count)), np.zeros(0))
        return Decomposition(scipy.sparse.vstack(weights, format="csr"), np.concatenate(gaps))

    def gap(self, targets: Float[np.ndarray, "rows dim"], weights: Float[np.ndarray, "rows atoms"]) -> Float64[np.ndarray, " rows"]:
        """The relative duality gap of any weights that are not negative, such as another solver's."""
        import torch

        rows, dense = (torch.from_numpy(np.array(array, np.float64)) for array in (targets, weights))
        residual = rows - dense @ self._atoms
        return self._gap(rows, residual, dense.sum(dim=1), residual @ self._atoms.T).numpy()

    @cached_property
    def _gram(self) -> torch.Tensor:
        return self._atoms @ self._atoms.T

    def _gram_of(self, chosen: torch.Tensor) -> torch.Tensor:
        """[rows, set, set]: inner products among the chosen atoms of each row."""
        count = len(self._atoms)
        # The Gram matrix of all atoms costs as much as those of (atoms / set)² rows: too much for a single image.
        pays = count <= _SHARED_GRAM_ATOMS and 8 * chosen.numel() * chosen.shape[1] >= count**2
        if pays or "_gram" in self.__dict__:
            return self._gram[chosen[:, :, None], chosen[:, None, :]]
        some = self._atoms[chosen]
        return some @ some.mT

    def _correlations(self, rows: torch.Tensor, allowed: torch.Tensor | None) -> torch.Tensor:
        """[rows, atoms], or [rows, some] of the allowed ones."""
        if allowed is None:
            return rows @ self._atoms.T
        return (self._atoms[allowed] @ rows[:, :, None])[:, :, 0]

    def _gap(self, rows: torch.Tensor, residual: torch.Tensor, total: torch.Tensor, correlations: torch.Tensor) -> torch.Tensor:
        """Primal minus dual objective, over ½‖z‖². The dual point is the multiple of the residual that is feasible and best."""
        square = (residual**2).sum(dim=1)
        most = self.penalty / correlations.amax(dim=1).clamp(min=1e-300)
        scale = ((rows * residual).sum(dim=1) / square.clamp(min=1e-300)).minimum(most)
        dual = scale * (rows * residual).sum(dim=1) - 0.5 * scale**2 * square
        return (0.5 * square + self.penalty * total - dual) / (0.5 * (rows**2).sum(dim=1)).clamp(min=1e-300)

    def _solve_block(self, rows: torch.Tensor, allowed: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights over all atoms, or over the allowed ones, and the gap of every row."""
        import torch
        import torch.nn.functional as F

        alone = self._correlations(rows, allowed)
        wanted = alone.clone()
        weights, gap = torch.zeros_like(alone), torch.zeros(len(rows), dtype=rows.dtype)
        todo, size = torch.arange(len(rows)), self.config.working_set
        for _ in range(self.config.rounds):
            size = min(size, alone.shape[1])
            some = wanted[todo].topk(size, dim=1, sorted=False).indices
            chosen = some if allowed is None else allowed[todo].gather(1, some)
            found = _minimise(self._gram_of(chosen), alone[todo].gather(1, some) - self.penalty, weights[todo].gather(1, some))
            weights[todo] = torch.zeros_like(alone[todo]).scatter_(1, some, found)
            residual = rows[todo] - F.embedding_bag(chosen, self._atoms, per_sample_weights=found, mode="sum")
            correlations = self._correlations(residual, None if allowed is None else allowed[todo])
            gap[todo] = self._gap(rows[todo], residual, found.sum(dim=1), correlations)
            # Atoms in use stay; the rest of the next working set are those that gain most.
            wanted[todo] = torch.where(weights[todo] > 0, torch.inf, correlations)
            todo = todo[gap[todo] > self.config.tolerance]
            if not len(todo):
                break
            # By rounds, not by the atoms that other rows of the block use: a row's course is its own.
            size += self.config.working_set
        return weights, gap.clamp(min=0)


def _compressed(
    dense: Float64[np.ndarray, "rows some"], allowed: Int64[np.ndarray, "rows some"] | None, atoms: int
) -> scipy.sparse.csr_matrix:
    rows, columns = np.nonzero(dense)
    where = columns if allowed is None else allowed[rows, columns]
    matrix = scipy.sparse.csr_matrix((dense[rows, columns], (rows, where)), shape=(len(dense), atoms))
    matrix.sort_indices()
    return matrix


def _minimise(gram: torch.Tensor, linear: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """½ wGw − bw over w ≥ 0 for every row: gradient steps change which atoms are in use, exact steps solve for those."""
    import torch

    result, alive = start.clone(), torch.arange(len(start))
    weights = start
    # The largest sum of a row bounds the largest eigenvalue.
    step = 1 / gram.abs().sum(dim=2).amax(dim=1, keepdim=True).clamp(min=1e-300)
    precision = 1e-11 * linear.abs().amax(dim=1).clamp(min=1e-300)
    for _ in range(_SWEEPS):
        weights = _use_exactly(gram, linear, _accelerated(gram, linear, weights, step))
        slope = linear - _times(gram, weights)
        wrong = torch.where(weights > 0, slope.abs(), slope.clamp(min=0)).amax(dim=1)
        result[alive] = weights
        going = wrong > precision
        if not going.any():
            break
        if not going.all():
            alive, gram, linear, weights, step, precision = (part[going] for part in (alive, gram, linear, weights, step, precision))
    return result


def _accelerated(gram: torch.Tensor, linear: torch.Tensor, start: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """Projected gradient with momentum, which a row drops when it points uphill."""
    import torch

    weights, ahead, momentum = start, start, torch.ones_like(step)
    for _ in range(_GRADIENT_STEPS):
        following = (ahead + step * (linear - _times(gram, ahead))).clamp_(min=0)
        moved = following - weights
        uphill = ((ahead - following) * moved).sum(dim=1, keepdim=True) > 0
        momentum = torch.where(uphill, 1.0, momentum)
        grown = 0.5 * (1 + (1 + 4 * momentum**2).sqrt())
        ahead = torch.where(uphill, following, following + (momentum - 1) / grown * moved)
        weights, momentum = following, grown
    return weights


def _use_exactly(gram: torch.Tensor, linear: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The minimum over the atoms in use, or the way there as far as no weight is negative, or its non-negative part if that is better."""
    import torch

    width = int((weights > 0).sum(dim=1).max())
    if width == 0:
        return weights
    now, some = weights.topk(width, dim=1)
    used = now > 0
    part = gram.gather(1, some[:, :, None].expand(-1, -1, gram.shape[2])).gather(2, some[:, None, :].expand(-1, width, -1))
    identity = torch.eye(width, dtype=gram.dtype)
    system = torch.where(used[:, :, None] & used[:, None, :], part, identity) + _RIDGE * identity
    right = torch.where(used, linear.gather(1, some), 0.0)
    exact = torch.cholesky_solve(right[:, :, None], torch.linalg.cholesky_ex(system).L)[:, :, 0]
    exact = torch.where(exact.isfinite(), exact, now)
    shrinking = exact < 0
    share = torch.where(shrinking, now / (now - exact).clamp(min=1e-300), 1.0).amin(dim=1, keepdim=True)
    stopped = torch.where(shrinking & (now - share * (now - exact) <= 1e-15 * now), 0.0, now + share * (exact - now)).clamp(min=0)
    clipped = exact.clamp(min=0)

    def objective(values: torch.Tensor) -> torch.Tensor:
        return (values * (0.5 * _times(part, values) - right)).sum(dim=1, keepdim=True)

    better = torch.where(objective(clipped) <= objective(stopped), clipped, stopped)
    return torch.zeros_like(weights).scatter_(1, some, torch.where(used, better, 0.0))


def _times(matrices: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    return (matrices @ vectors[:, :, None])[:, :, 0]
