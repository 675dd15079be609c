"""The intervene page: from a wrong prediction to an edit, its measured effect, and back."""

from __future__ import annotations

import json
from pathlib import Path

from planted import OpenApp, correctable
from streamlit.testing.v1 import AppTest

from cbm.edits import AblateConcept, Recipe
from cbm.ui import resources
from cbm.ui.study import Study
from cbm.workspace import Workspace


def study_of(workspace: Workspace) -> Study:
    return resources.study(str(workspace.root), resources.catalogue(str(workspace.root)).default)


def verdict(app: AppTest) -> str:
    return next(text.value.removeprefix("#### ") for text in app.markdown if text.value.startswith("#### "))


def test_first_wrong_prediction_is_explained_at_once(open_app: OpenApp, workspace: Workspace) -> None:
    app = open_app("intervene")
    study = study_of(workspace)
    first = study.prediction(study.rows(wrong_only=True)[0], Recipe())
    assert verdict(app) == first.predicted_after
    assert any(f"truth: {first.truth}" in caption.value for caption in app.caption)
    assert any("Nothing has been changed" in caption.value for caption in app.caption)


def test_contributions_sum_to_the_score(workspace: Workspace) -> None:
    study = study_of(workspace)
    for row in range(0, study.images, 17):
        for target in (None, *study.classes[:3]):
            view = study.prediction(row, Recipe(), target)
            assert abs(sum(bar.value for bar in view.bars) + view.rest + view.bias - view.logit) < 1e-5


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
    effect = study.effect(Recipe.of(AblateConcept(concept, study.name(concept, Recipe()))))
    assert effect is not None
    assert figures["Corrected"].value == str(effect.corrected_count)
    assert figures["Newly wrong"].value == str(effect.newly_wrong_count)
    assert figures["Accuracy"].value == f"{effect.accuracy_after:.1%}"
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
    app.selectbox(key="intervene_class").select(study.classes[2]).run()
    shown = len(study.rows(truth=study.classes[2]))
    assert any(f"{shown} images of {study.images}" in caption.value for caption in app.caption)


def test_concept_in_the_address_can_be_changed_even_where_it_is_silent(open_app: OpenApp, workspace: Workspace) -> None:
    study = study_of(workspace)
    active = {index for index, _ in study.prediction(study.rows(wrong_only=True)[0], Recipe()).active}
    silent = next(index for index in range(study.concepts) if index not in active)
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
