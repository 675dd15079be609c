"""Plotly figures of the app; one template, colours that hold on a light and on a dark page, sign told by side and hatching too."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import plotly.graph_objects as go
import plotly.io
from plotly.graph_objects import Figure

# Okabe-Ito blue and vermillion, shifted to a contrast of at least 3 on both of the theme's backgrounds.
POSITIVE = "#2B8CC4"
NEGATIVE = "#D9601A"
NEUTRAL = "#8A8983"
ACCENT = "#0E9F77"
SERIES = (POSITIVE, NEGATIVE, ACCENT, "#C67BA6", "#B88600", NEUTRAL)
"""Colours of things that are drawn beside each other."""
_GRID = "rgba(138, 137, 131, 0.22)"
_AXIS = "rgba(138, 137, 131, 0.65)"

TEMPLATE = "cbm"
CHART_OPTIONS = {"displayModeBar": False, "scrollZoom": False}
"""Options for `st.plotly_chart(config=…)`: no floating toolbar, and the page keeps the mouse wheel."""


def _register_template() -> None:
    axis = {
        "gridcolor": _GRID,
        "zerolinecolor": _AXIS,
        "zerolinewidth": 1,
        "linecolor": _AXIS,
        "ticks": "",
        "title": {"standoff": 8, "font": {"size": 13}},
        "automargin": True,
        "fixedrange": True,
    }
    plotly.io.templates[TEMPLATE] = go.layout.Template(
        layout={
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": list(SERIES),
            "margin": {"l": 8, "r": 16, "t": 8, "b": 8},
            "xaxis": axis,
            "yaxis": axis,
            "bargap": 0.32,
            "showlegend": False,
            "hoverlabel": {"font": {"size": 13}},
            "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "title": {"text": ""}},
        }
    )


_register_template()


@cache
def _template() -> dict[str, Any]:
    """The template as plain values."""
    return dict(plotly.io.templates[TEMPLATE].to_plotly_json())


def plain_figure(data: Sequence[dict[str, Any]], layout: dict[str, Any]) -> Figure:
    """A figure from plain values, taken as they are.

    Plotly's checks of every attribute take 3 to 15 ms a figure; a page with four of them would spend most of its time there.
    """
    return Figure({"data": list(data), "layout": {"template": _template(), **layout}}, _validate=False)


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign, in typographic characters: "+1.20", "−0.35", "0"."""
    if round(abs(value), digits) == 0:
        return "0"
    return f"{'+' if value > 0 else '−'}{abs(value):.{digits}f}"


def shorten(text: str, length: int = 26) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _sign_markers(values: Sequence[float], faded: Sequence[bool] | None = None) -> dict:
    faded = faded or [False] * len(values)
    return {
        "color": [POSITIVE if value >= 0 else NEGATIVE for value in values],
        "opacity": [0.55 if dim else 1.0 for dim in faded],
        "pattern": {
            "shape": ["" if value >= 0 else "/" for value in values],
            "size": 5,
            "solidity": 0.35,
            "fgcolor": "rgba(255, 255, 255, 0.75)",
            "fillmode": "overlay",
        },
    }


def diverging_bars(names: Sequence[str], values: Sequence[float], labels: Sequence[str], hover: Sequence[str], title: str = "") -> Figure:
    """Horizontal bars around zero, the first on top; each has its label at the tip, outside the bar."""
    keys = [str(position) for position in range(len(names))]  # names may repeat; positions may not
    bars = {
        "type": "bar",
        "x": list(values),
        "y": keys,
        "orientation": "h",
        "marker": _sign_markers(values),
        "text": list(labels),
        "textposition": "outside",
        "cliponaxis": False,
        "customdata": list(hover),
        "hovertemplate": "%{customdata}<extra></extra>",
        # Without them Plotly stumbles over the labels of a bar that is clicked.
        "selected": {"marker": {"opacity": 1.0}},
        "unselected": {"marker": {"opacity": 0.6}},
    }
    extent = max((abs(value) for value in values), default=1.0) or 1.0
    low = -extent * 1.3 if any(value < 0 for value in values) else -extent * 0.02
    high = extent * 1.3 if any(value > 0 for value in values) else extent * 0.02
    return plain_figure(
        [bars],
        {
            "height": 60 + 27 * max(2, len(names)),
            "xaxis": {"range": [low, high], "showgrid": True, "zeroline": True, "zerolinewidth": 1.5, "title": {"text": title}},
            "yaxis": named_rows(keys, [shorten(name) for name in names]),
        },
    )


def named_rows(keys: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """A vertical axis of named rows, the first on top."""
    return {"autorange": "reversed", "type": "category", "tickvals": list(keys), "ticktext": list(names), "showgrid": False}


def score_bars(scores: Sequence[tuple[str, float]], *, unit: str, start: float = 0.0, end: float | None = None) -> Figure:
    """One bar a name, best on top, from `start` on: candidate names by score, known concepts by agreement."""
    keys = [str(position) for position in range(len(scores))]
    values = [max(0.0, value - start) for _, value in scores]
    extent = (max(values, default=1.0) or 1.0) if end is None else end - start
    bars = {
        "type": "bar",
        "x": values,
        "y": keys,
        "orientation": "h",
        "marker": {"color": [POSITIVE] + [NEUTRAL] * (len(keys) - 1)},
        "text": [f"{value:.2f}".replace("-", "−") for _, value in scores],
        "textposition": "outside",
        "cliponaxis": False,
        "customdata": [name for name, _ in scores],
        "hovertemplate": f"<b>%{{customdata}}</b><br>{unit} %{{text}}<extra></extra>",
    }
    return plain_figure(
        [bars],
        {
            "height": 12 + 25 * max(1, len(keys)),
            "xaxis": {"range": [0, extent * 1.2], "visible": False},
            "yaxis": named_rows(keys, [shorten(name, 22) for name, _ in scores]),
        },
    )
