"""The verbs of CBM Studio: one per stage of the pipeline, each from artefact ids to a new artefact and its figures.

The command line, the jobs and the pages are derived from them. Every verb takes `workspace` (a `Workspace`, a folder, or None for the
default), `progress` and `cancelled`, some take `device` and `seed`, and each returns a frozen dataclass; asking for the same thing twice
finds the finished artefact. `cbm.registry.VERBS` lists them.
"""

from __future__ import annotations

import pkgutil
from typing import TYPE_CHECKING, Any

from cbm.registry import VERBS

if TYPE_CHECKING:
    # For type checkers and editors; what can be called at run time is what is registered.
    from cbm.demo.pipeline import demo
    from cbm.verbs.base import Verb
    from cbm.verbs.build import build
    from cbm.verbs.discover import discover
    from cbm.verbs.edit import edit
    from cbm.verbs.embed import embed
    from cbm.verbs.evaluate import evaluate
    from cbm.verbs.explain import explain
    from cbm.verbs.export import export
    from cbm.verbs.import_bundle import import_bundle
    from cbm.verbs.import_vectors import import_vectors
    from cbm.verbs.name import name
    from cbm.verbs.report import report
    from cbm.verbs.sweep import sweep
    from cbm.verbs.train import train
    from cbm.verbs.vocabulary import vocabulary

__all__ = [
    "build",
    "demo",
    "discover",
    "edit",
    "embed",
    "evaluate",
    "explain",
    "export",
    "import_bundle",
    "import_vectors",
    "name",
    "report",
    "sweep",
    "train",
    "vocabulary",
]

# A verb of this package bears the name of its module, and here the name means the verb.
globals().update({module.name: VERBS[module.name] for module in pkgutil.iter_modules(__path__) if module.name in VERBS})


def __getattr__(name: str) -> Verb[..., Any]:
    """A verb that is defined elsewhere."""
    if name in VERBS:
        return VERBS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
