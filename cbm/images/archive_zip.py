"""Pictures in a zip file."""

from __future__ import annotations

import functools
import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

from cbm.core.errors import CbmError, InvalidInputError, NotFoundError
from cbm.images.archive_common import DAMAGED, ArchiveLimits, ArchiveSource, Member, first_line, read_picture_bytes, require, size_problem
from cbm.images.decode import RejectedImageError
from cbm.images.records import ImageRecord, Rejected


class ZipSource(ArchiveSource):
    """The pictures of a zip file."""

    def __iter__(self) -> Iterator[tuple[ImageRecord, bytes | Rejected]]:
        with _open_zip(self.path, self.limits) as archive:
            for entry in self._entries:
                if isinstance(entry, Rejected):
                    yield ImageRecord(entry.item, entry.uri), entry
                    continue
                try:
                    yield entry, _read_zip_member(archive, archive.getinfo(entry.item))
                except RejectedImageError as error:
                    yield entry, Rejected.of(entry, error.reason)
                except KeyError:
                    yield entry, Rejected.of(entry, "it disappeared: the archive changed while being read")

    def _members(self) -> list[Member]:
        with _open_zip(self.path, self.limits) as archive:
            return [Member(info.filename, _zip_problem(info, self.limits)) for info in archive.infolist() if not info.is_dir()]


def read_zip(path: Path, member: str, limits: ArchiveLimits) -> bytes:
    """One member of a zip.

    Raises:
        NotFoundError, RejectedImageError, InvalidInputError: as `cbm.images.archive.read_member`.
    """
    status = path.stat()
    archive = _kept_zip(path, status.st_mtime_ns, status.st_size, limits)
    try:
        info = archive.getinfo(member)
    except KeyError:
        raise NotFoundError(f"{path} has no member {member!r}; it was repacked, or the name is misspelt.") from None
    problem = _zip_problem(info, limits)
    if problem:
        raise RejectedImageError(problem)
    return _read_zip_member(archive, info)


def is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(4)
    return start[:2] == b"PK" or path.suffix.lower() == ".zip"


def _open_zip(path: Path, limits: ArchiveLimits) -> zipfile.ZipFile:
    try:
        size = path.stat().st_size
        _check_directory(path, size, limits)
        archive = zipfile.ZipFile(path)
    except CbmError:
        raise
    except DAMAGED as error:
        raise InvalidInputError(f"{path} is not a readable zip ({first_line(error)}). Copy or pack it again.") from error
    try:
        infos = archive.infolist()
        require(len(infos) <= limits.members, path, f"has {len(infos):,} members, more than {limits.members:,}")
        total = sum(info.file_size for info in infos)
        require(total <= limits.total_bytes, path, f"unpacks to {total:,} bytes, more than {limits.total_bytes:,}")
        # Members that share their packed bytes are how a small zip unpacks to petabytes (D. Fifield, 2019).
        require(sum(info.compress_size for info in infos) <= size, path, "has members that overlap")
    except CbmError:
        archive.close()
        raise
    return archive


def _check_directory(path: Path, size: int, limits: ArchiveLimits) -> None:
    """zipfile reads the whole central directory into objects at once, so its length is judged first (46 bytes a member at least)."""
    with path.open("rb") as file:
        file.seek(max(0, size - 65_557))
        tail = file.read()
        position = tail.rfind(b"PK\x05\x06")
        if position < 0 or position + 22 > len(tail):
            return
        length = struct.unpack_from("<L", tail, position + 12)[0]
        wide = tail.rfind(b"PK\x06\x06")
        if length == 0xFFFFFFFF and 0 <= wide <= len(tail) - 56:
            length = struct.unpack_from("<Q", tail, wide + 40)[0]
    require(length <= limits.members * 300, path, f"lists more than {limits.members:,} members")


def _zip_problem(info: zipfile.ZipInfo, limits: ArchiveLimits) -> str | None:
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "it is a link or a device, not a file"
    if info.flag_bits & 0x1:
        return "it is encrypted; pack the archive without a password"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "its compression method is not supported; repack the archive with deflate"
    return size_problem(info.file_size, info.compress_size, limits)


def _read_zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(info) as file:
            return read_picture_bytes(file, info.file_size)
    except RejectedImageError:
        raise
    except DAMAGED as error:
        raise RejectedImageError(f"its part of the archive is damaged ({first_line(error)})") from error


@functools.lru_cache(maxsize=4)
def _kept_zip(path: Path, modified: int, size: int, limits: ArchiveLimits) -> zipfile.ZipFile:
    """One open archive serves a whole gallery; a ZipFile may be read by many threads."""
    return _open_zip(path, limits)
