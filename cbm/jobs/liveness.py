"""Which workers are alive: each holds a lock that the system takes away when the process ends, however it ends."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path

from cbm.core.errors import InvalidInputError
from cbm.core.files import FileLock, is_free

STALE_SECONDS = 60.0
"""Locks that are free and older than this were left behind; a younger one may be a worker that is just starting."""


class WorkerSign:
    """A worker's sign of life, for the others to see; lasts until `close` or the end of the process."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        while True:
            self.name = f"{os.getpid()}-{secrets.token_hex(4)}"
            self._path = folder / f"{self.name}.lock"
            self._lock = FileLock(self._path)
            # Somebody who counts workers may hold the new file for an instant.
            with contextlib.suppress(InvalidInputError):
                self._lock.acquire()
                return

    def close(self) -> None:
        self._lock.release()
        self._path.unlink(missing_ok=True)


def is_alive(folder: Path, worker: str) -> bool:
    """Whether the worker called `worker` still runs."""
    path = folder / f"{worker}.lock"
    return path.is_file() and not is_free(path)


def living(folder: Path) -> int:
    """The number of workers that run."""
    return sum(not is_free(path) for path in folder.glob("*.lock"))


def sweep(folder: Path) -> None:
    """Remove the locks that dead processes left."""
    for path in folder.glob("*.lock"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > STALE_SECONDS and is_free(path):
                path.unlink(missing_ok=True)
