"""The steering panel: sliders for an image's concepts, and class scores that move while the thumb moves."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from cbm.core.paths import ASSETS
from cbm.study.steering import SLIDER_END, ScopeKind, SteeringView
from cbm.ui.frame.slots import widget_value

_FOLDER = ASSETS / "components" / "steering_panel"
_PANEL = st.components.v2.component(
    "cbm_steering_panel",
    html='<div class="steering" role="group" aria-label="Steer the concepts of this image"></div>',
    css=(_FOLDER / "style.css").read_text(encoding="utf-8"),
    js=(_FOLDER / "index.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True)
class SteeringEvent:
    """Sliders that were let go, as the browser saw them."""

    item: str
    scope: ScopeKind
    target: str
    """The explained class: what an edit at class scope is about."""
    changes: Mapping[int, float]
    """Concept -> multiplier."""


def steering_panel(
    view: SteeringView,
    *,
    scope: ScopeKind,
    stamp: str,
    key: str,
    on_commit: Callable[[SteeringEvent], None],
    on_explain: Callable[[str], None],
) -> int | None:
    """Draw the panel.

    Args:
        scope: what an edit will concern; class scope changes one score only, and the preview shows that.
        stamp: changes with the model and its edits; the panel keeps a thumb where it is as long as stamp, image, class and scope stay.
        on_commit: called before the next run with the sliders that were let go.
        on_explain: called with the class whose score should be explained.

    Returns:
        The concept whose page was asked for in this run, if any.
    """

    def committed() -> None:
        event = _event(widget_value(key).commit)
        if event is not None and event.item == view.item:
            on_commit(event)

    def explained() -> None:
        asked = widget_value(key).explain
        if asked in view.classes:
            on_explain(asked)

    result = _PANEL(
        key=key,
        data=_data(view, scope, stamp),
        on_commit_change=committed,
        on_explain_change=explained,
        on_open_change=lambda: None,
    )
    opened = result.open
    return opened if isinstance(opened, int) and not isinstance(opened, bool) else None


def _data(view: SteeringView, scope: ScopeKind, stamp: str) -> dict[str, Any]:
    return {
        "item": view.item,
        "stamp": f"{stamp}/{scope}/{view.target}/{view.item}/{hash(view.rows)}",
        "scope": scope,
        "classes": view.classes,
        "target": view.target,
        "truth": view.truth,
        "rows": [
            {"concept": row.concept, "name": row.name, "strength": row.strength, "position": round(row.position, 6), "silent": row.silent}
            for row in view.rows
        ],
        "unit": _encoded(view.unit),
        "now": {str(place): _encoded(values) for place, values in view.now.items()},
        "logits": _encoded(view.logits),
        "before": _encoded(view.logits_before),
        "rest": view.rest,
        "bias": view.bias,
        "more": view.more,
        "end": SLIDER_END,
    }


def _encoded(values: np.ndarray) -> str:
    """Little-endian float32 numbers as base64: a third of what JSON digits take, and no digit lost."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode()


def _event(value: Any) -> SteeringEvent | None:
    """What the browser sent, checked; None where it is not what the panel sends."""
    if not isinstance(value, Mapping) or value.get("scope") not in ("image", "class", "everywhere"):
        return None
    pairs = value.get("changes")
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        return None
    numbers = [(pair[0], pair[1]) for pair in pairs if all(isinstance(n, int | float) and not isinstance(n, bool) for n in pair)]
    return SteeringEvent(
        str(value.get("item")), value["scope"], str(value.get("target")), {int(concept): float(factor) for concept, factor in numbers}
    )
