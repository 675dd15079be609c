"""The charts of a report, as SVG that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from jaxtyping import Int

from cbm.core.wording import percent
from cbm.study.nec_paths import NecLevel, NecSeries

_WIDTH, _HEIGHT = 760, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 170, 12, 36
_LABEL_HEIGHT = 15.0


def nec_chart(series: Sequence[NecSeries], levels: Sequence[NecLevel]) -> str:
    """Accuracy against concepts per class; empty where no path was recorded.

    >>> nec_chart([], [])
    ''
    """
    points = [point for entry in series for point in entry.points]
    if not points:
        return ""
    values = [accuracy for _, accuracy in points] + [level.accuracy for level in levels]
    step = 0.2 if max(values) - min(values) > 0.4 else 0.1
    low, high = max(0.0, step * np.floor(min(values) / step)), min(1.0, step * np.ceil(max(values) / step))
    high = max(high, low + step)
    most = max(nec for nec, _ in points)

    def x(nec: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * nec / most

    def y(accuracy: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - accuracy) / (high - low)

    drawn = [
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text class="soft" text-anchor="end" x="{_LEFT - 8}" y="{y(tick) + 4:.1f}">{tick:.0%}</text>'
        for tick in np.arange(low, high + step / 2, step)
    ]
    drawn += [
        f'<text class="soft" text-anchor="middle" x="{x(nec):.1f}" y="{_HEIGHT - 18}">{nec:.0f}</text>'
        for nec in sorted({nec for nec, _ in series[0].points})
    ]
    drawn.append(f'<text class="soft" text-anchor="middle" x="{x(most / 2):.1f}" y="{_HEIGHT - 2}">concepts per class</text>')
    names: list[tuple[float, str]] = []
    for level in levels:
        height = y(level.accuracy)
        drawn.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{height:.1f}" y2="{height:.1f}" stroke="var(--accent)" '
            'stroke-dasharray="7 3 2 3" stroke-width="1.5"/>'
        )
        names.append((height, f"{level.name} {percent(level.accuracy)}"))
    for entry in series:
        colour, dash = ("var(--soft)", ' stroke-dasharray="2 4"') if entry.role == "random" else ("var(--for)", "")
        places = [(x(nec), y(accuracy)) for nec, accuracy in entry.points]
        line = " ".join(f"{left:.1f},{top:.1f}" for left, top in places)
        drawn.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2.5"{dash}/>')
        drawn += [f'<circle cx="{left:.1f}" cy="{top:.1f}" r="4" fill="{colour}"/>' for left, top in places]
        names.append((places[-1][1], f"{entry.name} {percent(entry.points[-1][1])}"))
    drawn += [f'<text x="{_WIDTH - _RIGHT + 10}" y="{height + 4:.1f}">{escape(name)}</text>' for height, name in _spread(names)]
    label = "Accuracy against concepts per class: " + escape("; ".join(name for _, name in names))
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{"".join(drawn)}</svg>'


def _spread(names: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """The labels moved apart, so that none covers another."""
    placed: list[tuple[float, str]] = []
    for height, name in sorted(names):
        placed.append((max(height, placed[-1][0] + _LABEL_HEIGHT) if placed else height, name))
    over = max(0.0, placed[-1][0] - (_HEIGHT - _BOTTOM)) if placed else 0.0
    return [(height - over, name) for height, name in placed]


def confusion_chart(matrix: Int[np.ndarray, "classes classes"], names: Sequence[str]) -> str:
    """The matrix as squares whose strength is the share of the true class; counts are in those that are not zero."""
    cell = max(20, min(38, 380 // max(1, len(names))))
    left = 10 + 7 * min(18, max(map(len, names), default=0))
    side = cell * len(names)
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    drawn = []
    for truth, said in np.ndindex(matrix.shape):
        top, across, count = truth * cell, left + said * cell, int(matrix[truth, said])
        colour = "var(--for)" if truth == said else "var(--against)"
        strength = 0.12 + 0.88 * float(share[truth, said]) ** 0.6 if count else 0.0
        text = escape(f"{names[truth]} predicted as {names[said]}: {count:,}")
        drawn.append(
            f'<rect x="{across}" y="{top}" width="{cell - 1}" height="{cell - 1}" rx="2" fill="{colour}" fill-opacity="{strength:.2f}" '
            f'stroke="var(--line)" stroke-width=".5"><title>{text}</title></rect>'
        )
        if count:
            drawn.append(f'<text text-anchor="middle" font-size="10" x="{across + cell / 2}" y="{top + cell / 2 + 4}">{count}</text>')
    for place, name in enumerate(names):
        short = escape(name if len(name) <= 18 else name[:17] + "…")
        middle = place * cell + cell / 2
        drawn.append(f'<text text-anchor="end" x="{left - 6}" y="{middle + 4}">{short}</text>')
        drawn.append(f'<text transform="translate({left + middle + 4} {side + 8}) rotate(90)">{short}</text>')
    below = 14 + 7 * min(18, max(map(len, names), default=0))
    worst = sorted(((int(matrix[t, p]), t, p) for t, p in np.ndindex(matrix.shape) if t != p and matrix[t, p]), reverse=True)[:5]
    label = escape("; ".join(f"{names[t]} predicted as {names[p]} {count} times" for count, t, p in worst))
    width, label = left + side + 10, f"Confusion matrix: {label}"
    box = f'viewBox="0 0 {width} {side + below}" style="max-width:{width}px" class="small"'
    return f'<svg {box} role="img" aria-label="{label}">{"".join(drawn)}</svg>'
