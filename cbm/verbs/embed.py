"""embed: images into an embedding set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal

from cbm.core.run import Run
from cbm.core.wording import counted
from cbm.verbs.base import AsJob, OnDevice, VerbResult, verb
from cbm.workspace.workspace import Workspace

_REASONS = 5
"""Rejected files that are named in the result."""


@dataclass(frozen=True)
class Embed(OnDevice):
    source: str | Path
    """Folder, .csv or .parquet table, .zip or .tar archive, or scenes:classes?count=1000."""
    backbone: str = "demo"
    """demo, an open_clip architecture such as ViT-B-32, or a model configuration."""
    pretrained: str | None = None
    """open_clip tag, or a checkpoint file (.safetensors, .pt)."""
    _: KW_ONLY
    space: Literal["l2", "raw"] = "l2"
    """l2 (unit length) or raw."""
    batch_size: int | None = None
    """Images per batch; chosen by device when absent."""


@dataclass(frozen=True)
class Embedded(VerbResult):
    embeddings: str
    count: int
    reused: int
    """Images whose embedding was already in the store."""
    rejected: int
    images_per_second: float
    notes: tuple[str, ...] = ()
    """How the source was read where that is not plain, and why the first of the rejected files were."""


def _figures(result: Mapping[str, Any]) -> str:
    parts = [counted(result["count"], "image")]
    if result.get("reused"):
        parts.append(f"{result['reused']:,} known before")
    if result.get("rejected"):
        parts.append(f"{counted(result['rejected'], 'file')} rejected")
    return ", ".join(parts)


@verb(Embed, job=AsJob("Encode images", "data", "Open the images", _figures))
def embed(settings: Embed, workspace: Workspace, run: Run) -> Embedded:
    """Encode images into the store; interrupted, the same command resumes where it stopped.

    See `cbm.embeddings.encode.embed_source`.
    """
    from cbm.backbones.backbone import Backbone
    from cbm.embeddings.encode import embed_source
    from cbm.images.sources import open_source

    # A table that somebody uploaded must not lead to other files of this machine.
    opened = open_source(settings.source, confine=Path(settings.source).absolute().is_relative_to(workspace.uploads))
    result = embed_source(
        workspace,
        opened,
        Backbone(settings.backbone, settings.pretrained, device=run.device),
        space=settings.space,
        batch_size=settings.batch_size,
        progress=run.progress,
        cancelled=run.cancelled,
    )
    reasons = [f"{entry.item}: {entry.reason}" for entry in result.rejected[:_REASONS]]
    if len(result.rejected) > _REASONS:
        reasons.append(f"… and {len(result.rejected) - _REASONS} more, all in {result.artifact.path / 'rejected.json'}")
    notes = (*opened.notes, *reasons)
    return Embedded(result.artifact.id, result.count, result.reused, len(result.rejected), result.images_per_second, notes)
