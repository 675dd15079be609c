"""Where everything of a scene is: sampled once from a generator, in image units, independent of the size it is drawn at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cbm.images.scenes.factors import EXTRAS, FACTORS

EXTRA_PROBABILITY = 0.2
_MOST_EXTRAS = 6
_RADII = {"small": (0.098, 0.108), "large": (0.14, 0.15)}
_COUNTS = {"one": 1, "two": 2, "three": 3}
_MARGIN = 0.013
_GAP = 0.02
_EXTRA_RADIUS = (0.098, 0.112)


@dataclass(frozen=True)
class Placement:
    """A centre, a radius (image units, y down) and a turn in radians."""

    x: float
    y: float
    radius: float
    turn: float = 0.0


@dataclass(frozen=True)
class Layout:
    """Everything that decides how a scene looks."""

    values: Mapping[str, str]
    """Factor to its value, for the seven factors that every scene has."""
    figures: tuple[Placement, ...]
    extras: Mapping[str, Placement]
    phases: tuple[float, float, float, float]
    """Shifts of the background's texture."""


def sample_layout(
    generator: np.random.Generator, fixed: Mapping[str, str] | None = None, radii: tuple[float, float] | None = None
) -> Layout:
    """A random scene whose factors are independent and uniform, but for those in `fixed`; `radii` replaces the size's range."""
    values = {factor: str(choices[generator.integers(len(choices))]) for factor, choices in FACTORS.items()}
    values.update(fixed or {})
    low, high = radii or _RADII[values["size"]]
    radius = float(generator.uniform(low, high))
    figures = _place_figures(generator, values["position"], _COUNTS[values["count"]], radius)
    present = [name for name in EXTRAS if generator.random() < EXTRA_PROBABILITY]
    extras = _place_extras(generator, values["position"], present)
    phase_1, phase_2, phase_3, phase_4 = (float(phase) for phase in generator.random(4))
    return Layout(values, figures, extras, (phase_1, phase_2, phase_3, phase_4))


def _place_figures(generator: np.random.Generator, position: str, count: int, radius: float) -> tuple[Placement, ...]:
    """Figures in a row along the half of the picture that `position` names, without overlap."""
    free = 1 - 2 * _MARGIN - count * 2 * radius - (count - 1) * _GAP
    spaces = generator.dirichlet(np.ones(count + 1)) * free
    placements = []
    along = _MARGIN
    for index in range(count):
        along += float(spaces[index]) + radius
        slack = 0.23 - radius
        across = 0.26 + float(generator.uniform(-slack, slack)) * 0.8
        if position in ("right", "bottom"):
            across = 1 - across
        x, y = (across, along) if position in ("left", "right") else (along, across)
        placements.append(Placement(x, y, radius, float(generator.uniform(-0.12, 0.12))))
        along += radius + _GAP
    return tuple(placements)


def _place_extras(generator: np.random.Generator, position: str, present: list[str]) -> dict[str, Placement]:
    """Extras in cells of the half that the figures leave free."""
    cells = generator.permutation(8)
    order = generator.permutation(len(present))[:_MOST_EXTRAS]
    extras = {}
    for cell, index in zip(cells, sorted(int(i) for i in order), strict=False):
        across, along = 0.125 + 0.25 * (cell // 4), 0.125 + 0.25 * (cell % 4)
        if position in ("left", "top"):
            across = 1 - across
        x, y = (across, along) if position in ("left", "right") else (along, across)
        shift_x, shift_y = generator.uniform(-0.012, 0.012, size=2)
        radius = float(generator.uniform(*_EXTRA_RADIUS))
        extras[present[index]] = Placement(float(x + shift_x), float(y + shift_y), radius)
    return extras
