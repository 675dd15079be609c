"""A folder of pictures: flat, one folder per class, or train / val / test above that."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cbm.core.errors import NotFoundError
from cbm.images.decode import HEADER_BYTES, MAX_FILE_BYTES, RejectedImageError, sniff
from cbm.images.records import ImageRecord, Rejected

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
_LITTER = {"thumbs.db", "desktop.ini", "icon\r"}
_LITTER_FOLDERS = {"__macosx", "@eadir", "$recycle.bin", "system volume information"}
_SIDECARS = {
    *(".txt", ".md", ".rst", ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".xml", ".yaml", ".yml", ".toml", ".ini", ".cfg"),
    *(
        ".html",
        ".htm",
        ".xmp",
        ".aae",
        ".py",
        ".ipynb",
        ".sh",
        ".log",
        ".npy",
        ".npz",
        ".mat",
        ".h5",
        ".hdf5",
        ".safetensors",
        ".pt",
        ".db",
    ),
    *(".sqlite", ".lock", ".sha256", ".md5", ".license", ".part", ".tmp", ".crdownload"),
}


def is_ignored(path: str) -> bool:
    """Whether a file (path relative to the source, with "/") is no candidate: hidden, system litter, or a side file such as captions."""
    *folders, name = path.lower().split("/")
    if any(folder.startswith(".") or folder in _LITTER_FOLDERS for folder in folders):
        return True
    return name.startswith(".") or name in _LITTER or os.path.splitext(name)[1] in _SIDECARS


@dataclass(frozen=True)
class Place:
    """What the folders above a file say about it."""

    label: str | None
    split: str | None


def places(paths: Sequence[str]) -> list[Place]:
    """Label and split of every file, from its path alone (relative, with "/").

    A single outer folder that only holds folders is stepped over, as archives have one. Where all outermost folders are called train, val
    or test (or training, valid, …) and no picture lies beside them, they are splits. Then the outermost folder left is the label; files
    without one have none.
    """
    parts = [path.split("/") for path in paths]
    start = 0
    while parts and all(len(p) > start + 2 and p[start] == parts[0][start] for p in parts) and parts[0][start].lower() not in SPLIT_NAMES:
        start += 1
    splits = bool(parts) and all(len(p) > start + 1 and p[start].lower() in SPLIT_NAMES for p in parts)
    first = start + splits
    return [
        Place(
            label=p[first] if len(p) > first + 1 else None,
            split=SPLIT_NAMES[p[start].lower()] if splits else None,
        )
        for p in parts
    ]


def read_file(path: str | Path) -> bytes:
    """The bytes of a file that may be a picture.

    Raises:
        RejectedImageError: it is gone, unreadable, not a plain file, longer than `MAX_FILE_BYTES`, or of a format that is not read.
    """
    try:
        # Opening a named pipe would wait for a writer for ever; O_NONBLOCK is without effect on plain files.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise RejectedImageError("it is not a plain file (a folder, a pipe or a device)")
            if status.st_size > MAX_FILE_BYTES:
                raise RejectedImageError(too_long(status.st_size))
            header = file.read(HEADER_BYTES)
            sniff(header)
            # One byte more than announced shows a file that is growing; it is then read to the cap and no further.
            data = header + file.read(status.st_size - len(header) + 1)
            return data if len(data) <= status.st_size else data + file.read(MAX_FILE_BYTES - len(data))
    except FileNotFoundError:
        raise RejectedImageError("the file does not exist") from None
    except OSError as error:
        raise RejectedImageError(f"the file cannot be read ({error.strerror or type(error).__name__})") from error
    except ValueError as error:
        raise RejectedImageError(f"the path cannot be opened ({error})") from error


def too_long(size: int) -> str:
    return f"the file has {size / 2**20:,.0f} MiB, more than {MAX_FILE_BYTES // 2**20}; this is not an ordinary picture"


class FolderSource:
    """The pictures below a folder, sorted by path.

    Links to files are followed as long as they stay within the folder; links to folders never are. Both are reported as rejected.

    Raises:
        NotFoundError: there is nothing in the folder that could be a picture.
    """

    kind = "folder"
    concept_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser().absolute()
        self.name = self.root.name or str(self.root)
        self._entries = self._scan()
        if not any(isinstance(entry, ImageRecord) for entry in self._entries):
            rejected = (
                f" ({len(self._entries)} were rejected, e.g. {self._entries[0].item}: {_reason(self._entries[0])})" if self._entries else ""
            )
            raise NotFoundError(
                f"{self.root} holds no pictures{rejected}. Give the folder that holds the images, or the folders of images."
            )

    def __len__(self) -> int:
        return len(self._entries)

    def records(self) -> Iterator[ImageRecord | Rejected]:
        return iter(self._entries)

    def __iter__(self) -> Iterator[tuple[ImageRecord, bytes | Rejected]]:
        for entry in self._entries:
            if isinstance(entry, Rejected):
                yield ImageRecord(entry.item, entry.uri), entry
                continue
            try:
                yield entry, read_file(entry.uri)
            except RejectedImageError as error:
                yield entry, Rejected.of(entry, error.reason)

    def _scan(self) -> list[ImageRecord | Rejected]:
        reasons: dict[str, str | None] = {}
        resolved_root = self.root.resolve()
        failures: list[OSError] = []
        for folder, folders, files in os.walk(self.root, onerror=failures.append):
            for name in folders:
                if os.path.islink(os.path.join(folder, name)):
                    reasons[self._relative(os.path.join(folder, name))] = (
                        "it is a link to a folder; give that folder itself, or copy it here"
                    )
            for name in files:
                path = os.path.join(folder, name)
                leaves = os.path.islink(path) and not Path(os.path.realpath(path)).is_relative_to(resolved_root)
                reasons[self._relative(path)] = "it is a link that leaves the folder; links are followed only within it" if leaves else None
        for failure in failures:
            reasons[self._relative(str(failure.filename))] = f"the folder cannot be read ({failure.strerror})"
        paths = [path for path in sorted(reasons) if not is_ignored(path)]
        for path in paths:
            if not is_text(path):
                reasons[path] = "its name is not valid UTF-8; rename it"
        accepted = [path for path in paths if reasons[path] is None]
        place_of = dict(zip(accepted, places(accepted), strict=True))
        return [self._entry(path, place_of.get(path), reasons[path]) for path in paths]

    def _relative(self, path: str) -> str:
        return os.path.relpath(path, self.root).replace(os.sep, "/")

    def _entry(self, path: str, place: Place | None, reason: str | None) -> ImageRecord | Rejected:
        uri = str(self.root / path)
        if place is None:
            return Rejected(printable(path), printable(uri), reason or "")
        return ImageRecord(path, uri, label=place.label, split=place.split)


def is_text(name: str) -> bool:
    """Whether `name` is valid Unicode; tables and JSON cannot hold a file name that is not."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(name: str) -> str:
    """`name` with bytes that are no text written as \\x.. ."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _reason(entry: ImageRecord | Rejected) -> str:
    return entry.reason if isinstance(entry, Rejected) else ""
