"""The encoder service from the other side: the same methods as a local `Backbone`."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import httpx2
import numpy as np
from jaxtyping import Float32

from cbm.backbones.reference import BackboneReference
from cbm.core.errors import CbmError, InvalidInputError, NotFoundError, RejectedImageError
from cbm.service.wire import ARRAYS, EncodedImages, Limits, RejectedItem, unpack

if TYPE_CHECKING:
    from PIL.Image import Image

BUSY = (429, 503)
FORM_OVERHEAD = 256
"""Bytes that a form adds to each file, at most."""


class ServiceError(CbmError):
    """The encoder service refused a request, or could not do it."""


class EncoderClient:
    """A backbone that runs elsewhere.

    Args:
        url: where `cbm serve` listens, such as `http://127.0.0.1:8700`.
        timeout: seconds to wait for an answer.
        patience: seconds to go on asking while the service is busy.
    """

    def __init__(self, url: str, *, timeout: float = 120.0, patience: float = 60.0) -> None:
        try:
            parts = httpx2.URL(url)
        except httpx2.InvalidURL:
            parts = httpx2.URL("")
        if parts.scheme not in ("http", "https") or not parts.host:
            raise InvalidInputError(f"{url!r} is not the URL of an encoder; it looks like http://127.0.0.1:8700.")
        self.url = url.rstrip("/")
        self._connection = httpx2.Client(base_url=self.url, timeout=timeout, headers={"Accept": ARRAYS}, trust_env=False)
        self._patience = patience

    def close(self) -> None:
        """Let go of the connections to the service, which are kept for the next request until then."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @cached_property
    def info(self) -> dict[str, Any]:
        """What the service says of itself."""
        try:
            return dict(json.loads(self._ask("GET", "/info")))
        except ValueError as error:
            raise ServiceError(f"{self.url} does not answer like an encoder; is it the URL of `cbm serve`?") from error

    @property
    def reference(self) -> BackboneReference:
        return BackboneReference.from_dict(self.info["backbone"])

    @property
    def architecture(self) -> str:
        return self.reference.architecture

    @property
    def pretrained(self) -> str:
        return self.reference.pretrained

    @property
    def fingerprint(self) -> str:
        return self.reference.fingerprint

    @property
    def dim(self) -> int:
        return int(self.info["dim"])

    @property
    def image_size(self) -> int:
        return int(self.info["image_size"])

    @property
    def limits(self) -> Limits:
        return Limits(**self.info["limits"])

    def healthy(self) -> bool:
        """Whether the service answers."""
        try:
            return bool(json.loads(self._ask("GET", "/health"))["status"] == "ok")
        except (CbmError, ValueError, KeyError, TypeError):
            return False

    def encode_images(self, images: Iterable[Image], batch_size: int = 64) -> Float32[np.ndarray, "images d"]:
        """Raw (not normalised) image embeddings of RGB pictures, as `Backbone.encode_images` gives them.

        Raises:
            RejectedImageError: the service cannot use one of the pictures; nothing is encoded in part.
        """
        encoded = self.encode_files((_png(image) for image in images), batch_size)
        if encoded.rejected:
            first = encoded.rejected[0]
            raise RejectedImageError(f"picture {first.index} cannot be encoded: {first.reason}")
        return encoded.embeddings

    def encode_files(self, files: Iterable[bytes], batch_size: int = 64) -> EncodedImages:
        """Embeddings of whole image files; bad files are reported, and do not stop the others."""
        limits = self.limits
        most = limits.body_bytes - 2 * FORM_OVERHEAD
        parts, rejected, done = [np.zeros((0, self.dim), np.float32)], [], 0
        for batch in _batches(files, min(batch_size, limits.images), most):
            # A file that no request can hold goes as an empty one, which keeps the rows in order.
            sizes = [len(file) for file in batch]
            batch = [file if len(file) <= most else b"" for file in batch]
            form = [("images", (str(index), file, ARRAYS)) for index, file in enumerate(batch)]
            encoded = unpack(self._ask("POST", "/encode/images", files=form))
            parts.append(encoded.embeddings)
            for item in encoded.rejected:
                size = sizes[item.index]
                reason = item.reason if size <= most else f"it has {size:,} bytes, and a request at most {limits.body_bytes:,}"
                rejected.append(RejectedItem(done + item.index, reason))
            done += len(batch)
        return EncodedImages(np.concatenate(parts), tuple(rejected))

    def encode_texts(
        self, texts: Sequence[str], templates: Sequence[str] = ("{}",), batch_size: int = 64
    ) -> Float32[np.ndarray, "texts d"]:
        """L2-normalised text embeddings, averaged over prompt templates, as `Backbone.encode_texts` gives them."""
        if isinstance(texts, str):
            raise InvalidInputError("encode_texts takes a list of texts, not one string.")
        size = max(1, min(batch_size, self.limits.prompts // max(1, len(templates))))
        parts = [np.zeros((0, self.dim), np.float32)]
        for start in range(0, max(1, len(texts)), size):
            request = {"texts": list(texts[start : start + size]), "templates": list(templates)}
            parts.append(unpack(self._ask("POST", "/encode/texts", json=request)).embeddings)
        return np.concatenate(parts)

    def _ask(self, method: str, path: str, **content: Any) -> bytes:
        """The body of a good answer; asks again while the service is busy."""
        end = time.monotonic() + self._patience
        while True:
            answer = self._request(method, path, **content)
            if answer.is_success:
                return answer.content
            wait = _seconds(answer.headers.get("Retry-After"))
            if answer.status_code not in BUSY or time.monotonic() + wait > end:
                raise ServiceError(f"The encoder at {self.url} refused {path} ({answer.status_code}): {_reason(answer.content)}")
            time.sleep(wait)

    def _request(self, method: str, path: str, **content: Any) -> httpx2.Response:
        try:
            return self._connection.request(method, path, **content)
        except httpx2.HTTPError as error:
            raise NotFoundError(f"No encoder answers at {self.url} ({error}). Start one with `cbm serve`, or correct the URL.") from error


def _png(image: Image) -> bytes:
    """The picture without loss; hardly compressed, because the way is short."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _batches(files: Iterable[bytes], most: int, most_bytes: int) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for file in files:
        cost = len(file) + FORM_OVERHEAD
        if batch and (len(batch) == most or size + cost > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += cost
    if batch:
        yield batch


def _reason(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["error"])
    except (ValueError, KeyError, TypeError):
        return answer[:200].decode(errors="replace")


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdigit() else 1.0
