"""Open whatever the user names as a source of images."""

from __future__ import annotations

from pathlib import Path

from cbm.core.errors import InvalidInputError, NotFoundError
from cbm.images.records import ImageRecord, ImageSource, Rejected

__all__ = ["ImageRecord", "ImageSource", "Rejected", "open_source"]

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")


def open_source(source: str | Path, *, confine: bool = False) -> ImageSource:
    """The source of images that `source` names.

    Args:
        source: a folder, a .csv / .tsv / .parquet table, a .zip / .tar(.gz/.bz2/.xz) archive, or "scenes:KIND?count=…&seed=…&split=…".
        confine: for tables from strangers: reject every path that leaves the table's folder, absolute ones too.

    Raises:
        NotFoundError: there is no such file or folder, or it holds no pictures.
        InvalidInputError: it is none of these, or malformed.
    """
    text = str(source)
    if text.startswith("scenes:"):
        from cbm.images.scene_source import SceneSource

        return SceneSource(text)
    path = Path(text).expanduser()
    try:
        return _open_path(path, confine)
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path} cannot be read ({error}). Check the name and that you may read it.") from error


def _open_path(path: Path, confine: bool) -> ImageSource:
    if not path.exists():
        raise NotFoundError(f"{path} does not exist. Give a folder of images, a .csv or .parquet table, an archive, or scenes:classes.")
    if path.is_dir():
        from cbm.images.folder import FolderSource

        return FolderSource(path)
    name = path.name.lower()
    if name.endswith(TABLE_SUFFIXES):
        from cbm.images.table import TableSource

        return TableSource(path, confine=confine)
    if name.endswith(ARCHIVE_SUFFIXES):
        from cbm.images.archive import open_archive

        return open_archive(path)
    known = f"folders, tables ({', '.join(TABLE_SUFFIXES)}) and archives ({', '.join(ARCHIVE_SUFFIXES)})"
    raise InvalidInputError(f"{path} is not a source of images. Sources are {known}.")
