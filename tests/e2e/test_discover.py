"""Discovery as a visitor does it: a run that is watched while it trains, named, and led on from; and a sweep to pick from."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from visits import Server, Visit

from cbm import verbs
from cbm.workspace.workspace import Workspace

PASSES = "600"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A few scenes, encoded with the backbone that ships."""
    home = Workspace(tmp_path_factory.mktemp("discover") / "workspace")
    verbs.embed("scenes:classes?count=120", workspace=home, device="cpu")
    return home


@pytest.fixture(scope="module")
def server(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(workspace.root, tmp_path_factory.mktemp("discover-server") / "server.log")
    try:
        running.wait()
        yield running
    finally:
        running.stop()


def discover(visit: Visit, passes: str) -> Page:
    page = visit.open("/discover")
    expect(page.get_by_text("Nothing has been discovered yet")).to_be_visible()
    page.get_by_text("Advanced settings").click()
    box = page.get_by_role("spinbutton", name="Passes over the images")
    box.fill(passes)
    box.press("Enter")
    visit.settle()
    page.get_by_role("button", name="Discover concepts").click()
    return page


def test_discover_watch_name_and_go_on_to_classify(browser: Browser, server: Server, workspace: Workspace) -> None:
    visit = Visit(browser, server.url)
    page = discover(visit, PASSES)
    expect(page.locator(".st-key-discover_job").get_by_role("button", name="Cancel")).to_be_visible()
    expect(page.get_by_test_id("stMetric").filter(has_text="Variance explained")).to_be_visible()
    expect(page.get_by_role("heading", name=re.compile("BatchTopK, 32 concepts, k 8, on 120 images"))).to_be_visible()
    expect(page).to_have_url(re.compile(r"dictionary=[0-9a-f]{8}"))
    visit.settle()

    page.get_by_role("button", name="Name the concepts").click()
    expect(page.get_by_test_id("stMetric").filter(has_text="Different names")).to_be_visible()
    expect(page.locator(".st-key-names_concepts").get_by_role("img").first).to_be_visible()
    permalink = page.url
    visit.settle()

    page.get_by_role("link", name="Train a classifier on these concepts").click()
    expect(page.get_by_role("heading", name="Classify", exact=True)).to_be_visible()
    visit.close()
    assert not visit.problems, visit.problems

    second = Visit(browser, server.url)
    page = second.open(permalink.removeprefix(server.url))
    expect(page.get_by_test_id("stMetric").filter(has_text="Different names")).to_be_visible()
    second.close()
    assert not second.problems, second.problems


def test_a_sweep_is_picked_from_by_a_click_on_its_chart(browser: Browser, server: Server, workspace: Workspace) -> None:
    embeddings = workspace.list("embeddings")[0].id
    verbs.sweep([embeddings], widths=(16, 32), ks=(2, 4), epochs=20, workspace=workspace, device="cpu")
    visit = Visit(browser, server.url)
    page = visit.open("/discover?discover_view=Sweep")
    points = page.locator(".st-key-sweep_chart .scatterlayer .trace .point")
    expect(points.first).to_be_visible()
    box = points.first.bounding_box()
    assert box is not None
    # Plotly listens on a layer above its points, so the mouse goes where a hand would point.
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.get_by_role("heading", name=re.compile("BatchTopK, 16 concepts, k 2"))).to_be_visible()
    expect(page.locator(".st-key-discover_gallery").get_by_role("img").first).to_be_visible()
    visit.close()
    assert not visit.problems, visit.problems


def test_telephone_shows_the_page_without_sideways_scrolling(browser: Browser, server: Server) -> None:
    visit = Visit(browser, server.url, width=390)
    for view in ("Runs", "New+run", "Sweep"):
        page = visit.open(f"/discover?discover_view={view}")
        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390, view
    visit.close()
    assert not visit.problems, visit.problems
