"""Open whatever the user names as a source of images; the kinds of source are `cbm.registry.SOURCES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cbm.core.errors import InvalidInputError, NotFoundError
from cbm.images.records import ImageRecord, ImageSource, Rejected
from cbm.registry import SOURCES, Part

__all__ = ["ImageRecord", "ImageSource", "Rejected", "SourcePart", "open_source"]

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")


@dataclass(frozen=True)
class SourceSettings:
    """How a source is opened."""

    confine: bool = False
    """For tables from strangers: reject every path that leaves the table's folder, absolute ones too."""


@dataclass(frozen=True, kw_only=True)
class SourcePart(Part):
    """A kind of source of images."""

    label: str
    form: str
    """What a name of this kind looks like, for messages: `scenes:classes`."""
    accepts: Callable[[str], bool]
    """Whether a name is of this kind; a path that does not exist is of none."""
    open: Callable[[str, Any], ImageSource]


def open_source(source: str | Path, *, confine: bool = False) -> ImageSource:
    """The source of images that `source` names.

    Args:
        source: a folder, a .csv / .tsv / .parquet table, a .zip / .tar(.gz/.bz2/.xz) archive, or "scenes:KIND?count=…&seed=…&split=…".
        confine: see `SourceSettings`.

    Raises:
        NotFoundError: there is no such file or folder, or it holds no pictures.
        InvalidInputError: it is none of these, or malformed.
    """
    text = str(source)
    try:
        for part in SOURCES:
            if part.accepts(text):
                return part.open(text, SourceSettings(confine))
        path = Path(text).expanduser()
        if not path.exists():
            raise NotFoundError(f"{path} does not exist. Give {', or '.join(part.form for part in SOURCES)}.")
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{text} cannot be read ({error}). Check the name and that you may read it.") from error
    raise InvalidInputError(f"{path} is not a source of images. Sources are {', '.join(part.form for part in SOURCES)}.")


def _scenes(text: str, _: SourceSettings) -> ImageSource:
    from cbm.images.scene_source import SceneSource

    return SceneSource(text)


def _folder(text: str, _: SourceSettings) -> ImageSource:
    from cbm.images.folder import FolderSource

    return FolderSource(Path(text).expanduser())


def _table(text: str, settings: SourceSettings) -> ImageSource:
    from cbm.images.table import TableSource

    return TableSource(Path(text).expanduser(), confine=settings.confine)


def _archive(text: str, _: SourceSettings) -> ImageSource:
    from cbm.images.archive import open_archive

    return open_archive(Path(text).expanduser())


def _file_ending(suffixes: tuple[str, ...]) -> Callable[[str], bool]:
    def accepts(text: str) -> bool:
        path = Path(text).expanduser()
        return path.name.lower().endswith(suffixes) and path.exists() and not path.is_dir()

    return accepts


SCENES = SourcePart(
    "scenes",
    "Drawn scenes in which every concept is known: nothing to download, and a yardstick.",
    SourceSettings,
    label="Drawn scenes",
    form="scenes:classes",
    accepts=lambda text: text.startswith("scenes:"),
    open=_scenes,
)
FOLDER = SourcePart(
    "folder",
    "A folder of pictures; subfolders are classes, and train / test folders splits.",
    SourceSettings,
    label="Folder",
    form="a folder of images",
    accepts=lambda text: Path(text).expanduser().is_dir(),
    open=_folder,
)
TABLE = SourcePart(
    "table",
    "A table with a picture's file in each row, and columns for its class, group, split and known concepts.",
    SourceSettings,
    label="Table",
    form=f"a table ({', '.join(TABLE_SUFFIXES)})",
    accepts=_file_ending(TABLE_SUFFIXES),
    open=_table,
)
ARCHIVE = SourcePart(
    "archive",
    "A zip or tar file of pictures, read in place; its folders are classes.",
    SourceSettings,
    label="Archive",
    form=f"an archive ({', '.join(ARCHIVE_SUFFIXES)})",
    accepts=_file_ending(ARCHIVE_SUFFIXES),
    open=_archive,
)
