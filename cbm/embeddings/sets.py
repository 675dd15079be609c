"""Embedding sets: vectors with what is known of their items; the artefact of kind `embeddings`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args
from urllib.parse import parse_qs

import numpy as np
from jaxtyping import Bool, Float32, Int

from cbm.backbones.reference import BackboneReference
from cbm.core.arrays import unit_rows
from cbm.core.errors import CorruptArtifactError, InvalidInputError, MismatchError
from cbm.core.files import write_json
from cbm.embeddings.vectors import read_vectors, write_vectors
from cbm.workspace.artifacts import EmbeddingsArtifact
from cbm.workspace.workspace import Artifact, Draft, Workspace

if TYPE_CHECKING:
    import pandas

Space = Literal["raw", "l2", "centred"]
SPACES: tuple[Space, ...] = get_args(Space)
UNKNOWN = -1
"""The label or group of an item that has none."""

CONCEPT_PREFIX = "concept:"
HEADER = "set.json"
COLUMNS = ("item", "uri", "label", "group", "split", "sha256")


@dataclass(frozen=True)
class SetHeader:
    """What an embedding set says of itself in a small file beside its vectors and items."""

    count: int
    dim: int
    classes: tuple[str, ...]
    groups: tuple[str, ...]
    backbone: BackboneReference
    space: Space
    name: str

    @classmethod
    def read(cls, folder: Path) -> SetHeader:
        """
        Raises:
            OSError, KeyError, TypeError, ValueError: the file is missing or malformed.
        """
        record = json.loads((folder / HEADER).read_text(encoding="utf-8"))
        return cls(
            int(record["count"]),
            int(record["dim"]),
            tuple(map(str, record["classes"])),
            tuple(map(str, record["groups"])),
            BackboneReference.from_dict(record["backbone"]),
            record["space"],
            str(record["name"]),
        )


@dataclass(frozen=True)
class EmbeddingSet:
    """Embeddings of one backbone with their items, row by row."""

    id: str
    embeddings: Float32[np.ndarray, "items d"]
    """Read-only memory map of the artefact's file, or an array."""
    items: pandas.DataFrame
    """One row an item: item, uri, label, group (-1: none), split, sha256, and a bool column `concept:<name>` for each known concept.

    A concept that is unknown for some items has a nullable `boolean` column instead, and no place in `truth`."""
    classes: tuple[str, ...]
    """Class names by label."""
    groups: tuple[str, ...]
    """Group names by group number."""
    backbone: BackboneReference
    space: Space
    name: str = ""
    """What the source called itself, for display."""

    @classmethod
    def load(cls, artifact: Artifact) -> EmbeddingSet:
        """The set that `artifact` holds; vectors stay on disk until they are read.

        Raises:
            InvalidInputError: the artefact is of another kind.
            CorruptArtifactError: a file is missing or does not fit the others.
        """
        import pandas as pd

        if artifact.kind != "embeddings":
            raise InvalidInputError(f"{artifact.id} holds {artifact.kind}, not embeddings; see `cbm list`.")
        try:
            header = SetHeader.read(artifact.path)
            items = pd.read_parquet(artifact.path / "items.parquet")
            embeddings = read_vectors(artifact.path / "embeddings.safetensors")
            if len(items) != len(embeddings) or any(column not in items for column in COLUMNS):
                raise ValueError(f"{len(items)} items beside {len(embeddings)} vectors, or a column is missing")
            return cls(
                id=artifact.id,
                embeddings=embeddings,
                items=items,
                classes=header.classes,
                groups=header.groups,
                backbone=header.backbone,
                space=header.space,
                name=header.name,
            )
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise CorruptArtifactError(f"{artifact.path} is not a readable embedding set ({error}); make it again.") from error

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def dim(self) -> int:
        return int(self.embeddings.shape[1])

    @property
    def labels(self) -> Int[np.ndarray, " items"]:
        """Class numbers; -1 where an item has none."""
        return self.items["label"].to_numpy()

    @property
    def group_labels(self) -> Int[np.ndarray, " items"]:
        """Group numbers; -1 where an item has none."""
        return self.items["group"].to_numpy()

    @property
    def labelled(self) -> Bool[np.ndarray, " items"]:
        """Which items have a label; `embeddings[labelled]` and `labels[labelled]` are what a head learns from."""
        return self.labels != UNKNOWN

    @property
    def concept_names(self) -> tuple[str, ...]:
        """Concepts whose truth is known for every item, in the order of `truth`."""
        columns = [str(name) for name in self.items.columns if str(name).startswith(CONCEPT_PREFIX)]
        return tuple(column[len(CONCEPT_PREFIX) :] for column in columns if self.items[column].dtype == bool)

    @property
    def truth(self) -> Bool[np.ndarray, "items concepts"]:
        """Which known concept is present in which item."""
        columns = [CONCEPT_PREFIX + name for name in self.concept_names]
        return self.items[columns].to_numpy(dtype=bool).reshape(len(self.items), len(columns))

    def split(self, name: str) -> Bool[np.ndarray, " items"]:
        """Which items belong to the split called `name`."""
        return (self.items["split"] == name).to_numpy()

    def find(self, item: str) -> int:
        """The row of an item, given its name, its URI, its row number, or a unique part of its name.

        Raises:
            InvalidInputError: none, or more than one, fits.
        """
        names = self.items["item"]
        for column in ("item", "uri"):
            rows = np.flatnonzero(self.items[column].to_numpy() == item)
            if len(rows):
                return int(rows[0])
        if item.isdigit() and int(item) < len(self):
            return int(item)
        rows = np.flatnonzero(names.str.contains(item, regex=False).to_numpy()) if item else np.zeros(0, int)
        if len(rows) != 1:
            some = ", ".join(names.iloc[rows[:5]]) if len(rows) else ", ".join(names.iloc[:3]) + ", …"
            raise InvalidInputError(
                f"{item!r} fits {len(rows)} items of {self.id}, not one: {some}. Give a name or a row below {len(self)}."
            )
        return int(rows[0])


