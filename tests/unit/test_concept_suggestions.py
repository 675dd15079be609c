"""Suggested edits of concepts, against measuring every single edit one by one."""

from __future__ import annotations

import numpy as np
import pytest
from model_fakes import CLASSES, random_embeddings, small_model

from cbm.core.errors import InvalidInputError, MismatchError, NotFoundError
from cbm.editing.effect import measure_recipe
from cbm.editing.recipe import AblateConcept, ClassScope, ImageScope, Recipe, ScaleConcept, SetConcept, SetWeight
from cbm.editing.suggestions import suggest_concept_edits
from cbm.editing.sweep import sweep_concepts

MODEL = small_model(7)
CODES = MODEL.encode(random_embeddings(MODEL, 80))
ITEMS = [f"image {row}" for row in range(80)]
LABELS = np.random.default_rng(2).integers(-1, 4, 80)
SCORED = MODEL.scored(CODES, ITEMS)
RECIPES = (
    Recipe(),
    Recipe.of(ScaleConcept(2, "x", -1.5), SetConcept(5, "y", 1.2), AblateConcept(3, "z", ClassScope("bird"))),
    Recipe.of(
        SetConcept(1, "x", 2.0, ImageScope("image 4")), ScaleConcept(0, "y", 0.3, ImageScope("image 9")), SetWeight(4, "w", "dog", 3.0)
    ),
)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("factor", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("class_index", [None, 2])
def test_sweep_equals_measuring_every_edit(recipe: Recipe, factor: float, class_index: int | None) -> None:
    focus = np.random.default_rng(3).random(80) < 0.5
    sweep = sweep_concepts(SCORED, recipe, LABELS, factor, class_index, focus)
    for concept in range(MODEL.head.size):
        scope = () if class_index is None else (ClassScope(CLASSES[class_index]),)
        effect = measure_recipe(SCORED, recipe, recipe.append(ScaleConcept(concept, "x", factor, *scope)), LABELS)
        assert sweep.corrected[concept] == len(effect.corrected)
        assert sweep.newly_wrong[concept] == len(effect.newly_wrong)
        assert sweep.corrected_in_focus[concept] == focus[effect.corrected].sum()


@pytest.mark.parametrize("recipe", RECIPES)
def test_sweep_of_some_concepts_counts_by_group(recipe: Recipe) -> None:
    groups, only = np.random.default_rng(4).integers(-1, 3, 80), [0, 3, 5]
    sweep = sweep_concepts(SCORED, recipe, LABELS, groups=groups, only=only)
    assert not sweep.corrected[[1, 2, 4]].any()
    for concept in only:
        effect = measure_recipe(SCORED, recipe, recipe.append(AblateConcept(concept, "x")), LABELS)
        assert sweep.net[concept] == len(effect.corrected) - len(effect.newly_wrong)
        net = [int((groups[effect.corrected] == group).sum() - (groups[effect.newly_wrong] == group).sum()) for group in range(3)]
        assert sweep.net_by_group[concept].tolist() == net


def test_sweep_in_small_chunks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sweep_concepts(SCORED, RECIPES[1], LABELS)
    monkeypatch.setattr("cbm.editing.sweep._CHUNK", 28)
    parts = sweep_concepts(SCORED, RECIPES[1], LABELS)
    np.testing.assert_array_equal(whole.net, parts.net)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(("true", "said"), [(None, None), ("cat", None), (None, "dog"), (1, 0)])
def test_no_tried_edit_gains_more_than_the_first_suggestion(recipe: Recipe, true: str | int | None, said: str | int | None) -> None:
    model = MODEL.with_recipe(recipe)
    predicted = SCORED.apply(recipe).argmax(axis=1)
    focus = (LABELS >= 0) & (predicted != LABELS)
    if true is not None:
        focus &= model.class_index(true) == LABELS
    if said is not None:
        focus &= predicted == model.class_index(said)
    found = suggest_concept_edits(SCORED, recipe, LABELS, MODEL.names, true_class=true, predicted_class=said, count=99)
    assert found.mistakes == focus.sum()
    gains = [entry.net for entry in found.suggestions]
    assert gains == sorted(gains, reverse=True)
    best = -(10**9)
    for concept in range(MODEL.head.size):
        for factor in (0.0, 0.5):
            effect = measure_recipe(SCORED, recipe, recipe.append(ScaleConcept(concept, "x", factor)), LABELS)
            if focus[effect.corrected].any():
                best = max(best, len(effect.corrected) - len(effect.newly_wrong))
    assert not gains or gains[0] >= best
    for entry in found.suggestions:
        effect = measure_recipe(SCORED, recipe, recipe.append(entry.edit), LABELS)
        assert entry.corrected.tolist() == effect.corrected.tolist()
        assert entry.newly_wrong.tolist() == effect.newly_wrong.tolist()
        assert entry.fixed == focus[effect.corrected].sum() > 0


def test_evidence_is_what_it_says() -> None:
    found = suggest_concept_edits(SCORED, Recipe(), LABELS, MODEL.names, true_class="cat", count=99)
    predicted = MODEL.predict_codes(CODES).labels
    dense, weight = CODES.to_dense(), MODEL.head.weight
    wrong = np.flatnonzero((LABELS == 0) & (predicted != 0))
    right = np.flatnonzero((LABELS == 0) & (predicted == 0))
    for entry in found.suggestions:
        values = dense[:, entry.concept]
        pairs = [(values[a] > values[b]) + 0.5 * (values[a] == values[b]) for a in wrong for b in right]
        assert entry.separation == pytest.approx(np.mean(pairs), nan_ok=True)
        push = [values[row] * (weight[predicted[row], entry.concept] - weight[0, entry.concept]) for row in wrong]
        assert entry.push == pytest.approx(np.mean(push), abs=1e-5)


def test_mistakes_that_are_not_made_and_unknown_classes_are_refused() -> None:
    right = MODEL.predict_codes(CODES).labels
    with pytest.raises(InvalidInputError, match="no such mistake"):
        suggest_concept_edits(SCORED, Recipe(), right, MODEL.names)
    with pytest.raises(NotFoundError, match="zebra"):
        suggest_concept_edits(SCORED, Recipe(), LABELS, MODEL.names, true_class="zebra")
    with pytest.raises(MismatchError):
        suggest_concept_edits(SCORED, Recipe(), LABELS[:5], MODEL.names)
