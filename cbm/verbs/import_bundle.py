"""load: an exported bundle into the workspace, as a model."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cbm.core.errors import NotFoundError
from cbm.core.run import Run
from cbm.verbs.base import Argument, AsJob, Settings, VerbResult, verb
from cbm.workspace.requests import LoadedBundle
from cbm.workspace.workspace import Draft, Workspace

if TYPE_CHECKING:
    from cbm.model.concept_model import ConceptModel
    from cbm.study.held_out import Rows


@dataclass(frozen=True)
class ImportBundle(Settings):
    source: Annotated[str | Path, Argument("BUNDLE")]
    """Folder of an exported bundle, or a .zip of it."""
    _: KW_ONLY
    on: str | None = None
    """Embedding set to show and measure it with; its own test set when absent and here."""


@dataclass(frozen=True)
class ImportedBundle(VerbResult):
    model: str
    classes: int
    concepts: int
    images: int
    """That it is shown and measured with here; 0 where none were chosen."""
    accuracy: float | None
    """On those of them whose label it knows; None without any."""
    on: str | None


@verb(ImportBundle, command="load", job=AsJob("Load a model", "classify", "Open the model"))
def import_bundle(settings: ImportBundle, workspace: Workspace, run: Run) -> ImportedBundle:
    """Load an exported bundle into the workspace.

    Its predictions stay as they are. What it was measured on elsewhere is kept on record; the pages of the app show it with the images
    of `on`, or with its own test images where this workspace has the very same set.

    Raises:
        NotFoundError: no such folder, file or set.
        InvalidInputError: the file is no archive of a bundle, or holds what no bundle holds.
        CorruptArtifactError: a file of the bundle is missing, or was changed.
        MismatchError: the images come from another backbone or space.
    """
    from cbm.model.bundle_archive import unpack
    from cbm.model.bundle_files import read_config
    from cbm.model.concept_model import ConceptModel

    source = Path(settings.source).expanduser()
    if not source.exists():
        raise NotFoundError(f"{source} does not exist. Give the folder of an exported bundle, or a .zip of it.")
    with tempfile.TemporaryDirectory(prefix="cbm-bundle-") as temporary:
        folder = source if source.is_dir() else unpack(source, Path(temporary))
        run.report(0, 2, "Checking the bundle")
        model = ConceptModel.load(folder)
        config = read_config(folder)
        digest = _digest(folder)
    rows = _rows(workspace, model, settings.on)
    run.report(1, 2, "Measuring")
    request = LoadedBundle(digest, None if rows is None else rows.chosen)
    measured = None if rows is None else _accuracy(model, rows)
    artifact = workspace.create(request, lambda draft: _write(draft, model, config, rows, measured))
    shown = 0 if rows is None else len(rows.rows)
    return ImportedBundle(artifact.id, len(model.classes), model.head.size, shown, measured, rows.source.id if rows else None)


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
    from cbm.embeddings.sets import load_set
    from cbm.study.held_out import all_rows, find_rows
    from cbm.study.opened import remembered_rows, require_model_world

    own = remembered_rows(model, "test")
    if on is None:
        return find_rows(home, own) if own is not None and home.has(own.embeddings) else None
    images = load_set(home, on)
    require_model_world(images, model)
    return find_rows(home, own) if own is not None and own.embeddings == images.id else all_rows(images)


def _accuracy(model: ConceptModel, rows: Rows) -> float | None:
    from cbm.metrics.classification import accuracy
    from cbm.study.held_out import renumbered

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
        data["test"] = rows.chosen.described()
        if before is not None and before != data["test"]:
            data["test_before_export"] = before
    draft.metrics.update(recorded)
    if measured is not None:
        draft.metrics["accuracy"] = measured
    if before is not None and before != data.get("test"):
        draft.metrics["measured_elsewhere"] = before
    write_model(dataclasses.replace(model, method={**model.method, "data": data}), draft.path, metrics=dict(draft.metrics))
