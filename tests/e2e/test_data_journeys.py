"""Images of one's own: from a zip to a set that can be searched; and files that are no use, each with a clear message."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect
from visits import Server, Visit

from cbm.images.scenes import Scenes

COUNT = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With an empty workspace."""
    folder = tmp_path_factory.mktemp("data")
    running = Server(folder / "workspace", folder / "server.log")
    try:
        running.wait()
        yield running
    finally:
        running.stop()


def scenes_zip(file: Path) -> Path:
    """Drawn scenes in class folders, with a text that calls itself a picture."""
    scenes = Scenes("classes", COUNT, 5, "train")
    with zipfile.ZipFile(file, "w") as archive:
        for number, scene in enumerate(scenes):
            buffer = io.BytesIO()
            scene.draw(96).save(buffer, "PNG")
            archive.writestr(f"scenes/{scenes.class_names[scene.label]}/{number}.png", buffer.getvalue())
        archive.writestr("scenes/balloon/broken.jpg", b"words, not pixels")
    return file


def test_own_images_are_encoded_and_searched_by_words_and_by_likeness(
    visit: Visit, browser: Browser, server: Server, tmp_path: Path
) -> None:
    page = visit.open("/data")
    expect(page.get_by_role("heading", name="No images yet")).to_be_visible()
    page.get_by_role("button", name="Add images").click()
    visit.settle()
    page.locator("input[type=file]").set_input_files(scenes_zip(tmp_path / "scenes.zip"))
    expect(page.get_by_text(f"{COUNT} images · 10 classes")).to_be_visible()
    expect(page.get_by_text("1 file will be rejected")).to_be_visible()
    page.get_by_role("button", name=f"Encode {COUNT} images").click()
    expect(page.get_by_role("heading", name="scenes.zip")).to_be_visible()
    expect(page.get_by_text("1 file rejected, listed below with the reasons")).to_be_visible()
    visit.settle()
    search = page.get_by_role("searchbox", name="Search by words")
    search.fill("red")
    search.press("Enter")
    expect(page.get_by_text("Nearest to “red”")).to_be_visible()
    visit.settle()
    pictures = page.locator(".st-key-data_pictures")
    expect(pictures.get_by_role("img").first).to_have_attribute("alt", re.compile("class (balloon|valentine|chessboard|warning sign)"))
    pictures.get_by_role("button", name=re.compile(r"^\S* ?\d\.\d\d · ")).first.click()
    expect(page.get_by_text(re.compile(r"Nearest to \d+\.png"))).to_be_visible()
    expect(page).to_have_url(re.compile(r"[?&]like=\d+"))
    visit.settle()
    first = pictures.get_by_role("img").first.get_attribute("alt")
    second = Visit(browser, server.url)
    other = second.open(page.url.removeprefix(server.url))
    expect(other.locator(".st-key-data_pictures").get_by_role("img").first).to_have_attribute("alt", first or "")
    second.close()
    assert not second.problems, second.problems


WRONG = {
    "broken.zip": (b"PK\x03\x04 broken", "broken.zip is not a readable zip"),
    "cat.jpg": (b"words, not pixels", "None of these files is a readable picture"),
    "pets.csv": (b"path,label\na.png,cat\n", "upload it together with them"),
}


def test_wrong_files_get_a_clear_message(visit: Visit, tmp_path: Path) -> None:
    for name, (data, words) in WRONG.items():
        page = visit.open("/data?data_view=Add+images")
        (tmp_path / name).write_bytes(data)
        page.locator("input[type=file]").set_input_files(tmp_path / name)
        expect(page.get_by_test_id("stAlert").first).to_contain_text(words)
        expect(page.get_by_role("button", name=re.compile("^Encode"))).to_have_count(0)


def test_vectors_from_elsewhere_are_searched_by_likeness_and_say_what_is_missing(visit: Visit, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 512)).astype(np.float32)
    np.savez(tmp_path / "vectors.npz", embeddings=vectors, labels=np.array(["cat", "dog", "eel"] * 10))
    page = visit.open("/data?data_view=Import+vectors")
    page.locator("input[type=file]").set_input_files(tmp_path / "vectors.npz")
    page.get_by_role("combobox", name=re.compile("^Architecture")).fill("ViT-B-32")
    page.get_by_role("option", name="ViT-B-32", exact=True).click()
    visit.settle()
    page.get_by_role("combobox", name="Trained weights").fill("openai")
    page.get_by_role("option", name="openai", exact=True).first.click()
    page.get_by_role("button", name="Import 30 vectors").click()
    expect(page.get_by_role("heading", name="vectors.npz")).to_be_visible()
    expect(page.get_by_text("are not on this machine, so words and new pictures cannot be searched for")).to_be_visible()
    visit.settle()
    page.locator(".st-key-data_pictures").get_by_role("button", name="cat").first.click()
    expect(page.get_by_text(re.compile("Nearest to row"))).to_be_visible()
