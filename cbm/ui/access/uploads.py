"""What a visitor uploads: kept below the workspace under the digest of its content, or decoded in memory and forgotten.

A name from a browser is a claim, not a path: it is taken apart and checked before anything is written. What is kept appears under its
final name in one step, so that a server that is killed leaves the whole upload or nothing, and the same upload twice is kept once.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, Protocol

from cbm.core.errors import CbmError, InvalidInputError, NotFoundError
from cbm.core.files import publish_folder
from cbm.images.archive import LIMITS, SEPARATOR, ArchiveSource, open_archive
from cbm.images.folder import is_ignored
from cbm.images.records import Rejected
from cbm.images.sources import ARCHIVE_SUFFIXES, TABLE_SUFFIXES, open_source
from cbm.ui.access import modes, quotas
from cbm.workspace.workspace import Workspace

if TYPE_CHECKING:
    from PIL import Image

PICTURES = "pictures"
"""What the folder of pictures that came without a folder of their own is called."""
VECTOR_SUFFIXES = (".npz",)
CLASS_SUFFIXES = (".txt", ".json")
"""Files of class names that may come with vectors."""
PICTURE_TYPES = ("jpg", "jpeg", "png", "webp", "avif", "gif", "bmp", "tif", "tiff")
"""Endings of the pictures that upload widgets take."""
_LONGEST_PART = 200
"""Bytes of a file's or folder's name; file systems stop at 255, and a number may have to be added."""
_DEEPEST = 12

Kind = Literal["pictures", "archive", "table", "vectors"]


class Upload(Protocol):
    """What `st.file_uploader` returns, as far as it is used here."""

    @property
    def name(self) -> str: ...

    def getvalue(self) -> bytes: ...


@dataclass(frozen=True)
class _Plan:
    """What is to be written, and which of it is the source."""

    kind: Kind
    files: Mapping[str, bytes]
    """By clean name, relative to the upload's folder."""
    main: str
    """The name of the source, relative to the upload's folder."""
    unpack: str | None = None
    """The archive whose pictures a table lists, or that belong to vectors; it is unpacked and not kept itself."""


def keep(root: str | Path, files: Sequence[Upload]) -> Path:
    """Keep uploaded files in the workspace, and return what `cbm.verbs.embed` or `cbm.verbs.import_vectors` takes as their source.

    Accepted are pictures (loose, or with the folders of a directory upload, which become labels), one archive of pictures, one table
    (.csv, .tsv, .parquet) with its pictures loose or in one archive, or one file of vectors (.npz, or .parquet alone), perhaps with class
    names (.txt, .json) and an archive of its pictures, which is unpacked to the folder `PICTURES` beside them.

    Args:
        root: the workspace's folder.
        files: what `st.file_uploader` returned.

    Raises:
        NotAllowedError: the app's mode allows no upload, or not so much of it.
        InvalidInputError: a name leads out of the folder, the files do not go together, or an archive or table is damaged.
        NotFoundError: there is no picture among them.
    """
    quotas.check_uploads({f"{clean_name(file.name)} ({number})": len(file.getvalue()) for number, file in enumerate(files, start=1)})
    plan = _plan(files)
    final = Workspace(root).uploads / _digest(plan)
    if not final.exists():
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".upload-", dir=final.parent))
        try:
            _write(temporary, plan)
            _examine(temporary, plan)
            # Once more: an archive was unpacked, and another tab may have kept something meanwhile.
            quotas.check_kept()
            publish_folder(temporary, final)
        except BaseException as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if isinstance(error, CbmError):
                # Nobody knows the temporary folder; the names in it are those that the visitor gave.
                raise type(error)(str(error).replace(f"{temporary}{os.sep}", "").replace(str(temporary), "The upload")) from error
            raise
    return _source(final, plan)


def read_single(file: Upload) -> Image.Image:
    """The upright RGB picture in one uploaded file, decoded in memory; nothing is kept.

    Raises:
        NotAllowedError: it is larger than this mode allows.
        InvalidInputError: it is not a readable picture; the message says why.
    """
    from cbm.images.decode import RejectedImageError, decode

    quotas.check_uploads({Path(file.name).name: len(file.getvalue())}, kept=False)
    try:
        return decode(file.getvalue())
    except RejectedImageError as error:
        raise InvalidInputError(f"{Path(file.name).name} cannot be used: {error.reason}.") from error


