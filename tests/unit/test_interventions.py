"""Interventions and causal effects against recomputing every image from scratch."""

import numpy as np
import pytest
import scipy.sparse

from cbm.core.codes import Codes
from cbm.metrics import intervention
from cbm.metrics.intervention import (
    ORDERS,
    InterventionCurve,
    causal_concept_effect,
    intervention_curve,
    intervention_order,
    values_of_truth,
)


@pytest.fixture
def world():
    generator = np.random.default_rng(0)
    truth = generator.random((40, 6)) < 0.5
    weight = generator.standard_normal((3, 6)).astype(np.float32)
    rest = generator.standard_normal((40, 3)).astype(np.float32)
    labels = (truth @ weight.T + rest).argmax(axis=1)
    probabilities = np.clip(0.5 * truth + 0.25 + 0.3 * generator.standard_normal((40, 6)), 0, 1).astype(np.float32)
    return probabilities, truth, weight, rest, labels


@pytest.mark.parametrize("kind", ORDERS)
def test_the_curve_is_that_of_correcting_image_by_image(world, kind, monkeypatch):
    probabilities, truth, weight, rest, labels = world
    order = intervention_order(kind, probabilities, weight, probabilities, seed=3)
    right = np.zeros(7)
    for i in range(40):
        corrected = probabilities[i].astype(np.float64).copy()
        for step in range(7):
            if step:
                concept = np.argsort(-order[i], kind="stable")[step - 1]
                corrected[concept] = truth[i, concept]
            right[step] += (weight @ corrected + rest[i]).argmax() == labels[i]
    monkeypatch.setattr(intervention, "_BLOCK_VALUES", 21)
    curve = intervention_curve(probabilities, truth.astype(np.float32), weight, rest, labels, order)
    np.testing.assert_allclose(curve.accuracies, right / 40)
    assert curve.accuracies[-1] == 1, "the labels are what the truth predicts"
    assert curve.gain == 1 - curve.accuracies[0]


def test_orders_begin_where_they_say():
    probabilities = np.array([[0.9, 0.45, 0.1]], np.float32)
    weight = np.array([[1.0, 1.0, -20.0], [0.0, 0.0, 1.0]], np.float32)
    assert intervention_order("uncertainty", probabilities, weight, probabilities)[0].argmax() == 1
    assert intervention_order("importance", probabilities, weight)[0].argmax() == 2
    first, again, other = (intervention_order("random", probabilities, weight, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    with pytest.raises(ValueError, match="probability"):
        intervention_order("uncertainty", probabilities, weight)


def test_the_area_is_the_mean_height():
    assert InterventionCurve(np.arange(3), np.array([0.0, 0.5, 1.0])).area == pytest.approx(0.5)
    assert InterventionCurve(np.arange(3), np.array([0.0, 1.0, 1.0])).area == pytest.approx(0.75)
    assert InterventionCurve(np.arange(1), np.array([0.3])).area == pytest.approx(0.3)


def test_the_values_of_truth_are_percentiles_or_the_greatest_of_a_rare_concept():
    activations = np.stack([np.arange(101.0), np.zeros(101)], axis=1)
    activations[50, 1] = 4
    truth = np.zeros((101, 2), bool)
    truth[0] = True
    values = values_of_truth(activations, truth)
    np.testing.assert_allclose(values[0], [95, 4])
    np.testing.assert_allclose(values[1], [5, 0])


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_the_causal_effect_is_that_of_two_worlds(monkeypatch):
    generator = np.random.default_rng(2)
    dense = (generator.exponential(size=(15, 5)) * (generator.random((15, 5)) < 0.5)).astype(np.float32)
    weight, bias = generator.standard_normal((3, 5)).astype(np.float32), generator.standard_normal(3).astype(np.float32)
    worlds = []
    for value in (1.5, 0.2):
        there = dense.astype(np.float64)
        there[:, 2] = value
        worlds.append(softmax(there @ weight.T + bias).mean(axis=0))
    monkeypatch.setattr(intervention, "_BLOCK_VALUES", 12)
    found = causal_concept_effect(Codes.from_csr(scipy.sparse.csr_matrix(dense)), weight, bias, 2, 1.5, 0.2)
    np.testing.assert_allclose(found, worlds[0] - worlds[1], atol=1e-7)
    assert found.sum() == pytest.approx(0, abs=1e-12)
