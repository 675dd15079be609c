"""No damaged file crashes the decoder, hangs it, or passes without being either a picture or a reason.

`CBM_FUZZ_FILES=100000 pytest tests/unit/test_decode_fuzz.py` tries more files than the 3,000 of an ordinary run; `CBM_FUZZ_SEED` others.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np
import pytest
from image_corpus import corpus, damaged_files
from PIL import Image

from cbm.images.decode import MAX_PIXELS, RejectedImageError, decode

FILES = int(os.environ.get("CBM_FUZZ_FILES", "3000"))
SEED = int(os.environ.get("CBM_FUZZ_SEED", "20"))
SECONDS_PER_FILE = 60


class HangError(BaseException):
    """Not an Exception, so that no handler takes it for a bad picture."""


@contextmanager
def at_most(seconds: int, what: str) -> Iterator[None]:
    def stop(_: int, __: FrameType | None) -> None:
        raise HangError(what)

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def picture_or_reason(data: bytes) -> Image.Image | str:
    try:
        return decode(data, target_size=16 if len(data) % 3 == 0 else None)
    except RejectedImageError as error:
        return error.reason


@pytest.mark.timeout(max(300, FILES // 10))
def test_every_damaged_file_is_a_picture_or_a_reason() -> None:
    pictures = rejected = 0
    kinds = set()
    for name, data in damaged_files(FILES, SEED):
        kinds.add(name.split("#")[0])
        with at_most(SECONDS_PER_FILE, name):
            picture = picture_or_reason(data)
        if isinstance(picture, str):
            assert picture.strip(), name
            assert "object at 0x" not in picture, name
            rejected += 1
        else:
            assert picture.mode == "RGB", name
            assert 0 < picture.width * picture.height <= MAX_PIXELS, name
            assert np.asarray(picture).shape == (picture.height, picture.width, 3), name
            pictures += 1
    assert pictures + rejected == FILES >= 500
    # A fuzz that only ever meets the first check tests nothing.
    assert pictures > FILES // 50
    assert rejected > FILES // 3
    assert kinds == set(corpus())


def test_the_alarm_of_this_test_rings() -> None:
    with pytest.raises(HangError, match="slow"), at_most(1, "slow"):
        time.sleep(5)
