"""Work begun on the start page: the demo and a model from own images are jobs that the page watches, whoever runs them."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planted import OpenApp
from streamlit.testing.v1 import AppTest

from cbm.core.progress import Progress
from cbm.jobs import Job, Jobs
from cbm.jobs.liveness import WorkerSign
from cbm.ui.frame import resources
from cbm.workspace.workspace import Workspace


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests play the worker."""
    monkeypatch.setattr("cbm.ui.frame.resources.ensure_worker", lambda root, anew=False: None)


@pytest.fixture
def fresh(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "fresh")


@pytest.fixture
def worker(fresh: Workspace) -> Iterator[WorkerSign]:
    sign = WorkerSign(Jobs(fresh).signs)
    yield sign
    sign.close()


def only_job(workspace: Workspace) -> Job:
    (job,) = Jobs(workspace).list()
    return job


def begin(workspace: Workspace, worker: WorkerSign) -> Job:
    job = only_job(workspace)
    assert Jobs(workspace).claim(worker.name)
    return job


def click_build(open_app: OpenApp, workspace: Workspace) -> AppTest:
    app = open_app(root=workspace.root)
    app.button(key="build_demo").click().run()
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    shown = [*app.markdown, *app.caption, *app.subheader, *app.info, *app.error, *app.warning, *app.success]
    return "\n".join(str(element.value) for element in shown)


def test_button_builds_the_demo_and_the_result_appears(
    open_app: OpenApp, workspace: Workspace, fresh: Workspace, worker: WorkerSign
) -> None:
    app = click_build(open_app, fresh)
    job = begin(fresh, worker)
    assert job.kind == "demo"
    assert "".join(app.query_params["job"]) == job.id
    Jobs(fresh).report(job.id, 1, Progress(1, 4, "Discovering concepts"))
    app.run()
    assert app.button(key="build_demo").disabled
    assert "Discovering concepts" in "".join(bar.proto.text for bar in app.get("progress"))
    # Not the table of jobs, which other tests may have made there.
    shutil.copytree(workspace.root, fresh.root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("jobs"))
    Jobs(fresh).finish(job.id, 1, "done", result={"model": resources.catalogue(str(workspace.root)).default})
    app.run()
    assert {metric.label for metric in app.metric} >= {"Accuracy", "Concepts found"}
    app.button(key="open_built").click().run()
    assert "job" not in app.query_params
    assert not app.exception


def test_cancel_is_heard_and_said(open_app: OpenApp, fresh: Workspace, worker: WorkerSign) -> None:
    app = click_build(open_app, fresh)
    job = begin(fresh, worker)
    app.run()
    app.button(key="build-cancel").click().run()
    assert only_job(fresh).cancelling
    Jobs(fresh).finish(job.id, 1, "cancelled")
    app.run()
    assert "Finished work is kept" in texts(app)
    app.button(key="build-retry").click().run()
    assert only_job(fresh).state == "queued"


def test_failure_is_shown_in_its_own_words_and_after_a_reload(open_app: OpenApp, fresh: Workspace, worker: WorkerSign) -> None:
    app = click_build(open_app, fresh)
    job = begin(fresh, worker)
    Jobs(fresh).finish(job.id, 1, "failed", error="the weights are damaged; install them again")
    app.run()
    assert "the weights are damaged; install them again" in texts(app)
    assert "the weights are damaged" in texts(open_app(root=fresh.root))
    assert not app.button(key="build_demo").disabled


def test_another_tab_sees_the_running_build_and_cannot_start_a_second(open_app: OpenApp, fresh: Workspace, worker: WorkerSign) -> None:
    click_build(open_app, fresh)
    begin(fresh, worker)
    second = open_app(root=fresh.root)
    assert second.button(key="build_demo").disabled
    assert second.button(key="build-cancel")
    assert len(Jobs(fresh).list()) == 1


def archive() -> bytes:
    generator = np.random.default_rng(0)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for number in range(24):
            picture = io.BytesIO()
            Image.fromarray(generator.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(picture, "PNG")
            packed.writestr(f"{'cats' if number % 2 else 'dogs'}/{number}.png", picture.getvalue())
    return buffer.getvalue()


def test_own_images_become_one_job_and_the_page_leads_to_the_model(
    open_app: OpenApp, own_workspace: Workspace, workspace: Workspace
) -> None:
    app = open_app(root=own_workspace.root)
    assert app.button(key="own_build").disabled
    app.file_uploader(key="own_files").set_value([("pets.zip", archive(), "application/zip")]).run()
    app.segmented_control(key="own_kind").set_value("Drawn scenes").run()
    app.button(key="own_build").click().run()
    assert not app.exception
    job = only_job(own_workspace)
    assert job.kind == "build"
    assert job.title == "Build a model from pets.zip"
    assert job.parameters["backbone"] == "demo"
    source = Path(job.parameters["source"])
    assert source.is_absolute()
    assert source.is_relative_to(own_workspace.root / "uploads")
    assert source.is_file()
    sign = WorkerSign(Jobs(own_workspace).signs)
    begin(own_workspace, sign)
    model = resources.catalogue(str(workspace.root)).demo["shortcut"]["model"]
    Jobs(own_workspace).finish(job.id, 1, "done", result={"model": model, "notes": ["2 images were rejected"]})
    sign.close()
    app.run()
    assert "2 images were rejected" in texts(app)
    app.button(key="open_built").click().run()
    assert app.selectbox(key="model_choice").value == model


def test_images_without_classes_end_with_concepts_and_say_so(open_app: OpenApp, own_workspace: Workspace) -> None:
    jobs = Jobs(own_workspace)
    identifier = jobs.submit("build", {"source": "/gone"})
    sign = WorkerSign(jobs.signs)
    jobs.claim(sign.name)
    jobs.finish(identifier, 1, "done", result={"model": None, "notes": ["No labels."]})
    sign.close()
    app = open_app(root=own_workspace.root, job=identifier)
    assert "no classifier was trained. No labels." in texts(app)


def test_a_folder_that_does_not_exist_is_explained(open_app: OpenApp, own_workspace: Workspace) -> None:
    app = open_app(root=own_workspace.root)
    app.segmented_control(key="own_source").set_value("Folder on this machine").run()
    app.text_input(key="own_folder").set_value("/nowhere/birds").run()
    app.button(key="own_build").click().run()
    assert "/nowhere/birds does not exist" in app.error[0].value
    assert not Jobs(own_workspace).list()


def test_a_file_that_is_no_picture_is_explained(open_app: OpenApp, own_workspace: Workspace) -> None:
    app = open_app(root=own_workspace.root)
    app.file_uploader(key="own_files").set_value([("pets.zip", b"this is no archive", "application/zip")]).run()
    app.button(key="own_build").click().run()
    assert "pets.zip" in app.error[0].value
    assert not Jobs(own_workspace).list()
