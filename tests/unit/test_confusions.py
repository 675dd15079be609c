"""Confusions and groups, counted by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from model_fakes import CLASSES, random_embeddings, small_model

from cbm.core.errors import InvalidInputError
from cbm.study.confusions import count_confusions
from cbm.study.groups import measure_groups

MODEL = small_model(7)
PREDICTED = MODEL.predict(random_embeddings(MODEL, 60)).labels
LABELS = np.random.default_rng(5).integers(-1, 4, 60)


def test_confusions_count_labelled_rows() -> None:
    found = count_confusions(PREDICTED, LABELS, CLASSES)
    for true, guess in itertools.product(range(4), repeat=2):
        assert found.matrix[true, guess] == ((true == LABELS) & (guess == PREDICTED)).sum()
    assert found.accuracy == pytest.approx((PREDICTED == LABELS)[LABELS >= 0].mean())
    assert found.images == (LABELS >= 0).sum()
    np.testing.assert_allclose(found.per_class, [(PREDICTED == LABELS)[label == LABELS].mean() for label in range(4)])
    true, guess, rows = found.named_pairs(1)[0]
    mistakes = found.matrix - np.diag(np.diag(found.matrix))
    assert rows == mistakes.max() == found.matrix[CLASSES.index(true), CLASSES.index(guess)]


def test_without_labels_nothing_is_counted_and_a_strange_label_is_refused() -> None:
    nothing = count_confusions(PREDICTED, np.full(60, -1), CLASSES)
    assert (nothing.images, nothing.accuracy, nothing.pairs()) == (0, None, [])
    assert np.isnan(nothing.per_class).all()
    with pytest.raises(InvalidInputError, match="Label 4 is not a class"):
        count_confusions(PREDICTED, np.full(60, 4), CLASSES)


def test_groups_without_labelled_images_are_left_out() -> None:
    groups = np.where(np.arange(60) % 2, 0, 2)
    labels = np.where(np.arange(60) < 50, LABELS, -1)
    found = measure_groups(PREDICTED, labels, groups, ["a", "b", "c"])
    assert found is not None
    assert [group.name for group in found.groups] == ["a", "c"]
    for group in found.groups:
        members = (labels >= 0) & (groups == group.index)
        assert group.accuracy == pytest.approx((labels == PREDICTED)[members].mean())
    assert found.worst == min(found.groups, key=lambda group: group.accuracy)
    assert measure_groups(PREDICTED, np.full(60, -1), groups, ["a"]) is None
    assert measure_groups(PREDICTED, labels, None, []) is None
