"""The export page: what goes in, a checked file, the script, and loading a bundle into a workspace."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from planted import OpenApp

from cbm import verbs
from cbm.editing.recipe import AblateConcept, Recipe
from cbm.jobs import Jobs
from cbm.jobs.liveness import WorkerSign
from cbm.model import export
from cbm.model.bundle_archive import pack
from cbm.model.concept_model import ConceptModel
from cbm.study.report import report_html
from cbm.ui.frame import resources
from cbm.ui.pages import export as export_page
from cbm.workspace.workspace import Workspace


@pytest.fixture
def worker(own_workspace: Workspace) -> Iterator[WorkerSign]:
    """The test plays the worker."""
    sign = WorkerSign(Jobs(own_workspace).signs)
    yield sign
    sign.close()


def default(workspace: Workspace) -> str:
    return resources.catalogue(str(workspace.root)).default


def test_first_paint_shows_contents_and_the_card(open_app: OpenApp, workspace: Workspace) -> None:
    app = open_app("export")
    text = "\n".join(entry.value for entry in app.markdown)
    assert "`concepts.parquet`" in text
    assert "`model.onnx`" in text
    assert "Concept model: balloon" in text
    assert "not made by a verb" in "\n".join(entry.value for entry in app.caption)


def test_the_built_zip_holds_the_visitors_edits_and_computes_the_same(open_app: OpenApp, workspace: Workspace, tmp_path: Path) -> None:
    model = default(workspace)
    recipe = Recipe.of(AblateConcept(3, "heart"))
    app = open_app("classify")
    app.session_state["recipes"] = {model: recipe}
    app.switch_page("pages/export.py").run()
    app.pills(key="export_formats").set_value([]).run()
    app.button(key="export_build").click().run()
    assert not app.exception
    assert "Checked." in app.success[0].value
    study = resources.study(str(workspace.root), model)
    name = export.export_name(model, recipe, study.model.recipe)
    assert "-edited-" in name
    done = export_page.built(str(workspace.root), model, recipe.to_json(), ("bundle",), name)
    assert done.passed
    zipfile.ZipFile(io.BytesIO(done.data)).extractall(tmp_path)
    back = ConceptModel.load(tmp_path / name)
    wanted = study.model.with_recipe(recipe).predict(study.held_out.embeddings).logits
    assert np.abs(back.predict(study.held_out.embeddings).logits - wanted).max() <= 1e-5
    assert "Ablate “heart”" in (tmp_path / name / "README.md").read_text()


def test_demo_mode_hands_out_files_but_neither_writes_nor_loads(
    open_app: OpenApp, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CBM_MODE", "demo")
    before = sorted(path.name for path in workspace.root.iterdir())
    app = open_app("export")
    app.pills(key="export_formats").set_value([]).run()
    app.button(key="export_build").click().run()
    assert "Checked." in app.success[0].value
    assert not app.text_input
    assert "Load an exported model" not in {heading.value for heading in app.subheader}
    assert sorted(path.name for path in workspace.root.iterdir()) == before


def test_large_exports_are_jobs(open_app: OpenApp, own_workspace: Workspace, worker: WorkerSign, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_page, "IN_MEMORY", 1000)
    app = open_app("export", root=own_workspace.root)
    app.button(key="export_build_job").click().run()
    assert not app.exception
    job = Jobs(own_workspace).list()[0]
    assert (job.kind, job.parameters["model"]) == ("export", default(own_workspace))
    folder = Path(job.parameters["folder"])
    assert folder.is_relative_to(own_workspace.root / "exports")
    jobs = Jobs(own_workspace)
    assert jobs.claim(worker.name)
    app.run()
    assert any(button.key == "export_job-cancel" for button in app.button)
    done = verbs.export(job.parameters["model"], folder, formats=("bundle",), workspace=own_workspace)
    jobs.finish(job.id, 1, "done", result=done.record() | {"max_abs_difference": 2e-6})
    app.run()
    assert "ONNX 2.0e-06" in app.success[0].value
    assert [button.label for button in app.download_button if button.key == "export_download_job"] == [f"Download {folder.name}.zip"]


def test_saving_to_a_folder_is_for_local_mode_alone(
    open_app: OpenApp, own_workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_app("export", root=own_workspace.root)
    app.text_input(key="export_folder").set_value(str(tmp_path / "mine")).run()
    app.button(key="export_save").click().run()
    job = Jobs(own_workspace).list()[0]
    assert (job.kind, job.parameters["folder"]) == ("export", str(tmp_path / "mine"))
    monkeypatch.setenv("CBM_MODE", "demo")
    assert not open_app("export").text_input


def test_a_bundle_is_loaded_from_its_folder_as_a_job(
    open_app: OpenApp, own_workspace: Workspace, worker: WorkerSign, tmp_path: Path
) -> None:
    verbs.export(default(own_workspace), tmp_path / "shapes", formats=("bundle",), workspace=own_workspace)
    app = open_app("export", root=own_workspace.root)
    app.text_input(key="load_folder").set_value(str(tmp_path / "shapes")).run()
    app.button(key="load_go").click().run()
    assert not app.exception
    job = Jobs(own_workspace).list()[0]
    assert (job.kind, job.parameters["source"]) == ("import_bundle", str(tmp_path / "shapes"))
    assert job.parameters["on"] == app.selectbox(key="load_set").value
    jobs = Jobs(own_workspace)
    assert jobs.claim(worker.name)
    loaded = verbs.import_bundle(tmp_path / "shapes", on=str(job.parameters["on"]), workspace=own_workspace)
    jobs.finish(job.id, 1, "done", result=loaded.record())
    app.run()
    assert not app.exception
    assert app.session_state["model"] == loaded.model


def test_an_empty_workspace_offers_to_load_a_bundle(open_app: OpenApp, tmp_path: Path) -> None:
    app = open_app("export", root=tmp_path / "nothing")
    assert [heading.value for heading in app.subheader] == ["No models to export yet", "Load an exported model"]
    assert any("encode a few" in caption.value for caption in app.caption)


def test_a_loaded_model_is_shown_like_any_other(open_app: OpenApp, own_workspace: Workspace, tmp_path: Path) -> None:
    verbs.export(default(own_workspace), tmp_path / "shapes", formats=("bundle",), workspace=own_workspace)
    (tmp_path / "shapes.zip").write_bytes(pack(tmp_path / "shapes", "shapes"))
    shown = next(artifact.id for artifact in own_workspace.list("embeddings") if artifact.metrics["count"] == 200)
    loaded = verbs.import_bundle(tmp_path / "shapes.zip", on=shown, workspace=own_workspace)
    app = open_app("classify", root=own_workspace.root, model=loaded.model.partition("-")[2][:8])
    assert app.metric[0].label == "Accuracy"
    assert loaded.accuracy is not None
    assert app.metric[0].value == f"{loaded.accuracy:.1%}"


def test_a_bundle_that_is_no_zip_is_refused_with_a_reason(open_app: OpenApp, own_workspace: Workspace) -> None:
    app = open_app("export", root=own_workspace.root)
    app.file_uploader(key="load_file").set_value(("shapes.zip", b"this is no archive", "application/zip")).run()
    app.button(key="load_go").click().run()
    assert not app.exception
    assert "zip" in app.error[0].value
    assert not Jobs(own_workspace).list()
    assert not app.run().error, "it is said once"


def test_a_link_to_a_load_that_failed_shows_why_and_offers_a_retry(
    open_app: OpenApp, own_workspace: Workspace, worker: WorkerSign, tmp_path: Path
) -> None:
    jobs = Jobs(own_workspace)
    identifier = jobs.submit("import_bundle", {"source": str(tmp_path / "gone"), "on": None}, title="Load gone")
    assert jobs.claim(worker.name) is not None
    jobs.finish(identifier, 1, "failed", error="There is no bundle in gone.")
    app = open_app("export", root=own_workspace.root, job=identifier)
    assert any("There is no bundle in gone" in error.value for error in app.error)
    assert app.button(key="load_job-retry").label == "Retry"
    assert not open_app("export", root=own_workspace.root).error, "without the link it is not in the way"


def test_the_report_is_one_file_with_the_visitors_edits(open_app: OpenApp, workspace: Workspace) -> None:
    app = open_app("export")
    assert [button.label for button in app.download_button if button.key == "export_report"] == ["Download report"]
    study = resources.study(str(workspace.root), default(workspace))
    text = report_html(study, "shapes", recipe=Recipe.of(AblateConcept(3, "heart")))
    assert "Ablate “heart”" in text
    assert "http" not in text.replace("http://www.w3.org", "")
