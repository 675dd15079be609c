"""The table of jobs: one SQLite file in the workspace, read and written by pages, workers and the jobs themselves."""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cbm.errors import InvalidInputError, NotFoundError
from cbm.jobs import liveness
from cbm.jobs.queue import BUSY_SECONDS, JobQueue
from cbm.jobs.records import RETRYABLE, Job, State, checked_request, request_digest
from cbm.progress import Progress
from cbm.workspace import Workspace

WORKER_DIED = "The worker ended while this ran (it was killed, or the machine stopped). What was finished is kept; run it again to go on."

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


class Jobs:
    """The jobs of a workspace. Cheap to make, and safe to use from several threads and processes at once."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.folder = workspace.root / "jobs"
        self.signs = self.folder / "workers"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._queue = JobQueue(self.folder)
        with self._connection() as database:
            # Another process that opens the file for the first time too may be setting the same mode.
            with contextlib.suppress(sqlite3.OperationalError):
                database.execute("PRAGMA journal_mode = WAL")
            database.executescript(_SCHEMA)

    def submit(self, kind: str, parameters: Mapping[str, Any]) -> str:
        """Ask for a verb to be run; returns the job's id. An equal request that is waiting or running is joined.

        Args:
            kind: one of `KINDS`.
            parameters: the verb's keyword arguments as JSON holds them, without workspace and callbacks. Paths must be absolute, for the
                worker may run in another folder. `demo` takes `settings` and `edit` takes `recipe` as objects.

        Raises:
            InvalidInputError: unknown kind, or parameters that JSON cannot hold.
        """
        text = checked_request(kind, parameters)
        digest, identifier = request_digest(kind, text), f"job-{secrets.token_hex(6)}"
        self._mark_orphans()
        try:
            with self._connection() as database:
                values = (identifier, digest, kind, text, _now())
                database.execute("INSERT INTO jobs (id, digest, kind, parameters, created) VALUES (?, ?, ?, ?, ?)", values)
        except sqlite3.IntegrityError:
            # Where the equal request ended in this very moment, its answer is as fresh as one can ask for.
            return self._latest(digest)
        self._queue.put(identifier, 1)
        return identifier

    def get(self, identifier: str) -> Job:
        """The job called `identifier`.

        Raises:
            NotFoundError: there is none.
        """
        self._mark_orphans()
        return self._read(identifier)

    def list(self) -> list[Job]:
        """All jobs, newest request first."""
        self._mark_orphans()
        with self._connection() as database:
            return [_job(row) for row in database.execute("SELECT * FROM jobs ORDER BY number DESC")]

    def cancel(self, identifier: str) -> Job:
        """End a job: at once where it waits, within two seconds where it runs. A job that has ended stays as it is."""
        self._read(identifier)
        with self._connection() as database:
            database.execute(
                "UPDATE jobs SET state = 'cancelled', finished = ?, message = 'Cancelled' WHERE id = ? AND state = 'queued'",
                (_now(), identifier),
            )
            database.execute("UPDATE jobs SET cancelling = 1 WHERE id = ? AND state = 'running'", (identifier,))
        return self.get(identifier)

    def retry(self, identifier: str) -> str:
        """Run a job again that failed, was cancelled or interrupted; verbs with checkpoints go on from them.

        Returns:
            The id to watch: the same, or that of an equal request that is already waiting or running.

        Raises:
            InvalidInputError: the job is done, or has not ended.
        """
        job = self.get(identifier)
        if job.state not in RETRYABLE:
            raise InvalidInputError(f"{identifier} is {job.state}; only jobs that failed, were cancelled or interrupted can run again.")
        try:
            with self._connection() as database:
                changed = database.execute(
                    "UPDATE jobs SET state = 'queued', attempt = attempt + 1, worker = NULL, cancelling = 0, started = NULL, "
                    "finished = NULL, done = 0, total = 0, message = '', figures = '{}', result = NULL, error = NULL, log = '' "
                    "WHERE id = ? AND attempt = ?",
                    (identifier, job.attempt),
                ).rowcount
        except sqlite3.IntegrityError:
            return self._latest(request_digest(job.kind, checked_request(job.kind, job.parameters)))
        if changed:
            self._queue.put(identifier, job.attempt + 1)
        return identifier

    def workers(self) -> int:
        """How many workers run; with none, jobs wait."""
        return liveness.living(self.signs)

    # What the worker and the job's own process write. Each names the attempt, so that a latecomer cannot write over a newer one.

    def claim(self, identifier: str, attempt: int, worker: str) -> bool:
        """Take a waiting job; False where it was cancelled or taken."""
        return self._update(
            "state = 'running', worker = ?, started = ?, message = 'Starting'", (worker, _now()), identifier, attempt, state="queued"
        )

    def report(self, identifier: str, attempt: int, progress: Progress) -> None:
        figures = json.dumps(dict(progress.figures), allow_nan=False)
        values = (progress.done, progress.total, progress.message, figures)
        self._update("done = ?, total = ?, message = ?, figures = ?", values, identifier, attempt)

    def keep_log(self, identifier: str, attempt: int, log: str) -> None:
        self._update("log = ?", (log,), identifier, attempt, state=None)

    def finish(
        self, identifier: str, attempt: int, state: State, *, result: Mapping[str, Any] | None = None, error: str | None = None
    ) -> bool:
        """Say how a running job ended; only the first word counts."""
        record = None if result is None else json.dumps(result, allow_nan=False)
        return self._update("state = ?, finished = ?, result = ?, error = ?", (state, _now(), record, error), identifier, attempt)

    def lost(self) -> Sequence[tuple[str, int]]:
        """Jobs that wait but are not in the queue: somebody was killed between the two. Id and attempt."""
        waiting = self._queue.waiting()
        with self._connection() as database:
            rows = database.execute("SELECT id, attempt FROM jobs WHERE state = 'queued' ORDER BY number").fetchall()
        return [(row["id"], row["attempt"]) for row in rows if (row["id"], row["attempt"]) not in waiting]

    def _update(self, assignments: str, values: tuple[Any, ...], identifier: str, attempt: int, state: State | None = "running") -> bool:
        condition, more = ("", ()) if state is None else (" AND state = ?", (state,))
        with self._connection() as database:
            sql = f"UPDATE jobs SET {assignments} WHERE id = ? AND attempt = ?{condition}"
            return database.execute(sql, (*values, identifier, attempt, *more)).rowcount == 1

    def _mark_orphans(self) -> None:
        """Mark the jobs whose worker is gone."""
        with self._connection() as database:
            running = database.execute("SELECT id, attempt, worker, cancelling FROM jobs WHERE state = 'running'").fetchall()
        for row in running:
            if not liveness.is_alive(self.signs, row["worker"]):
                if row["cancelling"]:
                    self.finish(row["id"], row["attempt"], "cancelled")
                else:
                    self.finish(row["id"], row["attempt"], "interrupted", error=WORKER_DIED)

    def _read(self, identifier: str) -> Job:
        with self._connection() as database:
            row = database.execute("SELECT * FROM jobs WHERE id = ?", (identifier,)).fetchone()
        if row is None:
            raise NotFoundError(f"No job {identifier!r} in {self.workspace.root}; the list of jobs has those that exist.")
        return _job(row)

    def _latest(self, digest: str) -> str:
        order = "ORDER BY state IN ('queued', 'running') AND cancelling = 0 DESC, finished DESC, number DESC"
        with self._connection() as database:
            return str(database.execute(f"SELECT id FROM jobs WHERE digest = ? {order} LIMIT 1", (digest,)).fetchone()["id"])

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection of this call alone, whose changes are kept together or not at all."""
        database = sqlite3.connect(self.folder / "jobs.db", timeout=BUSY_SECONDS)
        database.row_factory = sqlite3.Row
        # With a write-ahead log this is still safe, and does not wait for the disk at every report.
        database.execute("PRAGMA synchronous = NORMAL")
        try:
            with database:
                yield database
        finally:
            database.close()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _job(row: sqlite3.Row) -> Job:
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
    )
