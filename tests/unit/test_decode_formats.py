"""Every format and pixel layout is either shown as it is meant, or turned away with a reason."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from image_corpus import corpus, exif, noise, png_chunk, save
from PIL import Image

from cbm.images.decode import RejectedImageError, decode

LOSSLESS = ["png", "bmp", "tiff", "tiff-lzw", "tiff-big"]
REJECTED = {
    "png-animated": "animated PNG",
    "gif-animated": "animated GIF",
    "webp-animated": "animated WEBP",
    "avif-animated": "animated AVIF",
    "tiff-pages": "several pages",
    "tiff-int32": "32-bit integers",
    "tiff-lab": "LAB",
}


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(decode(data))


@pytest.mark.parametrize("name", sorted(set(corpus()) - set(REJECTED)))
def test_every_kind_becomes_a_loaded_rgb_picture_of_its_size(name: str) -> None:
    picture = decode(corpus()[name])
    assert picture.mode == "RGB"
    assert sorted(picture.size) == ([16, 16] if name == "bmp-rle" else [37, 53])
    assert np.asarray(picture).std() > 8
    assert not picture.info


@pytest.mark.parametrize(("name", "word"), REJECTED.items())
def test_what_has_no_single_meaning_is_rejected_with_the_reason(name: str, word: str) -> None:
    with pytest.raises(RejectedImageError, match=word) as caught:
        decode(corpus()[name])
    assert caught.value.reason == str(caught.value)


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_files_keep_their_pixels(name: str) -> None:
    np.testing.assert_array_equal(pixels(corpus()[name]), noise(3))


@pytest.mark.parametrize("name", ["jpeg", "jpeg-progressive", "jpeg-cmyk", "jpeg-mpo", "webp", "avif", "tiff-cmyk", "jpeg-restart"])
def test_lossy_and_cmyk_files_come_close(name: str) -> None:
    difference = np.abs(pixels(corpus()[name]).astype(int) - noise(3))
    assert difference.mean() < 25


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})])
def test_sixteen_bit_grey_keeps_its_range_instead_of_clipping(kind: str, options: dict[str, str]) -> None:
    values = np.array([[0, 128, 257, 1000], [20000, 32768, 65000, 65535]], np.uint16).repeat(4, 0)
    shown = pixels(save(Image.fromarray(values), kind, **options))
    np.testing.assert_array_equal(shown, np.rint(values / 257).astype(np.uint8)[:, :, None].repeat(3, 2))


def test_sixteen_bit_grey_where_white_is_zero_is_turned_round() -> None:
    values = np.array([[0, 65535], [257, 514]], np.uint16)
    shown = pixels(save(Image.fromarray(values), "TIFF", tiffinfo={262: 0}))
    np.testing.assert_array_equal(shown[:, :, 0], [[255, 0], [254, 253]])


def test_sixteen_bit_colour_and_grey_with_alpha_are_read() -> None:
    def png(colour_type: int, rows: bytes) -> bytes:
        import zlib

        header = struct.pack(">IIBBBBB", 2, 1, 16, colour_type, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")

    colours = struct.pack(">B6H", 0, 65535, 0, 32896, 257, 514, 771)
    np.testing.assert_array_equal(pixels(png(2, colours)), [[[255, 0, 128], [1, 2, 3]]])
    grey = struct.pack(">B4H", 0, 25700, 65535, 25700, 0)
    np.testing.assert_array_equal(pixels(png(4, grey))[0, :, 0], [100, 255])


def test_float_grey_is_read_within_zero_to_one_and_rejected_beyond() -> None:
    values = np.array([[0, 0.5], [0.25, 1]], np.float32)
    np.testing.assert_array_equal(pixels(save(Image.fromarray(values), "TIFF"))[:, :, 1], [[0, 128], [64, 255]])
    for bad in (values * 255, values - 0.5, values * np.float32("nan"), values / np.float32(0.5)):
        with pytest.raises(RejectedImageError, match="floating-point"):
            decode(save(Image.fromarray(bad), "TIFF"))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_lies_on_white_and_hides_the_colour_below(kind: str) -> None:
    rgba = np.zeros((4, 6, 4), np.uint8)
    rgba[:, :2] = (200, 30, 40, 255)
    rgba[:, 2:4] = (200, 30, 40, 0)
    rgba[:, 4:] = (100, 0, 200, 128)
    shown = pixels(save(Image.fromarray(rgba), kind, **({"lossless": True} if kind == "WEBP" else {})))
    np.testing.assert_array_equal(shown[0, 0], (200, 30, 40))
    np.testing.assert_array_equal(shown[0, 2], (255, 255, 255))
    np.testing.assert_allclose(shown[0, 4], np.array((100, 0, 200)) * 128 / 255 + 127, atol=2)


def test_transparent_palette_and_transparent_key_colour_lie_on_white() -> None:
    palette = Image.new("P", (4, 2), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30, 200, 100, 50])
    palette.putpixel((3, 1), 2)
    for kind in ("PNG", "GIF"):
        shown = pixels(save(palette, kind, transparency=1))
        np.testing.assert_array_equal(shown[0, 0], (255, 255, 255))
        np.testing.assert_array_equal(shown[1, 3], (200, 100, 50))
    keyed = Image.new("RGB", (2, 1), (1, 2, 3))
    keyed.putpixel((1, 0), (9, 9, 9))
    np.testing.assert_array_equal(pixels(save(keyed, "PNG", transparency=(1, 2, 3))), [[[255, 255, 255], [9, 9, 9]]])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(kind: str, orientation: int) -> None:
    # What the camera's sensor saw is the upright scene put through the inverse of what the viewer must do.
    scene = Image.new("RGB", (48, 32), (250, 250, 250))
    scene.paste((230, 20, 20), (0, 0, 24, 16))
    scene.paste((20, 20, 230), (24, 16, 48, 32))
    scene.paste((10, 120, 10), (0, 16, 24, 32))
    move = Image.Transpose
    inverse = {
        2: move.FLIP_LEFT_RIGHT,
        3: move.ROTATE_180,
        4: move.FLIP_TOP_BOTTOM,
        5: move.TRANSPOSE,
        6: move.ROTATE_90,
        7: move.TRANSVERSE,
    }
    seen = scene if orientation == 1 else scene.transpose(inverse.get(orientation, move.ROTATE_270))
    shown = decode(save(seen, kind, exif=exif(orientation), **({} if kind in ("PNG", "TIFF") else {"quality": 95})))
    assert shown.size == (48, 32)
    for row, column, colour in ((8, 12, (230, 20, 20)), (24, 36, (20, 20, 230)), (24, 12, (10, 120, 10)), (8, 36, (250, 250, 250))):
        np.testing.assert_allclose(np.asarray(shown)[row, column].astype(int), colour, atol=25)


def test_broken_exif_costs_nothing_but_the_orientation() -> None:
    data = corpus()["jpeg-exif"]
    start = data.index(b"Exif\x00\x00") + 6
    for broken in (b"\xff" * 20, b"MM\x00*\xff\xff\xff\xff", b"II*\x00\x08\x00\x00\x00\xff\xff\x12\x01"):
        assert decode(data[:start] + broken + data[start + len(broken) :]).mode == "RGB"


def test_single_frame_gif_and_tiff_with_a_preview_page_are_pictures() -> None:
    assert decode(corpus()["gif"]).size == (53, 37)
    full = Image.fromarray(noise(3))
    preview = full.resize((10, 8))
    preview.encoderinfo = {"tiffinfo": {254: 1}}  # type: ignore[attr-defined]
    data = save(full, "TIFF", save_all=True, append_images=[preview])
    np.testing.assert_array_equal(pixels(data), noise(3))


def test_target_size_shrinks_large_jpegs_but_never_below_twice_what_is_needed() -> None:
    rows, columns = np.mgrid[0:800, 0:1200]
    large = Image.fromarray(np.stack([rows / 800, columns / 1200, (rows + columns) / 2000], 2).__mul__(255).astype(np.uint8))
    data = save(large, "JPEG", quality=95)
    assert decode(data).size == (1200, 800)
    assert decode(data, target_size=1000).size == (1200, 800)
    small = decode(data, target_size=100)
    assert small.size == (300, 200)
    expected = np.asarray(large.resize(small.size, Image.Resampling.BOX)).astype(int)
    assert np.abs(np.asarray(small) - expected).max() < 12
    assert decode(save(large, "PNG"), target_size=10).size == (1200, 800)
