"""The patch picker: a picture on which one points at a patch, with a heat-map that darkens what a concept does not respond to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from cbm.core.paths import ASSETS
from cbm.ui.frame.slots import widget_value

_FOLDER = ASSETS / "components" / "patch_picker"
_PICKER = st.components.v2.component(
    "cbm_patch_picker",
    html='<div class="picker" role="group" aria-label="The image and its patches"></div>',
    css=(_FOLDER / "style.css").read_text(encoding="utf-8"),
    js=(_FOLDER / "index.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True)
class PickerView:
    """What the picker shows."""

    picture: str
    """Data URL of the part of the picture that the backbone sees."""
    alt: str
    rows: int
    """Patches from top to bottom; 0 where there are none to choose."""
    columns: int
    heat: Sequence[float] | None
    """The chosen concept's response to every patch, row by row, 0 to 1; None without a heat-map."""
    opacity: float
    """How dark it gets at first where the concept does not respond, 0 to 1; the visitor may change it."""


def patch_picker(view: PickerView, *, key: str, start: int | None, on_choose: Callable[[int | None], None]) -> int | None:
    """Draw the picker.

    Args:
        start: the patch that is chosen as long as the visitor has chosen none.
        on_choose: called before the next run with the patch that was chosen, or None where it was let go.

    Returns:
        The patch that is chosen, counted row by row from the top left; None where none is.
    """
    patches = view.rows * view.columns

    def chosen() -> int | None:
        state = widget_value(key)
        patch = state.get("patch") if state is not None else None
        # What a browser sends is a claim.
        sent = isinstance(patch, int) and not isinstance(patch, bool)
        patch = patch if sent else start
        return patch if patch is not None and 0 <= patch < patches else None

    _PICKER(
        key=key,
        data={
            "picture": view.picture,
            "alt": view.alt,
            "rows": view.rows,
            "columns": view.columns,
            "heat": None if view.heat is None else [round(float(share), 3) for share in view.heat],
            "opacity": view.opacity,
            "chosen": chosen(),
        },
        on_patch_change=lambda: on_choose(chosen()),
    )
    return chosen()
