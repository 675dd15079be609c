"""Steering in a real browser: scores move under the thumb, keys do what the mouse does, and every way back leads back."""

from __future__ import annotations

import re
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from planted import correctable
from playwright.sync_api import Locator, Page, expect
from visits import TIMEOUT, Server, Visit

from cbm.editing.recipe import AblateConcept, Recipe


def open_correctable(visit: Visit, server: Server) -> tuple[Page, Locator, int, int]:
    """The intervene page on a wrong prediction, with the slider whose ablation corrects it."""
    row, concept = correctable(server.study)
    page = visit.open(f"/intervene?image={quote(server.study.item(row), safe='')}")
    name = server.study.name(concept, Recipe())
    slider = page.get_by_role("slider", name=f"Strength of {name}", exact=True)
    expect(slider).to_be_visible()
    return page, slider, row, concept


def scores(page: Page) -> dict[str, str]:
    """Class to probability, of the classes that the panel shows."""
    of_rows = "rows => rows.map(row => [row.querySelector('.name').innerText, row.querySelector('.value').innerText])"
    return dict(page.locator(".steering .class").evaluate_all(of_rows))


def expect_scores(page: Page, expected: dict[str, str]) -> None:
    """Wait for them: what the server answers to a slider arrives after the slider has moved."""
    end = time.monotonic() + TIMEOUT / 1000
    while (shown := scores(page)) != expected and time.monotonic() < end:
        page.wait_for_timeout(100)
    assert shown == expected


def drag(page: Page, slider: Locator, share: float) -> None:
    """Press the thumb and move it to a share of the slider's length; the button stays down."""
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    at = float(slider.input_value()) / float(slider.get_attribute("max") or 3)
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 8 + at * (box["width"] - 16), middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 8 + share * (box["width"] - 16), middle, steps=8)


def test_scores_move_while_the_thumb_is_held_and_letting_go_corrects_the_prediction(visit: Visit, server: Server) -> None:
    page, slider, row, _ = open_correctable(visit, server)
    truth = server.study.prediction(row, Recipe()).truth or ""
    before = scores(page)
    drag(page, slider, 0.0)
    expect(page.locator(".steering .verdict")).to_have_text(re.compile(rf"Now: {re.escape(truth)}, .* ✓ right"))
    held = scores(page)
    assert held != before
    expect(page.get_by_text("Nothing has been changed")).to_be_visible()
    page.mouse.up()
    expect(page.get_by_text("changed by your edits")).to_be_visible()
    expect(page.get_by_role("heading", level=4)).to_have_text(truth)
    expect(page.get_by_test_id("stMetric").filter(has_text="Corrected")).to_be_visible()
    visit.settle()
    after = scores(page)
    assert {name: after[name] for name in after.keys() & held.keys()} == {name: held[name] for name in after.keys() & held.keys()}
    expect(page.locator(".steering .differs")).to_have_count(0)
    page.get_by_role("button", name=re.compile("^Undo")).click()
    expect(page.get_by_text("changed by your edits")).to_have_count(0)
    expect(page.get_by_text("Nothing has been changed")).to_be_visible()
    expect(slider).to_have_value("1")
    visit.settle()
    expect_scores(page, before)


def test_keyboard_steers_commits_and_puts_back(visit: Visit, server: Server) -> None:
    page, slider, row, _ = open_correctable(visit, server)
    before = scores(page)
    slider.focus()
    slider.press("Home")
    expect(slider).to_have_value("0")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("0.00 times, adds 0 to"))
    expect(page.get_by_text("Not applied yet")).to_be_visible()
    slider.press("Escape")
    expect(slider).to_have_value("1")
    expect_scores(page, before)
    for _ in range(4):
        slider.press("ArrowLeft")
    expect(slider).to_have_value("0.8")
    slider.press("Enter")
    expect(page.get_by_text("1 edit in force")).to_be_visible()
    expect(page.get_by_role("switch", name=re.compile("at 0.8 times its strength"))).to_be_attached()
    visit.settle()
    slider.press("0")
    expect(page.get_by_text("2 edits in force")).to_be_visible()
    expect(page.get_by_role("heading", level=4)).to_have_text(server.study.prediction(row, Recipe()).truth or "")
    visit.settle()
    page.get_by_role("button", name="Back to here").click()
    expect(page.get_by_text("1 edit in force")).to_be_visible()
    expect(slider).to_have_value("0.8")
    slider.dblclick()
    expect(slider).to_have_value("1")
    visit.settle()
    expect_scores(page, before)


def test_edit_of_one_image_changes_no_other(visit: Visit, server: Server) -> None:
    page, slider, _, _ = open_correctable(visit, server)
    page.get_by_role("radio", name="This image").or_(page.get_by_role("button", name="This image")).first.click()
    visit.settle()
    drag(page, slider, 0.0)
    page.mouse.up()
    expect(page.get_by_test_id("stMetric").filter(has_text="Corrected")).to_contain_text("1")
    expect(page.get_by_test_id("stMetric").filter(has_text="Newly wrong")).to_contain_text("0")


@pytest.mark.parametrize("place", [0, 1])
def test_clicking_a_contribution_leads_to_its_slider(visit: Visit, place: int) -> None:
    page = visit.open("/intervene")
    row = page.locator(".steering .row").nth(place)
    row.locator(".share").click()
    expect(row.get_by_role("slider")).to_be_focused()


def test_recipe_file_is_applied_and_a_wrong_one_is_explained(visit: Visit, server: Server, tmp_path: Path) -> None:
    page, slider, row, concept = open_correctable(visit, server)
    study = server.study
    wrong, right = tmp_path / "notes.json", tmp_path / "recipe.json"
    wrong.write_text("no recipe at all")
    right.write_text(Recipe.of(AblateConcept(concept, study.name(concept, Recipe()))).to_json())
    page.get_by_role("button", name="Upload a recipe").click()
    chooser = page.locator("input[type=file]")
    chooser.set_input_files(wrong)
    expect(page.get_by_text("The recipe is not JSON")).to_be_visible()
    chooser.set_input_files(right)
    expect(page.get_by_text("A recipe of 1 edit that fits this model")).to_be_visible()
    page.get_by_role("button", name="Apply", exact=True).and_(page.locator(".st-key-recipe_replace button")).click()
    expect(page.get_by_text("1 edit in force")).to_be_visible()
    expect(page.get_by_role("heading", level=4)).to_have_text(study.prediction(row, Recipe()).truth or "")
    expect(slider).to_have_value("0")


def test_prepared_experiment_is_one_click_and_one_undo(visit: Visit) -> None:
    page = visit.open("/intervene")
    page.get_by_role("button", name="Do it and look").first.click()
    expect(page.get_by_text("changed by your edits")).to_be_visible()
    expect(page.get_by_text("corrected").first).to_be_visible()
    page.get_by_role("button", name=re.compile("^Undo")).click()
    expect(page.get_by_text("Try one of these")).to_be_visible()


def test_explained_class_follows_a_click_on_its_name(visit: Visit, server: Server) -> None:
    page, _, row, _ = open_correctable(visit, server)
    truth = server.study.prediction(row, Recipe()).truth or ""
    page.locator(".steering .class.truth .name").click()
    expect(page.locator(".steering .sum")).to_have_text(re.compile(f"^Score of “{re.escape(truth)}”"))


def test_concept_name_opens_its_page(visit: Visit, server: Server) -> None:
    page, _, _, concept = open_correctable(visit, server)
    page.locator(".steering .row .name", has_text=server.study.name(concept, Recipe())).first.click()
    expect(page).to_have_url(re.compile(rf"/concept\?.*concept={concept}(&|$)"))
