"""Where the files that ship with the project lie, in a checkout and in an installed package alike."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_CHECKOUT = _PACKAGE.parent


def _shipped(name: str) -> Path:
    inside_package = _PACKAGE / f"_{name}"
    return inside_package if inside_package.is_dir() else _CHECKOUT / name


ASSETS = _shipped("assets")
DATA = _shipped("data")
DEFAULT_WORKSPACE = (_CHECKOUT if (_CHECKOUT / "pyproject.toml").is_file() else Path.cwd()) / "data" / "workspace"
APP = _PACKAGE / "_app" / "app.py" if (_PACKAGE / "_app").is_dir() else _CHECKOUT / "app.py"
APP_FOR_STRANGERS = _PACKAGE / "ui" / "access" / "asgi.py"
"""The same app, with headers for the browsers of visitors whom nobody knows."""
