"""What zip and tar have in common as sources of pictures: limits, names, entries."""

from __future__ import annotations

import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cbm.core.errors import InvalidInputError, NotFoundError
from cbm.images.decode import HEADER_BYTES, MAX_FILE_BYTES, RejectedImageError, sniff
from cbm.images.folder import is_ignored, is_text, places, printable, too_long
from cbm.images.records import ImageRecord, Rejected

SEPARATOR = "::"
"""Between archive and member in a URI."""


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may hold; beyond that it counts as a decompression bomb."""

    members: int = 2_000_000
    member_bytes: int = MAX_FILE_BYTES
    total_bytes: int = 256 * 2**30
    ratio: int = 200
    """Unpacked bytes per packed byte; pictures are compressed already and hardly shrink. Not applied below `free_bytes`."""
    free_bytes: int = 16 * 2**20


LIMITS = ArchiveLimits()


# What zipfile, tarfile and the decompressors raise on damaged archives (found by the fuzz test).
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    MemoryError,
    OverflowError,
)


@dataclass(frozen=True)
class Member:
    name: str
    reason: str | None = None
    """Why it is turned away unread."""
    always_shown: bool = False
    """Represents the archive itself, so that rules for ignored file names do not apply."""


class ArchiveSource:
    """What zip and tar have in common; labels and splits come from the folders inside, as for `FolderSource`."""

    kind = "archive"
    concept_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __init__(self, path: Path, limits: ArchiveLimits) -> None:
        self.path = path
        self.name = path.name
        self.limits = limits
        self._entries: list[ImageRecord | Rejected] = make_entries(path, self._members())
        if not any(isinstance(entry, ImageRecord) for entry in self._entries):
            reasons = "; ".join(entry.reason for entry in self._entries[:3] if isinstance(entry, Rejected))
            raise NotFoundError(f"{path} holds no pictures{f' ({reasons})' if reasons else ''}. Give an archive of image files.")

    def __len__(self) -> int:
        return len(self._entries)

    def records(self) -> Iterator[ImageRecord | Rejected]:
        return iter(self._entries)

    def __iter__(self) -> Iterator[tuple[ImageRecord, bytes | Rejected]]:
        raise TypeError("ArchiveSource is the common part of ZipSource and TarSource")

    def _members(self) -> list[Member]:
        raise TypeError("ArchiveSource is the common part of ZipSource and TarSource")


def make_entries(path: Path, members: Sequence[Member]) -> list[ImageRecord | Rejected]:
    """Records with label and split, and the members that were turned away, in the archive's order."""
    seen: set[str] = set()
    checked: list[tuple[Member, str]] = []
    for member in members:
        clean = member.name.replace("\\", "/").removeprefix("./")
        reason = _name_problem(clean) or member.reason
        if not member.always_shown and is_ignored(clean) and ".." not in clean:
            continue
        if reason is None and member.name in seen:
            reason = "the archive holds this name twice"
        seen.add(member.name)
        checked.append((Member(member.name, reason), clean))
    place_of = iter(places([clean for member, clean in checked if member.reason is None]))
    entries: list[ImageRecord | Rejected] = []
    for member, _ in checked:
        uri = f"{path}{SEPARATOR}{member.name}"
        if member.reason is None:
            place = next(place_of)
            entries.append(ImageRecord(member.name, uri, label=place.label, split=place.split))
        else:
            entries.append(Rejected(printable(member.name), printable(uri), member.reason))
    return entries


def _name_problem(name: str) -> str | None:
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
        return "its path leaves the archive, which could overwrite other files"
    if "\x00" in name or not is_text(name):
        return "its name is not valid UTF-8; rename it"
    return None


def size_problem(size: int, packed: int | None, limits: ArchiveLimits) -> str | None:
    if size > limits.member_bytes:
        return too_long(size)
    if packed is not None and size > limits.free_bytes and size > limits.ratio * packed:
        return f"it unpacks to {size // max(packed, 1):,} times its size, like a decompression bomb"
    return None


def read_picture_bytes(file: IO[bytes], size: int) -> bytes:
    """The `size` bytes of a member that begin where `file` stands; no more, because the next member follows in a tar.

    Raises:
        RejectedImageError: they are no picture, or end early.
    """
    header = file.read(min(HEADER_BYTES, size))
    sniff(header)
    data = header + file.read(size - len(header))
    if len(data) < size:
        raise RejectedImageError("the archive ends in the middle of it")
    return data


def require(condition: bool, path: Path, problem: str) -> None:
    if not condition:
        raise _LimitError(f"{path} {problem}; it looks like a decompression bomb. Unpack it yourself and give the folder if you trust it.")


class _LimitError(InvalidInputError):
    """An archive exceeds `ArchiveLimits`."""


def first_line(error: BaseException) -> str:
    text = " ".join(str(error).split())[:160]
    return text or type(error).__name__
