"""Two models beside each other, class by class and concept by concept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cbm.ui import figures

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from cbm.ui.compare.questions import ClassDifference


def class_dumbbells(classes: Sequence[ClassDifference]) -> Figure:
    """Accuracy of A (round, blue) and B (square, orange) for each class, with the line between them; the first class on top."""
    keys = list(range(len(classes)))
    figure = figures._figure(height=96 + 27 * max(2, len(classes)))
    for key, entry in zip(keys, classes, strict=True):
        figure.add_shape(
            type="line", x0=entry.left, x1=entry.right, y0=key, y1=key, line={"color": figures.NEUTRAL, "width": 3}, layer="below"
        )
    for name, colour, symbol, values in (
        ("A", figures.POSITIVE, "circle", [entry.left for entry in classes]),
        ("B", figures.NEGATIVE, "square", [entry.right for entry in classes]),
    ):
        figure.add_scatter(
            x=values,
            y=keys,
            name=name,
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 12},
            customdata=[[entry.name, entry.images] for entry in classes],
            hovertemplate=f"<b>%{{customdata[0]}}</b><br>{name} %{{x:.1%}} of %{{customdata[1]:,}} images<extra></extra>",
            cliponaxis=False,
        )
    lowest = min(min(entry.left, entry.right) for entry in classes)
    figure.update_xaxes(
        title_text="accuracy on the images in common", tickformat=".0%", range=[max(-0.02, lowest - 0.1), 1.02], showgrid=True
    )
    labels = [f"{figures.shorten(entry.name, 20)}  {figures.signed(100 * entry.change, 1)}" for entry in classes]
    figure.update_yaxes(tickvals=keys, ticktext=labels, range=[len(classes) - 0.5, -0.5], showgrid=False, zeroline=False)
    figure.update_layout(showlegend=True, margin={"t": 30})
    return figure