def write_set(
    draft: Draft,
    embeddings: Float32[np.ndarray, "items d"] | Iterable[Float32[np.ndarray, "_ d"]],
    items: pandas.DataFrame,
    *,
    classes: Sequence[str],
    groups: Sequence[str],
    backbone: BackboneReference,
    space: Space,
    dim: int | None = None,
    name: str = "",
) -> None:
    """Write the files of an embedding set into a draft.

    Args:
        embeddings: the matrix, or an iterable of its rows in chunks (then `dim` is needed), so that a large set never lies in memory.
        items: see `EmbeddingSet.items`.
    """
    if space not in SPACES:
        raise InvalidInputError(f"Unknown space {space!r}; spaces are {', '.join(SPACES)}.")
    missing = [column for column in COLUMNS if column not in items]
    if missing:
        raise ValueError(f"the items lack the columns {missing}")
    chunks = [embeddings] if isinstance(embeddings, np.ndarray) else embeddings
    if isinstance(embeddings, np.ndarray):
        dim = embeddings.shape[1]
    if dim is None:
        raise ValueError("dim is needed where embeddings come in chunks")
    write_vectors(draft.path / "embeddings.safetensors", chunks, len(items), dim)
    items.to_parquet(draft.path / "items.parquet", index=False)
    record = {
        "backbone": backbone.to_dict(),
        "classes": list(classes),
        "count": len(items),
        "dim": dim,
        "groups": list(groups),
        "name": name,
        "space": space,
    }
    write_json(draft.path / HEADER, record, sort_keys=True)
    draft.metrics.update({"count": len(items), "dim": dim, "classes": len(classes)})


def require_space(found: str, wanted: str, what: str, beside: str) -> None:
    """Make sure that embeddings are in the space that is wanted.

    Raises:
        MismatchError: they are not; `what` and `beside` say what does not fit together.
    """
    if found != wanted:
        raise MismatchError(f"{what} is in space {found!r} but {beside} in {wanted!r}; embed again with --space {wanted}.")


def load_set(workspace: Workspace, identifier: str) -> EmbeddingSet:
    """The embedding set of an id.

    Raises:
        NotFoundError: there is none.
    """
    return EmbeddingSet.load(workspace.get(identifier, EmbeddingsArtifact))


def set_title(name: str) -> str:
    """A source's own name as people read it: `scenes:classes?count=400&split=test` becomes "Scenes: classes, test"."""
    if not name.startswith("scenes:"):
        return name or "Unnamed"
    kind, _, query = name.removeprefix("scenes:").partition("?")
    split = parse_qs(query).get("split", [""])[0]
    return f"Scenes: {kind}{f', {split}' if split else ''}"


def number_names(names: Sequence[str | None], order: Sequence[str] | None = None) -> tuple[Int[np.ndarray, " items"], tuple[str, ...]]:
    """Numbers of `names` within `order`, or within their sorted distinct values; -1 for None.

    Raises:
        InvalidInputError: a name is not in the given order.
    """
    present = sorted({name for name in names if name is not None})
    known = tuple(order) if order is not None else tuple(present)
    strangers = [name for name in present if name not in set(known)]
    if strangers:
        raise InvalidInputError(f"{', '.join(strangers[:5])} not among the given names ({', '.join(known[:5])}, …); add them to the list.")
    number = {name: index for index, name in enumerate(known)}
    return np.array([UNKNOWN if name is None else number[name] for name in names], dtype=np.int64), known


def to_space(vectors: Float32[np.ndarray, "rows d"], space: Space) -> Float32[np.ndarray, "rows d"]:
    """Raw vectors brought to `space`: unchanged, or to unit length.

    Raises:
        InvalidInputError: `centred`, which needs a mean that all sets of an experiment share; the dictionary keeps it.
    """
    if space == "raw":
        return vectors
    if space == "l2":
        return unit_rows(vectors)
    raise InvalidInputError("Embeddings are stored raw or l2; a dictionary keeps the mean and centres them itself.")
