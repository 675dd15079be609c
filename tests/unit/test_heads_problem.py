"""The sparse solver against closed forms, against scikit-learn, and against its own certificate."""

import numpy as np
import pytest
from scipy import sparse

from cbm.core.errors import Cancelled
from cbm.heads.problem import PairSystem, Penalty, SparseProblem, duality_gap
from cbm.heads.proximal import SolverConfig, solve
from cbm.heads.refit import refit_ridge


def make_rows(rows: int = 240, concepts: int = 30, classes: int = 4, seed: int = 0) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Sparse non-negative activations of very unequal scales whose labels depend on a few of them, with noise."""
    generator = np.random.default_rng(seed)
    dense = generator.exponential(1.0, (rows, concepts)) * (generator.random((rows, concepts)) < 0.25)
    dense[:, 0] += 3.0
    truth = generator.standard_normal((classes, concepts)) * (generator.random((classes, concepts)) < 0.3)
    labels = (dense @ truth.T + generator.gumbel(size=(rows, classes))).argmax(axis=1)
    return sparse.csr_matrix((dense * np.geomspace(0.01, 50, concepts)).astype(np.float32)), labels


def standardised(matrix: sparse.csr_matrix) -> np.ndarray:
    dense = matrix.toarray().astype(np.float64)
    return (dense - dense.mean(axis=0)) / dense.std(axis=0)


def dense_objective(features: np.ndarray, labels: np.ndarray, weights: np.ndarray, bias: np.ndarray, penalty: Penalty) -> float:
    logits = features @ weights.T + bias
    largest = logits.max(axis=1)
    losses = np.log(np.exp(logits - largest[:, None]).sum(axis=1)) + largest - logits[np.arange(len(labels)), labels]
    return float(losses.mean() + penalty.l1 * np.abs(weights).sum() + 0.5 * penalty.l2 * (weights**2).sum())


def dense_weights(solution, problem: SparseProblem) -> np.ndarray:
    weights = np.zeros((problem.classes, problem.concepts))
    weights.ravel()[solution.pairs] = solution.weights
    return weights


@pytest.fixture(scope="module")
def rows():
    return make_rows()


def test_logits_of_a_pair_system_are_those_of_explicitly_standardised_rows(rows):
    matrix, labels = rows
    problem = SparseProblem(matrix, labels, 4, np.float64)
    generator = np.random.default_rng(1)
    pairs = np.sort(generator.choice(4 * 30, 17, replace=False))
    weights, bias = generator.standard_normal(17), generator.standard_normal(4)
    full = np.zeros((4, 30))
    full.ravel()[pairs] = weights
    expected = standardised(matrix) @ full.T + bias
    np.testing.assert_allclose(PairSystem(problem, pairs).logits(weights, bias).numpy().T, expected, atol=1e-10)
    folded, folded_bias = problem.fold(full, bias)
    np.testing.assert_allclose(matrix.toarray().astype(np.float64) @ folded.T + folded_bias, expected, atol=1e-8)


def test_gradients_match_finite_differences(rows):
    matrix, labels = rows
    problem = SparseProblem(matrix, labels, 4, np.float64)
    generator = np.random.default_rng(2)
    pairs = np.arange(4 * 30)
    weights, bias = 0.3 * generator.standard_normal(120), generator.standard_normal(4)
    system = PairSystem(problem, pairs)
    state = problem.evaluate(system.logits(weights, bias))
    gradient, bias_gradient = system.gradient(state.residual)
    np.testing.assert_allclose(problem.full_gradient(state.residual).ravel(), gradient, atol=1e-10)
    for position in (0, 31, 77):
        step = np.zeros(120)
        step[position] = 1e-5
        difference = problem.loss(system.logits(weights + step, bias)) - problem.loss(system.logits(weights - step, bias))
        assert difference / 2e-5 == pytest.approx(gradient[position], abs=1e-7)
    step = np.array([1e-5, 0, 0, 0])
    difference = problem.loss(system.logits(weights, bias + step)) - problem.loss(system.logits(weights, bias - step))
    assert difference / 2e-5 == pytest.approx(bias_gradient[0], abs=1e-7)


def test_curvature_is_the_diagonal_of_the_hessian(rows):
    matrix, labels = rows
    problem = SparseProblem(matrix, labels, 4, np.float64)
    generator = np.random.default_rng(3)
    weights, bias = 0.2 * generator.standard_normal(120), generator.standard_normal(4)
    system = PairSystem(problem, np.arange(120))
    curvature, bias_curvature = system.curvature(problem.evaluate(system.logits(weights, bias)))
    for position in (0, 45, 119):
        step = np.zeros(120)
        step[position] = 1e-5
        above = system.gradient(problem.evaluate(system.logits(weights + step, bias)).residual)[0][position]
        below = system.gradient(problem.evaluate(system.logits(weights - step, bias)).residual)[0][position]
        assert (above - below) / 2e-5 == pytest.approx(curvature[position], rel=1e-4)
    assert bias_curvature.shape == (4,)


@pytest.mark.parametrize("l1_share", [1.0, 0.99, 0.5])
def test_largest_penalty_is_exactly_where_the_first_weight_appears(rows, l1_share):
    matrix, labels = rows
    problem = SparseProblem(matrix, labels, 4, np.float64)
    largest = problem.smallest_strength_without_weights(l1_share)
    config = SolverConfig(1e-8)
    assert solve(problem, Penalty(largest * 1.0001, l1_share), config=config).count == 0
    assert solve(problem, Penalty(largest * 0.98, l1_share), config=config).count >= 1


@pytest.mark.parametrize(("l1_share", "strength"), [(1.0, 0.03), (0.99, 0.03), (0.5, 0.02)])
def test_optimum_is_that_of_scikit_learn(rows, l1_share, strength):
    from sklearn.linear_model import LogisticRegression

    matrix, labels = rows
    features = standardised(matrix)
    problem, penalty = SparseProblem(matrix, labels, 4, np.float64), Penalty(strength, l1_share)
    ours = solve(problem, penalty, config=SolverConfig(1e-8))
    assert ours.optimality_gap <= 1e-8
    weights = dense_weights(ours, problem)
    oracle = LogisticRegression(solver="saga", l1_ratio=l1_share, C=1 / (strength * len(labels)), tol=1e-6, max_iter=3_000)
    oracle.fit(features, labels)
    value = dense_objective(features, labels, weights, ours.bias, penalty)
    assert value == pytest.approx(ours.objective, rel=1e-9)
    assert value <= dense_objective(features, labels, oracle.coef_, oracle.intercept_, penalty) * (1 + 1e-7)
    np.testing.assert_allclose(weights, oracle.coef_, atol=5e-3)


def test_optimality_conditions_hold_with_exact_zeros(rows):
    matrix, labels = rows
    problem, penalty = SparseProblem(matrix, labels, 4, np.float64), Penalty(0.01)
    solution = solve(problem, penalty, config=SolverConfig(1e-8))
    weights, features = dense_weights(solution, problem), standardised(matrix)
    logits = features @ weights.T + solution.bias
    probability = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability /= probability.sum(axis=1, keepdims=True)
    gradient = (probability - np.eye(4)[labels]).T @ features / len(labels)
    zero = weights == 0
    assert 0 < zero.sum() < zero.size
    assert np.abs(gradient[zero]).max() <= penalty.l1 * 1.001
    np.testing.assert_allclose(gradient[~zero] + penalty.l2 * weights[~zero], -penalty.l1 * np.sign(weights[~zero]), atol=1e-4)
    np.testing.assert_allclose((probability - np.eye(4)[labels]).mean(axis=0), 0, atol=1e-5)


def test_a_warm_start_ends_where_a_cold_one_does(rows):
    matrix, labels = rows
    problem, config = SparseProblem(matrix, labels, 4, np.float64), SolverConfig(1e-9)
    near = solve(problem, Penalty(0.03), config=config)
    warm = solve(problem, Penalty(0.01), start=near, config=config)
    cold = solve(problem, Penalty(0.01), config=config)
    assert warm.objective == pytest.approx(cold.objective, rel=1e-7)
    np.testing.assert_array_equal(warm.pairs, cold.pairs)


def test_the_gap_bounds_the_distance_to_the_optimum_everywhere(rows):
    matrix, labels = rows
    problem, penalty = SparseProblem(matrix, labels, 4, np.float64), Penalty(0.01)
    best = solve(problem, penalty, config=SolverConfig(1e-8)).objective
    system = PairSystem(problem, np.arange(120))
    generator = np.random.default_rng(4)
    for size in (0.0, 0.05, 0.5):
        weights, bias = size * generator.standard_normal(120), size * generator.standard_normal(4)
        state = problem.evaluate(system.logits(weights, bias))
        gradient, bias_gradient = system.gradient(state.residual)
        value = dense_objective(standardised(matrix), labels, weights.reshape(4, 30), bias, penalty)
        assert duality_gap(state, weights, bias, gradient, bias_gradient, penalty) >= (value - best) / value - 1e-12


@pytest.mark.parametrize("options", [{"accelerated": False}, {"preconditioned": False}])
def test_acceleration_and_metric_change_the_way_but_not_the_end(rows, options):
    matrix, labels = rows
    problem = SparseProblem(matrix, labels, 4, np.float64)
    plain = solve(problem, Penalty(0.02), config=SolverConfig(1e-6, **options))
    assert plain.objective == pytest.approx(solve(problem, Penalty(0.02), config=SolverConfig(1e-8)).objective, rel=2e-6)


def test_single_precision_reaches_the_gap_it_is_used_for(rows):
    matrix, labels = rows
    single = solve(SparseProblem(matrix, labels, 4, np.float32), Penalty(0.01), config=SolverConfig(1e-4))
    double = solve(SparseProblem(matrix, labels, 4, np.float64), Penalty(0.01), config=SolverConfig(1e-8))
    assert single.optimality_gap <= 1e-4
    assert single.objective == pytest.approx(double.objective, rel=1.1e-4)


def test_a_concept_that_never_varies_gets_no_weight():
    matrix, labels = make_rows()
    constant = sparse.hstack([matrix, np.full((240, 1), 7.0), sparse.csr_matrix((240, 1))]).tocsr()
    problem = SparseProblem(constant, labels, 4, np.float64)
    solution = solve(problem, Penalty(0.002), config=SolverConfig(1e-6))
    assert not np.isin(solution.pairs % 32, [30, 31]).any()
    assert np.isfinite(solution.objective)


def test_scaling_a_concept_changes_nothing_but_its_folded_weight(rows):
    matrix, labels = rows
    scaled = matrix @ sparse.diags(np.where(np.arange(30) == 5, 1000.0, 1.0))
    config = SolverConfig(1e-8)
    first, second = (SparseProblem(m, labels, 4, np.float64) for m in (matrix, sparse.csr_matrix(scaled)))
    a, b = solve(first, Penalty(0.01), config=config), solve(second, Penalty(0.01), config=config)
    np.testing.assert_array_equal(a.pairs, b.pairs)
    folded_a, folded_b = first.fold(dense_weights(a, first), a.bias)[0], second.fold(dense_weights(b, second), b.bias)[0]
    np.testing.assert_allclose(folded_a[:, 5], folded_b[:, 5] * 1000, rtol=1e-3, atol=1e-6)


def test_cancelling_stops_the_solver(rows):
    matrix, labels = rows
    with pytest.raises(Cancelled):
        solve(SparseProblem(matrix, labels, 4), Penalty(0.01), cancelled=lambda: True)


def test_running_out_of_iterations_is_reported_by_the_gap(rows):
    matrix, labels = rows
    solution = solve(SparseProblem(matrix, labels, 4, np.float64), Penalty(0.001), config=SolverConfig(1e-9, max_iterations=3))
    assert solution.iterations <= 3
    assert solution.optimality_gap > 1e-9


def test_the_refit_reaches_a_stationary_point_on_the_kept_pairs(rows):
    matrix, labels = rows
    problem = SparseProblem(matrix, labels, 4, np.float64)
    solution = solve(problem, Penalty(0.02))
    system = PairSystem(problem, solution.pairs)
    weights, bias = refit_ridge(problem, solution.pairs, solution.weights, solution.bias, 0.01)
    gradient, bias_gradient = system.gradient(problem.evaluate(system.logits(weights, bias)).residual)
    assert np.abs(gradient + 0.01 * weights).max() < 2e-3
    assert np.abs(bias_gradient).max() < 2e-3
    assert np.count_nonzero(weights) == len(solution.pairs)
