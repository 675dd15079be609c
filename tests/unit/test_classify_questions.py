"""What the classify and compare pages say of a model, against brute force over single images."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "app"))
import planted

from cbm import verbs
from cbm.core.errors import MismatchError, NotFoundError
from cbm.dictionaries.jumprelu import JumpReluDictionary
from cbm.editing.recipe import AblateConcept, ClassScope, MergeConcepts, Recipe, RenameConcept
from cbm.study import comparison as comparing
from cbm.study.class_view import class_view
from cbm.study.concept_pairs import contribution_shares, match_concepts, pair_list
from cbm.study.confusions import similar_beside
from cbm.study.nec_paths import NecLevel, NecSeries, NecView, path_of
from cbm.study.study import Study
from cbm.ui.frame import resources
from cbm.ui.widgets.figures.models import clicked_cell, confusion_heatmap, nec_chart, spread
from cbm.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return planted.build(tmp_path_factory.mktemp("planted") / "workspace")


@pytest.fixture(scope="module")
def study(workspace: Workspace) -> Study:
    return resources.study(str(workspace.root), resources.catalogue(str(workspace.root)).default)


def recipe() -> Recipe:
    return Recipe.of(AblateConcept(1, "square"), AblateConcept(4, "star", ClassScope("iceberg")))


def predictions(study: Study, recipe: Recipe) -> list[str]:
    """Image by image, by the model itself."""
    edited = study.model.with_recipe(recipe)
    return [edited.predict(study.held_out.embeddings[row : row + 1], [study.item(row)]).names[0] for row in range(study.image_count)]


def test_class_figures_equal_those_counted_by_hand(study: Study) -> None:
    said = predictions(study, recipe())
    truth = [study.class_names[label] for label in study.labels]
    report = study.confusions(recipe())
    for row in report.rows:
        own = [answer for answer, label in zip(said, truth, strict=True) if label == row.name]
        assert (row.images, row.right) == (len(own), own.count(row.name))
        assert row.false_alarms == sum(answer == row.name != label for answer, label in zip(said, truth, strict=True))
        wrong = [answer for answer in own if answer != row.name]
        assert row.confused == max((wrong.count(answer) for answer in wrong), default=0)
    assert report.accuracy == pytest.approx(np.mean([answer == label for answer, label in zip(said, truth, strict=True)]))


def test_pairs_and_their_images_agree(study: Study) -> None:
    report = study.confusions(recipe())
    pairs = report.pairs()
    assert [count for *_, count in pairs] == sorted((count for *_, count in pairs), reverse=True)
    said = predictions(study, recipe())
    for truth, predicted, count in pairs[:4]:
        rows = study.confused_rows(truth, predicted, recipe())
        assert len(rows) == count
        assert {(study.labels[row], said[row]) for row in rows} == {(truth, study.class_names[predicted])}


def test_most_confused_classes_hold_every_pair_whole(study: Study) -> None:
    report = study.confusions(Recipe())
    kept = report.most_confused(5)
    assert 2 <= len(kept) <= 5
    assert set(report.pairs(1)[0][:2]) <= set(kept)


def test_similar_classes_stand_beside_each_other() -> None:
    matrix = np.diag([50] * 6)
    for first, second in ((0, 4), (1, 5), (2, 3)):
        matrix[first, second] = matrix[second, first] = 30
    order = similar_beside(matrix)
    assert sorted(order) == list(range(6))
    assert all(abs(order.index(first) - order.index(second)) == 1 for first, second in ((0, 4), (1, 5), (2, 3)))


def test_a_selection_is_counted_alone(study: Study) -> None:
    only = np.arange(0, study.image_count, 3)
    report = study.confusions(recipe(), only)
    said = predictions(study, recipe())
    assert report.images == len(only)
    assert report.accuracy == pytest.approx(np.mean([said[row] == study.class_names[study.labels[row]] for row in only]))


def test_a_class_that_is_not_there_is_named(study: Study) -> None:
    with pytest.raises(NotFoundError, match="unicorn"):
        class_view(study, "unicorn")


def test_contributions_of_a_class_sum_to_its_mean_score(study: Study) -> None:
    report = study.confusions(recipe())
    for index in range(len(study.class_names)):
        detail = class_view(study, index, recipe())
        own = study.labels == index
        mean = float(study.scored.apply(recipe())[own, index].mean())
        assert sum(entry.contribution for entry in detail.concepts) + detail.bias == pytest.approx(mean, abs=1e-4)
        assert detail.missed_count == report.rows[index].images - report.rows[index].right
        assert detail.alarm_count == report.rows[index].false_alarms
        assert {tile.row for tile in detail.typical}.isdisjoint(tile.row for tile in detail.atypical)


def test_merged_concepts_count_as_one(study: Study) -> None:
    index = 0
    members = [entry.index for entry in class_view(study, index, Recipe()).concepts[:2]]
    merged = Recipe.of(MergeConcepts(tuple(members), ("a", "b"), "both"))
    before = class_view(study, index, Recipe())
    after = class_view(study, index, merged)
    assert len(after.concepts) == len(before.concepts) - 1
    together = next(entry for entry in after.concepts if entry.name == "both")
    assert together.contribution == pytest.approx(sum(entry.contribution for entry in before.concepts[:2]))


# Two models


@pytest.fixture(scope="module")
def other(workspace: Workspace, study: Study) -> Study:
    """The same model under an edit, stored."""
    model = resources.catalogue(str(workspace.root)).default
    made = verbs.edit(model, recipe(), workspace=workspace).model
    return resources.study(str(workspace.root), made)


def test_comparison_equals_the_one_counted_by_hand(study: Study, other: Study) -> None:
    recipes = Recipe(), other.model.recipe
    found = comparing.compare(study, other, recipes, comparing.align(study, other))
    first, second = predictions(study, recipes[0]), predictions(other, recipes[1])
    truth = [study.class_names[label] for label in study.labels]
    rows = list(zip(first, second, truth, strict=True))
    assert found.count("left") == sum(a == t != b for a, b, t in rows)
    assert found.count("right") == sum(b == t != a for a, b, t in rows)
    assert found.count("alike") == sum(a == b != t for a, b, t in rows)
    assert found.count("differently") == sum(a != t and b != t and a != b for a, b, t in rows)
    assert found.agreement == pytest.approx(np.mean([a == b for a, b, _ in rows]))
    assert sum(map(len, found.rows.values())) == found.labelled == study.image_count
    for entry in found.classes:
        assert entry.left == pytest.approx(np.mean([a == t for a, _, t in rows if t == entry.name]))


def test_images_in_common_are_found_by_content_across_sets(workspace: Workspace, study: Study) -> None:
    from dataclasses import replace

    order = np.random.default_rng(0).permutation(study.image_count)[:50]
    shuffled = replace(
        study.held_out,
        id="embeddings-other",
        embeddings=study.held_out.embeddings[order],
        items=study.held_out.items.iloc[order].reset_index(drop=True),
    )
    part = Study(study.model, shuffled)
    aligned = comparing.align(study, part)
    assert len(aligned) == 50
    assert not aligned.same_set
    assert [study.item(row) for row in aligned.left] == [part.item(row) for row in aligned.right]
    assert comparing.compare(study, part, (Recipe(), Recipe()), aligned).agreement == 1.0


def test_models_without_a_common_image_are_refused(workspace: Workspace, study: Study) -> None:
    shortcut = list(resources.catalogue(str(workspace.root)).models)[1]
    with pytest.raises(MismatchError, match="no held-out image in common"):
        comparing.align(study, resources.study(str(workspace.root), shortcut))


def test_models_of_different_classes_are_compared_by_name(study: Study) -> None:
    from dataclasses import replace

    kept = study.class_names[::-1][:4]
    numbers = [study.class_names.index(name) for name in kept]
    head = replace(
        study.model.head, weight=np.ascontiguousarray(study.model.head.weight[numbers]), bias=study.model.head.bias[numbers].copy()
    )
    fewer = Study(replace(study.model, head=head, classes=kept), study.held_out)
    found = comparing.compare(study, fewer, (Recipe(), Recipe()), comparing.align(study, fewer))
    assert found.labelled == int(np.isin(study.labels, numbers).sum()) < found.images
    assert {entry.name for entry in found.classes} == set(kept)


def test_shares_of_all_scores_sum_to_one_and_follow_the_edits(study: Study) -> None:
    shares = contribution_shares(study, Recipe())
    assert shares.sum() == pytest.approx(1.0)
    gone = int(shares.argmax())
    assert contribution_shares(study, Recipe.of(AblateConcept(gone, "")))[gone] == 0.0


def test_rotated_order_of_concepts_is_found_again_by_direction(study: Study) -> None:
    from dataclasses import replace

    dictionary = study.model.bottleneck
    assert isinstance(dictionary, JumpReluDictionary)
    generator = np.random.default_rng(1)
    order = generator.permutation(dictionary.size)
    strange = order[:3]
    decoder = dictionary.decoder[order] + generator.normal(0, 0.005, dictionary.decoder.shape).astype(np.float32)
    decoder[:3] = generator.normal(size=(3, dictionary.dim))
    moved = replace(
        study.model,
        bottleneck=replace(dictionary, decoder=decoder.astype(np.float32), encoder=np.ascontiguousarray(dictionary.encoder[:, order])),
    )
    matches = match_concepts(study.model, moved)
    assert matches.by == "direction"
    near = ~matches.by_name
    assert set(matches.left[near]) == set(range(dictionary.size)) - set(strange)
    assert all(order[right] == left for left, right in zip(matches.left[near], matches.right[near], strict=True))
    assert set(matches.right[~near]) | set(matches.only_right) == {0, 1, 2}
    names = study.model.concepts.names
    assert all(names[left] == names[right] for left, right in zip(matches.left[~near], matches.right[~near], strict=True))
    assert len(set(matches.left)) == len(set(matches.right)) == len(matches)
    assert (matches.cosine[near] >= 0.7).all()


def test_one_dictionary_shares_every_concept(study: Study, other: Study) -> None:
    matches = match_concepts(study.model, other.model)
    assert (matches.by, len(matches)) == ("dictionary", study.concept_count)
    pairs = pair_list(study, other, (Recipe(), other.model.recipe), matches)
    assert pairs.pairs[0].left == 1  # the ablated one differs most
    assert pairs.pairs[0].right_share == 0.0


def test_models_of_other_backbones_share_concepts_by_name(study: Study) -> None:
    from dataclasses import replace

    from cbm.backbones.reference import BackboneReference

    elsewhere = replace(study.model, backbone=BackboneReference.foreign("RN50", "openai"))
    matches = match_concepts(study.model, elsewhere)
    named = int(study.model.concepts.named.sum())
    assert (matches.by, len(matches)) == ("name", named)
    assert matches.same_name.all()


# Figures


def test_labels_never_lie_on_each_other() -> None:
    generator = np.random.default_rng(0)
    for count in range(1, 12):
        wanted = sorted(generator.uniform(0, 250, count).tolist())
        places = spread(wanted, 17, 0, 250)
        assert all(second - first >= 17 - 1e-6 for first, second in pairwise(places))
        assert places[0] >= -1e-6
        assert places[-1] <= max(250, 17 * (count - 1)) + 1e-6
    assert spread([10, 100, 200], 17, 0, 250) == pytest.approx([10, 100, 200])


def test_zero_shot_far_below_is_told_without_flattening_the_rest() -> None:
    view = NecView((NecSeries("concepts", ((5.0, 0.9), (10.0, 0.92))),), (NecLevel("zero-shot", 0.1, "zero-shot"),))
    figure = nec_chart(view)
    assert figure["layout"]["yaxis"]["range"][0] > 0.8
    assert any("zero-shot 10.0% ↓" in annotation["text"] for annotation in figure["layout"]["annotations"])


def test_unreached_points_of_a_path_are_left_out() -> None:
    record = [{"nec": 10, "accuracy": 0.8, "reached": True}, {"nec": 5, "accuracy": 0.7, "reached": True}, {"nec": 30, "accuracy": None}]
    assert path_of(record) == ((5.0, 0.7), (10.0, 0.8))
    assert path_of(None) == ()


@pytest.mark.parametrize("count", [3, 30, 90])
def test_clicked_points_lead_to_their_cells(count: int) -> None:
    generator = np.random.default_rng(0)
    matrix = np.where(generator.random((count, count)) < 0.2, generator.integers(0, 9, (count, count)), 0)
    figure = confusion_heatmap(matrix, [f"class {index}" for index in range(count)], (0, 1))
    layer = next(trace for trace in figure["data"] if trace["type"] == "scatter")
    for point in range(0, len(layer["hovertext"]), 7):
        truth, predicted = clicked_cell(matrix, point)
        assert f"<b>class {truth}</b>" in layer["hovertext"][point]
        assert layer["hovertext"][point].startswith(f"{matrix[truth, predicted]:,} of ")


def test_renames_change_no_figure(study: Study) -> None:
    renamed = Recipe.of(RenameConcept(0, "circle", "ball"))
    assert not renamed.changes_predictions
    np.testing.assert_array_equal(study.confusions(renamed).matrix, study.confusions(Recipe()).matrix)
