"""Bundles as one .zip file: written the same way each time, and read without trust."""

from __future__ import annotations

import io
import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from cbm.core.errors import InvalidInputError
from cbm.model.bundle_files import SUMS

MOST_FILES = 200
MOST_BYTES = 4 * 10**9
"""Of all files together, unpacked; the dictionary of 131,072 latents over 1,024 dimensions has 1 GB."""
_TIME = (1980, 1, 1, 0, 0, 0)


def pack(folder: Path, name: str) -> bytes:
    """The files of a bundle below a folder called `name`, as the bytes of a .zip that depend on their contents alone."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(f"{name}/{file.relative_to(folder).as_posix()}", _TIME)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as target, file.open("rb") as source:
                shutil.copyfileobj(source, target)
    return buffer.getvalue()


def unpack(file: Path | IO[bytes], into: Path) -> Path:
    """Unpack a .zip that somebody gave, and find the bundle in it.

    Args:
        into: an empty folder.

    Returns:
        The folder of the bundle; its checksums are not looked at yet.

    Raises:
        InvalidInputError: no .zip, too much in it, names that lead elsewhere, links, or no bundle.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check(entries)
            left = MOST_BYTES
            for entry in entries:
                target = into / PurePosixPath(entry.filename)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("wb") as sink:
                    left -= _copy(source, sink, left)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, OSError, EOFError) as error:
        raise InvalidInputError(f"The file is not a readable .zip ({error}). Give the .zip that the export page made.") from error
    found = sorted(into.rglob(SUMS), key=lambda path: len(path.parts))
    if not found:
        raise InvalidInputError(f"The .zip holds no exported bundle: there is no {SUMS} in it. Give the .zip that the export page made.")
    return found[0].parent


def _check(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MOST_FILES:
        raise InvalidInputError(f"The .zip holds {len(entries)} files; a bundle has a dozen. Give the .zip that the export page made.")
    if sum(entry.file_size for entry in entries) > MOST_BYTES:
        raise InvalidInputError(f"The .zip unpacks to more than {MOST_BYTES // 10**9} GB; no bundle is so large.")
    for entry in entries:
        parts = PurePosixPath(entry.filename).parts
        link = (entry.external_attr >> 16) & 0o170000 == 0o120000
        leads_out = PurePosixPath(entry.filename).is_absolute() or ".." in parts or any(mark in entry.filename for mark in "\\:\0")
        if link or leads_out or not parts:
            raise InvalidInputError(f"The .zip holds {entry.filename!r}, which points outside it or is a link. Do not use this file.")


def _copy(source: IO[bytes], sink: IO[bytes], most: int) -> int:
    """Bytes copied; what the directory of a .zip says of sizes need not be true."""
    copied = 0
    while chunk := source.read(1 << 20):
        copied += len(chunk)
        if copied > most:
            raise InvalidInputError(f"The .zip unpacks to more than {MOST_BYTES // 10**9} GB; no bundle is so large.")
        sink.write(chunk)
    return copied
