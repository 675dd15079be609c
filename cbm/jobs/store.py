"""The table of jobs: one SQLite file in the workspace, read and written by pages, workers and the jobs themselves.

The table is also the queue: a worker claims the waiting job that comes first with one statement, so there is no second list to agree with.
Whatever takes SQLite's place for several servers has to offer what `Jobs` offers, and nothing more.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from cbm.core.errors import InvalidInputError, NotFoundError
from cbm.core.progress import Progress
from cbm.jobs import history, liveness, table
from cbm.jobs.history import Reported
from cbm.jobs.records import MAX_RESUMES, RETRYABLE, Interruption, Job, State, checked_request, request_digest
from cbm.workspace.workspace import Workspace

WORKER_DIED = "The worker ended while this ran (it was killed, or the machine stopped). What was finished is kept; run it again to resume."
GAVE_UP = (
    "The worker died {times} times while this ran, so it is not started again by itself. "
    "It may need more memory than there is: ask for less at once (a smaller width or batch), or run it again to resume."
)
SUPERSEDED = "The worker ended while this ran, and the same was requested again as {other}."
TITLE_LENGTH = 200
BUSY_SECONDS = 15.0
"""How long to wait for another process that writes."""

_RESUMING = "state = 'interrupted' AND (interruption = 'stopped' OR interruption = 'died' AND resumed < ?)"
_AGAIN = (
    "state = 'queued', attempt = attempt + 1, worker = NULL, cancelling = 0, started = NULL, finished = NULL, done = 0, "
    "total = 0, message = '', figures = '{}', result = NULL, error = NULL, log = ''"
)


class Jobs:
    """The jobs of a workspace. Cheap to make, and safe to use from several threads and processes at once."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.folder = workspace.root / "jobs"
        self.signs = self.folder / "workers"
        self.running = self.folder / "running"
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._connection() as database:
            table.prepare(database)

    def submit(self, kind: str, parameters: Mapping[str, Any], *, title: str = "") -> str:
        """Ask for a verb to be run; returns the job's id. An equal request that is waiting or running is joined.

        Args:
            kind: one of `job_kinds()`.
            parameters: the verb's keyword arguments as JSON holds them, without workspace and callbacks. Paths must be absolute, for the
                worker may run in another folder. `demo` takes `settings` and `edit` takes `recipe` as objects.
            title: what to call it in lists; a joined job keeps its own.

        Raises:
            InvalidInputError: unknown kind, or parameters that JSON cannot hold.
        """
        text = checked_request(kind, parameters)
        digest, identifier = request_digest(kind, text), f"job-{secrets.token_hex(6)}"
        self._mark_orphans()
        try:
            with self._connection() as database:
                values = (identifier, digest, kind, text, table.now(), " ".join(title.split())[:TITLE_LENGTH])
                database.execute("INSERT INTO jobs (id, digest, kind, parameters, created, title) VALUES (?, ?, ?, ?, ?, ?)", values)
        except sqlite3.IntegrityError:
            # Where the equal request ended in this very moment, its answer is as fresh as one can ask for.
            return self._latest(digest)
        return identifier

    def get(self, identifier: str) -> Job:
        """The job called `identifier`.

        Raises:
            NotFoundError: there is none.
        """
        self._mark_orphans()
        return self._read(identifier)

    def list(self) -> list[Job]:
        """All jobs, newest request first, without their logs."""
        self._mark_orphans()
        with self._connection() as database:
            return [table.job_of(row) for row in database.execute(f"SELECT {table.WITHOUT_LOG} FROM jobs ORDER BY number DESC")]

    def live(self) -> Sequence[Job]:
        """The jobs that wait, run, or go on by themselves in a moment, in the order of their requests; without their logs."""
        self._mark_orphans()
        sql = f"SELECT {table.WITHOUT_LOG} FROM jobs WHERE state IN ('queued', 'running') OR {_RESUMING} ORDER BY number"
        with self._connection() as database:
            return [table.job_of(row) for row in database.execute(sql, (MAX_RESUMES,))]

    def newest(self, kinds: Collection[str], prefer: str | None = None) -> Job | None:
        """The job of these kinds that was asked for last, or the one called `prefer` if it is among them; without its log."""
        self._mark_orphans()
        places = ", ".join("?" for _ in kinds)
        sql = f"SELECT {table.WITHOUT_LOG} FROM jobs WHERE kind IN ({places}) ORDER BY id = ? DESC, number DESC LIMIT 1"
        with self._connection() as database:
            row = database.execute(sql, (*kinds, prefer or "")).fetchone()
        return None if row is None else table.job_of(row)

    def log(self, identifier: str) -> str:
        """The last lines that a job printed.

        Raises:
            NotFoundError: there is no such job.
        """
        return self._read(identifier).log

    def history(self, identifier: str) -> Sequence[Reported]:
        """The figures that a job reported and when, in seconds of work: a few hundred at most, denser in the beginning."""
        with self._connection() as database:
            return history.read(database, identifier)

    def remaining(self, job: Job) -> float | None:
        """Seconds until a running job is done if it continues at this pace; None where that cannot be said."""
        with self._connection() as database:
            return history.remaining(database, job.id, job.attempt) if job.state == "running" else None

    def ahead(self, job: Job) -> int:
        """How many jobs of this workspace run or wait before one that waits."""
        sql = (
            "SELECT COUNT(*) AS count FROM jobs WHERE state = 'running' OR state = 'queued' AND "
            "number < (SELECT number FROM jobs WHERE id = ?)"
        )
        with self._connection() as database:
            return int(database.execute(sql, (job.id,)).fetchone()["count"]) if job.state == "queued" else 0

    def waiting(self) -> bool:
        """Whether there is work for a worker: jobs that wait, or that go on by themselves."""
        self._mark_orphans()
        with self._connection() as database:
            row = database.execute(f"SELECT 1 FROM jobs WHERE state = 'queued' OR {_RESUMING} LIMIT 1", (MAX_RESUMES,)).fetchone()
        return row is not None

    def cancel(self, identifier: str) -> Job:
        """End a job: at once where it waits, within two seconds where it runs. One that was going to go on by itself does not."""
        self._read(identifier)
        with self._connection() as database:
            database.execute(
                "UPDATE jobs SET state = 'cancelled', finished = ?, message = 'Cancelled' WHERE id = ? AND state = 'queued'",
                (table.now(), identifier),
            )
            database.execute("UPDATE jobs SET cancelling = 1 WHERE id = ? AND state = 'running'", (identifier,))
            database.execute(f"UPDATE jobs SET state = 'cancelled', error = NULL WHERE id = ? AND {_RESUMING}", (identifier, MAX_RESUMES))
        return self.get(identifier)

    def retry(self, identifier: str) -> str:
        """Run a job again that failed, was cancelled or interrupted; verbs with checkpoints resume from them.

        Returns:
            The id to watch: the same, or that of an equal request that is already waiting or running.

        Raises:
            InvalidInputError: the job is done, or has not ended.
        """
        job = self.get(identifier)
        if job.state not in RETRYABLE:
            raise InvalidInputError(f"{identifier} is {job.state}; only jobs that failed, were cancelled or interrupted can run again.")
        return self._again(job, resumed=0, interruption="")

    def resume_orphans(self) -> Sequence[str]:
        """Let every job whose worker died go on, unless that has happened too often; returns their ids. Called by workers."""
        resumed = []
        for job in self.live():
            if job.resuming:
                found = self._again(job, job.resumed + (job.interruption == "died"), job.interruption)
                if found == job.id:
                    resumed.append(found)
                else:
                    with self._connection() as database:
                        values = (SUPERSEDED.format(other=found), job.id, job.attempt)
                        database.execute("UPDATE jobs SET interruption = '', error = ? WHERE id = ? AND attempt = ?", values)
        return resumed

    def workers(self) -> int:
        """How many workers run; with none, jobs wait."""
        return liveness.living(self.signs)

    @contextlib.contextmanager
    def watching(self) -> Iterator[Callable[[], bool]]:
        """A function that tells, for a few microseconds, whether anybody wrote to the table since it was last asked; so at first.

        As long as this connection is open, no other closes the file for good, which takes SQLite ten times as long as to read it.
        """
        seen: list[int] = []

        def changed() -> bool:
            before = list(seen)
            seen[:] = [database.execute("PRAGMA data_version").fetchone()[0]]
            return seen != before

        with self._connection() as database:
            yield changed

    def sweep(self) -> None:
        """Remove what dead processes left beside the table."""
        liveness.sweep(self.running)
        # The queue of the first version; the jobs in it wait in the table as well.
        for path in self.folder.glob("queue.db*"):
            path.unlink(missing_ok=True)

    # What the worker and the job's own process write. Each names the attempt, so that a latecomer cannot write over a newer one.

    def claim(self, worker: str) -> Job | None:
        """Take the waiting job that comes first, however many workers ask at once; None where none waits."""
        first = "SELECT number FROM jobs WHERE state = 'queued' ORDER BY number LIMIT 1"
        sql = f"UPDATE jobs SET state = 'running', worker = ?, started = ?, message = 'Starting' WHERE number = ({first}) RETURNING *"
        with self._connection() as database:
            rows = database.execute(sql, (worker, table.now())).fetchall()
        return table.job_of(rows[0]) if rows else None

    def report(self, identifier: str, attempt: int, progress: Progress) -> None:
        figures = json.dumps(dict(progress.figures), allow_nan=False)
        condition = "WHERE id = ? AND attempt = ? AND state = 'running'"
        with self._connection() as database:
            row = database.execute(f"SELECT started, worked FROM jobs {condition}", (identifier, attempt)).fetchone()
            if row is None:
                return
            values = (progress.done, progress.total, progress.message, figures, identifier, attempt)
            database.execute(f"UPDATE jobs SET done = ?, total = ?, message = ?, figures = ? {condition}", values)
            history.keep(database, identifier, attempt, row["worked"] + table.seconds_since(row["started"]), progress)

    def keep_log(self, identifier: str, attempt: int, log: str) -> None:
        with self._connection() as database:
            database.execute("UPDATE jobs SET log = ? WHERE id = ? AND attempt = ?", (log, identifier, attempt))

    def finish(
        self,
        identifier: str,
        attempt: int,
        state: State,
        *,
        result: Mapping[str, Any] | None = None,
        error: str | None = None,
        interruption: Interruption = "",
    ) -> bool:
        """Say how a running job ended; only the first word counts.

        Args:
            interruption: how the worker ended where that, and no fault of the job, interrupted it: it resumes with the next worker.
        """
        record = None if result is None else json.dumps(result, allow_nan=False)
        sql = (
            "UPDATE jobs SET state = ?, finished = ?, result = ?, error = ?, "
            "interruption = CASE ? WHEN 'interrupted' THEN ? ELSE interruption END WHERE id = ? AND attempt = ? AND state = 'running'"
        )
        values = (state, table.now(), record, error, state, interruption, identifier, attempt)
        with self._connection() as database:
            return database.execute(sql, values).rowcount == 1

    def _again(self, job: Job, resumed: int, interruption: Interruption) -> str:
        """Queue a job that has ended for another attempt. Its curves continue where it resumes, and start again after a failure."""
        try:
            with self._connection() as database:
                if job.state == "failed":
                    history.forget(database, job.id)
                sql = f"UPDATE jobs SET {_AGAIN}, resumed = ?, interruption = ?, worked = ? WHERE id = ? AND attempt = ? AND state = ?"
                values = (resumed, interruption, history.worked(database, job.id), job.id, job.attempt, job.state)
                database.execute(sql, values)
        except sqlite3.IntegrityError:
            return self._latest(request_digest(job.kind, checked_request(job.kind, job.parameters)))
        return job.id

    def _mark_orphans(self) -> None:
        """Mark the jobs whose worker is gone."""
        with self._connection() as database:
            running = database.execute("SELECT id, attempt, worker, cancelling, resumed FROM jobs WHERE state = 'running'").fetchall()
        for row in running:
            if not liveness.is_alive(self.signs, row["worker"]):
                if row["cancelling"]:
                    self.finish(row["id"], row["attempt"], "cancelled")
                else:
                    error = WORKER_DIED if row["resumed"] < MAX_RESUMES else GAVE_UP.format(times=row["resumed"] + 1)
                    self.finish(row["id"], row["attempt"], "interrupted", error=error, interruption="died")

    def _read(self, identifier: str) -> Job:
        with self._connection() as database:
            row = database.execute("SELECT * FROM jobs WHERE id = ?", (identifier,)).fetchone()
        if row is None:
            raise NotFoundError(f"No job {identifier!r} in {self.workspace.root}; see the list of jobs.")
        return table.job_of(row)

    def _latest(self, digest: str) -> str:
        order = "ORDER BY state IN ('queued', 'running') AND cancelling = 0 DESC, finished DESC, number DESC"
        with self._connection() as database:
            return str(database.execute(f"SELECT id FROM jobs WHERE digest = ? {order} LIMIT 1", (digest,)).fetchone()["id"])

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection of this call alone, whose changes are kept together or not at all.

        Raises:
            NotFoundError: the workspace was deleted meanwhile.
        """
        if not self.folder.is_dir():
            raise NotFoundError("These jobs no longer exist: their workspace was deleted. Reload the page.")
        database = sqlite3.connect(self.folder / "jobs.db", timeout=BUSY_SECONDS)
        database.row_factory = sqlite3.Row
        # With a write-ahead log this is still safe, and does not wait for the disk at every report.
        database.execute("PRAGMA synchronous = NORMAL")
        try:
            with database:
                yield database
        finally:
            database.close()
