"""Takes the pictures of `docs/screenshots` from the running app: every page, light and dark, wide and on a telephone; and the tutorial's.

    cbm demo && python docs/make_screenshots.py

Needs Chromium and the development packages. Works on a copy of the workspace of `CBM_WORKSPACE`, or of the checkout's own.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from cbm.editing.recipe import Recipe
from cbm.study.study import Study
from cbm.ui.access import modes
from cbm.ui.frame import resources
from cbm.ui.frame.state import short

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "screenshots"
WIDE, TELEPHONE = 1280, 390
TALLEST = 2400
QUALITY = 86
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
TIMEOUT = 90_000


@dataclass(frozen=True)
class Shown:
    """What there is to take pictures of."""

    url: str
    study: Study
    shortcut: str
    """Short id of the demo's model with the planted shortcut."""
    edited: str
    """Short id of the same model after its shortcut was removed."""


@contextmanager
def running_app(workspace: Path) -> Iterator[str]:
    """The address of the app, served for as long as the context lasts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={port}", "--server.address=127.0.0.1"]
    environment = {**os.environ, "CBM_WORKSPACE": str(workspace)}
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2):
                    break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def settle(page: Page) -> None:
    """Wait until the script has run, nothing is a placeholder any more, and every picture is there."""
    page.wait_for_timeout(800)
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_function("document.querySelectorAll('[data-testid=stSkeleton], [data-stale=true]').length === 0", polling=200)
    page.wait_for_function("[...document.images].every(image => image.complete)", polling=200)
    page.wait_for_timeout(1200)


def save(picture: bytes, name: str) -> None:
    with Image.open(BytesIO(picture)) as opened:
        opened.convert("RGB").save(FOLDER / f"{name}.webp", quality=QUALITY, method=6)
    print(f"docs/screenshots/{name}.webp", flush=True)


def shoot(page: Page, name: str, width: int = WIDE, tallest: int = TALLEST) -> None:
    """The whole page, up to `tallest` pixels."""
    settle(page)
    page.evaluate("document.querySelector('[data-testid=stMain]').scrollTo(0, 0)")
    height = page.evaluate("Math.max(...[...document.querySelectorAll('[data-testid=stMain]')].map(part => part.scrollHeight))")
    page.set_viewport_size({"width": width, "height": min(max(800, height), tallest)})
    page.mouse.move(0, 0)
    settle(page)
    save(page.screenshot(), name)
    page.set_viewport_size({"width": width, "height": 800})


def part(place: Locator, name: str) -> None:
    """One part of a page."""
    settle(place.page)
    place.scroll_into_view_if_needed()
    place.page.mouse.move(0, 0)
    settle(place.page)
    save(place.screenshot(), name)


def wrong_image(study: Study) -> str:
    return quote(study.item(study.rows(wrong_only=True)[0]), safe="")


def every_page(browser: Browser, shown: Shown, scheme: str, width: int, suffix: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    context.set_default_timeout(TIMEOUT)
    page = context.new_page()
    strongest = max(shown.study.concepts(Recipe()), key=lambda tile: tile.predictiveness * tile.named)
    image = wrong_image(shown.study)
    addresses = {
        "start": ("/", TALLEST),
        "data": ("/data", 1500),
        "data-add": ("/data?data_view=Add+images", 1500),
        "discover": ("/discover", TALLEST),
        "classify": ("/classify", TALLEST),
        "concepts": ("/concepts", 1300),
        "concepts-map": ("/concepts?concepts_view=Map", 1300),
        "concept": (f"/concept?concept={strongest.index}", TALLEST),
        "image": (f"/image?image={image}", TALLEST),
        "intervene": (f"/intervene?image={image}", TALLEST),
        "compare": (f"/compare?model={shown.shortcut}&other={shown.edited}", TALLEST),
        "export": ("/export", 1600),
        "jobs": ("/jobs", 1300),
    }
    for name, (address, tallest) in addresses.items():
        page.goto(shown.url + address)
        shoot(page, f"{name}-{suffix}", width, tallest)
    context.close()


def ablate(page: Page, concept: str) -> None:
    """Choose a wrong prediction in which a concept fires, and pull its slider to zero."""
    slider = page.get_by_role("slider", name=re.compile(rf"^Strength of {re.escape(concept)}( #\d+)?$")).first
    slider.scroll_into_view_if_needed()
    slider.focus()
    slider.press("0")


def tutorial(browser: Browser, shown: Shown) -> None:
    """The pictures of docs/tutorial.md: a planted shortcut is seen, understood, removed, and the model taken along."""
    context = browser.new_context(viewport={"width": WIDE, "height": 900}, color_scheme="light")
    context.set_default_timeout(TIMEOUT)
    page = context.new_page()
    page.goto(shown.url)
    settle(page)
    part(page.locator(".st-key-guides"), "tutorial-1-scenarios")
    page.goto(f"{shown.url}/classify?model={shown.shortcut}")
    shoot(page, "tutorial-2-mistakes", tallest=1150)
    page.goto(f"{shown.url}/intervene?model={shown.shortcut}")
    for step, (background, truth, count) in enumerate((("sea", "heart", 1), ("desert", "circle", 2)), start=3):
        settle(page)
        page.get_by_role("combobox", name=re.compile("True class")).click()
        page.get_by_role("option", name=truth, exact=True).click()
        settle(page)
        open_image_with(page, background)
        if step == 3:
            shoot(page, "tutorial-3-why", tallest=1150)
        ablate(page, background)
        expect(page.get_by_text(f"{count} edit{'s' if count > 1 else ''} in force")).to_be_visible(timeout=TIMEOUT)
        shoot(page, f"tutorial-{step + 1}-without-{background}", tallest=1900)
    page.goto(f"{shown.url}/compare?model={shown.shortcut}&other={shown.edited}")
    shoot(page, "tutorial-6-compare", tallest=1500)
    page.goto(f"{shown.url}/export?model={shown.edited}")
    shoot(page, "tutorial-7-export", tallest=1100)
    context.close()


def open_image_with(page: Page, concept: str) -> None:
    """Go through the shown wrong predictions until one has the concept."""
    wanted = page.get_by_role("slider", name=re.compile(rf"^Strength of {re.escape(concept)}( #\d+)?$"))
    choices = page.locator("[class*=st-key-choose-] button:visible")
    for number in range(choices.count()):
        choices.nth(number).click()
        settle(page)
        if wanted.count():
            return
    raise SystemExit(f"None of the first wrong predictions has the concept {concept!r}.")


def main() -> None:
    original = Path(modes.workspace_root())
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        shutil.copytree(original, workspace)
        root = str(workspace)
        catalogue = resources.catalogue(root)
        shortcut = catalogue.demo.get("shortcut", {})
        if shortcut.get("edited") not in catalogue.models:
            raise SystemExit(f"{original} does not hold the demo; run `cbm demo` first.")
        study = resources.study(root, catalogue.default)
        chromium = next(found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name)))
        with running_app(workspace) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
            shown = Shown(url, study, short(shortcut["model"]), short(shortcut["edited"]))
            wanted = sys.argv[1:] or ["light", "dark", "telephone", "tutorial"]
            if "light" in wanted:
                every_page(browser, shown, "light", WIDE, "light")
            if "dark" in wanted:
                every_page(browser, shown, "dark", WIDE, "dark")
            if "telephone" in wanted:
                every_page(browser, shown, "light", TELEPHONE, "telephone")
            if "tutorial" in wanted:
                tutorial(browser, shown)
            browser.close()


if __name__ == "__main__":
    main()
