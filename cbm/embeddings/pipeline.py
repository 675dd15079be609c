"""Reading, hashing, decoding and scaling beside the model: pictures flow through bounded queues, so memory stays flat."""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from cbm.core.errors import RejectedImageError
from cbm.images.decode import decode
from cbm.images.records import ImageRecord, ImageSource, Rejected

if TYPE_CHECKING:
    from PIL.Image import Image

_MOST_WORKERS = 16
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Prepared:
    """One picture on its way to the model."""

    record: ImageRecord
    digest: bytes
    """SHA-256 of the file's bytes."""
    pixels: UInt8[np.ndarray, "3 height width"] | None
    """What `Backbone.resize` makes of the picture; None where the store holds the embedding already."""


def worker_count() -> int:
    """Threads that decode: half the cores, since on a CPU the model wants all of them and decoding takes a tenth of the model's time."""
    return max(1, min(_MOST_WORKERS, (os.cpu_count() or 2) // 2))


def prepare(
    record: ImageRecord, payload: bytes, resize: Callable[[Image], np.ndarray], target_size: int, known: Callable[[bytes], bool]
) -> Prepared | Rejected:
    """Hash one file and, unless its embedding is `known`, decode and scale it."""
    digest = hashlib.sha256(payload).digest()
    if known(digest):
        return Prepared(record, digest, None)
    try:
        return Prepared(record, digest, resize(decode(payload, target_size=target_size)))
    except RejectedImageError as error:
        return Rejected.of(record, str(error))


def prepared_items(
    source: ImageSource,
    resize: Callable[[Image], np.ndarray],
    target_size: int,
    known: Callable[[bytes], bool],
    ahead: int,
) -> Generator[Prepared | Rejected, None, None]:
    """Every item of `source` in its order, prepared by threads that run at most `ahead` items in front of the consumer.

    One thread reads, since a source may be an archive that cannot be shared; the others decode. Closing the iterator stops them.
    """
    futures: queue.Queue[Future[Prepared | Rejected] | None] = queue.Queue(maxsize=ahead)
    stopped = threading.Event()

    def put(future: Future[Prepared | Rejected] | None) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                futures.put(future, timeout=_POLL_SECONDS)
                return

    def read() -> None:
        try:
            for record, payload in source:
                if stopped.is_set():
                    return
                if isinstance(payload, Rejected):
                    done: Future[Prepared | Rejected] = Future()
                    done.set_result(payload)
                    put(done)
                else:
                    put(pool.submit(prepare, record, payload, resize, target_size, known))
        finally:
            put(None)

    pool = ThreadPoolExecutor(worker_count(), thread_name_prefix="cbm-prepare")
    reader = ThreadPoolExecutor(1, thread_name_prefix="cbm-read")
    reading = reader.submit(read)
    try:
        while (future := futures.get()) is not None:
            yield future.result()
        reading.result()  # raises what reading the source raised
    finally:
        stopped.set()
        # The reader first: it must not submit to a pool that is closed.
        reader.shutdown(wait=True)
        pool.shutdown(wait=True, cancel_futures=True)
