"""Where everything of a scene is: sampled once from a generator, in image units, independent of the size it is drawn at."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cbm.images.scenes.factors import EXTRAS, FACTORS, UNNAMED_FACTORS

EXTRA_PROBABILITY = 0.2
_RADII = {"small": (0.098, 0.106), "large": (0.138, 0.145)}
_EXTRA_RADIUS = (0.098, 0.106)
_COUNTS = {"one": 1, "two": 2, "three": 3}
_CELLS = 8
"""Things stand near the centres of a lattice's cells: neat to look at, and within reach of a backbone that sees as many patches."""
_JITTER = 0.007
_STEPS = tuple(0.5 + step for step in range(1, 7))


def _spaced(count: int, gap: float) -> list[tuple[float, ...]]:
    rows = itertools.combinations(_STEPS, count)
    return [row for row in rows if all(after - before >= gap for before, after in itertools.pairwise(row))]


_ROWS = {(size, count): _spaced(count, gap) for size, gap in (("small", 2), ("large", 3)) for count in (1, 2, 3)}
_ROWS["large", 3] = [(1.5, 4.0, 6.5)]
"""Where the figures of a row may stand, in cells, by size and count."""


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
    """Factor to its value, for the factors of which every scene has one."""
    figures: tuple[Placement, ...]
    extras: Mapping[str, Placement]
    phases: tuple[float, float, float, float]
    """Shifts of the background's texture."""


def sample_layout(
    generator: np.random.Generator, fixed: Mapping[str, str] | None = None, small_radii: tuple[float, float] | None = None
) -> Layout:
    """A random scene whose factors are independent and uniform, but for those in `fixed`; `small_radii` replaces the small."""
    values = {factor: str(choices[generator.integers(len(choices))]) for factor, choices in (FACTORS | UNNAMED_FACTORS).items()}
    values.update(fixed or {})
    low, high = small_radii if small_radii and values["size"] == "small" else _RADII[values["size"]]
    radius = float(generator.uniform(low, high))
    figures = _place_figures(generator, values["position"], _COUNTS[values["count"]], values["size"], radius)
    present = [name for name in EXTRAS if generator.random() < EXTRA_PROBABILITY]
    extras = _place_extras(generator, values["position"], present)
    phase_1, phase_2, phase_3, phase_4 = (float(phase) for phase in generator.random(4))
    return Layout(values, figures, extras, (phase_1, phase_2, phase_3, phase_4))


def _place_figures(generator: np.random.Generator, position: str, count: int, size: str, radius: float) -> tuple[Placement, ...]:
    """Figures in a row along the half of the picture that `position` names, without overlap."""
    rows = _ROWS[size, count]
    row = rows[int(generator.integers(len(rows)))]
    placements = []
    for along in row:
        across = 1.5 + float(generator.integers(2))
        shift_x, shift_y = generator.uniform(-_JITTER, _JITTER, size=2)
        x, y = _oriented(position, across / _CELLS, along / _CELLS)
        placements.append(Placement(x + float(shift_x), y + float(shift_y), radius, float(generator.uniform(-0.1, 0.1))))
    return tuple(placements)


def _place_extras(generator: np.random.Generator, position: str, present: list[str]) -> dict[str, Placement]:
    """Extras in places of the half that the figures leave free."""
    first = 1.5 + float(generator.integers(2))
    places = [(across, first + 2 * step) for across in (4.5, 6.5) for step in range(3)]
    order = generator.permutation(len(present))[: len(places)]
    extras = {}
    for place, index in zip(generator.permutation(len(places)), sorted(int(i) for i in order), strict=False):
        across, along = places[place]
        shift_x, shift_y = generator.uniform(-_JITTER, _JITTER, size=2)
        x, y = _oriented(position, across / _CELLS, along / _CELLS)
        extras[present[index]] = Placement(x + float(shift_x), y + float(shift_y), float(generator.uniform(*_EXTRA_RADIUS)))
    return extras


def _oriented(position: str, across: float, along: float) -> tuple[float, float]:
    """x and y of a place, given as if the figures were on the left."""
    if position in ("right", "bottom"):
        across = 1 - across
    return (across, along) if position in ("left", "right") else (along, across)
