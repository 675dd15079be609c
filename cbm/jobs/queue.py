"""The queue between those who submit jobs and the workers: huey on SQLite, with messages in JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huey import SqliteHuey
from huey.api import Task
from huey.registry import Message
from huey.serializer import Serializer

BUSY_SECONDS = 15.0
"""How long to wait for another process that writes."""


class JsonSerializer(Serializer):
    """Huey's messages as JSON: its own serializer pickles, and reading a pickle runs whatever it holds."""

    def _serialize(self, data: Any) -> bytes:
        return json.dumps(data, allow_nan=False).encode()

    def _deserialize(self, data: Any) -> Message:
        return Message(*json.loads(bytes(data)))


class JobQueue:
    """Says which job is next; what the job is and how it goes stands in the table of `cbm.jobs.store`.

    Args:
        folder: the workspace's folder for jobs.
        run: called by `run_next` with a job's id and attempt; needless where a process only submits.
    """

    def __init__(self, folder: Path, run: Callable[[str, int], None] | None = None) -> None:
        self._huey = SqliteHuey(
            "jobs", filename=str(folder / "queue.db"), serializer=JsonSerializer(), results=False, strict_fifo=True, timeout=BUSY_SECONDS
        )

        # Huey finds a task again by module and name, so the function must be this module's in whoever submits and whoever works.
        def run_job(identifier: str, attempt: int) -> None:
            if run is not None:
                run(identifier, attempt)

        self._task = self._huey.task()(run_job)

    def put(self, identifier: str, attempt: int) -> None:
        self._task(identifier, attempt)

    def waiting(self) -> set[tuple[str, int]]:
        """Id and attempt of every job in the queue."""
        return {(identifier, attempt) for identifier, attempt in (task.args for task in self._huey.pending())}

    def run_next(self) -> bool:
        """Run the job that has waited longest; False when the queue is empty."""
        task: Task | None = self._huey.dequeue()
        if task is None:
            return False
        # Not `huey.execute`, which logs whatever goes wrong and goes on: a worker that cannot write down how its job ends must end itself,
        # so that the job is seen to be interrupted.
        task.execute()
        return True
