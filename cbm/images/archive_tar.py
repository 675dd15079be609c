"""Pictures in a tar file, plain or compressed."""

from __future__ import annotations

import bz2
import functools
import gzip
import lzma
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self, cast

from cbm.core.errors import InvalidInputError, NotFoundError
from cbm.images.archive_common import DAMAGED, ArchiveLimits, ArchiveSource, Member, first_line, read_picture_bytes, require, size_problem
from cbm.images.decode import RejectedImageError
from cbm.images.records import ImageRecord, Rejected


class TarSource(ArchiveSource):
    """The pictures of a tar file, plain or compressed; what was rejected on listing comes first."""

    def __init__(self, path: Path, limits: ArchiveLimits) -> None:
        super().__init__(path, limits)
        self._entries.sort(key=lambda entry: isinstance(entry, ImageRecord))

    def __iter__(self) -> Iterator[tuple[ImageRecord, bytes | Rejected]]:
        listed = {entry.item: entry for entry in self._entries if isinstance(entry, ImageRecord)}
        for entry in self._entries:
            if isinstance(entry, Rejected):
                yield ImageRecord(entry.item, entry.uri), entry
        with _tar_stream(self.path, self.limits) as archive:
            try:
                for info in _walk_tar(archive):
                    record = listed.pop(info.name, None) if info.isreg() else None
                    if record is None:
                        continue
                    try:
                        yield record, _read_tar_member(archive, info, self.limits)
                    except RejectedImageError as error:
                        yield record, Rejected.of(record, error.reason)
            except DAMAGED as error:
                reason = f"the archive ends before it ({first_line(error)})"
            else:
                reason = "it disappeared: the archive changed while being read"
        for record in listed.values():
            yield record, Rejected.of(record, reason)

    def _members(self) -> list[Member]:
        members: list[Member] = []
        total = 0
        with _tar_stream(self.path, self.limits) as archive:
            try:
                for info in _walk_tar(archive):
                    if info.isdir():
                        continue
                    total += info.size
                    require(total <= self.limits.total_bytes, self.path, f"unpacks to more than {self.limits.total_bytes:,} bytes")
                    require(len(members) < self.limits.members, self.path, f"has more than {self.limits.members:,} members")
                    members.append(Member(info.name, _tar_problem(info, self.limits)))
            except DAMAGED as error:
                if not members:
                    raise InvalidInputError(
                        f"{self.path} is not a readable archive ({first_line(error)}). Copy or pack it again."
                    ) from error
                reason = f"the archive ends after {len(members)} files ({first_line(error)})"
                members.append(Member(self.path.name, reason, always_shown=True))
            if not _is_plain(self.path):
                self.notes = ("A compressed tar has to be read from the beginning for every picture; unpack it for fast browsing.",)
        return members


def read_tar(path: Path, member: str, limits: ArchiveLimits) -> bytes:
    """One member of a tar: at once in a plain one, after reading up to it in a compressed one.

    Raises:
        NotFoundError, RejectedImageError, InvalidInputError: as `cbm.images.archive.read_member`.
    """
    try:
        if _is_plain(path):
            status = path.stat()
            return _read_at(path, _kept_tar_index(path, status.st_mtime_ns, status.st_size, limits), member)
        with _tar_stream(path, limits) as stream:
            for info in _walk_tar(stream):
                if info.name == member:
                    return _read_tar_member(stream, info, limits)
    except DAMAGED as error:
        raise InvalidInputError(f"{path} is damaged ({first_line(error)}). Copy or pack it again.") from error
    raise NotFoundError(f"{path} has no member {member!r}; it was repacked, or the name is misspelt.")


