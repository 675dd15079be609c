"""Plotly figures of the app; one template, colours that hold on a light and on a dark page, sign told by side and hatching too."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
import plotly.io

from cbm.model.explanations import Contribution

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Okabe-Ito blue and vermillion, shifted to a contrast of at least 3 on both of the theme's backgrounds.
POSITIVE = "#2B8CC4"
NEGATIVE = "#D9601A"
NEUTRAL = "#8A8983"
ACCENT = "#0E9F77"
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
            "colorway": [POSITIVE, NEGATIVE, ACCENT, "#C67BA6", "#B88600", NEUTRAL],
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


def _figure(height: int) -> Figure:
    figure = go.Figure()
    figure.update_layout(template=TEMPLATE, height=height)
    return figure


@cache
def _template() -> dict[str, Any]:
    """The template as plain values."""
    return dict(plotly.io.templates[TEMPLATE].to_plotly_json())


def plain_figure(data: Sequence[dict[str, Any]], layout: dict[str, Any]) -> Figure:
    """A figure from plain values, taken as they are.

    Plotly's checks of every attribute take 3 to 15 ms a figure; a page with four of them would spend most of its time there.
    """
    return go.Figure({"data": list(data), "layout": {"template": _template(), **layout}}, _validate=False)


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
            "yaxis": _named_rows(keys, [shorten(name) for name in names]),
        },
    )


def _named_rows(keys: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """A vertical axis of named rows, the first on top."""
    return {"autorange": "reversed", "type": "category", "tickvals": list(keys), "ticktext": list(names), "showgrid": False}


def contribution_bars(bars: Sequence[Contribution], *, rest: float, bias: float, target: str) -> Figure:
    """Contributions of concepts to the logit of `target`, in logits; the remaining ones and the bias close the sum."""
    rows = [
        (f"{bar.name} ✎" if bar.edited else bar.name, bar.contribution, f"<b>{bar.name}</b><br>activation {bar.activation:.3f}<br>")
        for bar in bars
    ]
    if abs(rest) >= 0.005:
        rows.append(("all other concepts", rest, "<b>all other concepts</b><br>"))
    if abs(bias) >= 0.005:
        rows.append(("class bias", bias, "<b>class bias</b>, the same for every image<br>"))
    values = [value for _, value, _ in rows]
    shares = [f"{abs(bar.share):.0%} of the score" for bar in bars] + [""] * (len(rows) - len(bars))
    hover = [f"{head}{signed(value, 3)} logits<br>{share}" for (_, value, head), share in zip(rows, shares, strict=True)]
    title = f"← against   logits of “{shorten(target, 24)}”   for →"
    return diverging_bars([name for name, _, _ in rows], values, [signed(value) for value in values], hover, title)


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
            "yaxis": _named_rows(keys, [shorten(name, 22) for name, _ in scores]),
        },
    )


def class_weight_bars(class_weights: Sequence[tuple[str, float]]) -> Figure:
    """What one unit of a concept's activation adds to each class logit."""
    names = [name for name, _ in class_weights]
    values = [value for _, value in class_weights]
    hover = [f"<b>{name}</b><br>{signed(value, 3)} logits per unit of activation" for name, value in class_weights]
    return diverging_bars(names, values, [signed(value) for value in values], hover, "weight (logits per unit of activation)")


def probability_change(probabilities: Sequence[tuple[str, float, float]], *, truth: str | None) -> Figure:
    """Class probabilities after the edits as bars, with a mark where they stood before."""
    keys = [str(position) for position in range(len(probabilities))]
    names = [f"{shorten(name, 22)} ✓" if name == truth else shorten(name, 22) for name, _, _ in probabilities]
    before = [value for _, value, _ in probabilities]
    after = [value for _, _, value in probabilities]
    # A model of a hundred classes may be sure of none: its few percent then fill the chart.
    extent = next((extent for extent in (0.05, 0.1, 0.25, 0.5) if extent >= max([*before, *after], default=1.0)), 1.0)
    traces: list[dict[str, Any]] = [
        {
            "type": "bar",
            "x": after,
            "y": keys,
            "orientation": "h",
            "marker": {"color": [ACCENT if name == truth else NEUTRAL for name, _, _ in probabilities]},
            "customdata": [[name, old] for name, old, _ in probabilities],
            "hovertemplate": "<b>%{customdata[0]}</b><br>now %{x:.1%}<br>before the edits %{customdata[1]:.1%}<extra></extra>",
        },
        {
            "type": "scatter",
            "x": [1.04 * extent] * len(keys),
            "y": keys,
            "mode": "text",
            "text": [f"{value:.1%}" if extent < 0.5 else f"{value:.0%}" for value in after],
            "textposition": "middle right",
            "cliponaxis": False,
            "hoverinfo": "skip",
        },
    ]
    if any(abs(old - new) > 5e-4 for old, new in zip(before, after, strict=True)):
        marker = {"symbol": "line-ns-open", "size": 17, "color": NEGATIVE, "line": {"width": 2.5}}
        traces.append({"type": "scatter", "x": before, "y": keys, "mode": "markers", "marker": marker, "hoverinfo": "skip"})
    return plain_figure(
        traces,
        {
            "height": 66 + 27 * max(3, len(keys)),
            "xaxis": {
                "range": [0, 1.3 * extent],
                "tickformat": ".0%" if extent >= 0.1 else ".1%",
                "tickvals": [0, extent / 2, extent],
                "title": {"text": "probability"},
            },
            "yaxis": _named_rows(keys, names),
        },
    )
