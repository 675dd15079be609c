"""Session state and query parameters have one owner: `cbm.ui.frame`, and the visit itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OWNERS = {
    "cbm/ui/frame/slots.py",
    "cbm/ui/frame/links.py",
    # The visitor's token decides which session this is, before there is a page.
    "cbm/ui/access/visitors.py",
}
STATE = {"session_state", "query_params"}


def state_touched(source: str) -> list[str]:
    """Where a module takes Streamlit's state into its own hands."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Attribute)
            and node.attr in STATE
            and isinstance(node.value, ast.Name)
            and node.value.id in ("st", "streamlit")
        ):
            found.append(f"line {node.lineno}: {node.attr}")
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("streamlit"):
            found += [f"line {node.lineno}: {name.name}" for name in node.names if name.name in STATE]
    return found


def test_only_the_frame_and_the_visit_touch_streamlits_state() -> None:
    files = [ROOT / "app.py", *(ROOT / "pages").glob("*.py"), *(ROOT / "cbm" / "ui").rglob("*.py")]
    touched = {file.relative_to(ROOT).as_posix(): found for file in files if (found := state_touched(file.read_text()))}
    assert set(touched) == OWNERS, touched


@pytest.mark.parametrize(
    "source",
    [
        "import streamlit as st\nst.session_state['a'] = 1\n",
        "from streamlit import query_params\n",
        "def f():\n    return st.query_params.get('a')\n",
    ],
)
def test_search_finds_state_that_is_touched(source: str) -> None:
    assert state_touched(source)
