"""A form for a settings dataclass: one widget for each field, whose help is the field's docstring. Values come back by field name.

Nothing is repeated here that the settings say themselves, so a setting that is added to a part, or a part that is added while the app runs,
has its widget without another line. A page may say how one of its fields looks, where it knows more: sizes that suit the images, say.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from cbm.core.settings import Field, settings_fields
from cbm.registry import Registry
from cbm.ui.frame import messages

_UNLIMITED = 2**31
_BETWEEN = ","


@dataclass(frozen=True)
class Look:
    """How a field looks where the page knows more than its settings do."""

    label: str | None = None
    """The field's name in words when absent."""
    value: Any = None
    """What is chosen at first; the field's own default when absent."""
    options: Sequence[Any] = ()
    """The values on offer: a slider for numbers, a choice otherwise."""
    switch: Any = None
    """A value that a toggle turns on; off leaves the field as it is by default."""
    placeholder: str | None = None
    """What an empty field means."""
    step: float | None = None
    disabled: bool = False


def settings_form(
    settings: type[Any],
    *,
    prefix: str,
    scope: str = "",
    only: Collection[str] | None = None,
    without: Collection[str] = (),
    looks: Mapping[str, Look] | None = None,
) -> dict[str, Any]:
    """Draw widgets for the fields of a settings dataclass.

    Args:
        prefix: what the widgets' keys begin with, before the field's name.
        scope: what they end with; what the defaults depend on, so that something else brings other defaults.
        only: names of the fields to be drawn, where not all are.
        without: names of fields that are not drawn.
        looks: by field name.

    Returns:
        The values by field name; fields that are left empty are absent, so that the settings' own defaults hold.
    """
    given: dict[str, Any] = {}
    for field in settings_fields(settings):
        if (only is not None and field.name not in only) or field.name in without:
            continue
        look = (looks or {}).get(field.name, Look())
        key = f"{prefix}_{field.name}{f'-{scope}' if scope else ''}"
        value = _widget(field, look, key)
        if value is not None:
            given[field.name] = value
    return given


def field_help(settings: type[Any], name: str) -> str:
    """The help text of one field; empty where there is no such field."""
    return next((field.help for field in settings_fields(settings) if field.name == name), "")


def in_words(name: str) -> str:
    """A field's name as a label: "learning_rate" becomes "Learning rate"."""
    return name.replace("_", " ").capitalize()


def _widget(field: Field, look: Look, key: str) -> Any:
    label = look.label or in_words(field.name)
    default = None if field.required else field.default
    start = default if look.value is None else look.value
    if look.switch is not None:
        return look.switch if st.toggle(label, value=start == look.switch, key=key, help=field.help, disabled=look.disabled) else None
    if field.many:
        return _several(field, label, start, look, key)
    if look.options and field.type in (int, float):
        return st.select_slider(
            label, list(look.options), value=start, key=key, format_func=_number, help=field.help, disabled=look.disabled
        )
    options = list(look.options or field.choices)
    if options:
        return _choice(field, label, options, start, look, key)
    if field.type is bool:
        return st.toggle(label, value=bool(start), key=key, help=field.help, disabled=look.disabled)
    if field.type in (int, float):
        return _one_number(field, label, start, look, key)
    text = st.text_input(label, value=start or "", key=key, help=field.help, placeholder=look.placeholder, disabled=look.disabled).strip()
    return text or None


def _choice(field: Field, label: str, options: Sequence[Any], start: Any, look: Look, key: str) -> Any:
    """One of a few; where they are registered parts, under their labels and with the chosen one's description."""
    parts = next((extra for extra in field.extras if isinstance(extra, Registry)), None)
    chosen = st.selectbox(
        label,
        options,
        index=options.index(start) if start in options else None if field.optional else 0,
        format_func=lambda option: str(option) if parts is None else str(getattr(parts[option], "label", option)),
        key=key,
        help=field.help,
        placeholder=look.placeholder,
        disabled=look.disabled,
    )
    if parts is not None and chosen is not None:
        st.caption(parts[chosen].summary)
    return chosen


def _one_number(field: Field, label: str, start: Any, look: Look, key: str) -> int | float | None:
    kind = field.type
    low = kind(0 if field.range.low is None else field.range.low)
    high = kind(_UNLIMITED if field.range.high is None else field.range.high)
    step = look.step or (1 if kind is int else None)
    value = st.number_input(
        label,
        low,
        high,
        None if start is None else kind(start),
        step=None if step is None else kind(step),
        format="%d" if kind is int else "%.5f",
        key=key,
        help=field.help,
        placeholder=look.placeholder,
        disabled=look.disabled,
    )
    return None if value is None else kind(value)


def _several(field: Field, label: str, start: Any, look: Look, key: str) -> tuple[Any, ...] | None:
    """Several values in one line, with commas between them."""
    shown = _BETWEEN.join(map(str, start or ()))
    text = st.text_input(label, value=shown, key=key, help=field.help, placeholder=look.placeholder, disabled=look.disabled).strip()
    try:
        return tuple(field.item_type(part.strip()) for part in text.split(_BETWEEN) if part.strip()) or None
    except ValueError:
        messages.error(f"{label}: {text!r} is not a list of numbers with commas between them.")
        return None


def _number(value: float) -> str:
    return f"{value:,}"
