"""The steering panel alone, on numbers of its own: what it does when the server disagrees, and when there is more than it can show."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from visits import ROOT, Visit

SCRIPT = """
import numpy as np
import streamlit as st

from cbm.ui.widgets.components.steering_panel import steering_panel
from cbm.study.steering import SteeringRow, SteeringView

CONCEPTS, CLASSES = 64, 1000
unit = np.random.default_rng(0).normal(size=(CONCEPTS, CLASSES)).astype(np.float32)
unit[0, 900] = 40.0
at = st.session_state.setdefault("at", {})
now = np.array([at.get(index, 1.0) for index in range(CONCEPTS)])
before = unit.sum(axis=0)
before[900] = before.min()
shown = before + (now - 1) @ unit
error = float(st.query_params.get("error", 0)) if at else 0.0
rows = tuple(SteeringRow(index, f"concept {index}", (index,), 1.0, float(now[index]), False) for index in range(CONCEPTS))
view = SteeringView("image", tuple(f"class {index}" for index in range(CLASSES)), 0, 3, rows, unit, unit, {},
                    (shown + error).astype(np.float32), before.astype(np.float32), 0.0, 0.0, 0, ())
steering_panel(view, scope="everywhere", stamp=str(at), key="steering", on_commit=lambda event: at.update(event.changes),
               on_explain=lambda name: None)
st.markdown(f"committed: {sorted(at.items())}")
"""


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page that holds nothing but a panel."""
    script = tmp_path_factory.mktemp("panel") / "panel.py"
    script.write_text(SCRIPT)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    command = [sys.executable, "-m", "streamlit", "run", str(script), f"--server.port={url.rpartition(':')[2]}"]
    process = subprocess.Popen(
        [*command, "--server.address=127.0.0.1"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
                break
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    yield url
    process.terminate()
    process.wait(timeout=20)


@pytest.fixture
def visit(browser: Browser, panel: str) -> Iterator[Visit]:
    visitor = Visit(browser, panel)
    yield visitor
    visitor.close()
    assert not visitor.problems, visitor.problems


def halve_first(page: Page) -> None:
    slider = page.get_by_role("slider", name="Strength of concept 5", exact=True)
    slider.focus()
    slider.press("Home")
    slider.press("Enter")
    expect(page.get_by_text("committed: [(5, 0.0)]")).to_be_visible()


def test_agreement_is_silent(visit: Visit) -> None:
    page = visit.open()
    halve_first(page)
    visit.settle()
    expect(page.locator(".steering .words")).to_contain_text("Drag a slider")
    expect(page.locator(".steering .differs")).to_have_count(0)


def test_disagreement_of_browser_and_server_is_marked(visit: Visit) -> None:
    page = visit.open("/?error=0.01")
    halve_first(page)
    expect(page.locator(".steering .differs .words")).to_have_text(re.compile(r"⚠ The server's scores differ from the preview by 0\.01"))


def test_class_that_was_out_of_sight_is_shown_as_soon_as_it_wins(visit: Visit) -> None:
    page = visit.open()
    expect(page.get_by_role("slider")).to_have_count(64)
    expect(page.locator(".steering .class")).to_have_count(8)
    expect(page.locator(".steering .class .name", has_text=re.compile("^class 900$"))).to_have_count(0)
    slider = page.get_by_role("slider", name="Strength of concept 0", exact=True)
    slider.focus()
    slider.press("End")
    expect(page.locator(".steering .class.predicted .name")).to_have_text("class 900")
    expect(page.locator(".steering .verdict")).to_have_text(re.compile("^Now: class 900"))
    slider.press("Escape")
    expect(page.locator(".steering .class .name", has_text=re.compile("^class 900$"))).to_have_count(0)


def test_several_sliders_are_applied_together(visit: Visit) -> None:
    page = visit.open()
    for concept in (1, 2):
        slider = page.get_by_role("slider", name=f"Strength of concept {concept}", exact=True)
        slider.focus()
        slider.press("End")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("committed: [(1, 3.0), (2, 3.0)]")).to_be_visible()


def test_double_click_puts_a_slider_back_to_one(visit: Visit) -> None:
    page = visit.open()
    halve_first(page)
    visit.settle()
    page.get_by_role("slider", name="Strength of concept 5", exact=True).dblclick()
    expect(page.get_by_text("committed: [(5, 1.0)]")).to_be_visible()
