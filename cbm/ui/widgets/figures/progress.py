"""Curves of what a job reports while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cbm.ui.widgets.figures import ACCENT, NEGATIVE, POSITIVE, TEMPLATE

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_COLOURS = (POSITIVE, NEGATIVE, ACCENT)
HEIGHT = 170


def reported_curve(title: str, seconds: Sequence[float], values: Sequence[float], position: int = 0) -> Figure:
    """One reported figure over the time of work, with its latest value in the title.

    Args:
        position: of the chart among its neighbours, which tells their colours apart.
    """
    import plotly.graph_objects as go

    minutes = bool(seconds) and seconds[-1] >= 300
    colour = _COLOURS[position % len(_COLOURS)]
    times = [moment / 60 if minutes else moment for moment in seconds]
    unit = "min" if minutes else "s"
    figure = go.Figure()
    figure.add_scatter(
        x=times,
        y=list(values),
        mode="lines",
        line={"color": colour, "width": 2},
        hovertemplate=f"%{{y:.4g}} after %{{x:.1f}} {unit}<extra></extra>",
    )
    figure.add_scatter(x=times[-1:], y=list(values[-1:]), mode="markers", marker={"color": colour, "size": 7}, hoverinfo="skip")
    figure.update_layout(
        template=TEMPLATE,
        height=HEIGHT,
        margin={"t": 30, "b": 8, "l": 8, "r": 12},
        title={"text": f"{title}: <b>{values[-1]:.3g}</b>", "font": {"size": 13}, "x": 0, "xanchor": "left", "y": 0.97},
    )
    figure.update_xaxes(rangemode="tozero", nticks=5, ticksuffix=f" {unit}", title=None)
    figure.update_yaxes(nticks=4, title=None)
    return figure
