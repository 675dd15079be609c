"""The demo built from the browser: it runs outside the page, tells how far it is, and can be stopped."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from planted import OpenApp

from cbm.errors import Cancelled, InvalidInputError
from cbm.progress import Progress
from cbm.ui.demo_build import DemoBuild
from cbm.workspace import Workspace


def finish(build: DemoBuild) -> None:
    thread = build._thread
    assert thread is not None
    thread.join(timeout=30)
    assert not build.running


def test_button_builds_the_demo_and_the_result_appears(
    open_app: OpenApp, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def run(target: Workspace, *, progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> None:
        progress(Progress(1, 4, "Discovering concepts"))
        assert go_on.wait(30)
        shutil.copytree(workspace.root, target.root, dirs_exist_ok=True)

    monkeypatch.setattr("cbm.demo.run", run)
    app = open_app(root=tmp_path / "fresh")
    app.button(key="build_demo").click().run()
    assert app.button(key="build_demo").disabled
    assert app.button(key="stop_demo").label == "Stop"
    go_on.set()
    for thread in threading.enumerate():
        if thread.name == "demo-build":
            thread.join(timeout=30)
    app.run()
    assert {metric.label for metric in app.metric} >= {"Accuracy", "Concepts found"}


def test_stop_is_heard_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = threading.Event()

    def run(target: Workspace, *, progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> None:
        started.set()
        while not cancelled():
            threading.Event().wait(0.01)
        raise Cancelled("stopped")

    monkeypatch.setattr("cbm.demo.run", run)
    build = DemoBuild(tmp_path)
    build.start()
    assert started.wait(30)
    build.cancel()
    finish(build)
    assert build.error is not None
    assert "goes on from there" in build.error


def test_failure_is_shown_in_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(target: Workspace, **_: object) -> None:
        raise InvalidInputError("the weights are damaged; install them again")

    monkeypatch.setattr("cbm.demo.run", run)
    build = DemoBuild(tmp_path)
    build.start()
    finish(build)
    assert build.error == "the weights are damaged; install them again"


def test_second_start_joins_the_running_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, go_on = [], threading.Event()

    def run(target: Workspace, **_: object) -> None:
        calls.append(target.root)
        assert go_on.wait(30)

    monkeypatch.setattr("cbm.demo.run", run)
    build = DemoBuild(tmp_path)
    build.start()
    build.start()
    go_on.set()
    finish(build)
    assert calls == [tmp_path]
