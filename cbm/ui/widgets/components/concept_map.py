"""The concept map: a canvas for 100,000 points with pan, zoom, lasso, labels by zoom level and pictures under the hand.

The points go to the browser once, as one run of bytes in an element of its own: Streamlit sends an element that did not change as a
reference. What changes often (which points are kept and selected, pictures) goes with the map and stays small.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from jaxtyping import Bool, Float, Int

from cbm.core.paths import ASSETS
from cbm.study.concept_map import Region
from cbm.ui.frame.slots import widget_value

_FOLDER = ASSETS / "components" / "concept_map"
_MOST_WANTED = 4
"""Concepts whose pictures are asked for at once."""
COLOURS: Mapping[str, str] = {"Class": "class", "Frequency": "frequency", "Name score": "score"}
"""What the points may be coloured by, as a visitor and as `paint.js` calls it."""


def _scripts(*names: str) -> str:
    return "\n".join((_FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in names)


_ICONS = {
    "pan": '<path d="M9 11V5a1.5 1.5 0 0 1 3 0v5m0-1V4a1.5 1.5 0 0 1 3 0v6m0-3a1.5 1.5 0 0 1 3 0v7a6 6 0 0 1-6 6h-1'
    'a6 6 0 0 1-5-3l-3-5a1.5 1.5 0 0 1 2.500-1.500L9 14"/>',
    "lasso": '<path d="M7 17c-3-1-4-4-4-6 0-4 4-7 9-7s9 3 9 7-4 6-9 6c-2 0-3 0-4-1m0 0a2 2 0 1 0-2 3c2 0 3 1 2 3"/>',
    "box": '<rect x="4" y="5" width="16" height="14" rx="1" stroke-dasharray="3.500 3"/>',
    "in": '<path d="M12 5v14M5 12h14"/>',
    "out": '<path d="M5 12h14"/>',
    "fit": '<path d="M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5"/>',
}


def _button(attribute: str, name: str, label: str) -> str:
    icon = f'<svg viewBox="0 0 24 24" aria-hidden="true">{_ICONS[name]}</svg>'
    return f'<button type="button" data-{attribute}="{name}" aria-label="{label}" title="{label}">{icon}</button>'


_HTML = f"""<div class="map waiting">
  <div class="tools" role="toolbar" aria-label="Map tools">
    {_button("mode", "pan", "Move: drag; click opens a concept")}
    {_button("mode", "lasso", "Lasso: draw around concepts (or drag with Shift)")}
    {_button("mode", "box", "Box: drag over concepts (or drag with Shift and Alt)")}
    <hr>
    {_button("act", "in", "Zoom in (+)")}
    {_button("act", "out", "Zoom out (−)")}
    {_button("act", "fit", "Show all (0)")}
  </div>
  <div class="stage">
    <canvas class="base" aria-hidden="true"></canvas>
    <canvas class="over" tabindex="0" role="application" aria-label="Map of concepts"></canvas>
    <div class="card" hidden><img alt=""><b></b><p></p></div>
    <div class="loading">Loading the map …</div>
  </div>
  <div class="legend" aria-label="Colours"></div>
  <div class="live" aria-live="polite"></div>
