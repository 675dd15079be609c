"""Classification metrics against counting by hand."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from cbm.core.codes import Codes
from cbm.metrics import classification
from cbm.metrics.classification import (
    accuracy,
    average_accuracy_over_necs,
    completeness,
    concept_efficient_accuracy,
    concepts_used,
    confusion_matrix,
    group_accuracy,
    number_of_contributing_concepts,
    number_of_effective_concepts,
    per_class_accuracy,
)

LABELS = np.array([0, 0, 1, 1, 1, 3])
PREDICTIONS = np.array([0, 1, 1, 1, 0, 3])


def test_confusion_has_truth_down_and_prediction_across():
    expected = np.array([[1, 1, 0, 0], [1, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    np.testing.assert_array_equal(confusion_matrix(PREDICTIONS, LABELS, 4), expected)


def test_a_class_without_rows_has_no_accuracy():
    np.testing.assert_allclose(per_class_accuracy(PREDICTIONS, LABELS, 4), [0.5, 2 / 3, np.nan, 1.0])


def test_worst_group_skips_empty_groups_and_rows_without_a_group():
    result = group_accuracy(PREDICTIONS, LABELS, np.array([2, 2, 0, 0, 0, -1]), 4)
    np.testing.assert_array_equal(result.counts, [3, 0, 2, 0])
    assert result.worst_group == 2
    assert result.worst == 0.5
    assert result.mean == pytest.approx((2 / 3 + 0.5) / 2)


def test_no_group_at_all_is_refused():
    with pytest.raises(ValueError, match="no row belongs to a group"):
        group_accuracy(PREDICTIONS, LABELS, np.full(6, -1))


@pytest.mark.wrong_types
def test_different_rows_are_refused():
    with pytest.raises(ValueError, match="same rows"):
        accuracy(PREDICTIONS[:3], LABELS)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_accuracy_is_the_trace_of_the_confusion(pairs):
    predictions, labels = np.array(pairs).T
    matrix = confusion_matrix(predictions, labels, 5)
    assert matrix.sum() == len(pairs)
    assert accuracy(predictions, labels) == pytest.approx(np.trace(matrix) / len(pairs))


def test_nec_counts_exact_non_zeros_however_small():
    assert number_of_effective_concepts(np.array([[0, 1e-12, 3.0], [0, 0, -1.0]])) == 1.5


def brute_force_ncc(weight, dense, share):
    counts = []
    for row in dense:
        for class_weight in weight:
            sizes = np.sort(np.abs(row * class_weight).astype(np.float64))[::-1]
            total, count = 0.0, 0
            while sizes.sum() > 0 and total < share * sizes.sum() * (1 - 1e-9):
                total += sizes[count]
                count += 1
            counts.append(count)
    return np.mean(counts)


@pytest.mark.parametrize("share", [0.5, 0.95, 1.0])
def test_ncc_is_the_fewest_terms_that_reach_the_share(share):
    generator = np.random.default_rng(0)
    dense = (generator.exponential(size=(20, 12)) * (generator.random((20, 12)) < 0.4)).astype(np.float32)
    dense[3] = 0
    weight = (generator.standard_normal((5, 12)) * (generator.random((5, 12)) < 0.5)).astype(np.float32)
    codes = Codes.from_csr(scipy.sparse.csr_matrix(dense))
    assert number_of_contributing_concepts(weight, codes, share) == pytest.approx(brute_force_ncc(weight, dense, share))


def test_ncc_at_share_one_is_nec_when_every_concept_is_active():
    generator = np.random.default_rng(1)
    dense = 1 + generator.random((8, 6), dtype=np.float32)
    weight = (generator.standard_normal((3, 6)) * (generator.random((3, 6)) < 0.5)).astype(np.float32)
    codes = Codes(np.tile(np.arange(6, dtype=np.int32), (8, 1)), dense, 6)
    assert number_of_contributing_concepts(weight, codes, 1.0) == pytest.approx(number_of_effective_concepts(weight))


def test_anec_is_refused_where_a_target_was_not_reached():
    assert average_accuracy_over_necs([0.5, 0.7]) == pytest.approx(0.6)
    assert average_accuracy_over_necs([0.5, None]) is None
    assert average_accuracy_over_necs([]) is None


@pytest.mark.parametrize("factor", [0, 10**9])
@pytest.mark.parametrize("share", [0.5, 0.95, 1.0])
def test_both_ways_to_count_contributing_concepts_agree_with_counting(share, factor, monkeypatch):
    monkeypatch.setattr(classification, "_SORTED_APART", factor)
    monkeypatch.setattr(classification, "_BLOCK_VALUES", 200)
    generator = np.random.default_rng(2)
    dense = (generator.standard_normal((25, 10)) * (generator.random((25, 10)) < 0.5)).astype(np.float32)
    dense[4] = 0
    weight = (generator.standard_normal((6, 10)) * (generator.random((6, 10)) < 0.3)).astype(np.float32)
    weight[1] = 0
    codes = Codes.from_csr(scipy.sparse.csr_matrix(dense))
    assert number_of_contributing_concepts(weight, codes, share) == pytest.approx(brute_force_ncc(weight, dense, share))


def test_concepts_are_counted_once_for_all_classes():
    assert concepts_used(np.array([[1.0, 0, 2, 0], [3, 0, -1, 0]])) == 2
    assert concepts_used(np.zeros((3, 4))) == 0


def test_efficient_accuracy_is_accuracy_over_a_root_of_a_logarithm():
    # A thousand classes: k = 10, so that 10 concepts cost nothing, 100 a fourth root of 2, 10,000 a fourth root of 4.
    assert concept_efficient_accuracy(0.8, 10, 1000) == pytest.approx(0.8)
    assert concept_efficient_accuracy(0.8, 100, 1000) == pytest.approx(0.8 / 2**0.25)
    assert concept_efficient_accuracy(0.8, 10_000, 1000) == pytest.approx(0.8 / 2**0.5)
    assert concept_efficient_accuracy(0.8, 100, 1000, beta=1) == pytest.approx(0.4)


@pytest.mark.parametrize("used", [0, 1, 2])
def test_few_concepts_and_two_classes_do_not_raise_accuracy(used):
    assert concept_efficient_accuracy(0.7, used, 2) == pytest.approx(0.7)
    assert concept_efficient_accuracy(0.7, 4, 2) == pytest.approx(0.7 / 2**0.25)


def test_completeness_is_a_share_of_the_probe():
    assert completeness(0.6, 0.8) == pytest.approx(0.75)
    assert completeness(0.5, 0.75, chance=0.25) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="no better than chance"):
        completeness(0.5, 0.1, chance=0.1)
