"""Figures of the concept page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cbm.ui import figures

if TYPE_CHECKING:
    from jaxtyping import Float64, Int
    from plotly.graph_objects import Figure


def strength_histogram(
    edges: Float64[np.ndarray, " edges"], counts: Int[np.ndarray, " bins"], labels: Sequence[str], *, images: int, chosen: int | None
) -> Figure:
    """How strongly a concept fires where it fires; the chosen bar stands out by colour, outline and an arrow above it."""
    figure = figures._figure(height=220)
    figure.add_bar(
        x=(edges[:-1] + edges[1:]) / 2,
        y=counts,
        width=np.diff(edges) * 0.92,
        marker={
            "color": [figures.ACCENT if index == chosen else figures.POSITIVE for index in range(len(counts))],
            "opacity": [1.0 if chosen in (None, index) else 0.55 for index in range(len(counts))],
            "line": {"width": [2 if index == chosen else 0 for index in range(len(counts))], "color": figures.ACCENT},
        },
        text=["▼" if index == chosen else "" for index in range(len(counts))],
        textposition="outside",
        cliponaxis=False,
        customdata=[[label.replace("-", " to "), count / max(1, images)] for label, count in zip(labels, counts.tolist(), strict=True)],
        hovertemplate="activation %{customdata[0]}<br>%{y} images (%{customdata[1]:.1%} of all)<br>click to see them<extra></extra>",
        selected={"marker": {"opacity": 1.0}},
        unselected={"marker": {"opacity": 0.55}},
    )
    figure.update_xaxes(title_text="activation, where it is not zero", showgrid=False)
    figure.update_yaxes(title_text="images", rangemode="tozero", nticks=5)
    figure.update_layout(margin={"t": 18})
    return figure
