"""Jobs in words: states, times, speeds and what to call things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cbm.jobs import Job, State
from cbm.registry import VERBS
from cbm.ui.frame.formats import ago, counted, duration, left, plain


@dataclass(frozen=True)
class StateWords:
    label: str
    icon: str
    colour: Literal["gray", "blue", "green", "red", "orange"]
    """Of `st.badge`."""


STATES: Mapping[State, StateWords] = {
    "queued": StateWords("Waiting", ":material/schedule:", "gray"),
    "running": StateWords("Running", ":material/play_circle:", "blue"),
    "done": StateWords("Done", ":material/check_circle:", "green"),
    "failed": StateWords("Failed", ":material/error:", "red"),
    "cancelled": StateWords("Cancelled", ":material/cancel:", "gray"),
    "interrupted": StateWords("Interrupted", ":material/power_off:", "orange"),
}
_FIGURES: Mapping[str, str] = {
    "fvu": "Unexplained variance (FVU)",
    "l0": "Active concepts per image (L0)",
    "dead": "Dead concepts (share)",
    "loss": "Loss",
    "nec": "Concepts per class (NEC)",
    "accuracy": "Accuracy",
    "held_out_accuracy": "Held-out accuracy",
    "images_per_second": "Images per second",
    "encoded": "Newly encoded",
    "rejected": "Rejected",
}


def kind(job: Job) -> str:
    known = VERBS[job.kind].job if job.kind in VERBS else None
    return known.title if known else job.kind.replace("_", " ").capitalize()


def title(job: Job) -> str:
    return job.title or kind(job)


def figure_name(name: str) -> str:
    return _FIGURES.get(name, name.replace("_", " ").capitalize())


def progress_line(job: Job, ahead: int = 0, others: int = 0) -> str:
    """The line above the progress bar.

    Args:
        ahead: jobs of this workspace that run or wait before one that waits.
        others: workspaces of other visitors that get a worker first.
    """
    if job.cancelling:
        return "Cancelling …"
    if job.state == "interrupted":
        return "The worker stopped; the job resumes in a moment"
    if job.state == "queued":
        if others:
            return f"Waiting for a free slot: {counted(others, 'visitor')} first"
        return f"Waiting: {counted(ahead, 'job')} first" if ahead else "Waiting for a worker to start"
    return plain(job.message) or "Starting"


def pace_line(job: Job, remaining: float | None) -> str:
    """Time, speed and what is left of a job that lives, in one line."""
    parts = []
    if job.state == "running":
        parts.append(f"{job.fraction:.0%}")
        parts.append(f"running for {duration(job.seconds or 0.0)}")
        rate = job.figures.get("images_per_second")
        if rate:
            parts.append(f"{rate:,.0f} images/s" if rate >= 10 else f"{rate:.1f} images/s")
        rejected = job.figures.get("rejected")
        if rejected:
            parts.append(f"{counted(round(rejected), 'file')} rejected")
        if remaining is not None and not job.cancelling:
            parts.append(left(remaining))
    else:
        parts.append("It continues when this page is closed; see the Jobs page.")
    return " · ".join(parts)


def resumed_line(job: Job) -> str:
    """Why a job did not run in one go, for one whose worker ended."""
    if job.interruption == "died":
        times = f" (for the {_ORDINALS.get(job.resumed, f'{job.resumed}th')} time)" if job.resumed > 1 else ""
        return f":material/restart_alt: Resumed after its worker died{times}."
    return ":material/restart_alt: Resumed after the app was restarted."


_ORDINALS = {2: "second", 3: "third"}


def took(job: Job) -> str:
    seconds = job.seconds
    return "done" if seconds is None else f"done in {duration(seconds)}"


def facts(job: Job, now: datetime) -> str:
    """Kind, time and, where it has ended, duration of a job in one line."""
    parts = [kind(job)] if job.title and job.title != kind(job) else []
    parts.append(f"started {ago(job.started, now)}" if job.started else f"asked for {ago(job.created, now)}")
    if job.finished and job.seconds is not None:
        parts.append(f"took {duration(job.seconds)}" if job.state == "done" else f"ended after {duration(job.seconds)}")
    if job.attempt > 1:
        parts.append(f"attempt {job.attempt}")
    line = " · ".join(parts)
    return line[:1].upper() + line[1:]


def again(job: Job) -> str:
    """The label of the button that lets a job run once more."""
    return "Retry" if job.state == "failed" else "Resume"
