"""Monosemanticity against a loop over pairs of images."""

import itertools

import numpy as np
import pytest
import scipy.sparse

from cbm.core.codes import Codes
from cbm.metrics.monosemanticity import MonosemanticityAccumulators, monosemanticity


def sparse_codes(dense):
    return Codes.from_csr(scipy.sparse.csr_matrix(np.asarray(dense, np.float32)))


def over_pairs(dense, embeddings):
    """The published definition, pair by pair."""
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    scores = []
    for column in dense.T.astype(np.float64):
        if column.max() == column.min():
            scores.append(np.nan)
            continue
        relevance = (column - column.min()) / (column.max() - column.min())
        above = below = 0.0
        for i, j in itertools.combinations(range(len(dense)), 2):
            above += relevance[i] * relevance[j] * (units[i] @ units[j])
            below += relevance[i] * relevance[j]
        scores.append(above / below if below > 1e-12 else np.nan)
    return np.array(scores)


@pytest.fixture
def world():
    generator = np.random.default_rng(0)
    dense = generator.exponential(size=(30, 9)) * (generator.random((30, 9)) < 0.3)
    dense[:, 3] = 0  # dead
    dense[:, 4] = 0
    dense[7, 4] = 2  # on one image
    dense[:, 5] = 0.5 + generator.random(30)  # on all: the least is not zero
    dense[:, 6] = generator.standard_normal(30)  # negative, too
    dense[:, 7] = 0.7  # equally on all
    return dense.astype(np.float32), (3 + generator.standard_normal((30, 5))).astype(np.float32)


def test_the_identity_is_the_loop_over_pairs(world):
    dense, embeddings = world
    found = monosemanticity(sparse_codes(dense), embeddings)
    np.testing.assert_allclose(found.scores, over_pairs(dense, embeddings), atol=1e-6)
    assert np.flatnonzero(np.isnan(found.scores)).tolist() == [3, 4, 7]
    assert found.measured == 6


def test_random_is_the_mean_cosine_of_all_pairs(world):
    dense, embeddings = world
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    pairs = np.triu_indices(30, 1)
    assert monosemanticity(sparse_codes(dense), embeddings).random == pytest.approx((units @ units.T)[pairs].mean(), abs=1e-6)


def test_batches_add_up_to_the_whole(world):
    dense, embeddings = world
    sums = MonosemanticityAccumulators(dense.shape[1], embeddings.shape[1])
    for start in range(0, 30, 7):
        sums.add(sparse_codes(dense[start : start + 7]), embeddings[start : start + 7])
    whole, parts = monosemanticity(sparse_codes(dense), embeddings), sums.result()
    np.testing.assert_allclose(parts.scores, whole.scores, atol=1e-9)
    assert parts.random == pytest.approx(whole.random)


def test_a_concept_of_one_kind_scores_one_and_one_of_two_opposite_kinds_less_than_chance():
    embeddings = np.repeat([[1.0, 0], [-1, 0], [0, 1]], 4, axis=0).astype(np.float32)
    dense = np.zeros((12, 2))
    dense[:4, 0] = 1
    dense[3:5, 1] = 1
    found = monosemanticity(sparse_codes(dense), embeddings)
    np.testing.assert_allclose(found.scores, [1, -1])
    assert found.scores[1] < found.random < found.scores[0]
    assert found.quantile(0.5) == pytest.approx(0)


def test_nothing_to_measure_is_not_a_number():
    found = monosemanticity(sparse_codes(np.zeros((1, 3))), np.ones((1, 4), np.float32))
    assert found.measured == 0
    assert np.isnan(found.quantile(0.5))
    assert np.isnan(found.random)
