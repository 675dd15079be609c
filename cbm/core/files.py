"""Files and folders that are there whole or not at all, and the lock that lets one writer in at a time."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from cbm.core.errors import InvalidInputError

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


_DRAFT = ".writing"
_LEFT_BEHIND_SECONDS = 3600.0


@contextlib.contextmanager
def whole_file(file: Path) -> Iterator[Path]:
    """A temporary name to write to, beside `file`; it reaches the disk and takes the name `file` when the block ends without an error.

    A killed process leaves the older file, or none.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    for draft in file.parent.glob(f".{_glob_literal(file.name)}-*{_DRAFT}"):
        if age(draft) > _LEFT_BEHIND_SECONDS:
            draft.unlink(missing_ok=True)
    draft = file.with_name(f".{file.name}-{os.getpid()}-{secrets.token_hex(4)}{_DRAFT}")
    try:
        yield draft
        sync(draft)
        draft.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    sync(file.parent)


def write_bytes(file: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with whole_file(file) as draft:
        draft.write_bytes(data)


def write_text(file: Path, text: str) -> None:
    """Write a UTF-8 file whole or not at all."""
    write_bytes(file, text.encode())


def write_json(file: Path, value: Any, *, sort_keys: bool = False) -> None:
    """Write indented JSON whole or not at all."""
    write_text(file, json.dumps(value, indent=2, sort_keys=sort_keys, ensure_ascii=False) + "\n")


def publish_folder(draft: Path, final: Path, *, proof: str = "") -> None:
    """Make a written folder durable and give it its name in one step; an equal one that got there first wins.

    Args:
        draft: a folder beside `final`; gone afterwards.
        proof: a file that an equal folder holds; anything else under that name is an error.
    """
    for file in draft.rglob("*"):
        if file.is_file():
            sync(file)
    sync(draft)
    draft.chmod(0o755)
    try:
        draft.rename(final)
    except OSError:
        if not (final / proof).exists():
            raise
        shutil.rmtree(draft, ignore_errors=True)
    sync(final.parent)


REMOVED = ".removed-"
"""Begins the name of a folder that is being removed."""


def remove_folder(folder: Path) -> None:
    """Remove a folder: its name is free at once, so that nobody meets half of it. One that is gone already is no error."""
    hidden = folder.with_name(f"{REMOVED}{folder.name}-{secrets.token_hex(4)}")
    with contextlib.suppress(FileNotFoundError):
        folder.rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)


def sync(path: Path) -> None:
    """Wait until a file, or what a folder lists, has reached the disk."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows cannot open folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def age(path: Path) -> float:
    """Seconds since a path was last written to; 0 for what is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _glob_literal(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


class FileLock:
    """An exclusive lock on a file, released when the holder closes it, exits or is killed.

    The package filelock does not say who holds a lock, and cannot be asked for one without taking it; this one does both.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def acquire(self, doing: str = "writing to") -> None:
        """Take the lock, or fail at once.

        Args:
            doing: what its holder does in the lock's folder, for the message to whoever comes second.

        Raises:
            InvalidInputError: another process, or another part of this one, holds it.
        """
        # Opened for appending, so that a loser does not erase the holder's number.
        file = self._path.open("a+")
        try:
            _lock(file)
        except OSError as error:
            holder = ""
            with contextlib.suppress(OSError):
                file.seek(0)
                holder = file.read().strip()
            file.close()
            who = f"process {holder}" if holder else "another process"
            raise InvalidInputError(
                f"{who.capitalize()} is {doing} {self._path.parent}; wait until it has finished, or use another workspace."
            ) from error
        if not _still_there(file, self._path):
            # A lock on a removed file keeps nobody out.
            file.close()
            self.acquire(doing)
            return
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def discard(self) -> None:
        """Release the lock and remove its file, for locks of one piece of work."""
        self._path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock on a file, which is neither made nor changed by asking."""
    try:
        # "r+", because some systems lock only what may be written.
        with path.open("r+") as file:
            _lock(file)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _still_there(file: IO[str], path: Path) -> bool:
    """Whether an open file is still the one under its name: somebody who swept may have removed it after it was opened."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
