"""Which concepts carry which classes: bars for one class, streams for several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cbm.ui.widgets import figures

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from cbm.study.class_view import ClassConcept, Flow


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
            "label": [figures.shorten(name, 24) for name in (*concepts, *classes)],
            "color": [figures.NEUTRAL] * len(concepts) + [figures.POSITIVE if name == own else figures.NEGATIVE for name in classes],
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
    return figures.plain_figure([stream], {"height": 70 + 34 * max(4, len(concepts)), "margin": {"l": 4, "r": 4, "t": 8, "b": 8}})


def class_concept_bars(concepts: Sequence[ClassConcept]) -> Figure:
    """What each concept adds to a class on average; weight and frequency on hover."""
    hover = [
        f"<b>{entry.name}</b><br>{figures.signed(entry.contribution, 3)} logits on average<br>"
        f"weight {figures.signed(entry.weight, 3)} · in {entry.frequency:.0%} of its images"
        for entry in concepts
    ]
    values = [entry.contribution for entry in concepts]
    return figures.diverging_bars(
        [entry.name for entry in concepts], values, [figures.signed(value) for value in values], hover, "mean contribution (logits)"
    )
