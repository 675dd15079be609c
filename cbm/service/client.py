"""The encoder service from the other side: the same methods as a local `Backbone`."""

from __future__ import annotations

import http.client
import io
import itertools
import json
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

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
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInputError(f"{url!r} is not the URL of an encoder; it looks like http://127.0.0.1:8700.")
        self.url = url.rstrip("/")
        self._parts = parts
        self._timeout = timeout
        self._patience = patience

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
            boundary = secrets.token_hex(16)
            kind = f"multipart/form-data; boundary={boundary}"
            encoded = unpack(self._ask("POST", "/encode/images", _form(batch, boundary), kind))
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
            request = json.dumps({"texts": list(texts[start : start + size]), "templates": list(templates)})
            parts.append(unpack(self._ask("POST", "/encode/texts", request.encode(), "application/json")).embeddings)
        return np.concatenate(parts)

    def _ask(self, method: str, path: str, body: bytes | None = None, kind: str | None = None) -> bytes:
        """The body of a good answer; asks again while the service is busy."""
        end = time.monotonic() + self._patience
        while True:
            status, answer, wait = self._request(method, path, body, kind)
            if status == http.client.OK:
                return answer
            if status not in BUSY or time.monotonic() + wait > end:
                raise ServiceError(f"The encoder at {self.url} refused {path} ({status}): {_reason(answer)}")
            time.sleep(wait)

    def _request(self, method: str, path: str, body: bytes | None, kind: str | None) -> tuple[int, bytes, float]:
        secure = self._parts.scheme == "https"
        connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = connect(str(self._parts.hostname), self._parts.port, timeout=self._timeout)
        headers = {"Accept": ARRAYS, **({"Content-Type": kind} if kind else {})}
        try:
            connection.request(method, self._parts.path.rstrip("/") + path, body, headers)
            response = connection.getresponse()
            return response.status, response.read(), _seconds(response.headers.get("Retry-After"))
        except (OSError, http.client.HTTPException) as error:
            raise NotFoundError(f"No encoder answers at {self.url} ({error}). Start one with `cbm serve`, or correct the URL.") from error
        finally:
            connection.close()


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


def _form(files: Sequence[bytes], boundary: str) -> bytes:
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="images"; filename="{{}}"\r\nContent-Type: {ARRAYS}\r\n\r\n'
    parts = ((head.format(index).encode(), file, b"\r\n") for index, file in enumerate(files))
    return b"".join(itertools.chain(*parts, (f"--{boundary}--\r\n".encode(),)))


def _reason(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["error"])
    except (ValueError, KeyError, TypeError):
        return answer[:200].decode(errors="replace")


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdigit() else 1.0
