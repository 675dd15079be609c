"""The classify page: the model's result at once, class by class, confusion by confusion, and the form that trains another head."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from planted import OpenApp
from streamlit.testing.v1 import AppTest

from cbm.core.progress import Progress
from cbm.editing.recipe import AblateConcept, Recipe
from cbm.jobs import Jobs
from cbm.jobs.liveness import WorkerSign
from cbm.study.study import Study
from cbm.ui.frame import resources
from cbm.workspace.workspace import Workspace


def study_of(workspace: Workspace) -> Study:
    return resources.study(str(workspace.root), resources.catalogue(str(workspace.root)).default)


def test_first_paint_is_the_result_of_the_chosen_model(open_app: OpenApp, workspace: Workspace) -> None:
    app = open_app("classify")
    study = study_of(workspace)
    figures = {metric.label: metric.value for metric in app.metric}
    assert figures["Accuracy"] == f"{study.accuracy:.1%}"
    assert figures["Classes"] == "10"
    table = app.dataframe[0].value
    assert len(table) == len(study.class_names)
    assert table["Accuracy"].is_monotonic_increasing
    heading = [text.value for text in app.markdown if "images of" in text.value or "image of" in text.value]
    truth, predicted, count = study.confusions(Recipe()).pairs(1)[0]
    noun = "image" if count == 1 else "images"
    assert heading == [f"**{count} {noun} of {study.class_names[truth]} predicted as {study.class_names[predicted]}**"]


def test_choosing_a_class_in_the_table_opens_its_page(open_app: OpenApp) -> None:
    app = open_app("classify")
    worst = app.dataframe[0].value["Class"].iloc[0]
    app.session_state["classify_table"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    app.run()
    app = open_app("classify", **{"class": worst})
    assert app.title[0].value == worst
    assert {"What makes it", "Typical", "Its mistakes"} <= {heading.value for heading in app.subheader}
    app.button(key="classify_back").click().run()
    assert app.title[0].value == "Classify"


def test_a_confused_pair_leads_to_its_images_and_the_address_brings_it_back(open_app: OpenApp, workspace: Workspace) -> None:
    study = study_of(workspace)
    truth, predicted, count = study.confusions(Recipe()).pairs(2)[1]
    app = open_app("classify")
    app.button(key=f"pair-{truth}-{predicted}").click().run()
    heading = f"**{count} {'image' if count == 1 else 'images'} of {study.class_names[truth]} predicted as {study.class_names[predicted]}**"
    assert heading in [text.value for text in app.markdown]
    assert (app.query_params["truth"], app.query_params["taken"]) == (study.class_names[truth], study.class_names[predicted])
    again = open_app("classify", truth=study.class_names[truth], taken=study.class_names[predicted])
    assert heading in [text.value for text in again.markdown]


def test_a_class_that_does_not_exist_is_explained(open_app: OpenApp) -> None:
    app = open_app("classify", **{"class": "unicorn"})
    assert "no class 'unicorn'" in app.error[0].value
    assert app.title[0].value == "Classify"


def test_results_follow_the_edits(open_app: OpenApp, workspace: Workspace) -> None:
    study = study_of(workspace)
    model = resources.catalogue(str(workspace.root)).default
    recipe = Recipe.of(*(AblateConcept(concept, "") for concept in range(8)))
    app = open_app("classify")
    app.session_state["recipes"] = {model: recipe}
    app.run()
    report = study.confusions(recipe)
    assert report.accuracy is not None
    assert report.accuracy < study.accuracy
    figures = {metric.label: metric for metric in app.metric}
    assert figures["Accuracy"].value == f"{report.accuracy:.1%}"
    assert figures["Accuracy"].delta.startswith("-")


def test_training_is_asked_for_as_a_job(open_app: OpenApp, own_workspace: Workspace) -> None:
    app = open_app("classify", root=own_workspace.root)
    app.segmented_control(key="train_head").set_value("dense").run()
    app.button(key="train_go").click().run()
    assert not app.exception
    job = Jobs(own_workspace).list()[0]
    assert (job.kind, job.parameters["head"]) == ("train", "dense")
    assert job.parameters["test"] != job.parameters["on"]
    assert app.query_params["job"] == job.id


def test_demo_mode_shows_results_and_no_form(open_app: OpenApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBM_MODE", "demo")
    app = open_app("classify")
    assert app.metric[0].label == "Accuracy"
    assert "Train another head" not in {heading.value for heading in app.subheader}


def test_empty_workspace_says_what_will_stand_here(open_app: OpenApp, tmp_path: Path) -> None:
    assert open_app("classify", root=tmp_path / "nothing").subheader[0].value == "No classifiers yet"


@pytest.fixture
def worker(own_workspace: Workspace) -> Iterator[WorkerSign]:
    """The test plays the worker."""
    sign = WorkerSign(Jobs(own_workspace).signs)
    yield sign
    sign.close()


def asked_to_train(open_app: OpenApp, workspace: Workspace) -> tuple[AppTest, Jobs, str]:
    """A visitor who pressed Train, and the job."""
    app = open_app("classify", root=workspace.root)
    app.button(key="train_go").click().run()
    jobs = Jobs(workspace)
    job = jobs.list()[0]
    return app, jobs, job.id


def test_a_training_is_watched_and_its_model_shown_when_it_is_done(open_app: OpenApp, own_workspace: Workspace, worker: WorkerSign) -> None:
    app, jobs, identifier = asked_to_train(open_app, own_workspace)
    assert jobs.claim(worker.name)
    jobs.report(identifier, 1, Progress(1, 4, "Solving for 10 concepts per class"))
    app.run()
    assert not app.exception
    assert any(button.key == "train_job-cancel" for button in app.button)
    made = list(resources.catalogue(str(own_workspace.root)).models)[1]
    jobs.finish(identifier, 1, "done", result={"model": made})
    app.run()
    assert not app.exception
    assert app.session_state["model"] == made
    assert app.query_params["model"] == made.partition("-")[2][:8]
    assert app.metric[2].value == "2"


def test_a_failed_training_says_why_and_can_be_tried_again(open_app: OpenApp, own_workspace: Workspace, worker: WorkerSign) -> None:
    app, jobs, identifier = asked_to_train(open_app, own_workspace)
    assert jobs.claim(worker.name)
    jobs.finish(identifier, 1, "failed", error="No optimum uses so many concepts; ask for fewer.")
    app.run()
    assert any("ask for fewer" in error.value for error in app.error)
    app.button(key="train_job-retry").click().run()
    assert jobs.get(identifier).live or jobs.list()[0].live


def test_a_reload_in_the_middle_of_a_training_finds_it_again(open_app: OpenApp, own_workspace: Workspace, worker: WorkerSign) -> None:
    _, jobs, identifier = asked_to_train(open_app, own_workspace)
    assert jobs.claim(worker.name)
    app = open_app("classify", root=own_workspace.root, job=identifier)
    assert any(button.key == "train_job-cancel" for button in app.button)


def test_images_of_a_confusion_become_the_selection_that_all_figures_follow(open_app: OpenApp, workspace: Workspace) -> None:
    study = study_of(workspace)
    *_, count = study.confusions(Recipe()).pairs(1)[0]
    app = open_app("classify")
    app.button(key="classify_select").click().run()
    assert not app.exception
    figures = {metric.label: metric.value for metric in app.metric}
    assert figures["Accuracy"] == "0.0%"
    assert int(app.dataframe[0].value["Images"].sum()) == count
    app.segmented_control(key="classify_images_scope").set_value(False).run()
    assert {metric.label: metric.value for metric in app.metric}["Accuracy"] == f"{study.accuracy:.1%}"
