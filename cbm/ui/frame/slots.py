"""What a visitor's session holds: typed slots for values and for widgets. Ids and small values, never arrays.

Nothing outside `cbm.ui.frame` names `st.session_state`, but for the visit itself (`cbm.ui.access.visitors`). Pages declare their slots on
their `cbm.ui.frame.state.PageState`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import streamlit as st

T = TypeVar("T")


@dataclass(frozen=True)
class Slot(Generic[T]):
    """One value of the session, or the value of the widget that has this key."""

    key: str
    default: T

    def get(self) -> T:
        """The value; the default where there is none, or where a widget is empty."""
        value = st.session_state.get(self.key)
        return self.default if value is None else value

    def put(self, value: T) -> None:
        """Keep a value. For a widget's key only before the widget is drawn, or in a callback."""
        st.session_state[self.key] = value

    def take(self) -> T:
        """The value, which is then forgotten: for what is shown or done once."""
        value = st.session_state.pop(self.key, None)
        return self.default if value is None else value

    def is_set(self) -> bool:
        return self.key in st.session_state


@dataclass(frozen=True)
class PerModel(Generic[T]):
    """A value for each model (or other id), so that edits and pins of one never reach another. Values are replaced, not changed."""

    key: str
    default: T

    def get(self, model: object) -> T:
        return st.session_state.get(self.key, {}).get(model, self.default)

    def put(self, model: object, value: T) -> None:
        st.session_state[self.key] = {**st.session_state.get(self.key, {}), model: value}

    def has(self, model: object) -> bool:
        return model in st.session_state.get(self.key, {})


def widget_value(key: str) -> Any:
    """What the widget holds; None before it was drawn. For callbacks, which know their widget by its key."""
    return st.session_state.get(key)


def set_widget(key: str, value: object) -> None:
    """Preset a widget that is drawn after this, or from a callback."""
    st.session_state[key] = value


def chosen_points(key: str) -> list[dict[str, Any]]:
    """The points that are selected in a chart, as Plotly describes them."""
    return list(_selection(key).get("points", ()))


def chosen_rows(key: str) -> list[int]:
    """The rows that are selected in a table."""
    return list(_selection(key).get("rows", ()))


def _selection(key: str) -> dict[str, Any]:
    held = st.session_state.get(key)
    return {} if not held else held["selection"]
