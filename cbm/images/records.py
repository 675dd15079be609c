"""What a source of images yields: records, and the files that were turned away with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from cbm.core.errors import RejectedImageError

FALSE, TRUE, UNKNOWN = 0, 1, 2


class KnownConcepts(Mapping[str, bool]):
    """Truth values of one picture in a byte each; a table of 200,000 pictures and 40 attributes would take a gigabyte as dictionaries.

    Args:
        positions: where each concept's value is; shared by all pictures of a source.
        values: FALSE, TRUE or UNKNOWN for each, as bytes.
    """

    __slots__ = ("_positions", "_values")

    def __init__(self, positions: Mapping[str, int], values: bytes) -> None:
        self._positions = positions
        self._values = values

    def __getitem__(self, name: str) -> bool:
        value = self._values[self._positions[name]]
        if value == UNKNOWN:
            raise KeyError(name)
        return value == TRUE

    def __iter__(self) -> Iterator[str]:
        return (name for name, position in self._positions.items() if self._values[position] != UNKNOWN)

    def __len__(self) -> int:
        return len(self._values) - self._values.count(UNKNOWN)

    def __repr__(self) -> str:
        return f"KnownConcepts({dict(self)})"


NO_CONCEPTS: Mapping[str, bool] = KnownConcepts({}, b"")


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One picture of a source, before anybody has read it."""

    item: str
    """The name within the source; unique there."""
    uri: str
    """Where `cbm.images.pictures.read_picture` finds it again: a path, "archive.zip::member" or "scene:…"."""
    label: str | None = None
    group: str | None = None
    split: str | None = None
    """"train", "val", "test" or what the table says, in lower case."""
    concepts: Mapping[str, bool] = field(default_factory=lambda: NO_CONCEPTS)
    """Known concepts; a concept that is missing here is unknown for this picture, not false."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that was turned away; recorded, never fatal."""

    item: str
    uri: str
    reason: str

    @classmethod
    def of(cls, record: ImageRecord, reason: str) -> Rejected:
        return cls(record.item, record.uri, reason)

    def error(self) -> RejectedImageError:
        return RejectedImageError(self.reason)


@runtime_checkable
class ImageSource(Protocol):
    """Where pictures come from. Iteration reads one file at a time, always in the same order, and may be repeated."""

    name: str
    kind: str
    """"folder", "table", "archive" or "scenes"."""
    concept_names: tuple[str, ...]
    notes: tuple[str, ...]
    """What the user should know about how the source was read (a fallback encoding, ignored columns)."""

    def __len__(self) -> int:
        """How many pairs iteration yields; exact unless a file changes meanwhile."""
        ...

    def __iter__(self) -> Iterator[tuple[ImageRecord, bytes | Rejected]]:
        """Every record with the file's bytes, or with why there are none."""
        ...

    def records(self) -> Iterator[ImageRecord | Rejected]:
        """The same order without reading pictures."""
        ...
