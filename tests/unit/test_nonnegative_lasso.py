"""The decomposition's solver against closed forms, enumeration, scikit-learn and the optimality conditions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.linear_model import Lasso

from cbm.bottlenecks.nonnegative_lasso import NonNegativeLasso, SolverConfig
from cbm.core.arrays import unit_rows

DIM, ATOMS, ROWS = 20, 60, 40
FEW = SolverConfig(working_set=4)
"""So few atoms at first that working sets must grow."""


def problem(rows: int = ROWS, atoms: int = ATOMS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows, and unit atoms that all lean one way, as words do: their mean cosine is a third."""
    generator = np.random.default_rng(seed)
    directions = unit_rows(generator.normal(size=(atoms, DIM)) + 0.7).astype(np.float64)
    return unit_rows(generator.normal(size=(rows, DIM)) + 0.3).astype(np.float64), directions


def objective(targets: np.ndarray, atoms: np.ndarray, weights: np.ndarray, penalty: float) -> np.ndarray:
    return 0.5 * ((targets - weights @ atoms) ** 2).sum(axis=1) + penalty * weights.sum(axis=1)


def by_scikit_learn(targets: np.ndarray, atoms: np.ndarray, penalty: float) -> np.ndarray:
    """It divides the square by the number of dimensions, and so its penalty."""
    model = Lasso(alpha=penalty / atoms.shape[1], positive=True, fit_intercept=False, tol=1e-14, max_iter=100_000)
    return np.array([model.fit(atoms.T, target).coef_ for target in targets])


@pytest.mark.parametrize("penalty", [0.3, 0.05, 0.005])
@pytest.mark.parametrize("config", [FEW, SolverConfig()], ids=["growing sets", "one set"])
def test_weights_are_those_of_scikit_learn(penalty: float, config: SolverConfig) -> None:
    targets, atoms = problem()
    found = NonNegativeLasso(atoms, penalty, config).solve(targets)
    expected = by_scikit_learn(targets, atoms, penalty)
    np.testing.assert_allclose(found.weights.toarray(), expected, atol=1e-5)
    assert found.gap.max() <= 1e-8
    assert 0 < found.weights.nnz < found.weights.shape[0] * DIM


@pytest.mark.parametrize("penalty", [0.3, 0.05, 0.005])
def test_no_atom_of_the_whole_dictionary_would_gain(penalty: float) -> None:
    targets, atoms = problem(atoms=400, seed=1)
    weights = NonNegativeLasso(atoms, penalty, FEW).solve(targets).weights.toarray()
    correlations = (targets - weights @ atoms) @ atoms.T
    assert weights.min() >= 0
    assert correlations.max() <= penalty + 1e-7
    np.testing.assert_allclose(correlations[weights > 0], penalty, atol=1e-7)


def test_orthogonal_atoms_are_soft_thresholded() -> None:
    atoms = np.linalg.qr(np.random.default_rng(2).normal(size=(DIM, DIM)))[0]
    targets = problem()[0]
    found = NonNegativeLasso(atoms, 0.1, FEW).solve(targets).weights.toarray()
    np.testing.assert_allclose(found, np.maximum(targets @ atoms.T - 0.1, 0), atol=1e-12)


def test_the_minimum_is_the_best_of_all_subsets() -> None:
    targets, atoms = problem(rows=10, atoms=7, seed=3)
    penalty, best = 0.05, np.zeros((10, 7))
    for size in range(1, 8):
        for subset in itertools.combinations(range(7), size):
            some = atoms[list(subset)]
            solved = np.linalg.solve(some @ some.T, some @ targets.T - penalty).T
            weights = np.zeros((10, 7))
            weights[:, subset] = solved
            better = (solved >= 0).all(axis=1) & (objective(targets, atoms, weights, penalty) < objective(targets, atoms, best, penalty))
            best[better] = weights[better]
    np.testing.assert_allclose(NonNegativeLasso(atoms, penalty, FEW).solve(targets).weights.toarray(), best, atol=1e-9)


def test_the_gap_bounds_how_far_any_weights_are_from_the_minimum() -> None:
    targets, atoms = problem(seed=4)
    penalty = 0.05
    solver = NonNegativeLasso(atoms, penalty)
    best = solver.solve(targets).weights.toarray()
    least = objective(targets, atoms, best, penalty)
    assert np.abs(solver.gap(targets, best)).max() < 1e-8
    generator = np.random.default_rng(5)
    for spread in (1e-3, 1e-1):
        other = np.maximum(best + spread * generator.normal(size=best.shape), 0)
        excess = (objective(targets, atoms, other, penalty) - least) / (0.5 * (targets**2).sum(axis=1))
        assert (solver.gap(targets, other) >= excess).all()
        assert (excess > 0).all()


def test_who_is_stopped_early_says_so() -> None:
    targets, atoms = problem(seed=6)
    solver = NonNegativeLasso(atoms, 0.05, SolverConfig(working_set=1, rounds=1))
    found = solver.solve(targets)
    assert found.gap.max() > 1e-3
    np.testing.assert_allclose(found.gap, np.maximum(solver.gap(targets, found.weights.toarray()), 0), atol=1e-12)


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    targets, atoms = problem(rows=300, atoms=200, seed=7)
    together = NonNegativeLasso(atoms, 0.05, FEW).solve(targets).weights.toarray()
    for row in (0, 127, 128, 299):
        alone = NonNegativeLasso(atoms, 0.05, FEW).solve(targets[[row]]).weights.toarray()
        np.testing.assert_allclose(together[[row]], alone, atol=1e-10)


def test_candidates_are_the_only_atoms_that_a_row_may_use() -> None:
    targets, atoms = problem(seed=8)
    generator = np.random.default_rng(9)
    candidates = np.array([generator.permutation(ATOMS)[:15] for _ in targets])
    found = NonNegativeLasso(atoms, 0.05, FEW).solve(targets, candidates)
    expected = np.zeros((ROWS, ATOMS))
    for row, some in enumerate(candidates):
        expected[row, some] = by_scikit_learn(targets[[row]], atoms[some], 0.05)[0]
    np.testing.assert_allclose(found.weights.toarray(), expected, atol=1e-5)
    assert found.gap.max() <= 1e-8


def test_equal_atoms_share_and_empty_rows_and_atoms_stay_empty() -> None:
    targets, atoms = problem(seed=10)
    single = NonNegativeLasso(atoms, 0.05).solve(targets).weights.toarray()
    doubled = np.concatenate([atoms, atoms, np.zeros((1, DIM))])
    found = NonNegativeLasso(doubled, 0.05, FEW).solve(np.concatenate([targets, np.zeros((1, DIM))]))
    weights = found.weights.toarray()
    np.testing.assert_allclose(weights[:ROWS, :ATOMS] + weights[:ROWS, ATOMS:-1], single, atol=1e-6)
    assert not weights[ROWS].any()
    assert not weights[:, -1].any()
    assert found.gap.max() <= 1e-8


def test_a_penalty_above_every_correlation_leaves_nothing() -> None:
    targets, atoms = problem(seed=11)
    found = NonNegativeLasso(atoms, 1.5).solve(targets)
    assert found.weights.nnz == 0
    assert found.gap.max() == 0
    assert NonNegativeLasso(atoms, 1.5).solve(targets[:0]).weights.shape == (0, ATOMS)
    with pytest.raises(ValueError, match="above 0"):
        NonNegativeLasso(atoms, 0.0)
