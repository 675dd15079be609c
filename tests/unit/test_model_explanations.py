"""Predictions explained: contributions, counterfactuals against brute force, class views, confusion."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_fakes import CLASSES, random_embeddings, small_model
from test_edits_recipe import recipes

from cbm.core.errors import InvalidInputError, MismatchError, NotFoundError
from cbm.editing.recipe import AblateConcept, ClassScope, HideConcept, MergeConcepts, Recipe, RenameConcept, SetConcept
from cbm.model.concept_model import ConceptModel
from cbm.model.explanations import smallest_ablation

MODEL = small_model(3)
EMBEDDINGS = random_embeddings(MODEL, 20)
CODES = MODEL.encode(EMBEDDINGS)


@settings(max_examples=150, deadline=None)
@given(recipes(), st.integers(0, 6), st.sampled_from((None, *CLASSES)))
def test_contributions_and_bias_sum_to_the_logit(recipe: Recipe, row: int, target: str | None) -> None:
    item = f"image {row}"
    model = MODEL.with_recipe(recipe)
    explanation = model.explain(EMBEDDINGS[row], item, target)
    scale = max(1.0, max((abs(entry.contribution) for entry in explanation.contributions), default=0.0))
    assert abs(explanation.total - explanation.logit) <= 1e-5 * scale
    prediction = model.predict(EMBEDDINGS[[row]], [item])
    np.testing.assert_array_equal(explanation.logits, prediction.logits[0])
    assert explanation.predicted == prediction.labels[0]
    shares = sum(abs(entry.share) for entry in explanation.contributions)
    assert shares == pytest.approx(1.0) or all(entry.contribution == 0 for entry in explanation.contributions)
    assert explanation.rest(2) + sum(entry.contribution for entry in explanation.top(2)) + explanation.bias == pytest.approx(
        explanation.total
    )


def test_contribution_is_activation_times_weight() -> None:
    dense = CODES.to_dense()
    explanation = MODEL.explain_codes(CODES[[0]], target="dog")
    assert {entry.concept for entry in explanation.contributions} == set(np.flatnonzero(dense[0]).tolist())
    sizes = [abs(entry.contribution) for entry in explanation.contributions]
    assert sizes == sorted(sizes, reverse=True)
    for entry in explanation.contributions:
        assert entry.activation == entry.activation_before == pytest.approx(dense[0, entry.concept])
        assert entry.weight == pytest.approx(float(MODEL.head.weight[1, entry.concept]))
        assert entry.contribution == pytest.approx(entry.activation * entry.weight)


def test_an_ablated_concept_is_listed_with_what_it_was() -> None:
    concept = MODEL.explain_codes(CODES[[0]]).contributions[0].concept
    edited = MODEL.edited(AblateConcept(concept, "x"))
    [entry] = [entry for entry in edited.explain_codes(CODES[[0]]).contributions if entry.concept == concept]
    assert entry.contribution == entry.activation == entry.share == 0
    assert entry.activation_before > 0
    assert entry.weight != 0


def test_a_concept_that_was_set_counts_where_it_is_not_active() -> None:
    concept = int(np.flatnonzero(CODES.to_dense()[0] == 0)[0])
    explanation = MODEL.edited(SetConcept(concept, "x", 2.0, ClassScope("fish"))).explain_codes(CODES[[0]], target="fish")
    [entry] = [entry for entry in explanation.contributions if entry.concept == concept]
    assert entry.activation == 2.0
    assert entry.activation_before == 0.0
    assert entry.contribution == pytest.approx(2.0 * float(MODEL.head.weight[3, concept]))


def test_merged_concepts_are_shown_as_one_and_hidden_ones_left_out_of_the_top() -> None:
    row = int(np.argmax((CODES.values > 0).sum(axis=1)))
    plain = {entry.concept: entry for entry in MODEL.explain_codes(CODES[[row]]).contributions}
    first, second, hidden = list(plain)[:3]
    edited = MODEL.edited(
        MergeConcepts((first, second), ("a", "b"), "both"), HideConcept(hidden, "h"), RenameConcept(second, "both", "pair")
    )
    explanation = edited.explain_codes(CODES[[row]])
    entries = {entry.concept: entry for entry in explanation.contributions}
    assert second not in entries
    assert entries[first].name == "pair"
    assert entries[first].members == (first, second)
    assert entries[first].contribution == pytest.approx(plain[first].contribution + plain[second].contribution)
    assert entries[first].activation == pytest.approx(plain[first].activation + plain[second].activation)
    assert entries[first].contribution == pytest.approx(entries[first].activation * entries[first].weight)
    assert entries[hidden].hidden
    assert hidden not in [entry.concept for entry in explanation.top(99)]
    assert explanation.total == pytest.approx(explanation.logit, abs=1e-5)


def brute_force_size(logits: np.ndarray, contributions: np.ndarray) -> int | None:
    predicted = int(np.argmax(logits))
    for size in range(1, len(contributions) + 1):
        for chosen in itertools.combinations(range(len(contributions)), size):
            if int(np.argmax(logits - contributions[list(chosen)].sum(axis=0))) != predicted:
                return size
    return None


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(2, 5), st.booleans())
def test_counterfactual_is_as_small_as_brute_force_finds(seed: int, concepts: int, classes: int, whole_numbers: bool) -> None:
    generator = np.random.default_rng(seed)
    # Whole numbers make exact ties, where the lower class wins.
    contributions = (
        generator.integers(-3, 4, (concepts, classes)).astype(float) if whole_numbers else generator.standard_normal((concepts, classes))
    )
    bias = generator.integers(-2, 3, classes).astype(float) if whole_numbers else generator.standard_normal(classes)
    logits = bias + contributions.sum(axis=0)
    removed = smallest_ablation(logits, contributions)
    expected = brute_force_size(logits, contributions)
    assert (None if removed is None else len(removed)) == expected
    if removed is not None:
        assert np.argmax(logits - contributions[removed].sum(axis=0)) != np.argmax(logits)


def test_counterfactual_ablations_change_the_prediction_of_the_model() -> None:
    found = 0
    for row in range(len(EMBEDDINGS)):
        counterfactual = MODEL.counterfactual(EMBEDDINGS[row])
        before = MODEL.predict(EMBEDDINGS[[row]]).labels[0]
        assert counterfactual.predicted == before
        if counterfactual.possible:
            found += 1
            edited = MODEL.edited(*(AblateConcept(concept, "x") for concept in counterfactual.members))
            prediction = edited.predict(EMBEDDINGS[[row]])
            assert prediction.labels[0] == counterfactual.rival != before
            np.testing.assert_allclose(prediction.logits[0], counterfactual.logits, atol=1e-5)
    assert found > 3


def test_counterfactual_is_minimal_for_sparse_heads_without_bias() -> None:
    generator = np.random.default_rng(11)
    weight = MODEL.head.weight * (generator.random(MODEL.head.weight.shape) < 0.3)
    model = replace(MODEL, head=replace(MODEL.head, weight=weight.astype(np.float32), bias=np.zeros(4, np.float32)))
    for row in range(len(EMBEDDINGS)):
        active = np.flatnonzero(CODES.to_dense()[row]).tolist()
        before = model.predict_codes(CODES[[row]]).labels[0]

        def changes(chosen: tuple[int, ...], row: int = row, before: int = before) -> bool:
            return model.edited(*(AblateConcept(concept, "x") for concept in chosen)).predict_codes(CODES[[row]]).labels[0] != before

        sizes = [size for size in range(1, min(len(active), 4) + 1) if any(map(changes, itertools.combinations(active, size)))]
        counterfactual = model.counterfactual_codes(CODES[[row]])
        if sizes:
            assert len(counterfactual.concepts) == sizes[0]
        if counterfactual.possible:
            assert changes(counterfactual.members)
            assert counterfactual.rival != before


def test_counterfactual_takes_a_merged_group_as_one() -> None:
    for row in range(len(EMBEDDINGS)):
        counterfactual = MODEL.counterfactual(EMBEDDINGS[row])
        if len(counterfactual.concepts) >= 2:
            merged = MODEL.edited(MergeConcepts(counterfactual.concepts, counterfactual.names, "group")).counterfactual(EMBEDDINGS[row])
            assert len(merged.concepts) == 1
            assert merged.names == ("group",)
            assert set(merged.members) == set(counterfactual.concepts)
            return
    pytest.fail("no image needs two ablations; choose another seed")


def test_counterfactual_says_when_no_ablation_helps() -> None:
    model = _always_cat()
    counterfactual = model.counterfactual_codes(CODES[[0]])
    assert not counterfactual.possible
    assert counterfactual.concepts == ()


def _always_cat() -> ConceptModel:
    weight = np.zeros_like(MODEL.head.weight)
    weight[0] = 1
    return replace(MODEL, head=replace(MODEL.head, weight=weight, bias=np.array([5, 1, 2, 3], np.float32)))


def test_class_view_sorts_the_weights_in_effect() -> None:
    view = MODEL.edited(AblateConcept(4, "x"), HideConcept(7, "y"), RenameConcept(2, "z", "zebra")).class_weights("bird")
    weights = MODEL.head.weight[2].copy()
    weights[4] = 0
    assert set(view.concepts.tolist()) == set(np.flatnonzero(weights).tolist())
    assert (np.diff(view.weights) <= 0).all()
    np.testing.assert_allclose(view.weights, weights[view.concepts])
    assert view.names[view.concepts.tolist().index(2)] == "zebra"
    positive = [concept for concept in np.argsort(-weights).tolist() if weights[concept] > 0 and concept != 7]
    assert [concept for concept, _, _ in view.top(3)] == positive[:3]
    negative = [concept for concept in np.argsort(weights).tolist() if weights[concept] < 0 and concept != 7]
    assert [concept for concept, _, _ in view.bottom(3)] == negative[:3]


def test_concepts_are_found_by_name_with_what_was_merged_into_them() -> None:
    model = MODEL.edited(MergeConcepts((1, 5), ("concept 1", "concept 5"), "Water"), RenameConcept(8, "concept 8", "water"))
    assert set(model.concepts_named("water")) == {1, 5, 8}
    assert model.concepts_named("concept 5") == (1, 5)
    assert {edit.concept for edit in model.ablate("WATER ")} == {1, 5, 8}
    with pytest.raises(NotFoundError, match="concept 3"):
        model.ablate("koncept 3")


@pytest.mark.wrong_types
def test_parts_and_inputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(MismatchError, match="head 5"):
        ConceptModel(MODEL.bottleneck, small_model(size=5).head, MODEL.concepts, CLASSES)
    with pytest.raises(MismatchError, match="class names"):
        ConceptModel(MODEL.bottleneck, MODEL.head, MODEL.concepts, CLASSES[:3])
    with pytest.raises(MismatchError, match="dimensions"):
        MODEL.predict(np.ones((2, 99), np.float32))
    with pytest.raises(MismatchError, match="1 items do not fit 2 rows"):
        MODEL.predict(np.ones((2, 6), np.float32), ["only one"])
    with pytest.raises(InvalidInputError, match=r"Row 1 .*finite"):
        MODEL.predict(np.array([np.zeros(6), np.full(6, np.nan)]))
    with pytest.raises(InvalidInputError, match="one image"):
        MODEL.explain_codes(CODES[:2])
    with pytest.raises(NotFoundError, match="whale"):
        MODEL.explain(EMBEDDINGS[0], target="whale")
    with pytest.raises(NotFoundError, match="class 9"):
        MODEL.class_weights(9)


def test_probabilities_are_a_soft_max_that_stands_large_logits() -> None:
    prediction = MODEL.edited(SetConcept(0, "x", 1e6)).predict(EMBEDDINGS)
    np.testing.assert_allclose(prediction.probabilities.sum(axis=1), 1, rtol=1e-6)
    assert prediction.names == [CLASSES[label] for label in prediction.labels]
