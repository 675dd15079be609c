"""Selections: held for each visitor, model and kind; carried by the URL; undone."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from cbm.ui.frame.links import Selection, encode_selection


def script() -> None:
    import streamlit as st

    from cbm.ui.frame import selections

    st.button("Select", key="select", on_click=selections.select, args=("model-a", "concepts", [7, 3, 11]))
    st.button("Other", key="other", on_click=selections.select, args=("model-a", "concepts", [1], "one"))
    st.button("Images", key="images", on_click=selections.select, args=("model-a", "images", [2, 4]))
    selections.chip("model-a", "concepts", "list")
    st.text(" ".join(map(str, selections.restrict("model-a", "concepts", range(12)))))
    st.text(str(selections.current("model-b", "concepts")))


def shown(app: AppTest) -> list[int]:
    return [int(number) for number in app.text[0].value.split()]


def test_without_a_selection_everything_is_shown_and_nothing_drawn() -> None:
    app = AppTest.from_function(script).run()
    assert shown(app) == list(range(12))
    assert not app.segmented_control


def test_a_selection_narrows_and_stands_in_the_address() -> None:
    app = AppTest.from_function(script).run()
    app.button(key="select").click().run()
    assert shown(app) == [3, 7, 11]
    assert app.query_params["selection"] == encode_selection(Selection("Selection", "concepts", (3, 7, 11)))
    assert app.text[1].value == "None"


def test_all_shows_everything_and_keeps_the_selection() -> None:
    app = AppTest.from_function(script).run()
    app.button(key="select").click().run()
    app.segmented_control(key="list_scope").set_value(False).run()
    assert shown(app) == list(range(12))
    second = AppTest.from_function(script)
    second.query_params["selection"] = app.query_params["selection"]
    second.run()
    assert shown(second) == list(range(12))
    second.segmented_control(key="list_scope").set_value(True).run()
    assert shown(second) == [3, 7, 11]


def test_clear_lets_it_go_and_can_be_undone() -> None:
    app = AppTest.from_function(script).run()
    app.button(key="select").click().run()
    app.button(key="list_clear").click().run()
    assert shown(app) == list(range(12))
    assert "selection" not in app.query_params
    app.button(key="list_restore").click().run()
    assert shown(app) == [3, 7, 11]


def test_a_saved_selection_can_be_taken_again() -> None:
    app = AppTest.from_function(script).run()
    app.button(key="select").click().run()
    app.text_input(key="list_name").set_value("wheels").run()
    assert any("wheels (3)" in option for option in app.segmented_control(key="list_scope").options)
    app.button(key="other").click().run()
    assert shown(app) == [1]
    app.button(key="list_take0").click().run()
    assert shown(app) == [3, 7, 11]


def test_a_permalink_brings_the_selection_to_another_visitor() -> None:
    app = AppTest.from_function(script)
    app.query_params["selection"] = encode_selection(Selection("wheels", "concepts", (5, 9)))
    app.run()
    assert shown(app) == [5, 9]
    assert any("wheels (2)" in option for option in app.segmented_control(key="list_scope").options)


def test_concepts_and_images_are_selected_beside_each_other() -> None:
    app = AppTest.from_function(script).run()
    app.button(key="select").click().run()
    app.button(key="images").click().run()
    assert shown(app) == [3, 7, 11]
    assert app.query_params["selection"].count(".") == 1


def test_a_damaged_address_is_explained_once_and_dropped() -> None:
    app = AppTest.from_function(script)
    app.query_params["selection"] = "cAAAA"
    app.run()
    assert "link was cut off" in app.error[0].value
    app.run()
    assert not app.error
    assert shown(app) == list(range(12))


def test_two_visitors_have_their_own_selections() -> None:
    first, second = AppTest.from_function(script).run(), AppTest.from_function(script).run()
    first.button(key="select").click().run()
    assert shown(second.run()) == list(range(12))
