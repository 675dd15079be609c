"""Foreign vectors become an embedding set: checked, never guessed at."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cbm.backbones.architectures import find_architecture
from cbm.backbones.reference import BackboneReference
from cbm.core.errors import InvalidInputError, MismatchError, NotFoundError
from cbm.embeddings.foreign import ForeignVectors, read_class_names, read_foreign
from cbm.embeddings.sets import CONCEPT_PREFIX, SPACES, UNKNOWN, Space, number_names, to_space, write_set
from cbm.images.folder import SPLIT_NAMES
from cbm.workspace.artifacts import EmbeddingsArtifact
from cbm.workspace.requests import ImportedVectors
from cbm.workspace.workspace import Draft, Workspace

if TYPE_CHECKING:
    import pandas

    from cbm.backbones.backbone import Backbone

UNIT_TOLERANCE = 1e-2
"""Norms this close to 1 are unit vectors that were stored in half precision."""
_LISTED = 5
_MOST_CLASSES = 1_000_000


def import_vectors(
    workspace: Workspace,
    source: str | Path,
    backbone: BackboneReference | Backbone,
    *,
    images: str | Path | None = None,
    classes: str | Path | Sequence[str] | None = None,
    split: str | None = None,
    space: Space | None = None,
) -> EmbeddingsArtifact:
    """Make an embedding set of vectors that were computed elsewhere.

    The vectors become float32. Where all norms are within 1 % of 1 they are `l2`, and are brought to exactly unit length, since half
    precision moved them; otherwise they are `raw`. The artefact's metrics record the norms that were found.

    Args:
        source: .npz (`embeddings`, and where known `labels`, `files`, `groups`, `splits`), .parquet (a column of float lists, and where
            known path, label, group, split, and boolean columns as concepts), or a clip-retrieval folder.
        backbone: which backbone made them: `BackboneReference.foreign(architecture, pretrained)`, or the loaded backbone itself.
        images: folder in which the named files lie; items whose file is not there have no picture.
        classes: class names by label: a sequence, a .json or a text file. Needed for numbered labels to have names.
        split: what to call the split of all rows; else the source's own.
        space: states the space instead of detecting it; `l2` normalises.

    Raises:
        MismatchError: the width is not the architecture's, or `space` contradicts the vectors.
        InvalidInputError: the source is malformed or pickled, rows are zero or not finite, labels have no class name.
        NotFoundError: a file or folder does not exist.
    """
    source = Path(source).expanduser()
    reference = backbone if isinstance(backbone, BackboneReference) else backbone.reference
    expected = find_architecture(reference.architecture).dim if isinstance(backbone, BackboneReference) else backbone.dim
    vectors = read_foreign(source)
    if vectors.dim != expected:
        raise MismatchError(
            f"{source} holds vectors of width {vectors.dim}, but {reference.architecture} makes {expected}. "
            "Name the backbone that made them."
        )
    digest, norms = _examine(vectors, source)
    found_space = _settle_space(space, norms, source)
    if isinstance(classes, str):
        classes = Path(classes).expanduser()
    items, class_names, groups = _items(vectors, source, images, None if classes is None else read_class_names(classes), split)
    request = ImportedVectors(digest, _table_digest(items, class_names, groups), reference.to_dict(), found_space)

    def write(draft: Draft) -> None:
        chunks = (to_space(chunk.astype(np.float32), "l2" if found_space == "l2" else "raw") for chunk in vectors.chunks())
        write_set(
            draft,
            chunks,
            items,
            classes=class_names,
            groups=groups,
            backbone=reference,
            space=found_space,
            dim=vectors.dim,
            name=source.name,
        )
        draft.metrics["norms_found"] = [round(float(norms.min()), 6), round(float(norms.max()), 6)]
        draft.metrics["pictures"] = int((items["uri"] != "").sum())

    return workspace.create(request, write)


def _examine(vectors: ForeignVectors, source: Path) -> tuple[str, np.ndarray]:
    """Digest of the float32 vectors, and their norms.

    Raises:
        InvalidInputError: rows are zero or not finite.
    """
    digest = hashlib.sha256(f"{vectors.count}x{vectors.dim}".encode())
    norms = []
    for chunk in vectors.chunks():
        chunk = np.ascontiguousarray(chunk, dtype=np.float32)
        digest.update(chunk.data)
        norms.append(np.linalg.norm(chunk, axis=1))
    lengths = np.concatenate(norms)
    for bad, what in ((~np.isfinite(lengths), "are not finite"), (lengths == 0, "are all zero")):
        if bad.any():
            rows = ", ".join(map(str, np.flatnonzero(bad)[:_LISTED]))
            raise InvalidInputError(f"{source}: {bad.sum()} vectors {what} (rows {rows}, …); remove them or compute them again.")
    return digest.hexdigest(), lengths


def _settle_space(stated: Space | None, norms: np.ndarray, source: Path) -> Space:
    unit = bool(np.all(np.abs(norms - 1) <= UNIT_TOLERANCE))
    if stated is None:
        return "l2" if unit else "raw"
    if stated not in SPACES:
        raise InvalidInputError(f"Unknown space {stated!r}; spaces are {', '.join(SPACES)}.")
    if stated == "centred" and unit:
        raise MismatchError(f"{source} holds vectors of unit length, so they are not centred; leave the space out, or state l2.")
    return stated


def _items(
    vectors: ForeignVectors, source: Path, images: str | Path | None, class_names: tuple[str, ...] | None, split: str | None
) -> tuple[pandas.DataFrame, tuple[str, ...], tuple[str, ...]]:
    import pandas as pd

    files = vectors.columns.get("file")
    names = _unique_names([str(file) for file in files] if files is not None else [f"row {row:07d}" for row in range(vectors.count)])
    if images is not None and files is None:
        raise InvalidInputError(f"{source} names no files, so its vectors cannot be joined to pictures; leave --images out.")
    labels, classes = _labels(vectors.columns.get("label"), class_names, vectors.count, source)
    group_names = [None if group is None else str(group) for group in vectors.columns.get("group", [None] * vectors.count)]
    groups, known_groups = number_names(group_names)
    splits = [split] * vectors.count if split is not None else [_split_name(s) for s in vectors.columns.get("split", [""] * vectors.count)]
    uris = [""] * vectors.count if images is None or files is None else list(_uris(files, Path(images).expanduser()))
    columns: dict[str, Any] = {
        "item": pd.array(names, dtype="str"),
        "uri": pd.array(uris, dtype="str"),
        "label": labels,
        "group": groups,
        "split": pd.array(splits, dtype="str"),
        "sha256": pd.array([""] * vectors.count, dtype="str"),
    }
    columns |= {CONCEPT_PREFIX + name: truth for name, truth in vectors.concepts.items()}
    return pd.DataFrame(columns), classes, known_groups


def _split_name(split: Any) -> str:
    """The name that folders and tables give to this split, so that `Test` is found as `test`."""
    lowered = str(split or "").strip().lower()
    return SPLIT_NAMES.get(lowered, lowered)


def _unique_names(names: list[str]) -> list[str]:
    """Names as they are, but for later twins, which get a number: `a.png`, `a.png #2`."""
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return unique


def _labels(labels: Sequence[Any] | None, names: tuple[str, ...] | None, count: int, source: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    if labels is None:
        return np.full(count, UNKNOWN, np.int64), names or ()
    if any(isinstance(label, str) for label in labels):
        return number_names([None if label is None else str(label) for label in labels], names)
    try:
        values = np.array([UNKNOWN if label is None else label for label in labels], dtype=np.float64)
        if values.ndim != 1:
            raise ValueError("several were given for one vector; give the number of the class")
        numbers = np.where(np.isnan(values), UNKNOWN, values).astype(np.int64)
        if not np.all((numbers == values) | np.isnan(values)):
            raise ValueError("some have fractions")
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"{source}: labels must be class names or whole numbers ({error}).") from error
    highest = int(numbers.max(initial=UNKNOWN))
    if numbers.min(initial=0) < UNKNOWN:
        raise InvalidInputError(f"{source}: label {numbers.min()} is negative; -1 means an unknown label, classes count from 0.")
    if names is None and highest >= _MOST_CLASSES:
        raise InvalidInputError(f"{source}: label {highest} is not a class number, which count from 0; give the labels as text.")
    if names is None:
        return numbers, tuple(f"class {number}" for number in range(highest + 1))
    if highest >= len(names):
        raise InvalidInputError(
            f"{source}: label {highest} has no name; the class names given are {len(names)} (labels 0 to {len(names) - 1})."
        )
    return numbers, names


def _uris(files: Sequence[Any], images: Path) -> Iterator[str]:
    """The path of each file below `images`; empty where it is not there, or would lie outside.

    Raises:
        NotFoundError: the folder does not exist, or holds none of the files.
    """
    if not images.is_dir():
        raise NotFoundError(f"There is no folder of pictures {images}.")
    root = images.resolve()
    uris = []
    for file in files:
        path = root / str(file)
        inside = ".." not in Path(str(file)).parts and path.is_relative_to(root)
        uris.append(str(path) if inside and os.path.isfile(path) else "")  # unlike Path.is_file, False for a name that is too long
    if not any(uris):
        raise NotFoundError(f"None of the {len(uris)} files lies in {root}; the first would be {root / str(files[0])}.")
    return iter(uris)


def _table_digest(items: pandas.DataFrame, classes: Sequence[str], groups: Sequence[str]) -> str:
    """SHA-256 of all that is known of the items, where their pictures lie included: joined elsewhere, they are another set."""
    digest = hashlib.sha256(json.dumps([list(items.columns), list(classes), list(groups)]).encode())
    for column in items.columns:
        digest.update(json.dumps(items[column].tolist()).encode())
    return digest.hexdigest()
