"""How long encoding takes: from an earlier run of the same backbone on this machine, or measured on a few pictures."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cbm.core.errors import CbmError
from cbm.images.pictures import read_picture
from cbm.jobs import Job

if TYPE_CHECKING:
    from PIL.Image import Image

    from cbm.backbones.backbone import Backbone

FEWEST = 32
"""Encoded images of a run that says something about speed; shorter ones are mostly the loading of weights."""


@dataclass(frozen=True)
class Pace:
    """Images per second, and where the number comes from."""

    images_per_second: float
    source: str

    def duration(self, count: int) -> str:
        """How long `count` images take, in words."""
        return in_words(count / self.images_per_second)


def in_words(seconds: float) -> str:
    """A duration as people say it: "about 40 seconds", "about 3 hours"."""
    for unit, length, until in (("second", 1, 90), ("minute", 60, 90 * 60), ("hour", 3600, 48 * 3600)):
        if seconds < until:
            number = max(1, round(seconds / length))
            return f"about {number} {unit}{'' if number == 1 else 's'}"
    return f"about {round(seconds / 86400)} days"


def earlier(jobs: Sequence[Job], architecture: str, pretrained: str | None) -> Pace | None:
    """The pace of the newest run with this backbone, newest job first; None where none encoded enough."""
    for job in jobs:
        if job.kind != "embed" or job.state != "done" or job.result is None:
            continue
        parameters = job.parameters
        same = parameters.get("backbone", "demo") == architecture and (parameters.get("pretrained") or None) == pretrained
        rate = float(job.result.get("images_per_second") or 0.0)
        encoded = int(job.result.get("count", 0)) - int(job.result.get("reused", 0))
        if same and rate > 0 and encoded >= FEWEST:
            return Pace(rate, f"{rate:,.0f} images per second in an earlier run with this backbone")
    return None


def measure(backbone: Backbone, uris: Sequence[str], lock: AbstractContextManager[object] | None = None) -> Pace | None:
    """Encode a few pictures twice, the second time with a watch; None where none of them can be read.

    Args:
        lock: held while the backbone computes, where others use it too.
    """
    pictures: list[Image] = []
    started = time.perf_counter()
    for uri in uris:
        try:
            pictures.append(read_picture(uri, size=2 * backbone.image_size))
        except (CbmError, OSError):
            continue
    reading = time.perf_counter() - started
    if not pictures:
        return None
    with lock or contextlib.nullcontext():
        backbone.encode_images(pictures[:1])
        started = time.perf_counter()
        backbone.encode_images(pictures)
        encoding = time.perf_counter() - started
    # Reading runs beside the model; whichever is slower sets the pace.
    rate = len(pictures) / max(reading, encoding, 1e-6)
    return Pace(rate, f"{rate:,.0f} images per second, measured on {len(pictures)} of them just now")
