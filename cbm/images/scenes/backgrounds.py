"""Backgrounds as functions of the coordinates: muted colours that no figure has, and a texture each."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from cbm.images.scenes.shapes import Plane

Picture = Float[np.ndarray, "height width 3"]
Phases = tuple[float, float, float, float]


@functools.lru_cache(maxsize=8)
def pixel_centres(size: int) -> tuple[Plane, Plane]:
    """The x and y of every pixel's centre in a unit square, y down."""
    steps = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    x, y = np.meshgrid(steps, steps)
    x.setflags(write=False)
    y.setflags(write=False)
    return x, y


def _mix(first: tuple[int, int, int], second: tuple[int, int, int], share: Plane) -> Picture:
    start, end = np.array(first, dtype=np.float32), np.array(second, dtype=np.float32)
    return start + share[..., None].astype(np.float32) * (end - start)


def _scatter(x: Plane, y: Plane, cells: int, phases: Phases) -> tuple[Plane, Plane, Plane]:
    """Offsets to one pseudo-random point a cell of a grid, and a number of that cell in [0, 1)."""
    column, row = np.floor(x * cells + phases[0]), np.floor(y * cells + phases[1])
    noise = np.modf(np.abs(np.sin(column * 12.9898 + row * 78.233 + phases[2] * 10) * 437.5453))[0]
    other = np.modf(noise * 97.13)[0]
    offset_x = (x * cells + phases[0] - column - 0.3 - 0.4 * noise) / cells
    offset_y = (y * cells + phases[1] - row - 0.3 - 0.4 * other) / cells
    return offset_x, offset_y, noise


def _soft(distance: Plane, blur: float) -> Plane:
    return np.clip(0.5 - distance / blur, 0, 1)


def _meadow(x: Plane, y: Plane, blur: float, phases: Phases) -> Picture:
    picture = _mix((176, 200, 148), (140, 172, 116), y)
    dx, dy, _ = _scatter(x, y, 6, phases)
    blade = np.minimum(np.abs(dx - 0.35 * dy), np.abs(dx + 0.45 * dy)) - 0.006
    tuft = _soft(np.maximum(blade, np.abs(dy + 0.012) - 0.034), blur)
    return picture + tuft[..., None] * (np.array((98, 132, 84), dtype=np.float32) - picture)


def _sea(x: Plane, y: Plane, blur: float, phases: Phases) -> Picture:
    wave = y * 8 + phases[0] + 0.22 * np.sin(2 * np.pi * (x * 3 + phases[1] + 0.5 * np.floor(y * 4)))
    crest = _soft((np.abs(wave - np.floor(wave) - 0.5) - 0.13) / 8, blur)
    picture = _mix((120, 168, 182), (74, 122, 144), y)
    return picture + crest[..., None] * (np.array((164, 204, 210), dtype=np.float32) - picture)


def _desert(x: Plane, y: Plane, blur: float, phases: Phases) -> Picture:
    dune = y * 3.2 + phases[0] + 0.3 * np.sin(2 * np.pi * (x * 0.9 + phases[1])) + 0.12 * np.sin(2 * np.pi * (x * 2.1 + phases[2]))
    return _mix((236, 216, 176), (204, 174, 128), dune - np.floor(dune))


def _night(x: Plane, y: Plane, blur: float, phases: Phases) -> Picture:
    picture = _mix((38, 40, 84), (72, 70, 122), y)
    dx, dy, noise = _scatter(x, y, 7, phases)
    glint = _soft(np.hypot(dx, dy) - 0.004 - 0.007 * noise, blur)
    return picture + glint[..., None] * (np.array((232, 232, 214), dtype=np.float32) - picture)


def _snow(x: Plane, y: Plane, blur: float, phases: Phases) -> Picture:
    hills = y - 0.62 - 0.07 * np.sin(2 * np.pi * (x * 0.8 + phases[2]))
    picture = _mix((198, 208, 222), (240, 243, 248), _soft(-hills, blur))
    dx, dy, noise = _scatter(x, y, 6, phases)
    flake = _soft(np.hypot(dx, dy) - 0.012 - 0.01 * noise, blur)
    return picture + flake[..., None] * (np.array((255, 255, 255), dtype=np.float32) - picture)


def _brick(x: Plane, y: Plane, blur: float, phases: Phases) -> Picture:
    rows = y * 9 + phases[0]
    row = np.floor(rows)
    columns = x * 4.5 + phases[1] + 0.5 * np.mod(row, 2)
    column = np.floor(columns)
    shade = np.modf(np.abs(np.sin(column * 12.9898 + row * 78.233)) * 43.5)[0]
    mortar = np.minimum((0.5 - np.abs(columns - column - 0.5)) / 4.5, (0.5 - np.abs(rows - row - 0.5)) / 9) - 0.008
    picture = _mix((150, 104, 90), (172, 126, 108), shade)
    return picture + _soft(mortar, blur)[..., None] * (np.array((206, 196, 186), dtype=np.float32) - picture)


_PAINTERS: dict[str, Callable[[Plane, Plane, float, Phases], Picture]] = {
    "meadow": _meadow,
    "sea": _sea,
    "desert": _desert,
    "night": _night,
    "snow": _snow,
    "brick": _brick,
}


def paint_background(background: str, size: int, phases: Phases) -> Picture:
    """The empty scene, [size, size, 3] float32 in 0 to 255; `phases` shift its texture."""
    x, y = pixel_centres(size)
    return np.ascontiguousarray(_PAINTERS[background](x, y, 1.0 / size, phases), dtype=np.float32)
