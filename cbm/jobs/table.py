"""The columns of the table of jobs, older tables brought up to date, and a row as a `Job`."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from datetime import UTC, datetime

from cbm.core.progress import Progress
from cbm.jobs import history
from cbm.jobs.records import Job

# The partial index is what makes equal requests join, however many processes submit at once.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, digest TEXT NOT NULL, kind TEXT NOT NULL, parameters TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued', attempt INTEGER NOT NULL DEFAULT 1, worker TEXT, cancelling INTEGER NOT NULL DEFAULT 0,
    created TEXT NOT NULL, started TEXT, finished TEXT,
    done INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0, message TEXT NOT NULL DEFAULT '', figures TEXT NOT NULL DEFAULT '{}',
    result TEXT, error TEXT, log TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX IF NOT EXISTS one_live_job_a_request ON jobs (digest) WHERE state IN ('queued', 'running') AND cancelling = 0;
"""
# Added since the first version; a program of that version that still runs can go on writing, for each has a default.
_ADDED = {
    "title": "TEXT NOT NULL DEFAULT ''",
    "resumed": "INTEGER NOT NULL DEFAULT 0",
    "interruption": "TEXT NOT NULL DEFAULT ''",
    "worked": "REAL NOT NULL DEFAULT 0",
}
WITHOUT_LOG = (
    "number, id, digest, kind, parameters, state, attempt, worker, cancelling, created, started, finished, done, total, message, figures, "
    "result, error, '' AS log, " + ", ".join(_ADDED)
)


def prepare(database: sqlite3.Connection) -> None:
    """Make the tables, or bring those of an older version up to date."""
    # Another process that opens the file for the first time too may be setting the same mode, or adding the same column.
    with contextlib.suppress(sqlite3.OperationalError):
        database.execute("PRAGMA journal_mode = WAL")
    database.executescript(_SCHEMA + history.SCHEMA)
    present = {row["name"] for row in database.execute("PRAGMA table_info(jobs)")}
    for column, kind in _ADDED.items():
        if column not in present:
            with contextlib.suppress(sqlite3.OperationalError):
                database.execute(f"ALTER TABLE jobs ADD COLUMN {column} {kind}")


def job_of(row: sqlite3.Row) -> Job:
    return Job(
        id=row["id"],
        kind=row["kind"],
        parameters=json.loads(row["parameters"]),
        state=row["state"],
        progress=Progress(row["done"], row["total"], row["message"], json.loads(row["figures"])),
        attempt=row["attempt"],
        created=datetime.fromisoformat(row["created"]),
        started=_time(row["started"]),
        finished=_time(row["finished"]),
        cancelling=bool(row["cancelling"]) and row["state"] == "running",
        result=None if row["result"] is None else json.loads(row["result"]),
        error=row["error"],
        log=row["log"],
        title=row["title"],
        resumed=row["resumed"],
        interruption=row["interruption"],
    )


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def seconds_since(started: str | None) -> float:
    """Seconds from a time in the table until now; 0 where there is none, or where the clock was set back."""
    return 0.0 if started is None else max(0.0, (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds())


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
