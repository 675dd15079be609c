"""Finding concepts: by meaning, on the map, by the keyboard, and by an address that somebody else sent."""

from __future__ import annotations

import math
import re

import pytest
from playwright.sync_api import Browser, Page, expect
from visits import Server, Visit

MAP = "/concepts?concepts_view=Map"


def names_listed(page: Page) -> list[str]:
    return page.locator(".st-key-concepts").get_by_role("link").all_inner_texts()


def listed(page: Page) -> int:
    found = re.search(r"([\d,]+) concepts? of", page.get_by_text(re.compile(r"^[\d,]+ concepts? of [\d,]+$")).inner_text())
    assert found is not None
    return int(found[1].replace(",", ""))


def open_map(visit: Visit, address: str = MAP) -> Page:
    page = visit.open(address)
    page.locator(".map[data-ready=true]").wait_for()
    page.locator("canvas.over").scroll_into_view_if_needed()
    visit.settle()
    return page


def lasso(visit: Visit, across: float = 0.2, down: float = 0.2) -> int:
    """Draw an ellipse around the middle of the map; how many concepts that selects."""
    canvas = visit.page.locator("canvas.over")
    box = canvas.bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for step in range(41):
        angle = 2 * math.pi * step / 40
        at = middle[0] + across * box["width"] * math.cos(angle), middle[1] + down * box["height"] * math.sin(angle)
        visit.page.mouse.move(*at)
        if step == 0:
            visit.page.mouse.down()
    visit.page.mouse.up()
    chip = visit.page.locator(".st-key-concepts_scope")
    expect(chip).to_contain_text("Selection")
    found = re.search(r"\((\d+)\)", chip.inner_text())
    assert found is not None
    expect(visit.page.get_by_text(re.compile(rf"^{found[1]} concepts? of"))).to_be_visible()
    # The cards of the list before are taken away last.
    expect(visit.page.locator(".st-key-concepts").get_by_role("link")).to_have_count(min(24, int(found[1])))
    visit.settle()
    return int(found[1])


def test_a_search_by_meaning_leads_to_a_concept_that_is_renamed(visit: Visit) -> None:
    page = visit.open("/concepts")
    page.get_by_role("searchbox", name="Search by meaning, name or class").fill("dwelling")
    expect(page.get_by_text("found by meaning").first).to_be_visible()
    page.get_by_test_id("stMain").get_by_role("link", name="house").click()
    expect(page.get_by_role("heading", name="house", level=1)).to_be_visible()
    visit.settle()
    page.get_by_role("textbox", name="Rename").fill("cottage")
    page.get_by_role("textbox", name="Rename").press("Enter")
    expect(page.get_by_role("heading", name="cottage", level=1)).to_be_visible()
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Concepts", exact=True).click()
    page.get_by_role("searchbox", name="Search by meaning, name or class").fill("cottage")
    expect(page.get_by_test_id("stMain").get_by_role("link", name="cottage")).to_be_visible()
    expect(page.get_by_text("found by name").first).to_be_visible()


def test_a_lasso_on_the_map_narrows_the_list_and_escape_lets_go(visit: Visit) -> None:
    page = open_map(visit)
    everything = listed(page)
    page.get_by_role("button", name=re.compile("^Zoom in")).click()
    page.get_by_role("button", name=re.compile("^Lasso")).click()
    chosen = lasso(visit)
    assert 0 < chosen < everything
    assert page.locator(".map").get_attribute("data-zoom") == "1.50"
    expect(page).to_have_url(re.compile("selection=c"))
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name=f"Bring back Selection ({chosen})")).to_be_visible()
    visit.settle()
    assert listed(page) == everything


def test_a_link_shows_the_same_selection_to_somebody_else(visit: Visit, browser: Browser, server: Server) -> None:
    page = open_map(visit)
    page.get_by_role("button", name=re.compile("^Lasso")).click()
    chosen = lasso(visit, 0.15, 0.3)
    shown = names_listed(page)
    address = page.url.removeprefix(server.url)
    second = Visit(browser, server.url)
    other = second.open(address)
    expect(other.locator(".map[data-ready=true]")).to_be_visible()
    expect(other.get_by_text(re.compile(rf"^{chosen} concepts? of"))).to_be_visible()
    expect(other.locator(".st-key-concepts").get_by_role("link")).to_have_text(shown)
    second.close()
    assert not second.problems, second.problems


def test_the_map_is_used_by_the_keyboard_alone(visit: Visit) -> None:
    page = open_map(visit)
    canvas = page.locator("canvas.over")
    canvas.focus()
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Tab")
    expect(page.locator(".card")).to_be_visible()
    expect(page.locator(".card img[src^='data:image']")).to_be_visible()
    name = page.locator(".card b").inner_text()
    expect(page.locator(".live")).to_contain_text(name)
    page.keyboard.press(" ")
    expect(page.get_by_text("Selection (1)")).to_be_visible()
    visit.settle()
    assert names_listed(page) == [name]
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
    expect(page).to_have_url(re.compile(r"/concept\?concept=\d+"))
    visit.settle()
    page.go_back()
    expect(page.locator(".map[data-ready=true]")).to_be_visible()
    expect(page).to_have_url(re.compile("concepts_view=Map"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_map_is_drawn_in_the_colours_of_the_theme(visit: Visit, dark: bool) -> None:
    visit.page.emulate_media(color_scheme="dark" if dark else "light")
    page = open_map(visit)
    corner, colours = page.locator("canvas.base").evaluate(
        """canvas => {
            const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            const seen = new Set();
            for (let i = 0; i < data.length; i += 4) seen.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
            return [[data[0], data[1], data[2]], seen.size];
        }"""
    )
    assert (sum(corner) < 200) == dark
    assert colours > 20


def test_several_cards_become_one_and_undo_parts_them(visit: Visit) -> None:
    page = visit.open("/concepts?concepts_sort=Name")
    everything = listed(page)
    page.get_by_text("Pick several").click()
    visit.settle()
    for box in (0, 1):
        page.get_by_role("checkbox", name="Pick", exact=True).nth(box).check(force=True)
        visit.settle()
    page.get_by_role("button", name="Merge").click()
    page.get_by_role("button", name="Merge into one").click()
    expect(page.get_by_text(f"{everything - 1} concepts of {everything - 1}")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Undo")).click()
    expect(page.get_by_text(f"{everything} concepts of {everything}")).to_be_visible()
