"""A visitor's own images: from a zip to a corrected model, taken along and opened again in another workspace."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from visits import Server, Visit

from cbm.images.scene_source import scene_file
from cbm.images.scenes import Scenes

IMAGES = 320
CLASSES = 4
JOB = 300_000
"""Milliseconds that a job may take: every step is real work, perhaps beside other tests."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip with one folder per class, as anybody would make it."""
    archive = tmp_path_factory.mktemp("own") / "my pictures.zip"
    scenes = Scenes("classes", IMAGES * 3, 5, "train")
    with zipfile.ZipFile(archive, "w") as target:
        for number, (scene, label) in enumerate(zip(scenes, scenes.labels, strict=True)):
            if label < CLASSES:
                target.writestr(f"{scenes.class_names[label]}/{number:04}.png", scene_file(scene))
    return archive


@pytest.fixture
def empty_servers(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    servers = [Server(tmp_path / name, tmp_path / f"{name}.log") for name in ("first", "second")]
    try:
        for server in servers:
            server.wait()
        yield servers[0], servers[1]
    finally:
        for server in servers:
            server.stop()


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=re.compile(name)).first.click()


def encode(visit: Visit, archive: Path) -> None:
    """Upload and encode with the backbone that ships."""
    page = visit.open("/data?data_view=Add+images")
    page.locator("input[type=file]").first.set_input_files(archive)
    press(page, r"Encode \d+ images")
    expect(page.get_by_role("heading", name=re.compile("my pictures"))).to_be_visible(timeout=JOB)


def test_own_images_become_a_model_that_is_corrected_exported_and_opened_elsewhere(
    browser: Browser, empty_servers: tuple[Server, Server], pictures: Path
) -> None:
    first, second = (Visit(browser, server.url) for server in empty_servers)
    encode(first, pictures)

    page = first.open("/discover")
    page.get_by_text("Advanced settings").click()
    page.get_by_role("spinbutton", name="Passes over the images").fill("60")
    page.get_by_role("spinbutton", name="Passes over the images").press("Tab")
    first.settle()
    press(page, "Discover concepts")
    expect(page.get_by_role("heading", name="Names", exact=True)).to_be_visible(timeout=JOB)
    first.settle()
    press(page, "Name the concepts")
    train = page.get_by_role("link", name=re.compile("Train a classifier on these concepts"))
    expect(train).to_be_visible(timeout=JOB)
    first.settle()
    train.click()
    first.settle()
    page.locator(".st-key-train_go button").click()
    expect(page.get_by_role("heading", name="Confusions")).to_be_visible(timeout=JOB)

    page = first.open("/intervene")
    press(page, "Do it and look")
    expect(page.get_by_text("1 edit in force")).to_be_visible()
    expect(page.get_by_test_id("stMetric").filter(has_text="Accuracy")).to_be_visible()
    first.settle()
    image = parse_qs(urlsplit(page.url).query)["image"][0]
    edited_prediction = page.get_by_role("heading", level=4).first.inner_text()

    page.get_by_role("link", name=re.compile("Export")).click()
    first.settle()
    press(page, "Build and check")
    expect(page.get_by_text("Checked.")).to_be_visible()
    with page.expect_download() as download:
        page.locator(".st-key-export_download button").click()
    bundle = pictures.parent / download.value.suggested_filename
    download.value.save_as(bundle)
    assert any(name.endswith("model.safetensors") for name in zipfile.ZipFile(io.BytesIO(bundle.read_bytes())).namelist())
    first.close()
    assert not first.problems, first.problems

    encode(second, pictures)
    page = second.open("/export")
    page.locator(".st-key-load_form input[type=file]").set_input_files(bundle)
    second.settle()
    page.locator(".st-key-load_go button").click()
    expect(page.get_by_text("with 1 edit in force")).to_be_visible(timeout=JOB)
    page = second.open(f"/intervene?image={quote(image, safe='')}")
    expect(page.get_by_text("1 edit in force")).to_be_visible()
    expect(page.get_by_role("heading", level=4).first).to_have_text(edited_prediction)
    second.close()
    assert not second.problems, second.problems
