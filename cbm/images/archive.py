"""Pictures in a zip or tar, read one member at a time and never unpacked to disk."""

from __future__ import annotations

from pathlib import Path

from cbm.images.archive_common import LIMITS, SEPARATOR, ArchiveLimits, ArchiveSource
from cbm.images.archive_tar import TarSource, read_tar
from cbm.images.archive_zip import ZipSource, is_zip, read_zip

__all__ = ["LIMITS", "SEPARATOR", "ArchiveLimits", "ArchiveSource", "TarSource", "ZipSource", "open_archive", "read_member"]


def open_archive(path: str | Path, limits: ArchiveLimits = LIMITS) -> ArchiveSource:
    """The pictures of a zip or tar (plain, gzip, bzip2 or xz), in the archive's order; which it is, its first bytes say.

    Raises:
        InvalidInputError: it is neither, is damaged from the start, or exceeds the limits.
        NotFoundError: it holds no pictures.
    """
    path = Path(path).expanduser().absolute()
    return ZipSource(path, limits) if is_zip(path) else TarSource(path, limits)


def read_member(path: Path, member: str, limits: ArchiveLimits = LIMITS) -> bytes:
    """The bytes of one picture in an archive.

    Raises:
        NotFoundError: the archive has no such member.
        RejectedImageError: it cannot be read, or is not a picture.
        InvalidInputError: the archive is damaged.
    """
    return read_zip(path, member, limits) if is_zip(path) else read_tar(path, member, limits)
