"""The encoder behind HTTP: a list of pictures or texts in, a matrix out.

Plain Starlette on uvicorn, which Streamlit brings along. One thread owns the model, so requests do not compete for it; pictures are
decoded beside it, in as many threads as there are processors, and only their resized pixels are kept. Batches are made by the one who
asks: a request is a list.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import dataclasses
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float32
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cbm.backbones.reference import BackboneReference
from cbm.core.errors import CbmError, InvalidInputError, RejectedImageError
from cbm.core.version import __version__
from cbm.images.decode import decode
from cbm.service.wire import ARRAYS, REFERENCE_HEADER, EncodedImages, Limits, RejectedItem, check_prompts, pack

MOST_PARTS = 10_000
"""Parts of a form that are parsed at all; the limit on images is checked, and told, after that."""


class Encoder(Protocol):
    """What the service needs of a `Backbone`."""

    @property
    def reference(self) -> BackboneReference: ...
    @property
    def dim(self) -> int: ...
    @property
    def image_size(self) -> int: ...
    def resize(self, image: Any) -> np.ndarray: ...
    def encode_images(self, images: Any, batch_size: int = 16) -> Float32[np.ndarray, "images d"]: ...
    def encode_texts(self, texts: Sequence[str], templates: Sequence[str] = ("{}",)) -> Float32[np.ndarray, "texts d"]: ...


class Service:
    """The endpoints over one encoder."""

    def __init__(self, encoder: Encoder, limits: Limits) -> None:
        self._encoder = encoder
        self._limits = limits
        self._model = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._decoders = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="decode")
        self._under_way = 0

    def close(self) -> None:
        for pool in (self._model, self._decoders):
            pool.shutdown(wait=False, cancel_futures=True)

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", "under_way": self._under_way})

    async def info(self, request: Request) -> Response:
        return JSONResponse(
            {
                "backbone": self._encoder.reference.to_dict(),
                "dim": self._encoder.dim,
                "image_size": self._encoder.image_size,
                "limits": dataclasses.asdict(self._limits),
                "version": __version__,
            }
        )

    async def images(self, request: Request) -> Response:
        async with self._admitted():
            payloads = await self._payloads(request)
            pixels = await asyncio.gather(*(self._in(self._decoders, self._prepare, payload) for payload in payloads))
            encoded = await self._compute(self._encode_images, pixels)
            return self._answer(request, encoded)

    async def texts(self, request: Request) -> Response:
        async with self._admitted():
            record = await _json(request)
            texts, templates = record.get("texts"), record.get("templates", ["{}"])
            check_prompts(texts, templates, self._limits)  # type: ignore[arg-type]
            prompts = len(texts) * len(templates)  # type: ignore[arg-type]
            if prompts > self._limits.prompts:
                raise HTTPException(413, f"{prompts:,} prompts (texts × templates) in one request; {self._limits.prompts:,} are allowed.")
            vectors = await self._compute(self._encoder.encode_texts, texts, templates)
            return self._answer(request, EncodedImages(vectors))

    async def _payloads(self, request: Request) -> list[bytes | RejectedItem]:
        """The files of a form, or the base64 texts of a JSON list."""
        payloads: list[bytes | RejectedItem]
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            async with request.form(max_files=MOST_PARTS, max_fields=16) as form:
                files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
                self._check_count(len(files))
                payloads = [await file.read() for file in files]
        else:
            texts = (await _json(request)).get("images")
            if not isinstance(texts, list):
                raise InvalidInputError('Send files as multipart/form-data, or JSON {"images": [base64, …]}.')
            self._check_count(len(texts))
            payloads = [_from_base64(index, text) for index, text in enumerate(texts)]
        return payloads

    def _check_count(self, count: int) -> None:
        if count > self._limits.images:
            raise HTTPException(413, f"{count:,} images in one request; {self._limits.images:,} are allowed.")

    def _prepare(self, payload: bytes | RejectedItem) -> np.ndarray | str:
        """Pixels as the image tower sees them, or the reason why there are none."""
        if isinstance(payload, RejectedItem):
            return payload.reason
        try:
            return self._encoder.resize(decode(payload, target_size=self._encoder.image_size))
        except RejectedImageError as error:
            return error.reason

    def _encode_images(self, pixels: Sequence[np.ndarray | str]) -> EncodedImages:
        used = [index for index, item in enumerate(pixels) if not isinstance(item, str)]
        embeddings = np.full((len(pixels), self._encoder.dim), np.nan, np.float32)
        if used:
            batch = torch.from_numpy(np.stack([pixels[index] for index in used]))
            embeddings[used] = self._encoder.encode_images(batch)
        return EncodedImages(embeddings, tuple(RejectedItem(index, item) for index, item in enumerate(pixels) if isinstance(item, str)))

    def _answer(self, request: Request, encoded: EncodedImages) -> Response:
        headers = {REFERENCE_HEADER: self._encoder.reference.fingerprint}
        if ARRAYS in request.headers.get("accept", ""):
            return Response(pack(encoded), media_type=ARRAYS, headers=headers)
        rejected = {item.index for item in encoded.rejected}
        rows = [None if index in rejected else row for index, row in enumerate(encoded.embeddings.tolist())]
        return JSONResponse({"embeddings": rows, "rejected": [dataclasses.asdict(item) for item in encoded.rejected]}, headers=headers)

    @asynccontextmanager
    async def _admitted(self) -> AsyncIterator[None]:
        """A place among the requests under way; each may hold a whole body in memory, so their number is bounded."""
        if self._under_way >= self._limits.requests:
            raise HTTPException(429, "The encoder is busy; retry in a second.", headers={"Retry-After": "1"})
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def _compute(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await self._in(self._model, function, *arguments)
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise HTTPException(503, "The encoder ran out of memory; send fewer at once.", headers={"Retry-After": "1"}) from error

    async def _in(self, pool: ThreadPoolExecutor, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)


def make_app(encoder: Encoder, limits: Limits | None = None) -> ASGIApp:
    """The service over `encoder` as an ASGI application."""
    limits = limits or Limits()
    service = Service(encoder, limits)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        service.close()

    app = Starlette(
        routes=[
            Route("/health", service.health),
            Route("/info", service.info),
            Route("/encode/images", service.images, methods=["POST"]),
            Route("/encode/texts", service.texts, methods=["POST"]),
        ],
        exception_handlers={HTTPException: _refuse, CbmError: _refuse_input},
        lifespan=lifespan,
    )
    return _BodyLimit(app, limits.body_bytes)


def serve(encoder: Encoder, listening: socket.socket, limits: Limits | None = None) -> None:
    """Answer on a listening socket until SIGTERM or SIGINT."""
    import uvicorn

    config = uvicorn.Config(make_app(encoder, limits), log_level="warning", access_log=False, timeout_graceful_shutdown=5)
    # Uvicorn has stopped in order and passes the signal on; being stopped is how this always ends.
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any that is free.

    Raises:
        InvalidInputError: the port is taken, or the host is not this machine's.
    """
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise InvalidInputError(f"Cannot listen on {host}:{port} ({error}); choose another --port or --host.") from error
    # asyncio does this only for sockets made with an explicit protocol. Without it, the body of an answer on a connection that is kept
    # waits 40 ms for the client to acknowledge the head.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


class _BodyLimit:
    """Refuses bodies above a size, told beforehand or counted as they come."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if told.isdigit() and int(told) > self._most:
            await self._refusal(scope, receive, send)
            return
        await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._most:
                raise HTTPException(413, self._text)
            return message

        return counted

    @property
    def _text(self) -> str:
        return f"The request holds more than {self._most:,} bytes; send fewer or smaller images at once."

    @property
    def _refusal(self) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
        return JSONResponse({"error": self._text}, 413, headers={"Connection": "close"})


async def _refuse(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _refuse_input(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 422)


async def _json(request: Request) -> dict[str, Any]:
    try:
        record = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"The request's body is not JSON ({error}).") from error
    if not isinstance(record, dict):
        raise InvalidInputError("The request's body must be one JSON object.")
    return record


def _from_base64(index: int, text: Any) -> bytes | RejectedItem:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return RejectedItem(index, "it is not base64 text")
