"""From a finished model back to the calls that make it again: a Python script, and the same as shell lines.

Artefacts record their parameters and parents, and ids are digests of both, so the calls can be read off, and the script can check that it
made the very same request. What artefacts do not record, such as where a file lay, is at the top of the script to be filled in.
"""

from __future__ import annotations

from dataclasses import dataclass

from cbm.core.errors import InvalidInputError
from cbm.editing.recipe import Recipe
from cbm.reproduction.lineage import Lineage
from cbm.reproduction.scripts import python_script, shell_script
from cbm.study.opened import edit_request, load_model
from cbm.workspace.workspace import Workspace


@dataclass(frozen=True)
class Reproduction:
    """How to make a model again."""

    model: str
    """The id that comes out."""
    python: str
    shell: str
    given: tuple[str, ...]
    """Constants at the top that have to be filled in first; empty where it runs as it is."""


def reproduction(workspace: Workspace, model: str, recipe: Recipe | None = None, *, show_paths: bool = True) -> Reproduction:
    """The script that makes a model of a workspace again, and, where `recipe` is not the model's own, puts that in its place.

    Args:
        show_paths: whether files are named by where they lie on this machine; else they are left to be filled in.

    Raises:
        InvalidInputError: something on the way was made by other means than this library's verbs.
        NotFoundError: a parent of the model is gone.
    """
    opened = load_model(workspace, model)
    if opened.artifact is None:
        raise InvalidInputError(f"{model} is a folder; a script can be written for models of a workspace only.")
    lineage = Lineage(workspace, show_paths)
    lineage.require(opened.artifact.id)
    made = opened.artifact.id
    if recipe is not None and recipe != opened.model.recipe:
        made = edit_request(made, recipe, opened.test_rows(workspace)).id
        lineage.edit(made, opened.artifact.id, recipe, None)
    plan = lineage.plan
    open_ends = tuple(entry.name for entry in plan.given if entry.value is None)
    return Reproduction(made, python_script(plan, made), shell_script(plan, made), open_ends)
