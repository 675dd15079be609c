"""How fast the concept map is laid out, sent, drawn and lassoed.

    python benchmarks/concept_map.py [--concepts 8192 100000] [--lay-out]

Points are drawn and lassoed in a real browser by the files that the app uses, without the app's server: the times are those of the
component alone. `--lay-out` also times the layout of synthetic directions (100,000 of them take minutes).
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from playwright.sync_api import Page, sync_playwright

from cbm.core.paths import ASSETS
from cbm.study.concept_map import map_concepts, name_regions
from cbm.ui.widgets.components.concept_map import _HTML, MapPoints, pack_bits, pack_points

RESULTS = Path(__file__).parent / "results"
FOLDER = ASSETS / "components" / "concept_map"
DIM = 512
REPEATS = 7

_HARNESS = """
async ([points, data]) => {
    const bytes = Uint8Array.from(atob(points), (letter) => letter.charCodeAt(0));
    const started = performance.now();
    window.points.default({ data: bytes, parentElement: document });
    const decoded = performance.now() - started;
    window.sent = [];
    const setTriggerValue = (name, value) => window.sent.push([name, value, performance.now()]);
    window.map.default({ data, parentElement: document, setTriggerValue });
    while (!document.querySelector(".map").dataset.ready) await new Promise((go) => setTimeout(go, 10));
    return decoded;
}
"""
_IMPORT = """
async ([name, source]) => { window[name] = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" }))); }
"""
_DRAW = """
async () => {
    const root = document.querySelector(".map"), times = [];
    const button = document.querySelector("[data-act=in]"), back = document.querySelector("[data-act=fit]");
    for (let i = 0; i < %d; i++) {
        (i %% 2 ? back : button).click();
        await new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)));
        times.push(Number(root.dataset.milliseconds));
    }
    return times;
}
"""


def synthetic(size: int) -> MapPoints:
    """Points in clusters, with names, classes and skewed frequencies."""
    generator = np.random.default_rng(0)
    centres = generator.normal(0, 0.45, (60, 2))
    positions = np.clip(centres[generator.integers(60, size=size)] + generator.normal(0, 0.07, (size, 2)), -1, 1).astype(np.float32)
    names = [f"concept {index}" for index in range(size)]
    frequency = np.minimum(1, generator.exponential(0.01, size)).astype(np.float32)
    return pack_points(
        positions,
        names,
        shown=np.ones(size, bool),
        named=generator.random(size) < 0.6,
        frequency=frequency,
        score=generator.random(size).astype(np.float32),
        top_class=generator.integers(-1, 100, size),
        classes=[f"class {index}" for index in range(100)],
        regions=name_regions(positions, names, frequency),
    )


def open_map(page: Page, points: MapPoints, size: int) -> float:
    """The map with these points in an empty page; how long the points took to be read, in milliseconds."""
    page.set_content(f"<body style='margin:0;width:1000px'><style>{(FOLDER / 'style.css').read_text()}</style>{_HTML}</body>")
    for name, parts in (("points", ("data", "points")), ("map", ("data", "paint", "card", "index"))):
        source = "\n".join((FOLDER / f"{part}.js").read_text() for part in parts)
        page.evaluate(_IMPORT, [name, source])
    everything = pack_bits(np.ones(size, bool))
    data = {"points": points.digest, "kept": everything, "selected": None, "colour": "class", "pictures": {}, "label": "Map"}
    return float(page.evaluate(_HARNESS, [base64.b64encode(points.payload).decode(), data]))


def lasso(page: Page) -> tuple[float, int, int]:
    """Milliseconds from letting go of the mouse to the reply, its bytes, and how many concepts it has."""
    box = page.locator("canvas.over").bounding_box()
    assert box is not None
    page.evaluate("window.sent.length = 0")
    page.keyboard.down("Shift")
    for step in range(61):
        angle = 2 * np.pi * step / 60
        page.mouse.move(box["x"] + box["width"] * (0.5 + 0.3 * np.cos(angle)), box["y"] + box["height"] * (0.5 + 0.42 * np.sin(angle)))
        if step == 0:
            page.mouse.down()
    page.evaluate("addEventListener('pointerup', () => (window.released = performance.now()), { capture: true, once: true })")
    page.mouse.up()
    page.keyboard.up("Shift")
    page.wait_for_function("window.sent.some(([name]) => name === 'lasso')")
    reply, at = page.evaluate("window.sent.find(([name]) => name === 'lasso').slice(1)")
    members = int(np.unpackbits(np.frombuffer(base64.b64decode(reply), np.uint8)).sum())
    return at - float(page.evaluate("window.released")), len(reply), members


def measure(page: Page, size: int) -> dict[str, Any]:
    points = synthetic(size)
    decoded = open_map(page, points, size)
    draws = page.evaluate(_DRAW % REPEATS)
    replies = [lasso(page) for _ in range(3)]
    row = {
        "concepts": size,
        "payload_bytes": len(points.payload),
        "read_ms": decoded,
        "draw_ms_median": statistics.median(draws),
        "draw_ms_worst": max(draws),
        "lasso_ms_median": statistics.median(reply[0] for reply in replies),
        "lasso_bytes": replies[-1][1],
        "lasso_members": replies[-1][2],
    }
    print(
        f"{size:7,} concepts  payload {row['payload_bytes'] / 1e3:8,.0f} KB  read {decoded:5.0f} ms  draw {row['draw_ms_median']:5.0f} ms "
        f"(worst {row['draw_ms_worst']:.0f})  lasso {row['lasso_ms_median']:5.1f} ms, {row['lasso_bytes'] / 1e3:.1f} KB "
        f"for {row['lasso_members']:,} concepts",
        flush=True,
    )
    return row


def lay_out(size: int) -> float:
    directions = np.random.default_rng(0).standard_normal((size, DIM), dtype=np.float32)
    started = time.perf_counter()
    map_concepts(directions)
    seconds = time.perf_counter() - started
    print(f"{size:7,} concepts laid out in {seconds:.1f} s", flush=True)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concepts", type=int, nargs="+", default=[8192, 100_000])
    parser.add_argument("--lay-out", action="store_true")
    options = parser.parse_args()
    chromium = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1040, "height": 760})
        page.goto("about:blank")
        rows = [measure(page, size) for size in options.concepts]
        browser.close()
    if options.lay_out:
        for row in rows:
            row["layout_seconds"] = lay_out(row["concepts"])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "concept_map.json").write_text(json.dumps({"results": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
