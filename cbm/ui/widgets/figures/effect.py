"""Charts of what edits change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cbm.ui.widgets.figures import NEGATIVE, NEUTRAL, POSITIVE, plain_figure, shorten

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_MOST = 10


def _points(change: float) -> str:
    size = 100 * abs(change)
    return f"{'−' if change < 0 else '+'}{size:.0f}" if size >= 1 else f"{'−' if change < 0 else '+'}{size:.1f}"


def accuracy_moves(moved: Sequence[tuple[str, float, float]]) -> Figure:
    """(class or group, accuracy before, after) as arrows from before to after, the largest move on top; worse ones are dotted."""
    shown = moved[:_MOST]
    keys = [str(position) for position in range(len(shown))]
    traces: list[dict[str, Any]] = []
    for worse in (False, True):
        places = [place for place, (_, before, after) in enumerate(shown) if (after < before) == worse]
        traces += _arrows(shown, keys, places, worse)
    traces.append(
        {
            "type": "scatter",
            "x": [before for _, before, _ in shown],
            "y": keys,
            "mode": "markers",
            "marker": {"color": NEUTRAL, "size": 8, "symbol": "circle-open", "line": {"width": 2}},
            "hoverinfo": "skip",
        }
    )
    low, high = min(min(before, after) for _, before, after in shown), max(max(before, after) for _, before, after in shown)
    layout = {
        "height": 72 + 26 * len(shown),
        "margin": {"l": 8, "r": 16, "t": 8, "b": 46},
        "xaxis": {
            "range": [low - 0.12, high + 0.12],
            "tickformat": ".0%",
            "title": {"text": "accuracy, from before the edits (circle) to after (arrow)"},
        },
        "yaxis": {
            "autorange": "reversed",
            "type": "category",
            "tickvals": keys,
            "ticktext": [shorten(name, 22) for name, _, _ in shown],
            "showgrid": False,
        },
    }
    return plain_figure(traces, layout)


def _arrows(shown: Sequence[tuple[str, float, float]], keys: Sequence[str], places: Sequence[int], worse: bool) -> list[dict[str, Any]]:
    """The lines of one direction, and their heads with the change in points."""
    colour = NEGATIVE if worse else POSITIVE
    return [
        {
            "type": "scatter",
            "x": [value for place in places for value in (shown[place][1], shown[place][2], None)],
            "y": [key for place in places for key in (keys[place], keys[place], None)],
            "mode": "lines",
            "line": {"color": colour, "width": 3, "dash": "dot" if worse else "solid"},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "x": [shown[place][2] for place in places],
            "y": [keys[place] for place in places],
            "mode": "markers+text",
            "marker": {"color": colour, "size": 11, "symbol": "triangle-left" if worse else "triangle-right"},
            "text": [_points(shown[place][2] - shown[place][1]) for place in places],
            "textposition": "middle left" if worse else "middle right",
            "cliponaxis": False,
            "customdata": [[shown[place][0], shown[place][1]] for place in places],
            "hovertemplate": "<b>%{customdata[0]}</b><br>before %{customdata[1]:.1%}<br>after %{x:.1%}<extra></extra>",
        },
    ]
