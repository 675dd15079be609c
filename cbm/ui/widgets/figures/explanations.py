"""What a model used, and what edits change: contributions, weights, strengths, streams, probabilities and accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cbm.ui.widgets.figures import (
    ACCENT,
    NEGATIVE,
    NEUTRAL,
    POSITIVE,
    diverging_bars,
    named_rows,
    plain_figure,
    shorten,
    signed,
)

if TYPE_CHECKING:
    from jaxtyping import Float64, Int
    from plotly.graph_objects import Figure

    from cbm.model.explanations import Contribution
    from cbm.study.class_view import ClassConcept, Flow


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
            "yaxis": named_rows(keys, names),
        },
    )


def share_bars(parts: Sequence[Contribution], *, rest: float, target: str, chosen: int | None) -> Figure:
    """Each concept's share of the score of `target`, for to the right and against to the left; the chosen one is marked by an arrow."""
    names = [f"▸ {part.name}" if part.concept == chosen else part.name for part in parts]
    names = [f"{name} ✎" if part.edited else name for name, part in zip(names, parts, strict=True)]
    values = [100 * part.share for part in parts]
    hover = [
        f"<b>{part.name}</b><br>activation {part.activation:.3f}<br>{signed(part.contribution, 3)} logits<br>"
        f"{abs(part.share):.1%} of the score"
        for part in parts
    ]
    if abs(rest) >= 5e-4:
        names, values = [*names, "all other concepts"], [*values, 100 * rest]
        hover.append(f"<b>all other concepts</b><br>{abs(rest):.1%} of the score")
    labels = [f"{signed(value, 0)} %" for value in values]
    return diverging_bars(names, values, labels, hover, f"← against   share of “{shorten(target, 22)}”   for →")


def strength_histogram(
    edges: Float64[np.ndarray, " edges"], counts: Int[np.ndarray, " bins"], labels: Sequence[str], *, images: int, chosen: int | None
) -> Figure:
    """How strongly a concept fires where it fires; the chosen bar stands out by colour, outline and an arrow above it."""
    strengths = range(len(counts))
    bars = {
        "type": "bar",
        "x": ((edges[:-1] + edges[1:]) / 2).tolist(),
        "y": counts.tolist(),
        "width": (np.diff(edges) * 0.92).tolist(),
        "marker": {
            "color": [ACCENT if index == chosen else POSITIVE for index in strengths],
            "opacity": [1.0 if chosen in (None, index) else 0.55 for index in strengths],
            "line": {"width": [2 if index == chosen else 0 for index in strengths], "color": ACCENT},
        },
        "text": ["▼" if index == chosen else "" for index in strengths],
        "textposition": "outside",
        "cliponaxis": False,
        "customdata": [[label.replace("-", " to "), count / max(1, images)] for label, count in zip(labels, counts.tolist(), strict=True)],
        "hovertemplate": "activation %{customdata[0]}<br>%{y} images (%{customdata[1]:.1%} of all)<br>click to see them<extra></extra>",
        "selected": {"marker": {"opacity": 1.0}},
        "unselected": {"marker": {"opacity": 0.55}},
    }
    layout = {
        "height": 220,
        "xaxis": {"title": {"text": "activation, where it is not zero"}, "showgrid": False},
        "yaxis": {"title": {"text": "images"}, "rangemode": "tozero", "nticks": 5, **({"dtick": 1} if counts.max(initial=0) < 5 else {})},
        "margin": {"l": 8, "r": 16, "t": 18, "b": 8},
    }
    return plain_figure([bars], layout)


def concept_streams(flows: Sequence[Flow], own: str, ink: str) -> Figure:
    """Concepts on the left, classes on the right; a stream's width is what the concept adds to the class's score, in logits.

    Args:
        own: the class in question, whose streams are blue; those of its rivals are orange.
        ink: colour of the names, since Plotly would draw them black on a dark page.
    """
    concepts = list(dict.fromkeys(flow.concept for flow in flows))
    classes = list(dict.fromkeys(flow.target for flow in flows))
    number = {("concept", name): index for index, name in enumerate(concepts)}
    number |= {("class", name): len(concepts) + index for index, name in enumerate(classes)}
    stream = {
        "type": "sankey",
        "arrangement": "fixed" if len(classes) > 1 else "snap",
        "node": {
            "label": [shorten(name, 24) for name in (*concepts, *classes)],
            "color": [NEUTRAL] * len(concepts) + [POSITIVE if name == own else NEGATIVE for name in classes],
            "thickness": 10,
            "pad": 14,
            "line": {"width": 0},
            "hovertemplate": "%{label}: %{value:.2f} logits<extra></extra>",
        },
        "link": {
            "source": [number["concept", flow.concept] for flow in flows],
            "target": [number["class", flow.target] for flow in flows],
            "value": [flow.value for flow in flows],
            "color": ["rgba(43,140,196,0.45)" if flow.target == own else "rgba(217,96,26,0.38)" for flow in flows],
            "hovertemplate": "%{source.label} adds %{value:.2f} logits to %{target.label}<extra></extra>",
        },
        "textfont": {"color": ink, "size": 13, "shadow": "none"},
    }
    return plain_figure([stream], {"height": 70 + 34 * max(4, len(concepts)), "margin": {"l": 4, "r": 4, "t": 8, "b": 8}})


def class_concept_bars(concepts: Sequence[ClassConcept]) -> Figure:
    """What each concept adds to a class on average; weight and frequency on hover."""
    hover = [
        f"<b>{entry.name}</b><br>{signed(entry.contribution, 3)} logits on average<br>"
        f"weight {signed(entry.weight, 3)} · in {entry.frequency:.0%} of its images"
        for entry in concepts
    ]
    values = [entry.contribution for entry in concepts]
    return diverging_bars(
        [entry.name for entry in concepts], values, [signed(value) for value in values], hover, "mean contribution (logits)"
    )


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
        "yaxis": named_rows(keys, [shorten(name, 22) for name, _, _ in shown]),
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