</div>
"""

_POINTS = st.components.v2.component(
    "cbm_concept_map_points", html="<div class='points-arrive'></div>\n<!-- -->\n", js=_scripts("data", "points")
)
_MAP = st.components.v2.component(
    "cbm_concept_map", html=_HTML, css=(_FOLDER / "style.css").read_text(encoding="utf-8"), js=_scripts("data", "paint", "card", "index")
)


@dataclass(frozen=True)
class MapPoints:
    """All points of a map, packed for the browser."""

    digest: str
    payload: bytes


@dataclass(frozen=True)
class MapEvent:
    """What the visitor did in this run."""

    opened: int | None = None
    selected: tuple[int, ...] | None = None
    cleared: bool = False
    wanted: tuple[int, ...] = ()
    """Concepts whose pictures should come next."""


def pack_points(
    positions: Float[np.ndarray, "concepts 2"],
    names: Sequence[str],
    *,
    shown: Bool[np.ndarray, " concepts"],
    named: Bool[np.ndarray, " concepts"],
    frequency: Float[np.ndarray, " concepts"],
    score: Float[np.ndarray, " concepts"],
    top_class: Int[np.ndarray, " concepts"],
    classes: Sequence[str],
    regions: Sequence[Region],
) -> MapPoints:
    """Columns of numbers for `data.js`: 13 bytes a concept, and the names.

    Args:
        positions: between −1 and 1.
        shown: False for concepts that are hidden or that another represents.
        frequency: share of the images, 0 to 1.
        top_class: the class that each concept fires on most; −1 for none.
    """
    size = len(names)
    most = float(frequency.max(initial=0)) or 1.0
    fair = score[named & shown & np.isfinite(score)]
    low, high = (float(np.percentile(fair, 2)), float(np.percentile(fair, 98))) if len(fair) else (0.0, 1.0)
    ladder = np.clip((np.nan_to_num(score) - low) / ((high - low) or 1.0), 0, 1)
    frequency_steps = np.where(frequency > 0, np.maximum(1, 255 * np.sqrt(np.clip(frequency / most, 0, 1))), 0)
    columns = (
        np.rint((np.clip(positions[:, 0], -1, 1) + 1) * 32767.5).astype("<u2"),
        np.rint((np.clip(positions[:, 1], -1, 1) + 1) * 32767.5).astype("<u2"),
        (np.asarray(top_class) + 1).astype("<u2"),
        np.rint(np.clip(frequency, 0, 1) * 65535).astype("<u2"),
        frequency_steps.astype("u1"),
        np.where(named, np.maximum(1, 255 * ladder), 0).astype("u1"),
        (shown * 1 + named * 2).astype("u1"),
    )
    about = {
        "names": list(names),
        "classes": list(classes),
        "regions": [[region.name, round(region.x, 4), round(region.y, 4), region.level] for region in regions],
        "ends": {"frequency": ["rare", f"on {most:.0%} of images"], "score": [f"score {low:.2f}", f"{high:.2f}"]},
        "count": size,
    }
    numbers = b"".join(column.tobytes() for column in columns)
    text = json.dumps(about, ensure_ascii=False, separators=(",", ":")).encode()
    digest = hashlib.sha256(text + numbers).hexdigest()[:16]
    text = text[:-1] + f',"digest":"{digest}"}}'.encode()
    return MapPoints(digest, struct.pack("<I", len(text)) + text + numbers)


def pack_bits(mask: Bool[np.ndarray, " concepts"]) -> str:
    """A set of concepts as `data.js` reads it."""
    return base64.b64encode(np.packbits(mask, bitorder="little").tobytes()).decode()


def unpack_bits(text: object, size: int) -> tuple[int, ...]:
    """A set of concepts as the browser wrote it; what makes no sense is an empty set."""
    if not isinstance(text, str) or len(text) > 4 * -(-size // 24):
        return ()
    try:
        packed = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ()
    members = np.flatnonzero(np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little"))
    return tuple(members[members < size].tolist())


def send_points(points: MapPoints, *, key: str) -> None:
    """Give the browser the points; outside the fragment that holds the map, so that its runs do not touch them."""
    _POINTS(data=points.payload, key=key, height=1)


def concept_map(
    points: MapPoints,
    *,
    kept: Bool[np.ndarray, " concepts"],
    selected: Bool[np.ndarray, " concepts"] | None,
    colour: str,
    pictures: Mapping[int, str],
    label: str,
    key: str,
    on_event: Callable[[MapEvent], None],
) -> None:
    """Draw the map.

    Args:
        kept: the concepts that are listed; the others are faint.
        colour: a value of `COLOURS`.
        pictures: concept -> URL of a strip of its images, for those that were wanted; the browser keeps what it has.
        on_event: called before the next run with what the visitor did.
    """
    size = len(kept)

    def report() -> None:
        on_event(_event(widget_value(key), size))

    _MAP(
        data={
            "points": points.digest,
            "kept": pack_bits(kept),
            "selected": None if selected is None else pack_bits(selected),
            "colour": colour,
            "pictures": {str(concept): picture for concept, picture in pictures.items()},
            "label": label,
        },
        key=key,
        on_opened_change=report,
        on_lasso_change=report,
        on_cleared_change=report,
        on_wanted_change=report,
    )


def _event(state: Any, size: int) -> MapEvent:
    """What came from the browser, checked: it may send anything."""

    def concept(value: object) -> int | None:
        return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < size else None

    lasso, wanted = state.get("lasso"), state.get("wanted")
    numbers = [concept(value) for value in wanted[:_MOST_WANTED]] if isinstance(wanted, list) else []
    return MapEvent(
        opened=concept(state.get("opened")),
        selected=None if lasso is None else unpack_bits(lasso, size),
        cleared=state.get("cleared") is True,
        wanted=tuple(number for number in numbers if number is not None),
    )
