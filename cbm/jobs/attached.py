"""Workers that belong to this process: started when there is work, gone when this process is, and started again when they crash.

A worker hears the end of this process as the end of its standard input, whatever ended it. One worker serves one workspace; where many
workspaces have work (a hosted app's visitors), only so many workers run at once and they take turns, one job each.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from cbm.core.errors import CbmError
from cbm.jobs.store import Jobs
from cbm.jobs.worker import LEAVE
from cbm.workspace.workspace import Workspace

WORKERS = "CBM_WORKERS"
IDLE_SECONDS = 60.0
"""A worker without work leaves after this; the next job starts another in about a second."""
QUICK_SECONDS = 20.0
"""A worker that dies younger died of its start, or of a job that it took up again at once."""
MAX_QUICK_DEATHS = 5
"""More than a job may go on by itself (`MAX_RESUMES`), so that a poisonous one is given up before its worker is."""
PAUSE_SECONDS = 0.5
CLOSE_SECONDS = 4.0
"""How long workers have to stop their jobs in order when this process ends; they need less than two."""
LOG_LINES = 3


@dataclass
class _Member:
    process: subprocess.Popen[bytes]
    started: float
    stay: bool


class Crew:
    """The workers of this process.

    Args:
        limit: how many may run at once.
        idle_seconds: after how long without work a worker leaves.
    """

    def __init__(self, limit: int, idle_seconds: float = IDLE_SECONDS) -> None:
        self._limit = limit
        self._idle_seconds = idle_seconds
        self._lock = threading.RLock()
        self._members: dict[Path, _Member] = {}
        self._queue: list[Path] = []
        self._stay: set[Path] = set()
        self._quick_deaths: dict[Path, int] = {}
        self._trouble: dict[Path, str] = {}
        self._closed = False

    def ensure(self, root: str | Path, *, stay: bool = False, anew: bool = False) -> None:
        """See to it that a worker serves this workspace, or will as soon as others make room. Cheap where one does.

        Args:
            stay: it is not to leave when it has no work.
            anew: a person asks; what went wrong before is forgotten.
        """
        folder = Path(root)
        with self._lock:
            if stay:
                self._stay.add(folder)
            if anew:
                self._trouble.pop(folder, None)
                self._quick_deaths.pop(folder, None)
            if self._closed or folder in self._members or folder in self._queue or folder in self._trouble:
                return
            if Jobs(Workspace(folder)).workers() > 0:
                return
            self._queue.append(folder)
            self._fill()

    def position(self, root: str | Path) -> int:
        """How many other workspaces get a worker before this one; 0 where it has one or need not wait."""
        with self._lock:
            folder = Path(root)
            return self._queue.index(folder) + 1 if folder in self._queue else 0

    def trouble(self, root: str | Path) -> str | None:
        """Why this workspace has no worker although it should; None where all is well."""
        with self._lock:
            return self._trouble.get(Path(root))

    def close(self) -> None:
        """End all workers; what runs is stopped, and resumes when a worker of that workspace starts again."""
        with self._lock:
            self._closed = True
            self._queue.clear()
            members = list(self._members.values())
        for member in members:
            _close_input(member.process)
        end = time.monotonic() + CLOSE_SECONDS
        for member in members:
            try:
                member.process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                member.process.kill()

    def _fill(self) -> None:
        """Start workers while there is room; where there is none, ask those that run to make some. Called under the lock."""
        while self._queue and len(self._members) < self._limit:
            root = self._queue.pop(0)
            try:
                self._start(root)
            except OSError as error:
                # Those behind it must not wait for ever, least of all for a visitor's workspace that was deleted while it waited.
                if root.is_dir():
                    self._trouble[root] = str(error)
        if self._queue:
            for member in self._members.values():
                if member.process.stdin is not None:
                    with contextlib.suppress(OSError, ValueError):  # it ended in this moment
                        member.process.stdin.write(LEAVE)

    def _start(self, root: Path) -> None:
        stay = root in self._stay
        log = root / "jobs" / "worker.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "cbm", "worker", "--attached", "--workspace", str(root)]
                + ([] if stay else ["--idle", str(self._idle_seconds)]),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                bufsize=0,
                env={**os.environ, "PYTHONPATH": _python_path(), "PYTHONUNBUFFERED": "1"},
                # A Ctrl-C in the terminal is for this process, whose end the worker hears.
                start_new_session=True,
            )
        self._members[root] = _Member(process, time.monotonic(), stay)
        threading.Thread(target=self._mind, args=(root, self._members[root]), name=f"worker of {root.name}", daemon=True).start()

    def _mind(self, root: Path, member: _Member) -> None:
        """Wait for a worker's end, and start the next where there is work."""
        code = member.process.wait()
        _close_input(member.process)
        if code != 0:
            time.sleep(PAUSE_SECONDS)
        with self._lock:
            del self._members[root]
            if self._closed:
                return
            if not root.is_dir():  # a visitor's workspace that was deleted
                self._stay.discard(root)
            elif self._died_too_often(root, member, code):
                self._trouble[root] = _last_words(root, code)
            elif (code != 0 and member.stay) or _has_work(root):
                self._queue.append(root)
            self._fill()

    def _died_too_often(self, root: Path, member: _Member, code: int) -> bool:
        quick = code != 0 and time.monotonic() - member.started < QUICK_SECONDS
        self._quick_deaths[root] = self._quick_deaths.get(root, 0) + 1 if quick else 0
        return self._quick_deaths[root] >= MAX_QUICK_DEATHS


@functools.cache
def crew() -> Crew:
    """The crew of this process; it ends with it. `CBM_WORKERS` says how many workers may run at once, by default one for two processors."""
    asked = os.environ.get(WORKERS, "")
    made = Crew(int(asked) if asked.isdigit() and int(asked) > 0 else max(1, (os.cpu_count() or 2) // 2))
    atexit.register(made.close)
    return made


def _has_work(root: Path) -> bool:
    try:
        # Looking must not make a table of jobs where the workspace is deleted in this moment.
        return (root / "jobs" / "jobs.db").is_file() and Jobs(Workspace(root)).waiting()
    except (CbmError, OSError, sqlite3.Error):
        # Nobody can say; a worker that cannot read the table either ends with the reason as its last words.
        return root.is_dir()


def _python_path() -> str:
    package = Path(__file__).resolve().parents[2]
    return os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])


def _close_input(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


def _last_words(root: Path, code: int) -> str:
    with contextlib.suppress(OSError):
        lines = [line.strip() for line in (root / "jobs" / "worker.log").read_text(errors="replace").splitlines() if line.strip()]
        if lines:
            return " ".join(lines[-LOG_LINES:])
    return f"exit status {code}"
