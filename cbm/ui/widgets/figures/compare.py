"""Two models beside each other, class by class and concept by concept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cbm.ui.widgets import figures

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from cbm.study.comparison import ClassDifference


def class_dumbbells(classes: Sequence[ClassDifference]) -> Figure:
    """Accuracy of A (round, blue) and B (square, orange) for each class, with the line between them; the first class on top."""
    keys = list(range(len(classes)))
    lowest = min(min(entry.left, entry.right) for entry in classes)
    links = [
        {
            "type": "line",
            "x0": entry.left,
            "x1": entry.right,
            "y0": key,
            "y1": key,
            "line": {"color": figures.NEUTRAL, "width": 3},
            "layer": "below",
        }
        for key, entry in zip(keys, classes, strict=True)
    ]
    labels = [f"{figures.shorten(entry.name, 20)}  {figures.signed(100 * entry.change, 1)}" for entry in classes]
    return figures.plain_figure(
        [
            _marks("A", figures.POSITIVE, "circle", [entry.left for entry in classes], classes),
            _marks("B", figures.NEGATIVE, "square", [entry.right for entry in classes], classes),
        ],
        {
            "height": 96 + 27 * max(2, len(classes)),
            "shapes": links,
            "showlegend": True,
            "xaxis": {
                "title": {"text": "accuracy on the images in common"},
                "tickformat": ".0%",
                "range": [max(-0.02, lowest - 0.1), 1.02],
                "showgrid": True,
            },
            "yaxis": {"tickvals": keys, "ticktext": labels, "range": [len(classes) - 0.5, -0.5], "showgrid": False, "zeroline": False},
            "margin": {"l": 8, "r": 16, "t": 30, "b": 8},
        },
    )


def _marks(name: str, colour: str, symbol: str, values: Sequence[float], classes: Sequence[ClassDifference]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": list(values),
        "y": list(range(len(classes))),
        "name": name,
        "mode": "markers",
        "marker": {"color": colour, "symbol": symbol, "size": 12},
        "customdata": [[entry.name, entry.images] for entry in classes],
        "hovertemplate": f"<b>%{{customdata[0]}}</b><br>{name} %{{x:.1%}} of %{{customdata[1]:,}} images<extra></extra>",
        "cliponaxis": False,
    }
