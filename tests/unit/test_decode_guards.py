"""What adversaries and accidents send: bombs, empty files, other formats, threads, warnings."""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import struct
import threading
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from image_corpus import corpus, noise, png_chunk, save
from PIL import Image, ImageFile, PngImagePlugin

from cbm.images.decode import RejectedImageError, decode, sniff


def announced_png(width: int, height: int, *extra: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = png_chunk(b"IDAT", zlib.compress(bytes(3000)))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + b"".join(extra) + body + png_chunk(b"IEND", b"")


def announced_bmp(width: int, height: int) -> bytes:
    return (
        b"BM" + struct.pack("<IHHI", 200, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(200)
    )


def announced_webp(width: int, height: int) -> bytes:
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    data = bytearray(corpus()["webp"])
    inner = bytes(data[12:])
    return b"RIFF" + struct.pack("<I", 4 + len(extended) + len(inner)) + b"WEBP" + extended + inner


def announced_jpeg(width: int, height: int) -> bytes:
    data = bytearray(corpus()["jpeg"])
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def announced_gif(width: int, height: int) -> bytes:
    data = bytearray(corpus()["gif"])
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def cause_of(data: bytes) -> BaseException | None:
    """What a rejection was made of; None for a picture."""
    try:
        decode(data)
    except RejectedImageError as error:
        return error.__cause__
    return None


ANNOUNCED = [announced_png, announced_bmp, announced_webp, announced_jpeg, announced_gif]


@pytest.mark.parametrize("make", ANNOUNCED)
@pytest.mark.parametrize("size", [(5001, 5000), (16000, 16000)])
def test_the_pixel_cap_is_judged_from_the_header_before_memory_is_spent(make, size: tuple[int, int]) -> None:
    data = make(*size)
    tracemalloc.start()
    try:
        with pytest.raises(RejectedImageError, match=r"pixels|damaged"):
            decode(data)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_a_webp_over_the_cap_is_turned_away_before_its_canvas_is_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    lossless = bytearray(corpus()["webp-lossless"])
    lossy = bytearray(corpus()["webp"])
    struct.pack_into("<I", lossless, 21, (9999 - 1) | (9999 - 1) << 14)
    struct.pack_into("<HH", lossy, 26, 9999, 9999)
    monkeypatch.delattr(Image, "open")
    for data in (announced_webp(9999, 9999), bytes(lossless), bytes(lossy)):
        with pytest.raises(RejectedImageError, match="9999 × 9999"):
            decode(data)


def test_the_cap_is_inclusive_and_can_be_set() -> None:
    data = corpus()["png"]
    assert decode(data, max_pixels=37 * 53).size == (53, 37)
    with pytest.raises(RejectedImageError, match=r"53 × 37 = 1,961 pixels, more than 1,960"):
        decode(data, max_pixels=37 * 53 - 1)


def test_a_thread_of_pixels_is_rejected_because_scaling_it_would_take_gigabytes() -> None:
    assert decode(save(Image.new("RGB", (1, 200)), "PNG")).size == (1, 200)
    for size in ((1, 201), (400_000, 1)):
        with pytest.raises(RejectedImageError, match="200 times the other"):
            decode(save(Image.new("RGB", size), "PNG"))


def test_a_gif_frame_larger_than_its_screen_does_not_pass_under_the_cap() -> None:
    data = bytearray(corpus()["gif"])
    frame = data.index(b"\x2c", 13 + 3 * 256 if data[10] & 7 == 7 else 13)
    data[frame + 5 : frame + 9] = struct.pack("<HH", 6000, 6000)
    with pytest.raises(RejectedImageError):
        decode(bytes(data))


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_compressed_metadata_that_unfolds_to_gigabytes_is_not_unfolded(kind: bytes) -> None:
    bomb = zlib.compress(bytes(50_000_000))
    body = b"name\x00\x00" + bomb if kind != b"iTXt" else b"name\x00\x01\x00\x00\x00" + bomb
    data = announced_png(20, 20, png_chunk(kind, body))
    tracemalloc.start()
    try:
        with contextlib.suppress(RejectedImageError):
            decode(data)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_many_text_chunks_together_are_bounded_too() -> None:
    text = PngImagePlugin.PngInfo()
    for number in range(90):
        text.add_text(f"key{number}", "x" * 1_000_000, zip=True)
    with pytest.raises(RejectedImageError):
        decode(save(Image.fromarray(noise(3)), "PNG", pnginfo=text))


def test_a_tiff_that_claims_more_rows_than_it_has_strips_is_rejected() -> None:
    data = bytearray(save(Image.fromarray(noise(1)), "TIFF"))
    (directory,) = struct.unpack_from("<I", data, 4)
    for entry in range(struct.unpack_from("<H", data, directory)[0]):
        position = directory + 2 + 12 * entry
        if struct.unpack_from("<H", data, position)[0] == 257:
            struct.pack_into("<HII", data, position + 2, 4, 1, 5000)
    with pytest.raises(RejectedImageError):
        decode(bytes(data))


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (bytes(100), "zero bytes"),
        (b"\x00\x00\x00\x1cftypheic" + bytes(40), "HEIC"),
        (b"\x00\x00\x00\x20ftypisom" + bytes(40), "video"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(40), "JPEG 2000"),
        (b"\xff\x0a" + bytes(40), "JPEG XL"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00" + bytes(40), "raw camera"),
        (b'<?xml version="1.0"?><svg xmlns="">', "SVG"),
        (b"\n<!DOCTYPE html><html>404", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"),
        (b"PK\x03\x04" + bytes(40), "archive"),
        (b"hello, this is text", "not a recognised picture"),
        (b"\xff\xd8\xff", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (b"BM", "not a recognised picture"),
    ],
)
def test_files_that_are_no_pictures_are_named_for_what_they_are(data: bytes, word: str) -> None:
    with pytest.raises(RejectedImageError, match=word):
        decode(data)


def test_the_header_alone_tells_the_format() -> None:
    for name, data in corpus().items():
        kind = name.split("-")[0].upper()
        assert sniff(data[:64]) == kind


def test_a_file_cut_short_is_rejected_wherever_it_is_cut() -> None:
    # A GIF or AVIF may end in bytes that no pixel needs, and a flat BMP tail may be padding; a twentieth is more than that.
    for name, data in corpus().items():
        for share in (0.3, 0.6, 0.8, 0.9, 0.95):
            if name == "jpeg-mpo" and share >= 0.5:
                # The first picture of two is whole.
                continue
            with pytest.raises(RejectedImageError):
                print(name, share, decode(data[: int(len(data) * share)]))


def test_damage_to_png_pixels_never_passes_because_checksums_are_compared() -> None:
    data = corpus()["png"]
    start = data.index(b"IDAT") + 4
    for position in range(start, start + 2000, 97):
        broken = bytearray(data)
        broken[position] ^= 0x10
        with pytest.raises(RejectedImageError, match="checksum"):
            decode(bytes(broken))


def test_no_warning_leaks_and_the_callers_filters_stay_as_they_were() -> None:
    data = corpus()["jpeg-exif"]
    start = data.index(b"Exif\x00\x00") + 6
    noisy = data[: start + 10] + b"\xff" * 12 + data[start + 22 :]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        assert cause_of(noisy) is None
        for sample in (noisy, announced_png(9600, 9600), *corpus().values()):
            assert not isinstance(cause_of(sample), Warning)
        assert list(warnings.filters) == before
        with pytest.raises(UserWarning, match="mine"):
            warnings.warn("mine", UserWarning, stacklevel=1)


def test_pillows_global_switches_are_left_alone() -> None:
    before = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS, logging.getLogger("PIL").level)
    for data in corpus().values():
        with contextlib.suppress(RejectedImageError):
            decode(data)
    assert (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS, logging.getLogger("PIL").level) == before


def test_threads_get_the_same_pictures_and_leave_no_filter_behind() -> None:
    good = [data for name, data in corpus().items() if name in ("jpeg", "png", "webp", "tiff-lzw", "gif", "bmp", "avif", "jpeg-exif")]
    expected = [decode(data).tobytes() for data in good]
    before = list(warnings.filters)
    barrier = threading.Barrier(8)

    def work(_: int) -> list[bytes]:
        barrier.wait()
        return [decode(data).tobytes() for _ in range(5) for data in good]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for result in pool.map(work, range(8)):
            assert result == expected * 5
    assert list(warnings.filters) == before


def test_reasons_do_not_change_from_run_to_run() -> None:
    for data in (corpus()["jpeg"][:3] + bytes(100), corpus()["tiff"][:8] + bytes(60), corpus()["webp"][:40]):
        reasons = set()
        for _ in range(3):
            with pytest.raises(RejectedImageError) as caught:
                decode(bytes(bytearray(data)))
            reasons.add(caught.value.reason)
        assert len(reasons) == 1
        assert "0x" not in reasons.pop()


def test_the_picture_does_not_hold_on_to_the_file() -> None:
    picture = decode(corpus()["png-text"])
    assert type(picture) is Image.Image
    assert np.asarray(picture).shape == (37, 53, 3)
