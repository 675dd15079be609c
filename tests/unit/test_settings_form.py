"""The form of any settings dataclass: a widget for each field, its help from the docstring, and values that say only what was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from streamlit.testing.v1 import AppTest

from cbm.core.settings import Range
from cbm.registry import Part, Registry

PAGE = """
import streamlit as st
from test_settings_form import Example
from cbm.ui.widgets.settings_form import Look, settings_form

looks = {"width": Look("Concepts", value=64, options=(16, 64, 256)), "nested": Look("Coarse first", switch=(0.5, 1.0))}
st.session_state["given"] = settings_form(Example, prefix="form", scope="x", looks=looks, without=("hidden",))
"""


@dataclass(frozen=True, kw_only=True)
class Method(Part):
    label: str


METHODS: Registry[Method] = Registry("method", {"first": "test_settings_form:FIRST"})


@dataclass(frozen=True)
class Choosing:
    method: Annotated[str, METHODS] = "first"
    """How."""


@dataclass(frozen=True)
class Example:
    width: Annotated[int | None, Range(1)] = None
    """How many concepts."""
    steps: Annotated[int, Range(1, 9)] = 3
    """Steps of the search."""
    rate: float | None = None
    """Left empty, it is chosen."""
    kind: Literal["plain", "fancy"] = "plain"
    """Which kind."""
    strict: bool = False
    """Refuse what does not fit."""
    nested: tuple[float, ...] | None = None
    """Shares of the width."""
    shares: tuple[float, ...] = ()
    """Any shares."""
    note: str | None = None
    """A word on it."""
    hidden: int = 1
    """Not for people."""


FIRST = Method("first", "The first one.", Example, label="First")


def page() -> AppTest:
    app = AppTest.from_string(PAGE).run()
    assert not app.exception
    return app


def test_every_field_has_a_widget_with_its_docstring_as_help() -> None:
    app = page()
    widgets = [*app.select_slider, *app.number_input, *app.selectbox, *app.toggle, *app.text_input]
    assert {widget.label: widget.help for widget in widgets} == {
        "Concepts": "How many concepts.",
        "Steps": "Steps of the search.",
        "Rate": "Left empty, it is chosen.",
        "Kind": "Which kind.",
        "Strict": "Refuse what does not fit.",
        "Coarse first": "Shares of the width.",
        "Shares": "Any shares.",
        "Note": "A word on it.",
    }
    assert app.selectbox[0].options == ["plain", "fancy"]
    steps = app.number_input(key="form_steps-x")
    assert (steps.value, steps.min, steps.max) == (3, 1, 9)
    assert app.number_input(key="form_rate-x").value is None


def test_what_was_chosen_comes_back_and_what_is_empty_does_not() -> None:
    app = page()
    assert app.session_state["given"] == {"width": 64, "steps": 3, "kind": "plain", "strict": False}
    app.select_slider[0].set_value(256)
    app.number_input(key="form_steps-x").set_value(5)
    app.number_input(key="form_rate-x").set_value(0.25)
    app.selectbox[0].select("fancy")
    app.toggle(key="form_strict-x").set_value(True)
    app.toggle(key="form_nested-x").set_value(True)
    app.text_input(key="form_shares-x").set_value("0.25, 1")
    app.text_input(key="form_note-x").set_value(" why ")
    app.run()
    assert app.session_state["given"] == {
        "width": 256,
        "steps": 5,
        "rate": 0.25,
        "kind": "fancy",
        "strict": True,
        "nested": (0.5, 1.0),
        "shares": (0.25, 1.0),
        "note": "why",
    }


def test_registered_parts_are_offered_under_their_labels_also_one_that_was_added_just_now() -> None:
    METHODS.add("late", Method("late", "Added while the app runs.", Example, label="Latecomer"))
    try:
        app = AppTest.from_string(PAGE.replace("Example", "Choosing")).run()
        assert not app.exception
        assert app.selectbox[0].options == ["First", "Latecomer"]
        assert app.caption[0].value == "The first one."
        app.selectbox[0].select("late").run()
        assert app.caption[0].value == "Added while the app runs."
        assert app.session_state["given"] == {"method": "late"}
    finally:
        METHODS.discard("late")


def test_what_is_no_list_of_numbers_is_said_and_left_out() -> None:
    app = page()
    app.text_input(key="form_shares-x").set_value("half").run()
    assert "half" in app.error[0].value
    assert "shares" not in app.session_state["given"]
