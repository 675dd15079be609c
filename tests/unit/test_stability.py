"""Matching of dictionaries: permutations, duplicates, and brute force over all assignments."""

import itertools

import numpy as np
import pytest
import scipy.sparse

from cbm.core.codes import Codes
from cbm.metrics import stability
from cbm.metrics.stability import activation_correlations, energy, match_dictionaries


def directions(count, dim, seed):
    found = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_a_shuffled_dictionary_is_the_same():
    first = directions(12, 8, 0)
    order = np.random.default_rng(1).permutation(12)
    match = match_dictionaries(first, 3 * first[order])
    np.testing.assert_array_equal(order[match.nearest], np.arange(12))
    assert match.mean_max_cosine == pytest.approx(1, abs=1e-6)
    assert (match.share_found, match.share_mutual) == (1, 1)
    assert match.assigned_cosine == pytest.approx(1, abs=1e-6)


def test_the_assignment_is_the_best_of_all_permutations():
    first, second = directions(6, 4, 2), directions(6, 4, 3)
    cosines = first.astype(np.float64) @ second.T
    best = max(np.mean([cosines[i, j] for i, j in enumerate(order)]) for order in itertools.permutations(range(6)))
    match = match_dictionaries(first, second)
    assert match.assigned_cosine == pytest.approx(best, abs=1e-6)
    np.testing.assert_allclose(match.cosines, cosines.max(axis=1), atol=1e-6)


def test_two_concepts_cannot_be_found_in_one():
    first = np.array([[1, 0, 0], [0.96, 0.28, 0]], np.float32)
    second = np.array([[1, 0, 0], [0, 0, 1]], np.float32)
    match = match_dictionaries(first, second)
    assert match.share_found == 1
    assert match.share_mutual == 0.5
    assert match.assigned_cosine == pytest.approx((1 + 0) / 2)


def test_dead_concepts_are_not_matched_and_energy_weighs():
    first, second = np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)[[0, 1]]
    match = match_dictionaries(first, second, np.array([6.0, 0.0, 2.0, 0.0]), np.array([1.0, 0.0]))
    np.testing.assert_array_equal(match.first, [0, 2])
    np.testing.assert_array_equal(match.nearest, [0, 0])
    np.testing.assert_allclose(match.weights, [0.75, 0.25])
    assert match.share_found == 0.5
    assert match.weighted_share_found == pytest.approx(0.75)
    assert match.weighted_cosine == pytest.approx(0.75)
    with pytest.raises(ValueError, match="no concept is alive"):
        match_dictionaries(first, second, np.zeros(4))


def test_large_dictionaries_are_not_assigned(monkeypatch):
    monkeypatch.setattr(stability, "ASSIGNED_AT_MOST", 5)
    monkeypatch.setattr(stability, "_BLOCK_ROWS", 4)
    first, second = directions(6, 4, 2), directions(7, 4, 3)
    match = match_dictionaries(first, second)
    assert match.assigned_cosine is None
    np.testing.assert_allclose(match.cosines, (first @ second.T).max(axis=1), atol=1e-6)


def test_correlations_are_those_of_dense_columns():
    generator = np.random.default_rng(4)
    ours, theirs = ((generator.exponential(size=(50, 5)) * (generator.random((50, 5)) < 0.4)).astype(np.float32) for _ in range(2))
    theirs[:, 2] = 2 * ours[:, 1]
    ours[:, 4] = 0
    first, second = (Codes.from_csr(scipy.sparse.csr_matrix(dense)) for dense in (ours, theirs))
    match = match_dictionaries(np.eye(5, dtype=np.float32), np.eye(5, dtype=np.float32)[[0, 2, 1, 3, 4]])
    found = activation_correlations(first, second, match)
    expected = [np.corrcoef(ours[:, i], theirs[:, j])[0, 1] for i, j in zip(range(4), [0, 2, 1, 3], strict=True)]
    np.testing.assert_allclose(found, [*expected, np.nan], atol=1e-6)
    assert found[1] == pytest.approx(1)
    np.testing.assert_allclose(energy(first), np.mean(ours.astype(np.float64) ** 2, axis=0), rtol=1e-6)
