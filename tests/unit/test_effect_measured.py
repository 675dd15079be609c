"""Effects of edits and the weight-edit calculator, against recomputation row by row."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from model_fakes import CLASSES, random_embeddings, small_model
from test_edits_recipe import recipes

from cbm.core.errors import InvalidInputError, MismatchError
from cbm.editing.effect import EditEffect, compare_predictions, measure_recipe
from cbm.editing.recipe import AblateConcept, ClassScope, ImageScope, Recipe, ScaleConcept, SetConcept
from cbm.editing.suggestions import suggest_weight_edits
from cbm.model.concept_model import ConceptModel

MODEL = small_model(7)
EMBEDDINGS = random_embeddings(MODEL, 60)
CODES = MODEL.encode(EMBEDDINGS)
ITEMS = [f"image {row}" for row in range(60)]
LABELS = np.random.default_rng(2).integers(-1, 4, 60)
GROUPS = np.random.default_rng(3).integers(-1, 3, 60)
SCORED = MODEL.scored(CODES, ITEMS)


def between(
    before: ConceptModel, after: ConceptModel, labels: np.ndarray, groups: np.ndarray | None = None, names: list[str] | None = None
) -> EditEffect:
    """The effect, from what the two models themselves predict."""
    predicted = [model.predict(EMBEDDINGS, ITEMS).labels for model in (before, after)]
    return compare_predictions(*predicted, labels, CLASSES, groups, names)


@settings(max_examples=60, deadline=None)
@given(recipes())
def test_effect_equals_counting_row_by_row(recipe: Recipe) -> None:
    after = MODEL.with_recipe(recipe)
    effect = between(MODEL, after, LABELS, GROUPS, ["a", "b", "c"])
    old, new = MODEL.predict(EMBEDDINGS, ITEMS).labels, after.predict(EMBEDDINGS, ITEMS).labels
    corrected = [row for row in range(60) if LABELS[row] >= 0 and old[row] != LABELS[row] == new[row]]
    broken = [row for row in range(60) if LABELS[row] >= 0 and old[row] == LABELS[row] != new[row]]
    assert effect.corrected.tolist() == corrected
    assert effect.newly_wrong.tolist() == broken
    known = LABELS >= 0
    assert effect.accuracy_before == pytest.approx((old == LABELS)[known].mean())
    assert effect.accuracy_after == pytest.approx((new == LABELS)[known].mean())
    by_group = [(new == LABELS)[known & (group == GROUPS)].mean() for group in range(3)]
    assert effect.worst_group_after == pytest.approx(min(by_group))
    assert [part.after for part in effect.per_group] == pytest.approx(by_group)
    assert [part.after for part in effect.per_class] == pytest.approx([(new == LABELS)[label == LABELS].mean() for label in range(4)])
    assert json.loads(json.dumps(effect.to_dict()))["corrected"] == len(corrected)
    fast = measure_recipe(SCORED, MODEL.recipe, recipe, LABELS, GROUPS, ["a", "b", "c"])
    assert fast.to_dict() == effect.to_dict()


def test_taking_an_edit_back_is_no_effect() -> None:
    effect = between(MODEL, MODEL.edited(AblateConcept(1, "x")).with_recipe(Recipe()), LABELS)
    assert len(effect.changed) == len(effect.corrected) == len(effect.newly_wrong) == 0
    assert effect.worst_group_before is None
    assert effect.per_group == ()


def test_parts_without_rows_are_left_out_and_unnamed_groups_get_numbers() -> None:
    predictions = np.array([0, 1, 1])
    effect = compare_predictions(predictions, predictions, np.array([0, 0, -1]), CLASSES, np.array([0, 2, 1]), ["named"])
    assert [part.name for part in effect.per_class] == ["cat"]
    assert [(part.name, part.before) for part in effect.per_group] == [("named", 1.0), ("group 2", 0.0)]
    assert effect.worst_before is not None
    assert effect.worst_before.name == "group 2"


@pytest.mark.wrong_types
def test_unlabelled_or_ill_fitting_rows_are_refused() -> None:
    predictions = np.array([0, 1])
    with pytest.raises(InvalidInputError, match="No row has a label"):
        compare_predictions(predictions, predictions, np.array([-1, -1]), CLASSES)
    with pytest.raises(InvalidInputError, match="Label 7"):
        compare_predictions(predictions, predictions, np.array([7, -1]), CLASSES)
    with pytest.raises(MismatchError):
        compare_predictions(predictions, predictions, np.array([1]), CLASSES)


EDITED = (
    Recipe(),
    Recipe.of(ScaleConcept(2, "x", -1.5), SetConcept(5, "y", 1.2), AblateConcept(3, "z", ClassScope("bird"))),
    Recipe.of(SetConcept(1, "x", 2.0, ImageScope("image 4")), ScaleConcept(0, "y", 0.3, ImageScope("image 9"))),
)


@pytest.mark.parametrize("recipe", EDITED)
@pytest.mark.parametrize("margin", [0.001, 0.2])
def test_suggested_weights_put_the_image_right_and_their_counts_match_recomputation(recipe: Recipe, margin: float) -> None:
    model = MODEL.with_recipe(recipe)
    before = model.predict_codes(CODES, ITEMS).labels
    tried = 0
    for row in range(12):
        for true in range(4):
            if true == before[row]:
                continue
            suggestions = suggest_weight_edits(
                SCORED, recipe, LABELS, MODEL.names, CODES[[row]], true, item=ITEMS[row], margin=margin, count=99
            )
            gains = [entry.net for entry in suggestions]
            assert gains == sorted(gains, reverse=True)
            for entry in suggestions[:: max(1, len(suggestions) // 3)]:
                tried += 1
                edited = model.edited(*entry.edits)
                logits = edited.predict_codes(CODES[[row]], [ITEMS[row]]).logits[0].astype(np.float64)
                lead = logits[true] - np.delete(logits, true).max()
                assert lead == pytest.approx(margin, abs=1e-5)
                assert entry.lead == pytest.approx(lead, abs=1e-4)
                effect = between(model, edited, LABELS)
                assert entry.corrected.tolist() == effect.corrected.tolist()
                assert entry.newly_wrong.tolist() == effect.newly_wrong.tolist()
    assert tried > 30


def test_a_smaller_change_does_not_reach_the_margin() -> None:
    before = MODEL.predict_codes(CODES).labels
    true = int((before[0] + 1) % 4)
    for entry in suggest_weight_edits(SCORED, Recipe(), LABELS, MODEL.names, CODES[[0]], true, count=99):
        weights = {edit.class_name: float(MODEL.head.weight[CLASSES.index(edit.class_name), edit.concept]) for edit in entry.edits}
        smaller = [
            type(edit)(edit.concept, edit.name, edit.class_name, weights[edit.class_name] + 0.99 * (edit.value - weights[edit.class_name]))
            for edit in entry.edits
        ]
        logits = MODEL.edited(*smaller).predict_codes(CODES[[0]]).logits[0]
        assert logits[true] - np.delete(logits, true).max() < 0.2 - 1e-4


def test_an_image_that_is_right_needs_no_suggestion() -> None:
    with pytest.raises(InvalidInputError, match="already"):
        suggest_weight_edits(SCORED, Recipe(), LABELS, MODEL.names, CODES[[0]], int(MODEL.predict_codes(CODES).labels[0]))
