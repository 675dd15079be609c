"""Shared by all tests: a workspace in which the demo has run in its smallest size."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cbm.verbs.results import Demonstrated
from cbm.workspace import Workspace


@pytest.fixture(scope="session")
def built_demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Demonstrated]:
    """Every verb, run once on a few hundred scenes. Treat the workspace as read-only; `demo_copy` gives one to write to."""
    from cbm import demo

    workspace = Workspace(tmp_path_factory.mktemp("demo") / "workspace")
    return workspace, demo.run(workspace, settings=demo.TINY, device="cpu")


@pytest.fixture
def demo_copy(built_demo: tuple[Workspace, Demonstrated], tmp_path: Path) -> Workspace:
    shutil.copytree(built_demo[0].root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")
