"""Accuracy against the number of effective concepts: any number of models beside their baselines, each labelled where it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cbm.study.nec_paths import NecLevel, NecSeries, NecStand, NecView, Role
from cbm.ui.widgets import figures

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

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
    """The chart; rings represent `view.stands`."""
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
    necs = [nec for entry in view.series for nec, _ in entry.points] + [stand.nec for stand in view.stands]
    return figures.plain_figure(
        [*map(_curve, view.series), *map(_ring, view.stands)],
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


def _ring(stand: NecStand) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": [stand.nec],
        "y": [stand.accuracy],
        "name": stand.name,
        "mode": "markers",
        "cliponaxis": False,
        "marker": {"symbol": "circle-open", "size": 17, "line": {"width": 2.5}, "color": _STYLES[stand.role][0]},
        "hovertemplate": f"<b>{stand.name}</b><br>%{{x:.1f}} concepts per class<br>accuracy %{{y:.1%}}<extra></extra>",
    }


def _nec_range(necs: Sequence[float]) -> list[float]:
    first, last = min(necs, default=0.0), max(necs, default=30.0)
    room = max(1.0, (last - first) * 0.06)
    return [max(0.0, first - room), last + room * 0.5]


def _range(view: NecView) -> tuple[float, float, tuple[NecLevel, ...]]:
    curves = [accuracy for entry in view.series for _, accuracy in entry.points] + [stand.accuracy for stand in view.stands]
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
