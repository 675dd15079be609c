"""A planted workspace for the pages, and a way to open the app on it."""

from __future__ import annotations

import shutil
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

sys.path.insert(0, str(Path(__file__).parent))
import planted
from planted import OpenApp

from cbm.names.meaning import SentenceEncoder
from cbm.workspace.workspace import Workspace

APP = Path(__file__).resolve().parents[2] / "app.py"


@pytest.fixture(autouse=True)
def remember_navigation(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest forgets before every run that `st.navigation` was called, which a server does not (`shell.require_entry`)."""
    initialise = PagesManager.__init__

    def initialise_navigated(self: PagesManager, *arguments: Any, **options: Any) -> None:
        PagesManager.uses_pages_directory = False
        initialise(self, *arguments, **options)

    monkeypatch.setattr(PagesManager, "__init__", initialise_navigated)


@pytest.fixture(autouse=True)
def no_workers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is submitted waits: no test of a page starts a process. Holds the workspaces that a worker was wanted for."""
    wanted: list[str] = []
    monkeypatch.setattr("cbm.jobs.attached.Crew.ensure", lambda _, root, **__: wanted.append(str(root)))
    return wanted


@pytest.fixture(autouse=True)
def quick_meanings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names mean what letters they have: loading the real encoder takes seconds, and its own tests use it."""

    def encode(self: SentenceEncoder, texts: Sequence[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), 4096), np.float32)
        for row, text in enumerate(texts):
            word = f" {planted.SYNONYMS.get(text.casefold(), text.casefold())} "
            for start in range(len(word) - 2):
                vectors[row, zlib.crc32(word[start : start + 3].encode()) % 4096] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    monkeypatch.setattr(SentenceEncoder, "encode", encode)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Shared by tests that only read."""
    return planted.build(tmp_path_factory.mktemp("planted") / "workspace")


@pytest.fixture
def own_workspace(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A copy that a test may damage."""
    shutil.copytree(workspace.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def open_app(monkeypatch: pytest.MonkeyPatch, workspace: Workspace) -> OpenApp:
    """Opens a page of the app in a session of its own, with query parameters, and checks that nothing was raised."""

    def open_page(page: str | None = None, root: Path | None = None, **query: object) -> AppTest:
        monkeypatch.setenv("CBM_WORKSPACE", str(root or workspace.root))
        app = AppTest.from_file(str(APP), default_timeout=60)
        if page is not None:
            app.switch_page(f"pages/{page}.py")
        for name, value in query.items():
            app.query_params[name] = str(value)
        app.run()
        assert not app.exception, app.exception
        return app

    return open_page
