"""The list of concepts as columns, against one concept at a time."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "app"))
import planted

from cbm.editing.recipe import HideConcepts, MergeConcepts, Recipe, RenameConcept
from cbm.study.concept_list import DENSE, Filter, Sort, arrange, concept_columns, concept_frame, filter_masks, find, shown_concepts
from cbm.study.concept_search import ConceptQuery, candidates, listed
from cbm.study.study import Study
from cbm.ui.frame import resources

RECIPE = Recipe.of(
    RenameConcept(3, "star", "Red"),
    HideConcepts((5, 6), "two"),
    MergeConcepts((10, 11), ("yellow", "green"), "both"),
    HideConcepts((20,), "one"),
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    root = str(planted.build(tmp_path_factory.mktemp("planted") / "workspace").root)
    return resources.study(root, resources.catalogue(root).default)


@pytest.mark.parametrize("recipe", [Recipe(), RECIPE, RECIPE.undo().undo()])
def test_tiles_are_those_of_the_study(study: Study, recipe: Recipe) -> None:
    shown = shown_concepts(study, recipe)
    mine = [shown.tile(study, int(concept)) for concept in np.flatnonzero(shown.standing)]
    assert mine == study.concepts(recipe)


def test_merged_concepts_are_one_with_what_fires_for_any_of_them(study: Study) -> None:
    ((first, members),) = RECIPE.decisions().groups.items()
    dense = np.asarray(study.scored.codes.todense())[:, list(members)]
    shown = study.summary(first, RECIPE.decisions())
    assert shown.frequency == (dense.sum(axis=1) != 0).mean()
    (pictured,) = study.with_pictures([shown], 1)
    assert pictured.uris == (study.uris[int(dense.sum(axis=1).argmax())],)
    assert shown_concepts(study, RECIPE).columns.frequency[first] == np.float32(shown.frequency)


def test_filters_are_what_their_words_say(study: Study) -> None:
    shown = shown_concepts(study, RECIPE)
    masks = filter_masks(shown, pins=(4, 999_999))
    dense = np.asarray(study.scored.codes.todense())
    share = (dense != 0).mean(axis=0)
    assert np.array_equal(masks[Filter.DEAD], share == 0)
    assert np.array_equal(masks[Filter.DENSE], share.astype(np.float32) > DENSE)
    assert np.array_equal(masks[Filter.IN_USE], (study.model.head.weight != 0).any(axis=0))
    assert np.flatnonzero(masks[Filter.HIDDEN]).tolist() == [5, 6, 20]
    assert np.flatnonzero(masks[Filter.PINNED]).tolist() == [4]
    assert {shown.names[concept].casefold() for concept in np.flatnonzero(masks[Filter.DUPLICATE]).tolist()} == {"red"}
    near = np.zeros(study.concept_count, bool)
    near[7] = True
    assert filter_masks(shown, near=near)[Filter.DUPLICATE][7]


def test_a_concept_that_only_speaks_against_classes_speaks_for_none_and_is_in_use(study: Study) -> None:
    head = study.model.head
    weight = head.weight.copy()
    weight[:, 2] = 0.0
    weight[3, 2] = -1.5
    against = Study(replace(study.model, head=replace(head, weight=weight)), study.held_out)
    assert against.unedited_concepts[2].top_class is None
    assert against.unedited_concepts[2].used
    assert concept_columns(against).top_class[2] == -1
    assert filter_masks(shown_concepts(against, Recipe()))[Filter.IN_USE][2]


def test_counts_say_what_choosing_a_filter_would_leave(study: Study) -> None:
    shown = shown_concepts(study, RECIPE)
    among = candidates(study, shown, ConceptQuery(of_class=study.class_names[0]))
    for chosen in (frozenset[Filter](), frozenset({Filter.IN_USE}), frozenset({Filter.HIDDEN})):
        counts = among.counts(chosen)
        for one in Filter:
            asked = ConceptQuery(of_class=study.class_names[0], filters=chosen | {one})
            assert counts[one] == len(listed(shown, asked, among))


def test_the_class_each_concept_fires_for_is_that_of_brute_force(study: Study) -> None:
    dense = np.abs(np.asarray(study.scored.codes.todense()))
    sums = np.stack([dense[study.labels == label].sum(axis=0) for label in range(len(study.class_names))])
    expected = np.where(sums.max(axis=0) > 0, sums.argmax(axis=0), -1)
    assert np.array_equal(concept_columns(study).fires_for, expected)


@pytest.mark.parametrize("sort", list(Sort))
def test_order_is_that_of_sorting_one_by_one(study: Study, sort: Sort) -> None:
    shown = shown_concepts(study, RECIPE)
    keys = {
        Sort.PREDICTIVENESS: lambda tile: -tile.predictiveness,
        Sort.FREQUENCY: lambda tile: -tile.frequency,
        Sort.NAME_SCORE: lambda tile: -tile.name_score if tile.named else np.inf,
        Sort.NAME: lambda tile: tile.name.casefold(),
    }
    order = arrange(shown, shown.standing, sort)
    assert [shown.tile(study, int(concept)) for concept in order] == sorted(study.concepts(RECIPE), key=keys[sort])


def test_names_come_before_classes_and_classes_before_meanings(study: Study) -> None:
    shown = shown_concepts(study, Recipe())
    assert find(shown, "  ", study.class_names) is None
    related = {"moon": 0.9, "sun": 0.5}
    found = find(shown, "HEART", study.class_names, related)
    assert found is not None
    order = arrange(shown, found.fits, Sort.NAME, found)
    names = [shown.names[concept] for concept in order.tolist()]
    assert names[0] == "heart"
    assert names[-2:] == ["moon", "sun"]
    assert found.because(int(order[0])) == "found by name"
    assert found.because(int(order[-1])) == "found by meaning · 0.50"


def test_a_search_finds_the_name_before_and_after_a_rename(study: Study) -> None:
    shown = shown_concepts(study, RECIPE)
    for text in ("star", "red"):
        found = find(shown, text, study.class_names)
        assert found is not None
        assert found.fits[3]


def test_a_selection_of_another_model_selects_nothing_beyond(study: Study) -> None:
    shown = shown_concepts(study, Recipe())
    among = candidates(study, shown, ConceptQuery(members=(2, 99_999)))
    assert listed(shown, ConceptQuery(), among).tolist() == [2]


def test_the_table_says_how_many_a_merged_concept_stands_for(study: Study) -> None:
    shown = shown_concepts(study, RECIPE)
    frame = concept_frame(study, shown, np.array([10, 3]))
    assert frame["represents"].tolist() == [2, 1]
    assert frame["name"].tolist() == ["both", "Red"]
