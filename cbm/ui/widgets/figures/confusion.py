"""The confusion matrix as a picture whose cells can be clicked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from cbm.ui.widgets import figures

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

ALL_LABELS = 42
"""Up to so many classes every one is named; beyond, Plotly names as many as fit, and all once somebody zooms in."""
_NUMBERS = 14
"""Up to so many classes the counts are in the cells."""


def _scale(colour: str) -> list[list[object]]:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return [[0.0, f"rgba({red},{green},{blue},0.07)"], [1.0, f"rgba({red},{green},{blue},0.78)"]]


def confusion_heatmap(
    matrix: Int[np.ndarray, "classes classes"], names: Sequence[str], chosen: tuple[int, int] | None = None, *, ink: str = figures.NEUTRAL
) -> Figure:
    """Counts of true (down) and predicted (across) classes; `clicked_cell` says which cell a clicked point represents.

    Right ones are blue, wrong ones orange; strength says the share of the true class's images.

    Args:
        ink: colour of the counts in the cells.
    """
    count = len(names)
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    own = np.eye(count, dtype=bool)
    cell = 38 if count <= 8 else 32 if count <= _NUMBERS else 20 if count <= ALL_LABELS else max(5, 700 // count)
    layers = [
        _layer(np.where(mask & (matrix > 0), share, np.nan), colour, full, names)
        for mask, colour, full in ((own, figures.POSITIVE, True), (~own, figures.NEGATIVE, False))
        if (mask & (matrix > 0)).any()
    ]
    horizontal, vertical = _axes(names)
    return figures.plain_figure(
        [*layers, _click_layer(matrix, share, names, cell, ink)],
        {
            "height": max(230, cell * count) + 110,
            "shapes": [] if chosen is None else [_frame(*chosen)],
            "xaxis": horizontal,
            "yaxis": vertical,
            "dragmode": "zoom" if count > ALL_LABELS else False,
            "margin": {"l": 8, "r": 16, "t": 4, "b": 8},
        },
    )


def _layer(values: np.ndarray, colour: str, full: bool, names: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "heatmap",
        "z": values.astype(np.float32),  # Plotly leaves out what is NaN
        "x": _places(names),
        "y": _places(names),
        "colorscale": _scale(colour),
        "zmin": 0.0,
        "zmax": 1.0 if full else max(0.05, float(np.nanmax(values))),
        "showscale": False,
        "hoverinfo": "skip",
        "xgap": 2 if len(names) <= ALL_LABELS else 0,
        "ygap": 2 if len(names) <= ALL_LABELS else 0,
    }


def _frame(truth: int, predicted: int) -> dict[str, Any]:
    corners = {"x0": predicted - 0.5, "x1": predicted + 0.5, "y0": truth - 0.5, "y1": truth + 0.5}
    return {"type": "rect", **corners, "line": {"color": figures.ACCENT, "width": 3}}


def clicked_cell(matrix: Int[np.ndarray, "classes classes"], point: int) -> tuple[int, int]:
    """The (true, predicted) pair of the click layer's point number `point`."""
    truth, predicted = np.nonzero(matrix)
    return int(truth[point]), int(predicted[point])


def _places(names: Sequence[str]) -> list[int] | list[str]:
    """The positions of the classes on the axes: by number, or by name where not every name has room."""
    return list(range(len(names))) if len(names) <= ALL_LABELS else list(names)


def _axes(names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    count = len(names)
    few = count <= ALL_LABELS
    axis: dict[str, Any] = {"showgrid": False, "zeroline": False, "fixedrange": few, "tickfont": {"size": 12 if few else 10}}
    if few:
        axis |= {"tickvals": list(range(count)), "ticktext": [figures.shorten(name, 18) for name in names]}
    else:
        # Names as categories: Plotly then writes as many as have room, and all once somebody has zoomed in.
        axis |= {"type": "category"}
    return (
        {**axis, "title": {"text": "predicted"}, "range": [-0.5, count - 0.5], "tickangle": -45 if count > 4 else 0},
        {**axis, "title": {"text": "true"}, "range": [count - 0.5, -0.5]},
    )


def _click_layer(matrix: np.ndarray, share: np.ndarray, names: Sequence[str], cell: int, ink: str) -> dict[str, Any]:
    """Invisible marks that hear the mouse, which heat-maps of Plotly do not when it comes to selecting."""
    truth, predicted = (part.tolist() for part in np.nonzero(matrix))
    totals = matrix.sum(axis=1).tolist()
    hover = [
        f"{matrix[t, p]:,} of {totals[t]:,} images of <b>{names[t]}</b><br>"
        + ("are right" if t == p else f"predicted as <b>{names[p]}</b>")
        + f" ({share[t, p]:.1%})"
        for t, p in zip(truth, predicted, strict=True)
    ]
    places = _places(names)
    layer: dict[str, Any] = {
        "type": "scatter",
        "x": [places[index] for index in predicted],
        "y": [places[index] for index in truth],
        "mode": "markers",
        "marker": {"symbol": "square", "size": cell, "opacity": 0},
        "textfont": {"color": ink},
        # Without these Plotly would dim the counts of all other cells until the page has answered.
        "selected": {"marker": {"opacity": 0}, "textfont": {"color": ink}},
        "unselected": {"marker": {"opacity": 0}, "textfont": {"color": ink}},
        "hovertext": hover,
        "hovertemplate": "%{hovertext}<extra></extra>",
    }
    if len(names) <= _NUMBERS:
        layer |= {"mode": "markers+text", "text": [f"{matrix[t, p]:,}" for t, p in zip(truth, predicted, strict=True)]}
    return layer
