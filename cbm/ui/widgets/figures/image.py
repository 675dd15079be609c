"""Figures of the image page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cbm.ui.widgets import figures

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from cbm.model.explanations import Contribution


def share_bars(parts: Sequence[Contribution], *, rest: float, target: str, chosen: int | None) -> Figure:
    """Each concept's share of the score of `target`, for to the right and against to the left; the chosen one is marked by an arrow."""
    names = [f"▸ {part.name}" if part.concept == chosen else part.name for part in parts]
    names = [f"{name} ✎" if part.edited else name for name, part in zip(names, parts, strict=True)]
    values = [100 * part.share for part in parts]
    hover = [
        f"<b>{part.name}</b><br>activation {part.activation:.3f}<br>{figures.signed(part.contribution, 3)} logits<br>"
        f"{abs(part.share):.1%} of the score"
        for part in parts
    ]
    if abs(rest) >= 5e-4:
        names, values = [*names, "all other concepts"], [*values, 100 * rest]
        hover.append(f"<b>all other concepts</b><br>{abs(rest):.1%} of the score")
    labels = [f"{figures.signed(value, 0)} %" for value in values]
    return figures.diverging_bars(names, values, labels, hover, f"← against   share of “{figures.shorten(target, 22)}”   for →")
