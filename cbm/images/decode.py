"""The only place where bytes from outside become pixels: what comes back is an RGB picture, or a reason.

The bytes are judged from their header before a decoder sees them (format allow-list, pixel cap), every failure of the decoders becomes
`RejectedImageError`, and nothing of Pillow's global state is changed, so `decode` may run in many threads at once.

Choices that a caller should know:

- An animation is rejected, not cut to its first frame: that frame is often blank or a title, and nobody would notice. A single-frame GIF,
  WebP or PNG is a picture. A TIFF of several pages is rejected unless the others are previews or masks of the first.
- Transparency is laid on white, as viewers show it; dropping the alpha channel would reveal whatever colour lies hidden below it.
- 16-bit grey keeps its whole range (65535 becomes 255) where Pillow's own conversion clips at 255. Floating-point grey is accepted within
  0 to 1; other ranges, and 32-bit integers, say nothing about what is white and are rejected.
- CMYK is converted without its colour profile, and profiles are ignored, as CLIP's own preprocessing does.
- JPEG, WebP, GIF and BMP carry no checksums: a flipped bit inside the pixel data shows as a smear and cannot be told from a picture. PNG
  does carry them, and they are checked.
"""

from __future__ import annotations

import io
import logging
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
from PIL import (
    AvifImagePlugin,  # noqa: F401  (each plugin registers its format; without it Pillow would import every plugin it has)
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from cbm.core.errors import RejectedImageError
from cbm.images.formats import HEADER_BYTES, MAX_FILE_BYTES, sniff

__all__ = ["HEADER_BYTES", "MAX_FILE_BYTES", "MAX_PIXELS", "RejectedImageError", "decode", "sniff"]

MAX_PIXELS = 25_000_000
MAX_ASPECT_RATIO = 200
"""Longer side by shorter: a thread of pixels whose shorter side is scaled to what a backbone sees takes gigabytes."""

# Pillow logs some damage as errors; without a handler anywhere Python would print them.
logging.getLogger("PIL").addHandler(logging.NullHandler())

# What Pillow and its codecs raise on damaged files, named one by one so that an interrupt, a typing error of ours or a failed assertion is
# never taken for a bad picture. The comments say where 60,000 damaged files (tests/unit/test_decode_fuzz.py) met them.
DECODER_ERRORS: tuple[type[Exception], ...] = (
    OSError,  # every format; UnidentifiedImageError is one of them
    ValueError,  # AVIF, BMP, TIFF
    SyntaxError,  # AVIF, TIFF: Pillow's word for "not this format after all"
    TypeError,  # TIFF: a tag that must be there is missing
    KeyError,  # TIFF: an unknown compression
    IndexError,  # GIF: no data block
    RuntimeError,  # AVIF: libavif's errors
    Image.DecompressionBombError,  # every format, where sizes exceed even Pillow's own limit
    MemoryError,  # sizes that lie, on small machines
    # Not met by the fuzz, and raised by the library calls in these decoders when they meet numbers out of range or early ends:
    struct.error,
    zlib.error,
    EOFError,
    ArithmeticError,
    AttributeError,
)


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS, target_size: int | None = None) -> Image.Image:
    """The upright RGB picture in `data`.

    Args:
        data: a whole file; JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF.
        max_pixels: pictures with more are rejected from their header, before any pixel is decoded.
        target_size: the size in pixels that the shorter side will be scaled to. JPEGs far larger are then decoded at a half, a quarter or
            an eighth, never below twice this size, so that the final scaling still has detail to average over.

    Returns:
        A loaded `PIL.Image.Image` of mode "RGB" that does not refer to `data`.

    Raises:
        RejectedImageError: anything else; `reason` is a non-empty sentence part.
    """
    name = sniff(data[:HEADER_BYTES])
    if name == "PNG":
        _check_png(data)
    elif name == "WEBP":
        _check_size(_announced_webp_size(data), max_pixels)
    try:
        with _silent_pillow(), Image.open(io.BytesIO(data), formats=(name,)) as image:
            _check_size(image.size, max_pixels)
            _check_single(image)
            if target_size is not None and isinstance(image, JpegImagePlugin.JpegImageFile):
                image.draft(None, (2 * target_size, 2 * target_size))
            _check_coverage(image)
            image.load()
            # Some headers lie: a GIF frame may exceed the screen it announces.
            _check_size(image.size, max_pixels)
            return _to_rgb(_upright(image))
    except RejectedImageError:
        raise
    except Image.DecompressionBombError as error:
        raise RejectedImageError(f"it has more than {max_pixels:,} pixels; scale it down") from error
    except MemoryError as error:
        raise RejectedImageError(f"decoding this {name} needs more memory than there is, or its header is damaged") from error
    except DECODER_ERRORS as error:
        raise RejectedImageError(_explain(name, error)) from error


def _explain(name: str, error: BaseException) -> str:
    detail = " ".join(str(error).split())[:160]
    if "truncated" in detail.lower() or isinstance(error, EOFError):
        return f"the {name} is truncated: its end is missing"
    if isinstance(error, UnidentifiedImageError):
        # Pillow's own words hold the memory address of our buffer; a reason must not change from run to run.
        return f"the {name} is damaged in its header"
    return f"the {name} is damaged ({detail or type(error).__name__})"


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise RejectedImageError(f"its header announces {width} × {height} pixels")
    if width * height > max_pixels:
        raise RejectedImageError(f"it has {width} × {height} = {width * height:,} pixels, more than {max_pixels:,}; scale it down")
    if max(size) > MAX_ASPECT_RATIO * min(size):
        raise RejectedImageError(f"it has {width} × {height} pixels, one side over {MAX_ASPECT_RATIO} times the other; crop it")


