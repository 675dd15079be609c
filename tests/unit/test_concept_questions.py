"""What the concept page asks, against brute force on dense matrices."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "app"))
import planted

from cbm.core.errors import NotFoundError
from cbm.editing.recipe import HideConcept, MergeConcepts, Recipe, SetWeight, ZeroWeight
from cbm.metrics.truth import area_under_roc
from cbm.study import evidence, relations
from cbm.study.study import Study
from cbm.ui.frame import resources

CONCEPT = 3


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    root = str(planted.build(tmp_path_factory.mktemp("planted") / "workspace").root)
    return resources.study(root, resources.catalogue(root).default)


@pytest.fixture(scope="module")
def dense(study: Study) -> np.ndarray:
    return np.asarray(study.scored.codes.todense())


@pytest.mark.parametrize("members", [(CONCEPT,), (2, 7), (0, 1, 3)])
def test_firing_is_the_sum_of_the_members(study: Study, dense: np.ndarray, members: tuple[int, ...]) -> None:
    fired = study.firing(members)
    np.testing.assert_allclose(fired.dense(), dense[:, list(members)].sum(axis=1), rtol=1e-6)
    assert (np.diff(fired.values) <= 0).all()
    assert fired.frequency == pytest.approx((dense[:, list(members)].sum(axis=1) != 0).mean())


def test_examples_are_the_strongest_the_middle_and_a_stable_random_draw(study: Study) -> None:
    fired = study.firing((CONCEPT,))
    shown = evidence.examples(fired, concept=CONCEPT, sample=0, count=6)
    assert shown.top == (0, 1, 2, 3, 4, 5)
    assert abs(np.median(shown.middle) - (len(fired.rows) - 1) / 2) <= 1
    assert shown.random == evidence.examples(fired, concept=CONCEPT, sample=0, count=6).random
    assert shown.random != evidence.examples(fired, concept=CONCEPT, sample=1, count=6).random
    assert len(set(shown.random)) == 6
    few = evidence.examples(evidence.Firing((0,), fired.rows[:2], fired.values[:2], 200), concept=0, sample=0, count=6)
    assert (few.top, few.middle, few.random) == ((0, 1), (0, 1), (0, 1))


def test_every_image_is_in_the_bin_that_counts_it(study: Study) -> None:
    for concept in range(0, study.concept_count, 5):
        fired = study.firing((concept,))
        cut = evidence.bins(fired)
        shown = [evidence.in_bin(fired, cut, index) for index in range(len(cut.counts))]
        assert [len(part) for part in shown] == cut.counts.tolist()
        assert sorted(sum(shown, ())) == list(range(len(fired.rows)))
        for index, part in enumerate(shown):
            values = fired.values[list(part)].astype(np.float64)
            assert (values >= cut.edges[index] - 1e-6).all()
            assert (values <= cut.edges[index + 1] + 1e-6).all()
        assert len(set(cut.labels)) == len(cut.labels) <= 20


def test_bins_of_a_concept_that_fires_once_or_never_are_no_error() -> None:
    nothing = evidence.Firing((0,), np.zeros(0, np.int64), np.zeros(0, np.float32), 10)
    assert evidence.bins(nothing).counts.tolist() == [0]
    once = evidence.Firing((0,), np.array([4]), np.array([0.731], np.float32), 10)
    assert evidence.bins(once).counts.sum() == 1
    alike = evidence.Firing((0,), np.array([4, 5]), np.array([1e-9, 1e-9], np.float32), 10)
    assert evidence.bins(alike).counts.sum() == 2


def test_high_and_low_members_of_a_class(study: Study, dense: np.ndarray) -> None:
    fired = study.firing((CONCEPT,))
    high, low = evidence.high_and_low(fired, np.flatnonzero(study.labels == 2), 5)
    members = np.flatnonzero(study.labels == 2)
    assert not set(high) & set(low)
    assert set(high) | set(low) <= set(members.tolist())
    assert dense[high, CONCEPT].min() >= np.sort(dense[members, CONCEPT])[-5]
    assert dense[low, CONCEPT].max() <= np.sort(dense[members, CONCEPT])[4]


def class_weights(study: Study, members: tuple[int, ...], recipe: Recipe) -> dict[str, float]:
    return dict(evidence.class_weights(study.scored.head_for(recipe), study.columns, members, study.class_names))


def test_class_weights_carry_the_edits_of_weights(study: Study) -> None:
    fired = study.firing((CONCEPT,))
    before = class_weights(study, fired.members, Recipe())
    own = study.model.head.weight[:, CONCEPT]
    assert before == pytest.approx({study.class_names[i]: float(own[i]) for i in np.flatnonzero(own)})
    first, other = next(iter(before)), next(name for name in study.class_names if name not in before)
    recipe = Recipe.of(ZeroWeight(CONCEPT, "x", first), SetWeight(CONCEPT, "x", other, 9.0))
    after = class_weights(study, fired.members, recipe)
    assert first not in after
    assert next(iter(after.items())) == (other, 9.0)


def test_weights_of_merged_concepts_lie_between_their_own(study: Study) -> None:
    merged = class_weights(study, (2, 7), Recipe())
    weights = study.model.head.weight[:, [2, 7]]
    for name, value in merged.items():
        row = weights[study.model.class_index(name)]
        assert row.min() - 1e-6 <= value <= row.max() + 1e-6


def test_co_firing_equals_counting_pairs(study: Study, dense: np.ndarray) -> None:
    fires = dense != 0
    fired = study.firing((CONCEPT,))
    found = relations.co_firing(study, fired, Recipe().decisions(), 8)
    assert len(found) == 8
    jaccard = np.array([(fires[:, CONCEPT] & column).sum() / (fires[:, CONCEPT] | column).sum() for column in fires.T])
    jaccard[CONCEPT] = -1
    np.testing.assert_allclose([entry.jaccard for entry in found], np.sort(jaccard)[::-1][:8])
    for entry in found:
        both = (fires[:, CONCEPT] & fires[:, entry.concept]).mean()
        assert entry.lift == pytest.approx(both / (fires[:, CONCEPT].mean() * fires[:, entry.concept].mean()))
        assert entry.together == (fires[:, CONCEPT] & fires[:, entry.concept]).sum()


def test_nearest_directions_equal_all_cosines(study: Study) -> None:
    fired = study.firing((CONCEPT,))
    decoder = study.model.bottleneck.decoder.astype(np.float64)  # type: ignore[attr-defined]
    unit = decoder / np.linalg.norm(decoder, axis=1, keepdims=True)
    cosine = unit @ unit[CONCEPT]
    cosine[CONCEPT] = -np.inf
    found = relations.nearest_directions(study, fired, Recipe().decisions(), 4)
    np.testing.assert_allclose([entry.cosine for entry in found], np.sort(cosine)[::-1][:4], atol=1e-6)


def test_hidden_and_merged_concepts_are_no_relations(study: Study) -> None:
    fired = study.firing((CONCEPT,))
    first, second, third = (entry.concept for entry in relations.co_firing(study, fired, Recipe().decisions(), 3))
    decisions = Recipe.of(HideConcept(first, "x"), MergeConcepts((third, second), ("x", "y"), "z")).decisions()
    listed = {entry.concept for entry in relations.co_firing(study, fired, decisions, study.concept_count)}
    assert not listed & {first, second, CONCEPT}
    assert third in listed
    assert not {entry.concept for entry in relations.nearest_directions(study, fired, decisions, study.concept_count)} & {
        first,
        second,
        CONCEPT,
    }


def test_known_concepts_with_the_images_on_which_they_differ(study: Study, dense: np.ndarray) -> None:
    best = evidence.known_concepts(study.firing((CONCEPT,)), study.held_out.truth, study.held_out.concept_names)[0]
    names, truth = study.held_out.concept_names, study.held_out.truth
    auc = area_under_roc(study.model.encode(np.asarray(study.held_out.embeddings)), truth)[CONCEPT]
    assert best.name == names[CONCEPT] == names[int(np.nanargmax(auc))]
    assert best.auc == pytest.approx(float(np.nanmax(auc)))
    present = truth[:, CONCEPT]
    assert present[best.missed].all()
    assert not present[best.extra].any()
    mistakes = [int((present != (dense[:, CONCEPT] >= cut)).sum()) for cut in np.unique(dense[:, CONCEPT])]
    assert len(best.missed) + len(best.extra) <= 2 * min(mistakes)


def test_best_cut_separates_what_can_be_separated() -> None:
    strengths = np.array([0.0, 0.2, 0.5, 0.5, 0.9], np.float32)
    assert evidence.best_cut(strengths, np.array([False, False, True, True, True])) == pytest.approx(0.5)
    assert evidence.best_cut(strengths, np.array([False, False, False, False, True])) == pytest.approx(0.9)


@pytest.mark.wrong_types
def test_concepts_to_merge_with_are_found_by_name_and_number() -> None:
    names = ["red", "dark red", "blue", "reddish", "green"]
    assert relations.merge_candidates(names, "red", [0], 5) == (3, 1)
    assert relations.merge_candidates(names, "2", [0], 5) == (2,)
    assert relations.merge_candidates(names, " ", [0], 5) == ()


def test_a_concept_is_found_by_its_name_and_by_its_name_with_its_number(study: Study) -> None:
    names, twins = study.model.concepts.names, (4, 9)
    frame = study.model.concepts.frame.assign(name=["twin" if index in twins else name for index, name in enumerate(names)], named=True)
    twinned = Study(replace(study.model, concepts=replace(study.model.concepts, frame=frame)), study.held_out)
    assert [twinned.concept(f"twin #{index}").asked for index in twins] == list(twins)
    decides = np.asarray(np.abs(study.columns.toarray()).mean(axis=0) * np.abs(study.model.head.weight).mean(axis=0))
    assert twinned.concept("Twin").asked == max(twins, key=lambda index: decides[index])
    assert twinned.concept(names[0]).asked == 0
    with pytest.raises(NotFoundError, match="twin"):
        twinned.concept("twins")
