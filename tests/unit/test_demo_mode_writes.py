"""Demo mode: everything in the app that writes asks for leave first, and is refused."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cbm.ui.access import modes, quotas, uploads
from cbm.ui.access.limits import NotAllowedError
from cbm.ui.frame import resources
from cbm.ui.widgets import job_panel

ROOT = Path(__file__).resolve().parents[2]
GUARDS = {"require_write", "check_job", "check_uploads", "may_write", "require_writing_mode"}
"""Of `cbm.ui.access.modes` and `quotas`; each refuses in demo mode, `may_write` by its answer."""
FILE_CALLS = {
    *("mkdir", "makedirs", "mkdtemp", "write_text", "write_bytes", "touch", "unlink", "rmdir", "rename", "renames", "symlink_to"),
    *("hardlink_to", "rmtree", "copytree", "copyfile", "copy2", "extractall", "savez", "save_file"),
}
OS_CALLS = {"replace", "remove", "link", "symlink", "move"}
JOB_CALLS = {"submit", "retry", "cancel"}
LIBRARY_CALLS = {
    "create",
    "remove",
    "write_model",
    "write_set",
    "export",
    "embed",
    "import_vectors",
    "discover",
    "train",
    "edit",
    "build",
    "sweep",
}
ALLOWED = {"cbm/ui/access/visitors.py"}
"""The folders of a hosted app's visitors, which only `access` makes, and only where the app is hosted."""


@dataclass
class Function:
    """What one function calls."""

    module: str
    name: str
    line: int
    writes: list[str] = field(default_factory=list)
    calls: set[str] = field(default_factory=set)
    guarded: bool = False


def functions() -> list[Function]:
    files = sorted([*(ROOT / "cbm" / "ui").rglob("*.py"), *(ROOT / "pages").glob("*.py")])
    return [found for file in files for found in _functions_of(file)]


def _functions_of(file: Path) -> Iterator[Function]:
    module = file.relative_to(ROOT).as_posix()
    tree = ast.parse(file.read_text())
    bodies: list[tuple[str, ast.AST]] = [(node.name, node) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    top = ast.Module([node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.ClassDef)], [])
    for name, body in [*bodies, ("", top)]:
        found = Function(module, name, getattr(body, "lineno", 1))
        for node in ast.walk(body):
            if isinstance(node, ast.Call):
                _note(node, found)
            elif isinstance(node, ast.Name):
                found.calls.add(node.id)
        yield found


def _note(call: ast.Call, found: Function) -> None:
    name = ast.unparse(call.func)
    receiver, _, last = name.rpartition(".")
    if last in GUARDS and receiver in ("modes", "quotas", ""):
        found.guarded = True
    written = (
        (last in FILE_CALLS and receiver != "edits")
        or (last in OS_CALLS and receiver in ("os", "shutil"))
        or (last in JOB_CALLS and "jobs" in receiver.lower())
        or (last in LIBRARY_CALLS and (receiver == "verbs" or "orkspace" in receiver))
        or (last == "open" and any(isinstance(value, str) and set(value) & set("wax+") for value in _constants(call)))
    )
    if written:
        found.writes.append(f"{found.module}:{call.lineno} {name}")


def _constants(call: ast.Call) -> Iterator[object]:
    """The mode that a file is opened with, wherever it stands."""
    for value in [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]:
        if isinstance(value, ast.Constant) and isinstance(value.value, str) and len(value.value) <= 3:
            yield value.value


def unguarded(found: list[Function]) -> list[str]:
    """What is written by functions that neither ask themselves nor are called only by functions of their module that ask."""
    by_module: dict[str, list[Function]] = {}
    for function in found:
        by_module.setdefault(function.module, []).append(function)
    wrong = []
    for module, members in by_module.items():
        if module in ALLOWED:
            continue
        safe = {function.name for function in members if function.guarded}
        for _ in members:
            for function in members:
                callers = [other for other in members if function.name in other.calls and other.name != function.name]
                if function.name.startswith("_") and callers and all(other.name in safe for other in callers):
                    safe.add(function.name)
        wrong += [written for function in members if function.name not in safe for written in function.writes]
    return wrong


def test_whatever_writes_in_the_app_asks_for_leave_first() -> None:
    found = functions()
    assert sum(bool(function.writes) for function in found) >= 8, "the search no longer finds what it should"
    assert not unguarded(found)


@pytest.mark.parametrize(
    ("unguarded_source", "guarded_source"),
    [
        (
            "def keep(path):\n    path.write_text('x')\n",
            "def keep(path):\n    modes.require_write()\n    path.write_text('x')\n",
        ),
        (
            "def keep(path):\n    with path.open('wb') as file:\n        file.write(b'')\n",
            "def keep(path):\n    quotas.check_uploads({})\n    with path.open('wb') as file:\n        file.write(b'')\n",
        ),
        (
            "def ask(root):\n    resources.jobs(root).submit('demo', {})\n",
            "def ask(root):\n    quotas.check_job({})\n    resources.jobs(root).submit('demo', {})\n",
        ),
        (
            "from cbm import verbs\nverbs.export('model')\n",
            "from cbm import verbs\nmodes.require_write()\nverbs.export('model')\n",
        ),
        (
            "def _inner(path):\n    path.mkdir()\ndef outer(path):\n    _inner(path)\n",
            "def _inner(path):\n    path.mkdir()\ndef outer(path):\n    modes.require_write()\n    _inner(path)\n",
        ),
    ],
)
def test_search_finds_a_writer_that_does_not_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unguarded_source: str, guarded_source: str
) -> None:
    (tmp_path / "cbm" / "ui").mkdir(parents=True)
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "cbm" / "ui" / "new.py").write_text(unguarded_source)
    assert len(unguarded(functions())) == 1
    (tmp_path / "cbm" / "ui" / "new.py").write_text(guarded_source)
    assert unguarded(functions()) == []


@dataclass(frozen=True)
class File:
    name: str

    def getvalue(self) -> bytes:
        return b"\x89PNG"


def test_each_way_to_write_refuses_in_demo_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBM_MODE", "demo")
    monkeypatch.setenv("CBM_WORKSPACE", str(tmp_path / "workspace"))
    root = str(tmp_path / "workspace")
    for attempt in (
        lambda: job_panel.submit("demo", {}, title="Build the demo"),
        lambda: resources.jobs(root),
        lambda: uploads.keep(root, [File("one.png")]),
        lambda: quotas.check_job({}),
        modes.delete_my_data,
        modes.require_paths,
    ):
        with pytest.raises(NotAllowedError):
            attempt()
    # A button's callback, which has no page to raise on: it is told on the next run.
    job_panel.cancel("job-0")
    assert not list(tmp_path.iterdir())
