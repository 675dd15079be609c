"""Signed distances of simple figures: negative inside, in the units of the coordinates, so that drawing is the same at any size."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Plane = Float[np.ndarray, "height width"]
Points = tuple[tuple[float, float], ...]


def circle(x: Plane, y: Plane, centre: tuple[float, float], radius: float) -> Plane:
    return np.hypot(x - centre[0], y - centre[1]) - np.float32(radius)


def box(x: Plane, y: Plane, centre: tuple[float, float], half: tuple[float, float]) -> Plane:
    return np.maximum(np.abs(x - centre[0]) - half[0], np.abs(y - centre[1]) - half[1])


def polygon(x: Plane, y: Plane, points: Points) -> Plane:
    """Exact signed distance to a simple polygon (even-odd rule for the sign)."""
    nearest = np.full(x.shape, np.float32(np.inf))
    inside = np.zeros(x.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
        edge_x, edge_y = bx - ax, by - ay
        from_x, from_y = x - ax, y - ay
        along = np.clip((from_x * edge_x + from_y * edge_y) / (edge_x * edge_x + edge_y * edge_y), 0, 1)
        nearest = np.minimum(nearest, (from_x - along * edge_x) ** 2 + (from_y - along * edge_y) ** 2)
        crosses = (from_y >= 0) != (y - by >= 0)
        side = from_x * edge_y - from_y * edge_x
        inside ^= crosses & ((side < 0) == (edge_y > 0))
    distance = np.sqrt(nearest)
    return np.where(inside, -distance, distance)


def _star_points(spikes: int, inner: float) -> Points:
    angles = [np.pi * step / spikes - np.pi / 2 for step in range(2 * spikes)]
    radii = [1.0 if step % 2 == 0 else inner for step in range(2 * spikes)]
    return tuple((radius * float(np.cos(angle)), radius * float(np.sin(angle))) for angle, radius in zip(angles, radii, strict=True))


_POLYGONS: dict[str, Points] = {
    "square": ((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)),
    "triangle": ((0.0, -0.95), (0.92, 0.7), (-0.92, 0.7)),
    "star": _star_points(5, 0.44),
    "cross": (
        (-0.32, -0.95), (0.32, -0.95), (0.32, -0.32), (0.95, -0.32), (0.95, 0.32), (0.32, 0.32),
        (0.32, 0.95), (-0.32, 0.95), (-0.32, 0.32), (-0.95, 0.32), (-0.95, -0.32), (-0.32, -0.32),
    ),
    "diamond": ((0.0, -1.0), (0.68, 0.0), (0.0, 1.0), (-0.68, 0.0)),
    "arrow": ((0.0, -1.0), (0.95, -0.02), (0.4, -0.02), (0.4, 0.95), (-0.4, 0.95), (-0.4, -0.02), (-0.95, -0.02)),
}  # fmt: skip
_HEART_TIP: Points = ((-0.86, 0.02), (0.0, -0.4), (0.86, 0.02), (0.0, 0.98))


def figure(shape: str, x: Plane, y: Plane) -> Plane:
    """Signed distance to a figure of the world, which about fills the unit circle around the origin (y points down)."""
    if shape == "circle":
        return circle(x, y, (0.0, 0.0), 0.92)
    if shape == "heart":
        lobes = np.minimum(circle(x, y, (-0.47, -0.33), 0.52), circle(x, y, (0.47, -0.33), 0.52))
        return np.minimum(lobes, polygon(x, y, _HEART_TIP))
    return polygon(x, y, _POLYGONS[shape])


def second_tone(pattern: str, x: Plane, y: Plane, blur: float) -> Plane:
    """How much of a pattern's second tone each point has, 0 to 1; `x`, `y` in image units from the figure's centre, `blur` one pixel."""
    if pattern == "plain":
        return np.zeros(x.shape, dtype=np.float32)
    if pattern == "striped":
        period = 0.082
        distance = period / 4 - np.abs((y / period - np.floor(y / period + 0.5)) * period)
    elif pattern == "dotted":
        period = 0.07
        row = np.floor(y / period + 0.5)
        shifted = x / period + 0.5 * np.mod(row, 2)
        distance = 0.0215 - np.hypot(shifted - np.floor(shifted + 0.5), y / period - row) * period
    else:
        period = 0.092
        waves = np.sin(2 * np.pi * x / period) * np.sin(2 * np.pi * y / period)
        distance = waves * (period / (2 * np.pi))
    return np.clip(distance / blur + 0.5, 0, 1).astype(np.float32)
