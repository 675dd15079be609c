"""The start page: a finished result at first paint, or an empty state that teaches."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from planted import OpenApp
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block

from cbm.editing.recipe import AblateConcept
from cbm.workspace.workspace import Workspace


def test_first_paint_shows_the_demo_result(open_app: OpenApp) -> None:
    app = open_app()
    figures = {metric.label: metric.value for metric in app.metric}
    assert figures["Concepts found"] == "95.0%"
    assert figures["Named right"] == "90.0%"
    assert set(figures) == {"Accuracy", "Concepts found", "Named right", "Heat-map hits", "Worst group"}
    assert len(app.grid(key="start_concepts").image) == 8
    assert not app.error


def texts(part: AppTest | Block) -> str:
    return "\n".join(str(element.value) for element in [*part.markdown, *part.caption])


def test_pipeline_leads_to_every_page_with_what_is_there(open_app: OpenApp) -> None:
    cards = open_app().grid(key="pipeline")
    for title in ("Data", "Discover", "Name", "Classify", "Intervene"):
        assert f"**{title}**" in texts(cards)
    assert "600 images" in texts(cards)
    assert "Your turn" in texts(cards)
    pages = [link.proto.page for link in cards.get("page_link")]
    assert pages == ["data", "discover", "concepts", "classify", "intervene"]


def test_demo_mode_leads_to_no_page_that_writes(open_app: OpenApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBM_MODE", "demo")
    pages = [link.proto.page for link in open_app().grid(key="pipeline").get("page_link")]
    assert pages == ["concepts", "classify", "intervene"]


def test_one_prediction_is_read_aloud(open_app: OpenApp) -> None:
    shown = texts(open_app().container(key="example"))
    assert "The model says **" in shown
    assert "% of the score" in shown


def test_three_scenarios_open_their_page_with_everything_preset(open_app: OpenApp) -> None:
    for key, heading in (("mistake", "Intervene"), ("shortcut", "Intervene"), ("doubt", "")):
        app = open_app()
        app.button(key=f"guide_{key}").click().run()
        assert not app.exception
        assert not app.error
        assert app.query_params["concept"]
        if heading:
            assert app.title[0].value == heading
            assert app.query_params["image"]
        else:
            assert app.title[0].value
    assert not app.exception


def test_scenario_of_the_shortcut_shows_its_own_model(open_app: OpenApp) -> None:
    app = open_app()
    planted_model = next(option for option in app.selectbox(key="model_choice").options if "shortcut" in option)
    app.button(key="guide_shortcut").click().run()
    assert "".join(app.query_params["model"]) in str(app.selectbox(key="model_choice").value)
    assert "shortcut" in planted_model


def test_edits_in_force_move_the_last_card(open_app: OpenApp) -> None:
    app = open_app()
    model = app.session_state["model"]
    app.session_state["recipes"] = {model: app.session_state["recipes"][model].append(AblateConcept(3, "three"))}
    app.run()
    assert "1 edit in force" in texts(app.grid(key="pipeline"))


def test_workspace_with_images_only_says_that_discovery_is_next(open_app: OpenApp, own_workspace: Workspace) -> None:
    for folder in (own_workspace.root / "artifacts").iterdir():
        if not folder.name.startswith("embeddings"):
            shutil.rmtree(folder)
    (own_workspace.root / "demo.json").unlink()
    cards = open_app(root=own_workspace.root).grid(key="pipeline")
    assert "1,200 images" in texts(cards)
    assert texts(cards).count("done") == 1
    assert texts(cards).count(" next") == 1
    assert [link.proto.page for link in cards.get("page_link")] == ["data", "discover"]


def test_every_picture_has_a_text_for_those_who_cannot_see_it(open_app: OpenApp) -> None:
    for page in (None, "concepts", "intervene"):
        app = open_app(page)
        assert app.image
        assert all(picture.alt for image in app.image for picture in image.proto.imgs)


def test_figures_that_were_not_measured_are_left_out(open_app: OpenApp, own_workspace: Workspace) -> None:
    file = own_workspace.root / "demo.json"
    demo = json.loads(file.read_text())
    demo["metrics"] = {}
    file.write_text(json.dumps(demo))
    labels = {metric.label for metric in open_app(root=own_workspace.root).metric}
    assert labels == {"Accuracy", "Concepts in use", "Concepts per class"}


def test_empty_workspace_offers_to_build_the_demo(open_app: OpenApp, tmp_path: Path) -> None:
    app = open_app(root=tmp_path / "nothing")
    assert app.button(key="build_demo").label == "Build the demo"
    assert "build the demo" in app.subheader[0].value
    assert not app.metric


def test_damaged_demo_record_is_explained(open_app: OpenApp, own_workspace: Workspace) -> None:
    (own_workspace.root / "demo.json").write_text("{")
    app = open_app(root=own_workspace.root)
    assert "demo.json" in app.error[0].value
    assert "cbm demo" in app.error[0].value


def test_choosing_another_model_shows_it_and_names_it_in_the_address(open_app: OpenApp) -> None:
    app = open_app()
    choice = app.selectbox(key="model_choice")
    shortcut = next(option for option in choice.options if "shortcut" in option)
    choice.select(shortcut).run()
    assert any("shortcut was planted" in caption.value for caption in app.caption)
    assert len("".join(app.query_params["model"])) == 8


def test_address_of_an_unknown_model_is_explained(open_app: OpenApp) -> None:
    app = open_app(model="ffffffff")
    assert "ffffffff" in app.error[0].value
