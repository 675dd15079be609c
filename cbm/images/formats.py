"""Which kinds of file are pictures that the decoder may see, told from their first bytes alone."""

from __future__ import annotations

import re

from PIL import features

from cbm.core.errors import RejectedImageError

MAX_FILE_BYTES = 256 * 2**20
"""Sources do not read longer files; 25 megapixels of 16-bit RGBA are 200 MB without compression."""
HEADER_BYTES = 64
"""How much of a file `sniff` wants to see."""

_MAGIC: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG"),
    (re.compile(rb"GIF8[79]a"), "GIF"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WEBP"),
    (re.compile(rb"(II[*+]\x00|MM\x00[*+])(?!....CR)", re.DOTALL), "TIFF"),
    (re.compile(rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00", re.DOTALL), "BMP"),
    (re.compile(rb".{4}ftypavi[fs]", re.DOTALL), "AVIF"),
    (re.compile(rb".{4}ftypm(if1|sf1).{4,32}avi[fs]", re.DOTALL), "AVIF"),
)

_REFUSED: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb".{4}ftyp(hei|hev|mif1|msf1)", re.DOTALL), "a HEIC picture"),
    (re.compile(rb".{4}ftypcrx|II\*\x00....CR|IIRO|IIU\x00|FUJIFILMCCD", re.DOTALL), "a raw camera file"),
    (re.compile(rb".{4}ftyp|\x1aE\xdf\xa3|RIFF....AVI |\x00\x00\x01[\xba\xb3]", re.DOTALL), "a video"),
    (re.compile(rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51"), "a JPEG 2000 picture"),
    (re.compile(rb"\xff\x0a|\x00\x00\x00\x0cJXL "), "a JPEG XL picture"),
    (re.compile(rb"%PDF"), "a PDF"),
    (re.compile(rb"8BPS"), "a Photoshop file"),
    (re.compile(rb"\x00\x00\x01\x00"), "an icon"),
    (re.compile(rb"P[1-7]\s"), "a PNM picture"),
    (re.compile(rb"PK\x03\x04|\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!"), "an archive"),
    (re.compile(rb"version https://git-lfs"), "a Git LFS pointer: the picture itself was not downloaded (`git lfs pull` does that)"),
    (re.compile(rb"\s*<svg|\s*<\?xml", re.IGNORECASE), "an SVG or XML file"),
    (re.compile(rb"\s*<(!doctype|html|head)", re.IGNORECASE), "a web page, probably from a failed download"),
)

_SUPPORTED = "supported formats are JPEG, PNG, WebP, AVIF, GIF, BMP and TIFF; convert it to one of these"


def sniff(header: bytes) -> str:
    """The format that the first `HEADER_BYTES` of a file announce, as Pillow names it.

    Raises:
        RejectedImageError: the format is not on the allow-list; the reason names it where it is known.
    """
    if not header:
        raise RejectedImageError("the file is empty (0 bytes)")
    for pattern, name in _MAGIC:
        if pattern.match(header):
            if name in ("AVIF", "WEBP") and not features.check(name.lower()):
                raise RejectedImageError(f"it is a {name} picture, which this build of Pillow cannot read; convert it to JPEG or PNG")
            return name
    for pattern, description in _REFUSED:
        if pattern.match(header):
            raise RejectedImageError(f"it is {description}; {_SUPPORTED}" if "pointer" not in description else f"it is {description}")
    if not header.strip(b"\x00"):
        raise RejectedImageError("the file starts with only zero bytes; the copy or download was probably cut short")
    raise RejectedImageError(f"it is not a recognised picture format (begins with {header[:8].hex(' ')}); {_SUPPORTED}")
