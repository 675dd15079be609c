"""A concept's own page by its address, and the edits that are made there."""

from __future__ import annotations

from pathlib import Path

from planted import SPARE, OpenApp
from streamlit.testing.v1 import AppTest

from cbm.images.scenes import CONCEPTS
from cbm.workspace.workspace import Workspace

COUNT = len(CONCEPTS) + SPARE


def test_permalink_opens_one_concept_with_its_evidence(open_app: OpenApp) -> None:
    app = open_app("concept", concept=3)
    assert app.title[0].value == CONCEPTS[3].name
    assert {metric.label: metric.value for metric in app.metric}["Known concept"] == CONCEPTS[3].name
    assert app.grid(key="concept_pictures").image
    assert {chart.proto.id for chart in app.get("plotly_chart")}
    assert not app.error


def test_address_of_the_gallery_with_a_concept_leads_to_its_page(open_app: OpenApp) -> None:
    assert open_app("concepts", concept=3).title[0].value == CONCEPTS[3].name


def test_address_of_an_unknown_concept_is_explained(open_app: OpenApp) -> None:
    for address in (5000, "red"):
        app = open_app("concept", concept=address)
        assert str(address) in app.error[0].value
        assert app.page_link[-1].value == "All concepts"


def test_rename_is_an_edit_and_undo_takes_it_back(open_app: OpenApp) -> None:
    app = open_app("concept", concept=3)
    name = CONCEPTS[3].name
    app.text_input(key=f"rename-3-{name}").set_value("my own name").run()
    assert app.title[0].value == "my own name"
    app.button(key="undo").click().run()
    assert app.title[0].value == name
    app.button(key="redo").click().run()
    assert app.title[0].value == "my own name"


def test_blank_name_changes_nothing(open_app: OpenApp) -> None:
    app = open_app("concept", concept=3)
    app.text_input(key=f"rename-3-{CONCEPTS[3].name}").set_value("   ").run()
    assert app.title[0].value == CONCEPTS[3].name
    assert app.button(key="undo").disabled


def test_candidate_name_can_be_taken(open_app: OpenApp) -> None:
    app = open_app("concept", concept=3)
    pills = app.pills(key=f"candidate-3-{CONCEPTS[3].name}")
    wanted = pills.options[0]
    pills.set_value(wanted).run()
    assert app.title[0].value == wanted


def test_hidden_concept_leaves_the_list_until_undo(open_app: OpenApp) -> None:
    app = open_app("concept", concept=3)
    app.button(key="hide").click().run()
    del app.query_params["concept"]
    app.switch_page("pages/concepts.py").run()
    assert any(f"{COUNT - 1} concepts of {COUNT}" in caption.value for caption in app.caption)
    app.button(key="undo").click().run()
    assert any(f"{COUNT} concepts of {COUNT}" in caption.value for caption in app.caption)


def test_names_that_look_like_markup_are_shown_as_they_are(open_app: OpenApp) -> None:
    app = open_app("concept", concept=3)
    app.text_input(key=f"rename-3-{CONCEPTS[3].name}").set_value("<b>*x*</b> :red[y]").run()
    assert app.title[0].value == r"\<b\>\*x\*\</b\> \:red\[y\]"


def test_two_visitors_never_see_each_others_edits(open_app: OpenApp) -> None:
    first, second = open_app("concept", concept=3), open_app("concept", concept=3)
    first.text_input(key=f"rename-3-{CONCEPTS[3].name}").set_value("mine alone").run()
    assert second.run().title[0].value == CONCEPTS[3].name


def test_empty_workspace_points_to_the_start_page(open_app: OpenApp, tmp_path: Path) -> None:
    app = open_app("concepts", root=tmp_path / "nothing")
    assert app.subheader[0].value == "No concepts yet"
    assert app.page_link[0].value == "Go to start"


def test_damaged_model_is_explained(open_app: OpenApp, own_workspace: Workspace) -> None:
    for model in own_workspace.list("model"):
        (model.path / "model.safetensors").write_bytes(b"damaged")
    for page in (None, "concepts", "concept", "intervene"):
        app = open_app(page, root=own_workspace.root)
        assert "model.safetensors" in app.error[0].value


def test_a_change_that_is_reported_twice_is_one_edit() -> None:
    def script() -> None:
        from cbm.editing.recipe import AblateConcept
        from cbm.ui.frame import edits

        for _ in range(2):
            edits.rename("model-a", 3, "star", "my own name")
        edits.add("model-a", AblateConcept(3, "my own name"))
        for _ in range(2):
            edits.switch("model-a", 1, False)

    app = AppTest.from_function(script).run()
    recipe = app.session_state["recipes"]["model-a"]
    assert [step.enabled for step in recipe.steps] == [True, False]
