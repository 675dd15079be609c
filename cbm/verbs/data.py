"""The verbs that bring data in: embed, import, vocabulary."""

from __future__ import annotations

from pathlib import Path

from cbm.backbones.reference import BackboneReference
from cbm.core.progress import CancelCheck, ProgressCallback
from cbm.embeddings.sets import Space
from cbm.verbs.common import WorkspaceLike, open_workspace
from cbm.verbs.results import Embedded, Imported, VocabularyMade

_REASONS = 5
"""Rejected files that are named in the result."""


def embed(
    source: str | Path,
    backbone: str = "demo",
    pretrained: str | None = None,
    *,
    space: Space = "l2",
    batch_size: int | None = None,
    workspace: WorkspaceLike = None,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
) -> Embedded:
    """Encode the images of `source` into an embedding set; see `cbm.embeddings.encode.embed_source`."""
    from cbm.backbones.backbone import Backbone
    from cbm.embeddings.encode import embed_source
    from cbm.images.sources import open_source

    home = open_workspace(workspace)
    # A table that somebody uploaded must not lead to other files of this machine.
    opened = open_source(source, confine=Path(source).absolute().is_relative_to(home.uploads))
    result = embed_source(
        home,
        opened,
        Backbone(backbone, pretrained, device=device),
        space=space,
        batch_size=batch_size,
        progress=progress,
        cancelled=cancelled,
    )
    reasons = [f"{entry.item}: {entry.reason}" for entry in result.rejected[:_REASONS]]
    if len(result.rejected) > _REASONS:
        reasons.append(f"… and {len(result.rejected) - _REASONS} more, all in {result.artifact.path / 'rejected.json'}")
    notes = (*opened.notes, *reasons)
    return Embedded(result.artifact.id, result.count, result.reused, len(result.rejected), result.images_per_second, notes)


def import_vectors(
    source: str | Path,
    backbone: str,
    pretrained: str,
    *,
    images: str | Path | None = None,
    classes: str | Path | None = None,
    workspace: WorkspaceLike = None,
) -> Imported:
    """Take vectors that were computed elsewhere as an embedding set; see `cbm.embeddings.imports`."""
    from cbm.embeddings import imports

    artifact = imports.import_vectors(
        open_workspace(workspace),
        Path(source),
        BackboneReference.foreign(backbone, pretrained),
        images=None if images is None else Path(images),
        classes=None if classes is None else Path(classes),
    )
    return Imported(artifact.id, int(artifact.metrics["count"]), int(artifact.metrics["dim"]))


def vocabulary(
    source: str | Path,
    backbone: str = "demo",
    pretrained: str | None = None,
    *,
    workspace: WorkspaceLike = None,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
) -> VocabularyMade:
    """Candidate names with text embeddings: `english`, `attributes`, `scenes`, a .txt of names, or an .npz (`names`, `embeddings`)."""
    from cbm.names.vocabulary import build_vocabulary, import_vocabulary

    home = open_workspace(workspace)
    if Path(source).suffix == ".npz":
        # Vectors that exist need no weights here; what the user says of their origin decides what they may be joined with.
        artifact = import_vocabulary(home, Path(source), BackboneReference.foreign(backbone, pretrained or backbone))
    else:
        from cbm.backbones.backbone import Backbone

        artifact = build_vocabulary(home, source, Backbone(backbone, pretrained, device=device), progress=progress, cancelled=cancelled)
    return VocabularyMade(artifact.id, int(artifact.metrics["count"]))
