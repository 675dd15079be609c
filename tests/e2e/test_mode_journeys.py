"""Demo and hosted mode in a real browser: what strangers can do, and that two of them never meet."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import planted
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from visits import Server, Visit

ServerOf = Callable[[str], Server]


@pytest.fixture(scope="module")
def server_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerOf]:
    """The app's server in a mode, on a workspace of its own; the tests of a mode share it, as strangers do."""
    running: dict[str, Server] = {}

    def start(mode: str) -> Server:
        if mode not in running:
            folder = tmp_path_factory.mktemp(mode)
            planted.build(folder / "workspace")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("CBM_MODE", mode)
                running[mode] = Server(folder / "workspace", folder / "server.log")
            running[mode].wait()
        return running[mode]

    yield start
    for server in running.values():
        server.stop()


@pytest.fixture
def visitors(browser: Browser) -> Iterator[Callable[[Server], Visit]]:
    """Opens the app as one visitor after another, each in a browser of their own; all must have seen no trouble."""
    come: list[Visit] = []

    def visit(server: Server) -> Visit:
        come.append(Visit(browser, server.url))
        return come[-1]

    yield visit
    for visitor in come:
        visitor.close()
    assert not [problem for visitor in come for problem in visitor.problems]


def photographs(folder: str) -> bytes:
    generator = np.random.default_rng(len(folder))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for number in range(24):
            picture = io.BytesIO()
            Image.fromarray(generator.integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(picture, "PNG")
            packed.writestr(f"{folder}-{number % 2}/{number}.png", picture.getvalue())
    return buffer.getvalue()


def upload_archive(page: Page, visit: Visit, name: str) -> None:
    page.locator(".st-key-own_files input[type=file]").set_input_files(
        [{"name": f"{name}.zip", "mimeType": "application/zip", "buffer": photographs(name)}]
    )
    visit.settle()
    page.get_by_role("radio", name="Drawn scenes").click()
    visit.settle()
    page.get_by_role("button", name="Build a model").click()


def test_demo_mode_shows_the_result_and_has_no_place_to_write(server_of: ServerOf, visitors: Callable[[Server], Visit]) -> None:
    visit = visitors(server_of("demo"))
    page = visit.open()
    sidebar = page.get_by_test_id("stSidebar")
    expect(sidebar.get_by_text("Demo, read only").first).to_be_visible()
    expect(sidebar.get_by_role("link", name="Concepts", exact=True)).to_be_visible()
    for absent in ("Data", "Discover", "Jobs"):
        expect(sidebar.get_by_role("link", name=absent, exact=True)).to_have_count(0)
    expect(page.get_by_role("button", name="Build a model")).to_have_count(0)
    expect(page.get_by_text("95.0%")).to_be_visible()


_LISTEN = """
    new MutationObserver(() => { window.saidNotFound ||= document.body?.innerText.includes('Page not found') })
        .observe(document, {childList: true, subtree: true, characterData: true})
"""


@pytest.mark.parametrize("address", ["/data", "/discover", "/jobs"])
def test_addresses_of_pages_that_write_lead_nowhere_in_a_demo(server_of: ServerOf, browser: Browser, address: str) -> None:
    visit = Visit(browser, server_of("demo").url)
    visit.page.add_init_script(_LISTEN)
    page = visit.open(address)
    # Heard as it is said: a browser that has to connect again runs the main page once more, without the message.
    page.wait_for_function("window.saidNotFound === true", polling=100)
    expect(page.get_by_role("heading", name="Classifiers you can read, question and correct")).to_be_visible()
    expect(page.get_by_test_id("stFileUploader")).to_have_count(0)
    visit.close()


def test_demo_started_by_the_command_has_headers_that_every_page_can_live_with(
    server_of: ServerOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, browser: Browser
) -> None:
    monkeypatch.setenv("CBM_MODE", "demo")
    server = Server(server_of("demo").workspace, tmp_path / "server.log", by_command=True)
    try:
        server.wait()
        visit = Visit(browser, server.url)
        answer = visit.page.goto(server.url)
        assert answer is not None
        assert "script-src 'self' blob: 'sha256-" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        for address, heading in (("/", "Classifiers you can read"), ("/concepts", "Concepts"), ("/intervene", "Intervene")):
            visit.page.goto(server.url + address)
            expect(visit.page.get_by_role("heading", name=heading).first).to_be_visible()
            visit.page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(state="attached")
        visit.close()
        assert not visit.problems, visit.problems
    finally:
        server.stop()


def test_edits_in_a_demo_stay_in_the_visitors_tab(server_of: ServerOf, visitors: Callable[[Server], Visit]) -> None:
    server = server_of("demo")
    before = {file: file.stat().st_mtime_ns for file in server.workspace.rglob("*")}
    anna, bert = visitors(server), visitors(server)
    page = anna.open("/concept?concept=3")
    name = page.get_by_role("heading", level=1).inner_text()
    page.get_by_role("textbox", name="Rename").fill("my own name")
    page.get_by_role("textbox", name="Rename").press("Enter")
    expect(page.get_by_role("heading", name="my own name", level=1)).to_be_visible()
    expect(bert.open("/concept?concept=3").get_by_role("heading", level=1)).to_have_text(name)
    assert {file: file.stat().st_mtime_ns for file in server.workspace.rglob("*")} == before


def test_two_hosted_visitors_at_once_never_see_each_others_work(server_of: ServerOf, visitors: Callable[[Server], Visit]) -> None:
    server = server_of("hosted")
    anna, bert = visitors(server), visitors(server)
    hers, his = anna.open(), bert.open()
    upload_archive(hers, anna, "anna")
    upload_archive(his, bert, "bert")
    for page, mine, other in ((hers, "anna", "bert"), (his, "bert", "anna")):
        expect(page).to_have_url(re.compile(r"workspace=[0-9a-f]{32}"))
        expect(page.get_by_text(f"Build a model from {mine}.zip").first).to_be_visible()
        expect(page.get_by_text(f"{other}.zip")).to_have_count(0)
    assert _workspace(hers) != _workspace(his)
    # Each sees one's own job alone, and edits do not cross either.
    hers.get_by_test_id("stSidebar").get_by_role("link", name="Jobs", exact=True).click()
    expect(hers.get_by_text("anna.zip").first).to_be_visible()
    expect(hers.get_by_text("bert.zip")).to_have_count(0)
    expect(hers).to_have_url(re.compile(r"workspace=[0-9a-f]{32}"))
    page = anna.open(f"/concept?concept=3&workspace={_workspace(hers)}")
    page.get_by_role("textbox", name="Rename").fill("anna's name")
    page.get_by_role("textbox", name="Rename").press("Enter")
    expect(page.get_by_role("heading", name="anna's name", level=1)).to_be_visible()
    expect(bert.open(f"/concept?concept=3&workspace={_workspace(his)}").get_by_role("heading", level=1)).not_to_have_text("anna's name")


def test_hosted_visitor_comes_back_and_deletes_their_data(server_of: ServerOf, visitors: Callable[[Server], Visit]) -> None:
    server = server_of("hosted")
    visit = visitors(server)
    page = visit.open()
    upload_archive(page, visit, "anna")
    expect(page).to_have_url(re.compile(r"workspace=[0-9a-f]{32}"))
    token = _workspace(page)
    again = visitors(server)
    page = again.open(f"/?workspace={token}")
    expect(page.get_by_text("Build a model from anna.zip").first).to_be_visible()
    page.get_by_test_id("stSidebar").get_by_role("button", name="Your data").click()
    page.get_by_role("button", name="Delete my data").click()
    expect(page).not_to_have_url(re.compile("workspace="))
    expect(page.get_by_text("anna.zip")).to_have_count(0)
    expect(page.get_by_text("95.0%")).to_be_visible()
    assert not (server.workspace / "visitors" / token).exists()
    stranger = visitors(server)
    expect(stranger.open(f"/?workspace={token}").get_by_text("a workspace that does not exist here")).to_be_visible()


@pytest.mark.parametrize("address", ["/", "/concept?concept=3"])
def test_wrong_mode_is_told_in_the_page(server_of: ServerOf, visitors: Callable[[Server], Visit], address: str) -> None:
    page = visitors(server_of("public")).open(address)
    expect(page.get_by_text("CBM_MODE is 'public'; it must be local, hosted or demo.")).to_be_visible()


def _workspace(page: Page) -> str:
    found = re.search(r"workspace=([0-9a-f]{32})", page.url)
    assert found is not None
    return found[1]
