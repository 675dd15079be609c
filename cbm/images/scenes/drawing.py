"""From a layout to pixels and masks. Edges are anti-aliased from signed distances, so nothing depends on the size but its detail."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, UInt8

from cbm.images.scenes.backgrounds import Picture, paint_background, pixel_centres
from cbm.images.scenes.extras import extra_parts
from cbm.images.scenes.factors import COLOURS
from cbm.images.scenes.layout import Layout, Placement
from cbm.images.scenes.shapes import Plane, figure, second_tone

_WHITE = np.array((252, 252, 250), dtype=np.float32)
_SHADE = 0.42
"""How bright the dark parts of a pattern are; in the figure's own hue, so that pattern, colour and outline stay independent."""
_GREY = np.array((128, 128, 134), dtype=np.float32)
"""The second tone of black figures."""
_RIM = 0.019
"""Width of the pale rim around figures, in image units: it keeps a black figure visible at night, and every outline plain."""


def _window(placement: Placement, size: int) -> tuple[slice, slice]:
    reach = placement.radius * 1.05 + _RIM
    left, right = int((placement.x - reach) * size), int(np.ceil((placement.x + reach) * size)) + 1
    top, bottom = int((placement.y - reach) * size), int(np.ceil((placement.y + reach) * size)) + 1
    return slice(max(0, top), min(size, bottom)), slice(max(0, left), min(size, right))


def _local(placement: Placement, size: int) -> tuple[tuple[slice, slice], Plane, Plane]:
    """The window around a placement and the coordinates in it, turned with it, in image units."""
    window = _window(placement, size)
    x, y = pixel_centres(size)
    dx, dy = x[window] - np.float32(placement.x), y[window] - np.float32(placement.y)
    cosine, sine = np.float32(np.cos(placement.turn)), np.float32(np.sin(placement.turn))
    return window, cosine * dx + sine * dy, cosine * dy - sine * dx


def _blend(
    picture: Picture, window: tuple[slice, slice], coverage: Float[np.ndarray, "window_height window_width"], colour: np.ndarray
) -> None:
    region = picture[window]
    region += coverage[..., None] * (colour - region)


def _cover(distance: Plane, size: int) -> Plane:
    return np.clip(0.5 - distance * size, 0, 1).astype(np.float32)


def draw_pixels(layout: Layout, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """The scene as RGB bytes."""
    picture = paint_background(layout.values["background"], size, layout.phases)
    for name, placement in layout.extras.items():
        window, x, y = _local(placement, size)
        for distance, paint in extra_parts(name, x / placement.radius, y / placement.radius):
            _blend(picture, window, _cover(distance * placement.radius, size), np.array(paint, dtype=np.float32))
    colour = np.array(COLOURS[layout.values["colour"]], dtype=np.float32)
    shade = _GREY if layout.values["colour"] == "black" else colour * np.float32(_SHADE)
    for placement in layout.figures:
        window, x, y = _local(placement, size)
        distance = figure(layout.values["shape"], x / placement.radius, y / placement.radius) * placement.radius
        _blend(picture, window, _cover(distance - _RIM, size), _WHITE)
        share = second_tone(layout.values["pattern"], x, y, 1.0 / size)[..., None]
        _blend(picture, window, _cover(distance, size), colour + share * (shade - colour))
    return (np.clip(picture, 0, 255) + 0.5).astype(np.uint8)


def draw_masks(layout: Layout, size: int) -> dict[str, Bool[np.ndarray, "size size"]]:
    """Which pixels show each true concept that has a place: the figures for shape, colour and pattern, the rest for the background."""
    figures = np.zeros((size, size), dtype=bool)
    occupied = np.zeros((size, size), dtype=bool)
    masks: dict[str, np.ndarray] = {}
    for name, placement in layout.extras.items():
        window, x, y = _local(placement, size)
        mask = np.zeros((size, size), dtype=bool)
        for distance, _ in extra_parts(name, x / placement.radius, y / placement.radius):
            mask[window] |= distance <= 0
        masks[name] = mask
        occupied |= mask
    for placement in layout.figures:
        window, x, y = _local(placement, size)
        figures[window] |= figure(layout.values["shape"], x / placement.radius, y / placement.radius) <= 0
    for name in layout.extras:
        masks[name] &= ~figures
    for factor in ("shape", "colour", "pattern"):
        masks[layout.values[factor]] = figures
    masks[layout.values["background"]] = ~(figures | occupied)
    return masks
