"""One image before the edits, after them, and the difference: classes and concepts as tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from cbm.study.steering import SteeringView
from cbm.ui.frame.text import plain
from cbm.ui.widgets.figures import signed

_CLASSES = 4
_CONCEPTS = 8


def changed(view: SteeringView) -> bool:
    """Whether the edits in force change any score of the image."""
    return bool(np.any(view.logits != view.logits_before))


def difference_panel(view: SteeringView) -> None:
    """Before | after | difference, of the class scores and of what the concepts add to the explained one."""
    st.markdown("**Before, after, difference**")
    left, right = st.columns([9, 10], gap="small")
    with left:
        st.markdown(_table("Class", "Points", _class_rows(view)))
    with right:
        column = _most_changed(view)
        st.markdown(_table(f"Adds to {plain(view.classes[column])}", "Difference", _concept_rows(view, column)))


def _class_rows(view: SteeringView) -> list[tuple[str, str, str, str]]:
    before, after = _softmax(view.logits_before), _softmax(view.logits)
    order = np.argsort(-np.maximum(before, after), kind="stable")[:_CLASSES].tolist()
    order += [index for index in (view.truth, view.target) if index is not None and index not in order]
    rows = []
    for index in order:
        name = plain(view.classes[index]) + (" ✓" if index == view.truth else "")
        points = 100 * (after[index] - before[index])
        rows.append((name, f"{before[index]:.0%}", f"{after[index]:.0%}", _arrow(points, signed(points, 0))))
    return rows


def _concept_rows(view: SteeringView, column: int) -> list[tuple[str, str, str, str]]:
    entries = []
    for place, row in enumerate(view.rows):
        now = float(view.now[place][column]) if place in view.now else row.position * float(view.unit[place, column])
        entries.append((row.name, float(view.before[place, column]), now))
    entries.sort(key=lambda entry: -abs(entry[2] - entry[1]))
    shown = [entry for entry in entries if abs(entry[2] - entry[1]) >= 0.005][:_CONCEPTS]
    rows = [(plain(name), signed(before), signed(now), _arrow(now - before, signed(now - before))) for name, before, now in shown]
    before, after = float(view.logits_before[column]), float(view.logits[column])
    others = after - before - sum(now - old for _, old, now in shown)
    if abs(others) >= 0.005:
        rows.append(("*all others*", "", "", _arrow(others, signed(others))))
    return [*rows, ("**score**", f"**{signed(before)}**", f"**{signed(after)}**", _arrow(after - before, signed(after - before)))]


def _most_changed(view: SteeringView) -> int:
    """The explained class; where its score stays, the class whose score moves most."""
    moves = np.abs(view.logits - view.logits_before)
    return view.target if moves[view.target] >= 0.005 else int(moves.argmax())


def _arrow(value: float, text: str) -> str:
    if text.startswith("0"):
        return "="
    return f":blue[▲ {text}]" if value > 0 else f":orange[▼ {text}]"


def _table(first: str, last: str, rows: Sequence[tuple[str, str, str, str]]) -> str:
    lines = [f"| {first} | Before | After | {last} |", "| :-- | --: | --: | --: |"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits.astype(np.float64) - logits.max())
    return np.asarray(shifted / shifted.sum())
