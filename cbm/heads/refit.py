"""What follows truncation: weights and bias, refitted on the kept pairs without the L1 shrinkage."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from cbm.heads.problem import PairSystem, SparseProblem

BIAS_RIDGE = 1e-6
"""L2 on the refitted bias: separable rows would let it grow without end."""


def refit_ridge(
    problem: SparseProblem, pairs: np.ndarray, weights: np.ndarray, bias: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of `pairs` and bias that minimise mean cross-entropy + strength/2 ‖V‖² on the standardised scale."""
    system = PairSystem(problem, pairs)

    def value_and_gradient(candidate: np.ndarray) -> tuple[float, np.ndarray]:
        inner, offset = candidate[: len(pairs)], candidate[len(pairs) :]
        state = problem.evaluate(system.logits(inner, offset))
        gradient, bias_gradient = system.gradient(state.residual)
        value = state.loss + 0.5 * strength * float(inner @ inner) + 0.5 * BIAS_RIDGE * float(offset @ offset)
        return value, np.concatenate([gradient + strength * inner, bias_gradient + BIAS_RIDGE * offset])

    solution = _minimise(value_and_gradient, np.concatenate([weights, bias]))
    refitted = solution[: len(pairs)]
    # An exact zero would lower the NEC; the optimum has one only by accident of rounding.
    refitted[refitted == 0] = np.finfo(np.float32).tiny * 1e8
    return refitted, solution[len(pairs) :]


def _minimise(value_and_gradient, start: np.ndarray) -> np.ndarray:  # type: ignore[no-untyped-def]
    return np.asarray(
        minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options={"maxiter": 300, "ftol": 1e-7, "gtol": 1e-5}).x
    )
