"""Accelerated proximal gradient with a growing working set: the solver behind the NEC path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from cbm.core.errors import Cancelled
from cbm.heads.problem import PairSystem, Penalty, SparseProblem, State, duality_gap, objective


@dataclass(frozen=True)
class Solution:
    """Optimum of the sparse problem at one penalty, on the standardised scale."""

    pairs: np.ndarray
    """Flat positions class · concepts + concept of the non-zero weights, ascending."""
    weights: np.ndarray
    """float64, none of them zero."""
    bias: np.ndarray
    """[classes] float64, of centred activations."""
    penalty: Penalty
    objective: float
    optimality_gap: float
    """Duality gap of the full problem relative to the objective: the objective is at most this share above the optimum."""
    iterations: int
    """Proximal steps taken, over all working sets."""
    gradient: np.ndarray
    """[classes · concepts] of the loss, for screening at the next penalty."""

    @property
    def count(self) -> int:
        return len(self.pairs)


@dataclass(frozen=True)
class SolverConfig:
    """When to stop and how hard to try."""

    tolerance: float = 1e-4
    """Relative duality gap at which an optimum counts as found."""
    max_iterations: int = 20_000
    """A guard against endless work only: reaching it leaves `optimality_gap` above the tolerance, which is reported."""
    accelerated: bool = True
    preconditioned: bool = True


_ROOM, _ROOM_DENSE = 1000, 200
"""Pairs that may join the working set at once, or as many as it has."""


def solve(
    problem: SparseProblem,
    penalty: Penalty,
    *,
    start: Solution | None = None,
    config: SolverConfig | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Solution:
    """Minimise the objective to the configured duality gap, starting from the optimum at a nearby penalty where there is one.

    Pairs enter the working set by the sequential strong rule (Tibshirani et al. 2012, section 5) and, since that rule may err,
    whenever the full gradient breaks the optimality conditions; the certificate always covers all pairs. Raises Cancelled.
    """
    config = config or SolverConfig()
    weights, bias, pairs, gradient = _starting_point(problem, penalty, start)
    iterations = 0
    inner_tolerance = 0.5 * config.tolerance
    while True:
        system = PairSystem(problem, pairs)
        weights, bias, state, taken = _minimise(
            system, weights, bias, penalty, inner_tolerance, config, config.max_iterations - iterations, cancelled
        )
        iterations += taken
        gradient = problem.full_gradient(state.residual).ravel()
        dense_gap = duality_gap(state, weights, bias, gradient, state.residual.mean(dim=1, dtype=torch.float64).numpy(), penalty)
        broken = np.abs(gradient) > penalty.l1
        broken[pairs] = False
        fresh = np.flatnonzero(broken)
        if dense_gap <= config.tolerance or iterations >= config.max_iterations:
            break
        if len(fresh) == 0:
            inner_tolerance *= 0.3
            continue
        room = max(_ROOM_DENSE if problem.full is not None else _ROOM, len(pairs))
        if len(fresh) > room:
            fresh = fresh[np.argsort(-np.abs(gradient[fresh]), kind="stable")[:room]]
        joined = np.union1d(pairs, fresh)
        grown = np.zeros(len(joined))
        grown[np.searchsorted(joined, pairs)] = weights
        pairs, weights = joined, grown
    held = weights != 0
    return Solution(pairs[held], weights[held], bias, penalty, objective(state.loss, weights, penalty), dense_gap, iterations, gradient)


def _starting_point(
    problem: SparseProblem, penalty: Penalty, start: Solution | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    if start is None:
        bias = problem.best_bias()
        gradient = problem.full_gradient(problem.evaluate(problem.bias_logits(bias)).residual).ravel()
        previous, held, values = float(np.abs(gradient).max()), np.zeros(0, np.int64), np.zeros(0)
    else:
        bias, gradient, previous, held, values = start.bias, start.gradient, start.penalty.l1, start.pairs, start.weights
    bound = max(2 * penalty.l1 - previous, 0.5 * penalty.l1)
    likely = np.flatnonzero(np.abs(gradient) >= bound)
    if problem.full is not None:
        # Dense concepts resemble each other, so that the rule keeps nearly all of them; a full gradient costs no more than a few steps.
        most = max(_ROOM_DENSE, len(held))
        likely = likely[np.argsort(-np.abs(gradient[likely]), kind="stable")[:most]]
    pairs = np.union1d(held, likely)
    weights = np.zeros(len(pairs))
    weights[np.searchsorted(pairs, held)] = values
    return weights, bias, pairs, gradient


def _minimise(
    system: PairSystem,
    weights: np.ndarray,
    bias: np.ndarray,
    penalty: Penalty,
    tolerance: float,
    config: SolverConfig,
    max_iterations: int,
    cancelled: Callable[[], bool] | None,
) -> tuple[np.ndarray, np.ndarray, State, int]:
    """FISTA with backtracking and adaptive restart (O'Donoghue and Candès 2015, gradient scheme) on one working set.

    Steps are measured in a diagonal metric, the curvature at the start, because a concept matters a hundred times more to the rows
    of one class than to the rest; the backtracked multiplier keeps every step a majorisation, whatever the metric.
    """
    problem = system.problem
    slack = 1e-12 if problem.dtype is np.float64 else 1e-6
    logits = system.logits(weights, bias)
    metric, bias_metric = _metric(system, problem.evaluate(logits), config)
    multiplier, momentum = 1.0, 1.0
    ahead, ahead_bias, ahead_logits = weights, bias, logits
    iteration, finished = 0, False
    while True:
        if cancelled is not None and cancelled():
            raise Cancelled("fitting the sparse head was cancelled")
        ahead_state = problem.evaluate(ahead_logits)
        gradient, bias_gradient = system.gradient(ahead_state.residual)
        if iteration % 10 == 0 or iteration + 1 >= max_iterations:
            # The point ahead is not sparse; one more proximal step from it is, and lies no higher.
            gap = duality_gap(ahead_state, ahead, ahead_bias, gradient, bias_gradient, penalty)
            finished = gap <= tolerance or iteration + 1 >= max_iterations
        multiplier *= 0.9
        while True:
            step, bias_step = multiplier * metric, multiplier * bias_metric
            moved = ahead - gradient / step
            new = np.sign(moved) * np.maximum(np.abs(moved) - penalty.l1 / step, 0) / (1 + penalty.l2 / step)
            new_bias = ahead_bias - bias_gradient / bias_step
            change, bias_change = new - ahead, new_bias - ahead_bias
            new_logits = system.logits(new, new_bias)
            linear = float(gradient @ change + bias_gradient @ bias_change)
            quadratic = 0.5 * float(step @ change**2 + bias_step @ bias_change**2)
            if problem.loss(new_logits) <= ahead_state.loss + linear + quadratic + slack * max(1.0, ahead_state.loss):
                break
            multiplier *= 2
        iteration += 1
        if finished:
            return new, new_bias, problem.evaluate(new_logits), iteration
        towards = float((step * change) @ (new - weights)) + float((bias_step * bias_change) @ (new_bias - bias))
        if towards < 0 or not config.accelerated:
            momentum = 1.0
        following = 0.5 * (1 + np.sqrt(1 + 4 * momentum**2))
        beta = (momentum - 1) / following
        momentum = following
        ahead, ahead_bias = new + beta * (new - weights), new_bias + beta * (new_bias - bias)
        ahead_logits = new_logits if beta == 0 else new_logits.lerp(logits, -beta)
        weights, bias, logits = new, new_bias, new_logits


FLOOR = 1e-4
"""Least curvature of the metric: a pair that no row depends on yet must not take endless steps."""


def _metric(system: PairSystem, state: State, config: SolverConfig) -> tuple[np.ndarray, np.ndarray]:
    if not config.preconditioned:
        return np.ones(len(system.pairs)), np.ones(system.problem.classes)
    curvature, bias_curvature = system.curvature(state)
    return np.maximum(curvature, FLOOR), np.maximum(bias_curvature, FLOOR)
