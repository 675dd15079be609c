"""The verbs of CBM Studio: one function per stage, each from artefact ids to a new artefact and its figures.

The command line and the pages are thin over these. Every verb takes `workspace` (a `Workspace`, a folder, or None for the default)
and returns a frozen dataclass; asking for the same thing twice finds the finished artefact.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cbm.verbs.building import build
    from cbm.verbs.bundles import export, import_bundle
    from cbm.verbs.data import embed, import_vectors, vocabulary
    from cbm.verbs.discovery import discover, name
    from cbm.verbs.modelling import edit, evaluate, explain, train
    from cbm.verbs.sweeping import sweep

_HOMES = {
    "embed": "data",
    "import_vectors": "data",
    "vocabulary": "data",
    "discover": "discovery",
    "name": "discovery",
    "train": "modelling",
    "evaluate": "modelling",
    "explain": "modelling",
    "edit": "modelling",
    "export": "bundles",
    "import_bundle": "bundles",
    "build": "building",
    "sweep": "sweeping",
}

__all__ = [
    "build",
    "discover",
    "edit",
    "embed",
    "evaluate",
    "explain",
    "export",
    "import_bundle",
    "import_vectors",
    "name",
    "sweep",
    "train",
    "vocabulary",
]


def __getattr__(verb: str) -> Any:
    """Loads a verb's module on first use, so that importing the package stays fast."""
    if verb not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {verb!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[verb]}"), verb)
