"""Journeys through the evidence: a concept's images and histogram, an image's patches, a picture of one's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import planted_seen
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from visits import Server, Visit

from cbm.editing.recipe import Recipe
from cbm.images.decode import decode
from cbm.images.pictures import read_bytes
from cbm.study import evidence, relations

CONCEPT = 3


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app on images that the demo's backbone encoded, so that uploads and heat-maps work."""
    folder = tmp_path_factory.mktemp("seen")
    planted_seen.build(folder / "workspace")
    running = Server(folder / "workspace", folder / "server.log")
    try:
        running.wait()
        yield running
    finally:
        running.stop()


@pytest.fixture
def seen_visit(browser: Browser, seen: Server, profile: BrowserContext) -> Iterator[Visit]:
    visitor = Visit(browser, seen.url, profile=profile)
    yield visitor
    visitor.close()
    assert not visitor.problems, visitor.problems


def click_bar(page: Page, index: int) -> None:
    """Plotly listens on a layer above its bars, so the mouse goes where a hand would point."""
    box = page.locator(f".st-key-concept_histogram-{CONCEPT} .bars .point path").nth(index).bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_filter_by_a_bar_then_merge_and_undo(visit: Visit, server: Server) -> None:
    fired = server.study.firing((CONCEPT,))
    cut = evidence.bins(fired)
    into = relations.nearest_directions(server.study, fired, Recipe().decisions(), 1)[0].concept
    names = server.study.concept_names
    page = visit.open(f"/concept?concept={CONCEPT}")
    expect(page.get_by_role("heading", name="Images it fires on")).to_be_visible()
    index = int(cut.counts.argmax())
    click_bar(page, index)
    chip = page.locator(".st-key-concept_range_clear")
    expect(chip).to_contain_text(f"({cut.counts[index]:,})")
    expect(page).to_have_url(re.compile(f"range={cut.label(index)}"))
    expect(page.locator(".st-key-concept_bin img")).to_have_count(min(24, int(cut.counts[index])))
    chip.get_by_role("button").click()
    expect(page.locator(".st-key-concept_pictures img").first).to_be_visible()
    visit.settle()
    page.get_by_role("button", name="Merge").click()
    page.locator(f".st-key-merge-{CONCEPT}-{into}").get_by_role("button").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(names[into])
    expect(page.get_by_text("1 edit in force")).to_be_visible()
    visit.settle()
    page.get_by_role("button", name=re.compile("^Undo")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(names[CONCEPT])


def test_click_a_patch_and_walk_to_the_next_with_the_keyboard(seen_visit: Visit, seen: Server) -> None:
    page = seen_visit.open(f"/image?image={quote(seen.study.item(5), safe='')}")
    expect(page.get_by_text("Click a patch")).to_be_visible()
    page.get_by_role("gridcell").nth(27).click()
    expect(page.get_by_text("Patch in row 4, column 4")).to_be_visible()
    seen_visit.settle()
    page.get_by_role("gridcell").nth(27).press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Patch in row 4, column 5")).to_be_visible()
    seen_visit.settle()
    page.keyboard.press("Escape")
    expect(page.get_by_text("Click a patch")).to_be_visible()


def test_upload_a_picture_click_a_patch_and_see_its_concepts(seen_visit: Visit, seen: Server, tmp_path: Path) -> None:
    row = 8
    decode(read_bytes(seen.study.uris[row])).save(tmp_path / "mine.png")
    page = seen_visit.open("/image")
    page.get_by_text("A picture of your own").click()
    expect(page.get_by_text("Drop a picture here. Its prediction")).to_be_visible()
    page.locator("input[type=file]").set_input_files(tmp_path / "mine.png")
    expect(page.get_by_role("heading", name=seen.study.picture(row, Recipe()).title)).to_be_visible()
    expect(page.get_by_role("heading", name="Nearest by concepts")).to_be_visible()
    seen_visit.settle()
    page.get_by_role("gridcell").nth(36).click()
    expect(page.get_by_text("Patch in row 5, column 5")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^Whole image too \(\d+\)$"))).to_be_visible()
    assert "image=" not in page.url


def test_a_wrong_file_gets_a_clear_message(seen_visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("these are notes, not a picture")
    page = seen_visit.open("/image")
    page.get_by_text("A picture of your own").click()
    page.locator("input[type=file]").set_input_files(tmp_path / "notes.png")
    expect(page.get_by_text("notes.png cannot be used")).to_be_visible()
    expect(page.get_by_role("heading", name="Nearest by concepts")).to_have_count(0)


def test_heat_maps_by_a_link_on_a_telephone(browser: Browser, seen: Server) -> None:
    visitor = Visit(browser, seen.url, width=390)
    page = visitor.open(f"/concept?concept={CONCEPT}&concept_heat=true")
    expect(page.get_by_role("switch", name="Show where").or_(page.get_by_role("checkbox", name="Show where"))).to_be_checked()
    expect(page.locator(".st-key-concept_pictures img").first).to_be_visible()
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
    page = visitor.open(f"/image?image={quote(seen.study.item(5), safe='')}")
    expect(page.get_by_role("gridcell").first).to_be_visible()
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
    visitor.close()
    assert not visitor.problems, visitor.problems
