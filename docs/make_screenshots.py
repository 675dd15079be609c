"""Takes the pictures of `docs/screenshots` from the running app: every page, light and dark, wide and as on a telephone.

    cbm demo && python docs/make_screenshots.py

Needs Chromium and the development packages; shows the workspace of `CBM_WORKSPACE`, or the checkout's own.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from cbm.edits import AblateConcept, Recipe
from cbm.ui import access, resources, session
from cbm.ui.study import Study

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "screenshots"
WIDE, TELEPHONE = 1280, 390
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
TALLEST = 2400


@contextmanager
def running_app() -> Iterator[str]:
    """The address of the app, served for as long as the context lasts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={port}", "--server.address=127.0.0.1"]
    server = subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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


def correctable(study: Study) -> tuple[int, int]:
    """The wrong prediction and the ablation that corrects it with the best effect on all other images."""
    best: tuple[int, int, int] | None = None
    for row in study.rows(wrong_only=True)[:40]:
        for concept, name in study.prediction(row, Recipe()).active[:4]:
            if not study.model.concepts.named[concept]:
                continue
            recipe = Recipe.of(AblateConcept(concept, name))
            effect = study.effect(recipe)
            if effect is None or not study.prediction(row, recipe).correct_after:
                continue
            gain = effect.corrected_count - effect.newly_wrong_count
            if best is None or gain > best[0]:
                best = (gain, row, concept)
    if best is None:
        raise SystemExit("No wrong prediction can be corrected by one ablation; nothing to show on the intervene page.")
    return best[1], best[2]


def settle(page: Page) -> None:
    page.wait_for_timeout(700)
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=120_000)
    page.wait_for_timeout(1500)


def shoot(page: Page, name: str, width: int, tallest: int = TALLEST) -> None:
    """The whole page, up to `tallest` pixels, as WebP."""
    page.evaluate("document.querySelector('[data-testid=stMain]').scrollTo(0, 0)")
    height = page.evaluate("Math.max(...[...document.querySelectorAll('[data-testid=stMain]')].map(part => part.scrollHeight))")
    page.set_viewport_size({"width": width, "height": min(max(800, height), tallest)})
    page.mouse.move(0, 0)
    page.wait_for_timeout(1200)
    with Image.open(BytesIO(page.screenshot())) as picture:
        picture.convert("RGB").save(FOLDER / f"{name}.webp", quality=90, method=6)
    page.set_viewport_size({"width": width, "height": 800})
    print(f"docs/screenshots/{name}.webp")


def visit(browser: Browser, url: str, catalogue: resources.Catalogue, study: Study, scheme: str, width: int, suffix: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    context.set_default_timeout(120_000)
    page = context.new_page()
    strongest = max(study.concept_tiles(Recipe()), key=lambda tile: tile.predictiveness * tile.named)
    row, concept = correctable(study)
    for name, address in (("start", "/"), ("concepts", "/concepts"), ("concept", f"/concept?concept={strongest.index}")):
        page.goto(url + address)
        settle(page)
        shoot(page, f"{name}-{suffix}", width, 1500 if name == "concepts" else TALLEST)
    page.goto(f"{url}/intervene?image={quote(study.item(row), safe='')}&concept={concept}")
    settle(page)
    shoot(page, f"intervene-{suffix}", width)
    page.get_by_test_id("stMain").get_by_role("button", name="Ablate").click()
    page.get_by_text("changed by your edits").wait_for()
    settle(page)
    shoot(page, f"intervene-edited-{suffix}", width)
    shortcut = catalogue.demo.get("shortcut", {}).get("edited")
    if shortcut in catalogue.models:
        page.goto(f"{url}/intervene?model={session.short(shortcut)}")
        settle(page)
        shoot(page, f"shortcut-{suffix}", width)
    context.close()


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    root = access.workspace_root()
    catalogue = resources.catalogue(root)
    if not catalogue.models:
        raise SystemExit(f"{root} has no model to show; run `cbm demo` first.")
    study = resources.study(root, catalogue.default)
    chromium = next(found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name)))
    with running_app() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        visit(browser, url, catalogue, study, "light", WIDE, "light")
        visit(browser, url, catalogue, study, "dark", WIDE, "dark")
        visit(browser, url, catalogue, study, "light", TELEPHONE, "telephone")
        browser.close()


if __name__ == "__main__":
    main()
