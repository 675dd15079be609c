"""Small valid pictures of every kind that decoders know, and ways to damage them."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

SHAPE = (37, 53)


def noise(channels: int = 3, dtype: type = np.uint8, seed: int = 7) -> np.ndarray:
    """A smooth gradient with noise, so that compressed files have something to hold."""
    generator = np.random.default_rng(seed)
    rows, columns = SHAPE
    top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1.0
    ramp = np.linspace(0, 0.7, rows * columns * channels).reshape(rows, columns, channels)
    values = (ramp + 0.3 * generator.random(ramp.shape)) * top
    return (values[:, :, 0] if channels == 1 else values).astype(dtype)


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    # A copy, because Pillow leaves the settings of one save on the picture and trips over them in the next.
    image.copy().save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    metadata = Image.Exif()
    metadata[0x0112] = orientation
    metadata[0x010F] = "a camera"
    return metadata.tobytes()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def repair_png(data: bytes) -> bytes:
    """Make every checksum fit again, so that damage reaches the decoder behind the check."""
    parts, position = [data[:8]], 8
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        body = data[position + 8 : position + 8 + length]
        parts.append(png_chunk(data[position + 4 : position + 8], body))
        position += 12 + length
    return b"".join(parts)


def rle_bmp() -> bytes:
    """An 8-bit run-length encoded BMP, which Pillow reads and does not write."""
    palette = b"".join(bytes((i, 255 - i, i // 2, 0)) for i in range(256))
    runs = b"".join(bytes((16, value)) + b"\x00\x00" for value in range(0, 160, 10)) + b"\x00\x01"
    offset = 14 + 40 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, 16, 16, 1, 8, 1, len(runs), 2835, 2835, 256, 0)
    return b"BM" + struct.pack("<IHHI", offset + len(runs), 0, 0, offset) + header + palette + runs


@functools.cache
def corpus() -> dict[str, bytes]:
    """One file per kind, by name."""
    rgb, rgba = Image.fromarray(noise(3)), Image.fromarray(noise(4))
    grey, grey16 = Image.fromarray(noise(1)), Image.fromarray(noise(1, np.uint16))
    cmyk = rgb.convert("CMYK")
    palette, bit = rgb.convert("P"), grey.convert("1")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "words " * 50, zip=True)
    text.add_itxt("Title", "wörds", zip=True)
    other = Image.fromarray(noise(3, seed=8))
    return {
        "jpeg": save(rgb, "JPEG"),
        "jpeg-progressive": save(rgb, "JPEG", progressive=True, quality=90),
        "jpeg-grey": save(grey, "JPEG"),
        "jpeg-cmyk": save(cmyk, "JPEG"),
        "jpeg-exif": save(rgb, "JPEG", exif=exif(6), icc_profile=profile),
        "jpeg-restart": save(rgb, "JPEG", restart_marker_blocks=2),
        "jpeg-mpo": save(rgb, "MPO", save_all=True, append_images=[other.copy()]),
        "png": save(rgb, "PNG"),
        "png-rgba": save(rgba, "PNG"),
        "png-grey": save(grey, "PNG"),
        "png-la": save(rgba.convert("LA"), "PNG"),
        "png-palette": save(palette, "PNG"),
        "png-palette-transparent": save(palette, "PNG", transparency=3),
        "png-1bit": save(bit, "PNG"),
        "png-16bit": save(grey16, "PNG"),
        "png-text": save(rgb, "PNG", pnginfo=text, icc_profile=profile, exif=exif(3), dpi=(72, 72)),
        "png-animated": save(rgb, "PNG", save_all=True, append_images=[other.copy()]),
        "gif": save(palette, "GIF"),
        "gif-transparent": save(palette, "GIF", transparency=2),
        "gif-animated": save(rgb, "GIF", save_all=True, append_images=[other.copy()]),
        "webp": save(rgb, "WEBP"),
        "webp-lossless": save(rgba, "WEBP", lossless=True),
        "webp-exif": save(rgb, "WEBP", exif=exif(8), icc_profile=profile),
        "webp-animated": save(rgb, "WEBP", save_all=True, append_images=[other.copy()]),
        "bmp": save(rgb, "BMP"),
        "bmp-palette": save(palette, "BMP"),
        "bmp-1bit": save(bit, "BMP"),
        "bmp-rle": rle_bmp(),
        "tiff": save(rgb, "TIFF"),
        "tiff-lzw": save(rgb, "TIFF", compression="tiff_lzw"),
        "tiff-deflate": save(rgba, "TIFF", compression="tiff_adobe_deflate"),
        "tiff-jpeg": save(rgb, "TIFF", compression="jpeg"),
        "tiff-packbits": save(palette, "TIFF", compression="packbits"),
        "tiff-fax": save(bit, "TIFF", compression="group4"),
        "tiff-cmyk": save(cmyk, "TIFF"),
        "tiff-lab": save(to_lab(rgb), "TIFF"),
        "tiff-16bit": save(grey16, "TIFF"),
        "tiff-int32": save(Image.fromarray(noise(1, np.int32)), "TIFF"),
        "tiff-float": save(Image.fromarray(noise(1, np.float32)), "TIFF"),
        "tiff-pages": save(rgb, "TIFF", save_all=True, append_images=[other.copy()]),
        "tiff-big": save(rgb, "TIFF", big_tiff=True),
        "tiff-exif": save(rgb, "TIFF", exif=exif(6)),
        "avif": save(rgb, "AVIF", quality=60, speed=10),
        "avif-alpha": save(rgba, "AVIF", quality=60, speed=10, exif=exif(6)),
        "avif-animated": save(rgb, "AVIF", save_all=True, append_images=[other.copy()], speed=10),
    }


def to_lab(rgb: Image.Image) -> Image.Image:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.applyTransform(rgb, ImageCms.buildTransform(srgb, lab, "RGB", "LAB"))


_TELLING = (0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF)
_TELLING_WORDS = (0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF0, 25_000_001, 5_000)


def damage(data: bytes, other: bytes, generator: np.random.Generator) -> bytes:
    """One random damage of the kinds that disks, networks, editors and adversaries do."""
    mutated = bytearray(data)
    kind = generator.integers(9)

    def somewhere(length: int = len(data)) -> int:
        # Half of the damage goes to the headers, where it does most.
        return int(generator.integers(min(length, 80) if generator.random() < 0.5 else length))

    if kind == 0:
        for _ in range(int(generator.integers(1, 30))):
            mutated[somewhere()] ^= 1 << int(generator.integers(8))
    elif kind == 1:
        del mutated[int(generator.integers(len(data))) :]
    elif kind == 2:
        mutated = bytearray(data[: int(generator.integers(len(data)))] + other[int(generator.integers(len(other))) :])
    elif kind == 3:
        for _ in range(int(generator.integers(1, 6))):
            mutated[somewhere()] = int(generator.choice(_TELLING))
    elif kind == 4:
        for _ in range(int(generator.integers(1, 4))):
            word = struct.pack("<>"[int(generator.integers(2))] + "I", int(generator.choice(_TELLING_WORDS)))
            start = somewhere()
            mutated[start : start + 4] = word[: len(mutated) - start]
    elif kind == 5:
        start = somewhere()
        del mutated[start : start + int(generator.integers(1, 40))]
    elif kind == 6:
        start = somewhere()
        mutated[start:start] = generator.bytes(int(generator.integers(1, 40)))
    elif kind == 7:
        start, length = somewhere(), int(generator.integers(1, 200))
        mutated[start:start] = mutated[start : start + length]
    else:
        start, length = somewhere(), int(generator.integers(4, 500))
        mutated[start : start + length] = bytes(len(mutated[start : start + length]))
    return bytes(mutated)


def damaged_files(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`count` damaged files, over all kinds in turn; half of the PNGs get fitting checksums again."""
    generator = np.random.default_rng(seed)
    names = list(corpus())
    for index in range(count):
        name = names[index % len(names)]
        data = damage(corpus()[name], corpus()[str(generator.choice(names))], generator)
        if generator.random() < 0.3:
            data = damage(data or b"x", corpus()[name], generator)
        if name.startswith("png") and generator.random() < 0.6:
            data = repair_png(data)
        yield f"{name}#{index}", data
