"""Shared by all tests: a workspace in which the demo has run in its smallest size."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import hypothesis
import jaxtyping
import pytest
from xdist.scheduler import LoadScopeScheduling

if "PYTEST_XDIST_WORKER" in os.environ:
    # The processes share the cores among them; a pool of threads in each only makes them wait for one another.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

sys.path.insert(0, str(Path(__file__).parent))
LIBRARY = [
    f"cbm.{room.name}"
    for room in (Path(__file__).resolve().parents[1] / "cbm").iterdir()
    if room.is_dir() and room.name not in ("ui", "__pycache__")
]
if os.environ.get("CBM_CHECK_SHAPES", "yes") == "yes":  # the Makefile leaves it out for the pages: it takes half of their time
    jaxtyping.install_import_hook([*LIBRARY, "cbm.registry"], "checked_shapes.check")

from cbm.demo.pipeline import Demonstrated
from cbm.workspace.workspace import Workspace

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


class ByFile(LoadScopeScheduling):
    """Keeps a file's tests in one process, and all of `real` in one: they share what is slow to make."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests/real" if file.startswith("tests/real/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Under the marker `wrong_types` a test gives what no annotation allows, to see what the code itself says of it."""
    jaxtyping.config.update("jaxtyping_disable", item.get_closest_marker("wrong_types") is not None)
    try:
        return (yield)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def built_demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Demonstrated]:
    """Every verb, run once on a few hundred scenes. Treat the workspace as read-only; `demo_copy` gives one to write to."""
    from cbm.demo import pipeline

    home = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        home = home.parent  # of all processes
    workspace, result = Workspace(home / "demo" / "workspace"), home / "demo" / "result.json"
    with filelock.FileLock(home / "demo.lock"):
        if not result.exists():
            built = pipeline.demo(workspace=workspace, settings=pipeline.TINY, device="cpu")
            result.write_text(json.dumps(built.record()))
    return workspace, pipeline.Demonstrated(**json.loads(result.read_text()))


@pytest.fixture
def demo_copy(built_demo: tuple[Workspace, Demonstrated], tmp_path: Path) -> Workspace:
    shutil.copytree(built_demo[0].root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")