def without_folders(root: str | Path, message: str) -> str:
    """A message about an upload as its sender should read it: by the name that they gave, without the server's folders."""
    return re.sub(re.escape(f"{Workspace(root).uploads}{os.sep}") + r"[0-9a-f]{16}(/|\b)", "", message)


def clean_name(name: str) -> str:
    """A file name from a browser as a path below the upload's folder, with "/".

    Raises:
        InvalidInputError: it is absolute, climbs out of the folder, is not text, or is too long.
    """
    slashed = name.replace("\\", "/")
    parts = [part.strip() for part in slashed.split("/") if part.strip() not in ("", ".")]
    shown = repr(name[:80])
    if slashed.startswith("/") or re.match(r"[A-Za-z]:", slashed) or ".." in parts:
        raise InvalidInputError(f"The file name {shown} points outside the upload, which could overwrite other files. Rename it.")
    if not parts or any(ord(character) < 32 or ord(character) == 127 for character in slashed) or SEPARATOR in slashed:
        raise InvalidInputError(
            f"The file name {shown} cannot be used: it is empty, or contains control characters or “{SEPARATOR}”. Rename it."
        )
    try:
        longest = max(len(part.encode()) for part in parts)
    except UnicodeEncodeError:
        raise InvalidInputError(f"The file name {shown} is not valid text; rename it.") from None
    if longest > _LONGEST_PART or len(parts) > _DEEPEST:
        raise InvalidInputError(f"The file name {shown} … is too long or too deeply nested; shorten it.")
    return "/".join(parts)


def _plan(files: Sequence[Upload]) -> _Plan:
    """What the files are, told from their names.

    Raises:
        InvalidInputError: they do not go together; the message says what does.
    """
    if not files:
        raise InvalidInputError(
            "Nothing was uploaded. Choose pictures, a zip of pictures, a table with its pictures, or a file of vectors."
        )
    named = _distinct([(clean_name(file.name), file.getvalue()) for file in files])
    vectors = [name for name in named if name.lower().endswith(VECTOR_SUFFIXES)]
    tables = [name for name in named if name.lower().endswith(TABLE_SUFFIXES)]
    archives = [name for name in named if name.lower().endswith(ARCHIVE_SUFFIXES)]
    pictures = [name for name in named if name not in {*vectors, *tables, *archives} and not is_ignored(name)]
    if vectors:
        _require(len(vectors) == 1 and not tables, f"{' and '.join((*vectors, *tables)[:2])}: upload one file of vectors at a time.")
    _require(len(archives) <= 1, f"{len(archives)} archives at once cannot be told apart; upload one, or pack them into one.")
    _require(len(tables) <= 1, f"{' and '.join(tables[:2])}: only one table can describe the pictures; upload one.")
    _require(not (archives and pictures), f"Upload either {(archives or [''])[0]} or the loose pictures, not both.")
    if vectors:
        return _vectors_plan(named, vectors[0], archives, pictures)
    if tables and not (archives or pictures):
        _require(
            tables[0].lower().endswith(".parquet"), f"{tables[0]} lists pictures; upload it together with them (loose, or in one zip)."
        )
        return _vectors_plan(named, tables[0], archives, pictures)
    if tables:
        wanted = {name: named[name] for name in (tables[0], *archives, *pictures)}
        return _Plan("table", wanted, tables[0], archives[0] if archives else None)
    if archives:
        return _Plan("archive", {archives[0]: named[archives[0]]}, archives[0])
    _require(
        bool(pictures),
        f"{next(iter(named))} is not a picture, archive, table or file of vectors. JPEG, PNG, WebP and zip are good choices.",
    )
    return _Plan("pictures", {f"{PICTURES}/{name}": named[name] for name in pictures}, PICTURES)


def _vectors_plan(named: Mapping[str, bytes], vectors: str, archives: Sequence[str], pictures: Sequence[str]) -> _Plan:
    """Vectors, with a file of class names and an archive of the pictures where they came along."""
    _require(not pictures, f"{vectors} holds vectors: put the pictures that belong to them into one zip, or leave them out.")
    names = [name for name in named if name.lower().endswith(CLASS_SUFFIXES)]
    _require(len(names) <= 1, f"{' and '.join(names[:2])}: one file of class names is enough.")
    wanted = {name: named[name] for name in (vectors, *names, *archives)}
    return _Plan("vectors", wanted, vectors, archives[0] if archives else None)


