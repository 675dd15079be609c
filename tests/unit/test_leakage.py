"""Leakage in closed form: plant a leak, find that one and no other."""

import numpy as np
import pytest

from cbm.core.codes import Codes
from cbm.metrics.leakage import accuracy_with_permuted_names, discretise, entropy, leakage, mutual_information


def test_information_of_equal_independent_and_noisy_columns():
    bits = np.array([0, 0, 1, 1])
    assert mutual_information(bits, bits, corrected=False) == pytest.approx(np.log(2))
    assert mutual_information(bits, np.array([0, 1, 0, 1]), corrected=False) == pytest.approx(0)
    # Of eight rows, one in four is flipped: I = log 2 - H(1/4).
    first, second = np.repeat([0, 1], 4), np.array([0, 0, 0, 1, 1, 1, 1, 0])
    noise = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert mutual_information(first, second, corrected=False) == pytest.approx(np.log(2) - noise)
    assert entropy(np.array([7, 7, 7])) == 0


def test_the_correction_takes_chance_away():
    generator = np.random.default_rng(0)
    plain, corrected = [], []
    for _ in range(50):
        first, second = generator.integers(0, 8, 1000), generator.integers(0, 10, 1000)
        plain.append(mutual_information(first, second, corrected=False))
        corrected.append(mutual_information(first, second))
    # The bias is (8 - 1) (10 - 1) / (2 · 1000).
    assert np.mean(plain) == pytest.approx(0.0315, abs=0.003)
    assert abs(np.mean(corrected)) < 0.003


def test_bins_keep_zero_apart_and_few_values_as_they_are():
    np.testing.assert_array_equal(discretise(np.array([0.5, 0.0, 0.5, 2.0])), [1, 0, 1, 2])
    values = np.concatenate([np.zeros(50), np.arange(1.0, 101.0)])
    bins = discretise(values, 5)
    assert set(bins[:50]) == {0}
    np.testing.assert_array_equal(np.bincount(bins)[1:], [25, 25, 25, 25])


def test_the_planted_leak_is_found_and_no_other():
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, 4000)
    truth = generator.random((4000, 3)) < 0.5
    activations = truth.astype(np.float64)
    # Concept 1 tells the class by how strongly it is present or absent; concept 2 tells concept 0 in the same way.
    activations[:, 1] += 0.25 * labels
    activations[:, 2] += 0.25 * truth[:, 0]
    found = leakage(activations, truth, labels)
    np.testing.assert_allclose(found.task, [0, 1, 0], atol=0.01)
    expected = np.zeros((3, 3))
    expected[2, 0] = 1
    np.fill_diagonal(expected, np.nan)
    np.testing.assert_allclose(found.between, expected, atol=0.01)
    assert found.mean_task == pytest.approx(1 / 3, abs=0.01)
    assert found.mean_between == pytest.approx(1 / 6, abs=0.01)


def test_what_the_truth_says_itself_is_no_leak():
    truth = np.array([[True], [False]] * 50)
    found = leakage(truth * 3.0, truth, truth[:, 0].astype(np.int64))
    assert found.task[0] == 0
    assert np.isnan(found.mean_between)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="one class"):
        leakage(np.ones((3, 1)), np.ones((3, 1), bool), np.zeros(3, np.int64))


def test_permuted_names_cost_a_head_that_uses_them_and_not_one_that_decides_by_its_bias():
    labels = np.repeat(np.arange(6), 10)
    codes = Codes(labels[:, None].astype(np.int32), np.ones((60, 1), np.float32), 8)
    weight = np.zeros((6, 8), np.float32)
    weight[np.arange(6), np.arange(6)] = 1
    found = accuracy_with_permuted_names(codes, weight, np.zeros(6, np.float32), labels, range(200))
    # The expected share of fixed points of a permutation of six.
    assert found.mean == pytest.approx(1 / 6, abs=0.04)
    assert found.deviation > 0
    by_bias = np.zeros(6, np.float32)
    by_bias[0] = 5
    assert accuracy_with_permuted_names(codes, weight, by_bias, labels).accuracies == pytest.approx((1 / 6,) * 3)