class _CautiousTarInfo(tarfile.TarInfo):
    """Closes two gaps: tarfile takes a damaged header for the end of the archive, and reads extended headers of any length into memory."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(str(error)) from error

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        extended = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
        if self.type in extended and self.size > 2**20:
            raise tarfile.ReadError("an extended header is longer than 1 MiB")
        return super()._proc_member(archive)  # type: ignore[misc]


class _Metered:
    """A decompressing stream that stops when it has given far more than was put in."""

    def __init__(self, inner: IO[bytes], packed: IO[bytes], path: Path, limits: ArchiveLimits) -> None:
        self.inner, self.packed, self.path, self.limits = inner, packed, path, limits
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        data = self.inner.read(size)
        self.given += len(data)
        ceiling = max(self.limits.free_bytes, self.limits.ratio * self.packed.tell())
        require(self.given <= ceiling, self.path, f"unpacks to more than {self.limits.ratio} times its size")
        require(self.given <= self.limits.total_bytes * 2, self.path, f"unpacks to more than {self.limits.total_bytes:,} bytes")
        return data


def _unpacker(packed: IO[bytes]) -> IO[bytes] | None:
    """The decompressing stream over `packed`, chosen by its first bytes, or None for a plain file."""
    start = packed.read(6)
    packed.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=packed))
    if start.startswith(b"BZh"):
        return cast("IO[bytes]", bz2.BZ2File(packed))
    if start.startswith(b"\xfd7zXZ"):
        return cast("IO[bytes]", lzma.LZMAFile(packed))
    return None


def _is_plain(path: Path) -> bool:
    with path.open("rb") as packed:
        return _unpacker(packed) is None


@contextmanager
def _tar_stream(path: Path, limits: ArchiveLimits) -> Iterator[tarfile.TarFile]:
    with path.open("rb") as packed:
        try:
            unpacked = _unpacker(packed)
            stream: Any = packed if unpacked is None else _Metered(unpacked, packed, path, limits)
            archive = _open_tar(stream, "r:" if unpacked is None else "r|")
        except DAMAGED as error:
            raise InvalidInputError(f"{path} is not a readable archive ({first_line(error)}). Copy or pack it again.") from error
        with archive:
            yield archive


def _open_tar(stream: Any, mode: Any) -> tarfile.TarFile:
    return tarfile.open(fileobj=stream, mode=mode, tarinfo=_CautiousTarInfo)


def _walk_tar(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (info := archive.next()) is not None:
        yield info
        # tarfile remembers every member; a million of them would fill a gigabyte.
        cast("Any", archive).members.clear()


def _tar_problem(info: tarfile.TarInfo, limits: ArchiveLimits) -> str | None:
    if not info.isreg() or info.issparse():
        return "it is a link or a device, not a file"
    return size_problem(info.size, None, limits)


def _read_tar_member(archive: tarfile.TarFile, info: tarfile.TarInfo, limits: ArchiveLimits) -> bytes:
    problem = _tar_problem(info, limits)
    file = None if problem else archive.extractfile(info)
    if file is None:
        raise RejectedImageError(problem or "it is a link or a device, not a file")
    try:
        with file:
            return read_picture_bytes(file, info.size)
    except DAMAGED as error:
        raise RejectedImageError(f"its part of the archive is damaged ({first_line(error)})") from error


@functools.lru_cache(maxsize=4)
def _kept_tar_index(path: Path, modified: int, size: int, limits: ArchiveLimits) -> dict[str, tuple[int, int]]:
    """Where each member of an uncompressed tar begins, and its length."""
    index: dict[str, tuple[int, int]] = {}
    with _tar_stream(path, limits) as archive:
        for info in _walk_tar(archive):
            if _tar_problem(info, limits) is None:
                index.setdefault(info.name, (info.offset_data, info.size))
    return index


def _read_at(path: Path, index: dict[str, tuple[int, int]], member: str) -> bytes:
    if member not in index:
        raise NotFoundError(f"{path} has no member {member!r}; it was repacked, or the name is misspelt.")
    offset, size = index[member]
    with path.open("rb") as file:
        file.seek(offset)
        return read_picture_bytes(file, size)
