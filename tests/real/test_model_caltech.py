"""A small concept model on real CLIP embeddings: contributions, counterfactuals, edits and export hold there too."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cbm.dictionaries.batchtopk import BatchTopK
from cbm.dictionaries.configs import TrainingConfig
from cbm.dictionaries.trainer import train
from cbm.editing.effect import compare_predictions, measure_recipe
from cbm.editing.recipe import AblateConcept, ClassScope, Recipe, ScaleConcept, ScaleWeight, SetConcept
from cbm.editing.suggestions import suggest_weight_edits
from cbm.heads.base import LinearHead
from cbm.model.concept_model import ConceptModel
from cbm.model.save import save_bundle
from cbm.names.concepts import ActivationStatistics, ConceptTable


def read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(file, allow_pickle=False) as arrays:
        return arrays["embeddings"].astype(np.float32), arrays["labels"].astype(np.int64)


@pytest.fixture(scope="module")
def caltech(clip_data: Path) -> tuple[ConceptModel, np.ndarray, np.ndarray]:
    folder = clip_data / "vitb32" / "caltech101"
    embeddings, labels = read(folder / "train.npz")
    classes = tuple(json.loads((folder / "classes.json").read_text()))
    dictionary = train(embeddings, TrainingConfig(BatchTopK(512, 16), epochs=10, seed=0)).dictionary
    codes = dictionary.encode(embeddings)
    # Ridge regression on the codes: in closed form, because these tests are about what is done with a head.
    activations = codes.to_dense().astype(np.float64)
    targets = 20 * (np.eye(len(classes))[labels] - 1 / len(classes))
    weight = np.linalg.solve(activations.T @ activations + np.eye(codes.size), activations.T @ targets)
    head = LinearHead(weight.T.astype(np.float32), np.linspace(-0.1, 0.1, len(classes), dtype=np.float32), "dense")
    table = ConceptTable.unnamed(ActivationStatistics.of(codes))
    model = ConceptModel(dictionary, head, table, classes, space="l2")
    return model, *read(folder / "test.npz")


def test_contributions_sum_to_the_logit_and_counterfactuals_hold(caltech: tuple) -> None:
    model, embeddings, _ = caltech
    possible = 0
    for row in range(0, 200, 5):
        explanation = model.explain(embeddings[row])
        assert abs(explanation.total - explanation.logit) <= 1e-5
        counterfactual = model.counterfactual(embeddings[row])
        if counterfactual.possible:
            possible += 1
            edited = model.edited(*(AblateConcept(concept, "x") for concept in counterfactual.members))
            assert edited.predict(embeddings[[row]]).labels[0] == counterfactual.rival != explanation.predicted
    assert possible > 20


def test_rescoring_and_effects_agree_with_predicting_again(caltech: tuple) -> None:
    model, embeddings, labels = caltech
    codes = model.encode(embeddings)
    scored = model.scored(codes)
    commonest = int(np.argmax(np.bincount(codes.indices[codes.values > 0], minlength=codes.size)))
    for edit in (
        AblateConcept(commonest, "x"),
        SetConcept(commonest, "x", 1.0),
        ScaleConcept(commonest, "x", 3.0, ClassScope(model.classes[4])),
        ScaleWeight(commonest, "x", model.classes[2], -2.0),
    ):
        recipe = Recipe.of(edit)
        np.testing.assert_array_equal(scored.apply(recipe), model.with_recipe(recipe).predict_codes(codes).logits)
        predicted = [one.predict_codes(codes).labels for one in (model, model.edited(edit))]
        expected = compare_predictions(*predicted, labels, model.classes)
        assert measure_recipe(scored, Recipe(), recipe, labels).to_dict() == expected.to_dict()


def test_the_weight_calculator_puts_a_wrong_image_right(caltech: tuple) -> None:
    model, embeddings, labels = caltech
    codes = model.encode(embeddings)
    wrong = int(np.flatnonzero(model.predict_codes(codes).labels != labels)[0])
    suggestions = suggest_weight_edits(model.scored(codes), Recipe(), labels, model.names, codes[[wrong]], int(labels[wrong]))
    for suggestion in suggestions[:3]:
        predicted = [one.predict_codes(codes).labels for one in (model, model.edited(*suggestion.edits))]
        effect = compare_predictions(*predicted, labels, model.classes)
        assert wrong in effect.corrected
        assert suggestion.corrected.tolist() == effect.corrected.tolist()
        assert suggestion.newly_wrong.tolist() == effect.newly_wrong.tolist()


def test_the_exported_graph_equals_the_model(caltech: tuple, tmp_path: Path) -> None:
    model, embeddings, _ = caltech
    edited = model.edited(AblateConcept(3, "x"), SetConcept(5, "y", 0.4, ClassScope(model.classes[0])))
    report = save_bundle(edited, tmp_path / "bundle", check_on=embeddings)
    assert report.check is not None
    assert report.check.boundary_rows <= 2
    np.testing.assert_array_equal(ConceptModel.load(report.folder).predict(embeddings).logits, edited.predict(embeddings).logits)
