"""What a visitor does, from the first look to a corrected prediction; each journey ends in what the visitor sees."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

from planted import correctable
from playwright.sync_api import Browser, expect
from visits import Server, Visit

from cbm.editing.recipe import Recipe


def test_first_look_shows_a_finished_result(visit: Visit) -> None:
    page = visit.open()
    expect(page.get_by_role("heading", name="Classifiers you can read, question and correct")).to_be_visible()
    expect(page.get_by_text("95.0%")).to_be_visible()
    expect(page.get_by_role("img", name="Images on which “triangle” is strongest")).to_be_visible()
    loaded = page.evaluate("Array.from(document.querySelectorAll('[data-testid=stMain] img')).every(image => image.naturalWidth > 0)")
    assert loaded


def test_first_visit_of_a_fresh_server_may_be_a_permalink(browser: Browser, tmp_path: Path) -> None:
    fresh = Server(tmp_path / "nothing", tmp_path / "server.log")
    try:
        fresh.wait()
        visitor = Visit(browser, fresh.url)
        page = visitor.open("/concept?concept=3")
        expect(page.get_by_role("heading", name="No concepts yet")).to_be_visible()
        expect(page.get_by_role("link", name="Intervene")).to_be_visible()
        visitor.close()
        assert not visitor.problems, visitor.problems
    finally:
        fresh.stop()


def test_open_a_concept_and_rename_it(visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("link", name="Concepts", exact=True).click()
    expect(page.get_by_role("heading", name="Concepts", exact=True)).to_be_visible()
    page.get_by_role("searchbox", name="Search by meaning, name or class").fill("checkered")
    # The search is written into the address when it has been done; a link followed before that takes it along.
    visit.settle()
    page.get_by_test_id("stMain").get_by_role("link", name="checkered").click()
    expect(page.get_by_role("heading", name="checkered")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/concept\?concept=\d+$"))
    # What is typed while a page is still being drawn goes to a box that is drawn again.
    visit.settle()
    page.get_by_role("textbox", name="Rename").fill("like a chessboard")
    page.get_by_role("textbox", name="Rename").press("Enter")
    expect(page.get_by_role("heading", name="like a chessboard")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", name="checkered")).to_be_visible()


def test_permalink_shows_the_same_concept_to_another_visitor(visit: Visit, browser: Browser, server: Server) -> None:
    page = visit.open("/concept?concept=3")
    title = page.get_by_role("heading", level=1).inner_text()
    page.close()
    second = Visit(browser, server.url)
    expect(second.open("/concept?concept=3").get_by_role("heading", level=1)).to_have_text(title)
    second.close()
    assert not second.problems, second.problems


def test_first_look_leads_to_a_wrong_prediction_and_its_reasons(visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("button", name="Correct a wrong prediction").click()
    expect(page.get_by_role("heading", name="Intervene")).to_be_visible()
    expect(page.locator(".stMarkdownBadge", has_text="wrong")).to_be_visible()
    expect(page.get_by_text(re.compile("^Score of .* = [+−]"))).to_be_visible()
    expect(page).to_have_url(re.compile(r"/intervene\?image="))


def test_correct_a_wrong_prediction_see_the_effect_and_undo(visit: Visit, server: Server) -> None:
    row, concept = correctable(server.study)
    page = visit.open(f"/intervene?image={quote(server.study.item(row), safe='')}&concept={concept}")
    expect(page.locator(".stMarkdownBadge", has_text="wrong")).to_be_visible()
    before = page.get_by_role("heading", level=4).inner_text()
    page.get_by_text("Exact numbers and weights").click()
    page.get_by_role("button", name="Apply", exact=True).last.click()
    expect(page.get_by_text("changed by your edits")).to_be_visible()
    expect(page.get_by_role("heading", level=4)).to_have_text(server.study.prediction(row, Recipe()).truth or "")
    expect(page.get_by_test_id("stMetric").filter(has_text="Corrected")).to_be_visible()
    expect(page.get_by_test_id("stMetric").filter(has_text="Newly wrong")).to_be_visible()
    expect(page.get_by_text("1 edit in force")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download recipe").click()
    assert download.value.suggested_filename == "recipe.json"
    page.get_by_role("button", name=re.compile("^Undo")).click()
    expect(page.get_by_text("changed by your edits")).to_have_count(0)
    expect(page.get_by_role("heading", level=4)).to_have_text(before)
    expect(page.get_by_test_id("stMetric").filter(has_text="Corrected")).to_have_count(0)
    page.keyboard.press("Control+Shift+z")
    expect(page.get_by_text("changed by your edits")).to_be_visible()


def test_telephone_shows_everything_without_sideways_scrolling(browser: Browser, server: Server) -> None:
    visitor = Visit(browser, server.url, width=390)
    for address in ("/", "/concepts", "/concept?concept=3", "/intervene"):
        page = visitor.open(address)
        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390, address
    visitor.close()
    assert not visitor.problems, visitor.problems
