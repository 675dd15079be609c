"""The intervene page: from a wrong prediction to an edit, its measured effect, and back."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from planted import OpenApp, correctable
from streamlit.testing.v1 import AppTest

from cbm.core.run import Run
from cbm.editing.recipe import AblateConcept, AblateConcepts, Recipe, ScaleConcept, ZeroWeight
from cbm.jobs import Jobs
from cbm.registry import VERBS
from cbm.study.study import Study
from cbm.ui.frame import resources
from cbm.ui.frame.links import Selection, encode_selection
from cbm.ui.frame.state import short
from cbm.ui.pages.intervene import experiments
from cbm.ui.widgets.figures import signed
from cbm.workspace.workspace import Workspace


def study_of(workspace: Workspace) -> Study:
    return resources.study(str(workspace.root), resources.catalogue(str(workspace.root)).default)


class Changes(NamedTuple):
    corrected: int
    newly_wrong: int
    changed: int


def said(study: Study, recipe: Recipe) -> np.ndarray:
    """Predicted classes from the embeddings, by the model itself."""
    return study.model.with_recipe(recipe).predict(study.held_out.embeddings, study.items).labels


def changes(study: Study, before: Recipe, after: Recipe) -> Changes:
    """What a recipe changes, image by image."""
    pairs = list(zip(said(study, before).tolist(), said(study, after).tolist(), study.labels.tolist(), strict=True))
    return Changes(
        sum(old != label == new for old, new, label in pairs),
        sum(old == label != new for old, new, label in pairs),
        sum(old != new for old, new, _ in pairs),
    )


def verdict(app: AppTest) -> str:
    return next(text.value.removeprefix("#### ") for text in app.markdown if text.value.startswith("#### "))


def test_first_wrong_prediction_is_explained_at_once(open_app: OpenApp, workspace: Workspace) -> None:
    app = open_app("intervene")
    study = study_of(workspace)
    first = study.prediction(study.rows(wrong_only=True)[0], Recipe())
    assert verdict(app) == first.predicted
    assert any(f"truth: {first.truth}" in caption.value for caption in app.caption)
    assert any("Nothing has been changed" in caption.value for caption in app.caption)


def test_contributions_sum_to_the_score(workspace: Workspace) -> None:
    study = study_of(workspace)
    for row in range(0, study.image_count, 17):
        for target in (None, *study.class_names[:3]):
            view = study.prediction(row, Recipe(), target)
            assert abs(sum(bar.contribution for bar in view.bars()) + view.rest() + view.bias - view.logit) < 1e-5


def test_edit_corrects_a_wrong_prediction_and_undo_restores_it(open_app: OpenApp, workspace: Workspace) -> None:
    study = study_of(workspace)
    row, concept = correctable(study)
    before = study.prediction(row, Recipe())
    app = open_app("intervene", image=study.item(row))
    app.selectbox(key="edit_concept").set_value(concept).run()
    app.button(key="apply_edit").click().run()
    assert not app.exception
    assert verdict(app) == before.truth
    figures = {metric.label: metric for metric in app.metric}
    recipe = Recipe.of(AblateConcept(concept, "any"))
    expected = changes(study, Recipe(), recipe)
    assert figures["Corrected"].value == str(expected.corrected)
    assert figures["Newly wrong"].value == str(expected.newly_wrong)
    assert figures["Accuracy"].value == f"{(said(study, recipe) == study.labels).mean():.1%}"
    app.button(key="undo").click().run()
    assert verdict(app) == before.predicted_before
    assert "Corrected" not in {metric.label for metric in app.metric}


def test_switching_an_edit_off_takes_its_effect_away(open_app: OpenApp, workspace: Workspace) -> None:
    study = study_of(workspace)
    row, concept = correctable(study)
    app = open_app("intervene", image=study.item(row))
    app.selectbox(key="edit_concept").set_value(concept).run()
    app.button(key="apply_edit").click().run()
    app.toggle(key="edit-0").set_value(False).run()
    assert verdict(app) == study.prediction(row, Recipe()).predicted_before
    app.toggle(key="edit-0").set_value(True).run()
    assert verdict(app) == study.prediction(row, Recipe()).truth


def test_edit_of_one_image_changes_no_other(open_app: OpenApp, workspace: Workspace) -> None:
    study = study_of(workspace)
    row, concept = correctable(study)
    app = open_app("intervene", image=study.item(row))
    app.selectbox(key="edit_concept").set_value(concept).run()
    app.segmented_control(key="edit_scope").set_value("image").run()
    app.button(key="apply_edit").click().run()
    figures = {metric.label: metric.value for metric in app.metric}
    assert (figures["Corrected"], figures["Newly wrong"]) == ("1", "0")


def test_scaling_a_concept_is_named_for_what_it_does(open_app: OpenApp) -> None:
    app = open_app("intervene")
    app.selectbox(key="edit_how_activation").set_value("Scale by").run()
    app.number_input(key="edit_number_Activation_Scale by").set_value(2.0).run()
    assert any("by 2" in caption.value for caption in app.caption if caption.value.startswith("Will be: Scale"))
    app.button(key="apply_edit").click().run()
    assert app.toggle(key="edit-0").label.startswith(":material/tune: Scale")
    assert app.toggle(key="edit-0").label.endswith("by 2")


def test_recipe_can_be_downloaded_and_read_again(open_app: OpenApp) -> None:
    app = open_app("intervene")
    assert not app.download_button
    app.button(key="apply_edit").click().run()
    assert app.download_button(key="download_recipe").label == "Download recipe"
    recipe = next(iter(app.session_state["recipes"].values()))
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert json.loads(recipe.to_json())["edits"][0]["edit"] == "ablate_concept"


def test_all_images_and_one_class_can_be_listed(open_app: OpenApp, workspace: Workspace) -> None:
    study = study_of(workspace)
    app = open_app("intervene")
    app.segmented_control(key="intervene_show").set_value("All").run()
    app.selectbox(key="intervene_class").select(study.class_names[2]).run()
    shown = len(study.rows(truth=study.class_names[2]))
    assert any(f"{shown} images of {study.image_count}" in caption.value for caption in app.caption)


def test_concept_in_the_address_can_be_changed_even_where_it_is_silent(open_app: OpenApp, workspace: Workspace) -> None:
    study = study_of(workspace)
    active = {entry.concept for entry in study.prediction(study.rows(wrong_only=True)[0], Recipe()).contributions}
    silent = next(index for index in range(study.concept_count) if index not in active)
    app = open_app("intervene", concept=silent)
    assert app.selectbox(key="edit_concept").value == silent


def test_addresses_of_unknown_things_are_explained(open_app: OpenApp) -> None:
    assert "nowhere.jpg" in open_app("intervene", image="nowhere.jpg").error[0].value
    assert "9999" in open_app("intervene", concept=9999).error[0].value


def test_worst_group_is_measured_where_there_are_groups(open_app: OpenApp, workspace: Workspace) -> None:
    shortcut = list(resources.catalogue(str(workspace.root)).models)[1]
    app = open_app("intervene", model=shortcut.partition("-")[2][:8])
    app.button(key="apply_edit").click().run()
    assert "Worst group" in {metric.label for metric in app.metric}


def test_empty_workspace_points_to_the_start_page(open_app: OpenApp, tmp_path: Path) -> None:
    assert open_app("intervene", root=tmp_path / "nothing").subheader[0].value == "No predictions yet"


# Edits one by one


def apply_first(app: AppTest, times: int = 1) -> AppTest:
    """Ablate the first concepts of the list, one after the other."""
    for place in range(times):
        app.selectbox(key="edit_concept").select_index(place).run()
        app.button(key="apply_edit").click().run()
        assert not app.exception
    return app


def recipe_of(app: AppTest) -> Recipe:
    return next(iter(app.session_state["recipes"].values()))


def texts(app: AppTest) -> str:
    return "\n".join(str(element.value) for element in [*app.markdown, *app.caption, *app.error, *app.subheader])


def test_each_edit_says_what_it_changes_and_back_to_here_takes_the_later_ones_back(open_app: OpenApp, workspace: Workspace) -> None:
    app = apply_first(open_app("intervene"), 3)
    recipe = recipe_of(app)
    for number in range(3):
        entry = changes(study_of(workspace), recipe.back_to(number), recipe.back_to(number + 1))
        words = f"{entry.corrected:,} corrected" if entry.changed else "no prediction changes"
        assert any(words in caption.value for caption in app.caption)
    assert "back_to-2" not in {button.key for button in app.button}
    app.button(key="back_to-0").click().run()
    assert recipe_of(app).position == 1
    assert "2 edits undone" in texts(app)
    app.button(key="redo").click().run()
    app.button(key="redo").click().run()
    assert recipe_of(app) == recipe
    app.button(key="remove-1").click().run()
    assert recipe_of(app).active == (recipe.active[0], recipe.active[2])


def test_weights_can_be_edited_and_the_difference_is_shown(open_app: OpenApp, workspace: Workspace) -> None:
    study = study_of(workspace)
    app = open_app("intervene")
    view = study.prediction(study.rows(wrong_only=True)[0], Recipe())
    app.segmented_control(key="edit_what").set_value("Weight").run()
    app.selectbox(key="edit_concept").set_value(view.bars()[0].concept).run()
    app.button(key="apply_edit").click().run()
    assert recipe_of(app).active == (ZeroWeight(view.bars()[0].concept, view.bars()[0].name, view.target),)
    after = study.prediction(view.row, recipe_of(app), view.target)
    assert "Before, after, difference" in texts(app)
    assert f"**{signed(view.logit)}** | **{signed(after.logit)}**" in texts(app)
    app.button(key="undo").click().run()
    assert "Before, after, difference" not in texts(app)


def test_pictures_of_what_changed_lead_to_those_images(open_app: OpenApp, workspace: Workspace) -> None:
    study = study_of(workspace)
    row, concept = correctable(study)
    app = open_app("intervene", image=study.item(row))
    app.selectbox(key="edit_concept").set_value(concept).run()
    app.button(key="apply_edit").click().run()
    other = next(button for button in app.button if (button.key or "").startswith("effect-"))
    chosen = int((other.key or "").rpartition("-")[2])
    other.click().run()
    assert "".join(app.query_params["image"]) == study.item(chosen)


def test_prepared_experiments_stand_where_nothing_was_edited_and_do_what_they_say(open_app: OpenApp, workspace: Workspace) -> None:
    app = open_app("intervene")
    keys = [button.key for button in app.button if (button.key or "").startswith("experiment-")]
    assert len(keys) == 3
    app.button(key="experiment-mistake").click().run()
    experiment = experiments(study_of(workspace), "")[0]
    assert recipe_of(app).active == experiment.edits
    assert "".join(app.query_params["image"]) == experiment.guide.target.image
    assert any(badge.value.endswith("right]") for badge in app.markdown if "badge" in badge.value)
    assert "experiment-mistake" not in {button.key for button in app.button}


def test_selection_is_ablated_as_one_edit(open_app: OpenApp) -> None:
    address = encode_selection(Selection("warm colours", "concepts", (1, 4, 7)))
    assert address is not None
    app = open_app("intervene", selection=address)
    app.button(key="ablate_selection").click().run()
    assert recipe_of(app).active == (AblateConcepts((1, 4, 7), "warm colours"),)
    assert "1 edit in force" in texts(app)


# Suggestions


def test_suggested_weights_put_the_image_right(open_app: OpenApp, workspace: Workspace) -> None:
    study = study_of(workspace)
    row = study.rows(wrong_only=True)[0]
    app = open_app("intervene")
    assert "suggestion-0" not in {button.key for button in app.button}
    app.button(key="suggest").click().run()
    app.button(key="suggestion-0").click().run()
    assert not app.exception
    assert verdict(app) == study.prediction(row, Recipe()).truth
    app.button(key="suggest").click().run()
    assert "nothing to put right" in app.error[0].value


def test_suggestions_against_a_kind_of_mistake_are_measured(open_app: OpenApp, workspace: Workspace) -> None:
    study = study_of(workspace)
    app = open_app("intervene")
    app.segmented_control(key="suggest_about").set_value("A kind of mistake").run()
    app.button(key="suggest").click().run()
    assert not app.exception
    before = said(study, Recipe())
    pairs = Counter((label, taken) for label, taken in zip(study.labels.tolist(), before.tolist(), strict=True) if label != taken)
    (truth, taken), mistakes = pairs.most_common(1)[0]
    assert f"of these {mistakes} mistake" in texts(app)
    figures = re.findall(r"✓ ([\d,]+) corrected\] · :orange\[✗ ([\d,]+) newly wrong", texts(app))
    app.button(key="suggestion-0").click().run()
    (edit,) = recipe_of(app).active
    measured = changes(study, Recipe(), recipe_of(app))
    assert (f"{measured.corrected:,}", f"{measured.newly_wrong:,}") in figures
    for concept in range(study.concept_count):  # no ablation everywhere that puts one of them right gains more
        recipe = Recipe.of(AblateConcept(concept, "any"))
        after = said(study, recipe)
        if ((study.labels == truth) & (before == taken) & (after == truth)).any():
            tried = changes(study, Recipe(), recipe)
            assert tried.corrected - tried.newly_wrong <= measured.corrected - measured.newly_wrong
    assert isinstance(edit, AblateConcept | ScaleConcept)


# Recipes from files, and keeping


def upload(app: AppTest, content: bytes, name: str = "recipe.json") -> AppTest:
    uploader = next(element for element in app.file_uploader if (element.key or "").startswith("recipe_file"))
    uploader.set_value((name, content, "application/json")).run()
    assert not app.exception
    return app


def test_uploaded_recipe_is_checked_and_applied(open_app: OpenApp, workspace: Workspace) -> None:
    study = study_of(workspace)
    row, concept = correctable(study)
    recipe = Recipe.of(AblateConcept(concept, study.name(concept, Recipe())), ScaleConcept(1, study.name(1, Recipe()), 1.5)).toggle(1)
    app = upload(open_app("intervene", image=study.item(row)), recipe.to_json().encode())
    assert "A recipe of 2 edits that fits this model" in texts(app)
    app.button(key="recipe_replace").click().run()
    assert recipe_of(app) == recipe
    assert verdict(app) == study.prediction(row, Recipe()).truth
    assert "recipe_replace" not in {button.key for button in app.button}
    upload(app, recipe.to_json().encode())
    app.button(key="recipe_add").click().run()
    assert recipe_of(app).active == (*recipe.active, *recipe.active)


def test_wrong_recipe_files_are_explained_and_change_nothing(open_app: OpenApp, workspace: Workspace) -> None:
    app = upload(open_app("intervene"), b"this is no recipe")
    assert "not JSON" in app.error[0].value
    other = Recipe.of(AblateConcept(3, study_of(workspace).model.concepts.names[5]))
    upload(app, other.to_json().encode())
    assert "made for another model" in app.error[0].value
    assert "recipe_replace" not in {button.key for button in app.button}
    app.toggle(key="recipe_by_name").set_value(True).run()
    app.button(key="recipe_replace").click().run()
    assert recipe_of(app).active == (AblateConcept(5, study_of(workspace).model.concepts.names[5]),)


def test_edited_model_is_saved_by_a_job_and_can_be_opened(open_app: OpenApp, own_workspace: Workspace) -> None:
    app = open_app("intervene", root=own_workspace.root)
    assert app.button(key="save_model").disabled
    apply_first(app)
    app.button(key="save_model").click().run()
    assert not app.exception
    (job,) = Jobs(own_workspace).list()
    assert (job.kind, "".join(app.query_params["job"])) == ("edit", job.id)
    assert Jobs(own_workspace).claim("a worker")
    result = VERBS[job.kind].run_request(job.parameters, own_workspace, Run())
    Jobs(own_workspace).finish(job.id, job.attempt, "done", result=result.record())
    app.run()
    saved = Workspace(own_workspace.root).get(result.model, "model")
    assert any(link.proto.page == "intervene" for link in app.get("page_link") if "Open the saved model" in link.proto.label)
    again = open_app("intervene", root=own_workspace.root, model=short(saved.id))
    assert recipe_of(again).active == recipe_of(app).active


def test_demo_keeps_edits_in_the_tab_and_saves_nothing(
    open_app: OpenApp, own_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CBM_MODE", "demo")
    app = apply_first(open_app("intervene", root=own_workspace.root))
    assert "save_model" not in {button.key for button in app.button}
    assert "edits stay in this browser tab" in texts(app)
    assert "download_recipe" in {button.key for button in app.download_button}


def test_filters_are_part_of_the_address(open_app: OpenApp, workspace: Workspace) -> None:
    study = study_of(workspace)
    app = open_app("intervene", intervene_show="All", intervene_class=study.class_names[2])
    assert any(f"{len(study.rows(truth=study.class_names[2]))} images of" in caption.value for caption in app.caption)


def test_asked_image_is_on_the_page_of_pictures_that_is_shown(open_app: OpenApp, workspace: Workspace) -> None:
    study = study_of(workspace)
    wrong = study.rows(wrong_only=True)
    app = open_app("intervene", image=study.item(wrong[-1]))
    assert f"choose-{wrong[-1]}" in {button.key for button in app.button}


def test_choices_that_another_model_does_not_have_are_let_go(open_app: OpenApp, workspace: Workspace) -> None:
    study = study_of(workspace)
    other = list(resources.catalogue(str(workspace.root)).models)[1]
    app = open_app("intervene")
    app.selectbox(key="explain_target").select(study.class_names[4]).run()
    app.selectbox(key="intervene_class").select(study.class_names[4]).run()
    app.segmented_control(key="suggest_about").set_value("A kind of mistake").run()
    app.button(key="suggest").click().run()
    app.selectbox(key="model_choice").set_value(other).run()
    assert not app.exception
    assert app.selectbox(key="intervene_class").value == "Any class"
    assert app.selectbox(key="explain_target").value == "the prediction"
    assert "suggestion-0" not in {button.key for button in app.button}
