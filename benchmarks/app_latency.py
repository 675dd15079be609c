"""How long the app takes: every page of a running server, driven in Chromium, on one or more workspaces.

    python benchmarks/app_latency.py WORKSPACE … [--rounds 3] [--sessions 20] [--output benchmarks/results/app_latency.json]

Server time of an interaction: the runs of the page's script that it causes, callbacks and drawing included, as `app_server.py` notes them
inside the very server: by the clock, and of the processor alone, which is what remains of it on a machine with nothing else to do. The
interactions are those of the widgets that a page shows: its choices, selections, sliders, switches, page numbers and searches, three of
each kind, one after the other; and on the intervene page other images, dragged sliders and taking edits back. What starts long work or
leaves the page is left out, and so are the first visits of all pages, which load the models.

First paint: from the address being opened in a new tab to the page's title, on a server that has shown the page before.
Sessions: resident memory of the server for each further visitor with a page of the model and an edit of their own.
Work on a copy of a workspace: sets and selections are not written, but nothing forbids a page to.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error, Locator, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
PAGES = ("", "data", "discover", "classify", "concepts", "concept?concept=3", "image", "intervene", "compare", "export", "jobs")
BUDGETS = {"median_ms": 100, "p95_ms": 250, "first_paint_ms": 1500, "session_mb": 30}
_EACH = 3
_SETTLED = """
    document.querySelector('[data-testid="stApp"][data-test-script-state="notRunning"]') !== null &&
    document.querySelectorAll('[data-stale="true"]').length === 0
