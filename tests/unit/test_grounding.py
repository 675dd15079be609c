"""Agreement with known concepts: literal cases and loops over images."""

import numpy as np
import pytest

from cbm.metrics.grounding import concept_existence, global_grounding


def cosine(first, second):
    return np.dot(first, second) / (np.linalg.norm(first) * np.linalg.norm(second))


@pytest.fixture
def world():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 60)
    truth = generator.random((60, 5)) < 0.4
    activations = (truth + generator.exponential(size=(60, 5))).astype(np.float32)
    weight = generator.standard_normal((4, 5)).astype(np.float32)
    predicted = np.where(generator.random(60) < 0.7, labels, generator.integers(0, 4, 60))
    return activations, weight, truth, labels, predicted


def test_the_three_measures_are_cosines_over_classes(world):
    activations, weight, truth, labels, predicted = world
    found = global_grounding(activations, weight, truth, labels, predicted)
    for j in range(5):
        share = np.array([truth[labels == c, j].mean() for c in range(4)])
        mean = np.array([activations[(labels == c) & (predicted == c), j].mean() for c in range(4)])
        assert found.weights[j] == pytest.approx(cosine(weight[:, j], share), abs=1e-6)
        assert found.activations[j] == pytest.approx(cosine(mean, share), abs=1e-6)
        assert found.contributions[j] == pytest.approx(cosine(weight[:, j] * mean, share), abs=1e-6)
    np.testing.assert_allclose(found.means, [found.weights.mean(), found.activations.mean(), found.contributions.mean()])


def test_a_head_that_uses_presence_scores_one_and_its_opposite_minus_one():
    truth = np.array([[True, False], [True, False], [False, True]])
    labels = np.array([0, 0, 1])
    weight = np.array([[1.0, 0.0], [0.0, 2.0]], np.float32)
    grounded = global_grounding(truth.astype(np.float32), weight, truth, labels, labels)
    assert grounded.means == pytest.approx((1, 1, 1))
    assert global_grounding(truth.astype(np.float32), -weight, truth, labels, labels).means == pytest.approx((-1, 1, -1))


def test_classes_without_images_or_without_a_right_prediction_are_left_out():
    truth = np.array([[True], [True], [False]])
    labels, predicted = np.array([0, 0, 2]), np.array([0, 0, 0])
    weight = np.array([[1.0], [9.0], [0.0]], np.float32)
    found = global_grounding(truth.astype(np.float32), weight, truth, labels, predicted)
    assert found.weights[0] == pytest.approx(1), "class 1 has no image, so its weight does not count"
    assert found.activations[0] == pytest.approx(1)


def test_a_concept_without_weights_has_no_measure():
    truth = np.array([[True], [False]])
    found = global_grounding(truth.astype(np.float32), np.zeros((2, 1), np.float32), truth, np.array([0, 1]), np.array([0, 1]))
    assert np.isnan(found.weights[0])
    assert np.isnan(found.means[0])


@pytest.mark.parametrize("top", [1, 3, 9])
def test_existence_counts_the_strongest_supports_of_each_prediction(world, top):
    activations, weight, truth, _, predicted = world
    shares = []
    for i in range(60):
        contributions = {j: activations[i, j] * weight[predicted[i], j] for j in range(5)}
        supports = [j for j in sorted(contributions, key=lambda j: -contributions[j])[:top] if contributions[j] > 0]
        if supports:
            shares.append(np.mean([truth[i, j] for j in supports]))
    assert concept_existence(activations, weight, truth, predicted, top) == pytest.approx(np.mean(shares))


def test_without_any_support_there_is_no_existence():
    nothing = concept_existence(np.ones((2, 1), np.float32), -np.ones((2, 1), np.float32), np.ones((2, 1), bool), np.array([0, 1]))
    assert np.isnan(nothing)
