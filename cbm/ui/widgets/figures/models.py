"""How good models are, beside each other and beside their baselines: accuracy over NEC, confusions, accuracy per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from cbm.study.nec_paths import NecLevel, NecMark, NecSeries, NecView, Role
from cbm.ui.widgets import figures

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from cbm.study.comparison import ClassDifference


_STYLES: Mapping[Role, tuple[str, str, str, float]] = {
    "model": (figures.POSITIVE, "solid", "circle", 3.0),
    "other": (figures.NEGATIVE, "dash", "square", 3.0),
    "random": (figures.NEUTRAL, "dot", "diamond", 2.0),
}
_LEVEL_COLOURS = {"linear probe": "#B0578A", "dense head": figures.ACCENT, "zero-shot": "#B88600"}
_HEIGHT = 330
_PLOT_HEIGHT = 255
"""Pixels between the axes, about; what the distances of the labels are reckoned with."""
_LABEL_HEIGHT = 17
_SHORT = 0.8
"""A line that ends before so much of the axis has its name at its end."""
_FAR_BELOW = 0.15
"""A level that lies so far below everything else is told at the edge, or it would flatten all other lines."""


def nec_chart(view: NecView) -> Figure:
    """The chart; rings represent `view.marks`."""
    low, high, pinned = _range(view)
    lines = [
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": level.accuracy,
            "y1": level.accuracy,
            "line": {"color": _LEVEL_COLOURS[level.kind], "dash": "dashdot", "width": 1.5},
        }
        for level in view.levels
        if level not in pinned
    ]
    necs = [nec for entry in view.series for nec, _ in entry.points] + [mark.nec for mark in view.marks]
    return figures.plain_figure(
        [*map(_curve, view.series), *map(_ring, view.marks)],
        {
            "height": _HEIGHT,
            "shapes": lines,
            "annotations": _direct_labels(view, pinned, low, high),
            "xaxis": {"title": {"text": "concepts per class (NEC)"}, "showgrid": False, "range": _nec_range(necs)},
            "yaxis": {"title": {"text": "accuracy"}, "tickformat": ".0%", "range": [low, high]},
            # Room for the labels on the right, which Plotly does not reckon with.
            "margin": {"l": 8, "r": 158, "t": 12, "b": 8},
        },
    )


def _curve(entry: NecSeries) -> dict[str, Any]:
    colour, dash, symbol, width = _STYLES[entry.role]
    return {
        "type": "scatter",
        "x": [nec for nec, _ in entry.points],
        "y": [accuracy for _, accuracy in entry.points],
        "name": entry.name,
        "mode": "lines+markers",
        "line": {"color": colour, "dash": dash, "width": width},
        "marker": {"symbol": symbol, "size": 8},
        "hovertemplate": f"<b>{entry.name}</b><br>%{{x:.0f}} concepts per class<br>accuracy %{{y:.1%}}<extra></extra>",
    }


def _ring(mark: NecMark) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": [mark.nec],
        "y": [mark.accuracy],
        "name": mark.name,
        "mode": "markers",
        "cliponaxis": False,
        "marker": {"symbol": "circle-open", "size": 17, "line": {"width": 2.5}, "color": _STYLES[mark.role][0]},
        "hovertemplate": f"<b>{mark.name}</b><br>%{{x:.1f}} concepts per class<br>accuracy %{{y:.1%}}<extra></extra>",
    }


def _nec_range(necs: Sequence[float]) -> list[float]:
    first, last = min(necs, default=0.0), max(necs, default=30.0)
    room = max(1.0, (last - first) * 0.06)
    return [max(0.0, first - room), last + room * 0.5]


def _range(view: NecView) -> tuple[float, float, tuple[NecLevel, ...]]:
    curves = [accuracy for entry in view.series for _, accuracy in entry.points] + [mark.accuracy for mark in view.marks]
    others = [level.accuracy for level in view.levels if level.kind != "zero-shot"]
    floor = min([*curves, *others], default=0.0)
    pinned = tuple(level for level in view.levels if level.kind == "zero-shot" and level.accuracy < floor - _FAR_BELOW)
    shown = [*curves, *(level.accuracy for level in view.levels if level not in pinned)]
    low, high = min(shown, default=0.0), max(shown, default=1.0)
    room = max(0.02, (high - low) * 0.1)
    return max(0.0, low - room), min(1.0 + room / 3, high + room), pinned


def _direct_labels(view: NecView, pinned: tuple[NecLevel, ...], low: float, high: float) -> list[dict[str, Any]]:
    """A name at the right end of every line, moved apart where they would lie on each other, with a thin leader to its line."""
    ends = [entry for entry in view.series if entry.points]
    last = max((entry.points[-1][0] for entry in ends), default=0.0)
    short = [entry for entry in ends if entry.points[-1][0] < _SHORT * last]
    labels = [(entry.points[-1][1], f"<b>{entry.name}</b>", _STYLES[entry.role][0]) for entry in ends if entry not in short]
    labels += [
        (low if level in pinned else level.accuracy, _level_text(level, level in pinned), _LEVEL_COLOURS[level.kind])
        for level in view.levels
    ]
    labels.sort(key=lambda label: label[0])
    pixels = _PLOT_HEIGHT / max(1e-9, high - low)
    wanted = [(value - low) * pixels for value, _, _ in labels]
    places = spread(wanted, _LABEL_HEIGHT, 0.0, float(_PLOT_HEIGHT))
    return [_beside(entry) for entry in short] + [
        {
            "xref": "paper",
            "x": 1.0,
            "y": value,
            "text": text,
            "font": {"color": colour, "size": 12},
            "showarrow": True,
            "arrowhead": 0,
            "arrowwidth": 1,
            "arrowcolor": colour,
            "ax": 14,
            "ay": at - place,
            "xanchor": "left",
            "align": "left",
        }
        for (value, text, colour), at, place in zip(labels, wanted, places, strict=True)
    ]


def _beside(entry: NecSeries) -> dict[str, Any]:
    """The name of a line that ends far from the right edge, at its end."""
    nec, accuracy = entry.points[-1]
    font = {"color": _STYLES[entry.role][0], "size": 12}
    return {"x": nec, "y": accuracy, "text": f"<b>{entry.name}</b>", "font": font, "showarrow": False, "xanchor": "left", "xshift": 9}


def _level_text(level: NecLevel, below: bool) -> str:
    return f"{level.name} {level.accuracy:.1%}{' ↓' if below else ''}"


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places near the `wanted` ones (rising), at least `gap` apart and between `low` and `high` where there is room for all."""
    # Pool neighbours that collide and centre each pool on the mean of what its members want: least squares under the gaps.
    pools: list[tuple[float, int]] = []
    for position, value in enumerate(wanted):
        pools.append((value - position * gap, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (left, left_count), (right, right_count) = pools[-2:]
            count = left_count + right_count
            pools[-2:] = [((left * left_count + right * right_count) / count, count)]
    starts = [start for start, count in pools for _ in range(count)]
    top = high - gap * (len(wanted) - 1)
    return [max(low, min(start, top)) + position * gap for position, start in enumerate(starts)]


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