"""
_NEVER = re.compile("upload|delete|remove|cancel|clear|train|encode|discover|build|save|export|open|start|worker", re.I)


@dataclass
class Measured:
    """What was seen on one workspace."""

    interactions: list[dict[str, Any]] = field(default_factory=list)
    first_paint_ms: dict[str, float] = field(default_factory=dict)
    session_mb: float | None = None


class Server:
    """The app with a stop-watch inside."""

    def __init__(self, workspace: Path, folder: Path) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        self.url, self.timings = f"http://127.0.0.1:{port}/", folder / "timings.jsonl"
        self.timings.touch()
        command = [sys.executable, "benchmarks/app_server.py", "run", "app.py", f"--server.port={port}", "--server.address=127.0.0.1"]
        environment = {**os.environ, "CBM_WORKSPACE": str(workspace), "CBM_TIMINGS": str(self.timings), "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._read = 0

    def wait(self) -> None:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{self.url}_stcore/health", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise SystemExit("the app's server did not answer")

    def runs(self) -> list[dict[str, Any]]:
        """The script runs since the last call."""
        lines = self.timings.read_text(encoding="utf-8").splitlines()
        fresh, self._read = lines[self._read :], len(lines)
        return [json.loads(line) for line in fresh]

    def resident_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) / 1024  # type: ignore[union-attr]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)


@contextmanager
def serving(workspace: Path) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(workspace, Path(folder))
        try:
            server.wait()
            yield server
        finally:
            server.stop()


def visit(page: Page, url: str) -> None:
    page.goto(url)
    page.locator("[data-testid=stMain] h1").first.wait_for(timeout=120_000)
    settle(page)


def settle(page: Page) -> None:
    page.wait_for_timeout(250)
    page.wait_for_function(_SETTLED, polling=50, timeout=60_000)


def new_page(browser: Browser) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(15_000)
    return page


def measure(workspace: Path, browser: Browser, rounds: int, sessions: int) -> Measured:
    measured = Measured()
    with serving(workspace) as server:
        page = new_page(browser)
        for address in PAGES:  # whoever comes first pays for loading the models
            visit(page, server.url + address)
        for address in PAGES:
            for _ in range(rounds):
                interact(page, server, address, measured)
            print(f"  {workspace.name}: {address or 'start'} used, {len(measured.interactions)} interactions so far", flush=True)
        page.context.close()
        for address in PAGES:
            measured.first_paint_ms[address or "start"] = statistics.median(
                first_paint(browser, server.url + address) for _ in range(rounds)
            )
        if sessions:
            measured.session_mb = memory_per_session(browser, server, sessions)
    return measured


def interact(page: Page, server: Server, address: str, measured: Measured) -> None:
    """Open a page and use what it shows."""
    name = address.partition("?")[0] or "start"

    def did(what: str, action: Callable[[], Any]) -> None:
        page.mouse.move(5, 5)  # away from what the last action left a hint over
        page.wait_for_timeout(200)
        server.runs()
        try:
            action()
            settle(page)
        except Error as error:  # a widget that is covered or gone: another one is measured instead
            print(f"  left out: {name}, {what}: {str(error).splitlines()[0]}", flush=True)
            return
        runs = server.runs()
        if runs:
            measured.interactions.append(
                {
                    "page": name,
                    "what": what,
                    "milliseconds": sum(run["milliseconds"] for run in runs),
                    "processor_milliseconds": sum(run["processor_milliseconds"] for run in runs),
                    "runs": len(runs),
                }
            )

    did("open", lambda: visit(page, server.url + address))
    main = page.get_by_test_id("stMain")
    if name == "intervene":
        intervene(page, did)
    for what, found, action in (
        ("choice", main.get_by_test_id("stButtonGroup").locator("button:not([kind*=Active])"), lambda one: one.click()),
        ("page number", main.locator("[data-testid=stPagination] button"), lambda one: one.click()),
        ("switch", main.get_by_test_id("stCheckbox").locator("label"), lambda one: one.click()),
        ("slider", main.get_by_test_id("stSlider").get_by_role("slider"), lambda one: one.press("ArrowRight")),
        ("select", main.get_by_test_id("stSelectbox").get_by_role("combobox"), lambda one: select(page, one)),
        ("search", main.get_by_role("searchbox").or_(main.locator("[data-testid=stTextInput] input")), lambda one: search(one)),
    ):
        for place in range(min(_EACH, found.count())):
            one = found.nth(place)
            if one.is_visible() and one.is_enabled() and not _NEVER.search(one.inner_text()):
                did(what, lambda one=one, action=action: action(one))


def select(page: Page, box: Locator) -> None:
    box.click()
    page.get_by_role("option").last.click()


def search(box: Locator) -> None:
    box.fill("re")
    box.press("Enter")


def intervene(page: Page, did: Callable[[str, Callable[[], Any]], None]) -> None:
    for place in (1, 2, 3):
        did("another image", lambda place=place: page.locator("[class*=st-key-choose-] .stButton button").nth(place).click())
    for share in (0.0, 0.5, 0.15):
        did("drag a slider and let go", lambda share=share: drag(page, share))
    undo = page.get_by_role("button", name=re.compile("^Undo"))
    for _ in range(3):
        did("undo", undo.click)


def drag(page: Page, share: float) -> None:
    slider = page.locator(".steering .row input").first
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    at = float(slider.input_value()) / 3
    left, length, middle = box["x"] + 8, box["width"] - 16, box["y"] + box["height"] / 2
    page.mouse.move(left + at * length, middle)
    page.mouse.down()
    page.mouse.move(left + share * length, middle, steps=6)
    page.mouse.up()
    page.wait_for_timeout(150)


def first_paint(browser: Browser, url: str) -> float:
    page = new_page(browser)
    start = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.locator("[data-testid=stMain] h1").first.wait_for(timeout=60_000)
    seconds = time.perf_counter() - start
    page.context.close()
    return 1000 * seconds


def memory_per_session(browser: Browser, server: Server, count: int) -> float:
    """What the server's memory grows by for each of `count` visitors who are there at once, each with an edit."""

    def visitor() -> Page:
        page = new_page(browser)
        visit(page, f"{server.url}intervene")
        drag(page, 0.0)
        settle(page)
        return page

    first = [visitor() for _ in range(3)]
    before = server.resident_mb()
    others = [visitor() for _ in range(count)]
    grown = server.resident_mb() - before
    for page in [*first, *others]:
        page.context.close()
    return grown / count


