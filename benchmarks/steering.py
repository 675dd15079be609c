"""Whether the steering panel keeps up with the thumb: milliseconds a frame with 64 concepts and 1000 classes, measured in Chromium.

    python benchmarks/steering.py [--concepts 64] [--classes 1000] [--frames 200] [--output benchmarks/results/steering.json]

A real slider of the app's own panel is dragged with the mouse, one movement a frame. A frame's work is what the browser's main thread does
for it, script, style, layout and paint records, as the DevTools protocol counts it; its script alone, from the input event to a forced
layout, is timed inside the page. Beside it stand the naive ways: adding up all 64 × 1000 products at every movement, and asking the server
(the stock slider, whose value leaves the browser on release only: from the key press to the redrawn scores).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import CDPSession, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
BUDGET_MS = 16.0
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
_APP = """
import numpy as np
import streamlit as st

from cbm.ui.widgets.components.steering_panel import steering_panel
from cbm.study.steering import SteeringRow, SteeringView

CONCEPTS, CLASSES = {concepts}, {classes}
generator = np.random.default_rng(0)
unit = generator.normal(size=(CONCEPTS, CLASSES)).astype(np.float32)
logits = unit.sum(axis=0)
rows = tuple(SteeringRow(index, f"concept {{index}}", (index,), 1.0, 1.0, False) for index in range(CONCEPTS))
names = tuple(f"class {{index}}" for index in range(CLASSES))
view = SteeringView("image", names, int(logits.argmax()), 3, rows, unit, unit, {{}}, logits, logits, 0.0, 0.0, 0, ())
steering_panel(view, scope="everywhere", stamp="1", key="steering", on_commit=lambda event: None, on_explain=lambda name: None)


@st.fragment
def by_server():
    strength = st.slider("By the server", 0.0, 3.0, 1.0, 0.05, key="by_server")
    scores = logits + (strength - 1.0) * unit[0]
    order = np.argsort(-scores)[:8]
    st.bar_chart({{names[index]: float(scores[index]) for index in order}}, horizontal=True)
    st.markdown(f"server says {{strength:.2f}}: {{names[order[0]]}} {{scores[order[0]]:.4f}}")


by_server()
"""
_FULL = """
    ([concepts, classes, repeats]) => {
        const unit = Float32Array.from({length: concepts * classes}, () => Math.random());
        const at = new Float64Array(concepts).fill(1);
        const times = [];
        for (let repeat = 0; repeat < repeats; repeat++) {
            const start = performance.now();
            at[repeat % concepts] = Math.random();
            const logits = new Float64Array(classes);
            for (let row = 0; row < concepts; row++)
                for (let column = 0; column < classes; column++) logits[column] += at[row] * unit[row * classes + column];
            const bars = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a]);
            times.push(performance.now() - start + 0 * bars[0]);
        }
        return times;
    }
"""
_WATCH = """
    () => {
        window.steeringFrames = [];
        const panel = document.querySelector('.st-key-steering') ?? document.body;
        const input = [...document.querySelectorAll('*')].flatMap((one) => one.shadowRoot ? [one.shadowRoot] : [])
            .map((root) => root.querySelector('.steering input')).find((one) => one);
        const own = input.oninput;
        input.oninput = (event) => {
            const start = performance.now();
            own(event);
            input.closest('.steering').getBoundingClientRect();
            window.steeringFrames.push(performance.now() - start);
        };
    }
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concepts", type=int, default=64)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        script = Path(folder) / "panel.py"
        script.write_text(_APP.format(concepts=arguments.concepts, classes=arguments.classes))
        chromium = next(found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name)))
        with _served(script) as url:
            browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(url)
            page.locator(".steering .row").nth(arguments.concepts - 1).wait_for(state="attached", timeout=60_000)
            results = {
                "panel": _drag(page, arguments.frames),
                "all products at every movement": _summary(page.evaluate(_FULL, [arguments.concepts, arguments.classes, arguments.frames])),
                "asking the server": _summary(_round_trips(page, 20)),
            }
            browser.close()
    _report(results, arguments)


@contextmanager
def _served(script: Path) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), f"--server.port={port}", "--server.address=127.0.0.1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
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


def _drag(page: Page, frames: int) -> dict[str, Any]:
    """One press, `frames` movements, one release; the panel's slider follows all of them."""
    page.evaluate(_WATCH)
    slider = page.locator(".steering .row input").first
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    middle, left, length = box["y"] + box["height"] / 2, box["x"] + 8, box["width"] - 16
    protocol = page.context.new_cdp_session(page)
    protocol.send("Performance.enable")
    page.mouse.move(left + length / 3, middle)
    page.mouse.down()
    before = _counters(protocol)
    for frame in range(frames):
        # A triangle wave over the whole slider: every movement changes the value.
        page.mouse.move(left + length * abs((frame * 7 % 200) / 100 - 1), middle)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    after = _counters(protocol)
    page.mouse.up()
    script = page.evaluate("window.steeringFrames")
    work = {name: 1000 * (after[name] - before[name]) / len(script) for name in after}
    return {**_summary(script), "movements": len(script), "main_thread_ms": work["TaskDuration"], "of_which": work}


def _counters(protocol: CDPSession) -> dict[str, float]:
    wanted = ("TaskDuration", "ScriptDuration", "LayoutDuration", "RecalcStyleDuration")
    return {entry["name"]: entry["value"] for entry in protocol.send("Performance.getMetrics")["metrics"] if entry["name"] in wanted}


def _round_trips(page: Page, count: int) -> list[float]:
    """From a key press on the stock slider to the server's answer on the page."""
    slider = page.get_by_role("slider", name="By the server")
    slider.focus()
    times = []
    for step in range(count):
        expected = f"server says {1.0 + 0.05 * (step + 1):.2f}"
        start = time.perf_counter()
        slider.press("ArrowRight")
        page.get_by_text(expected).wait_for(timeout=30_000)
        times.append(1000 * (time.perf_counter() - start))
    return times


def _summary(times: list[float]) -> dict[str, Any]:
    ordered = sorted(times)
    return {"median_ms": statistics.median(ordered), "p95_ms": ordered[int(0.95 * (len(ordered) - 1))], "largest_ms": ordered[-1]}


def _report(results: dict[str, dict[str, Any]], arguments: argparse.Namespace) -> None:
    print(f"{arguments.concepts} concepts × {arguments.classes} classes, {results['panel']['movements']} movements of the mouse")
    print(f"{'':34}{'median':>9}{'p95':>9}{'largest':>9}   ms")
    for name, entry in results.items():
        print(f"{name:34}{entry['median_ms']:9.2f}{entry['p95_ms']:9.2f}{entry['largest_ms']:9.2f}")
    work = results["panel"]["main_thread_ms"]
    print(f"main thread of the browser, all that a movement costs: {work:.2f} ms; budget {BUDGET_MS:.0f} ms a frame")
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "concepts": arguments.concepts,
            "classes": arguments.classes,
            "budget_ms": BUDGET_MS,
            "processors": os.cpu_count(),
            "load_average": os.getloadavg(),
            "results": results,
        }
        arguments.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
