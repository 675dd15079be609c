"""Small encoded pictures, as data URLs, made once per URI.

Streamlit would encode a PIL image again on every run of a page. Bytes it would serve as a file that it forgets as soon as the next run no
longer shows it, so that a browser that is slower than the visitor finds nothing (404). A data URL has neither trouble.
"""

from __future__ import annotations

import base64
import io

import streamlit as st
from PIL import Image, ImageDraw

from cbm.core.errors import CbmError
from cbm.images.decode import decode
from cbm.images.pictures import read_bytes, read_picture
from cbm.ui.frame import cache

SIZE = 160
"""Side of an ordinary thumbnail in pixels."""
_RIGHT, _WRONG, _GAP = "#0E8566", "#D9601A", "#FDFCFA"
"""Colours of the border around a picture that the model gets right, or wrong, and of the gaps that make the latter dashed."""
_PAPER = {"light": "#FDFCFA", "dark": "#15181B"}
"""The theme's backgrounds, so that the gaps of a strip look like the page."""


def theme() -> str:
    """ "light" or "dark", as the visitor's browser shows the page."""
    return "dark" if st.context.theme.type == "dark" else "light"


def ink() -> str:
    """The theme's text colour, for figures that would write black on a dark page."""
    return "#ECE9E2" if theme() == "dark" else "#1E2428"


def _missing(size: int) -> Image.Image:
    """Replaces a picture that is gone or unreadable, so that one bad file never empties a gallery."""
    picture = Image.new("RGB", (size, size), "#8A8983")
    ImageDraw.Draw(picture).line([(0, 0), (size, size)], fill="#FDFCFA", width=max(1, size // 40))
    return picture


def _square(uri: str, size: int) -> Image.Image:
    try:
        if uri.startswith("scene:"):
            return read_picture(uri, size=size)
        picture = decode(read_bytes(uri), target_size=size)
    except (CbmError, OSError):
        return _missing(size)
    return square(picture, size)


def square(picture: Image.Image, size: int) -> Image.Image:
    """The middle of a picture, scaled to a square of `size` pixels in one step."""
    side = min(picture.size)
    left, top = (picture.width - side) / 2, (picture.height - side) / 2
    box = (left, top, left + side, top + side)
    return picture.resize((size, size), Image.Resampling.LANCZOS, box=box, reducing_gap=2.0)


def draw_outcome(picture: Image.Image, correct: bool | None) -> Image.Image:
    """The picture with a border that says whether the model gets it right: whole and ticked, or dashed and crossed; none where unknown."""
    if correct is None:
        return picture
    framed = picture.copy()
    draw = ImageDraw.Draw(framed)
    side, width = min(framed.size), max(4, round(min(framed.size) * 0.04))
    colour = _RIGHT if correct else _WRONG
    draw.rectangle((0, 0, framed.width - 1, framed.height - 1), outline=colour, width=width)
    if not correct:
        gap = side // 8
        for start in range(gap, max(framed.size), 2 * gap):
            for box in (
                (start, 0, start + gap // 2, width - 1),
                (start, framed.height - width, start + gap // 2, framed.height - 1),
                (0, start, width - 1, start + gap // 2),
                (framed.width - width, start, framed.width - 1, start + gap // 2),
            ):
                draw.rectangle(box, fill=_GAP)
    tag = side // 5
    draw.rectangle((0, 0, tag, tag), fill=colour)
    stroke = max(2, tag // 8)
    if correct:
        draw.line([(tag * 0.22, tag * 0.52), (tag * 0.42, tag * 0.72), (tag * 0.78, tag * 0.28)], fill="white", width=stroke)
    else:
        for line in ([(0.27, 0.27), (0.73, 0.73)], [(0.73, 0.27), (0.27, 0.73)]):
            draw.line([(tag * x, tag * y) for x, y in line], fill="white", width=stroke)
    return framed


def encoded(picture: Image.Image) -> str:
    """A data URL. JPEG, because it is written ten times as fast as WebP, and a gallery that is new waits for all its pictures."""
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=88, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@cache.remember()
def thumbnail(uri: str, size: int = SIZE) -> str:
    """The picture at `uri`, cut to a square of `size` pixels."""
    return encoded(_square(uri, size))


@cache.remember()
def framed(uri: str, correct: bool, size: int = SIZE) -> str:
    """`thumbnail` with a border that says whether the model gets the picture right."""
    return encoded(draw_outcome(_square(uri, size), correct))


@cache.remember()
def strip(uris: tuple[str, ...], paper: str, columns: int = 3, rows: int = 2, size: int = 96, gap: int = 4) -> str:
    """Up to `columns * rows` thumbnails in one picture: one element of the page instead of many."""
    width, height = columns * (size + gap) - gap, rows * (size + gap) - gap
    sheet = Image.new("RGB", (width, height), _PAPER[paper])
    for position, uri in enumerate(uris[: columns * rows]):
        row, column = divmod(position, columns)
        sheet.paste(_square(uri, size), (column * (size + gap), row * (size + gap)))
    return encoded(sheet)
