"""The small independent things of a scene, each a stack of coloured figures that fits into the unit circle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cbm.images.scenes.shapes import Plane, Points, box, circle, polygon

Colour = tuple[int, int, int]
Part = tuple[Plane, Colour]


def _sun(x: Plane, y: Plane) -> list[Part]:
    angle = np.arctan2(y, x)
    rays = np.hypot(x, y) - (0.82 + 0.16 * np.cos(10 * angle))
    return [(rays, (255, 206, 120)), (circle(x, y, (0.0, 0.0), 0.56), (255, 238, 176))]


def _moon(x: Plane, y: Plane) -> list[Part]:
    crescent = np.maximum(circle(x, y, (0.0, 0.0), 0.95), -circle(x, y, (0.74, -0.2), 0.66))
    return [(crescent, (206, 212, 240))]


def _cloud(x: Plane, y: Plane) -> list[Part]:
    puffs = [circle(x, y, (-0.5, 0.12), 0.42), circle(x, y, (0.08, -0.14), 0.56), circle(x, y, (0.6, 0.16), 0.38)]
    base = box(x, y, (0.02, 0.36), (0.86, 0.2))
    return [(np.minimum.reduce([*puffs, base]), (250, 250, 252)), (box(x, y, (0.02, 0.47), (0.8, 0.09)), (200, 206, 216))]


_BODY: Points = ((-0.95, -0.05), (-0.35, -0.12), (0.15, -0.3), (0.6, -0.3), (0.98, -0.12), (0.6, 0.02), (0.3, 0.45), (-0.3, 0.42))
_WING: Points = ((-0.55, -0.95), (0.35, -0.12), (-0.2, 0.22))


def _bird(x: Plane, y: Plane) -> list[Part]:
    return [
        (np.minimum(polygon(x, y, _BODY), polygon(x, y, _WING)), (90, 106, 136)),
        (polygon(x, y, ((0.8, -0.26), (1.0, -0.12), (0.78, -0.02))), (228, 190, 110)),
    ]


def _tree(x: Plane, y: Plane) -> list[Part]:
    crown = np.minimum(
        polygon(x, y, ((0.0, -1.0), (0.62, -0.1), (-0.62, -0.1))),
        polygon(x, y, ((0.0, -0.6), (0.8, 0.62), (-0.8, 0.62))),
    )
    return [(box(x, y, (0.0, 0.75), (0.15, 0.24)), (96, 68, 48)), (crown, (44, 92, 70))]


def _house(x: Plane, y: Plane) -> list[Part]:
    return [
        (box(x, y, (0.0, 0.4), (0.66, 0.5)), (232, 220, 200)),
        (polygon(x, y, ((0.0, -0.95), (0.95, -0.05), (-0.95, -0.05))), (122, 62, 58)),
        (box(x, y, (0.0, 0.6), (0.17, 0.3)), (110, 84, 66)),
    ]


def _flag(x: Plane, y: Plane) -> list[Part]:
    return [
        (box(x, y, (-0.72, 0.0), (0.09, 0.98)), (120, 110, 104)),
        (polygon(x, y, ((-0.62, -0.92), (0.92, -0.72), (0.92, 0.2), (-0.62, 0.2))), (28, 140, 140)),
        (polygon(x, y, ((-0.62, -0.48), (0.92, -0.36), (0.92, -0.08), (-0.62, -0.16))), (238, 238, 230)),
    ]


def _boat(x: Plane, y: Plane) -> list[Part]:
    return [
        (box(x, y, (0.02, -0.1), (0.05, 0.7)), (92, 70, 58)),
        (polygon(x, y, ((0.06, -0.9), (0.8, 0.24), (0.06, 0.24))), (244, 236, 214)),
        (polygon(x, y, ((-0.02, -0.7), (-0.02, 0.24), (-0.7, 0.24))), (226, 208, 176)),
        (polygon(x, y, ((-0.98, 0.36), (0.98, 0.36), (0.6, 0.86), (-0.6, 0.86))), (126, 82, 58)),
    ]


def _mushroom(x: Plane, y: Plane) -> list[Part]:
    cap = np.maximum(circle(x, y, (0.0, 0.12), 0.95), y - 0.12)
    return [
        (box(x, y, (0.0, 0.5), (0.26, 0.44)), (240, 230, 212)),
        (cap, (150, 44, 82)),
        (np.minimum(circle(x, y, (-0.36, -0.2), 0.17), circle(x, y, (0.36, -0.3), 0.19)), (246, 236, 226)),
    ]


_BUILDERS: dict[str, Callable[[Plane, Plane], list[Part]]] = {
    "sun": _sun,
    "moon": _moon,
    "cloud": _cloud,
    "bird": _bird,
    "tree": _tree,
    "house": _house,
    "flag": _flag,
    "boat": _boat,
    "mushroom": _mushroom,
}


def extra_parts(name: str, x: Plane, y: Plane) -> list[Part]:
    """The parts of an extra from back to front: (signed distance in units of its radius, colour)."""
    return _BUILDERS[name](x, y)
