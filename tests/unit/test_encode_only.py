"""A bottleneck that can only encode (no directions, no decoding, no patches) works wherever none of these is needed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import scipy.sparse

sys.path.insert(0, str(Path(__file__).parents[1] / "app"))
import planted
from model_fakes import FakeBottleneck

from cbm import verbs
from cbm.core.bottleneck import Abilities
from cbm.core.codes import Codes
from cbm.core.errors import InvalidInputError
from cbm.editing.recipe import AblateConcept, MergeConcepts, Recipe
from cbm.embeddings.sets import EmbeddingSet
from cbm.heads.base import LinearHead
from cbm.model.concept_model import ConceptModel
from cbm.model.export import build_export, card_text, planned_files, possible_formats
from cbm.model.save import save_bundle
from cbm.names.concepts import ActivationStatistics, ConceptTable
from cbm.registry import BOTTLENECKS
from cbm.study.class_view import class_view
from cbm.study.comparison import align, compare
from cbm.study.concept_pairs import match_concepts
from cbm.study.relations import nearest_directions
from cbm.study.scenarios import find_carrier, find_confusion, find_doubt, find_example, find_mistake
from cbm.study.steering import steering_view
from cbm.study.study import Study
from cbm.study.subject import codes_by_patch
from cbm.workspace.workspace import Workspace

SIZE = 20


class Detectors(FakeBottleneck):
    """Thresholded answers of a black box, as a set of separately trained classifiers would give."""

    kind: ClassVar[str] = "detectors"
    summary: ClassVar[str] = "Detectors that were trained elsewhere."
    abilities: ClassVar[Abilities] = Abilities(supervised=True)

    def _encode_chunk(self, embeddings: np.ndarray) -> Codes:
        answers = np.tanh(embeddings @ self.matrix)
        return Codes.from_csr(scipy.sparse.csr_matrix(np.where(answers > 0.1, answers, 0).astype(np.float32)))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    BOTTLENECKS.add("detectors", Detectors)
    yield planted.build(tmp_path_factory.mktemp("planted") / "workspace")
    BOTTLENECKS.discard("detectors")


@pytest.fixture(scope="module")
def images(workspace: Workspace) -> EmbeddingSet:
    sets = [EmbeddingSet.load(artifact) for artifact in workspace.list("embeddings")]
    return next(found for found in sets if len(found.classes) > 2)


@pytest.fixture(scope="module")
def model(images: EmbeddingSet) -> ConceptModel:
    generator = np.random.default_rng(5)
    bottleneck = Detectors(generator.normal(size=(images.dim, SIZE)).astype(np.float32) / 4)
    table = ConceptTable.unnamed(ActivationStatistics.of(bottleneck.encode(images.embeddings)))
    classes = len(images.classes)
    head = LinearHead(generator.normal(size=(classes, SIZE)).astype(np.float32), generator.normal(size=classes).astype(np.float32), "dense")
    return ConceptModel(bottleneck, head, table, tuple(images.classes), space=images.space)


@pytest.fixture(scope="module")
def bundle(model: ConceptModel, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("bundles") / "detectors"
    save_bundle(model, folder, ("bundle",))
    return str(folder)


@pytest.fixture(scope="module")
def study(bundle: str, workspace: Workspace, images: EmbeddingSet) -> Study:
    return Study.open(bundle, workspace=workspace, on=images.id)


def activations(images: EmbeddingSet, model: ConceptModel) -> np.ndarray:
    answers = np.tanh(images.embeddings @ model.bottleneck.tensors()["matrix"])
    return np.where(answers > 0.1, answers, 0)


def test_the_study_predicts_and_shows_concepts(study: Study, model: ConceptModel, images: EmbeddingSet) -> None:
    dense = activations(images, model)
    logits = dense @ model.head.weight.T + model.head.bias
    np.testing.assert_allclose(study.logits(), logits, rtol=1e-4, atol=1e-4)
    assert study.accuracy == pytest.approx((logits.argmax(axis=1) == images.labels).mean())
    assert study.concept(3).top_images(1)[0].row == dense[:, 3].argmax()
    said = study.prediction(0)
    assert said.bias + sum(entry.contribution for entry in said.contributions) == pytest.approx(said.logit, abs=1e-5)


def test_the_study_answers_what_needs_no_ability_and_leaves_out_the_rest(study: Study) -> None:
    recipe = Recipe.of(MergeConcepts((0, 1), ("a", "b"), "a and b"), AblateConcept(2, "c"))
    view = class_view(study, 0, recipe)
    assert view.concepts
    assert steering_view(study, 0, recipe).rows
    effect = study.effect(recipe)
    assert effect is not None
    assert effect.accuracy_before == study.accuracy
    for find in (find_mistake, find_confusion, find_example, find_doubt, find_carrier):
        find(study)
    assert nearest_directions(study, study.firing((0,)), recipe.decisions(), 5) == ()
    with pytest.raises(InvalidInputError, match="located"):
        codes_by_patch(study, np.ones((2, 2, study.model.bottleneck.dim), np.float32))


def test_the_study_compares_it_with_a_dictionary(study: Study, workspace: Workspace, images: EmbeddingSet) -> None:
    models = [Study.open(artifact.id, workspace=workspace) for artifact in workspace.list("model")]
    same = next(found for found in models if found.class_names == study.class_names)
    other = Study(same.model, study.held_out)
    found = compare(study, other, (Recipe(), Recipe()), align(study, other))
    assert found.labelled > 0
    matches = match_concepts(study.model, other.model)
    assert matches.by == "name", "it has no directions to compare"


def test_the_verbs_evaluate_explain_and_report_it(
    bundle: str, study: Study, workspace: Workspace, images: EmbeddingSet, tmp_path: Path
) -> None:
    figures = verbs.evaluate(bundle, images.id, workspace=workspace).metrics
    assert figures["accuracy"] == pytest.approx(study.accuracy)
    assert "reconstruction" not in figures, "it does not decode"
    assert verbs.explain(bundle, "3", on=images.id, workspace=workspace).prediction == study.prediction(3).predicted
    assert verbs.report(bundle, on=images.id, file=tmp_path / "report.html", workspace=workspace).concepts == SIZE


def test_it_leaves_as_a_bundle_and_comes_back(
    bundle: str, study: Study, workspace: Workspace, images: EmbeddingSet, tmp_path: Path
) -> None:
    assert possible_formats(study.model) == ("bundle",)
    assert planned_files(study.model, ("bundle",))
    assert "detectors" in card_text(study.model, {}, ("bundle",))
    assert build_export(study.model, images.embeddings, {}, ("bundle",), "detectors").passed
    verbs.export(bundle, tmp_path / "again", formats=("bundle",), workspace=workspace)
    again = ConceptModel.load(tmp_path / "again")
    np.testing.assert_array_equal(again.predict(images.embeddings).logits, study.logits())
    with pytest.raises(InvalidInputError, match="bundle alone"):
        verbs.export(bundle, tmp_path / "graph", formats=("bundle", "onnx"), workspace=workspace)
    assert not (tmp_path / "graph").exists()