def committed_edit() -> dict[str, Any]:
    """A global edit measured on 50,000 images, by the benchmark of its own."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "edit.json"
        subprocess.run([sys.executable, "benchmarks/edit_rescoring.py", "--output", str(output)], cwd=ROOT, check=True, capture_output=True)
        results: dict[str, Any] = json.loads(output.read_text())["results"]
        return results


def summary(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {"median_ms": statistics.median(ordered), "p95_ms": ordered[round(0.95 * (len(ordered) - 1))], "count": len(ordered)}


def report(name: str, measured: Measured) -> dict[str, Any]:
    clock = summary([entry["milliseconds"] for entry in measured.interactions])
    processor = summary([entry["processor_milliseconds"] for entry in measured.interactions])
    print(f"\n{name}: {clock['count']} interactions, server time (budget: median {BUDGETS['median_ms']}, p95 {BUDGETS['p95_ms']} ms)")
    print(f"{'':12}{'count':>6}{'median':>9}{'p95':>9}   processor{'median':>9}{'p95':>9}{'first paint':>14}   ms")
    by_page = {}
    for page in dict.fromkeys(entry["page"] for entry in measured.interactions):
        own = [entry for entry in measured.interactions if entry["page"] == page]
        wall, cpu = summary([entry["milliseconds"] for entry in own]), summary([entry["processor_milliseconds"] for entry in own])
        paint = next((value for address, value in measured.first_paint_ms.items() if address.partition("?")[0] == page), float("nan"))
        by_page[page] = {"clock": wall, "processor": cpu, "first_paint_ms": paint}
        print(
            f"{page:12}{wall['count']:6.0f}{wall['median_ms']:9.0f}{wall['p95_ms']:9.0f}{'':12}{cpu['median_ms']:9.0f}{cpu['p95_ms']:9.0f}{paint:14.0f}"
        )
    print(
        f"{'all':12}{clock['count']:6.0f}{clock['median_ms']:9.0f}{clock['p95_ms']:9.0f}{'':12}{processor['median_ms']:9.0f}{processor['p95_ms']:9.0f}"
    )
    slow = sorted(measured.interactions, key=lambda entry: -entry["processor_milliseconds"])[:8]
    for entry in slow:
        print(
            f"  slowest: {entry['page']}, {entry['what']}: {entry['processor_milliseconds']:.0f} ms of the processor "
            f"in {entry['runs']} runs, {entry['milliseconds']:.0f} by the clock"
        )
    if measured.session_mb is not None:
        print(f"each further session: {measured.session_mb:.1f} MB (budget {BUDGETS['session_mb']})")
    return {
        "clock": clock,
        "processor": processor,
        "pages": by_page,
        "first_paint_ms": measured.first_paint_ms,
        "session_mb": measured.session_mb,
        "interactions": measured.interactions,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspaces", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sessions", type=int, default=20, help="0 leaves this out")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    chromium = next(found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name)))
    record: dict[str, Any] = {"budgets": BUDGETS, "load_average": os.getloadavg(), "processors": os.cpu_count(), "workspaces": {}}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for workspace in arguments.workspaces:
            record["workspaces"][workspace.name] = report(
                workspace.name, measure(workspace.resolve(), browser, arguments.rounds, arguments.sessions)
            )
        browser.close()
    record["committed_edit_on_50000_images"] = committed_edit()
    for name, entry in record["committed_edit_on_50000_images"].items():
        print(f"50,000 images, {name}: {1000 * entry['seconds']:.0f} ms by the clock, {1000 * entry['cpu_seconds']:.0f} of the processor")
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
