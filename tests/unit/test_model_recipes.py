"""Recipes on models: against a dense re-implementation, bit-exact undo, replay, fast re-scoring."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_fakes import dense_logits, random_embeddings, small_model
from test_edits_recipe import edits, recipes

from cbm.core.errors import InvalidInputError, MismatchError
from cbm.editing.recipe import (
    AblateConcept,
    ClassScope,
    HideConcept,
    ImageScope,
    MergeConcepts,
    Recipe,
    RenameConcept,
    ScaleConcept,
    SetConcept,
    SetWeight,
)

MODEL = small_model()
EMBEDDINGS = random_embeddings(MODEL, 7)
ITEMS = [f"image {row}" for row in range(7)]
CODES = MODEL.encode(EMBEDDINGS)
SCORED = MODEL.scored(CODES, ITEMS)


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * max(1.0, float(np.abs(expected).max())))


@settings(max_examples=300, deadline=None)
@given(recipes())
def test_recipe_equals_the_dense_reimplementation(recipe: Recipe) -> None:
    expected = dense_logits(MODEL, recipe, CODES.to_dense(), ITEMS)
    assert_close(MODEL.with_recipe(recipe).predict(EMBEDDINGS, ITEMS).logits, expected)


@settings(max_examples=300, deadline=None)
@given(recipes())
def test_fast_scoring_gives_the_bits_of_a_full_prediction(recipe: Recipe) -> None:
    np.testing.assert_array_equal(SCORED.apply(recipe), MODEL.with_recipe(recipe).predict_codes(CODES, ITEMS).logits)


@settings(max_examples=100, deadline=None)
@given(recipes(), st.lists(edits, min_size=1, max_size=3))
def test_undo_restores_the_prediction_bit_exactly_and_replay_repeats_it(recipe: Recipe, more: list) -> None:
    before = MODEL.with_recipe(recipe)
    after = before.edited(*more)
    undone = after.with_recipe(after.recipe.back_to(recipe.position))
    np.testing.assert_array_equal(undone.predict(EMBEDDINGS, ITEMS).logits, before.predict(EMBEDDINGS, ITEMS).logits)
    np.testing.assert_array_equal(SCORED.apply(undone.recipe), SCORED.apply(recipe))
    replayed = MODEL.with_recipe(Recipe.from_json(after.recipe.to_json()))
    np.testing.assert_array_equal(replayed.predict(EMBEDDINGS, ITEMS).logits, after.predict(EMBEDDINGS, ITEMS).logits)


def test_an_empty_recipe_gives_the_head_itself() -> None:
    np.testing.assert_allclose(MODEL.predict_codes(CODES).logits, MODEL.head.logits(CODES), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(SCORED.apply(Recipe()), SCORED.base_logits)


def test_ablation_changes_each_logit_by_exactly_the_contribution() -> None:
    row = int(np.argmax((CODES.to_dense() > 0).sum(axis=1)))
    for target in range(4):
        explanation = MODEL.explain_codes(CODES[[row]], target=target)
        for entry in explanation.contributions:
            ablated = MODEL.edited(AblateConcept(entry.concept, entry.name)).predict_codes(CODES[[row]]).logits[0, target]
            assert ablated == pytest.approx(explanation.logit - entry.contribution, abs=1e-5)


def test_image_scope_changes_that_image_only() -> None:
    row = int(np.argmax((CODES.to_dense() > 0).sum(axis=1)))
    concept = int(CODES.indices[row][CODES.values[row] > 0][0])
    edited = MODEL.edited(AblateConcept(concept, "x", ImageScope(ITEMS[row]))).predict_codes(CODES, ITEMS).logits
    before = MODEL.predict_codes(CODES, ITEMS).logits
    changed = np.any(edited != before, axis=1)
    assert changed[row]
    assert changed.sum() == 1


def test_class_scope_changes_that_class_only() -> None:
    edited = MODEL.edited(SetConcept(2, "x", 3.5, ClassScope("bird"))).predict_codes(CODES).logits
    changed = np.any(edited != MODEL.predict_codes(CODES).logits, axis=0)
    np.testing.assert_array_equal(changed, [False, False, True, False])


@given(st.permutations(range(12)))
@settings(max_examples=20, deadline=None)
def test_names_merges_and_hides_never_change_a_prediction(order: list[int]) -> None:
    recipe = Recipe.of(
        RenameConcept(order[0], "a", "b"), MergeConcepts(tuple(order[1:4]), ("a", "b", "c"), "d"), HideConcept(order[4], "e")
    )
    np.testing.assert_array_equal(MODEL.with_recipe(recipe).predict_codes(CODES).logits, MODEL.predict_codes(CODES).logits)


def test_a_recipe_of_another_model_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="concept is 12"):
        MODEL.edited(AblateConcept(12, "x"))
    with pytest.raises(InvalidInputError, match="class_name"):
        MODEL.edited(SetWeight(1, "x", "whale", 1.0))
    with pytest.raises(InvalidInputError, match="whale"):
        SCORED.apply(Recipe.of(SetWeight(1, "x", "whale", 1.0)))


def test_factors_that_multiply_beyond_any_number_are_refused() -> None:
    recipe = Recipe.of(*[ScaleConcept(1, "x", 1e9)] * 40)
    with pytest.raises(InvalidInputError, match="unusably large"):
        MODEL.with_recipe(recipe).predict_codes(CODES)


def test_scored_set_refuses_parts_that_do_not_fit() -> None:
    with pytest.raises(MismatchError, match="items"):
        MODEL.scored(CODES, ITEMS[:3])
    with pytest.raises(MismatchError, match="concepts"):
        small_model(size=5).scored(CODES)


def test_scored_set_finds_active_rows_and_activations() -> None:
    dense = CODES.to_dense()
    for concept in range(12):
        np.testing.assert_array_equal(SCORED.active_rows([concept]), np.flatnonzero(dense[:, concept]))
        np.testing.assert_array_equal(SCORED.activations(concept), dense[:, concept])


def test_absolute_scale_starts_again_from_what_was_computed() -> None:
    ablated = Recipe.of(AblateConcept(3, "x"), ScaleConcept(3, "x", 0.5, absolute=True))
    np.testing.assert_array_equal(
        MODEL.with_recipe(ablated).predict_codes(CODES).logits, MODEL.edited(ScaleConcept(3, "x", 0.5)).predict_codes(CODES).logits
    )
    taken_back = MODEL.edited(SetConcept(3, "x", 2.0), ScaleConcept(3, "x", 1.0, absolute=True))
    np.testing.assert_array_equal(taken_back.predict_codes(CODES).logits, MODEL.predict_codes(CODES).logits)
