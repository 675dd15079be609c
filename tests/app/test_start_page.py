"""The start page: a finished result at first paint, or an empty state that teaches."""

from __future__ import annotations

import json
from pathlib import Path

from planted import OpenApp

from cbm.workspace import Workspace


def test_first_paint_shows_the_demo_result(open_app: OpenApp) -> None:
    app = open_app()
    figures = {metric.label: metric.value for metric in app.metric}
    assert figures["Concepts found"] == "95.0%"
    assert figures["Named right"] == "90.0%"
    assert set(figures) == {"Accuracy", "Concepts found", "Named right", "Heat-map hits", "Worst group"}
    assert len(app.grid(key="start_concepts").image) == 8
    assert [stage for stage in ("Images", "Embed", "Discover", "Name", "Classify") if any(stage in text.value for text in app.markdown)]
    assert not app.error


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
