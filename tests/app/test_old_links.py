"""Links that people kept: URLs as the first version made them, literally, still open and show what they showed.

Only ids are filled in, by their first eight digits, which is how URLs have them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from planted import OpenApp
from streamlit.testing.v1 import AppTest

from cbm.workspace.workspace import Workspace

Shows = Callable[[AppTest], object]


def ids(workspace: Workspace) -> dict[str, str]:
    """What URLs call the artefacts of the planted workspace."""
    demo = json.loads((workspace.root / "demo.json").read_text())
    names = {**demo, **{f"shortcut_{name}": value for name, value in demo["shortcut"].items()}}
    return {name: value.partition("-")[2][:8] for name, value in names.items() if isinstance(value, str)}


def opened(open_app: OpenApp, workspace: Workspace, url: str) -> AppTest:
    parts = urlsplit(url.format(**ids(workspace)))
    app = open_app(parts.path.strip("/") or None, **dict(parse_qsl(parts.query)))
    assert not app.error, app.error[0].value
    return app


def texts(app: AppTest) -> str:
    kinds = (app.title, app.subheader, app.markdown, app.caption)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def value(app: AppTest, key: str) -> Any:
    return app.get_by_key(key).value


def asked(app: AppTest, parameter: str) -> str:
    return "".join(app.query_params[parameter])


def concept_is_open(app: AppTest) -> bool:
    """Whether this is the page of the concept "star", which can be renamed there."""
    return "rename-3-star" in {box.key for box in app.text_input}


LINKS: dict[str, Shows] = {
    "/": lambda app: app.subheader[0].value == "Demo: ten classes",
    "/?model={shortcut_model}": lambda app: app.subheader[0].value == "Demo: planted shortcut",
    "/start?model={model}": lambda app: app.subheader[0].value == "Demo: ten classes",
    # Concepts
    "/concepts": lambda app: app.title[0].value == "Concepts",
    "/concepts?concept=3": lambda app: concept_is_open(app),
    "/concepts?concept=3&model={shortcut_model}": lambda app: (
        str(value(app, "model_choice")).startswith("model-" + "".join(app.query_params["model"])) and asked(app, "concept") == "3"
    ),
    "/concepts?concepts_search=star": lambda app: value(app, "concepts_search") == "star",
    "/concepts?concepts_sort=Name": lambda app: value(app, "concepts_sort") == "Name",
    "/concepts?concepts_class=iceberg": lambda app: value(app, "concepts_class") == "iceberg",
    "/concepts?concepts_view=Table": lambda app: value(app, "concepts_view") == "Table" and len(app.dataframe) == 1,
    "/concepts?concepts_view=Map&concepts_colour=Frequency": lambda app: value(app, "concepts_colour") == "Frequency",
    "/concepts?concepts_view=Merges&concepts_alike=0.6": lambda app: value(app, "concepts_alike") == 0.6,
    "/concepts?concepts_show=unnamed": lambda app: value(app, "concepts_filters") == ["unnamed"] and "6 concepts of 41" in texts(app),
    "/concepts?concepts_pinned=3.5&concepts_show=pinned": lambda app: (
        value(app, "concepts_filters") == ["pinned"] and "2 concepts of 41" in texts(app)
    ),
    "/concepts?concepts_page=2": lambda app: [pager.value for pager in app.get("pagination")] == [2],
    "/concepts?selection=ceNpjK89ITc0pVmACAA5xArE": lambda app: (
        value(app, "concepts_scope") is True and "wheels" in str(app.segmented_control)
    ),
    # One concept
    "/concept?concept=3": lambda app: concept_is_open(app),
    "/concept?concept=3&class=chessboard": lambda app: value(app, "concept_class-3") == "chessboard",
    "/concept?concept=3&sample=4&range=nothing": lambda app: value(app, "concept_range-3") == "Any strength",
    "/concept?concept=3&concept_heat=true": lambda app: concept_is_open(app),
    # One image
    "/image?image=scene:classes/test/0/5": lambda app: (
        value(app, "image_source") == "Held-out images" and r"scene\:classes/test/0/5 · truth: iceberg" in texts(app)
    ),
    "/image?image=scene:classes/test/0/5&concept=none&patch=3": lambda app: (
        app.get_by_key("image_concept-scene:classes/test/0/5-None").value is None
    ),
    "/image?image=scene:classes/test/0/5&image_target=blueprint": lambda app: value(app, "image_target") == "blueprint",
    # Intervene
    "/intervene?image=scene:classes/test/0/45&concept=3": lambda app: value(app, "edit_concept") == 3,
    "/intervene?intervene_show=All&intervene_class=iceberg": lambda app: (
        value(app, "intervene_show") == "All" and value(app, "intervene_class") == "iceberg"
    ),
    "/intervene?selection=ceNpjK89ITc0pVmACAA5xArE": lambda app: (
        app.button(key="ablate_selection").label == "Ablate the selection “wheels” (2)"
    ),
    # Compare
    "/compare?other=unedited": lambda app: value(app, "compare_other") == "unedited",
    "/compare?other=stored": lambda app: value(app, "compare_other") == "stored",
    # Classify
    "/classify?class=iceberg": lambda app: app.button(key="classify_back") and "iceberg" in texts(app),
    "/classify?truth=iceberg&taken=balloon": lambda app: "iceberg" in texts(app) and "balloon" in texts(app),
    "/classify?selection=IeNrjyE9JUcjPSy2eBAARZwOn": lambda app: value(app, "classify_images_scope") is False,
    "/classify?concepts={shortcut_concepts}": lambda app: app.get_by_key("train_concepts"),
    # Discover
    "/discover?dictionary={dictionary}&concepts={concepts}": lambda app: (
        "Dictionary, 41 concepts, on 400 images" in texts(app) and "names given by hand" in texts(app)
    ),
    "/discover?discover_view=Sweep": lambda app: value(app, "discover_view") == "Sweep",
    "/discover?embeddings={shortcut_train}&discover_view=New+run": lambda app: (
        len(value(app, "new_run_sets-" + asked(app, "embeddings"))) == 1
    ),
    # Data
    "/data?data_view=Add+images": lambda app: value(app, "data_view_choice") == "Add images",
    "/data?data_view=Import+vectors": lambda app: value(app, "data_view_choice") == "Import vectors",
    "/data?embeddings={test}&data_class=iceberg": lambda app: value(app, "data_class") == "iceberg" and "images fit" in texts(app),
    "/data?embeddings={test}&data_page=2": lambda app: [pager.value for pager in app.get("pagination")] == [2],
    "/data?embeddings={train}&like=7": lambda app: "Nearest to" in texts(app),
    "/data?embeddings={train}&data_split=train": lambda app: "400 images" in texts(app),
    # Jobs, export
    "/jobs?jobs_show=Failed": lambda app: app.title[0].value == "Jobs",
    "/export?model={shortcut_model}": lambda app: "41 concepts, 2 classes, without edits" in texts(app),
}


@pytest.mark.parametrize("url", LINKS)
def test_links_of_the_first_version_show_what_they_showed(open_app: OpenApp, workspace: Workspace, url: str) -> None:
    app = opened(open_app, workspace, url)
    assert LINKS[url](app), texts(app)


def test_link_to_the_other_model_chooses_it_on_every_page(open_app: OpenApp, workspace: Workspace) -> None:
    short = ids(workspace)["shortcut_model"]
    for page in ("concepts", "classify", "image", "intervene"):
        app = opened(open_app, workspace, f"/{page}?model={short}")
        assert str(value(app, "model_choice")).startswith(f"model-{short}"), page
