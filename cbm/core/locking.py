"""One writer at a time, also across processes; the lock dies with its holder."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import IO

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


class FileLock:
    """An exclusive lock on a file, released when the holder closes it, exits or is killed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock, or fail at once.

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
                f"{who.capitalize()} is embedding into {self._path.parent}; wait until it has finished, or use another workspace."
            ) from error
        if not _still_there(file, self._path):
            # A lock on a removed file keeps nobody out.
            file.close()
            self.acquire()
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
