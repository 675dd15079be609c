"""The real app in a real browser, on a planted workspace; any page error, console error or request to another machine fails the test."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "app"))
from visits import ARGUMENTS, CHROMIUM, Server, Visit, new_profile


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.e2e)
            # The app's own warnings come up in its other tests; what the browser's driver leaves open is not ours.
            item.add_marker(pytest.mark.filterwarnings("default"))
            if CHROMIUM is None and not os.environ.get("CBM_REQUIRE_BROWSER"):
                item.add_marker(pytest.mark.skip(reason="no Chromium on this machine; tests/e2e/install_browser.sh installs it"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    import planted

    folder = tmp_path_factory.mktemp("app")
    planted.build(folder / "workspace")
    running = Server(folder / "workspace", folder / "server.log")
    try:
        running.wait()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """What the tabs of all tests share that need no stranger: the cache of the app's scripts."""
    shared = new_profile(browser)
    yield shared
    shared.close()


@pytest.fixture
def visit(browser: Browser, server: Server, profile: BrowserContext) -> Iterator[Visit]:
    visitor = Visit(browser, server.url, profile=profile)
    yield visitor
    visitor.close()
    assert not visitor.problems, visitor.problems
