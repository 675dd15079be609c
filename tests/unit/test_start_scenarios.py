"""The guided scenarios promise only what the very edit they ask for does, measured on the held-out images."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "app"))
import planted

from cbm.editing.recipe import AblateConcept, ClassScope, Recipe
from cbm.study import scenarios
from cbm.study.study import Study
from cbm.ui.frame import resources
from cbm.ui.frame.state import ConceptPage, DiscoverPage, IntervenePage
from cbm.ui.pages.start.pipeline import finished, lineage_of, unfinished
from cbm.ui.widgets import guides
from cbm.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(planted.build(tmp_path_factory.mktemp("planted") / "workspace").root)


@pytest.fixture(scope="module")
def study(root: str) -> Study:
    return resources.study(root, resources.catalogue(root).default)


@pytest.fixture(scope="module")
def grouped(root: str) -> Study:
    return resources.study(root, resources.catalogue(root).demo["shortcut"]["model"])


def ablated(study: Study, *concepts: int) -> Recipe:
    return Recipe.of(*(AblateConcept(concept, "any") for concept in concepts))


def test_mistake_is_wrong_and_the_ablation_corrects_it(study: Study) -> None:
    mistake = scenarios.find_mistake(study)
    assert mistake is not None
    row = study.row_of(mistake.item)
    before = study.prediction(row, Recipe())
    assert (before.truth, before.predicted) == (mistake.truth, mistake.said)
    assert study.prediction(row, ablated(study, mistake.concept)).predicted == mistake.truth
    effect = study.effect(ablated(study, mistake.concept))
    assert effect is not None
    assert (len(effect.corrected), len(effect.newly_wrong)) == (mistake.corrected, mistake.newly_wrong)
    assert (effect.accuracy_before, effect.accuracy_after) == (mistake.accuracy_before, mistake.accuracy_after)
    (share,) = [abs(bar.share) for bar in before.bars() if bar.concept == mistake.concept]
    assert share == pytest.approx(mistake.share, abs=1e-5)


def test_no_other_correction_does_more_good(study: Study) -> None:
    mistake = scenarios.find_mistake(study)
    assert mistake is not None
    best = -(10**9)
    for concept in range(study.concept_count):
        effect = study.effect(ablated(study, concept))
        if effect is not None and len(effect.corrected):
            best = max(best, len(effect.corrected) - len(effect.newly_wrong))
    assert mistake.corrected - mistake.newly_wrong == best


def test_shortcut_lifts_the_worst_group_as_told(grouped: Study) -> None:
    shortcut = scenarios.find_shortcut(grouped, "model-1", "Demo")
    assert shortcut is not None
    effect = grouped.effect(ablated(grouped, *(concept for concept, _ in shortcut.concepts)))
    assert effect is not None
    assert (effect.worst_group_before, effect.worst_group_after) == (shortcut.worst_before, shortcut.worst_after)
    assert shortcut.worst_after > shortcut.worst_before
    view = grouped.prediction(grouped.row_of(shortcut.item), Recipe())
    assert view.group == shortcut.group
    assert view.correct is False


def test_without_groups_there_is_no_shortcut(study: Study) -> None:
    assert scenarios.find_shortcut(study, "model-1", "Demo") is None


def test_group_accuracy_is_counted_by_group(grouped: Study) -> None:
    assert grouped.group_labels is not None
    groups = grouped.groups(Recipe())
    assert groups is not None
    right = grouped.scored.base_logits.argmax(axis=1) == grouped.labels
    for group in groups.groups:
        members = (grouped.labels >= 0) & (grouped.group_labels == group.index)
        assert (group.images, group.accuracy) == (members.sum(), pytest.approx(right[members].mean()))
        assert group.name == grouped.held_out.groups[group.index]
    assert groups.worst.accuracy == min(group.accuracy for group in groups.groups)
    assert groups.mean == pytest.approx(np.mean([group.accuracy for group in groups.groups]))


def test_confusion_is_the_commonest_and_its_edit_does_what_is_told(grouped: Study) -> None:
    study = grouped
    confusion = scenarios.find_confusion(study)
    assert confusion is not None
    view = study.prediction(study.row_of(confusion.item), Recipe())
    assert (view.truth, view.predicted) == (confusion.truth, confusion.said)
    effect = study.effect(Recipe.of(AblateConcept(confusion.concept, "any", ClassScope(confusion.said))))
    assert effect is not None
    assert (len(effect.corrected), len(effect.newly_wrong)) == (confusion.corrected, confusion.newly_wrong)


def test_example_is_right_and_readable(study: Study) -> None:
    example = scenarios.find_example(study)
    assert example is not None
    view = study.prediction(example.row, Recipe())
    assert view.correct is True
    assert view.bars()[0].contribution == max(bar.contribution for bar in view.bars())
    assert max(view.bars(), key=lambda bar: bar.contribution).concept == example.concept
    after = study.prediction(example.row, ablated(study, example.concept))
    assert after.predicted == example.said_without


def test_doubt_is_about_a_named_concept_in_use(study: Study) -> None:
    doubt = scenarios.find_doubt(study)
    assert doubt is not None
    tile = next(tile for tile in study.concepts(Recipe()) if tile.index == doubt.concept)
    assert tile.named
    assert tile.top_class == doubt.top_class
    assert doubt.runner_up != doubt.name
    assert doubt.uris


def test_guides_open_the_page_with_everything_preset(study: Study, grouped: Study) -> None:
    mistake, doubt = scenarios.find_mistake(study), scenarios.find_doubt(study)
    shortcut, example = scenarios.find_shortcut(grouped, "model-1", "Demo"), scenarios.find_example(study)
    assert mistake
    assert doubt
    assert shortcut
    assert example
    correct = guides.correct_a_mistake(mistake, study.labelled_images)
    assert correct.target == IntervenePage(image=mistake.item, concept=mistake.concept)
    assert correct.target.link().parameters == {"image": mistake.item, "concept": str(mistake.concept)}
    remove = guides.remove_a_shortcut(shortcut, planted=True)
    assert remove.model == "model-1"
    assert remove.target == IntervenePage(image=shortcut.item, concept=shortcut.concepts[0][0])
    assert guides.question_a_name(doubt).target == ConceptPage(doubt.concept)
    assert guides.change_its_mind(example).target == IntervenePage(image=example.item, concept=example.concept)


def test_words_of_the_model_are_no_markdown(study: Study) -> None:
    doubt = scenarios.Doubt(3, "**bold** [link](x)", 0.2, "`code`", (), None, None)
    assert "**bold**" not in guides.question_a_name(doubt).hypothesis
    assert "\\`code\\`" in guides.question_a_name(doubt).hypothesis


def test_pipeline_of_a_finished_model(root: str, study: Study) -> None:
    model = resources.catalogue(root).default
    known = {artifact.id: artifact for artifact in Workspace(root).list()}
    lineage = lineage_of(model, known)
    assert set(lineage) == {"model", "concepts", "dictionary", "embeddings"}
    steps = finished(study, lineage, 0)
    assert [step.title for step in steps] == ["Data", "Discover", "Name", "Classify", "Intervene"]
    assert [step.state for step in steps] == ["done"] * 4 + ["next"]
    assert steps[0].figure == "600 images"
    assert steps[1].target == DiscoverPage(dictionary=lineage["dictionary"].id.partition("-")[2][:8])
    assert finished(study, lineage, 2)[-1].figure == "2 edits in force"


def test_pipeline_says_what_is_next(root: str) -> None:
    found = {kind: Workspace(root).list(kind) for kind in ("embeddings", "dictionary")}
    assert [step.state for step in unfinished({})] == ["next", "later", "later", "later", "later"]
    assert [step.state for step in unfinished({"embeddings": found["embeddings"]})] == ["done", "next", "later", "later", "later"]
    named = unfinished(found)[2]
    assert named.state == "next"
    assert named.target == DiscoverPage()


def test_edit_that_would_harm_elsewhere_is_asked_for_one_image_only() -> None:
    harmful = scenarios.Mistake("item", "uri", "cat", "dog", 3, "fur", 0.5, 1, 5, 0.9, 0.8)
    helpful = scenarios.Mistake("item", "uri", "cat", "dog", 3, "fur", 0.5, 5, 1, 0.8, 0.9)
    assert "for this image only" in guides.correct_a_mistake(harmful, 40).action
    assert "Everywhere, of 40 held-out images, 1 would be corrected" in guides.correct_a_mistake(harmful, 40).change
    assert "everywhere" in guides.correct_a_mistake(helpful, 40).action
    assert "Of 40 held-out images, 5 are corrected and 1 newly wrong" in guides.correct_a_mistake(helpful, 40).change
