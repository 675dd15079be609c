"""The verbs that take models out of a workspace and into one: export and import_bundle."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cbm.core.errors import NotFoundError
from cbm.core.progress import Progress, ProgressCallback
from cbm.editing.recipe import Recipe
from cbm.metrics.classification import accuracy
from cbm.model.concept_model import ConceptModel
from cbm.verbs.common import WorkspaceLike, load_set, open_workspace
from cbm.verbs.held_out import Rows, all_rows, renumbered, test_rows_of
from cbm.verbs.modelling import load_model, require_model_world
from cbm.verbs.results import Exported, ImportedBundle
from cbm.workspace.workspace import Draft, Workspace


def export(
    model: str,
    folder: str | Path,
    *,
    formats: Sequence[str] = ("bundle", "onnx", "saelens"),
    recipe: Recipe | None = None,
    workspace: WorkspaceLike = None,
) -> Exported:
    """Write a model as a folder that works without this project; the ONNX graph is compared with the model on its own test images.

    Args:
        recipe: takes the place of the model's own edits in what is written; the workspace keeps the model as it is.
    """
    from cbm.model.save import save_bundle

    home = open_workspace(workspace)
    opened = load_model(home, model)
    if recipe is not None:
        opened = dataclasses.replace(opened, model=opened.model.with_recipe(recipe))
    check_on = opened.test_rows(home).embeddings[:512] if opened.has_test_rows(home) else None
    metrics = dict(opened.artifact.metrics) if opened.artifact else None
    report = save_bundle(opened.model, folder, formats, metrics=metrics, check_on=check_on)
    return Exported(str(report.folder), report.files, report.max_abs_difference)


def import_bundle(
    source: str | Path, *, on: str | None = None, workspace: WorkspaceLike = None, progress: ProgressCallback | None = None
) -> ImportedBundle:
    """Take an exported bundle into a workspace as a model.

    Its predictions stay as they are. What it was measured on elsewhere is kept on record; the pages of the app show it with the images
    of `on`, or with its own test images where this workspace has the very same set.

    Args:
        source: the folder that `export` wrote, or a .zip of it.
        on: embedding set to show and measure it with; labels are used where its classes know them.

    Raises:
        NotFoundError: no such folder, file or set.
        InvalidInputError: the file is no archive of a bundle, or holds what no bundle holds.
        CorruptArtifactError: a file of the bundle is missing, or was changed.
        MismatchError: the images come from another backbone or space.
    """
    from cbm.model.bundle_archive import unpack
    from cbm.model.bundle_files import read_config

    home = open_workspace(workspace)
    source = Path(source).expanduser()
    if not source.exists():
        raise NotFoundError(f"{source} does not exist. Give the folder of an exported bundle, or a .zip of it.")
    with tempfile.TemporaryDirectory(prefix="cbm-bundle-") as temporary:
        folder = source if source.is_dir() else unpack(source, Path(temporary))
        if progress is not None:
            progress(Progress(0, 2, "Checking the bundle"))
        model = ConceptModel.load(folder)
        config = read_config(folder)
        digest = _digest(folder)
    rows = _rows(home, model, on)
    if progress is not None:
        progress(Progress(1, 2, "Measuring"))
    parameters = {"bundle": digest, "measured_on": rows.record() if rows is not None else None}
    measured = None if rows is None else _accuracy(model, rows)
    artifact = home.create(
        "model", parameters, () if rows is None else (rows.source.id,), lambda draft: _write(draft, model, config, rows, measured)
    )
    return ImportedBundle(
        artifact.id, len(model.classes), model.head.size, 0 if rows is None else len(rows.rows), measured, rows.source.id if rows else None
    )


def _digest(folder: Path) -> str:
    """Of all that decides predictions and names, whatever formats the bundle was exported in."""
    from cbm.model.bundle_files import REQUIRED

    digest = hashlib.sha256()
    for name in REQUIRED:
        digest.update(f"{name}\n".encode())
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def _rows(home: Workspace, model: ConceptModel, on: str | None) -> Rows | None:
    """The images to show a model with: those asked for, else its own test images where they are here."""
    own = model.method.get("data", {}).get("test")
    here = own is not None and any(own.get("embeddings") == artifact.id for artifact in home.list("embeddings"))
    if on is None:
        return test_rows_of(home, own) if here and own is not None else None
    chosen = load_set(home, on)
    require_model_world(chosen, model)
    return test_rows_of(home, own) if here and own is not None and own["embeddings"] == chosen.id else all_rows(chosen)


def _accuracy(model: ConceptModel, rows: Rows) -> float | None:
    labels = renumbered(rows.labels, rows.source.classes, model.classes)
    known = labels >= 0
    if not known.any():
        return None
    return accuracy(model.predict(rows.embeddings, rows.items).labels[known], labels[known])


def _write(draft: Draft, model: ConceptModel, config: dict[str, Any], rows: Rows | None, measured: float | None) -> None:
    from cbm.model.save import write_model

    data = dict(model.method.get("data", {}))
    before = data.get("test")
    recorded = {name: value for name, value in config.get("metrics", {}).items() if name != "accuracy"}
    if rows is not None:
        data["test"] = rows.record()
        if before is not None and before != data["test"]:
            data["test_before_export"] = before
    draft.metrics.update(recorded)
    if measured is not None:
        draft.metrics["accuracy"] = measured
    if before is not None and before != data.get("test"):
        draft.metrics["measured_elsewhere"] = before
    write_model(dataclasses.replace(model, method={**model.method, "data": data}), draft.path, metrics=dict(draft.metrics))
