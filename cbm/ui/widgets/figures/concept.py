"""Figures of the concept page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cbm.ui.widgets import figures

if TYPE_CHECKING:
    from jaxtyping import Float64, Int
    from plotly.graph_objects import Figure


def strength_histogram(
    edges: Float64[np.ndarray, " edges"], counts: Int[np.ndarray, " bins"], labels: Sequence[str], *, images: int, chosen: int | None
) -> Figure:
    """How strongly a concept fires where it fires; the chosen bar stands out by colour, outline and an arrow above it."""
    strengths = range(len(counts))
    bars = {
        "type": "bar",
        "x": ((edges[:-1] + edges[1:]) / 2).tolist(),
        "y": counts.tolist(),
        "width": (np.diff(edges) * 0.92).tolist(),
        "marker": {
            "color": [figures.ACCENT if index == chosen else figures.POSITIVE for index in strengths],
            "opacity": [1.0 if chosen in (None, index) else 0.55 for index in strengths],
            "line": {"width": [2 if index == chosen else 0 for index in strengths], "color": figures.ACCENT},
        },
        "text": ["▼" if index == chosen else "" for index in strengths],
        "textposition": "outside",
        "cliponaxis": False,
        "customdata": [[label.replace("-", " to "), count / max(1, images)] for label, count in zip(labels, counts.tolist(), strict=True)],
        "hovertemplate": "activation %{customdata[0]}<br>%{y} images (%{customdata[1]:.1%} of all)<br>click to see them<extra></extra>",
        "selected": {"marker": {"opacity": 1.0}},
        "unselected": {"marker": {"opacity": 0.55}},
    }
    layout = {
        "height": 220,
        "xaxis": {"title": {"text": "activation, where it is not zero"}, "showgrid": False},
        "yaxis": {"title": {"text": "images"}, "rangemode": "tozero", "nticks": 5, **({"dtick": 1} if counts.max(initial=0) < 5 else {})},
        "margin": {"l": 8, "r": 16, "t": 18, "b": 8},
    }
    return figures.plain_figure([bars], layout)
