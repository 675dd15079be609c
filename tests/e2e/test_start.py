"""The first look: what this is, what it found, and three things to do that keep what they promise."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, expect
from visits import Server, Visit

from cbm.study import scenarios
from cbm.ui.frame import resources
from cbm.ui.frame.formats import percent


def test_first_look_says_what_it_is_and_where_to_click(visit: Visit) -> None:
    page = visit.open()
    expect(page.get_by_role("heading", name="Classifiers you can read, question and correct")).to_be_visible()
    expect(page.get_by_text(re.compile("The model says .*, mainly because of"))).to_be_visible()
    cards = page.locator(".st-key-pipeline")
    for step in ("Data", "Discover", "Name", "Classify", "Intervene"):
        expect(cards.get_by_text(step, exact=True)).to_be_visible()
    cards.get_by_role("link", name="Browse concepts").click()
    expect(page.get_by_role("heading", name="Concepts", exact=True)).to_be_visible()


def test_scenario_of_a_mistake_opens_it_with_its_concept_and_the_figures_are_the_models(visit: Visit, server: Server) -> None:
    mistake = scenarios.find_mistake(server.study)
    assert mistake is not None
    page = visit.open()
    card = page.locator(".st-key-guides")
    expect(card.get_by_text(f"makes {mistake.share:.0%} of that score")).to_be_visible()
    expect(card.get_by_text(percent(mistake.accuracy_after)).first).to_be_visible()
    page.get_by_role("button", name="Correct it").click()
    expect(page.get_by_role("heading", name="Intervene", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile(rf"concept={mistake.concept}(&|$)"))
    expect(page.locator(".stMarkdownBadge", has_text="wrong").first).to_be_visible()


def test_scenario_of_the_shortcut_brings_its_own_model(visit: Visit, server: Server) -> None:
    root = str(server.workspace)
    model = str(resources.catalogue(root).demo["shortcut"]["model"])
    shortcut = scenarios.find_shortcut(resources.study(root, model), model, "")
    assert shortcut is not None
    page = visit.open()
    expect(page.locator(".st-key-guides").get_by_text(percent(shortcut.worst_after)).first).to_be_visible()
    page.get_by_role("button", name="Remove it").click()
    expect(page).to_have_url(re.compile(rf"model={model.partition('-')[2][:8]}"))
    expect(page.get_by_test_id("stSidebar").get_by_role("combobox")).to_have_value("Demo: planted shortcut")


def test_start_fits_a_telephone(browser: Browser, server: Server) -> None:
    visitor = Visit(browser, server.url, width=390)
    page = visitor.open()
    expect(page.get_by_role("button", name="Correct it")).to_be_visible()
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
    visitor.close()
    assert not visitor.problems, visitor.problems