def _announced_webp_size(data: bytes) -> tuple[int, int]:
    """Read from the header, because Pillow's decoder reserves the whole canvas when it is opened (RFC 9649, sections 2.5 to 2.7)."""
    kind, body = data[12:16], data[20:30].ljust(10, b"\x00")
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF


def _check_single(image: Image.Image) -> None:
    if not getattr(image, "is_animated", False) or image.format in ("JPEG", "MPO"):
        # MPO: phones append previews and gain maps to a JPEG; its first picture is the photograph.
        return
    if image.format != "TIFF":
        raise RejectedImageError(f"it is an animated {image.format}; save the frame you need as a still picture")
    for page in range(1, 16):
        try:
            image.seek(page)
        except EOFError:
            break
        subfile_type = image.tag_v2.get(254, 0)  # type: ignore[attr-defined]
        if not isinstance(subfile_type, int) or not subfile_type & 0b101:
            raise RejectedImageError("it is a TIFF with several pages; save the page you need as a separate file")
    image.seek(0)


def _check_coverage(image: ImageFile.ImageFile) -> None:
    """A TIFF whose header claims more rows than it has strips for would come back with the rest black."""
    covered = 0
    for tile in image.tile:
        left, top, right, bottom = tile.extents or (0, 0, 0, 0)
        covered += (right - left) * (bottom - top)
    if image.format == "TIFF" and covered < image.width * image.height:
        raise RejectedImageError("the TIFF is truncated: strips of it are missing")


def _check_png(data: bytes) -> None:
    """Walk the chunks and compare checksums, which Pillow skips for pixel data."""
    position = 8
    while True:
        if position + 12 > len(data):
            raise RejectedImageError("the PNG is truncated: its end is missing")
        (length,) = struct.unpack_from(">I", data, position)
        kind = data[position + 4 : position + 8]
        end = position + 8 + length
        if end + 4 > len(data):
            raise RejectedImageError("the PNG is truncated: its end is missing")
        # A capital first letter marks the chunks that decide what the picture looks like; the others may be wrong without harm.
        if not kind[0] & 0x20 and zlib.crc32(memoryview(data)[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise RejectedImageError(f"the PNG is damaged (checksum of its {kind.decode('ascii', 'replace')} part)")
        if kind == b"IEND":
            return
        position = end + 4


_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _upright(image: Image.Image) -> Image.Image:
    orientation = None
    # A picture with broken metadata is still a picture.
    with suppress(*DECODER_ERRORS):
        orientation = image.getexif().get(0x0112)
    operation = _TRANSPOSITIONS.get(orientation) if isinstance(orientation, int) else None
    return image if operation is None else image.transpose(operation)


_SIXTEEN_TO_EIGHT = np.rint(np.arange(65536) / 257).astype(np.uint8)


def _to_rgb(image: Image.Image) -> Image.Image:
    # Pillow turns "white is zero" round for 8 bits and fewer, and forgets it for more.
    inverted = isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(262) == 0
    if image.mode.startswith("I;16"):
        grey = _SIXTEEN_TO_EIGHT[np.asarray(image)]
        image = Image.fromarray(255 - grey if inverted else grey)
    elif image.mode == "I":
        raise RejectedImageError("its pixels are signed or 32-bit integers, whose white is unknown; save it with 8 or 16 bits")
    elif image.mode == "F":
        values = np.asarray(image)
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise RejectedImageError("its pixels are floating-point numbers outside 0 to 1; save it with 8 or 16 bits")
        grey = np.rint(values * np.float32(255)).astype(np.uint8)
        image = Image.fromarray(255 - grey if inverted else grey)
    elif image.mode in ("LAB", "HSV"):
        raise RejectedImageError(f"its colours are {image.mode}; save it as RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        picture = image.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        white.alpha_composite(picture)
        image = white
    result = image.convert("RGB")
    # Metadata (text, profiles, EXIF) has served its purpose; carrying it along would keep megabytes alive.
    result.info = {}
    return result


class _PillowFilter:
    """Counts the threads inside `decode`; the filter is in place while there is one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.depth = 0
        self.entry = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


_FILTER = _PillowFilter()


@contextmanager
def _silent_pillow() -> Iterator[None]:
    """Ignore the warnings of Pillow's own modules meanwhile.

    `warnings.catch_warnings` swaps the process-wide list of filters, and two threads that do so at once can leave the wrong one behind. One
    entry that is put in and taken out again cannot: at worst it is forgotten in somebody's copy, where it only silences Pillow.
    """
    with _FILTER.lock:
        _FILTER.depth += 1
        if _FILTER.depth == 1 or _FILTER.entry not in warnings.filters:
            warnings.filters.insert(0, _FILTER.entry)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        with _FILTER.lock:
            _FILTER.depth -= 1
            if _FILTER.depth == 0:
                with suppress(ValueError):
                    warnings.filters.remove(_FILTER.entry)  # type: ignore[attr-defined]
