"""Charts of discovery and of jobs as they run: against the baselines, how often concepts fire, training, sweeps, how well names fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from plotly.graph_objects import Figure

from cbm.ui.widgets.figures import ACCENT, NEUTRAL, POSITIVE, SERIES, TEMPLATE

_SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up", "x")


def _figure(height: int) -> Figure:
    figure = Figure()
    figure.update_layout(template=TEMPLATE, height=height)
    return figure


def explained_bars(rows: Sequence[tuple[str, float, float, str]], own: int) -> Figure:
    """Share of the variance that each method keeps, best on top; the run's own bar is coloured and hatched.

    Args:
        rows: (label, explained share, active concepts per image, what it is) of each.
        own: position of the run among them.
    """
    keys = [str(position) for position in range(len(rows))]
    # A little below nothing is nothing: the mean image misses the held-out images' own mean by a hair.
    shares = [max(0.0, share) for _, share, _, _ in rows]
    figure = _figure(56 + 30 * len(rows))
    figure.add_bar(
        x=shares,
        y=keys,
        orientation="h",
        marker={
            "color": [POSITIVE if position == own else NEUTRAL for position in range(len(rows))],
            "pattern": {"shape": ["" if position == own else "/" for position in range(len(rows))], "size": 6, "solidity": 0.2},
        },
        text=[f"{share:.0%}" for share in shares],
        textposition="outside",
        cliponaxis=False,
        customdata=[(label, f"{1 - share:.3f}", f"{active:.1f}", what) for label, share, active, what in rows],
        hovertemplate=(
            "<b>%{customdata[0]}</b><br>FVU %{customdata[1]}, %{customdata[2]} active per image<br>%{customdata[3]}<extra></extra>"
        ),
    )
    figure.update_xaxes(
        range=[0, max(0.05, *shares) * 1.14], tickformat=".0%", title_text="variance explained on held-out images", nticks=6
    )
    labels = [f"<b>{label}</b>" if position == own else label for position, (label, *_) in enumerate(rows)]
    figure.update_yaxes(autorange="reversed", type="category", tickvals=keys, ticktext=labels, showgrid=False)
    return figure


def frequency_histogram(frequency: np.ndarray, images: int) -> Figure:
    """How many concepts fire how often, over powers of ten; those that never fire have a place of their own on the left."""
    alive = frequency[frequency > 0]
    lowest = np.log10(1 / max(2, images))
    edges = np.linspace(lowest, 0, 25)
    counts, _ = np.histogram(np.log10(alive), bins=edges)
    centres = (edges[:-1] + edges[1:]) / 2
    width = edges[1] - edges[0]
    figure = _figure(250)
    figure.add_bar(
        x=centres,
        y=counts,
        width=width * 0.92,
        marker={"color": POSITIVE},
        customdata=np.stack([10 ** edges[:-1], 10 ** edges[1:]], axis=1),
        hovertemplate="%{y:,} concepts fire on %{customdata[0]:.2%} to %{customdata[1]:.2%} of the images<extra></extra>",
    )
    dead = int((frequency == 0).sum())
    if dead:
        place = lowest - 3 * width
        figure.add_bar(
            x=[place],
            y=[dead],
            width=width * 1.6,
            marker={"color": NEUTRAL, "pattern": {"shape": "/", "size": 6, "solidity": 0.25}},
            text=[f"{dead:,}"],
            textposition="outside",
            constraintext="none",
            cliponaxis=False,
            hovertemplate="%{y:,} concepts never fire<extra></extra>",
        )
    ticks = [power for power in range(-5, 1) if power >= lowest]
    names = {0: "100%", -1: "10%", -2: "1%", -3: "0.1%", -4: "0.01%", -5: "0.001%"}
    figure.update_xaxes(
        tickvals=[*([lowest - 3 * width] if dead else ()), *ticks],
        ticktext=[*(["never"] if dead else ()), *(names[power] for power in ticks)],
        title_text="share of images on which a concept fires",
        showgrid=False,
    )
    figure.update_yaxes(title_text="concepts", rangemode="tozero", nticks=5)
    return figure


def active_histogram(active: np.ndarray, asked: int | None) -> Figure:
    """How many images have how many active concepts, with the number that was asked for as a line."""
    top = max(int(active.max(initial=1)), 2 * (asked or 0), 4)
    step = max(1, -(-top // 40))
    edges = np.arange(0, top + 2 * step, step) - 0.5
    counts, _ = np.histogram(active, bins=edges)
    figure = _figure(250)
    figure.add_bar(
        x=(edges[:-1] + edges[1:]) / 2,
        y=counts,
        width=step * 0.9,
        marker={"color": ACCENT},
        hovertemplate="%{y:,} images have about %{x:.0f} concepts<extra></extra>",
    )
    if asked is not None:
        figure.add_vline(x=asked, line={"dash": "dash", "color": NEUTRAL, "width": 1.5})
        figure.add_annotation(x=asked, y=1, yref="paper", text=f"asked: {asked}", showarrow=False, xanchor="left", xshift=5, yanchor="top")
    figure.update_xaxes(title_text="active concepts of an image", showgrid=False, nticks=7)
    figure.update_yaxes(title_text="images", rangemode="tozero", nticks=5)
    return figure


def training_curve(title: str, samples: Sequence[float], values: Sequence[float], position: int, number: str) -> Figure:
    """One figure over the embeddings seen, with its last value in the title.

    Args:
        number: format of the values, such as ".3f".
    """
    colour = SERIES[position % 3]
    figure = _figure(190)
    figure.add_scatter(
        x=list(samples),
        y=list(values),
        mode="lines+markers",
        line={"color": colour, "width": 2},
        marker={"size": 4},
        hovertemplate=f"%{{y:{number}}} after %{{x:,.0f}} images<extra></extra>",
    )
    figure.update_layout(
        margin={"t": 32, "b": 8, "l": 8, "r": 14},
        title={"text": f"{title}: <b>{values[-1]:{number}}</b>", "font": {"size": 13}, "x": 0, "xanchor": "left", "y": 0.97},
    )
    figure.update_xaxes(rangemode="tozero", nticks=4, tickformat="~s", title_text="images seen")
    figure.update_yaxes(nticks=4, rangemode="tozero", tickformat=number)
    return figure


def sweep_chart(points: Sequence[tuple[str, float, float, str, str]], chosen: str | None) -> Figure:
    """What sparsity costs: unexplained variance over active concepts, one line a width; a click on a point chooses it.

    Args:
        points: (id, L0, FVU, series, text for the hover) of each run.
        chosen: id of the run to be ringed.
    """
    figure = _figure(380)
    for position, series in enumerate(dict.fromkeys(point[3] for point in points)):
        own = sorted((point for point in points if point[3] == series), key=lambda point: point[1])
        figure.add_scatter(
            x=[point[1] for point in own],
            y=[point[2] for point in own],
            name=series,
            mode="lines+markers",
            line={"color": SERIES[position % len(SERIES)], "width": 1.5, "dash": "dot"},
            marker={"size": 11, "symbol": _SYMBOLS[position % len(_SYMBOLS)]},
            customdata=[(point[0], point[4]) for point in own],
            hovertemplate="%{customdata[1]}<extra></extra>",
            selected={"marker": {"opacity": 1.0}},
            unselected={"marker": {"opacity": 1.0}},
        )
    ringed = [point for point in points if point[0] == chosen]
    if ringed:
        figure.add_scatter(
            x=[ringed[0][1]],
            y=[ringed[0][2]],
            mode="markers",
            marker={"size": 20, "symbol": "circle-open", "color": NEUTRAL, "line": {"width": 2}},
            hoverinfo="skip",
            showlegend=False,
        )
    figure.update_layout(showlegend=True, margin={"t": 36}, clickmode="event+select", dragmode=False)
    figure.update_xaxes(title_text="active concepts per image (L0), fewer are easier to read", rangemode="tozero")
    figure.update_yaxes(title_text="unexplained variance (FVU), lower is better", rangemode="tozero")
    return figure


def score_histogram(scores: np.ndarray, named: np.ndarray, threshold: float | None) -> Figure:
    """How well the best names fit, with the score that random directions reach as a line."""
    finite = np.isfinite(scores)
    values = scores[finite]
    counts_of = [values[named[finite]], values[~named[finite]]]
    edges = np.histogram_bin_edges(values, bins=30) if len(values) else np.linspace(0, 1, 31)
    figure = _figure(240)
    for part, label, colour, shape in zip(counts_of, ("named", "unnamed"), (POSITIVE, NEUTRAL), ("", "/"), strict=True):
        counts, _ = np.histogram(part, bins=edges)
        figure.add_bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=counts,
            width=np.diff(edges) * 0.94,
            name=label,
            marker={"color": colour, "pattern": {"shape": shape, "size": 6, "solidity": 0.25}},
            hovertemplate=f"%{{y:,}} {label} concepts with a score of about %{{x:.3f}}<extra></extra>",
        )
    if threshold is not None:
        figure.add_vline(x=threshold, line={"dash": "dash", "color": NEUTRAL, "width": 1.5})
        figure.add_annotation(x=threshold, y=1, yref="paper", text="by chance", showarrow=False, xanchor="right", xshift=-5, yanchor="top")
    figure.update_layout(barmode="stack", showlegend=bool(len(counts_of[1])), margin={"t": 30})
    figure.update_xaxes(title_text="score of the best name", showgrid=False, nticks=7)
    figure.update_yaxes(title_text="concepts", rangemode="tozero", nticks=5)
    return figure


def reported_curve(title: str, seconds: Sequence[float], values: Sequence[float], position: int = 0) -> Figure:
    """One reported figure over the time of work, with its latest value in the title.

    Args:
        position: of the chart among its neighbours, which tells their colours apart.
    """
    minutes = bool(seconds) and seconds[-1] >= 300
    colour = SERIES[position % 3]
    times = [moment / 60 if minutes else moment for moment in seconds]
    unit = "min" if minutes else "s"
    figure = _figure(170)
    figure.add_scatter(
        x=times,
        y=list(values),
        mode="lines",
        line={"color": colour, "width": 2},
        hovertemplate=f"%{{y:.4g}} after %{{x:.1f}} {unit}<extra></extra>",
    )
    figure.add_scatter(x=times[-1:], y=list(values[-1:]), mode="markers", marker={"color": colour, "size": 7}, hoverinfo="skip")
    figure.update_layout(
        margin={"t": 30, "b": 8, "l": 8, "r": 12},
        title={"text": f"{title}: <b>{values[-1]:.3g}</b>", "font": {"size": 13}, "x": 0, "xanchor": "left", "y": 0.97},
    )
    figure.update_xaxes(rangemode="tozero", nticks=5, ticksuffix=f" {unit}", title=None)
    figure.update_yaxes(nticks=4, title=None)
    return figure
