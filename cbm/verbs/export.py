"""export: a model as a folder that works without this project."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Any

from cbm.core.run import Run
from cbm.core.wording import counted
from cbm.editing.recipe import Recipe
from cbm.verbs.base import Argument, AsJob, Option, Settings, VerbResult, verb
from cbm.workspace.workspace import Workspace


@dataclass(frozen=True)
class Export(Settings):
    model: str
    """Id of a concept model."""
    folder: Annotated[str | Path, Argument("DIR")]
    """Folder to write."""
    _: KW_ONLY
    formats: Annotated[Sequence[str], Option("format")] = ("bundle", "onnx", "saelens")
    """Any of bundle, onnx, saelens."""
    recipe: Recipe | str | Path | None = None
    """JSON file of edits that take the place of the model's own in what is written; the workspace keeps the model as it is."""


@dataclass(frozen=True)
class Exported(VerbResult):
    bundle: str
    files: tuple[str, ...]
    max_abs_difference: float | None
    """Largest difference of exported and native logits; None where no format could be run."""


def _figures(result: Mapping[str, Any]) -> str:
    return counted(len(result["files"]), "file")


@verb(Export, job=AsJob("Export a model", "export", "Open the bundle", _figures))
def export(settings: Export, workspace: Workspace, run: Run) -> Exported:
    """Write a model as a bundle that works without this project.

    The ONNX graph is compared with the model on its own test images.
    """
    from cbm.model.save import save_bundle
    from cbm.study.opened import as_recipe, load_model

    opened = load_model(workspace, settings.model)
    if settings.recipe is not None:
        opened = dataclasses.replace(opened, model=opened.model.with_recipe(as_recipe(settings.recipe, opened.model)))
    check_on = opened.test_rows(workspace).embeddings[:512] if opened.has_test_rows(workspace) else None
    metrics = dict(opened.artifact.metrics) if opened.artifact else None
    report = save_bundle(opened.model, settings.folder, settings.formats, metrics=metrics, check_on=check_on)
    return Exported(str(report.folder), report.files, report.max_abs_difference)
