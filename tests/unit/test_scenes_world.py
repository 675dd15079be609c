"""The known-answer world keeps its promises: addresses, truth, labels, groups and independence."""

from __future__ import annotations

import numpy as np
import pytest

from cbm.core.errors import InvalidInputError
from cbm.images.scenes import (
    CLASS_RULES,
    CONCEPT_INDEX,
    CONCEPTS,
    FACTORS,
    KINDS,
    SHORTCUT_BACKGROUNDS,
    SHORTCUT_CLASSES,
    Scenes,
    read_scene,
    scene_vocabulary,
)
from cbm.images.scenes.layout import EXTRA_PROBABILITY


@pytest.mark.parametrize("kind", KINDS)
def test_a_scene_is_redrawn_from_its_address_alone(kind: str) -> None:
    for scene in Scenes(kind, 5, seed=3, split="test"):
        again = read_scene(scene.uri)
        assert np.array_equal(again.pixels(48), scene.pixels(48))
        assert np.array_equal(again.truth, scene.truth)
        assert again.captions == scene.captions
        assert (again.label, again.group) == (scene.label, scene.group)


def test_seed_split_and_kind_give_other_scenes() -> None:
    uris = [Scenes(kind, 1, seed, split)[0] for kind in KINDS for seed in (0, 1) for split in ("train", "test")]
    pictures = {scene.pixels(32).tobytes() for scene in uris}
    assert len(pictures) == len(uris)


def test_more_scenes_of_a_seed_only_append() -> None:
    assert Scenes("classes", 50, 1).uris[:20] == Scenes("classes", 20, 1).uris


@pytest.mark.parametrize("uri", ["scene:free/train/0", "scene:free/train/-1/0", "scene:other/train/0/1", "scene:free/../0/1", "x", ""])
def test_a_malformed_address_is_refused(uri: str) -> None:
    with pytest.raises(InvalidInputError):
        read_scene(uri)


@pytest.mark.parametrize(
    "source",
    [
        "scenes:none",
        "scenes:free?count=many",
        "scenes:free?count=0",
        "scenes:free?size=3",
        "scenes:free?split=a/b",
        "free",
        "scenes:free?seed=²",
    ],
)
def test_a_malformed_source_is_refused(source: str) -> None:
    with pytest.raises(InvalidInputError):
        Scenes.from_source(source)


def test_a_source_names_its_scenes() -> None:
    scenes = Scenes.from_source("scenes:classes?count=40&seed=7&split=test")
    assert (scenes.kind, len(scenes), scenes.seed, scenes.split) == ("classes", 40, 7, "test")
    assert Scenes.from_source(scenes.source).uris == scenes.uris


def test_scenes_behave_like_a_sequence() -> None:
    scenes = Scenes("free", 6)
    assert scenes[-1].index == 5
    assert [scene.index for scene in scenes[1:4]] == [1, 2, 3]
    assert [scene.index for scene in scenes] == list(range(6))
    with pytest.raises(IndexError):
        scenes[6]


def test_there_are_at_least_thirty_concepts_with_unique_names() -> None:
    assert len(CONCEPTS) >= 30
    words = [word for concept in CONCEPTS for word in concept.words]
    assert len(set(words)) == len(words)


def test_every_factor_has_exactly_one_value_in_every_scene() -> None:
    truth = Scenes("free", 300, 5).truth_matrix
    for values in FACTORS.values():
        assert (truth[:, [CONCEPT_INDEX[value] for value in values]].sum(axis=1) == 1).all()


def test_concepts_of_different_factors_are_independent() -> None:
    truth = Scenes("free", 4000, 11).truth_matrix.astype(float)
    correlation = np.corrcoef(truth.T)
    factors = np.array([concept.factor if concept.factor != "extra" else concept.name for concept in CONCEPTS])
    different = factors[:, None] != factors[None, :]
    assert np.abs(correlation[different]).max() < 5 / np.sqrt(4000)


def test_values_are_uniform_and_extras_as_frequent_as_promised() -> None:
    truth = Scenes("free", 4000, 12).truth_matrix
    for index, concept in enumerate(CONCEPTS):
        expected = EXTRA_PROBABILITY if concept.factor == "extra" else 1 / len(FACTORS[concept.factor])
        assert truth[:, index].mean() == pytest.approx(expected, abs=0.035)


def test_a_scene_satisfies_the_rule_of_its_class_and_no_other() -> None:
    scenes = Scenes("classes", 300, 2)
    assert scenes.class_names == tuple(CLASS_RULES)
    for scene in scenes:
        satisfied = [set(rule.values()) <= set(scene.concepts) for rule in CLASS_RULES.values()]
        assert satisfied.index(True) == scene.label
        assert sum(satisfied) == 1
    assert (np.bincount(scenes.labels) == 30).all()


@pytest.mark.parametrize(("split", "agreement", "right"), [("train", 0.95, 0.94), ("test", 0.5, 1.0)])
def test_the_shortcut_agrees_with_the_class_as_often_as_promised(split: str, agreement: float, right: float) -> None:
    scenes = Scenes("shortcut", 2000, 4, split)
    backgrounds = scenes.truth_matrix[:, [CONCEPT_INDEX[name] for name in SHORTCUT_BACKGROUNDS]].argmax(axis=1)
    shapes = scenes.truth_matrix[:, [CONCEPT_INDEX[name] for name in SHORTCUT_CLASSES]].argmax(axis=1)
    assert (shapes == scenes.labels).mean() == pytest.approx(right, abs=0.02 if right < 1 else 0)
    assert np.array_equal(scenes.groups, 2 * scenes.labels + backgrounds)
    assert (backgrounds == scenes.labels).mean() == pytest.approx(agreement, abs=0.04)
    assert [scenes.group_names[0], scenes.group_names[3]] == [
        f"{SHORTCUT_CLASSES[i]}, {SHORTCUT_BACKGROUNDS[i]}" for i in (0, 1)
    ]  # fmt: skip


def test_free_scenes_have_neither_labels_nor_groups() -> None:
    scenes = Scenes("free", 5)
    assert scenes.class_names == scenes.group_names == ()
    assert (scenes.labels == -1).all()
    assert (scenes.groups == -1).all()


def test_the_vocabulary_holds_every_concept_and_more_names_that_are_none() -> None:
    vocabulary = scene_vocabulary()
    names = {concept.name for concept in CONCEPTS}
    assert len(set(vocabulary)) == len(vocabulary)
    assert names <= set(vocabulary)
    synonyms = {word for concept in CONCEPTS for word in concept.words}
    assert len(set(vocabulary) - synonyms) >= 60
    assert set(vocabulary) & synonyms == names
