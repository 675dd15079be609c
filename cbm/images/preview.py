"""What a source of images holds, before anything is encoded: a cheap look at names, at the first bytes of files, and at a few pictures."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cbm.core.errors import CbmError, RejectedImageError
from cbm.images.archive import ZipSource
from cbm.images.formats import HEADER_BYTES, sniff
from cbm.images.pictures import read_picture
from cbm.images.records import ImageRecord, ImageSource, Rejected
from cbm.images.sources import open_source

SHOWN = 12
"""Pictures of a preview."""
_SPARE = 8
"""More that are tried where some of those cannot be read."""
_LOOK = 128
"""Pixels a side at which they are decoded."""
LOOKED_AT = 2000
"""Files whose first bytes are read; of a larger source the rest is judged while it is encoded."""
PROBED = 8
"""Pictures that a measurement of speed encodes."""


@dataclass(frozen=True)
class Preview:
    """What a source holds."""

    source: str
    name: str
    kind: str
    count: int
    """Pictures that will be encoded, as far as one can see."""
    classes: Mapping[str, int]
    """Pictures of each class, the largest first."""
    unlabelled: int
    splits: Mapping[str, int]
    concepts: tuple[str, ...]
    rejected: tuple[tuple[str, str], ...]
    """Files that will be turned away, with the reason."""
    looked_at: int
    """Files whose first bytes were read."""
    notes: tuple[str, ...]
    uris: tuple[str, ...]
    """A few pictures, of different classes where there are any."""
    labels: tuple[str, ...]
    """Their classes; empty where they have none."""
    probe: tuple[str, ...]
    """Pictures to measure the speed with."""


def look_at(source: str, *, confine: bool = False) -> Preview:
    """Open a source and say what it holds; only the pictures that are shown are decoded.

    Raises:
        NotFoundError, InvalidInputError: as `cbm.images.sources.open_source`.
    """
    opened = open_source(source, confine=confine)
    bad = dict(_first_bytes(opened)) if opened.kind != "scenes" else {}
    records: list[ImageRecord] = []
    rejected: list[tuple[str, str]] = []
    for entry in opened.records():
        if isinstance(entry, Rejected):
            rejected.append((entry.item, entry.reason))
        elif entry.item in bad:
            rejected.append((entry.item, bad[entry.item]))
        else:
            records.append(entry)
    shown, unreadable = _readable(_some(records, SHOWN + _SPARE))
    rejected += unreadable
    records = [record for record in records if record.item not in dict(unreadable)]
    classes = Counter(record.label for record in records if record.label is not None)
    return Preview(
        source=source,
        name=opened.name,
        kind=opened.kind,
        count=len(records),
        classes=dict(classes.most_common()),
        unlabelled=len(records) - classes.total(),
        splits=dict(Counter(record.split for record in records if record.split)),
        concepts=tuple(opened.concept_names),
        rejected=tuple(rejected),
        looked_at=min(len(opened), LOOKED_AT) if opened.kind != "scenes" else len(opened),
        notes=tuple(opened.notes),
        uris=tuple(record.uri for record in shown),
        labels=tuple(record.label or "" for record in shown),
        probe=tuple(record.uri for record in shown[:PROBED]),
    )


def _readable(records: list[ImageRecord]) -> tuple[list[ImageRecord], list[tuple[str, str]]]:
    """The first pictures that can be decoded, and those before them that cannot, with the reason."""
    shown: list[ImageRecord] = []
    bad: list[tuple[str, str]] = []
    for record in records:
        try:
            read_picture(record.uri, size=_LOOK)
        except CbmError as error:
            bad.append((record.item, str(error)))
        else:
            shown.append(record)
        if len(shown) == SHOWN:
            break
    return shown, bad


def _first_bytes(source: ImageSource) -> Iterator[tuple[str, str]]:
    """Names of files that are no pictures by their first bytes, with the reason."""
    if isinstance(source, ZipSource):
        with zipfile.ZipFile(source.path) as archive:
            for record in _looked_at(source):
                try:
                    with archive.open(record.item) as file:
                        sniff(file.read(HEADER_BYTES))
                except RejectedImageError as error:
                    yield record.item, error.reason
                except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError):
                    yield record.item, "its part of the archive is damaged"
        return
    if source.kind == "archive":
        # A tar can only be read from its beginning, which is what encoding does.
        return
    for record in _looked_at(source):
        try:
            with Path(record.uri).open("rb") as file:
                sniff(file.read(HEADER_BYTES))
        except RejectedImageError as error:
            yield record.item, error.reason
        except (OSError, ValueError):
            yield record.item, "the file cannot be read"


def _looked_at(source: ImageSource) -> Iterator[ImageRecord]:
    for position, entry in enumerate(source.records()):
        if position >= LOOKED_AT:
            return
        if isinstance(entry, ImageRecord):
            yield entry


def _some(records: list[ImageRecord], count: int) -> list[ImageRecord]:
    """A few records: one of every class in turn, in the order of the source."""
    by_class: dict[str | None, list[ImageRecord]] = {}
    for record in records:
        kept = by_class.setdefault(record.label, [])
        if len(kept) < count:
            kept.append(record)
    chosen: list[ImageRecord] = []
    for turn in range(count):
        chosen += [kept[turn] for kept in by_class.values() if turn < len(kept)]
        if len(chosen) >= count:
            break
    return chosen[:count]
