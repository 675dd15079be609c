"""The process of one job: `python -m cbm.jobs.child WORKSPACE JOB ATTEMPT`, started by the worker.

The worker speaks through standard input: a line asks the job to stop, and the end of the stream says that the worker is gone.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from cbm.core.errors import Cancelled, CbmError, InvalidInputError
from cbm.core.files import FileLock
from cbm.core.progress import Progress
from cbm.jobs.records import GIVEN
from cbm.jobs.store import Jobs
from cbm.workspace.workspace import Workspace

EXIT_FAILED = 1
EXIT_STOPPED = 3
EXIT_ORPHANED = 4
ALONE_SECONDS = 30.0
REPORT_SECONDS = 0.25
"""News in between are left out: nobody reads faster, and every report is a write to the disk."""


class Stopped(BaseException):
    """Ends a verb that cannot be asked; not an `Exception`, so that no handler on the way takes it for an error."""


def run(workspace: Workspace, identifier: str, attempt: int, stop: threading.Event) -> int:
    """Run the job's verb and write down how it ended; returns the exit status."""
    jobs = Jobs(workspace)
    job = jobs.get(identifier)
    reporter = _Reporter(jobs, identifier, attempt)
    try:
        result = _call(job.kind, job.parameters, workspace, reporter, stop.is_set)
        reporter.flush()
    except (Cancelled, Stopped):
        # Whether this was a cancel or the worker's own end is known to the worker.
        return EXIT_STOPPED
    except (CbmError, OSError) as error:
        jobs.finish(identifier, attempt, "failed", error=str(error))
        return EXIT_FAILED
    jobs.finish(identifier, attempt, "done", result=result.record())
    return 0


def _call(kind: str, parameters: Mapping[str, Any], workspace: Workspace, progress: Callable[[Progress], None], cancelled: Any) -> Any:
    verb = importlib.import_module("cbm.demo.pipeline").run if kind == "demo" else getattr(importlib.import_module("cbm.verbs"), kind)
    signature = inspect.signature(verb)
    given = dict(zip(GIVEN, (workspace, progress, cancelled), strict=True))
    arguments = {**_from_json(kind, parameters), **{name: value for name, value in given.items() if name in signature.parameters}}
    try:
        signature.bind(**arguments)
    except TypeError as error:
        names = ", ".join(name for name in signature.parameters if name not in GIVEN)
        raise InvalidInputError(f"The parameters do not fit the verb {kind} ({error}); it takes {names}.") from error
    return verb(**arguments)


def _from_json(kind: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as the verbs take them: tuples for lists, and the two objects that JSON spells out."""
    arguments: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in parameters.items()}
    if kind == "demo" and "settings" in arguments:
        from cbm.demo.pipeline import DemoSettings

        try:
            arguments["settings"] = DemoSettings(**arguments["settings"])
        except TypeError as error:
            raise InvalidInputError(f"The demo's settings are not as expected ({error}); see cbm.demo.pipeline.DemoSettings.") from error
    if kind in ("edit", "export") and isinstance(arguments.get("recipe"), dict):
        from cbm.editing.recipe import Recipe

        arguments["recipe"] = Recipe.from_json(json.dumps(arguments["recipe"]))
    return arguments


class _Reporter:
    """Writes a verb's news to the table, not too often; the last news is not lost."""

    def __init__(self, jobs: Jobs, identifier: str, attempt: int) -> None:
        self._jobs, self._identifier, self._attempt = jobs, identifier, attempt
        self._last = -REPORT_SECONDS
        self._waiting: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        self._waiting = progress
        if time.monotonic() - self._last >= REPORT_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was left out so far, if anything."""
        from cbm.verbs.results import plain

        if self._waiting is not None:
            progress, self._waiting = self._waiting, None
            self._last = time.monotonic()
            figures = {name: value for name, value in plain(progress.figures).items() if value is not None}
            self._jobs.report(self._identifier, self._attempt, Progress(progress.done, progress.total, progress.message, figures))


def _listen(stop: threading.Event) -> None:
    # os.read, not sys.stdin: a thread that sleeps inside a buffered reader makes the interpreter abort when it ends.
    while os.read(0, 64):
        stop.set()
    # The worker is gone, and nobody would ever end this process. Whatever is half written is temporary by name.
    os._exit(EXIT_ORPHANED)


def _terminate(number: int, frame: FrameType | None) -> None:
    # The clean-up that follows must not be cut short by a second signal.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


def _alone(workspace: Workspace, identifier: str) -> FileLock | None:
    """Wait until no earlier attempt of this job runs: that of a worker that was killed may need a moment to notice.

    Returns:
        The lock to hold meanwhile; None where the other does not end: then the locks of what both write to decide.
    """
    folder = Jobs(workspace).running
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / f"{identifier}.lock")
    end = time.monotonic() + ALONE_SECONDS
    while True:
        try:
            lock.acquire()
        except InvalidInputError:
            if time.monotonic() >= end:
                return None
            time.sleep(0.1)
        else:
            return lock


def main() -> None:
    root, identifier, attempt = sys.argv[1:]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, _terminate)
    threading.Thread(target=_listen, args=(stop,), daemon=True).start()
    if not (Workspace(root).root / "jobs").is_dir():
        # The workspace was deleted in this moment, and must not be made again.
        os._exit(EXIT_ORPHANED)
    lock = _alone(Workspace(root), identifier)
    code = run(Workspace(root), identifier, int(attempt), stop)
    if lock is not None:
        lock.discard()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: threads that a library left behind must not keep a finished job from ending.
    os._exit(code)


if __name__ == "__main__":
    main()
