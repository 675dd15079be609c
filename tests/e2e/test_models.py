"""What a visitor does with models: from a confusion to its images, two models side by side, and one taken from workspace to workspace."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from urllib.parse import quote

import planted
from playwright.sync_api import Browser, expect
from visits import Server, Visit

from cbm import verbs
from cbm.editing.recipe import AblateConcept, Recipe
from cbm.workspace.workspace import Workspace


def test_a_confused_cell_leads_to_its_images_and_on_to_why(visit: Visit, server: Server) -> None:
    report = server.study.confusions(Recipe())
    truth, predicted, count = report.pairs(3)[2]
    page = visit.open("/classify")
    expect(page.get_by_role("heading", name="Confusions")).to_be_visible()
    layer = page.locator(".st-key-classify_matrix .nsewdrag").first
    layer.scroll_into_view_if_needed()
    box = layer.bounding_box()
    assert box is not None
    classes = len(report.classes)
    page.mouse.click(box["x"] + box["width"] * (predicted + 0.5) / classes, box["y"] + box["height"] * (truth + 0.5) / classes)
    names = report.classes[truth], report.classes[predicted]
    expect(page.get_by_text(f"{count} {'image' if count == 1 else 'images'} of {names[0]} predicted as {names[1]}")).to_be_visible()
    expect(page).to_have_url(re.compile("truth=.*&taken="))
    visit.settle()
    links = page.locator(".st-key-classify_cell").get_by_role("link", name="Why?")
    expect(links).to_have_count(min(count, 12))
    links.first.click()
    expect(page.get_by_role("heading", name="Intervene")).to_be_visible()
    expect(page).to_have_url(re.compile("image="))


def test_a_class_page_comes_back_by_its_address(visit: Visit, server: Server) -> None:
    name = server.study.class_names[2]
    page = visit.open(f"/classify?class={quote(name)}")
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
    expect(page.get_by_role("heading", name="What makes it")).to_be_visible()
    page.get_by_role("button", name="All classes").click()
    expect(page.get_by_role("heading", name="Classify")).to_be_visible()


def test_telephone_shows_models_without_sideways_scrolling(browser: Browser, server: Server) -> None:
    visitor = Visit(browser, server.url, width=390)
    for address in ("/classify", f"/classify?class={quote(server.study.class_names[0])}", "/compare?other=unedited", "/export"):
        page = visitor.open(address)
        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390, address
    visitor.close()
    assert not visitor.problems, visitor.problems


def test_two_models_side_by_side(browser: Browser, tmp_path: Path) -> None:
    workspace = planted.build(tmp_path / "workspace")
    server = Server(workspace.root, tmp_path / "server.log")
    try:
        first = server.study
        concept = int(abs(first.model.head.weight).sum(axis=0).argmax())
        model = workspace.list("model")[0].id
        edited = verbs.edit(model, Recipe.of(AblateConcept(concept, first.name(concept, Recipe()))), workspace=workspace)
        server.wait()
        visit = Visit(browser, server.url)
        page = visit.open("/compare")
        figures = page.get_by_test_id("stMetric")
        expect(figures.filter(has_text="Only A right")).to_contain_text(str(edited.newly_wrong))
        expect(figures.filter(has_text="Only B right")).to_contain_text(str(edited.corrected))
        expect(page.get_by_text("Both use the same dictionary")).to_be_visible()
        page.get_by_role("button", name="Swap").click()
        visit.settle()
        expect(figures.filter(has_text="Only A right")).to_contain_text(str(edited.corrected))
        expect(page).to_have_url(re.compile("model=.*other="))
        address = page.url.removeprefix(server.url)
        second = Visit(browser, server.url)
        expect(second.open(address).get_by_test_id("stMetric").filter(has_text="Only A right")).to_contain_text(str(edited.corrected))
        for visitor in (visit, second):
            visitor.close()
            assert not visitor.problems, visitor.problems
    finally:
        server.stop()


def test_a_model_travels_to_a_new_workspace_and_predicts_the_same(browser: Browser, server: Server, tmp_path: Path) -> None:
    study = server.study
    item = study.item(study.rows(wrong_only=True)[0])
    home = Visit(browser, server.url)
    verdict = home.open(f"/intervene?image={quote(item, safe='')}").get_by_role("heading", level=4).first.inner_text()
    page = home.open("/export")
    page.get_by_role("button", name="Build and check").click()
    expect(page.get_by_text("Checked. Largest difference")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile("^Download concept-model")).click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    home.close()

    fresh = Workspace(tmp_path / "fresh")
    images = server.workspace / "artifacts" / study.held_out.id
    shutil.copytree(images, fresh.root / "artifacts" / images.name)
    elsewhere = Server(fresh.root, tmp_path / "elsewhere.log")
    try:
        elsewhere.wait()
        visit = Visit(browser, elsewhere.url)
        page = visit.open("/export")
        expect(page.get_by_role("heading", name="No models to export yet")).to_be_visible()
        page.locator("input[type=file]").set_input_files(file)
        expect(page.get_by_role("button", name="Load", exact=True)).to_be_enabled()
        page.get_by_role("button", name="Load", exact=True).click()
        expect(page.get_by_text("Preview of the model card")).to_be_visible()
        page = visit.open(f"/intervene?image={quote(item, safe='')}")
        expect(page.get_by_role("heading", level=4).first).to_have_text(verdict)
        visit.close()
        assert not visit.problems, visit.problems
    finally:
        elsewhere.stop()
    assert not home.problems, home.problems
