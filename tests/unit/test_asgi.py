"""Headers for strangers' browsers."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cbm.ui.access import asgi


def answer(kind: str = "http", given: list[tuple[bytes, bytes]] | None = None) -> dict[bytes, list[bytes]]:
    """The headers with which an app that sends `given` answers through the middleware."""
    sent: list[dict[str, Any]] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": f"{kind}.response.start", "status": 200, "headers": given or []})

    async def send(message: Any) -> None:
        sent.append(message)

    # In a thread of its own: a browser that other tests drive keeps an event loop running in this one.
    with ThreadPoolExecutor(1) as threads:
        threads.submit(asyncio.run, asgi.WithHeaders(inner)({"type": kind}, None, send)).result()  # type: ignore[arg-type]
    found: dict[bytes, list[bytes]] = {}
    for name, value in sent[0]["headers"]:
        found.setdefault(name.lower(), []).append(value)
    return found


def test_every_answer_has_the_headers() -> None:
    found = answer()
    (policy,) = found[b"content-security-policy"]
    assert b"default-src 'self'" in policy
    assert b"unsafe-eval" not in policy
    assert b"script-src 'self' blob: 'sha256-" in policy
    assert found[b"x-content-type-options"] == [b"nosniff"]
    assert found[b"referrer-policy"] == [b"no-referrer"]


def test_header_that_is_there_is_not_sent_twice() -> None:
    assert answer(given=[(b"X-Content-Type-Options", b"nosniff")])[b"x-content-type-options"] == [b"nosniff"]


def test_web_sockets_are_left_alone() -> None:
    assert answer("websocket") == {}


def test_site_that_frames_the_app_is_named_by_whoever_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "frame-ancestors 'self'" in asgi.headers()["Content-Security-Policy"]
    monkeypatch.setenv("CBM_FRAME_ANCESTORS", "https://example.org")
    assert "frame-ancestors https://example.org" in asgi.headers()["Content-Security-Policy"]
