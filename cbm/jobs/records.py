"""What a job is: the request, how far it has come, and how it ended."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from cbm.core.errors import InvalidInputError
from cbm.core.progress import Progress
from cbm.registry import VERBS

State = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
Interruption = Literal["", "died", "stopped"]
LIVE: tuple[State, ...] = ("queued", "running")
RETRYABLE: tuple[State, ...] = ("failed", "cancelled", "interrupted")

MAX_RESUMES = 2
"""How often a job resumes by itself after its worker died: one that kills whoever runs it must not do so for ever."""

GIVEN = ("workspace", "progress", "cancelled")
"""Arguments that the worker gives to a verb; a request may not."""


@dataclass(frozen=True)
class Job:
    """One request as it stood when it was read; ask `Jobs.get` again for news."""

    id: str
    kind: str
    parameters: Mapping[str, Any]
    state: State
    progress: Progress
    """The latest news of the verb, with the figures worth drawing."""
    attempt: int
    """1 at first, one more with every retry."""
    created: datetime
    started: datetime | None
    finished: datetime | None
    cancelling: bool
    """Somebody asked for an end; it comes within two seconds."""
    result: Mapping[str, Any] | None
    """The verb's record, as the command line prints it under --json."""
    error: str | None
    """For people: what went wrong and what to do next."""
    log: str
    """The last lines that the job printed; empty in `Jobs.list`."""
    title: str = ""
    """What the person who asked for it calls it."""
    resumed: int = 0
    """How often it went on by itself after its worker died, since a person last asked for it."""
    interruption: Interruption = ""
    """How its worker ended while it ran, since a person last asked for it; the job resumes by itself after that."""

    @property
    def live(self) -> bool:
        return self.state in LIVE

    @property
    def resuming(self) -> bool:
        """Interrupted, but the next worker resumes it without being asked."""
        return self.state == "interrupted" and (
            self.interruption == "stopped" or (self.interruption == "died" and self.resumed < MAX_RESUMES)
        )

    @property
    def fraction(self) -> float:
        return 1.0 if self.state == "done" else self.progress.fraction

    @property
    def message(self) -> str:
        return self.progress.message

    @property
    def figures(self) -> Mapping[str, float]:
        return self.progress.figures

    @property
    def seconds(self) -> float | None:
        """How long it ran, or has been running; None before it began."""
        if self.started is None:
            return None
        return ((self.finished or datetime.now(UTC)) - self.started).total_seconds()


def job_kinds() -> tuple[str, ...]:
    """The verbs that may run as jobs."""
    return tuple(verb.name for verb in VERBS if verb.job is not None)


def checked_request(kind: str, parameters: Mapping[str, Any]) -> str:
    """The request's parameters as JSON, in one spelling.

    Raises:
        InvalidInputError: unknown kind, or parameters that JSON cannot hold.
    """
    if kind not in job_kinds():
        raise InvalidInputError(f"Unknown kind of job {kind!r}; kinds are {', '.join(job_kinds())}.")
    given = [name for name in GIVEN if name in parameters]
    if given:
        raise InvalidInputError(f"The parameter {given[0]!r} is set by the worker; leave it out of the request.")
    try:
        return json.dumps(dict(parameters), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"The parameters of a {kind} job must be what JSON can hold: text, numbers, lists, objects ({error}). Give paths as text."
        ) from error


def request_digest(kind: str, parameters: str) -> str:
    """What two equal requests share."""
    return hashlib.sha256(f"{kind}\n{parameters}".encode()).hexdigest()
