"""From pictures to an embedding set, through the store: resumable, de-duplicated, and the same request twice is a cache hit."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cbm.core.errors import Cancelled, CorruptArtifactError, InvalidInputError
from cbm.core.files import write_json
from cbm.core.progress import CancelCheck, Progress, ProgressCallback
from cbm.embeddings.pipeline import Prepared, prepared_items
from cbm.embeddings.sets import CONCEPT_PREFIX, EmbeddingSet, Space, number_names, to_space, write_set
from cbm.embeddings.store import EmbeddingStore, StorePart
from cbm.images.records import ImageRecord, ImageSource, Rejected
from cbm.workspace.artifacts import EmbeddingsArtifact
from cbm.workspace.requests import EncodedImages
from cbm.workspace.workspace import Draft, Workspace

if TYPE_CHECKING:
    import pandas

    from cbm.backbones.backbone import Backbone

CPU_BATCH = 16
"""The fastest on CPUs: larger batches spend their time in page faults."""
ACCELERATOR_BATCH = 128
_BATCHES_AHEAD = 4
_WRITE_CHUNK = 4096
_REASON = 120
REJECTED = "rejected.json"
"""Characters of a reason in a line of progress."""


@dataclass(frozen=True)
class EmbedResult:
    """What an embedding run made and how fast."""

    artifact: EmbeddingsArtifact
    count: int
    """Items in the set; identical files count each."""
    reused: int
    """Items whose embedding was in the store before, or whose twin came earlier in the run."""
    rejected: tuple[Rejected, ...]
    images_per_second: float
    """Encoded images per second of the whole run, reading and writing included; 0 where nothing had to be encoded."""
    encoded: int = 0
    seconds: float = 0.0
    cached: bool = False
    """Whether the very artefact existed."""


@dataclass
class _Run:
    """What has been seen of the source so far."""

    records: list[ImageRecord] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    encoded: int = 0

    @property
    def seen(self) -> int:
        return len(self.records) + len(self.rejected)


def embed_source(
    workspace: Workspace,
    source: ImageSource | str | Path,
    backbone: Backbone,
    *,
    space: Space = "l2",
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
) -> EmbedResult:
    """Encode every picture of a source that the store does not hold, and make the embedding set of all of them.

    The set's id depends on what the source holds (names, bytes, labels, groups, splits, concepts), on the backbone's fingerprint and
    on `space`. Where the pictures lie does not matter, unless they are gone from where the finished set says. A run that was killed or
    cancelled resumes after its last finished batch.

    Args:
        source: a source, or what `cbm.images.sources.open_source` takes.
        space: `l2` (unit length) or `raw`.
        batch_size: 16 on CPUs and 128 elsewhere, where not given.

    Raises:
        InvalidInputError: no picture could be read, or another process writes to the same part of the store.
        Cancelled: `cancelled` returned True; finished batches are kept.
    """
    if isinstance(source, str | Path):
        from cbm.images.sources import open_source

        source = open_source(source)
    to_space(np.ones((1, 1), np.float32), space)  # refuses an unusable space before hours of work
    if batch_size is None:
        batch_size = CPU_BATCH if backbone.device.type == "cpu" else ACCELERATOR_BATCH
    if batch_size < 1:
        raise InvalidInputError(f"A batch of {batch_size} images is none; give 1 or more, or leave it out.")
    started = time.perf_counter()
    with EmbeddingStore(workspace.store).open(backbone.store_key, backbone.dim, write=True) as part:
        run = _encode_missing(source, backbone, part, batch_size, progress, cancelled)
        seconds = time.perf_counter() - started
        if not run.records:
            reasons = f"; the first was rejected because {run.rejected[0].reason}" if run.rejected else ""
            raise InvalidInputError(f"{source.name} holds no picture that can be embedded ({len(run.rejected)} rejected{reasons}).")
        request = EncodedImages(
            _source_digest(run, source), {"architecture": backbone.architecture, "fingerprint": backbone.store_key}, space
        )
        found = workspace.find(request)
        if found is not None and _has_moved(found, run):
            request = replace(request, moved_to=run.records[0].uri)
            found = workspace.find(request)
        cached = found is not None
        artifact = workspace.create(request, lambda draft: _write(draft, run, source, backbone, part, space))
    return EmbedResult(
        artifact=artifact,
        count=len(run.records),
        reused=len(run.records) - run.encoded,
        rejected=tuple(run.rejected),
        images_per_second=run.encoded / seconds if run.encoded else 0.0,
        encoded=run.encoded,
        seconds=seconds,
        cached=cached,
    )


def _encode_missing(
    source: ImageSource,
    backbone: Backbone,
    part: StorePart,
    batch_size: int,
    progress: ProgressCallback | None,
    cancelled: CancelCheck | None,
) -> _Run:
    import torch

    run = _Run()
    batch: dict[bytes, np.ndarray] = {}
    started = time.perf_counter()

    def encode_batch() -> None:
        if not batch:
            return
        part.append(list(batch), backbone.encode_images(torch.from_numpy(np.stack(list(batch.values()))), batch_size=batch_size))
        run.encoded += len(batch)
        batch.clear()

    def report() -> None:
        if progress is not None:
            rate = run.encoded / max(time.perf_counter() - started, 1e-9)
            figures = {"images_per_second": rate, "encoded": float(run.encoded), "rejected": float(len(run.rejected))}
            progress(Progress(run.seen, max(len(source), run.seen), f"Embedding {source.name}{_last_rejected(run)}", figures))

    items = prepared_items(source, backbone.resize, backbone.image_size, part.__contains__, _BATCHES_AHEAD * batch_size)
    try:
        for item in items:
            if isinstance(item, Prepared):
                run.records.append(item.record)
                run.digests.append(item.digest)
                # A twin may have been committed, or joined this batch, after the threads looked.
                if item.pixels is not None and item.digest not in batch and item.digest not in part:
                    batch[item.digest] = item.pixels
            else:
                run.rejected.append(item)
            if len(batch) == batch_size:
                encode_batch()
            if run.seen % batch_size == 0:
                report()
                if cancelled is not None and cancelled():
                    raise Cancelled(
                        f"Cancelled after {run.seen} of {len(source)} pictures; finished batches are kept; run it again to resume."
                    )
    finally:
        items.close()
    encode_batch()
    report()
    return run


def _last_rejected(run: _Run) -> str:
    """For whoever watches: how many files were turned away so far, and why the last one was."""
    if not run.rejected:
        return ""
    last = run.rejected[-1]
    reason = last.reason if len(last.reason) <= _REASON else f"{last.reason[:_REASON]} …"
    return f"; {len(run.rejected):,} rejected, the last one {last.item}: {reason}"


def _source_digest(run: _Run, source: ImageSource) -> str:
    """SHA-256 of everything that the set says about its items, except where they lie."""
    digest = hashlib.sha256(json.dumps([*_given_names(source), list(source.concept_names)]).encode())
    for record, content in zip(run.records, run.digests, strict=True):
        fields = [record.item, content.hex(), record.label, record.group, record.split, sorted(record.concepts.items())]
        digest.update(json.dumps(fields).encode() + b"\n")
    for rejected in run.rejected:
        digest.update(json.dumps(["rejected", rejected.item]).encode() + b"\n")
    return digest.hexdigest()


def _given_names(source: ImageSource) -> tuple[Sequence[str] | None, Sequence[str] | None]:
    """The class and group names that some sources know in an order of their own, so that all their splits are numbered alike."""
    return getattr(source, "class_names", None), getattr(source, "group_names", None)


def _has_moved(artifact: EmbeddingsArtifact, run: _Run) -> bool:
    """Whether the finished set points to pictures that are gone, while the source has them elsewhere."""
    old, new = str(EmbeddingSet.load(artifact).items["uri"].iloc[0]), run.records[0].uri
    return old != new and not _exists(old) and _exists(new)


def _exists(uri: str) -> bool:
    return Path(uri.partition("::")[0]).exists()


def _write(draft: Draft, run: _Run, source: ImageSource, backbone: Backbone, part: StorePart, space: Space) -> None:
    classes, groups = _given_names(source)
    items, classes, groups = items_table(run.records, [digest.hex() for digest in run.digests], source.concept_names, classes, groups)
    write_set(
        draft,
        _chunks(part, part.lookup(run.digests), space),
        items,
        classes=classes,
        groups=groups,
        backbone=backbone.reference,
        space=space,
        dim=backbone.dim,
        name=source.name,
    )
    rejected = [{"item": entry.item, "uri": entry.uri, "reason": entry.reason} for entry in run.rejected]
    write_json(draft.path / REJECTED, rejected)
    draft.metrics["rejected"] = len(rejected)


def rejected_files(artifact: EmbeddingsArtifact) -> tuple[Rejected, ...]:
    """The files that were turned away when a set was made; none for imported vectors.

    Raises:
        CorruptArtifactError: the list is there and cannot be read.
    """
    file = artifact.path / REJECTED
    try:
        entries = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
        return tuple(Rejected(entry["item"], entry["uri"], entry["reason"]) for entry in entries)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CorruptArtifactError(f"{file} is damaged ({error}); the set itself is whole.") from error


def _chunks(part: StorePart, rows: np.ndarray, space: Space) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), _WRITE_CHUNK):
        yield to_space(part.read(rows[start : start + _WRITE_CHUNK]), space)


def items_table(
    records: Sequence[ImageRecord],
    digests: Sequence[str],
    concept_names: Sequence[str] = (),
    class_names: Sequence[str] | None = None,
    group_names: Sequence[str] | None = None,
) -> tuple[pandas.DataFrame, tuple[str, ...], tuple[str, ...]]:
    """The items of an embedding set, with class and group names numbered in sorted order, or in the order given."""
    import pandas as pd

    labels, classes = number_names([record.label for record in records], class_names)
    groups, known_groups = number_names([record.group for record in records], group_names)
    columns: dict[str, Any] = {
        "item": pd.array([record.item for record in records], dtype="str"),
        "uri": pd.array([record.uri for record in records], dtype="str"),
        "label": labels,
        "group": groups,
        "split": pd.array([record.split or "" for record in records], dtype="str"),
        "sha256": pd.array(list(digests), dtype="str"),
    }
    for name in concept_names:
        truth = [record.concepts.get(name) for record in records]
        columns[CONCEPT_PREFIX + name] = pd.array(truth, dtype="boolean") if None in truth else np.array(truth, dtype=bool)
    return pd.DataFrame(columns), classes, known_groups
