"""Methods whose concepts have names from the start: what each learns on planted material, and what all of them promise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from cbm import verbs
from cbm.backbones.reference import BackboneReference
from cbm.bottlenecks.label_free import LabelFreeSettings, cos_cubed
from cbm.bottlenecks.linear import LinearConcepts
from cbm.bottlenecks.part import KnownConcepts, Material
from cbm.bottlenecks.posthoc import PosthocSettings, concept_vector
from cbm.bottlenecks.word_filters import WordSettings, choose_words, class_like, score_spread
from cbm.core.arrays import unit_rows
from cbm.core.errors import InvalidInputError, MismatchError
from cbm.core.run import Run
from cbm.core.settings import make_settings
from cbm.demo.pipeline import Demonstrated
from cbm.embeddings.sets import EmbeddingSet
from cbm.names.vocabulary import Vocabulary
from cbm.registry import METHODS
from cbm.study.held_out import training_and_test, training_rows
from cbm.study.study import Study
from cbm.workspace.workspace import Workspace

DIM, ROWS, CONCEPTS = 16, 400, 6
NAMES = ("red", "green", "striped", "round", "tall", "wet")


def vocabulary(names: tuple[str, ...], embeddings: np.ndarray) -> Vocabulary:
    return Vocabulary(names, unit_rows(embeddings), BackboneReference.foreign("planted", "none"), "planted")


@pytest.fixture(scope="module")
def material() -> Material:
    """Images that are sums of the directions of their concepts; a word for each concept; a class is red or not, round or not."""
    generator = np.random.default_rng(0)
    directions = np.linalg.qr(generator.normal(size=(DIM, DIM)))[0][:CONCEPTS]
    present = generator.random((ROWS, CONCEPTS)) < 0.4
    embeddings = present @ directions + 0.05 * generator.normal(size=(ROWS, DIM)) + 0.3
    labels = present[:, 0] * 2 + present[:, 3]
    return Material(
        embeddings.astype(np.float32),
        labels.astype(np.int64),
        ("plum", "ball", "brick", "cherry"),
        vocabulary(NAMES, directions),
        None,
        KnownConcepts(NAMES, present),
    )


def test_scores_have_mean_zero_and_deviation_one_and_the_order_of_the_projections() -> None:
    generator = np.random.default_rng(1)
    embeddings = generator.normal(2, 3, (500, DIM)).astype(np.float32)
    weight = generator.normal(size=(4, DIM))
    weight[3] = 0
    scores = LinearConcepts.standardised(weight, ("a", "b", "c", "d"), embeddings).encode(embeddings).to_dense()
    projections = embeddings.astype(np.float64) @ weight.T
    expected = (projections - projections.mean(axis=0))[:, :3] / projections.std(axis=0)[:3]
    np.testing.assert_allclose(scores[:, :3], expected, atol=2e-5)
    assert not scores[:, 3].any(), "a concept that never varies scores nothing"


@pytest.mark.parametrize(
    ("word", "classes", "says"),
    [
        ("sea horse", ("Sea_Horses",), True),
        ("horse", ("sea_horse",), True),
        ("brown horse", ("horse",), True),
        ("TableTennisShot", ("table tennis",), True),
        ("seaside", ("sea",), False),
        ("striped", ("zebra",), False),
        ("gas", ("ga",), False),
    ],
)
def test_a_word_says_a_class_by_its_spelling(word: str, classes: tuple[str, ...], says: bool) -> None:
    assert class_like(vocabulary((word,), np.eye(1, DIM)), classes, None, 0.9).tolist() == [says]


def test_a_word_says_a_class_by_its_text_embedding() -> None:
    words = vocabulary(("hound", "striped"), np.array([[1.0, 0.2], [0.0, 1.0]]))
    assert class_like(words, ("dog",), np.array([[1.0, 0.0]], np.float32), 0.9).tolist() == [True, False]
    assert class_like(words, ("dog",), np.array([[1.0, 0.0]], np.float32), 1.0).tolist() == [False, False]


def test_the_words_that_vary_most_are_kept_in_their_order(material: Material) -> None:
    flat = np.zeros((1, DIM))
    words = vocabulary(("dull", *NAMES), np.concatenate([flat, material.required_words().embeddings]))
    chosen = choose_words(dataclasses.replace(material, words=words), WordSettings(most_words=CONCEPTS))
    assert chosen.names == NAMES


def test_the_spread_of_a_score_is_the_standard_deviation_of_its_cosine_however_large_the_common_mean() -> None:
    generator = np.random.default_rng(5)
    images = (generator.normal(size=(300, DIM)) + 4 * np.eye(1, DIM)).astype(np.float32)
    texts = unit_rows(generator.normal(size=(20, DIM))).astype(np.float32)
    expected = (unit_rows(images) @ texts.T).std(axis=0)
    np.testing.assert_allclose(score_spread(texts, images), expected, rtol=1e-4)


def test_nothing_but_class_names_is_refused(material: Material) -> None:
    words = vocabulary(("plum", "ball"), np.eye(2, DIM))
    with pytest.raises(InvalidInputError, match="names one of the classes"):
        choose_words(dataclasses.replace(material, words=words), WordSettings())
    assert len(choose_words(dataclasses.replace(material, words=words), WordSettings(keep_class_names=True)).rows) == 2


def test_a_concept_vector_is_the_planted_direction(material: Material) -> None:
    known = material.required_known()
    words = material.required_words().embeddings
    for number in range(CONCEPTS):
        found = concept_vector(material.embeddings, known.present[:, number], PosthocSettings(), 0)
        assert found is not None
        vector, accuracy = found
        assert np.linalg.norm(vector) == pytest.approx(1)
        assert vector @ words[number] > 0.9
        assert accuracy > 0.95
    assert concept_vector(material.embeddings, np.zeros(ROWS, bool), PosthocSettings(), 0) is None


def test_cos_cubed_is_the_cosine_of_centred_cubes() -> None:
    generator = np.random.default_rng(3)
    first, second = generator.normal(size=(2, 50, 3))
    expected = []
    for a, b in zip(first.T, second.T, strict=True):
        a, b = (a - a.mean()) ** 3, (b - b.mean()) ** 3
        expected.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    np.testing.assert_allclose(cos_cubed(torch.from_numpy(first), torch.from_numpy(second)).numpy(), expected)
    np.testing.assert_allclose(cos_cubed(torch.from_numpy(first), torch.from_numpy(3 * first + 1)).numpy(), 1)


def test_the_label_free_projection_follows_the_words_and_drops_what_no_image_shows(material: Material) -> None:
    hidden = np.linalg.qr(np.random.default_rng(0).normal(size=(DIM, DIM)))[0][CONCEPTS]
    embeddings = np.concatenate([material.required_words().embeddings, -hidden[None]])
    words = vocabulary((*NAMES, "absent"), embeddings)
    fitted = METHODS["label-free"].fit(dataclasses.replace(material, words=words), LabelFreeSettings(learning_rate=0.02), Run())
    assert "absent" not in fitted.bottleneck.names
    assert fitted.figures["faithfulness"] > 0.8
    scores = fitted.bottleneck.encode(material.embeddings).to_dense()
    for column, name in enumerate(fitted.bottleneck.names):
        present = material.required_known().present[:, NAMES.index(name)]
        assert scores[present, column].min() > scores[~present, column].mean()


@pytest.mark.parametrize("name", METHODS.names)
def test_a_method_names_its_concepts_and_repeats_by_seed(name: str, material: Material) -> None:
    part = METHODS[name]
    settings = make_settings(part.settings, {}, name)
    assert part.source
    assert set(part.needs(settings)) <= {"words", "known concepts"}
    first, again = (part.fit(material, settings, Run(seed=4)).bottleneck for _ in range(2))
    assert len(set(first.names)) == first.size > 0
    assert first.abilities.supervised
    for tensor, same in zip(first.tensors().values(), again.tensors().values(), strict=True):
        np.testing.assert_array_equal(tensor, same)


@pytest.mark.parametrize("name", METHODS.names)
def test_a_method_says_what_it_lacks(name: str, material: Material) -> None:
    part = METHODS[name]
    bare = Material(material.embeddings, np.full(ROWS, -1), material.classes)
    with pytest.raises(InvalidInputError, match="This method"):
        part.fit(bare, part.settings(), Run())


def test_from_words_to_a_model_that_a_study_opens(demo_copy: Workspace, built_demo: tuple[Workspace, Demonstrated]) -> None:
    model = demo_copy.get(built_demo[1].model)
    training = next(parent for parent in model.parents if parent.kind == "embeddings")
    made = verbs.bottleneck(training, method="words", words="scenes", options={"most_words": 40}, workspace=demo_copy)
    again = verbs.bottleneck(training, method="words", words="scenes", options={"most_words": 40}, workspace=demo_copy)
    assert (made.dictionary, made.concepts) == (again.dictionary, again.concepts)
    assert made.size <= 40
    trained = verbs.train(made.concepts, training, necs=(3,), workspace=demo_copy)
    study = Study.open(trained.model, workspace=demo_copy)
    assert study.model.method["name"] == METHODS["words"].label
    said = study.prediction(0)
    assert said.bias + sum(entry.contribution for entry in said.contributions) == pytest.approx(said.logit, abs=1e-4)


def test_a_bottleneck_that_saw_the_test_images_is_not_trained_on(demo_copy: Workspace, built_demo: tuple[Workspace, Demonstrated]) -> None:
    training = next(parent for parent in demo_copy.get(built_demo[1].model).parents if parent.kind == "embeddings")
    made = verbs.bottleneck(training, method="words", words="scenes", whole=True, options={"most_words": 40}, workspace=demo_copy)
    with pytest.raises(MismatchError, match="images that the model would be tested on"):
        verbs.train(made.concepts, training, necs=(3,), workspace=demo_copy)


def image_set(labels: list[int], splits: list[str]) -> EmbeddingSet:
    items = pd.DataFrame({"item": [str(row) for row in range(len(labels))], "label": labels, "split": splits})
    vectors = np.zeros((len(labels), DIM), np.float32)
    return EmbeddingSet("embeddings-0", vectors, items, ("a", "b"), (), BackboneReference.foreign("planted", "none"), "l2")


def test_a_method_learns_from_unlabelled_images_and_never_from_the_test_split() -> None:
    split = image_set([0, 1, -1, -1, -1, 0], ["train"] * 4 + ["test"] * 2)
    assert training_rows(split, 0).rows.tolist() == [0, 1, 2, 3]
    unlabelled = image_set([-1] * 6, ["train"] * 4 + ["test"] * 2)
    assert training_rows(unlabelled, 0).rows.tolist() == [0, 1, 2, 3]
    assert training_rows(image_set([-1] * 6, [""] * 6), 0).rows.tolist() == list(range(6))
    partly = image_set([0] * 10 + [1] * 10 + [-1] * 10, [""] * 30)
    learned = set(training_rows(partly, 3).rows.tolist())
    trained, tested = training_and_test(partly, None, 3)
    assert set(trained.rows.tolist()) <= learned
    assert not learned & set(tested.rows.tolist())
    assert learned & set(range(20, 30)), "unlabelled images are among them"
