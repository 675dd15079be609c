"""CBM Studio: discover, name, train, edit and export concept bottleneck models on frozen CLIP embeddings.

>>> from cbm import ConceptModel, Recipe, Study, Workspace, verbs
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cbm.core import compat
from cbm.core.version import __version__

if TYPE_CHECKING:
    from cbm import verbs
    from cbm.core import errors
    from cbm.editing.recipe import Recipe
    from cbm.model.concept_model import ConceptModel
    from cbm.study.study import Study
    from cbm.workspace.workspace import Workspace

compat.install()

__all__ = ["ConceptModel", "Recipe", "Study", "Workspace", "__version__", "errors", "verbs"]

_HOMES = {
    "ConceptModel": "cbm.model.concept_model",
    "Recipe": "cbm.editing.recipe",
    "Study": "cbm.study.study",
    "Workspace": "cbm.workspace.workspace",
    "errors": "cbm.core.errors",
    "verbs": "cbm.verbs",
}
"""Where the public names live; each is imported at its first use, so that `import cbm` stays fast."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_HOMES[name])
    return getattr(module, name, module)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
