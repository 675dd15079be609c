"""import: vectors that were computed elsewhere, as an embedding set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

from cbm.core.run import Run
from cbm.core.wording import counted
from cbm.verbs.base import AsJob, Settings, VerbResult, verb
from cbm.workspace.workspace import Workspace


@dataclass(frozen=True)
class ImportVectors(Settings):
    source: str | Path
    """.npz (embeddings, labels, files), .parquet, or a clip-retrieval folder."""
    backbone: str
    """Architecture that computed the vectors, such as ViT-B-32."""
    pretrained: str
    """Tag of its weights, such as openai."""
    _: KW_ONLY
    images: str | Path | None = None
    """Folder that holds the files which the source names."""
    classes: str | Path | None = None
    """Class names by label: .json list or .txt, one per line."""


@dataclass(frozen=True)
class Imported(VerbResult):
    embeddings: str
    count: int
    dim: int


def _figures(result: Mapping[str, Any]) -> str:
    return f"{counted(result['count'], 'vector')} of {result['dim']:,} dimensions"


@verb(ImportVectors, command="import", job=AsJob("Import vectors", "data", "Open the vectors", _figures))
def import_vectors(settings: ImportVectors, workspace: Workspace, run: Run) -> Imported:
    """Import vectors that were computed elsewhere, with or without their pictures.

    See `cbm.embeddings.imports`.
    """
    from cbm.backbones.reference import BackboneReference
    from cbm.embeddings import imports

    artifact = imports.import_vectors(
        workspace,
        Path(settings.source),
        BackboneReference.foreign(settings.backbone, settings.pretrained),
        images=None if settings.images is None else Path(settings.images),
        classes=None if settings.classes is None else Path(settings.classes),
    )
    return Imported(artifact.id, artifact.figures.count or 0, artifact.figures.dim or 0)
