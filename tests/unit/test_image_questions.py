"""What the image page asks, against brute force."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "app"))
import planted
import planted_seen

from cbm.core.errors import MissingWeightsError
from cbm.editing.recipe import AblateConcept, GlobalScope, HideConcept, ImageScope, Recipe
from cbm.images.decode import decode
from cbm.images.pictures import read_bytes
from cbm.study.study import Study
from cbm.study.subject import Neighbours, codes_by_patch, concepts_at
from cbm.ui.frame import resources
from cbm.ui.pages.image.chooser import uploaded
from cbm.ui.widgets import heatmaps


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Encoded by the demo's backbone."""
    root = str(planted_seen.build(tmp_path_factory.mktemp("seen") / "workspace").root)
    return resources.study(root, resources.catalogue(root).default)


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Planted vectors of a backbone that is nowhere."""
    root = str(planted.build(tmp_path_factory.mktemp("planted") / "workspace").root)
    return resources.study(root, resources.catalogue(root).default)


@pytest.mark.parametrize("row", [0, 7, 31])
def test_nearest_images_equal_all_cosines(seen: Study, row: int) -> None:
    finder, subject = Neighbours(seen), seen.subject(row)
    vectors, codes = np.asarray(seen.held_out.embeddings), np.asarray(seen.scored.codes.todense())
    for found, matrix in ((finder.by_embedding(subject, 5), vectors), (finder.by_concepts(subject, 5), codes)):
        lengths = np.maximum(np.linalg.norm(matrix, axis=1), 1e-12)
        cosine = matrix @ matrix[row] / (lengths * lengths[row])
        cosine[row] = -np.inf
        assert row not in [near.row for near in found]
        np.testing.assert_allclose([near.similarity for near in found], np.sort(cosine)[::-1][:5], atol=1e-5)


def test_more_neighbours_than_images_are_all_the_others(seen: Study) -> None:
    assert len(Neighbours(seen).by_embedding(seen.subject(0), 10_000)) == seen.image_count - 1


def test_judgement_explains_the_score_exactly(seen: Study) -> None:
    for row in (0, 5):
        judged = seen.prediction(seen.subject(row), Recipe(), None)
        assert judged.predicted == judged.target == seen.class_names[int(seen.scored.base_logits[row].argmax())]
        assert judged.bias + sum(part.contribution for part in judged.contributions) == pytest.approx(judged.logit, abs=1e-5)
        assert sum(abs(part.share) for part in judged.contributions) == pytest.approx(1.0)
        assert sum(after for _, _, after in judged.probabilities) <= 1 + 1e-6


def test_judgement_follows_the_recipe_and_the_target(seen: Study) -> None:
    subject = seen.subject(0)
    before = seen.prediction(subject, Recipe(), None)
    part = before.contributions[0]
    recipe = Recipe.of(AblateConcept(part.concept, part.name, ImageScope(subject.item)), HideConcept(before.contributions[1].concept, "x"))
    after = seen.prediction(subject, recipe, seen.class_names[3])
    assert after.target == seen.class_names[3]
    assert next(entry for entry in after.contributions if entry.concept == part.concept).edited
    assert before.contributions[1].concept not in [entry.concept for entry in after.contributions]
    assert seen.prediction(subject, recipe, "no such class").target == after.predicted


@pytest.mark.parametrize("row", range(6))
def test_counterfactual_edits_change_the_prediction_as_promised(seen: Study, row: int) -> None:
    subject = seen.subject(row)
    judged = seen.prediction(subject, Recipe(), None)
    if judged.counterfactual is None:
        pytest.skip("nothing changes this prediction")
    after = seen.prediction(subject, Recipe.of(*judged.counterfactual.edits), None)
    assert after.predicted == judged.counterfactual.rival != judged.predicted
    assert {edit.scope for edit in judged.counterfactual.edits} == {ImageScope(subject.item)}  # type: ignore[union-attr]
    assert after.probabilities[0][2] == pytest.approx(judged.counterfactual.probability, abs=1e-5)


def test_an_upload_is_judged_as_the_same_held_out_image(seen: Study) -> None:
    row = 4
    picture = decode(read_bytes(seen.uris[row]))
    subject, twin = uploaded(seen, "my scene.png", picture), seen.subject(row)
    np.testing.assert_allclose(subject.embedding, twin.embedding, atol=1e-4)
    judged = seen.prediction(subject, Recipe(), None)
    assert judged.predicted == seen.prediction(twin, Recipe(), None).predicted
    assert judged.truth is None
    assert Neighbours(seen).by_embedding(subject, 1)[0].row == row
    if judged.counterfactual is not None:
        assert {edit.scope for edit in judged.counterfactual.edits} == {GlobalScope()}  # type: ignore[union-attr]


def test_concepts_at_a_patch_are_told_apart_by_the_whole_image(seen: Study) -> None:
    subject = seen.subject(2)
    patches = heatmaps.patches_of(seen, [subject.uri or ""])[0]
    codes = codes_by_patch(seen, patches).to_dense()
    for patch in (0, 27, 63):
        found = concepts_at(seen, subject, patches, patch)
        assert {entry.concept for entry in found} == set(np.flatnonzero(codes[patch]).tolist())
        assert [entry.activation for entry in found] == sorted((entry.activation for entry in found), reverse=True)
        assert {entry.concept for entry in found if entry.elsewhere} <= set(subject.codes.indices.tolist())


def test_heat_map_of_merged_concepts_is_that_of_their_sum(seen: Study) -> None:
    patches = heatmaps.patches_of(seen, [seen.uris[2]])[0]
    alone = heatmaps.heat(seen, patches, [3])
    assert alone.shape == patches.shape[:2]
    assert (alone.min(), alone.max()) == (0.0, 1.0)
    assert not np.allclose(heatmaps.heat(seen, patches, [3, 7]), alone)


def test_filters_of_the_chooser(seen: Study) -> None:
    everything = seen.rows(wrong_only=False, truth=None, search="")
    assert everything == list(range(seen.image_count))
    name = seen.class_names[1]
    assert seen.rows(wrong_only=False, truth=name, search="") == np.flatnonzero(seen.labels == 1).tolist()
    assert seen.rows(wrong_only=False, truth=None, search=seen.items[9].upper()) == [
        row for row in everything if seen.items[9] in seen.items[row]
    ]


def test_without_the_very_weights_nothing_is_encoded_and_the_reason_is_said(unseen: Study) -> None:
    assert "not those that encoded these images" in (resources.why_no_encoder(unseen) or "")
    with pytest.raises(MissingWeightsError, match="not those"):
        heatmaps.patches_of(unseen, [unseen.uris[0]])
    assert resources.why_never_an_encoder(unseen) is None