def _open_archive(path: Path) -> ArchiveSource:
    """An archive of a stranger's, within what this mode allows; pictures hardly shrink, so what it unpacks to may be as much as is kept."""
    allowed = modes.limits().max_kept_bytes
    archive = open_archive(path, LIMITS if allowed is None else replace(LIMITS, total_bytes=allowed))
    quotas.check_images(len(archive))
    return archive


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise InvalidInputError(problem)


def _distinct(named: Sequence[tuple[str, bytes]]) -> dict[str, bytes]:
    """The files by name; a name that comes twice (from two folders) gets a number, unless the content is the same."""
    kept: dict[str, bytes] = {}
    taken: dict[str, bytes] = {}
    for name, data in named:
        stem, suffix = os.path.splitext(name)
        number = 1
        chosen = name
        # Some file systems take A.jpg and a.jpg for one file.
        while chosen.casefold() in taken and taken[chosen.casefold()] != data:
            number += 1
            chosen = f"{stem} ({number}){suffix}"
        if chosen.casefold() not in taken:
            taken[chosen.casefold()] = data
            kept[chosen] = data
    return kept


def _digest(plan: _Plan) -> str:
    """What two equal uploads share: the names and contents, in whichever order they came."""
    digest = hashlib.sha256(plan.kind.encode())
    for name, data in sorted(plan.files.items()):
        digest.update(f"\0{name}\0{len(data)}\0".encode())
        digest.update(hashlib.sha256(data).digest())
    return digest.hexdigest()[:16]


def _write(folder: Path, plan: _Plan) -> None:
    for name, data in plan.files.items():
        _write_file(folder, name, data)
    if plan.unpack is not None:
        packed = folder / plan.unpack
        for record, payload in _open_archive(packed):
            if not isinstance(payload, Rejected):
                beside = f"{PICTURES}/" if plan.kind == "vectors" else ""
                _write_file(folder, f"{beside}{clean_name(record.item)}", payload)
        packed.unlink()


def _write_file(folder: Path, name: str, data: bytes) -> None:
    path = folder / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(data)
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidInputError(f"{name} appears twice, or as both a file and a folder; rename one.") from error


def _examine(folder: Path, plan: _Plan) -> None:
    """Refuse an archive or a table that cannot be read at all before it is kept; single bad pictures are the encoder's to reject.

    Raises:
        CbmError: what is wrong with it.
    """
    if plan.kind == "archive":
        _open_archive(folder / plan.main)
    elif plan.kind == "table":
        _settle_table(folder, plan)
    elif plan.main.lower().endswith(VECTOR_SUFFIXES):
        # Pages read vectors into the server's memory, and an .npz may be a few kilobytes that become many gigabytes.
        with contextlib.suppress(InvalidInputError):  # whoever reads them says better what is wrong with a damaged file
            quotas.check_kept(unpacked_bytes(folder / plan.main))


def unpacked_bytes(file: Path | IO[bytes]) -> int:
    """What the files in a .zip (an .npz is one) have together; more than that is never read from it.

    Raises:
        InvalidInputError: it is none.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, EOFError) as error:
        raise InvalidInputError(f"The file cannot be unpacked ({error}): it is damaged or not a zip archive. Create it again.") from error


def _settle_table(folder: Path, plan: _Plan) -> None:
    """Check the table; where its paths are relative to the single folder of its archive, move it there."""
    try:
        quotas.check_images(len(open_source(folder / plan.main, confine=True)))
    except NotFoundError:
        inner = [path for path in folder.iterdir() if path.is_dir()]
        if plan.unpack is None or len(inner) != 1:
            raise
        moved = inner[0] / plan.main
        os.replace(folder / plan.main, moved)
        quotas.check_images(len(open_source(moved, confine=True)))


def _source(folder: Path, plan: _Plan) -> Path:
    """The source within a kept upload; see `_settle_table`."""
    source = folder / plan.main
    return source if source.exists() else next((inner for inner in folder.glob(f"*/{glob.escape(plan.main)}")), source)
