"""One image's page: chosen or uploaded, with its concepts, patches and neighbours, and every way in which it can go wrong."""

from __future__ import annotations

import io
from pathlib import Path

import planted_seen
import pytest
from PIL import Image
from planted import OpenApp
from streamlit.testing.v1 import AppTest

from cbm.editing.recipe import AblateConcept, ImageScope, Recipe
from cbm.images.decode import decode
from cbm.images.pictures import read_bytes
from cbm.study.study import Study
from cbm.study.subject import Neighbours, concepts_at
from cbm.ui.frame import resources
from cbm.ui.frame.state import short
from cbm.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def study(workspace: Workspace) -> Study:
    root = str(workspace.root)
    return resources.study(root, resources.catalogue(root).default)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Images that the demo's backbone encoded."""
    root = str(planted_seen.build(tmp_path_factory.mktemp("seen") / "workspace").root)
    return resources.study(root, resources.catalogue(root).default)


@pytest.fixture(scope="module")
def seen_root(seen: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return next(tmp_path_factory.getbasetemp().glob("seen*")) / "workspace"


def verdict(app: AppTest) -> str:
    return next(text.value for text in app.markdown if text.value.startswith("### ")).removeprefix("### ")


def first_alt(app: AppTest, key: str) -> str:
    return str(app.grid(key=key).image[0].proto.imgs[0].alt)


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def upload(app: AppTest, name: str, data: bytes) -> AppTest:
    app.segmented_control(key="image_source").set_value("A picture of your own").run()
    app.file_uploader(key="image_upload").set_value((name, data, "image/png")).run()
    return app


def test_first_paint_is_a_wrong_prediction_with_its_reasons(open_app: OpenApp, study: Study) -> None:
    app = open_app("image")
    row = study.rows(wrong_only=True)[0]
    assert verdict(app) == study.picture(row, Recipe()).title
    assert any("truth:" in caption.value for caption in app.caption)
    assert len(app.grid(key="image_choose").button) == 6
    assert len(app.grid(key="image_near_embedding").image) == len(app.grid(key="image_near_concepts").image) == 6
    assert any(text.value.startswith(("Without ", "No ablation")) for text in app.markdown)


def test_permalink_restores_the_image(open_app: OpenApp, study: Study) -> None:
    row = 17
    app = open_app("image", image=study.item(row))
    assert verdict(app) == study.picture(row, Recipe()).title
    nearest = Neighbours(study).by_embedding(study.subject(row), 1)[0]
    assert study.items[nearest.row] in first_alt(app, "image_near_embedding")


def test_a_chosen_image_goes_into_the_address(open_app: OpenApp, study: Study) -> None:
    app = open_app("image")
    row = study.rows(wrong_only=True)[2]
    app.button(key=f"image_choose-{row}").click().run()
    assert app.query_params["image"] in (study.item(row), [study.item(row)])
    assert verdict(app) == study.picture(row, Recipe()).title


def test_filters_and_search(open_app: OpenApp, study: Study) -> None:
    app = open_app("image")
    app.segmented_control(key="image_show").set_value("All").run()
    assert any(f"{study.image_count} images of {study.image_count}" in caption.value for caption in app.caption)
    app.text_input(key="image_search").set_value(study.items[9]).run()
    assert study.items[9] in first_alt(app, "image_choose")
    app.text_input(key="image_search").set_value("no such file").run()
    assert any("No held-out image fits" in text.value for text in app.markdown)


def test_a_selection_narrows_the_images(open_app: OpenApp, study: Study) -> None:
    from cbm.ui.frame.links import Selection, encode_selection

    wrong = study.rows(wrong_only=True)[:3]
    app = open_app("image", selection=encode_selection(Selection.of("images", wrong, None)))
    assert any(f"3 images of {study.image_count}" in caption.value for caption in app.caption)


def test_prediction_follows_the_visitors_edits(open_app: OpenApp, study: Study) -> None:
    import planted

    row, concept = planted.correctable(study)
    app = open_app("image", image=study.item(row))
    before = verdict(app)
    model = short(app.session_state["model"])
    recipes = {key: Recipe.of(AblateConcept(concept, "x")) for key in app.session_state["recipes"]}
    app.session_state["recipes"] = recipes
    app.run()
    assert model
    assert verdict(app) == study.class_names[study.labels[row]] != before
    assert any("changed by your edits" in text.value for text in app.markdown)


def test_another_class_can_be_explained(open_app: OpenApp, study: Study) -> None:
    app = open_app("image")
    other = study.class_names[-1]
    app.selectbox(key="image_target").select(other).run()
    judged = study.prediction(study.rows(wrong_only=True)[0], Recipe(), other)
    assert any(f"{judged.logit:.2f}".lstrip("-") in caption.value for caption in app.caption if caption.value.startswith("Score"))


def test_counterfactual_is_tried_on_the_intervene_page(open_app: OpenApp, study: Study) -> None:
    row = next(row for row in study.rows(wrong_only=True) if study.prediction(row, Recipe(), None).counterfactual)
    app = open_app("image", image=study.item(row))
    app.button(key="image_try").click().run()
    assert app.title[0].value == "Intervene"
    recipe = next(iter(recipe for recipe in app.session_state["recipes"].values() if len(recipe)))
    counter = study.prediction(row, Recipe(), None).counterfactual
    assert counter is not None
    assert recipe.active == counter.edits
    assert all(edit.scope == ImageScope(study.item(row)) for edit in recipe.active)


def test_unknown_image_and_concept_are_explained(open_app: OpenApp) -> None:
    app = open_app("image", image="nowhere.png")
    assert "nowhere.png" in app.error[0].value
    assert verdict(app)
    assert "5000" in open_app("image", concept=5000).error[0].value


def test_a_link_from_a_concept_lights_it_even_where_it_is_silent(open_app: OpenApp, study: Study) -> None:
    row = 5
    active = set(study.subject(row).codes.indices.tolist())
    silent = next(concept for concept in range(study.concept_count) if concept not in active)
    app = open_app("image", image=study.item(row), concept=silent)
    assert any("is silent in this image" in caption.value for caption in app.caption)
    lit = max(active)
    app = open_app("image", image=study.item(row), concept=lit)
    assert next(box for box in app.selectbox if box.label == "Show where").value == lit


def test_without_the_weights_the_page_says_what_is_missing(open_app: OpenApp) -> None:
    app = open_app("image")
    assert any("No heat-map" in caption.value and "not those that encoded" in caption.value for caption in app.caption)
    assert app.selectbox(key=next(box.key for box in app.selectbox if box.label == "Show where")).disabled
    app.segmented_control(key="image_source").set_value("A picture of your own").run()
    assert "not those that encoded these images" in app.info[0].value
    assert not app.get("file_uploader")


def test_a_patch_shows_its_concepts(open_app: OpenApp, seen: Study, seen_root: Path) -> None:
    from cbm.ui.widgets import heatmaps

    row = 5
    subject = seen.subject(row)
    app = open_app("image", root=seen_root, image=seen.item(row))
    assert any("Click a patch" in caption.value for caption in app.caption)
    patches = heatmaps.patches_of(seen, [seen.uris[row]])[0]
    patch = next(patch for patch in range(64) if any(entry.elsewhere for entry in concepts_at(seen, subject, patches, patch)))
    app.session_state[f"image_patch-{subject.item}"] = {"patch": patch}
    app.run()
    assert any(text.value == f"**Patch in row {patch // 8 + 1}, column {patch % 8 + 1}**" for text in app.markdown)
    linked = open_app("image", root=seen_root, image=seen.item(row), patch=patch)
    assert any(text.value.startswith("**Patch in row") for text in linked.markdown)
    assert any("Click a patch" in caption.value for caption in open_app("image", root=seen_root, image=seen.item(row), patch=999).caption)
    names = {seen.concept_names[entry.concept] for entry in concepts_at(seen, subject, patches, patch)[:2]}
    assert names <= {str(link.value).split(" :gray[")[0] for link in app.get("page_link")}


@pytest.mark.parametrize("mode", ["local", "demo"])
def test_an_upload_is_predicted_and_leaves_nothing_behind(
    open_app: OpenApp, seen: Study, seen_root: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("CBM_MODE", mode)
    before = sorted(path for path in seen_root.rglob("*") if path.is_file())
    app = upload(open_app("image", root=seen_root), "mine.png", png(decode(read_bytes(seen.uris[8]))))
    assert not app.error
    assert verdict(app) == seen.picture(8, Recipe()).title
    assert seen.items[8] in first_alt(app, "image_near_embedding")
    assert "image" not in app.query_params
    assert sorted(path for path in seen_root.rglob("*") if path.is_file()) == before


@pytest.mark.parametrize("data", [b"", b"not a picture at all", png(Image.new("RGB", (64, 64)))[:90]])
def test_a_file_that_is_no_picture_gets_a_clear_message(open_app: OpenApp, seen_root: Path, data: bytes) -> None:
    app = upload(open_app("image", root=seen_root), "holiday.png", data)
    assert "holiday.png cannot be used" in app.error[0].value
    assert not app.get("plotly_chart")


def test_empty_workspace_teaches(open_app: OpenApp, tmp_path: Path) -> None:
    assert open_app("image", root=tmp_path / "nothing").subheader[0].value == "No predictions yet"
