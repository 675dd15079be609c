"""The three modes as visitors meet them: a demo that nothing can be written to, and a hosted app whose visitors never meet."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from planted import OpenApp
from streamlit.testing.v1 import AppTest

from cbm.editing.recipe import AblateConcept
from cbm.jobs import Jobs
from cbm.ui.access import visitors
from cbm.workspace.workspace import Workspace

PAGES = ("start", "concepts", "concept", "image", "intervene", "compare", "classify", "export")
WRITING = ("data", "discover", "jobs")


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cbm.ui.frame.resources.ensure_worker", lambda root, anew=False: None)


@pytest.fixture
def demo_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBM_MODE", "demo")


@pytest.fixture
def hosted_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBM_MODE", "hosted")


def files_of(root: Path) -> dict[Path, int]:
    return {file.relative_to(root): file.stat().st_mtime_ns for file in root.rglob("*")}


def own_root(app: AppTest, base: Path) -> Path:
    root = visitors.find(base, app.session_state["workspace"])
    assert root is not None
    return root


def picture() -> tuple[str, bytes, str]:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(buffer, "PNG")
    return "red.png", buffer.getvalue(), "image/png"


@pytest.mark.usefixtures("demo_mode")
@pytest.mark.parametrize("page", PAGES)
def test_every_page_of_the_demo_shows_its_result_and_writes_nothing(open_app: OpenApp, own_workspace: Workspace, page: str) -> None:
    before = files_of(own_workspace.root)
    query = {"concept": "3"} if page == "concept" else {}
    app = open_app(page, root=own_workspace.root, **query)
    assert not app.error
    assert any("read only" in element.value for element in app.markdown)
    assert files_of(own_workspace.root) == before


@pytest.mark.usefixtures("demo_mode")
@pytest.mark.parametrize("page", WRITING)
def test_writing_pages_of_the_demo_lead_nowhere(open_app: OpenApp, page: str) -> None:
    app = open_app(page)
    assert app.title[0].value == "Classifiers you can read, question and correct"


@pytest.mark.usefixtures("demo_mode")
def test_demo_has_no_place_for_own_images(open_app: OpenApp) -> None:
    app = open_app()
    assert not app.file_uploader
    assert {button.key for button in app.button} >= {"guide_mistake", "go_intervene"}
    assert "own_build" not in {button.key for button in app.button}


@pytest.mark.usefixtures("demo_mode")
def test_demo_without_a_model_says_who_can_mend_it(open_app: OpenApp, tmp_path: Path) -> None:
    app = open_app(root=tmp_path / "nothing")
    assert any("Nothing to show yet" in subheader.value for subheader in app.subheader)
    assert not app.button
    assert not (tmp_path / "nothing").exists()


@pytest.mark.usefixtures("hosted_mode")
def test_hosted_visitor_sees_the_curated_models_and_owns_nothing_yet(open_app: OpenApp, own_workspace: Workspace) -> None:
    app = open_app(root=own_workspace.root)
    assert {metric.label for metric in app.metric} >= {"Accuracy", "Concepts found"}
    assert "workspace" not in app.query_params
    assert "own_folder" not in {text.key for text in app.text_input}
    assert "own_source" not in {control.key for control in app.segmented_control}
    assert "A checkpoint of mine" not in app.segmented_control(key="own_kind").options
    assert "delete_my_data" not in {button.key for button in app.button}


@pytest.mark.usefixtures("hosted_mode")
@pytest.mark.parametrize("page", [*PAGES, *WRITING])
def test_every_page_of_a_hosted_app_is_there_and_looking_owns_nothing(open_app: OpenApp, own_workspace: Workspace, page: str) -> None:
    before = files_of(own_workspace.root)
    query = {"concept": "3"} if page == "concept" else {}
    app = open_app(page, root=own_workspace.root, **query)
    assert not app.error
    assert "workspace" not in app.query_params
    assert {file: time for file, time in files_of(own_workspace.root).items() if file.parts[0] != "visitors"} == before
    assert str(own_workspace.root) not in "".join(str(element.value) for element in [*app.markdown, *app.caption])


def upload(app: AppTest) -> AppTest:
    app.file_uploader(key="own_files").set_value([picture()]).run()
    app.segmented_control(key="own_kind").set_value("Drawn scenes").run()
    app.button(key="own_build").click().run()
    assert not app.exception
    assert not app.error, app.error[0].value
    return app


@pytest.mark.usefixtures("hosted_mode")
def test_upload_puts_the_way_back_into_the_address_and_a_second_tab_finds_it(open_app: OpenApp, own_workspace: Workspace) -> None:
    base = own_workspace.root
    before = files_of(base)
    app = upload(open_app(root=base))
    token = "".join(app.query_params["workspace"])
    root = own_root(app, base)
    assert root.name == token
    (job,) = Jobs(Workspace(root)).list()
    assert Path(job.parameters["source"]).is_relative_to(root)
    second = open_app(root=base, workspace=token, job=job.id)
    assert second.session_state["workspace"] == token
    assert second.button(key="build-cancel")
    second.switch_page("pages/concepts.py").run()
    assert "".join(second.query_params["workspace"]) == token
    assert {file: time for file, time in files_of(base).items() if file.parts[0] != "visitors"} == before


@pytest.mark.usefixtures("hosted_mode")
def test_two_visitors_never_see_each_others_uploads_jobs_or_edits(open_app: OpenApp, own_workspace: Workspace) -> None:
    base = own_workspace.root
    anna, bert = open_app(root=base), open_app(root=base)
    upload(anna)
    bert.run()
    assert own_root(anna, base) != own_root(bert, base)
    assert not Jobs(Workspace(own_root(bert, base))).list()
    assert "build-cancel" not in {button.key for button in bert.button}
    assert not (own_root(bert, base) / "uploads").exists()
    model = anna.session_state["model"]
    assert bert.session_state["model"] == model
    anna.session_state["recipes"] = {model: anna.session_state["recipes"][model].append(AblateConcept(3, "three"))}
    anna.run()
    bert.run()
    assert any("1 edit in force" in caption.value for caption in anna.sidebar.caption)
    assert not any("1 edit in force" in caption.value for caption in bert.sidebar.caption)


@pytest.mark.usefixtures("hosted_mode")
@pytest.mark.parametrize("token", ["0" * 32, "..", "../../etc", "x"])
def test_address_of_a_workspace_that_is_not_there_is_explained(open_app: OpenApp, own_workspace: Workspace, token: str) -> None:
    app = open_app(root=own_workspace.root, workspace=token)
    assert "a workspace that does not exist here" in app.error[0].value
    assert "7 days" in app.error[0].value
    app.run()
    assert not app.error
    assert app.metric


def test_errors_make_no_links_of_what_an_address_says(open_app: OpenApp) -> None:
    app = open_app(model="[sign in](https://elsewhere.example) ![](https://elsewhere.example/a.png)")
    assert "not in this workspace" in app.error[0].value
    assert "elsewhere.example" in app.error[0].value
    assert not re.search(r"(?<!\\)\[", app.error[0].value)


@pytest.mark.usefixtures("hosted_mode")
def test_deleting_ones_data_leaves_nothing_and_begins_anew(open_app: OpenApp, own_workspace: Workspace) -> None:
    base = own_workspace.root
    app = upload(open_app(root=base))
    root = own_root(app, base)
    app.button(key="delete_my_data").click().run()
    assert not app.exception
    assert not root.exists()
    assert "workspace" not in app.query_params
    assert own_root(app, base) != root
    assert app.metric
    assert base.is_dir()
    assert Workspace(base).list("model")


@pytest.mark.usefixtures("hosted_mode")
def test_data_can_be_deleted_where_the_address_belongs_to_a_widget(open_app: OpenApp, own_workspace: Workspace) -> None:
    base = own_workspace.root
    token = upload(open_app(root=base)).session_state["workspace"]
    app = open_app("concepts", root=base, workspace=token, concepts_sort="Frequency")
    app.button(key="delete_my_data").click().run()
    assert not app.exception
    assert visitors.find(base, token) is None
    assert "workspace" not in app.query_params


@pytest.mark.usefixtures("hosted_mode")
def test_tab_that_was_away_gets_a_workspace_again(open_app: OpenApp, own_workspace: Workspace) -> None:
    app = open_app(root=own_workspace.root)
    shutil.rmtree(own_root(app, own_workspace.root))
    app.run()
    assert not app.error
    assert app.metric
    assert own_root(app, own_workspace.root).is_dir()


@pytest.mark.usefixtures("hosted_mode")
def test_server_that_is_full_says_so(open_app: OpenApp, own_workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitors, "count", lambda base: 500)
    app = open_app(root=own_workspace.root)
    assert "This server is full" in app.error[0].value


@pytest.mark.parametrize("page", [None, "concepts"])
def test_wrong_mode_is_told_in_the_page(open_app: OpenApp, monkeypatch: pytest.MonkeyPatch, page: str | None) -> None:
    monkeypatch.setenv("CBM_MODE", "public")
    app = open_app(page)
    assert app.error[0].value.startswith("CBM_MODE is 'public'; it must be local, hosted or demo.")
    assert not app.metric
