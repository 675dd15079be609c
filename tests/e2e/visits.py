"""A running app and a visitor's tab in a real browser."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from functools import cached_property
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect

from cbm.study.study import Study
from cbm.ui.frame import resources

ROOT = Path(__file__).resolve().parents[2]
_BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
TIMEOUT = 90_000
"""Milliseconds; generous, because the tests state what is seen and not how fast."""
# On a page of its own address Streamlit looks for its server below that address first, and finds it above.
_EXPECTED_MISS = re.compile(r"/[a-z_]+/_stcore/(health|host-config)$")
_SETTLED = """
    document.querySelector('[data-testid="stApp"][data-test-script-state="notRunning"]') !== null &&
    document.querySelectorAll('[data-stale="true"]').length === 0
"""


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Server:
    """`streamlit run app.py`, or `cbm app`, on a free port."""

    def __init__(self, workspace: Path, log: Path, *, by_command: bool = False) -> None:
        self.workspace = workspace
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        streamlit = ["streamlit", "run", "app.py", f"--server.port={self.port}", "--server.address=127.0.0.1"]
        command = ["cbm", "app", f"--port={self.port}", "--host=127.0.0.1", "--no-open"]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *(command if by_command else streamlit)],
                cwd=ROOT,
                env={**os.environ, "CBM_WORKSPACE": str(workspace), "OMP_NUM_THREADS": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._log = log

    @cached_property
    def study(self) -> Study:
        """What the server shows, computed here."""
        root = str(self.workspace)
        return resources.study(root, resources.catalogue(root).default)

    def wait(self) -> None:
        for _ in range(600):
            if self._process.poll() is not None:
                raise RuntimeError(f"the app's server ended: {self._log.read_text()}")
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise RuntimeError("the app's server did not answer")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)


class Visit:
    """One visitor's tab, with everything that went wrong in it.

    Args:
        profile: a browser profile that other tabs use too, so that the app's scripts are loaded once; a fresh one when absent.
    """

    def __init__(self, browser: Browser, url: str, width: int = 1280, profile: BrowserContext | None = None) -> None:
        used = profile or new_profile(browser)
        self._own = used if profile is None else None
        expect.set_options(timeout=TIMEOUT)
        self._url = url
        self.page: Page = used.new_page()
        self.page.set_viewport_size({"width": width, "height": 900})
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        self.page.on("console", self._on_console)
        self.page.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not _EXPECTED_MISS.search(message.location.get("url", "")):
            self.problems.append(f"console: {message.text} {message.location}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self._url, self._url.replace("http", "ws"), "data:", "blob:")):
            self.problems.append(f"request to another machine: {request.url}")

    def open(self, address: str = "/") -> Page:
        self.page.goto(self._url + address, wait_until="domcontentloaded")
        self.settle()
        return self.page

    def settle(self) -> None:
        """Wait until the script has run and nothing on the page is from an earlier run."""
        self.page.wait_for_timeout(250)
        # Polled by a timer: the default waits for animation frames, which a window that lies behind another's does not get.
        self.page.wait_for_function(_SETTLED, polling=100)

    def close(self) -> None:
        self.page.close()
        if self._own is not None:
            self._own.close()


def new_profile(browser: Browser) -> BrowserContext:
    """Without cookies, stored values or anything cached."""
    profile = browser.new_context(service_workers="block", reduced_motion="reduce")
    profile.set_default_timeout(TIMEOUT)
    return profile
