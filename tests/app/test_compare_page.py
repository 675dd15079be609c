"""The compare page: two models on the same images, with sound defaults, permalinks and clear refusals."""

from __future__ import annotations

from pathlib import Path

from planted import OpenApp, correctable

from cbm import verbs
from cbm.editing.recipe import AblateConcept, Recipe
from cbm.study.comparison import align, compare
from cbm.study.study import Study
from cbm.ui.frame import resources
from cbm.workspace.workspace import Workspace


def study_of(workspace: Workspace, model: str | None = None) -> Study:
    root = str(workspace.root)
    return resources.study(root, model or resources.catalogue(root).default)


def edited(workspace: Workspace) -> tuple[str, str]:
    """The default model, and one made from it by an edit that corrects an image."""
    default = resources.catalogue(str(workspace.root)).default
    study = study_of(workspace)
    _, concept = correctable(study)
    recipe = Recipe.of(AblateConcept(concept, study.name(concept, Recipe())))
    return default, verbs.edit(default, recipe, workspace=workspace).model


def test_first_paint_compares_a_model_with_its_edited_successor(open_app: OpenApp, own_workspace: Workspace) -> None:
    first, second = edited(own_workspace)
    app = open_app("compare", root=own_workspace.root)
    assert [box.value for box in app.selectbox if box.label.startswith("Model ")] == [first, second]
    left, right = study_of(own_workspace, first), study_of(own_workspace, second)
    found = compare(left, right, (left.model.recipe, right.model.recipe), align(left, right))
    figures = {metric.label: metric.value for metric in app.metric}
    assert figures["A"] == f"{found.left_accuracy:.1%}"
    assert figures["B"] == f"{found.right_accuracy:.1%}"
    assert figures["Only B right"] == str(found.count("right")) != "0"
    assert {"Which images differ", "Which concepts they share"} <= {heading.value for heading in app.subheader}


def test_permalink_names_both_models(open_app: OpenApp, own_workspace: Workspace) -> None:
    first, second = edited(own_workspace)
    short = [model.partition("-")[2][:8] for model in (first, second)]
    app = open_app("compare", root=own_workspace.root, model=short[1], other=short[0])
    assert [box.value for box in app.selectbox if box.label.startswith("Model ")] == [second, first]
    app.button(key="compare_swap").click().run()
    assert [box.value for box in app.selectbox if box.label.startswith("Model ")] == [first, second]
    assert app.query_params["other"] == short[1]


def test_edits_of_the_visitor_are_compared_with_the_stored_model(open_app: OpenApp, workspace: Workspace) -> None:
    study = study_of(workspace)
    _, concept = correctable(study)
    recipe = Recipe.of(AblateConcept(concept, study.name(concept, Recipe())))
    model = resources.catalogue(str(workspace.root)).default
    app = open_app("classify")
    app.session_state["recipes"] = {model: recipe}
    app.switch_page("pages/compare.py").run()
    assert not app.exception
    assert app.selectbox(key="compare_other").value == "stored"
    effect = study.effect(recipe)
    assert effect is not None
    figures = {metric.label: metric.value for metric in app.metric}
    assert (figures["Only A right"], figures["Only B right"]) == (str(len(effect.corrected)), str(len(effect.newly_wrong)))


def test_models_without_common_images_are_refused_in_words(open_app: OpenApp, workspace: Workspace) -> None:
    first, second = list(resources.catalogue(str(workspace.root)).models)
    app = open_app("compare", model=first.partition("-")[2][:8], other=second.partition("-")[2][:8])
    assert "no held-out image in common" in app.error[0].value
    assert app.selectbox(key="compare_other").value == second


def test_a_model_that_is_not_here_is_explained(open_app: OpenApp) -> None:
    assert "'nothing'" in open_app("compare", other="nothing").error[0].value


def test_a_lone_model_without_edits_says_what_would_stand_here(open_app: OpenApp) -> None:
    assert open_app("compare").subheader[0].value == "Nothing to compare yet"


def test_empty_workspace_points_to_the_start_page(open_app: OpenApp, tmp_path: Path) -> None:
    assert open_app("compare", root=tmp_path / "nothing").subheader[0].value == "No models to compare yet"


def test_a_model_with_nothing_to_compare_gives_way_to_a_pair_that_has(open_app: OpenApp, own_workspace: Workspace) -> None:
    models = list(resources.catalogue(str(own_workspace.root)).models)
    study = study_of(own_workspace, models[1])
    recipe = Recipe.of(*(AblateConcept(concept, study.name(concept, Recipe())) for concept in range(4)))
    changed = verbs.edit(models[1], recipe, workspace=own_workspace).model
    app = open_app("compare", root=own_workspace.root)
    assert [box.value for box in app.selectbox if box.label.startswith("Model ")] == [models[1], changed]
    assert any("shares no test images" in caption.value for caption in app.caption)
