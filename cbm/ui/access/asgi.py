"""The app's server: how `cbm app` starts it, and the headers that strangers' browsers see where the app is hosted or a demo.

`streamlit run app.py` has no option for headers, so Streamlit is given this file instead. They allow what Streamlit and the components here
need and nothing else: scripts from this server and from blobs (how components bring theirs), pictures as data, and connections to this
server alone.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
from starlette.middleware import Middleware

from cbm.core.paths import APP, APP_FOR_STRANGERS
from cbm.jobs.attached import crew
from cbm.ui.access.modes import Mode, mode, server_options
from cbm.workspace.workspace import Workspace

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


FRAMES = "CBM_FRAME_ANCESTORS"
"""Sites that may show the app in a frame of theirs, as Content-Security-Policy writes them; none but the app's own when absent."""


def launch(host: str, port: int, open_browser: bool) -> None:
    """Serve until stopped. On one's own machine a worker runs from the start; visitors of a hosted app get one when they have work.

    Raises:
        InvalidInputError: `CBM_MODE` is none of the modes.
    """
    options = ["--server.address", host, "--server.port", str(port), *server_options()]
    headless = not (open_browser and host == "localhost" and _has_display())
    # Streamlit reads .streamlit/config.toml, where the theme is, from the folder it is started in.
    os.chdir(APP.parent)
    if mode() is Mode.LOCAL:
        crew().ensure(Workspace().root, stay=True)
    from streamlit.web.cli import main as streamlit

    # In this process, so that the worker belongs to the server and not to a parent that could be killed without it.
    script = APP if mode() is Mode.LOCAL else APP_FOR_STRANGERS
    streamlit(["run", str(script), *options, "--server.headless", str(headless).lower()], prog_name="streamlit")


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def inline_scripts() -> list[str]:
    """Digests of the scripts that are in Streamlit's own page, so that these are allowed and no others."""
    page = (Path(st.__file__).parent / "static" / "index.html").read_text()
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    return [f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts]


def headers() -> dict[str, str]:
    """What every answer of the server says to the browser. The URL is the key to a workspace, so it is told to nobody."""
    policy = {
        "default-src": "'self'",
        "script-src": " ".join(["'self'", "blob:", *inline_scripts()]),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self' ws: wss:",
        "worker-src": "'self' blob:",
        "object-src": "'none'",
        "base-uri": "'self'",
        "frame-ancestors": os.environ.get(FRAMES) or "'self'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }


class WithHeaders:
    """Adds the headers to every answer that does not have them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._headers = {name.lower().encode(): value.encode() for name, value in headers().items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message.get("headers", [])}
                added = [(name, value) for name, value in self._headers.items() if name not in present]
                message = {**message, "headers": [*message.get("headers", []), *added]}
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


app = st.App(APP, middleware=[Middleware(WithHeaders)])
