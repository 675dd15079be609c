"""Named selections of concepts or images: held in a visitor's session, carried by the URL, offered by every page.

A page draws `chip` where a panel can be narrowed, and passes what it would show through `restrict`. One choice between everything and the
selection holds for all panels of a model, so that two panels never disagree. Members are ids in ascending order, never arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import overload

import numpy as np
import streamlit as st

from cbm.core.errors import InvalidInputError
from cbm.ui.frame import messages
from cbm.ui.frame.formats import counted, plain
from cbm.ui.frame.links import LONGEST_NAME, Kind, Selection, decode_selection, encode_selection, tidy_name
from cbm.ui.frame.slots import PerModel, Slot, set_widget, widget_value
from cbm.ui.frame.state import SELECTION

_SEEN = Slot[str | None]("selection_seen", None)
"""What the URL said last, or was made to say."""
_PLACE = "selection"
"""Where `chip` shows what went wrong."""
_BETWEEN = "."
_MOST_SAVED = 50
_NOUNS: dict[Kind, str] = {"concepts": "concept", "images": "image"}


@dataclass(frozen=True)
class _Held:
    """What a visitor has selected of one kind in one model."""

    current: Selection | None = None
    previous: Selection | None = None
    """What `restore` brings back."""
    narrowed: bool = True
    saved: tuple[Selection, ...] = field(default=())


_HELD = PerModel("selections", _Held())


def current(model: str, kind: Kind) -> Selection | None:
    """The selection in force, whether or not the visitor looks at it alone; the URL wins where it brings a new one.

    A URL whose selection cannot be read counts as one without; `chip` says so.
    """
    _adopt(model)
    return _held(model, kind).current


def narrowed(model: str, kind: Kind) -> bool:
    """Whether panels show the selection alone."""
    return current(model, kind) is not None and _held(model, kind).narrowed


def saved(model: str, kind: Kind) -> tuple[Selection, ...]:
    """The selections that the visitor saved under a name, oldest first."""
    return _held(model, kind).saved


def select(model: str, kind: Kind, members: Iterable[int], name: str | None = None) -> None:
    """Make `members` the current selection and show it alone; no members are the same as `clear`.

    Raises:
        InvalidInputError: an id is negative or beyond anything there can be.
    """
    made = Selection.of(kind, members, name)
    if not made.members:
        clear(model, kind)
        return
    held = _held(model, kind)
    if held.current != made:
        held = replace(held, current=made, previous=held.current or held.previous)
    _hold(model, kind, replace(held, narrowed=True))


def clear(model: str, kind: Kind) -> None:
    """Let the selection go; `restore` brings it back."""
    held = _held(model, kind)
    if held.current is not None:
        _hold(model, kind, replace(held, current=None, previous=held.current))


def restore(model: str, kind: Kind) -> None:
    """Undo the last `clear` or `select`: the selection before it comes back; once more, and it goes again."""
    held = _held(model, kind)
    _hold(model, kind, replace(held, current=held.previous, previous=held.current, narrowed=True))


def save(model: str, kind: Kind, name: str) -> None:
    """Keep the current selection under a name; one that has the name already is replaced.

    Raises:
        InvalidInputError: so many are kept already that the session would grow without end.
    """
    held = _held(model, kind)
    if held.current is None:
        return
    kept = replace(held.current, name=tidy_name(name))
    others = tuple(selection for selection in held.saved if selection.name != kept.name)
    if len(others) >= _MOST_SAVED:
        raise InvalidInputError(f"{_MOST_SAVED} selections are saved already. Remove one first.")
    _hold(model, kind, replace(held, current=kept, saved=(*others, kept)))


def forget(model: str, kind: Kind, name: str) -> None:
    """Remove a saved selection; the current one stays."""
    held = _held(model, kind)
    _hold(model, kind, replace(held, saved=tuple(selection for selection in held.saved if selection.name != name)))


@overload
def restrict(model: str, kind: Kind, ids: np.ndarray) -> np.ndarray: ...
@overload
def restrict(model: str, kind: Kind, ids: Sequence[int]) -> list[int]: ...
def restrict(model: str, kind: Kind, ids: np.ndarray | Sequence[int]) -> np.ndarray | list[int]:
    """Those of `ids` that the visitor wants to see, in their order: all of them, or those of the selection."""
    selection = current(model, kind)
    if selection is None or not _held(model, kind).narrowed:
        return ids if isinstance(ids, np.ndarray) else list(ids)
    if isinstance(ids, np.ndarray):
        return ids[np.isin(ids, np.asarray(selection.members, dtype=ids.dtype))]
    members = frozenset(selection.members)
    return [identifier for identifier in ids if identifier in members]


# Drawing


def chip(model: str, kind: Kind, key: str) -> None:
    """A choice between everything and the selection, with a menu to save it, take a saved one, or let it go; nothing where there is none.

    Args:
        key: what the widgets' keys begin with; different for every chip of a page.
    """
    selection = current(model, kind)
    held = _held(model, kind)
    # Always there, though empty: what is below would be drawn again by the browser if its place in the page changed.
    with st.container(gap=None):
        messages.show_refusal(at=_PLACE)
        if selection is not None or held.saved or held.previous is not None:
            with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"{key}_chip"):
                _chip(model, kind, key, selection, held)


def _chip(model: str, kind: Kind, key: str, selection: Selection | None, held: _Held) -> None:
    if selection is not None:
        label = f":material/select: {plain(selection.name)} ({len(selection):,})"
        set_widget(f"{key}_scope", held.narrowed)
        st.segmented_control(
            f"Which {kind}",
            [False, True],
            key=f"{key}_scope",
            format_func={False: f"All {kind}", True: label}.__getitem__,
            required=True,
            label_visibility="collapsed",
            on_change=_choose,
            args=(model, kind, f"{key}_scope"),
        )
        with st.popover("", icon=":material/bookmark:", help="Save the selection, or load a saved one", key=f"{key}_menu"):
            _menu(model, kind, key, selection, held)
        st.button(
            "Clear",
            key=f"{key}_clear",
            icon=":material/close:",
            type="tertiary",
            on_click=clear,
            args=(model, kind),
            shortcut="Escape",
            help="Clear the selection. It can be restored.",
        )
        return
    if held.previous is not None:
        st.button(
            f"Bring back {plain(held.previous.name)} ({len(held.previous):,})",
            key=f"{key}_restore",
            icon=":material/undo:",
            type="tertiary",
            on_click=restore,
            args=(model, kind),
        )
    if held.saved:
        with st.popover("Saved selections", icon=":material/bookmark:", type="tertiary", key=f"{key}_menu"):
            _saved_list(model, kind, key, held)


def _menu(model: str, kind: Kind, key: str, selection: Selection, held: _Held) -> None:
    st.caption(f"{counted(len(selection), _NOUNS[kind])}. The URL includes the selection, so a link shows the same.")
    if encode_selection(selection) is None:
        st.caption(":material/link_off: Too large for a URL: this selection stays in this browser tab.")
    st.text_input(
        "Save under a name",
        key=f"{key}_name",
        max_chars=LONGEST_NAME,
        placeholder="wheels and roads",
        on_change=_save_as,
        args=(model, kind, f"{key}_name"),
    )
    if held.saved:
        _saved_list(model, kind, key, held)


def _saved_list(model: str, kind: Kind, key: str, held: _Held) -> None:
    st.caption("Saved")
    for position, kept in enumerate(held.saved):
        with st.container(horizontal=True, gap="xsmall"):
            label = f"{plain(kept.name)} ({len(kept):,})"
            st.button(label, key=f"{key}_take{position}", width="stretch", on_click=_take, args=(model, kept))
            st.button(
                "",
                key=f"{key}_drop{position}",
                icon=":material/delete:",
                help=f"Remove {label}",
                on_click=forget,
                args=(model, kind, kept.name),
            )


def _choose(model: str, kind: Kind, key: str) -> None:
    _hold(model, kind, replace(_held(model, kind), narrowed=bool(widget_value(key))))


def _save_as(model: str, kind: Kind, key: str) -> None:
    if str(widget_value(key)).strip():
        with messages.refusals(at=_PLACE):
            save(model, kind, str(widget_value(key)))
    set_widget(key, "")


def _take(model: str, kept: Selection) -> None:
    select(model, kept.kind, kept.members, kept.name)


# Session and URL


def _held(model: str, kind: Kind) -> _Held:
    return _HELD.get((model, kind))


def _hold(model: str, kind: Kind, held: _Held) -> None:
    _HELD.put((model, kind), held)
    _write(model)


def in_link(model: str) -> str | None:
    """The selections as links carry them to another page, so that the browser's way back is one step and not two."""
    parts = [encode_selection(held.current, narrowed=held.narrowed) for kind in _NOUNS if (held := _held(model, kind)).current is not None]
    return _BETWEEN.join(part for part in parts if part is not None) or None


def _write(model: str) -> None:
    """Let the URL say what is selected in the model."""
    found = in_link(model)
    _SEEN.put(found)
    SELECTION.put(found)


def _adopt(model: str) -> None:
    """Take over what the URL selects, unless it is what this session wrote there itself."""
    asked = SELECTION.read()
    if asked == _SEEN.get():
        return
    if asked is None:
        # Another page, or another model: what is held belongs to the view and goes back into the URL.
        _write(model)
        return
    _SEEN.put(asked)
    try:
        found = [decode_selection(part) for part in asked.split(_BETWEEN)[: len(_NOUNS)]]
    except InvalidInputError as error:
        messages.refuse(str(error), at=_PLACE)
        _write(model)
        return
    for selection, narrow in found:
        held = _held(model, selection.kind)
        previous = held.current if held.current != selection else held.previous
        _hold(model, selection.kind, replace(held, current=selection, previous=previous, narrowed=narrow))
