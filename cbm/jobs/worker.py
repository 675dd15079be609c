"""Runs jobs one after another, each in a process of its own, so that a crash or a lack of memory ends the job and not the worker."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from cbm.jobs.child import EXIT_STOPPED
from cbm.jobs.liveness import WorkerSign
from cbm.jobs.records import Job
from cbm.jobs.store import Jobs
from cbm.workspace.workspace import Workspace

POLL_SECONDS = 0.25
ENDING_POLL_SECONDS = 0.1
LOST_SECONDS = 5.0
"""How often an idle worker looks for jobs whose worker died, which nobody writes down."""
ASK_SECONDS = 0.8
"""How long a job may take to stop when asked, before it is told by a signal."""
TELL_SECONDS = 0.5
"""How long it may then take before it is killed. With the poll this keeps a cancel within two seconds."""
LOG_BYTES = 32 * 1024
LEAVE = b"leave\n"
"""What whoever started an attached worker writes to its standard input to have its place after the job that runs."""

STOPPED = "The worker was stopped while this ran. What was finished is kept; run it again to resume."
KILLED = (
    "The job's process was ended by the system ({signal}), most likely because memory ran out. "
    "Close other programs or ask for less at once (a smaller width or batch), then run it again."
)
CRASHED = "The job's process crashed ({signal}). The log has its last output; run it again to resume."
UNEXPECTED = "An unexpected error ended the job: {last}. The log has the details."


class Worker:
    """A worker of one workspace; several may run beside each other.

    Args:
        say: told in words what happens, for the terminal.
    """

    def __init__(self, workspace: Workspace, say: Callable[[str], None] = print) -> None:
        self._jobs = Jobs(workspace)
        self._say = say
        self._stopping = threading.Event()
        self._leaving = threading.Event()

    def stop(self) -> None:
        """End `run` soon; the job that runs is stopped and marked interrupted."""
        self._stopping.set()

    def leave(self) -> None:
        """End `run` when the job that runs, if any, has ended."""
        self._leaving.set()

    def run(self, idle_seconds: float | None = None) -> None:
        """Run jobs until `stop` or `leave` is called, or until there was nothing to do for so long."""
        sign = WorkerSign(self._jobs.signs)
        try:
            self._jobs.workspace.sweep()
            self._jobs.sweep()
            with self._jobs.watching() as changed:
                self._run_jobs(sign.name, changed, idle_seconds)
        finally:
            sign.close()

    def _run_jobs(self, name: str, changed: Callable[[], bool], idle_seconds: float | None) -> None:
        looked, busy = -LOST_SECONDS, time.monotonic()
        while not (self._stopping.is_set() or self._leaving.is_set()):
            look = time.monotonic() - looked >= LOST_SECONDS
            if look:
                looked = time.monotonic()
                self._resume()
            job = self._jobs.claim(name) if changed() or look else None
            if job is not None:
                self._run(job)
                busy = time.monotonic()
            elif idle_seconds is not None and time.monotonic() - busy >= idle_seconds:
                return
            else:
                self._stopping.wait(POLL_SECONDS)

    def _resume(self) -> None:
        """Let jobs go on that other workers left when they died."""
        for identifier in self._jobs.resume_orphans():
            self._say(f"{identifier}: resumed after its worker ended")

    def _run(self, job: Job) -> None:
        identifier, attempt, started = job.id, job.attempt, time.monotonic()
        self._say(f"{identifier} {job.kind}: started")
        process = _start(self._jobs.workspace, identifier, attempt)
        log = _LogTail(process)
        code = self._wait(process, log, identifier, attempt)
        log.finish()
        self._jobs.keep_log(identifier, attempt, log.text())
        self._conclude(identifier, attempt, code, log.text())
        job = self._jobs.get(identifier)
        self._say(f"{identifier} {job.kind}: {job.state} after {time.monotonic() - started:.1f} s{f' ({job.error})' if job.error else ''}")

    def _wait(self, process: subprocess.Popen[bytes], log: _LogTail, identifier: str, attempt: int) -> int:
        """The exit status of the job's process, which is asked, told and then made to stop where somebody wants that."""
        asked: float | None = None
        while True:
            try:
                return process.wait(POLL_SECONDS if asked is None else ENDING_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if log.changed():
                    self._jobs.keep_log(identifier, attempt, log.text())
            if asked is None and (self._stopping.is_set() or self._jobs.get(identifier).cancelling):
                asked = time.monotonic()
                _ask(process)
            elif asked is not None and time.monotonic() - asked >= ASK_SECONDS + TELL_SECONDS:
                _signal_group(process, kill=True)
            elif asked is not None and time.monotonic() - asked >= ASK_SECONDS:
                _signal_group(process, kill=False)

    def _conclude(self, identifier: str, attempt: int, code: int, log: str) -> None:
        """Say how the job ended where it could not do so itself."""
        end = self._jobs.finish
        if self._jobs.get(identifier).cancelling:
            end(identifier, attempt, "cancelled")
        elif self._stopping.is_set() or code == EXIT_STOPPED:
            end(identifier, attempt, "interrupted", error=STOPPED, interruption="stopped")
        elif code < 0:
            text = KILLED if code == -getattr(signal, "SIGKILL", 9) else CRASHED
            end(identifier, attempt, "interrupted", error=text.format(signal=signal.Signals(-code).name))
        else:
            lines = [line for line in log.splitlines() if line.strip()]
            end(identifier, attempt, "failed", error=UNEXPECTED.format(last=lines[-1].strip() if lines else f"exit status {code}"))


def run_worker(
    workspace: Workspace, say: Callable[[str], None] = print, *, attached: bool = False, idle_seconds: float | None = None
) -> None:
    """Run jobs in the foreground until SIGTERM or SIGINT.

    Args:
        attached: end also when standard input ends, as it does when the process that holds its other end dies.
        idle_seconds: end after so long without a job.
    """
    worker = Worker(workspace, say)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    if attached:
        threading.Thread(target=_listen, args=(worker,), daemon=True).start()
    say(f"Waiting for jobs in {workspace.root}. Stop with Ctrl-C.")
    worker.run(idle_seconds)


def _listen(worker: Worker) -> None:
    # os.read, not sys.stdin: a thread that sleeps inside a buffered reader makes the interpreter abort when it ends.
    while os.read(0, 64):
        worker.leave()
    worker.stop()


def _start(workspace: Workspace, identifier: str, attempt: int) -> subprocess.Popen[bytes]:
    package = Path(__file__).resolve().parents[2]
    paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-m", "cbm.jobs.child", str(workspace.root), identifier, str(attempt)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"},
        # A Ctrl-C in the terminal is for the worker, which then stops the job in order.
        start_new_session=True,
    )


def _ask(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):  # it ended in this moment
            process.stdin.write(b"stop\n")


def _signal_group(process: subprocess.Popen[bytes], *, kill: bool) -> None:
    """Signal the job's process and whatever it started."""
    if not hasattr(os, "killpg"):
        process.kill()
        return
    # The process has not been waited for, so its number cannot belong to another.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL if kill else signal.SIGTERM)


class _LogTail:
    """The last of what a process prints, read as it comes so that the process never waits."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._tail = b""
        self._seen = b""
        self._thread = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(ValueError, OSError):  # closed by `finish` while a grandchild still held the other end
            while chunk := stream.read(65536):
                self._tail = (self._tail + chunk)[-LOG_BYTES:]

    def finish(self) -> None:
        """Take what the ended process still had to say, and close its pipes."""
        self._thread.join(timeout=1.0)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def changed(self) -> bool:
        before, self._seen = self._seen, self._tail
        return before is not self._seen

    def text(self) -> str:
        """The tail in whole lines; a progress bar that rewrites its line counts as many."""
        text = self._tail.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
        return text.partition("\n")[2] if len(self._tail) == LOG_BYTES else text
