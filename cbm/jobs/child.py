"""The process of one job: `python -m cbm.jobs.child WORKSPACE JOB ATTEMPT`, started by the worker.

The worker speaks through standard input: a line asks the job to stop, and the end of the stream says that the worker is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType

from cbm.core.errors import Cancelled, CbmError, InvalidInputError
from cbm.core.files import FileLock
from cbm.core.progress import Progress
from cbm.core.run import Run
from cbm.jobs.store import Jobs
from cbm.registry import VERBS
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
        result = VERBS[job.kind].run_request(job.parameters, workspace, Run(reporter, stop.is_set))
        reporter.flush()
    except (Cancelled, Stopped):
        # Whether this was a cancel or the worker's own end is known to the worker.
        return EXIT_STOPPED
    except (CbmError, OSError) as error:
        jobs.finish(identifier, attempt, "failed", error=str(error))
        return EXIT_FAILED
    jobs.finish(identifier, attempt, "done", result=result.record())
    return 0


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
        from cbm.verbs.base import plain

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
